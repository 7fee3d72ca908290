"""Remainders by infinite divisors, numbers that do not fit the type both operands are brought to, and gradients beside integers."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import ccdl

LEVELS = ("generic", "v2", "v3", "v4")
FLOATS = ("float64", "float32", "float16", "bfloat16")


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("n", (1, 3, 40, 149))
def test_remainder_by_infinity(name: str, n: int) -> None:
    rng = np.random.default_rng(n)
    x = (rng.integers(-40, 41, n) / 8).astype(np.float32)
    y = rng.choice(np.array([np.inf, -np.inf, 1.5, np.nan], np.float32), n)
    y[0] = np.inf
    x[n // 2] = rng.choice(np.array([np.inf, np.nan, -0.0], np.float32))
    cx, cy = (ccdl.from_numpy(v).to(getattr(ccdl, name)) for v in (x, y))
    with np.errstate(invalid="ignore"):
        for got, want in ((ccdl.fmod(cx, cy), np.fmod(x, y)), (ccdl.remainder(cx, cy), np.remainder(x, y)),
                          (ccdl.fmod(cx, float("inf")), np.fmod(x, np.float32(np.inf))),
                          (cx % -float("inf"), np.remainder(x, np.float32(-np.inf)))):
            np.testing.assert_array_equal(got.float().cpu().numpy(), want)


@pytest.mark.parametrize("level", LEVELS)
def test_remainder_by_infinity_at_every_level(level: str) -> None:
    code = ("import ccdl; x = ccdl.full((37,), 1.5); y = ccdl.full((37,), float('inf'));"
            "assert ccdl.fmod(x, y).tolist() == [1.5] * 37; assert (-x % y).tolist() == [float('inf')] * 37")
    subprocess.run([sys.executable, "-c", code], env=dict(os.environ, CCDL_ISA=level), check=True)


@pytest.mark.parametrize("form", ("number", "tensor"))
@pytest.mark.parametrize(("name", "number"), [("uint8", -5), ("uint8", 300), ("int8", 200), ("int16", -70_001)])
def test_numbers_beyond_the_common_type_wrap_first(form: str, name: str, number: int) -> None:
    x = np.array([0, 1, 34, 100, 120, 127], name)
    y = np.array(number, np.int64).astype(name)
    other = number if form == "number" else ccdl.tensor(number)
    t = ccdl.from_numpy(x)
    for got, want in ((ccdl.floor_divide(t, other), x // y), (ccdl.remainder(t, other), x % y), (ccdl.fmod(t, other), np.fmod(x, y))):
        assert got.dtype == t.dtype
        np.testing.assert_array_equal(got.numpy(), want)
    if form == "tensor":
        np.testing.assert_array_equal(ccdl.maximum(t, other).numpy(), np.maximum(x, y))
        np.testing.assert_array_equal(ccdl.minimum(t, other).numpy(), np.minimum(x, y))


def test_an_empty_vector_in_cat_has_an_empty_gradient() -> None:
    a, b = ccdl.empty(0, requires_grad=True), ccdl.ones(2, 3, requires_grad=True)
    got = ccdl.autograd.grad(ccdl.cat([a, b], 1).sum(), [a, b])
    assert got[0].shape == (0,)
    assert got[1].tolist() == [[1.0] * 3] * 2


def test_gradients_of_doubles_beside_integers_keep_their_digits() -> None:
    n = np.array([2, 3, 7, 120])
    x = ccdl.full((4,), 1.5, dtype=ccdl.float64, requires_grad=True)
    (dx,) = ccdl.autograd.grad(ccdl.xlogy(x, ccdl.from_numpy(n)).sum(), x)
    np.testing.assert_allclose(dx.numpy(), np.log(n), rtol=1e-14)
    (dx,) = ccdl.autograd.grad(ccdl.pow(ccdl.from_numpy(n), x).sum(), x)
    np.testing.assert_allclose(dx.numpy(), n**1.5 * np.log(n), rtol=1e-14)
