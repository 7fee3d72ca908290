"""Sorting, selection, quantiles, unique values, search and counting against NumPy."""

from __future__ import annotations

import warnings

import numpy as np
from opcase import ALL, FLOATS, FULL_FLOATS, INTS, ErrorCase, OpCase, Sample

NUMBERS = FLOATS + INTS
SHAPES = [((), -1), ((1,), 0), ((7,), -1), ((3, 5), 0), ((3, 5), 1), ((2, 3, 4), 1), ((0,), 0), ((0, 3), 1), ((3, 0), 1)]
LARGE = [((399,), 0), ((1025,), 0), ((5, 401), 1), ((401, 5), 0)]


def distinct(rng, shape):
    n = int(np.prod(shape))
    return (rng.permutation(np.linspace(-3, 3, n)) if n else np.zeros(0)).reshape(shape)


def along(shapes=tuple(SHAPES + LARGE), **kwargs):
    def samples(rng):
        for shape, dim in shapes:
            x = distinct(rng, shape)
            yield Sample(x, dim=dim, **kwargs).but(grad=0 < x.size <= 64)

    return samples


def signed(x):
    return x.astype(np.int64) if x.dtype.kind in "ub" else x


def order(x, dim, descending=False):
    """Stable, NaN last, or first when descending."""
    x = signed(np.asarray(x))
    if x.ndim == 0:
        return np.int64(0)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    key = np.where(np.isnan(x), -np.inf, -x) if x.dtype.kind == "f" else -x
    # NaN before inf: give inf the next key
    if x.dtype.kind == "f":
        rank = np.where(np.isnan(x), 0, 1)
        return np.lexsort((key, rank), axis=dim)
    return np.argsort(key, axis=dim, kind="stable")


def take(x, at, dim):
    x = np.asarray(x)
    return x if x.ndim == 0 else np.take_along_axis(x, at, axis=dim)


def sort(x, dim=-1, descending=False, stable=True):
    at = order(x, dim, descending)
    return take(x, at, dim), at


def first(values, k, dim):
    return values if np.ndim(values) == 0 else np.take(values, range(k), axis=dim)


def topk(x, k, dim=-1, largest=True):
    values, at = sort(x, dim, largest)
    return first(values, k, dim), first(at, k, dim)


def topk_samples(rng):
    for shape, dim, k in [((), -1, 1), ((7,), 0, 3), ((7,), 0, 7), ((3, 5), 0, 2), ((3, 5), 1, 1), ((2, 3, 4), 1, 2), ((3, 0), 0, 2),
                          ((5,), 0, 0), ((1000,), 0, 5), ((4, 700), 1, 10), ((700, 4), 0, 300)]:
        x = distinct(rng, shape)
        for largest in (True, False):
            yield Sample(x, k, dim=dim, largest=largest).but(grad=0 < x.size <= 64 and k > 0, dtypes=None if x.size <= 200 else FULL_FLOATS)


def one(rank):
    def ref(x, dim=-1, keepdim=False, **kwargs):
        x = np.asarray(x)
        if x.ndim == 0:
            return x, np.int64(0)
        values, at = sort(x, dim)
        k = rank(x.shape[dim], **kwargs)
        out = []
        for v in (values, at):
            v = np.take(v, k, axis=dim)
            out.append(np.expand_dims(v, dim) if keepdim else v)
        return tuple(out)

    return ref


def kth_samples(rng):
    for shape, dim, k in [((), -1, 1), ((7,), 0, 3), ((3, 5), 0, 2), ((3, 5), 1, 5), ((2, 3, 4), 1, 1), ((300,), 0, 77)]:
        x = distinct(rng, shape)
        for keepdim in (False, True):
            yield Sample(x, k=k, dim=dim, keepdim=keepdim).but(grad=x.size <= 64, dtypes=None if x.size < 200 else FULL_FLOATS)


def median_samples(rng):
    for shape, dim in [((), -1), ((7,), 0), ((3, 5), 0), ((3, 6), 1), ((2, 3, 4), 1), ((300,), 0)]:
        x = distinct(rng, shape)
        for keepdim in (False, True):
            yield Sample(x, dim=dim, keepdim=keepdim).but(grad=x.size <= 64, dtypes=None if x.size < 200 else FULL_FLOATS)


def full_samples(rng):
    for shape in [(), (7,), (3, 4), (2, 3, 5)]:
        yield Sample(distinct(rng, shape))


