"""Special functions against SciPy, their derivatives by differences, and the samplers built on quantiles."""

from __future__ import annotations

import numpy as np
import scipy.special as sp
from opcase import FULL_FLOATS, ErrorCase, OpCase, Sample, unary_samples

R = RuntimeError


def pair_samples(left, right):
    def samples(rng):
        for a, b in [((), ()), ((3,), (3,)), ((2, 3), (3,)), ((0,), (1,)), ((2, 1), (1, 3)), ((40,), (40,))]:
            yield Sample(np.asarray(rng.uniform(*left, a)), np.asarray(rng.uniform(*right, b))).but(nonfinite=False)

    return samples


def case(name, ref, low, high, away_from=(), **kwargs):
    kwargs.setdefault("dtypes", FULL_FLOATS)
    return OpCase(f"special_{name}", f"special.{name}", ref, unary_samples(low, high, away_from, 0.2), out=True, **kwargs)


def polygammas(rng):
    for n in (0, 1, 2, 3, 5):
        for s in ((), (5,), (0,), (2, 3)):
            yield Sample(n, np.asarray(rng.uniform(0.7, 4.0, s))).but(nonfinite=False)


def entropy_samples(rng):
    for s in ((), (4,), (0, 2), (3, 2)):
        yield Sample(np.asarray(rng.uniform(0.05, 2.0, s)))
    yield Sample(np.array([0.0, -1.0, 0.5])).but(grad=False)


WIDE = {"float64": (1e-11, 1e-12), "float32": (1e-5, 1e-5)}
CASES = [
    case("i0e", sp.i0e, -6, 6, (0,)), case("i1", sp.i1, -6, 6, nonfinite=False, why="SciPy's i1(inf) is NaN"), case("i1e", sp.i1e, -6, 6, (0,)),
    OpCase("i0", "i0", sp.i0, unary_samples(-6.0, 6.0), dtypes=FULL_FLOATS, out=True, inplace="i0_", result="float", nonfinite=False,
           why="SciPy's i0(inf) is NaN"),
    case("erfcx", sp.erfcx, -3, 8), case("ndtr", sp.ndtr, -4, 4), case("log_ndtr", sp.log_ndtr, -12, 4, tol={"float64": (1e-11, 1e-12), "float32": (1e-5, 1e-5)}),
    case("ndtri", sp.ndtri, 0.02, 0.98),
    OpCase("special_entr", "special.entr", sp.entr, entropy_samples, dtypes=FULL_FLOATS, layouts=("transposed", "sliced")),
    OpCase("special_zeta", lambda T, q: T.special.zeta(T.full_like(q, 2.5), q), lambda q: sp.zeta(2.5, q), unary_samples(0.5, 30.0), dtypes=FULL_FLOATS, nonfinite=False,
           errors=[ErrorCase(lambda T: T.special.zeta(T.tensor([2.0], requires_grad=True), 1.0).backward(), NotImplementedError, ("zeta", "not implemented"))]),
    OpCase("special_xlog1py", "special.xlog1py", sp.xlog1py, pair_samples((-2, 2), (-0.5, 3)), dtypes=FULL_FLOATS, out=True),
    OpCase("polygamma_orders", "polygamma", sp.polygamma, polygammas, dtypes=FULL_FLOATS, tol=WIDE, torch=False, why="PyTorch's trigamma is right to 1e-9 only",
           errors=[ErrorCase(lambda T: T.polygamma(-1, T.ones(1)), R, ("polygamma", "negative", "-1"))]),
    OpCase("igamma_by_x", lambda T, x: T.igamma(T.full_like(x, 2.3), x), lambda x: sp.gammainc(2.3, x), unary_samples(0.1, 9.0), dtypes=FULL_FLOATS, tol=WIDE, nonfinite=False),
    OpCase("igammac_by_x", lambda T, x: T.igammac(T.full_like(x, 2.5), x), lambda x: sp.gammaincc(2.5, x), unary_samples(0.1, 9.0), dtypes=FULL_FLOATS, tol=WIDE, nonfinite=False),
    OpCase("igamma", "igamma", sp.gammainc, pair_samples((0.3, 6), (0.1, 9)), dtypes=FULL_FLOATS, tol=WIDE, out=True, gradgrad=False, torch=False,
           why="PyTorch has no derivative by the first argument; here it has no second one"),
    OpCase("mvlgamma", lambda T, x: T.mvlgamma(x, 3), lambda x: np.vectorize(lambda v: sp.multigammaln(v, 3), otypes=[float])(x), unary_samples(1.2, 6.0),
           dtypes=FULL_FLOATS, nonfinite=False, errors=[ErrorCase(lambda T: T.mvlgamma(T.ones(1), 0), R, ("mvlgamma", "p", "0"))]),
    OpCase("lgamma_third_derivative", lambda T, x: T.polygamma(1, x), lambda x: sp.polygamma(1, x), unary_samples(0.7, 6.0), dtypes=FULL_FLOATS, nonfinite=False,
           torch=False, why="PyTorch's trigamma is right to 1e-9 only"),
]
