"""Logarithms and inverse functions of complex numbers: over the whole plane, on the cuts and near 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import ccdl
from ccdl.autograd import gradcheck, gradgradcheck

EDGE = (-1e15, -30.0, -1.5, -1.0, -0.5, -1e-3, -1e-9, -0.0, 0.0, 1e-9, 1e-3, 0.7, 1.0, 2.0, 1e15)
PLANE = np.array([complex(x, y) for x in EDGE for y in EDGE])
NAMES = {"acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "acosh": np.arccosh, "asinh": np.arcsinh, "atanh": np.arctanh, "log": np.log, "log1p": scipy.special.log1p, "log2": np.log2, "log10": np.log10}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind, tolerance", (("complex64", 2e-6), ("complex128", 4e-15)))
def test_the_whole_plane(name: str, kind: str, tolerance: float) -> None:
    z = PLANE.astype(kind)
    with np.errstate(all="ignore"):
        wanted = NAMES[name](z.astype("complex128" if name == "log1p" else "clongdouble"))
    found = np.asarray(getattr(ccdl, name)(ccdl.tensor(z)))
    regular = np.isfinite(wanted)
    off = np.abs(found[regular] - wanted[regular]) / np.maximum(np.abs(wanted[regular]), 1e-30)
    worst = int(np.argmax(off))
    assert off[worst] < tolerance, (z[regular][worst], found[regular][worst], wanted[regular][worst])


def test_sides_of_the_cuts() -> None:
    above, below = ccdl.tensor([complex(-2.0, 0.0)]), ccdl.tensor([complex(-2.0, -0.0)])
    for name in ("log", "acos", "asin", "acosh", "atanh", "log1p"):
        one, other = getattr(ccdl, name)(above), getattr(ccdl, name)(below)
        assert one.imag.item() == -other.imag.item() != 0 and one.real.item() == other.real.item(), name


def added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.log(np.exp(a) + np.exp(b))


def test_sums_of_exponentials() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4)) for _ in range(2))
    x, y = ccdl.tensor(a), ccdl.tensor(b)
    np.testing.assert_allclose(ccdl.logaddexp(x, y).numpy(), added(a, b), rtol=1e-12)
    np.testing.assert_allclose(ccdl.logsumexp(x, 1).numpy(), np.log(np.exp(a).sum(1)), rtol=1e-12)
    np.testing.assert_allclose(ccdl.logsumexp(x, (0, 1), keepdim=True).numpy(), np.log(np.exp(a).sum(keepdims=True)), rtol=1e-12)
    running = ccdl.logcumsumexp(x, 1).numpy()
    np.testing.assert_allclose(np.exp(running), np.exp(a).cumsum(1), rtol=1e-12)
    far = ccdl.logaddexp(x + 1000, y + 1000) - 1000
    np.testing.assert_allclose(far.numpy(), added(a, b), rtol=1e-11)


def test_spread_of_one_number_and_of_many() -> None:
    assert ccdl.tensor(1 + 2j).var(correction=0).item() == 0 and ccdl.tensor(1 + 2j).std().isnan().item()
    a = np.random.default_rng(1).standard_normal((3, 4)) * (1 + 2j) + np.arange(4) * 1j
    for call, wanted in ((ccdl.var_mean, np.var), (ccdl.std_mean, np.std)):
        spread, middle = call(ccdl.tensor(a), 1)
        np.testing.assert_allclose(spread.numpy(), wanted(a, axis=1, ddof=1), rtol=1e-12)
        np.testing.assert_allclose(middle.numpy(), a.mean(1), rtol=1e-12)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(ccdl, name) for name in NAMES},
    "logaddexp": lambda z: ccdl.logaddexp(z, z * 2), "logsumexp": lambda z: ccdl.logsumexp(z, 0), "logcumsumexp": lambda z: ccdl.logcumsumexp(z, 0),
    "var_mean": lambda z: ccdl.var_mean(z, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients(name: str) -> None:
    z = ccdl.tensor([0.3 + 0.4j, -2 + 0.5j, 0.9 - 0.2j, 0.01 + 3j], dtype=ccdl.complex128, requires_grad=True)
    assert gradcheck(FUNCTIONS[name], (z,)) and gradgradcheck(FUNCTIONS[name], (z,))