def np_median(ignore):
    def ref(x):
        x = np.asarray(x).reshape(-1)
        if x.dtype.kind == "f":
            if np.isnan(x).any() and not ignore:
                return np.nan
            x = x[~np.isnan(x)] if not np.isnan(x).all() else x
        return np.sort(x)[(len(x) - 1) // 2]

    return ref


def mode_samples(rng):
    for shape, dim in [((9,), 0), ((4, 6), 1), ((6, 4), 0), ((500,), 0)]:
        yield Sample(rng.integers(-3, 4, shape).astype(np.float64), dim=dim).but(grad=False)
    yield Sample(distinct(rng, (3, 5)), dim=1)


def mode(x, dim):
    def line(v):
        values, counts = np.unique(v, return_counts=True)
        m = values[np.argmax(counts)]
        return m, np.flatnonzero(v == m)[-1]

    x = np.moveaxis(np.asarray(x), dim, -1)
    flat = x.reshape(-1, x.shape[-1])
    found = [line(v) for v in flat]
    return (np.array([f[0] for f in found]).reshape(x.shape[:-1]), np.array([f[1] for f in found]).reshape(x.shape[:-1]))


def quantiles():
    def samples(rng):
        for shape, dim in [((), None), ((7,), None), ((7,), 0), ((3, 5), 0), ((3, 5), 1), ((2, 3, 4), None), ((2, 3, 4), -2)]:
            x = distinct(rng, shape)
            for q in (0.25, 0.6):
                yield Sample(x, q, dim=dim, keepdim=bool(len(shape) > 1 and q > 0.5))
        for mode in ("lower", "higher", "midpoint", "nearest"):
            yield Sample(distinct(rng, (3, 7)), 0.3, dim=1, interpolation=mode)

    return samples


def np_quantile(f):
    def ref(x, q, dim=None, keepdim=False, interpolation="linear"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f(np.asarray(x, dtype=np.float64), q, axis=dim, keepdims=keepdim, method=interpolation)

    return ref


def several_q(rng):
    for shape, dim in [((7,), None), ((3, 5), 1), ((2, 3, 4), 0)]:
        yield Sample(distinct(rng, shape), dim=dim)


def repeated(rng):
    for shape in [(), (1,), (20,), (3, 7), (0,), (2, 0), (700,)]:
        yield Sample(rng.integers(-4, 5, shape).astype(np.float64))


def np_unique(x):
    values, inverse, counts = np.unique(np.asarray(x), return_inverse=True, return_counts=True)
    return values, inverse.reshape(np.shape(x)), counts


def rows(rng):
    for shape, dim in [((6, 2), 0), ((2, 6), 1), ((5, 2, 2), 0), ((9,), 0)]:
        yield Sample(rng.integers(0, 2, shape).astype(np.float64), dim)


def np_unique_dim(x, dim):
    values, inverse, counts = np.unique(np.asarray(x), axis=dim, return_inverse=True, return_counts=True)
    return values, inverse.reshape(-1), counts


def consecutive(x):
    v = np.asarray(x).reshape(-1)
    new = np.concatenate([[True], v[1:] != v[:-1]]) if len(v) else np.zeros(0, bool)
    group = np.cumsum(new) - 1
    return v[new], group.reshape(np.shape(x)).astype(np.int64), np.bincount(group.astype(np.int64), minlength=0).astype(np.int64)


def sparse(rng):
    for shape in [(), (6,), (3, 4), (2, 3, 4), (0,), (3, 0)]:
        yield Sample(np.asarray(rng.standard_normal(shape) * (rng.random(shape) < 0.5)))


def search_samples(rng):
    seq = np.sort(rng.integers(-5, 6, 12)).astype(np.float64)
    for shape in [(), (7,), (2, 3), (0,)]:
        yield Sample(seq, np.asarray(rng.integers(-6, 7, shape).astype(np.float64)), right=bool(len(shape) % 2)).but(layouts=False)


def table_samples(rng):
    yield Sample(np.sort(rng.integers(-5, 6, (3, 9)), axis=1).astype(np.float64), rng.integers(-6, 7, (3, 4)).astype(np.float64)).but(layouts=False)


def np_searchsorted(seq, values, right=False):
    return np.searchsorted(np.asarray(seq), values, side="right" if right else "left")


def histc_samples(rng):
    for n, args in [(50, {}), (50, {"bins": 7, "min": -1, "max": 1.5}), (5, {"bins": 1, "min": -9, "max": 9}), (0, {"bins": 4, "min": 0, "max": 1})]:
        yield Sample(rng.standard_normal(n), **args).but(dtypes=("float64",) if n == 50 else None)


def np_histc(x, bins=100, min=0, max=0):
    if min == max and x.size:
        min, max = x.min(), x.max()
    return np.histogram(x, bins=bins, range=(min, max))[0].astype(np.float64)


def isin_samples(rng):
    for a, b in [((7,), (3,)), ((2, 3), (5,)), ((), (4,)), ((0,), (3,)), ((5,), (0,)), ((300,), (40,))]:
        yield Sample(np.asarray(rng.integers(-5, 6, a)).astype(np.float64), np.asarray(rng.integers(-5, 6, b)).astype(np.float64), invert=len(a) > 1)


def dim_errors(name, *args):
    return [ErrorCase(lambda T: getattr(T, name)(T.ones(2, 3), *args, dim=2), IndexError, (name, "Dimension out of range", "got 2"))]


def empty_error(name):
    return ErrorCase(lambda T: getattr(T, name)(T.ones(3, 0), dim=1), IndexError, (name, "dim 1", "[3, 0]"))


CASES = [
    OpCase("sort", "sort", sort, along(), dtypes=ALL, errors=dim_errors("sort"), torch=lambda T, x, **k: T.sort(x, stable=True, **k),
           big=lambda rng: Sample(rng.standard_normal((40, 900)), dim=1)),
    OpCase("sort_descending", "sort", sort, along(descending=True, stable=True), dtypes=ALL),
    OpCase("argsort", "argsort", lambda x, dim: order(x, dim), along(), dtypes=FLOATS + ("int32",), grad=False, result="int64",
           torch=lambda T, x, **k: T.argsort(x, stable=True, **k)),
    OpCase("msort", "msort", lambda x: np.sort(x, axis=0) if np.ndim(x) else x,
           lambda rng: iter([Sample(distinct(rng, s)) for s in [(5,), (4, 3), (0, 2)]]), dtypes=NUMBERS, out=True),
    OpCase("topk", "topk", topk, topk_samples, dtypes=FULL_FLOATS + INTS, torch=False, why="PyTorch orders ties in another way", errors=[
        ErrorCase(lambda T: T.topk(T.ones(3), 4), RuntimeError, ("topk", "out of range", "k=4")), *dim_errors("topk", 1)]),
    OpCase("kthvalue", "kthvalue", one(lambda n, k: k - 1), kth_samples, dtypes=FULL_FLOATS, empty=False, why="raises", errors=[
        ErrorCase(lambda T: T.kthvalue(T.ones(3), 4), RuntimeError, ("kthvalue", "out of range", "k=4")),
        ErrorCase(lambda T: T.kthvalue(T.ones(3), 0), RuntimeError, ("kthvalue", "k=0"))]),
    OpCase("median_dim", "median", one(lambda n: (n - 1) // 2), median_samples, dtypes=FULL_FLOATS, nonfinite=False, empty=False,
           why="NaN has its own case", errors=[empty_error("median"), *dim_errors("median")]),
    OpCase("median", "median", np_median(False), full_samples, dtypes=NUMBERS, empty=False, why="NaN for empty is tested beside"),
    OpCase("nanmedian", "nanmedian", np_median(True), full_samples, dtypes=NUMBERS, empty=False, why="NaN for empty is tested beside"),
    OpCase("nanmedian_dim", "nanmedian", one(lambda n: (n - 1) // 2), median_samples, dtypes=FULL_FLOATS, nonfinite=False, empty=False,
           why="as median without NaN", errors=[empty_error("nanmedian")]),
    OpCase("mode", "mode", mode, mode_samples, dtypes=FULL_FLOATS + ("int64",), nonfinite=False, empty=False, layouts=("transposed", "sliced"),
           why="NaN has no mode; PyTorch's index is another occurrence", torch=False, errors=[empty_error("mode")]),
    OpCase("quantile", "quantile", np_quantile(np.quantile), quantiles(), dtypes=FULL_FLOATS, empty=False, nonfinite=False, why="raises", errors=[
        ErrorCase(lambda T: T.quantile(T.ones(3), 1.5), RuntimeError, ("quantile", "range [0, 1]")),
        ErrorCase(lambda T: T.quantile(T.ones(3, dtype=T.int64), 0.5), RuntimeError, ("quantile", "int64")),
        ErrorCase(lambda T: T.quantile(T.ones(0), 0.5), RuntimeError, ("quantile", "non-empty", "[0]")),
        ErrorCase(lambda T: T.quantile(T.ones(3), 0.5, interpolation="cubic"), Exception, ("quantile", "cubic"))]),
    OpCase("nanquantile", "nanquantile", np_quantile(np.nanquantile), quantiles(), dtypes=FULL_FLOATS, empty=False, nonfinite=False, why="raises"),
    OpCase("quantile_tensor", lambda T, x, dim: T.quantile(x, T.tensor([0.1, 0.5, 1.0], dtype=x.dtype), dim=dim),
           lambda x, dim: np.quantile(x, np.array([0.1, 0.5, 1.0]), axis=dim), several_q, dtypes=FULL_FLOATS, empty=False, nonfinite=False,
           why="raises", tol={"float32": (1e-5, 1e-5)}),

    OpCase("unique", lambda T, x: T.unique(x, return_inverse=True, return_counts=True), np_unique, repeated, dtypes=ALL, grad=False,
           nonfinite=False, why="every NaN is unique in itself"),
    OpCase("unique_dim", lambda T, x, dim: T.unique(x, return_inverse=True, return_counts=True, dim=dim), np_unique_dim, rows,
           dtypes=FULL_FLOATS + ("int64", "bool"), grad=False, nonfinite=False, empty=False, why="as unique", errors=[
               ErrorCase(lambda T: T.unique(T.ones(2, 3), dim=2), IndexError, ("unique", "got 2"))]),
    OpCase("unique_consecutive", lambda T, x: T.unique_consecutive(x, return_inverse=True, return_counts=True), consecutive, repeated,
           dtypes=ALL, grad=False, nonfinite=False, why="every NaN is unique in itself"),
    OpCase("nonzero", "nonzero", lambda x: np.argwhere(x), sparse, dtypes=ALL, grad=False, result="int64"),
    OpCase("nonzero_tuple", lambda T, x: T.nonzero(x, as_tuple=True), lambda x: np.nonzero(np.atleast_1d(x)), sparse, dtypes=("float32", "bool"),
           grad=False, result="int64"),
    OpCase("argwhere", "argwhere", lambda x: np.argwhere(x), sparse, dtypes=("float32", "int64"), grad=False, result="int64"),
    OpCase("searchsorted", "searchsorted", np_searchsorted, search_samples, dtypes=FULL_FLOATS + INTS[1:], grad=False, result="int64",
           nonfinite=False, why="the sequence must be sorted", errors=[
               ErrorCase(lambda T: T.searchsorted(T.ones(2, 3), T.ones(3, 3)), RuntimeError, ("searchsorted", "[2, 3]", "[3, 3]"))]),
    OpCase("searchsorted_rows", "searchsorted", lambda s, v: np.stack([np.searchsorted(a, b) for a, b in zip(s, v, strict=True)]), table_samples,
           dtypes=FULL_FLOATS, grad=False, result="int64", nonfinite=False, empty=False, why="the sequence must be sorted"),
    OpCase("bucketize", lambda T, s, v, right: T.bucketize(v, s, right=right), np_searchsorted, search_samples, dtypes=FULL_FLOATS + ("int64",),
           grad=False, result="int64", nonfinite=False, why="boundaries must be sorted", errors=[
               ErrorCase(lambda T: T.bucketize(T.ones(2), T.ones(2, 2)), RuntimeError, ("bucketize", "1 dimension", "[2, 2]"))]),
    OpCase("histc", "histc", np_histc, histc_samples, grad=False, nonfinite=False, why="the range must be finite", errors=[
        ErrorCase(lambda T: T.histc(T.ones(3), 0), RuntimeError, ("histc", "bins", "0")),
        ErrorCase(lambda T: T.histc(T.ones(3), 3, 5, 1), RuntimeError, ("histc", "max must be larger than min"))]),
    OpCase("bincount", "bincount", lambda x, minlength=0: np.bincount(x, minlength=minlength), lambda rng: iter(
        [Sample(rng.integers(0, 9, 30)), Sample(rng.integers(0, 4, 10), minlength=7), Sample(np.zeros(0, dtype=np.int64))]),
        dtypes=("int64",), grad=False, result=None, layouts=(), nonfinite=False, why="integers", errors=[
            ErrorCase(lambda T: T.bincount(T.tensor([1, -1])), RuntimeError, ("bincount", "non-negative", "-1")),
            ErrorCase(lambda T: T.bincount(T.ones(2)), RuntimeError, ("bincount", "float32"))]),
    OpCase("bincount_weights", "bincount", lambda x, weights: np.bincount(x, weights), lambda rng: iter(
        [Sample(rng.integers(0, 5, 12), weights=rng.standard_normal(12))]), dtypes=FULL_FLOATS, grad=False, layouts=(), nonfinite=False,
        empty=False, why="one form", errors=[
            ErrorCase(lambda T: T.bincount(T.tensor([1, 1]), T.ones(3)), RuntimeError, ("bincount", "weights", "[3]"))]),
    OpCase("isin", "isin", lambda a, b, invert: np.isin(a, b, invert=invert), isin_samples, dtypes=FULL_FLOATS + INTS, grad=False, result="bool"),
]
