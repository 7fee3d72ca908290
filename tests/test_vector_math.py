"""float32 functions against float64: largest error in units in the last place, and the special values.

The default run samples bit patterns evenly (every exponent, both signs), at every instruction-set level. The sweep over
all 2^32 inputs is on demand: pytest -m ondemand tests/test_vector_math.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.special as sp

import ccdl

ROOT = Path(__file__).resolve().parents[1]
TINY = np.float32(1.1754944e-38)
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38,
                    -3.4028235e38, 88.72283, 88.72284, -87.33655, -103.97, -103.98, 65535.9, 65536.0, 1e22], dtype=np.float32)

# around the borders of tables and of ranges
EDGES = ((np.arange(1, 65, dtype=np.float32) / 4).view(np.int32)[:, None] + np.arange(-9, 10, dtype=np.int32)).view(np.float32).ravel()

# name: (float64 reference, bound in ULP, largest |x|)
FUNCTIONS = {
    "exp": (np.exp, 1.5, np.inf),
    "exp2": (np.exp2, 1.5, np.inf),
    "expm1": (np.expm1, 2, np.inf),
    "log": (np.log, 1.5, np.inf),
    "log2": (np.log2, 2, np.inf),
    "log10": (np.log10, 2, np.inf),
    "log1p": (np.log1p, 2, np.inf),
    "tanh": (np.tanh, 2, np.inf),
    "sigmoid": (sp.expit, 2, np.inf),
    "erf": (sp.erf, 2, np.inf),
    "erfc": (sp.erfc, 1, np.inf),
    "sin": (np.sin, 2, 1e6),
    "cos": (np.cos, 2, 1e6),
    "tan": (np.tan, 2, 1e6),
    "sinh": (np.sinh, 2, np.inf),
    "cosh": (np.cosh, 2, np.inf),
    "asinh": (np.arcsinh, 2, np.inf),
    "acosh": (np.arccosh, 2, np.inf),
    "atanh": (np.arctanh, 2, np.inf),
    "atan": (np.arctan, 2, np.inf),
    "asin": (np.arcsin, 2, np.inf),
    "acos": (np.arccos, 2, np.inf),
    "floor": (np.floor, 0, np.inf),
    "ceil": (np.ceil, 0, np.inf),
    "trunc": (np.trunc, 0, np.inf),
    "round": (np.rint, 0, np.inf),
    "sqrt": (np.sqrt, 0.5, np.inf),
}
# Bounds over every float, at every level, also of functions made of these. gelu is PyTorch's formula with erf, whose
# negative tail cancels: in ULP of max(|y|, |x| / 2). silu multiplies by e^-|x|; below 1e-36 it is held to |x| 1.2e-38.
EVERY = {**{name: bound for name, (_, bound, _) in FUNCTIONS.items()}, "gelu": 2, "silu": 2, "logsigmoid": 2, "softplus": 2}
LEVELS = ("generic", "v2", "v3", "v4")


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
    x = np.concatenate([SPECIAL, EDGES, -EDGES, bit_patterns(0, 1 << 32, 10_007), np.linspace(-4, 4, 100_003, dtype=np.float32)])
    worst, at = errors_in_ulp(name, x)
    bound = FUNCTIONS[name][1]
    assert worst <= bound, f"{name}: {worst:.3f} ULP at {at!r}, bound {bound}"


@pytest.fixture(scope="session")
def every_float(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native sweep of tests/cpp/every_float.cpp over the library in use."""
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler and CMake")
    ccdl.ones(1)
    library = Path(next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libccdl" in line))
    program = tmp_path_factory.mktemp("every") / "every_float"
    subprocess.run(["c++", "-O2", "-std=c++20", "-I", str(ROOT / "csrc"), str(ROOT / "tests/cpp/every_float.cpp"), str(library),
                    f"-Wl,-rpath,{library.parent}", "-pthread", "-o", str(program)], check=True)
    return program


def sweep(program: Path, level: str, step: int, names: list[str]) -> dict[str, list[float]]:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), CCDL_ISA=level)
    probe = subprocess.run([sys.executable, "-c", "import ccdl; print(ccdl._C._isa_level())"], capture_output=True, text=True,
                           env=environment, check=False)
    if probe.stdout.strip() != level:
        pytest.skip("this processor lacks the instruction set")
    result = subprocess.run([program, str(step), *names], capture_output=True, text=True, env=environment, check=True)
    return json.loads(result.stdout)


@pytest.mark.ondemand
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_float(every_float: Path, name: str, level: str) -> None:
    """All 2^32 inputs; about 45 seconds each: pytest -m ondemand tests/test_vector_math.py [-k "exp and v3"]"""
    worst, at, wrong = sweep(every_float, level, 1, [name])[name]
    print(f"{name} at {level}: {worst} ULP at {at!r}")
    assert wrong == 0 and worst <= EVERY[name], f"{name}: {worst:.3f} ULP at {at!r}, bound {EVERY[name]}; {wrong} special values"


@pytest.mark.parametrize("level", LEVELS)
def test_bounds_at_every_level(every_float: Path, level: str) -> None:
    for name, (worst, at, wrong) in sweep(every_float, level, 4_001, sorted(EVERY)).items():
        assert wrong == 0 and worst <= EVERY[name], f"{name}: {worst:.3f} ULP at {at!r}, bound {EVERY[name]}; {wrong} special values"


def test_pow_of_special_values() -> None:
    values = np.array([0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, np.inf, -np.inf, np.nan, 1e-45, 3e38, 1e10, 16777217, 2.5], dtype=np.float32)
    x, y = (v.ravel().copy() for v in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    got = ccdl.pow(ccdl.from_numpy(x), ccdl.from_numpy(y)).numpy()
    np.testing.assert_array_equal(got, want)
    finite = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(want[finite]))
