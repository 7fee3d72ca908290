"""Triangular solves of one, few and many columns, from both sides and in every layout, against a float64 inverse."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

ORDERS = (1, 2, 7, 8, 9, 31, 48, 65, 200, 513, 1030)


def triangle(n: int, upper: bool, name: str) -> np.ndarray:
    a = np.random.RandomState(n).uniform(-1, 1, (n, n)) / np.sqrt(n)
    a = np.triu(a) if upper else np.tril(a)
    a[np.arange(n), np.arange(n)] = np.linspace(1, 2, n)
    return a.astype(name)


@pytest.mark.parametrize("name", ("float32", "float64"))
@pytest.mark.parametrize("upper", (False, True))
@pytest.mark.parametrize("n", ORDERS)
def test_solves_of_few_columns(name: str, upper: bool, n: int) -> None:
    a = triangle(n, upper, name)
    junk = a + (np.tril(np.full((n, n), np.nan), -1) if upper else np.triu(np.full((n, n), np.nan), 1)).astype(name)
    rows = ccdl.from_numpy(np.where(np.isnan(junk), a - 9, a) if n < 200 else a)  # the other half is not read
    columns = rows.t().contiguous().t()
    wide = ccdl.stack([rows, rows], -1)[..., 0]
    tolerance = 2e-4 if name == "float32" else 1e-11
    for k in (1, 2, 3, 4, 17):
        b = np.random.RandomState(k).uniform(-1, 1, (n, k)).astype(name)
        x = ccdl.from_numpy(b)
        for t in (rows, columns, wide):
            before = t.clone()
            y = ccdl.linalg.solve_triangular(t, x, upper=upper).numpy()
            np.testing.assert_allclose(a.astype("float64") @ y, b, rtol=tolerance, atol=tolerance)
            z = ccdl.linalg.solve_triangular(t, x.t(), upper=upper, left=False).numpy()
            np.testing.assert_allclose(z @ a.astype("float64"), b.T, rtol=tolerance, atol=tolerance)
            u = ccdl.linalg.solve_triangular(t, x, upper=upper, unitriangular=True).numpy()
            unit = a.astype("float64")
            unit[np.arange(n), np.arange(n)] = 1
            np.testing.assert_allclose(unit @ u, b, rtol=tolerance, atol=tolerance * max(1, np.abs(u).max()))
            assert ccdl.equal(t, before)
        np.testing.assert_array_equal(x.numpy(), b)


@pytest.mark.parametrize("n", (3, 40))
def test_batches_that_share_a_triangle(n: int) -> None:
    a, b = triangle(n, False, "float64"), np.random.RandomState(0).uniform(-1, 1, (5, n, 2))
    t = ccdl.from_numpy(a)
    for matrices in (t.expand(5, n, n), ccdl.stack([t] * 5), ccdl.stack([t.t()] * 5).mT):
        y = ccdl.linalg.solve_triangular(matrices, ccdl.from_numpy(b), upper=False)
        np.testing.assert_allclose(a @ y.numpy(), b, rtol=1e-11, atol=1e-11)
    y = ccdl.linalg.solve_triangular(t, ccdl.from_numpy(b), upper=False)
    np.testing.assert_allclose(a @ y.numpy(), b, rtol=1e-11, atol=1e-11)


def test_gradients_of_a_turned_triangle() -> None:
    a, b = ccdl.from_numpy(triangle(9, True, "float64")), ccdl.rand(9, 1, dtype=ccdl.float64)
    a.requires_grad_(), b.requires_grad_()
    assert ccdl.autograd.gradcheck(lambda a, b: ccdl.linalg.solve_triangular(a.mT, b, upper=False), (a, b))


def test_a_zero_on_the_diagonal_gives_infinity() -> None:
    a = triangle(20, False, "float64")
    a[5, 5] = 0
    y = ccdl.linalg.solve_triangular(ccdl.from_numpy(a), ccdl.ones(20, 1, dtype=ccdl.float64), upper=False).numpy()
    assert np.isfinite(y[:5]).all() and np.isinf(y[5])
