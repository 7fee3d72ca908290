"""Elementwise ops, reductions and softmax over large tensors: bound by memory."""

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
]
