"""float32 functions against float64: largest error in units in the last place, and the special values.

The default run samples bit patterns evenly (every exponent, both signs). The exhaustive sweep over all 2^32 inputs is on
demand: pytest -m ondemand tests/test_vector_math.py
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.special as sp

import ccdl

TINY = np.float32(1.1754944e-38)
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38,
                    -3.4028235e38, 88.72283, 88.72284, -87.33655, -103.97, -103.98, 65535.9, 65536.0, 1e22], dtype=np.float32)

# name: (float64 reference, bound in ULP, largest |x|)
FUNCTIONS = {
    "exp": (np.exp, 1.5, np.inf),
    "exp2": (np.exp2, 1.5, np.inf),
    "expm1": (np.expm1, 2, np.inf),
    "log": (np.log, 1.5, np.inf),
    "log2": (np.log2, 2, np.inf),
    "log10": (np.log10, 2.5, np.inf),
    "log1p": (np.log1p, 2, np.inf),
    "tanh": (np.tanh, 2, np.inf),
    "sigmoid": (sp.expit, 2, np.inf),
    "erf": (sp.erf, 2.5, np.inf),
    "sin": (np.sin, 2, 1e6),
    "cos": (np.cos, 2, 1e6),
    "tan": (np.tan, 2, 1e6),
    "sinh": (np.sinh, 2.5, np.inf),
    "cosh": (np.cosh, 2, np.inf),
    "asinh": (np.arcsinh, 2.5, np.inf),
    "acosh": (np.arccosh, 2.5, np.inf),
    "atanh": (np.arctanh, 2.5, np.inf),
    "atan": (np.arctan, 2.5, np.inf),
    "asin": (np.arcsin, 2.5, np.inf),
    "acos": (np.arccos, 2, np.inf),
    "floor": (np.floor, 0, np.inf),
    "ceil": (np.ceil, 0, np.inf),
    "trunc": (np.trunc, 0, np.inf),
    "round": (np.rint, 0, np.inf),
    "sqrt": (np.sqrt, 0.5, np.inf),
}


def errors_in_ulp(name: str, x: np.ndarray) -> tuple[float, np.float32]:
    """The largest error over x; raises where NaN, infinities or the sign of zero differ."""
    reference, _, largest = FUNCTIONS[name]
    x = x[~(np.abs(x) > largest) | ~np.isfinite(x)]
    got = getattr(ccdl, name)(ccdl.from_numpy(x)).numpy()
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
        rounded = exact.astype(np.float32)
        nan = np.isnan(rounded)
        assert np.array_equal(nan, np.isnan(got)), f"{name}: NaN at {x[nan != np.isnan(got)][:5]}"
        at_limit = np.abs(exact) > 3.402823e38  # the last float before infinity may round either way
        infinite = np.isinf(rounded) & ~at_limit
        assert np.array_equal(got[infinite], rounded[infinite]), f"{name}: infinity missed"
        zero = (rounded == 0) & (got == 0)
        assert np.array_equal(np.signbit(got[zero]), np.signbit(rounded[zero])), f"{name}: sign of zero"
        keep = ~nan & ~np.isinf(rounded) & np.isfinite(got)
        spacing = np.spacing(np.maximum(np.abs(rounded[keep]), TINY)).astype(np.float64)
        error = np.abs(got[keep].astype(np.float64) - exact[keep]) / spacing
    worst = int(error.argmax()) if error.size else 0
    return (float(error[worst]) if error.size else 0.0), x[keep][worst] if error.size else np.float32(0)


def bit_patterns(start: int, stop: int, step: int) -> np.ndarray:
    return np.arange(start, stop, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_error_bound(name: str) -> None:
    x = np.concatenate([SPECIAL, bit_patterns(0, 1 << 32, 10_007), np.linspace(-4, 4, 100_003, dtype=np.float32)])
    worst, at = errors_in_ulp(name, x)
    bound = FUNCTIONS[name][1]
    assert worst <= bound, f"{name}: {worst:.3f} ULP at {at!r}, bound {bound}"


@pytest.mark.ondemand
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_float(name: str) -> None:
    bound = FUNCTIONS[name][1]
    for start in range(0, 1 << 32, 1 << 24):
        worst, at = errors_in_ulp(name, bit_patterns(start, start + (1 << 24), 1))
        assert worst <= bound, f"{name}: {worst:.3f} ULP at {at!r}, bound {bound}"


def test_pow_of_special_values() -> None:
    values = np.array([0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, np.inf, -np.inf, np.nan, 1e-45, 3e38, 1e10, 16777217, 2.5], dtype=np.float32)
    x, y = (v.ravel().copy() for v in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    got = ccdl.pow(ccdl.from_numpy(x), ccdl.from_numpy(y)).numpy()
    np.testing.assert_array_equal(got, want)
    finite = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(want[finite]))


@pytest.mark.parametrize("level", ["generic", "v2", "v3", "v4"])
def test_error_bound_at_every_level(level: str) -> None:
    if os.environ.get("CCDL_ISA") == level:
        pytest.skip("this level is the one under test")
    code = (
        "import importlib.util, numpy as np\n"
        f"spec = importlib.util.spec_from_file_location('vector_math', {os.path.abspath(__file__)!r})\n"
        "m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m)\n"
        "for name in sorted(m.FUNCTIONS):\n"
        "    worst, at = m.errors_in_ulp(name, np.concatenate([m.SPECIAL, m.bit_patterns(0, 1 << 32, 40_009)]))\n"
        "    assert worst <= m.FUNCTIONS[name][1], (name, worst, at)\n")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), CCDL_ISA=level)
    probe = subprocess.run([sys.executable, "-c", "import ccdl; print(ccdl._C._isa_level())"], capture_output=True, text=True,
                           env=environment, check=False)
    if probe.stdout.strip() != level:
        pytest.skip("this processor lacks the instruction set")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
