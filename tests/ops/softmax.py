"""Softmax family against NumPy."""

from __future__ import annotations

import numpy as np
from opcase import FLOATS, D, ErrorCase, OpCase, Sample


def softmax(x, dim, dtype=None):
    x = np.asarray(x, dtype=np.float64)
    if x.size == 0:
        return x
    e = np.exp(x - x.max(axis=dim, keepdims=True)) if x.ndim else np.exp(x - x)
    return e / e.sum(axis=dim, keepdims=True) if x.ndim else e / e


def log_softmax(x, dim, dtype=None):
    x = np.asarray(x, dtype=np.float64)
    if x.size == 0:
        return x
    if not x.ndim:
        return x - x
    shifted = x - x.max(axis=dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def samples(rng):
    for shape, dim in [
        ((), 0), ((), -1), ((1,), 0), ((0,), 0), ((3, 0, 2), 0), ((3, 0, 2), 1), ((5, 7), 1), ((5, 7), 0), ((4, 16), -1),
        ((3, 17), 1), ((9, 37), 1), ((2, 63), 1), ((2, 65), 1), ((2, 3, 5), 1), ((17, 4), 0), ((2, 3, 33), -2), ((2, 5, 2, 2), 1),
    ]:  # fmt: skip
        yield Sample(np.asarray(3 * rng.standard_normal(shape)), dim).but(grad=int(np.prod(shape)) <= 64)
    yield Sample(1e4 * rng.standard_normal((3, 6)), 1).but(grad=False, dtypes=("float64", "float32"))
    yield Sample(30 * rng.standard_normal((2, 1025)), 1).but(grad=False, layouts=False)
    yield Sample(30 * rng.standard_normal((5, 2050)), 1).but(grad=False, layouts=False)


def cast_samples(rng):
    yield Sample(rng.standard_normal((3, 5)), 1, dtype=D("float64"))
    yield Sample(rng.standard_normal((0, 5)), 0, dtype=D("float64"))


def errors(name):
    def call(T):
        return getattr(T, name)

    return [
        ErrorCase(lambda T: call(T)(T.ones(2, 3), 2), IndexError, (name, "2")),
        ErrorCase(lambda T: call(T)(T.ones(2, 3, dtype=T.int64), 1), RuntimeError, (name, "int64")),
    ]


CASES = [
    OpCase("softmax", "softmax", softmax, samples, simd=True, errors=errors("softmax"),
           big=lambda rng: Sample(rng.standard_normal((400, 301)), 1)),
    OpCase("log_softmax", "log_softmax", log_softmax, samples, simd=True, errors=errors("log_softmax"),
           big=lambda rng: Sample(rng.standard_normal((400, 301)), 0)),
    OpCase("softmax_dtype", "nn.functional.softmax", softmax, cast_samples, dtypes=("float32",), gradgrad=False,
           result="float64", nonfinite=False, why="gradients are taken in float64, where nothing is cast"),
    OpCase("softmin", "nn.functional.softmin", lambda x, dim: softmax(-np.asarray(x), dim),
           lambda rng: (Sample(rng.standard_normal(s), 0) for s in [(3, 4), (0, 2)]), dtypes=FLOATS),
]  # fmt: skip
