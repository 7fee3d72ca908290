"""Elementwise ops, reductions and softmax over large tensors, bound by memory; then every function of one or two
arguments over 2^20 numbers that stay in cache, in float32 and float64."""

import numpy as np

from measuring import Row, array, tensor
from softmax import pair


def one(name: str, n: int, call, numpy=None, streams: int = 2, tol: float = 1e-5) -> Row:
    def make(T):
        a, b = tensor(T, n, seed=1), tensor(T, n, seed=2)
        return lambda: call(T, a, b)

    def reference():
        a, b = array(n, seed=1), array(n, seed=2)
        return lambda: numpy(a, b)

    return Row(f"{name} {n}", make, reference if numpy else None, bytes=4.0 * n * streams, tol=tol)


def matrix(name: str, rows: int, columns: int, call, numpy=None, streams: int = 2) -> Row:
    def make(T):
        x = tensor(T, rows, columns, seed=1)
        return lambda: call(T, x)

    def reference():
        x = array(rows, columns, seed=1)
        return lambda: numpy(x)

    return Row(
        f"{name} {rows}x{columns}", make, reference if numpy else None, bytes=4.0 * rows * columns * streams
    )


def chain(T, a, b):
    return ((a * b + b).relu() * 0.5) - a


# Function of T or of T.special: where its arguments are drawn from, uniformly.
UNARY = {
    **dict.fromkeys("abs neg sign square relu floor ceil trunc round frac exp2 expm1 sigmoid tanh sinh cosh sin cos tan erf erfc".split(), (-4, 4)),
    **dict.fromkeys("atan asinh sinc signbit isnan isinf isfinite logical_not nan_to_num deg2rad reciprocal exp".split(), (-4, 4)),
    **dict.fromkeys("log log2 log10 log1p sqrt rsqrt lgamma digamma".split(), (0.1, 20)),
    **dict.fromkeys("asin acos atanh erfinv".split(), (-0.99, 0.99)),
    **dict.fromkeys("special.i0 special.i0e special.i1 special.i1e special.erfcx special.ndtr special.log_ndtr".split(), (-8, 8)),
    **dict.fromkeys("special.expit special.exp2 special.expm1".split(), (-8, 8)),
    "special.entr": (0.1, 8),
    "acosh": (1, 20),
    "logit": (0.01, 0.99),
    "special.ndtri": (0.001, 0.999),
    **dict.fromkeys("celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu6 selu".split(), (-4, 4)),
    **dict.fromkeys("silu softplus softshrink softsign tanhshrink".split(), (-4, 4)),
}
BINARY = {
    **dict.fromkeys("add sub mul div maximum minimum fmax fmin atan2 hypot copysign logaddexp logaddexp2 nextafter".split(), (-4, 4)),
    **dict.fromkeys("eq lt floor_divide fmod remainder heaviside".split(), (-4, 4)),
    **dict.fromkeys("pow xlogy special.xlog1py special.gammainc special.gammaincc".split(), (0.1, 8)),
    "special.zeta": (1.1, 8),
}


def lookup(T, name):
    for scope in (T, T.special, T.nn.functional):
        if hasattr(scope, name.rpartition(".")[2]):
            return getattr(scope, name.rpartition(".")[2])
    raise AttributeError(name)


def function(name: str, low: float, high: float, dtype: str, arguments: int) -> Row:
    def make(T):
        draw = np.random.default_rng(1)
        x = [T.from_numpy(draw.uniform(low, high, 1 << 20).astype(dtype)) for _ in range(arguments)]
        call = lookup(T, name)
        return lambda: call(*x)

    return Row(f"{name} {dtype}", make, bytes=(4.0 if dtype == "float32" else 8.0) * (arguments + 1) * (1 << 20))


FUNCTIONS = [
    function(name, low, high, dtype, arguments)
    for arguments, table in ((1, UNARY), (2, BINARY))
    for name, (low, high) in table.items()
    for dtype in ("float32", "float64")
]

ROWS = [
    one("a+b", 1 << 18, lambda T, a, b: a + b, lambda a, b: a + b, 3),
    one("a+b", 1 << 24, lambda T, a, b: a + b, lambda a, b: a + b, 3),
    one("exp", 1 << 20, lambda T, a, b: a.exp(), lambda a, b: np.exp(a)),
    one("tanh", 1 << 20, lambda T, a, b: a.tanh(), lambda a, b: np.tanh(a)),
    one("erf", 1 << 20, lambda T, a, b: T.erf(a)),
    one("chain of 5", 1 << 20, chain, None, 13),
    one("chain of 5", 1 << 23, chain, None, 13),
    *pair("tanh", (4096, 3072), lambda T, x: x.tanh()),
    *pair("gelu", (4096, 3072), lambda T, x: T.nn.functional.gelu(x)),
    *pair("glu", (1024, 1024), lambda T, x: T.nn.functional.glu(x)),
    *pair("prelu", (1024, 1024), lambda T, x: T.nn.functional.prelu(x, T.full((1,), 0.25))),
    one("gelu", 1 << 20, lambda T, a, b: T.nn.functional.gelu(a)),
    one("relu", 1 << 20, lambda T, a, b: a.relu(), lambda a, b: np.maximum(a, 0)),
    one("sum", 1 << 22, lambda T, a, b: a.sum(), lambda a, b: a.sum(), 1, 1e-3),
    matrix("sum(0)", 1024, 1024, lambda T, x: x.sum(0), lambda x: x.sum(0), 1),
    matrix("sum(1)", 1024, 1024, lambda T, x: x.sum(1), lambda x: x.sum(1), 1),
    matrix("argmax(1)", 1024, 1024, lambda T, x: x.argmax(1), lambda x: x.argmax(1), 1),
    matrix("softmax", 1024, 1024, lambda T, x: T.softmax(x, 1)),
    matrix("log_softmax", 1024, 1000, lambda T, x: T.log_softmax(x, 1)),
    matrix("layer_norm", 1024, 1024, lambda T, x: T.nn.functional.layer_norm(x, (1024,))),
    matrix(
        "transpose copy", 2048, 2048, lambda T, x: x.t().contiguous(), lambda x: np.ascontiguousarray(x.T)
    ),
    matrix("transpose copy", 4096, 4096, lambda T, x: x.t().contiguous()),
    matrix("cumsum", 1024, 1024, lambda T, x: x.cumsum(1), lambda x: x.cumsum(1)),
    matrix("sort", 256, 4096, lambda T, x: x.sort(1)[0], lambda x: np.sort(x, 1)),
    *FUNCTIONS,
]
