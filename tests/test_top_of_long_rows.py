"""topk of long rows, whose blocks are passed over where nothing in them can belong to the best."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl


def half_bits(name: str, shape: tuple[int, ...], seed: int) -> tuple[ccdl.Tensor, np.ndarray]:
    """Every bit pattern alike, negative NaN and both zeros among them; and as double."""
    bits = np.random.RandomState(seed).randint(-(2**15), 2**15, shape).astype(np.int16)
    x = ccdl.from_numpy(bits).view(getattr(ccdl, name))
    return x, x.double().numpy()


def check(x: ccdl.Tensor, a: np.ndarray, k: int, largest: bool) -> None:
    values, at = ccdl.topk(x, k, largest=largest)
    rank = np.where(np.isnan(a), np.inf, a + 0.0)
    places = np.lexsort((np.isnan(a) * (-1 if largest else 1), -rank if largest else rank), axis=-1)[..., :k]
    want = np.take_along_axis(a, places, -1)
    np.testing.assert_array_equal(values.double().numpy(), want)
    np.testing.assert_array_equal(np.take_along_axis(a, at.numpy(), -1), want)
    assert all(len(set(row)) == k for row in at.numpy().reshape(-1, k))


@pytest.mark.parametrize("name", ("float16", "bfloat16"))
@pytest.mark.parametrize("n", (200, 4096, 5001))
def test_halves_of_every_kind(name: str, n: int) -> None:
    for seed, largest in ((1, True), (2, False)):
        x, a = half_bits(name, (3, n), seed)
        for k in (1, 5, 60, n - 1):
            check(x, a, k, largest)
        numbers = ccdl.nan_to_num(x, 0.0, 100.0, -100.0)
        for k in (1, 20, 150):
            check(numbers, numbers.double().numpy(), k, largest)


@pytest.mark.parametrize("name", ("float16", "bfloat16", "float32", "float64", "int64"))
def test_bounds_around_zero(name: str) -> None:
    g = np.random.RandomState(5)
    a = g.choice([-2.0, -0.0, 0.0, 3.0], (2, 3000), p=[0.01, 0.49, 0.49, 0.01])
    x = ccdl.tensor(a).to(getattr(ccdl, name))
    exact = x.double().numpy()
    for k in (1, 20, 100, 1000):
        for largest in (True, False):
            check(x, exact, k, largest)
