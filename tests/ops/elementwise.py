"""Elementwise arithmetic, comparison, logic and functions against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import scipy.special as sp
from opcase import ALL, FLOATS, INTS, ErrorCase, OpCase, Sample, binary_samples, unary_samples

NUMBERS = FLOATS + INTS


def big(rng):
    return Sample(rng.uniform(0.1, 2.0, 200_000))


def big_pair(rng):
    return Sample(rng.standard_normal((300, 700)), rng.standard_normal(700))


def fn(name, ref, low=-3.0, high=3.0, away=(), dtypes=FLOATS, inplace=True, **kwargs):
    """A function of one tensor: T.name, in-place twin, out=."""
    options = dict(inplace=f"{name}_" if inplace else None, out=True, strides=True, simd=True)
    options.update(kwargs)
    return OpCase(name, name, ref, unary_samples(low, high, away), dtypes=dtypes, **options)


def op2(name, ref, dtypes=FLOATS, samples=None, inplace=True, **kwargs):
    """A function of two tensors."""
    options = dict(inplace=f"{name}_" if inplace else None, out=True, simd=True)
    options.update(kwargs)
    return OpCase(name, name, ref, samples or binary_samples(), dtypes=dtypes, **options)


STEP = dict(gradgrad=False, why="the gradient is zero everywhere")
INTEGER = dict(inplace=False, out=False, grad=False)


def positive_right(rng):
    for sample in binary_samples(positive_right=True)(rng):
        x, y = sample.args
        yield Sample(x, np.asarray(y)).but(grad=sample.grad)


def far_from_ties(rng):
    """Pairs that differ by at least 0.1."""
    for a, b in [((2, 3), (2, 3)), ((2, 1), (1, 3)), ((), ()), ((0,), (1,)), ((17,), (17,)), ((1025,), (1025,))]:
        x, y = rng.uniform(-3, 3, a), rng.uniform(-3, 3, b)
        shape = np.broadcast_shapes(a, b)
        if a == shape:
            x = np.where(np.abs(x - y) < 0.1, x + 0.5, x)
        else:
            y = y + 10.0
        yield Sample(np.asarray(x), np.asarray(y)).but(grad=x.size <= 64)


def shifts(rng):
    for a, b in [((2, 3), (2, 3)), ((5,), ()), ((), (4,)), ((0,), (1,)), ((33,), (33,))]:
        yield Sample(np.asarray(rng.integers(0, 30, a).astype(float)), np.asarray(rng.integers(0, 7, b).astype(float)))


def nonzero_right(rng):
    for sample in binary_samples(-9, 9)(rng):
        x, y = sample.args
        y = np.where(np.abs(y) < 0.6, 1.25, y)
        ratio = x / y
        x = np.where(np.abs(ratio - np.rint(ratio)) < 0.05, x + 0.2 * y, x) if x.shape == np.broadcast_shapes(x.shape, y.shape) else x
        near = np.abs(x / y - np.rint(x / y)) < 0.02
        yield Sample(np.asarray(x), np.asarray(y)).but(grad=x.size <= 64 and not near.any(), nonfinite=False)


def trunc_div(a, b):
    if a.dtype.kind == "f":
        return np.trunc(a / b)
    return (np.sign(a.astype(np.int64)) * np.sign(b.astype(np.int64)) * (np.abs(a.astype(np.int64)) // np.abs(b.astype(np.int64))))


def hundredths(rng):
    for shape in [(2, 3), (), (0,), (33,)]:
        yield Sample(np.asarray((rng.integers(-300, 300, shape) + 0.2) / 100))


def powers(rng):
    for a, b in [((2, 3), (2, 3)), ((2, 1), (1, 3)), ((), ()), ((0,), (1,)), ((33,), (33,)), ((1025,), ())]:
        yield Sample(np.asarray(rng.uniform(0.2, 3, a)), np.asarray(rng.uniform(-2, 3, b))).but(
            grad=np.prod(a, dtype=int) <= 64, nonfinite=False)


def with_number(*numbers, low=-3.0, high=3.0, **marks):
    def samples(rng):
        for number in numbers:
            for shape in [(2, 3), (), (0,), (33,)]:
                yield Sample(np.asarray(rng.uniform(low, high, shape)), number).but(**marks)

    return samples


def three(low=-3.0, high=3.0, away=0.0):
    def samples(rng):
        for shapes in [((2, 3), (2, 3), (2, 3)), ((2, 3), (3,), ()), ((2, 1), (1, 3), (2, 3)), ((0,), (1,), ()), ((33,), (33,), (33,))]:
            arrays = [np.asarray(rng.uniform(low, high, s)) for s in shapes]
            arrays = [np.where(np.abs(a) < away, away, a) for a in arrays]
            yield Sample(*arrays)

    return samples


def where_samples(rng):
    for c, a, b in [((2, 3), (2, 3), (2, 3)), ((2, 1), (3,), ()), ((4,), (4,), (1,)), ((0,), (1,), (0,)), ((33,), (33,), (33,))]:
        yield Sample(np.asarray(rng.random(c) > 0.5), np.asarray(rng.standard_normal(a)), np.asarray(rng.standard_normal(b)))


def clamp_samples(rng):
    for low, high in [(-1.0, 1.5), (None, 0.7), (-0.2, None)]:
        for shape in [(2, 3), (), (0,), (33,)]:
            x = np.asarray(rng.uniform(-3, 3, shape))
            for edge in (low, high):
                if edge is not None:
                    x = np.where(np.abs(x - edge) < 0.05, edge + 0.1, x)
            yield Sample(x, low, high)


def clamp(x, low=None, high=None):
    y = x if low is None else np.maximum(x, low)
    return y if high is None else np.minimum(y, high)


FUNCTIONS = [
    fn("neg", np.negative, dtypes=NUMBERS, big=big,
       errors=[ErrorCase(lambda T: T.neg(T.ones(2, dtype=T.bool)), RuntimeError, ("neg", "bool"))]),
    fn("abs", np.abs, away=(0,), dtypes=NUMBERS),
    fn("sign", np.sign, away=(0,), dtypes=NUMBERS, **STEP),
    fn("square", np.square, dtypes=NUMBERS),
    fn("sqrt", np.sqrt, 0.1, 9),
    fn("rsqrt", lambda x: 1 / np.sqrt(x), 0.1, 9),
    fn("reciprocal", lambda x: 1 / x, 0.2, 5),
    fn("exp", np.exp, -3, 3, big=big),
    fn("exp2", np.exp2, -3, 3),
    fn("expm1", np.expm1),
    fn("log", np.log, 0.1, 9),
    fn("log2", np.log2, 0.1, 9),
    fn("log10", np.log10, 0.1, 9),
    fn("log1p", np.log1p, -0.9, 5),
    fn("sin", np.sin, -9, 9),
    fn("cos", np.cos, -9, 9),
    fn("tan", np.tan, -1.2, 1.2),
    fn("asin", np.arcsin, -0.95, 0.95),
    fn("acos", np.arccos, -0.95, 0.95),
    fn("atan", np.arctan, -9, 9),
    fn("sinh", np.sinh),
    fn("cosh", np.cosh),
    fn("tanh", np.tanh, big=big),
    fn("asinh", np.arcsinh, -9, 9),
    fn("acosh", np.arccosh, 1.1, 9),
    fn("atanh", np.arctanh, -0.95, 0.95),
    fn("sigmoid", sp.expit, -9, 9, big=big),
    fn("erf", sp.erf),
    fn("erfc", sp.erfc),
    fn("erfinv", sp.erfinv, -0.95, 0.95),
    fn("lgamma", lambda x: np.where(x == -np.inf, np.inf, sp.gammaln(x)), 0.2, 9),
    fn("digamma", sp.psi, 0.2, 9, gradgrad=False, why="trigamma has no derivative here"),
    fn("floor", np.floor, away=range(-3, 4), dtypes=NUMBERS, **STEP),
    fn("ceil", np.ceil, away=range(-3, 4), dtypes=NUMBERS, **STEP),
    fn("round", np.rint, away=np.arange(-3.5, 4), dtypes=NUMBERS, **STEP),
    fn("trunc", np.trunc, away=range(-3, 4), dtypes=NUMBERS, **STEP),
    fn("frac", lambda x: x - np.trunc(x), away=range(-3, 4), nonfinite=False, why="inf - inf"),
    fn("sinc", np.sinc, away=(0,), nonfinite=False, why="sin(inf)"),
    fn("deg2rad", np.deg2rad, -180, 180),
    fn("rad2deg", np.rad2deg),
    fn("bitwise_not", np.invert, dtypes=INTS + ("bool",), strides=False, **INTEGER),
    fn("logical_not", np.logical_not, dtypes=ALL, result="bool", grad=False, inplace=False),
    fn("isnan", np.isnan, dtypes=FLOATS, result="bool", grad=False, inplace=False, out=False),
    fn("isinf", np.isinf, dtypes=FLOATS, result="bool", grad=False, inplace=False, out=False),
    fn("isfinite", np.isfinite, dtypes=FLOATS, result="bool", grad=False, inplace=False, out=False),
    fn("isposinf", np.isposinf, dtypes=FLOATS, result="bool", grad=False, inplace=False),
    fn("isneginf", np.isneginf, dtypes=FLOATS, result="bool", grad=False, inplace=False),
    fn("signbit", np.signbit, dtypes=FLOATS, result="bool", grad=False, inplace=False, nonfinite=False, why="the sign of a NaN"),
    OpCase("exp_of_integers", "exp", lambda x: np.exp(x.astype(np.float64)), unary_samples(-3, 3), dtypes=INTS + ("bool",), result="float", grad=False),
    OpCase("round_decimals", lambda T, x: T.round(x, decimals=2), lambda x: np.rint(x * 100) / 100, hundredths,
           dtypes=("float64", "float32"), gradgrad=False, why="a step function"),
    OpCase("logit", lambda T, x: T.logit(x, eps=0.1), lambda x: sp.logit(np.clip(x, 0.1, 0.9)),
           unary_samples(0.01, 0.99, (0.1, 0.9), gap=0.02), simd=True),
    OpCase("nan_to_num", lambda T, x: T.nan_to_num(x, 1.0, 2.0, -3.0), lambda x: np.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-3.0),
           unary_samples(), strides=True),
]

ARITHMETIC = [
    op2("add", np.add, ALL, big=big_pair, errors=[
        ErrorCase(lambda T: T.add(T.ones(2), T.ones(3)), RuntimeError, ("add", "[2]", "[3]")),
        ErrorCase(lambda T: T.ones(2, dtype=T.int64).add_(T.ones(2)), RuntimeError, ("add_", "float32", "int64"))]),
    op2("sub", np.subtract, NUMBERS, errors=[
        ErrorCase(lambda T: T.sub(T.ones(2, dtype=T.bool), T.ones(2, dtype=T.bool)), RuntimeError, ("sub", "bool"))]),
    op2("mul", np.multiply, ALL),
    op2("div", np.true_divide, FLOATS, positive_right),
    OpCase("div_of_integers", "div", np.true_divide, nonzero_right, dtypes=INTS, result="float", grad=False),
    op2("floor_divide", np.floor_divide, NUMBERS, nonzero_right, **STEP,
        torch=lambda T, a, b: T.div(a, b, rounding_mode="floor"), errors=[
        ErrorCase(lambda T: T.floor_divide(T.ones(2, dtype=T.int64), 0), RuntimeError, ("floor_divide", "ZeroDivisionError"))]),
    OpCase("div_trunc", lambda T, a, b: T.div(a, b, rounding_mode="trunc"), trunc_div, nonzero_right, dtypes=NUMBERS, **STEP,
           errors=[ErrorCase(lambda T: T.div(T.ones(2), 2, rounding_mode="up"), RuntimeError, ("div", "rounding_mode", "up"))]),
    op2("remainder", np.remainder, NUMBERS, nonzero_right, gradgrad=False, why="the slope in b is a step function"),
    op2("fmod", np.fmod, NUMBERS, nonzero_right, gradgrad=False, why="the slope in b is a step function"),
    op2("pow", np.power, FLOATS, powers, tol={"float32": (2e-6, 1e-5)}),
    OpCase("pow_number", "pow", np.power, with_number(2, 3, 0.5, -1, 2.5, low=0.3), inplace="pow_", simd=True),
    OpCase("pow_of_number", lambda T, x: T.pow(2.0, x), lambda x: np.power(2.0, x), unary_samples(-2, 2)),
    OpCase("pow_integers", "pow", np.power, with_number(2, 3, low=0, high=4), dtypes=INTS, grad=False,
           errors=[ErrorCase(lambda T: T.pow(T.ones(2, dtype=T.int64), -1), RuntimeError, ("pow", "negative", "-1"))]),
    op2("maximum", np.maximum, ALL, far_from_ties, inplace=False),
    op2("minimum", np.minimum, ALL, far_from_ties, inplace=False),
    op2("fmax", np.fmax, NUMBERS, far_from_ties, inplace=False),
    op2("fmin", np.fmin, NUMBERS, far_from_ties, inplace=False),
    op2("atan2", np.arctan2, FLOATS, positive_right, tol={"float32": (1.3e-6, 1e-5)}),
    op2("hypot", np.hypot, FLOATS, positive_right),
    op2("copysign", np.copysign, FLOATS, far_from_ties, nonfinite=False, why="the sign of a NaN"),
    op2("logaddexp", np.logaddexp, FLOATS, inplace=False),
    op2("logaddexp2", np.logaddexp2, FLOATS, inplace=False, nonfinite=False, why="inf - inf in the reference"),
    op2("xlogy", sp.xlogy, FLOATS, positive_right),
    op2("gcd", np.gcd, INTS, **INTEGER),
    op2("lcm", np.lcm, ("int16", "int32", "int64"), **INTEGER),
    op2("bitwise_and", np.bitwise_and, INTS + ("bool",), **INTEGER),
    op2("bitwise_or", np.bitwise_or, INTS + ("bool",), **INTEGER),
    op2("bitwise_xor", np.bitwise_xor, INTS + ("bool",), **INTEGER, errors=[
        ErrorCase(lambda T: T.bitwise_xor(T.ones(2), T.ones(2)), RuntimeError, ("bitwise_xor", "float32"))]),
    op2("bitwise_left_shift", np.left_shift, ("int32", "int64"), shifts, **INTEGER),
    op2("bitwise_right_shift", np.right_shift, INTS, shifts, **INTEGER),
    op2("heaviside", np.heaviside, FLOATS, far_from_ties, grad=False, nonfinite=False, why="NaN gives 0 as in PyTorch"),
    op2("nextafter", np.nextafter, ("float64",)),
    OpCase("ldexp", "ldexp", lambda a, b: a * 2.0**b, with_number(3, -2), out=True, torch=False, why="a number as exponent is an extension"),
    OpCase("add_alpha", lambda T, a, b: T.add(a, b, alpha=2.5), lambda a, b: a + 2.5 * b, binary_samples(),
           errors=[ErrorCase(lambda T: T.add(T.ones(2, dtype=T.int64), 1, alpha=0.5), RuntimeError, ("add", "alpha", "0.5"))]),
    OpCase("add_number", "add", lambda a, b: a + b, with_number(2, 0.5), inplace="add_"),
    OpCase("rsub_number", lambda T, x: 2.0 - x, lambda x: 2.0 - x, unary_samples()),
    OpCase("rdiv_number", lambda T, x: 2.0 / x, lambda x: 2.0 / x, unary_samples(0.3, 3)),
    OpCase("operators", lambda T, a, b: (a + b) * (a - b) / (abs(b) + 1.0) - -a, lambda a, b: (a + b) * (a - b) / (abs(b) + 1.0) + a,
           far_from_ties, tol={"float16": (4e-3, 4e-3), "bfloat16": (6e-2, 6e-2)}, why="several roundings to the half format"),
]

COMPARISONS = [
    op2(name, ref, ALL, result="bool", grad=False, inplace=False, nonfinite=True)
    for name, ref in [("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal), ("gt", np.greater),
                      ("ge", np.greater_equal), ("logical_and", np.logical_and), ("logical_or", np.logical_or),
                      ("logical_xor", np.logical_xor)]
] + [
    OpCase("eq_number", "eq", lambda a, b: a == b, with_number(1, 0.0), dtypes=ALL, result="bool", grad=False),
    OpCase("lt_inplace", lambda T, a, b: (a + 0 * b).lt_(b), lambda a, b: (a + 0 * b < b).astype(a.dtype), binary_samples(),
           dtypes=INTS, grad=False),
]

SELECTION = [
    OpCase("where", "where", np.where, where_samples, dtypes=ALL, out=True, strides=True, simd=True,
           errors=[ErrorCase(lambda T: T.where(T.ones(2), T.ones(2), T.ones(2)), RuntimeError, ("where", "bool", "float32"))]),
    OpCase("where_number", lambda T, x: T.where(x > 0, x, 0.5), lambda x: np.where(x > 0, x, 0.5), unary_samples(away_from=(0,))),
    OpCase("clamp", "clamp", clamp, clamp_samples, dtypes=FLOATS, out=True, inplace="clamp_",
           errors=[ErrorCase(lambda T: T.clamp(T.ones(2)), RuntimeError, ("clamp", "min", "max"))]),
    OpCase("clamp_integers", lambda T, x: T.clamp(x, -1, 2), lambda x: np.clip(x, -1, 2), unary_samples(),
           dtypes=("int8", "int16", "int32", "int64"), grad=False),
    OpCase("clamp_min", lambda T, x: x.clamp_min(0.3), lambda x: np.maximum(x, 0.3), unary_samples(away_from=(0.3,))),
    OpCase("clamp_max", lambda T, x: x.clamp_max(0.3), lambda x: np.minimum(x, 0.3), unary_samples(away_from=(0.3,))),
    OpCase("clamp_tensors", lambda T, x, low: T.clamp(x, min=low), np.maximum, far_from_ties),
    OpCase("lerp", "lerp", lambda a, b, w: a + w * (b - a), three(0.05, 0.95), out=True, nonfinite=False,
           why="which of the two equal forms is used decides between inf and NaN",
           errors=[ErrorCase(lambda T: T.lerp(T.ones(2), T.ones(2, dtype=T.float64), 0.5), RuntimeError, ("lerp", "float64"))]),
    OpCase("lerp_number", lambda T, a, b: T.lerp(a, b, 0.3), lambda a, b: a + 0.3 * (b - a), binary_samples()),
    OpCase("addcmul", lambda T, x, a, b: T.addcmul(x, a, b, value=0.5), lambda x, a, b: x + 0.5 * a * b, three()),
    OpCase("addcdiv", lambda T, x, a, b: T.addcdiv(x, a, b, value=0.5), lambda x, a, b: x + 0.5 * a / b, three(away=0.5),
           errors=[ErrorCase(lambda T: T.addcdiv(*[T.ones(2, dtype=T.int64)] * 3), RuntimeError, ("addcdiv", "float"))]),
]

CASES = FUNCTIONS + ARITHMETIC + COMPARISONS + SELECTION
