"""Complex numbers put elsewhere, paired, integrated and correlated, against NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ccdl
from ccdl.autograd import gradcheck

rng = np.random.default_rng(5)
A, V, S = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((3, 4), (4,), (2, 4)))
a, v, s = ccdl.tensor(A), ccdl.tensor(V), ccdl.tensor(S)
X = np.array([0.0, 0.5, 2.0, 2.5])
INDEX = np.array([[2, 0, 1, 2]])


def changed(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    result = array.copy()
    result[place] = value
    return result


def running(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.cumsum((y[..., 1:] + y[..., :-1]) * np.diff(x) / 2, -1)


CASES: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "put": (lambda z: z.put(ccdl.tensor([0, 5]), v[:2]), changed(A.ravel(), [0, 5], V[:2]).reshape(3, 4)),
    "put more": (lambda z: z.put(ccdl.tensor([1, 1]), v[:2], accumulate=True), A + changed(np.zeros(12, complex), 1, V[:2].sum()).reshape(3, 4)),
    "scatter from a larger source": (lambda z: z.scatter(0, ccdl.tensor(INDEX), s), changed(A, (INDEX, np.arange(4)[None]), S[:1])),
    "scatter of a number": (lambda z: z.scatter(0, ccdl.tensor(INDEX), 2j), changed(A, (INDEX, np.arange(4)[None]), 2j)),
    "diagonal_scatter": (lambda z: z.diagonal_scatter(v[:3]), changed(A, (np.arange(3), np.arange(3)), V[:3])),
    "diagonal_scatter off": (lambda z: z.diagonal_scatter(v[:3], 1), changed(A, (np.arange(3), np.arange(1, 4)), V[:3])),
    "combinations": (lambda z: ccdl.combinations(z[0]), np.array(list(itertools.combinations(A[0], 2)))),
    "cartesian_prod": (lambda z: ccdl.cartesian_prod(z[0], v[:2]), np.array(list(itertools.product(A[0], V[:2])))),
    "trapezoid": (lambda z: ccdl.trapezoid(z, dx=0.5), np.trapezoid(A, dx=0.5)),
    "trapezoid of places": (lambda z: ccdl.trapezoid(z, ccdl.tensor(X)), np.trapezoid(A, X)),
    "trapezoid down": (lambda z: ccdl.trapezoid(z, dim=0), np.trapezoid(A, axis=0)),
    "cumulative_trapezoid": (lambda z: ccdl.cumulative_trapezoid(z, ccdl.tensor(X)), running(A, X)),
    "cov": (ccdl.cov, np.cov(A)), "cov of one": (lambda z: ccdl.cov(z[0], correction=0), np.cov(A[0], ddof=0)), "corrcoef": (ccdl.corrcoef, np.corrcoef(A)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    call, wanted = CASES[name]
    found = call(a).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
    assert gradcheck(call, (a.clone().requires_grad_(),))


def test_refused() -> None:
    with pytest.raises(NotImplementedError, match="weights"):
        ccdl.cov(a, fweights=ccdl.ones(4, dtype=ccdl.int64))
    with pytest.raises(RuntimeError, match="two or fewer"):
        ccdl.cov(a.reshape(1, 3, 4))
