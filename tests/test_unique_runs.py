"""unique_consecutive and isin: runs of every length around the vectors' borders, NaN, signed zeros, every dtype."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def runs_of(a: np.ndarray) -> np.ndarray:
    return np.concatenate([[True], ~(a[1:] == a[:-1])]) if a.size else np.zeros(0, bool)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("n", (0, 1, 2, 15, 16, 17, 31, 33, 64, 65, 100, 1000))
@pytest.mark.parametrize("length", (1, 2, 5, 40))
def test_runs(name: str, n: int, length: int) -> None:
    g = np.random.RandomState(n + length)
    a = np.repeat(g.randint(0, 2 if name == "bool" else 9, n + 1), g.randint(1, length + 1, n + 1))[:n]
    if length == 1 and name != "bool":
        a = np.arange(n) % 100  # all differ
    a = a.astype("float32" if name == "bfloat16" else name)
    if name.startswith(("float", "bfloat")) and n > 20:
        a[3:6] = np.nan
        a[n - 1] = np.nan
        a[8], a[9] = 0.0, -0.0
    x = ccdl.from_numpy(a).to(getattr(ccdl, name))
    starts = runs_of(a)
    values, inverse, counts = ccdl.unique_consecutive(x, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(values.float().numpy() if "loat" in name else values.numpy(), a[starts])
    np.testing.assert_array_equal(inverse.numpy(), np.cumsum(starts) - 1)
    np.testing.assert_array_equal(counts.numpy(), np.diff(np.append(np.flatnonzero(starts), n)) if n else [])
    assert values.dtype == x.dtype and inverse.shape == x.shape
    assert ccdl.unique_consecutive(x).numel() == starts.sum()


def test_runs_of_flattened_and_sliced_tensors() -> None:
    a = np.random.RandomState(0).randint(0, 3, (7, 9))
    x = ccdl.from_numpy(a)
    for tensor, array in ((x, a), (x.t(), a.T), (x[:, ::2], a[:, ::2])):
        values, inverse = ccdl.unique_consecutive(tensor, return_inverse=True)
        flat = array.reshape(-1)
        np.testing.assert_array_equal(values.numpy(), flat[runs_of(flat)])
        np.testing.assert_array_equal(inverse.numpy(), (np.cumsum(runs_of(flat)) - 1).reshape(array.shape))
    np.testing.assert_array_equal(ccdl.unique_consecutive(ccdl.tensor([[1, 1], [1, 1], [2, 1]]), dim=0).numpy(), [[1, 1], [2, 1]])
    np.testing.assert_array_equal(ccdl.unique_consecutive(ccdl.tensor([1, 1, 3]), dim=0).numpy(), [1, 3])


@pytest.mark.parametrize("name", ("float32", "float64", "float16", "int64", "int32", "uint8", "bool"))
@pytest.mark.parametrize("tests", (0, 1, 2, 7, 100))
def test_membership(name: str, tests: int) -> None:
    g = np.random.RandomState(tests)
    high = 2 if name == "bool" else 120
    a, t = g.randint(0, high, 1003).astype(name), g.randint(0, high, tests).astype(name)
    if name.startswith("float"):
        a[5], a[6], a[7] = np.nan, -0.0, np.inf
        t[tests // 2 :] = np.nan
        t[:1] = 0.0
    want = np.isin(a, t)
    for invert in (False, True):
        found = ccdl.isin(ccdl.from_numpy(a), ccdl.from_numpy(t), invert=invert).numpy()
        np.testing.assert_array_equal(found, want != invert)
