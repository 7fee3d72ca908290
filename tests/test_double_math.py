"""float64 functions against NumPy, SciPy and the C library: largest error in units in the last place, special values, every level."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.special as sp

import ccdl

LEVELS = ("generic", "v2", "v3", "v4")


def each(function):
    return np.vectorize(function, otypes=[float])


# name: (reference, bound in ULP, intervals). The reference's own error, at most 2 ULP on these intervals, counts in; against
# 40 digits erf is within 1, erfc 5, erfinv 3.4 and lgamma 2.2 ULP.
FUNCTIONS = {
    "exp2": (np.exp2, 2, [(-1070, 1023), (-1, 1)]),
    "expm1": (np.expm1, 2.5, [(-50, 709), (-1, 1), (-1e-8, 1e-8)]),
    "log1p": (np.log1p, 2.5, [(-0.999999, 3), (-1e-6, 1e-6), (1e3, 1e18)]),
    "sin": (np.sin, 2, [(-10, 10), (-9e4, 9e4), (1e5, 1e9)]),
    "cos": (np.cos, 2, [(-10, 10), (-9e4, 9e4), (1e5, 1e9)]),
    "erf": (each(math.erf), 2, [(-6, 6), (-1e-5, 1e-5)]),
    "erfc": (each(math.erfc), 6, [(-6, 26), (-1, 1)]),
    "erfinv": (sp.erfinv, 6, [(-1, 1), (-1e-6, 1e-6), (0.999, 1)]),
    "lgamma": (sp.gammaln, 6, [(1e-3, 3), (2.6, 12), (12, 1e5)]),
}
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 5e-324, -5e-324, 1e308, -1e308, 2.0, 1e-300, 1e-16])


def worst(name: str) -> float:
    reference, _, intervals = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        special = SPECIAL[(SPECIAL > 1e-307) | ~(np.abs(SPECIAL) > 0)] if name == "lgamma" else SPECIAL  # SciPy differs there
        special = special[special != -np.inf]
        got, want = getattr(ccdl, name)(ccdl.from_numpy(special)).numpy(), reference(special)
        assert np.array_equal(np.isnan(got), np.isnan(want)), name
        assert np.allclose(got, want, rtol=1e-15, atol=0, equal_nan=True), (name, got, want)
        error = 0.0
        for low, high in intervals:
            x = rng.uniform(low, high, 20_011)
            got, want = getattr(ccdl, name)(ccdl.from_numpy(x)).numpy(), reference(x)
            scale = np.spacing(np.maximum(np.abs(want), 2.3e-308))
            if name == "lgamma":  # SciPy keeps absolute digits only near 1 and 2; see test_lgamma_near_its_zeros
                scale = np.maximum(scale, 2.3e-16)
            error = max(error, float(np.max(np.abs(got - want) / scale)))
    return error


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_error_bound(name: str) -> None:
    error = worst(name)
    assert error <= FUNCTIONS[name][1], f"{name}: {error:.2f} ULP"


@pytest.mark.parametrize("level", LEVELS)
def test_every_level(level: str) -> None:
    code = ("import ccdl, test_double_math as t\n"
            "print(ccdl._C._isa_level(), *[n for n in t.FUNCTIONS if t.worst(n) > t.FUNCTIONS[n][1]])")
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env=dict(os.environ, CCDL_ISA=level, PYTHONPATH=path))
    words = run.stdout.split()
    if words[0] != level:
        pytest.skip("this processor lacks the instruction set")
    assert words[1:] == []


def test_lgamma_near_its_zeros() -> None:
    """lgamma(1 + t) = -gamma t + zeta(2) t^2 / 2 - zeta(3) t^3 / 3 + ..., and log(1 + t) more at 2 + t."""
    t = np.concatenate([np.linspace(-1e-4, 1e-4, 2_001)[::2] + 3e-12, [2.0**-40, -(2.0**-40)]])
    for zero in (1.0, 2.0):
        x = zero + t
        exact = x - zero
        series = exact * (-np.euler_gamma + exact * (sp.zeta(2) / 2 - exact * (sp.zeta(3) / 3 - exact * sp.zeta(4) / 4)))
        series = series + np.log1p(exact) if zero == 2 else series
        assert np.allclose(ccdl.lgamma(ccdl.from_numpy(x)).numpy(), series, rtol=3e-15, atol=0)


def test_digamma_and_trigamma() -> None:
    x = np.concatenate([np.random.default_rng(0).uniform(0, 30, 20_011), [1e-310, 1e-200, 1e-101, 0.5, 1e300, np.inf]])
    for n in (0, 1):
        with np.errstate(all="ignore"):
            got, want = ccdl.polygamma(n, ccdl.from_numpy(x)).numpy(), sp.digamma(x) if n == 0 else sp.zeta(2, x)
        assert np.allclose(got, want, rtol=4e-15, atol=2e-15), n
