"""Reductions over the shapes that take a path of their own: narrow dense rows, short rows, few long rows."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

TYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")


def numbers(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    g = np.random.RandomState(seed)
    return g.randint(0, 2 if name == "bool" else 50, shape).astype(name)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", ((70000, 4), (33000, 7), (5000, 128), (40, 3), (16, 100), (1000, 129)))
@pytest.mark.parametrize("largest", (True, False))
def test_position_of_the_best_in_narrow_columns(name: str, shape: tuple[int, ...], largest: bool) -> None:
    a = numbers(name, shape)
    if name != "bool":
        a[shape[0] // 2 :, 0] = 77 if largest else 0  # first met in a later piece, then many times
        a[:, 1] = 5  # all equal: the first one
    x = ccdl.from_numpy(a)
    want = (a.argmax(0), a.max(0)) if largest else (a.argmin(0), a.min(0))
    found = x.max(0) if largest else x.min(0)
    np.testing.assert_array_equal(found[1].numpy(), want[0])
    np.testing.assert_array_equal(found[0].numpy(), want[1])
    if name != "bool":
        np.testing.assert_array_equal((x.argmax(0) if largest else x.argmin(0)).numpy(), want[0])


@pytest.mark.parametrize("name", ("float32", "float64", "float16"))
def test_nan_comes_first_in_narrow_columns(name: str) -> None:
    a = numbers(name, (70000, 5))
    a[69000, 0] = a[69500, 0] = a[3, 1] = a[40000, 1] = a[20000, 2] = np.nan
    a[:, 3] = -np.inf
    values, at = ccdl.from_numpy(a).max(0)
    np.testing.assert_array_equal(at.numpy(), [69000, 3, 20000, 0, a[:, 4].argmax()])
    np.testing.assert_array_equal(values.numpy(), a.max(0))
    np.testing.assert_array_equal(ccdl.from_numpy(a).argmin(0).numpy()[:4], [69000, 3, 20000, 0])


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("n", (2, 3, 4, 7, 10, 15, 16, 33))
@pytest.mark.parametrize("rows", (1, 31, 32, 33, 500))
def test_position_of_the_best_in_short_rows(name: str, n: int, rows: int) -> None:
    a = numbers(name, (rows, n), n)
    if name.startswith("float"):
        a[::7, n // 2] = np.nan
        a[::14, n - 1] = np.nan
    x = ccdl.from_numpy(a)
    for values, at, take, place in ((*x.max(1), np.max, np.argmax), (*x.min(1), np.min, np.argmin)):
        np.testing.assert_array_equal(at.numpy(), place(a, 1))
        np.testing.assert_array_equal(values.numpy(), take(a, 1))
    wide = ccdl.from_numpy(np.repeat(a, 3, 1))[:, ::3]  # not contiguous
    np.testing.assert_array_equal(wide.max(1)[1].numpy(), a.argmax(1))


@pytest.mark.parametrize("name", ("float32", "float64"))
@pytest.mark.parametrize("shape", ((1, 4), (7, 4), (8, 3), (1000, 10), (33, 15), (40, 17), (4, 70000), (70000, 4)))
def test_sums_of_exponentials_of_short_and_long_rows(name: str, shape: tuple[int, ...]) -> None:
    special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    a = (np.random.RandomState(3).standard_normal(shape) * 20).astype(name)
    a[0, 0] = -np.inf
    if shape[0] > 2:
        a[1] = -np.inf
        a[2, -1] = np.inf
    tolerance = 1e-12 if name == "float64" else 1.3e-6
    for axis in (0, 1):
        want = special.logsumexp(a.astype(np.float64), axis)
        np.testing.assert_allclose(ccdl.from_numpy(a).logsumexp(axis).numpy(), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", (8191, 8192, 8192 + 2048 + 37, 200_003))
def test_long_rows(n: int) -> None:
    a = np.random.RandomState(n).uniform(0.5, 1.5, (3, n)).astype(np.float32)
    x, exact = ccdl.from_numpy(a), a.astype(np.float64)
    np.testing.assert_allclose(x.sum(1).numpy(), exact.sum(1), rtol=2e-7)
    np.testing.assert_allclose(x.norm(dim=1).numpy(), np.sqrt((exact**2).sum(1)), rtol=2e-7)
    np.testing.assert_allclose(x.var(1).numpy(), exact.var(1, ddof=1), rtol=2e-7)
    near = 1 + (a - 1) / 64
    np.testing.assert_allclose(ccdl.from_numpy(near).prod(1).numpy(), near.astype(np.float64).prod(1), rtol=2e-7)
    np.testing.assert_array_equal(x.amax(1).numpy(), a.max(1))
