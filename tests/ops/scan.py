"""Cumulative operations against NumPy."""

from __future__ import annotations

import numpy as np
from opcase import ALL, FLOATS, FULL_FLOATS, INTS, D, ErrorCase, OpCase, Sample

SHAPES = [((), 0), ((1,), 0), ((5,), -1), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1), ((0,), 0), ((0, 3), 1), ((3, 0), 1)]
LARGE = [((1025,), 0), ((130, 67), 0), ((67, 130), 1)]


def along(shapes=tuple(SHAPES + LARGE), scale=1.0, **kwargs):
    def samples(rng):
        for shape, dim in shapes:
            x = np.asarray(scale * rng.standard_normal(shape))
            yield Sample(x, dim, **kwargs).but(grad=x.size <= 64, k=x.shape[dim] if x.ndim and x.size else 1)

    return samples


def lifted(f):
    """f along an axis, for 0-d too; integers in int64."""

    def ref(x, dim, **kwargs):
        x = np.asarray(x)
        x = x.astype(np.int64) if x.dtype.kind in "iub" else x
        with np.errstate(all="ignore"):
            return f(x.reshape(1), axis=0).reshape(()) if x.ndim == 0 else f(x, axis=dim)

    return ref


def products(rng):
    for shape, dim in [((), 0), ((5,), 0), ((3, 4), 0), ((3, 4), 1), ((0, 2), 0), ((6,), 0)]:
        x = np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))
        yield Sample(x, dim)
    for zeros in ([2], [0], [1, 3], [0, 1, 2, 3, 4]):
        x = rng.uniform(0.5, 1.5, 5)
        x[zeros] = 0
        yield Sample(x, 0).but(layouts=False)


def logcumsumexp(x, dim):
    x = np.asarray(x, dtype=np.float64)
    with np.errstate(all="ignore"):
        return x if x.ndim == 0 else np.logaddexp.accumulate(x, axis=dim) if x.size else x


def extreme(largest):
    def ref(x, dim):
        x = np.asarray(x)
        if x.ndim == 0:
            return x, np.int64(0)
        if x.size == 0:
            return x, np.zeros(x.shape, np.int64)
        y, at = x.copy(), np.zeros(x.shape, np.int64)
        y, at, x = np.moveaxis(y, dim, 0), np.moveaxis(at, dim, 0), np.moveaxis(x, dim, 0)
        for i in range(1, len(x)):
            later = x[i] >= y[i - 1] if largest else x[i] <= y[i - 1]
            later = np.isnan(x[i]) | (later & ~np.isnan(y[i - 1])) if x.dtype.kind == "f" else later
            y[i], at[i] = np.where(later, x[i], y[i - 1]), np.where(later, i, at[i - 1])
        return np.moveaxis(y, 0, dim), np.moveaxis(at, 0, dim)

    return ref


def differences(rng):
    for shape, n, dim in [((5,), 1, -1), ((3, 4), 1, 0), ((3, 4), 2, 1), ((2, 3), 5, 1), ((4,), 0, 0), ((0, 3), 1, 1), ((1,), 1, 0)]:
        yield Sample(rng.standard_normal(shape), n=n, dim=dim)
    yield Sample(rng.standard_normal((2, 3)), dim=1, prepend=rng.standard_normal((2, 1)), append=rng.standard_normal((2, 2)))


def np_diff(x, n=1, dim=-1, prepend=None, append=None):
    kwargs = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n=n, axis=dim, **kwargs)


def errors(name):
    return [
        ErrorCase(lambda T: getattr(T, name)(T.ones(2, 3), 2), IndexError, (name, "Dimension out of range", "got 2")),
        ErrorCase(lambda T: getattr(T, name)(T.ones(2, 3), -3), IndexError, (name, "got -3")),
    ]


CASES = [
    OpCase("cumsum", "cumsum", lifted(np.cumsum), along(), dtypes=ALL, result="accum", out=True, errors=errors("cumsum"),
           big=lambda rng: Sample(rng.standard_normal((300, 400)), 0)),
    OpCase("cumsum_", lambda T, x, dim: x.clone().cumsum_(dim), lifted(np.cumsum), along(SHAPES), dtypes=FULL_FLOATS, inplace="cumsum_"),
    OpCase("cumsum_dtype", "cumsum", lambda x, dim, dtype: np.cumsum(x.astype(np.float64), axis=dim),
           along([((3, 4), 1), ((0, 2), 0)], dtype=D("float64")), dtypes=("float32", "int32", "bool"), result="float64",
           nonfinite=False, why="dtype= casts first"),
    OpCase("cumprod", "cumprod", lifted(np.cumprod), products, dtypes=ALL, result="accum", out=True, errors=errors("cumprod"),
           tol={"float16": (2e-3, 2e-3), "bfloat16": (2e-2, 2e-2)}),
    OpCase("cumprod_", lambda T, x, dim: x.clone().cumprod_(dim), lifted(np.cumprod), products, dtypes=FULL_FLOATS, inplace="cumprod_"),
    OpCase("logcumsumexp", "logcumsumexp", logcumsumexp, along(scale=3.0), dtypes=FLOATS, errors=[
        *errors("logcumsumexp"), ErrorCase(lambda T: T.logcumsumexp(T.ones(3, dtype=T.int64), 0), RuntimeError, ("logcumsumexp", "int64"))]),
    OpCase("cummax", "cummax", extreme(True), along(), dtypes=FLOATS + INTS, errors=errors("cummax")),
    OpCase("cummin", "cummin", extreme(False), along(), dtypes=FLOATS + INTS, errors=errors("cummin")),
    OpCase("diff", "diff", np_diff, differences, dtypes=FULL_FLOATS + ("int64",), errors=[
        ErrorCase(lambda T: T.diff(T.ones(3), n=-1), RuntimeError, ("diff", "n=-1"))]),
]
