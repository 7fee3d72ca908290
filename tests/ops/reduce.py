"""Reductions, statistics and whole-tensor comparisons against NumPy."""

from __future__ import annotations

import warnings

import numpy as np
from opcase import ALL, FLOATS, FULL_FLOATS, INTS, D, ErrorCase, OpCase, Sample

NUMBERS = FLOATS + INTS


def axes(dim):
    return tuple(dim) if isinstance(dim, (tuple, list)) and len(dim) else None if isinstance(dim, (tuple, list)) else dim


def count(x, dim):
    dim = axes(dim)
    if dim is None:
        return max(x.size, 1)
    return max(int(np.prod([x.shape[d] for d in (dim if isinstance(dim, tuple) else (dim,))])) if x.ndim else 1, 1)


SHAPES = [
    ((), None), ((1,), 0), ((5,), None), ((3, 4), 1), ((3, 4), 0), ((3, 4), -1), ((3, 4), (0, 1)), ((2, 3, 4), (0, 2)),
    ((2, 3, 4), 1), ((2, 3, 4, 2), (2, 3)), ((2, 3, 4, 2), (0, 2, 3)), ((17, 3), 0), ((3, 17), 1), ((9, 5), None),
]  # fmt: skip
LARGE = [((1025,), None), ((3, 130), 1), ((130, 3), 0), ((33, 65), 0), ((65, 33), 1), ((2, 2049), 1), ((2049, 2), 0),
         ((5, 7, 31), (0, 2)), ((300, 257), None)]  # fmt: skip
EMPTY = [((0,), None), ((0, 3), 0), ((0, 3), 1), ((3, 0, 2), (0, 2))]


def reductions(empty=True, tuples=True, none=True, large=True, low=-2.0, **kwargs):
    """Sample(x, dim=, keepdim=) around every collapse case."""

    def samples(rng):
        for shape, dim in SHAPES + (LARGE if large else []) + (EMPTY if empty else []):
            if (isinstance(dim, tuple) and not tuples) or (dim is None and not none):
                continue
            x = rng.permutation(np.linspace(low, 2.0, int(np.prod(shape)) or 1))[: int(np.prod(shape))].reshape(shape)
            big = x.size > 64
            for keepdim in (False, True) if not big and dim is not None else (False,):
                args = {} if dim is None else {"dim": dim, "keepdim": keepdim}
                yield Sample(x, **args, **kwargs).but(k=count(x, dim), grad=not big, layouts=x.size < 3000)

    return samples


def np_reduce(f, **fixed):
    def ref(x, dim=None, keepdim=False, **kwargs):
        kwargs = {k: v for k, v in kwargs.items() if k != "dtype"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = np.asarray(x)
            if x.ndim == 0:
                return f(x.reshape(1), axis=0, **fixed, **kwargs)
            return f(x, axis=axes(dim), keepdims=keepdim, **fixed, **kwargs)

    return ref


def int_sum(f):
    return np_reduce(lambda x, **kw: f(x.astype(np.int64) if x.dtype.kind in "iub" else x, **kw))


def op_of(name):
    return lambda T, x, **kw: getattr(T, name)(x, **kw)


def dim_errors(name):
    return [
        ErrorCase(lambda T: getattr(T.ones(2, 3), name)(dim=2), IndexError, (name, "Dimension out of range", "got 2")),
        ErrorCase(lambda T: getattr(T.ones(2, 3), name)(dim=(0, 0)), RuntimeError, (name, "0")),
    ]


def prod_samples(rng):
    for shape, dim in [((), None), ((4,), None), ((3, 4), 1), ((3, 4), 0), ((2, 3, 2), 1), ((7,), 0), ((0,), None), ((0, 2), 0),
                       ((2, 0), 0)]:
        x = np.asarray(rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape))
        args = {} if dim is None else {"dim": dim}
        yield Sample(x, **args)
    for zeros in ([1], [0, 3], [0, 1, 2, 3, 4]):
        x = rng.uniform(0.5, 2, 5)
        x[zeros] = 0
        yield Sample(x).but(layouts=False)
        yield Sample(np.stack([x, x + 1]), dim=1, keepdim=True)


def np_lse(x, axis, keepdims=False):
    m = np.max(x, axis=axis, keepdims=True) if x.size else np.zeros(())
    m = np.where(np.isfinite(m), m, 0)
    y = np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True)) + m
    return y if keepdims else np.squeeze(y, axis=axis)


def np_norm(p):
    def f(x, axis, keepdims=False):
        a = np.abs(x)
        if p == 0:
            return np.sum(x != 0, axis=axis, keepdims=keepdims).astype(np.float64)
        if np.isinf(p):
            return (np.max if p > 0 else np.min)(a, axis=axis, keepdims=keepdims)
        return np.sum(a**p, axis=axis, keepdims=keepdims) ** (1 / p)

    return np_reduce(f)


def norm_case(name, p, **kw):
    samples = reductions(empty=False, low=-1.9)
    kw.setdefault("gradgrad", p not in (0, 0.5))
    return OpCase(
        name, lambda T, x, **k: T.norm(x, p, **k), np_norm(p), samples, empty=False, grad=kw.pop("grad", True),
        why="norms of empty dims have their own case", nonfinite=not np.isinf(p) and p != 0, **kw)


def arg_ref(f):
    def ref(x, dim=None, keepdim=False):
        x = np.asarray(x)
        if x.dtype == bool:
            x = x.astype(np.int8)
        if x.ndim == 0:
            return np.int64(0)
        return f(x, axis=dim, keepdims=keepdim)

    return ref


def max_dim_ref(f, arg):
    def ref(x, dim, keepdim=False):
        x = np.asarray(x)
        if x.ndim == 0:
            return x, np.int64(0)
        y = x.astype(np.int8) if x.dtype == bool else x
        return f(x, axis=dim, keepdims=keepdim), arg(y, axis=dim, keepdims=keepdim)

    return ref


def pairs(rng):
    for shape in [(), (4,), (2, 3), (0, 2), (65,)]:
        a = np.asarray(rng.standard_normal(shape))
        yield Sample(np.asarray(a), np.asarray(a + rng.choice([0, 1e-7, 1e-3], shape)))


def weighted(rng):
    x = rng.standard_normal((3, 6))
    yield Sample(x)
    yield Sample(x, correction=0)
    yield Sample(x[0])
    yield Sample(x, fweights=np.array([1, 2, 1, 3, 1, 1]))
    yield Sample(x, aweights=np.array([0.5, 1.0, 2.0, 1.0, 0.3, 1.0], dtype=np.float32)).but(grad=False, dtypes=("float32",))


def np_cov(x, correction=1, fweights=None, aweights=None):
    return np.cov(x, ddof=correction, fweights=fweights, aweights=aweights)


def cdist_samples(p):
    def samples(rng):
        for a, b in [((3, 4), (5, 4)), ((2, 3, 4), (2, 2, 4)), ((2, 1, 4), (1, 2, 4)), ((0, 4), (2, 4))]:
            yield Sample(rng.standard_normal(a), rng.standard_normal(b), p=p)

    return samples


def cdist_sizes(p):
    """Edges of the tiles, of a strip of columns and of the parts of a sum."""

    def samples(rng):
        yield from cdist_samples(p)(rng)
        for a, b in [((17, 5), (16, 5)), ((2, 9, 3), (3, 1, 15, 3)), ((3, 130), (70, 130)), ((5, 2), (520, 2))]:
            yield Sample(rng.standard_normal(a), rng.standard_normal(b), p=p).but(grad=a[-1] * b[-2] < 100, k=a[-1], layouts=False)

    return samples


def cdist_products(rng):
    """Sizes that take one product of matrices, and compute_mode asking for it or against it."""
    yield Sample(rng.standard_normal((27, 3)), rng.standard_normal((2, 3)), p=2.0)
    yield Sample(rng.standard_normal((0, 3)), rng.standard_normal((27, 3)), p=2.0)
    yield Sample(rng.standard_normal((2, 1, 4, 3)), rng.standard_normal((3, 26, 3)), p=2.0).but(grad=False)
    for mode in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist", "use_mm_for_euclid_dist_if_necessary"):
        yield Sample(rng.standard_normal((3, 4)), rng.standard_normal((5, 4)), p=2.0, compute_mode=mode)


def np_cdist(a, b, p, compute_mode=None):
    d = np.abs(a[..., :, None, :] - b[..., None, :, :])
    differ = np.where(np.isnan(d), d, d != 0)
    return differ.sum(-1).astype(a.dtype) if p == 0 else d.max(-1) if np.isinf(p) else (d**p).sum(-1) ** (1 / p)


def trapezoid_samples(rng):
    for shape, dim in [((5,), -1), ((3, 4), 0), ((3, 4), 1), ((2, 1), 1), ((0, 3), 1)]:
        yield Sample(rng.standard_normal(shape), dx=0.5, dim=dim)


def spread_samples(rng):
    yield from reductions(empty=False, large=True)(rng)
    for c in (0, 2):
        yield Sample(rng.standard_normal((4, 5)), dim=1, correction=c)
    yield Sample(1e4 + rng.standard_normal((3, 200)), dim=1).but(dtypes=("float64",), grad=False)
    yield Sample(rng.standard_normal((0, 3)), dim=1)


def np_spread(root):
    def f(x, axis, keepdims=False, correction=1):
        n = x.size if axis is None else np.prod([x.shape[d] for d in np.atleast_1d(axis)])
        d = x - x.mean(axis=axis, keepdims=True)
        v = (d * d).sum(axis=axis, keepdims=keepdims) / np.maximum(0, n - correction)
        return np.sqrt(v) if root else v

    def ref(x, dim=None, keepdim=False, correction=1):
        x = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            return f(x.reshape(-1), 0, correction=correction) if x.ndim == 0 else f(x, axes(dim), keepdim, correction)

    return ref


def spread_case(name, root, **kw):
    def no_single(rng):   # one element: NaN, and the gradient of NaN says nothing
        for s in spread_samples(rng):
            x = s.args[0]
            yield s if x.size > 1 else s.but(grad=False)

    return OpCase(name, op_of(name), np_spread(root), no_single, **kw)


CASES = [
    OpCase("sum", "sum", int_sum(np.sum), reductions(), dtypes=ALL, result="accum", simd=True, out=True, errors=dim_errors("sum"),
           big=lambda rng: Sample(rng.standard_normal((300, 1000)))),
    OpCase("sum_rows", op_of("sum"), int_sum(np.sum), lambda rng: iter([Sample(rng.standard_normal((3, 4)), dim=())]), dtypes=FULL_FLOATS,
           empty=False, why="big column sums for the thread check", big=lambda rng: Sample(rng.standard_normal((3000, 130)), dim=0)),
    OpCase("sum_dtype", "sum", np_reduce(lambda x, axis, keepdims=False: x.astype(np.float64).sum(axis=axis, keepdims=keepdims)),
           reductions(large=False, dtype=D("float64")), dtypes=("float32", "int32", "bool"), result="float64", nonfinite=False,
           why="dtype= casts first"),
    OpCase("nansum", "nansum", int_sum(np.nansum), reductions(), dtypes=NUMBERS, result="accum", simd=True),
    OpCase("mean", "mean", np_reduce(np.mean), reductions(), simd=True, out=True, errors=[
        ErrorCase(lambda T: T.ones(3, dtype=T.int64).mean(), RuntimeError, ("mean", "could not infer output dtype", "int64")),
        *dim_errors("mean")]),
    OpCase("nanmean", "nanmean", np_reduce(np.nanmean), reductions(), grad=True),
    OpCase("prod", "prod", int_sum(np.prod), prod_samples, dtypes=ALL, result="accum", simd=True, errors=[
        ErrorCase(lambda T: T.ones(2, 3).prod(5), IndexError, ("prod", "Dimension out of range", "got 5"))]),
    OpCase("amax", "amax", np_reduce(np.max), reductions(empty=False), dtypes=ALL, simd=True, empty=False, why="raises", out=True, errors=[
        ErrorCase(lambda T: T.ones(0, 3).amax(0), IndexError, ("amax", "dim 0", "[0, 3]")), *dim_errors("amax")]),
    OpCase("amin", "amin", np_reduce(np.min), reductions(empty=False), dtypes=ALL, simd=True, empty=False, why="raises", out=True, errors=[
        ErrorCase(lambda T: T.ones(2, 0).amin(1), IndexError, ("amin", "dim 1", "[2, 0]"))]),
    OpCase("max", op_of("max"), lambda x: np.max(x), lambda rng: iter([Sample(rng.standard_normal(s)) for s in [(), (4,), (3, 5), (70, 9)]]),
           dtypes=ALL, empty=False, why="raises", errors=[
               ErrorCase(lambda T: T.ones(0).max(), RuntimeError, ("max", "Expected reduction dim to be specified", "[0]"))]),
    OpCase("min", op_of("min"), lambda x: np.min(x), lambda rng: iter([Sample(rng.standard_normal(s)) for s in [(), (4,), (3, 5), (70, 9)]]),
           dtypes=ALL, empty=False, why="raises", errors=[
               ErrorCase(lambda T: T.ones(0).min(), RuntimeError, ("min", "Expected reduction dim to be specified", "[0]"))]),
    OpCase("max_dim", op_of("max"), max_dim_ref(np.max, np.argmax), reductions(tuples=False, none=False, empty=False), dtypes=ALL,
           simd=True, empty=False, why="raises", errors=[
               ErrorCase(lambda T: T.ones(0, 3).max(0), IndexError, ("max", "dim 0", "[0, 3]"))]),
    OpCase("min_dim", op_of("min"), max_dim_ref(np.min, np.argmin), reductions(tuples=False, none=False, empty=False), dtypes=ALL,
           simd=True, empty=False, why="raises"),
    OpCase("aminmax", lambda T, x, dim=None, keepdim=False: T.aminmax(x, dim=dim, keepdim=keepdim),
           lambda x, dim=None, keepdim=False: (np_reduce(np.min)(x, dim, keepdim), np_reduce(np.max)(x, dim, keepdim)),
           reductions(tuples=False, empty=False), dtypes=NUMBERS, empty=False, why="raises"),
    OpCase("argmax", "argmax", arg_ref(np.argmax), reductions(tuples=False, empty=False), dtypes=NUMBERS, grad=False, result="int64",
           simd=True, empty=False, why="raises", errors=[
               ErrorCase(lambda T: T.ones(0).argmax(), IndexError, ("argmax", "Expected reduction dim to be specified", "[0]")),
               ErrorCase(lambda T: T.ones(2, 0).argmax(1), IndexError, ("argmax", "dim 1", "[2, 0]"))]),
    OpCase("argmin", "argmin", arg_ref(np.argmin), reductions(tuples=False, empty=False), dtypes=NUMBERS, grad=False, result="int64",
           simd=True, empty=False, why="raises"),
    OpCase("any", "any", np_reduce(np.any), reductions(), dtypes=ALL, grad=False, simd=True, nonfinite=False, why="truth only",
           result=lambda d: "uint8" if d == "uint8" else "bool", errors=dim_errors("any")),
    OpCase("all", "all", np_reduce(np.all), reductions(), dtypes=ALL, grad=False, simd=True, nonfinite=False, why="truth only",
           result=lambda d: "uint8" if d == "uint8" else "bool", errors=dim_errors("all")),
    OpCase("count_nonzero", lambda T, x, dim=None, keepdim=False: T.count_nonzero(x, dim),
           lambda x, dim=None, keepdim=False: np.count_nonzero(np.asarray(x), axis=axes(dim)) if np.ndim(x) else np.int64(bool(x)),
           reductions(), dtypes=ALL, grad=False, result="int64", simd=True),
    OpCase("logsumexp", op_of("logsumexp"), np_reduce(np_lse), reductions(none=False), dtypes=FLOATS, simd=True, errors=[
        ErrorCase(lambda T: T.logsumexp(T.ones(2), 3), IndexError, ("logsumexp", "got 3"))]),
    spread_case("var", False, simd=True, errors=[
        ErrorCase(lambda T: T.ones(3, dtype=T.int64).var(), RuntimeError, ("var", "floating point", "int64")), *dim_errors("var")]),
    spread_case("std", True),
    OpCase("var_mean", "var_mean", lambda x, **kw: (np_spread(False)(x, **kw), np_reduce(np.mean)(x, kw.get("dim"), kw.get("keepdim", False))),
           lambda rng: iter([Sample(rng.standard_normal((3, 4)), dim=1), Sample(rng.standard_normal((2, 3, 4)), dim=(0, 2), keepdim=True)]),
           dtypes=FULL_FLOATS, empty=False, why="NaN", nonfinite=False),
    OpCase("std_mean", "std_mean", lambda x, **kw: (np_spread(True)(x, **kw), np_reduce(np.mean)(x, kw.get("dim"), kw.get("keepdim", False))),
           lambda rng: iter([Sample(rng.standard_normal((3, 4)), dim=1), Sample(rng.standard_normal((3, 4)), dim=0, keepdim=True)]),
           dtypes=FULL_FLOATS, empty=False, why="NaN", nonfinite=False),
    norm_case("norm_2", 2, simd=True, out=True, errors=[
        ErrorCase(lambda T: T.norm(T.ones(3, dtype=T.int64)), RuntimeError, ("norm", "floating point", "int64")),
        ErrorCase(lambda T: T.norm(T.ones(3), "nonsense"), RuntimeError, ("norm", "nonsense")),
        *dim_errors("norm")]),
    norm_case("norm_1", 1), norm_case("norm_3", 3), norm_case("norm_1.5", 1.5), norm_case("norm_0.5", 0.5),
    norm_case("norm_inf", float("inf")), norm_case("norm_-inf", float("-inf")),
    OpCase("norm_empty", lambda T, x: T.norm(x, 2), lambda x: np.sqrt((x * x).sum()),
           lambda rng: iter([Sample(np.zeros((0, 3))), Sample(np.ones(4))]), errors=[
               ErrorCase(lambda T: T.norm(T.ones(0), float("inf")), RuntimeError, ("norm", "no identity", "[0]"))]),
    OpCase("dist", "dist", lambda a, b, p=2: np_norm(p)(a - b), lambda rng: iter(
        [Sample(rng.standard_normal((3, 4)), rng.standard_normal(s), p=p) for s, p in [((3, 4), 2), ((4,), 1), ((3, 1), 3)]]
        + [Sample(np.zeros((0, 2)), np.zeros((0, 2)))]), tol={"bfloat16": (4e-2, 4e-2), "float16": (4e-3, 4e-3)}, nonfinite=False,
        why="half inputs are subtracted in half first"),
    OpCase("cdist", "cdist", np_cdist, cdist_samples(2.0), dtypes=FULL_FLOATS, errors=[
        ErrorCase(lambda T: T.cdist(T.ones(2, 3), T.ones(2, 4)), RuntimeError, ("cdist", "same number of columns", "[2, 3]"))]),
    OpCase("cdist_products", "cdist", np_cdist, cdist_products, dtypes=("float32", "float64"), nonfinite=False,
           why="|a|^2 + |b|^2 - 2ab is NaN where a coordinate is infinite, as PyTorch's form is", errors=[
        ErrorCase(lambda T: T.cdist(T.ones(2, 3), T.ones(2, 3), compute_mode="fast"), ValueError, ("cdist", "fast", "compute_mode"))]),
    OpCase("cdist_0", "cdist", np_cdist, cdist_samples(0.0), dtypes=FULL_FLOATS, gradgrad=False),
    OpCase("cdist_1", "cdist", np_cdist, cdist_sizes(1.0), dtypes=FULL_FLOATS, simd=True),
    OpCase("cdist_1.5", "cdist", np_cdist, cdist_sizes(1.5), dtypes=FULL_FLOATS, simd=True),
    OpCase("cdist_3", "cdist", np_cdist, cdist_sizes(3.0), dtypes=FULL_FLOATS),
    OpCase("cdist_inf", "cdist", np_cdist, cdist_sizes(float("inf")), dtypes=FULL_FLOATS, simd=True),
    OpCase("cdist_direct", lambda T, a, b, p: T.cdist(a, b, p, compute_mode="donot_use_mm_for_euclid_dist"), np_cdist, cdist_sizes(2.0), simd=True),
    OpCase("cov", "cov", np_cov, weighted, dtypes=FULL_FLOATS, nonfinite=False, layouts=(), empty=False, why="statistics of finite samples"),
    OpCase("corrcoef", "corrcoef", np.corrcoef, lambda rng: iter([Sample(rng.standard_normal((3, 6)))]), dtypes=FULL_FLOATS,
           nonfinite=False, empty=False, why="statistics of finite samples"),
    OpCase("trapezoid", "trapezoid", lambda y, dx, dim: np.trapezoid(y, dx=dx, axis=dim), trapezoid_samples, dtypes=FULL_FLOATS,
           nonfinite=False, why="inf - inf depends on the order of the sum"),
    OpCase("trapezoid_x", "trapezoid", lambda y, x: np.trapezoid(y, x),
           lambda rng: iter([Sample(rng.standard_normal(5), np.sort(rng.standard_normal(5))), Sample(rng.standard_normal((2, 4)), np.arange(4.0))]),
           dtypes=FULL_FLOATS, empty=False, why="needs samples", nonfinite=False),
    OpCase("cumulative_trapezoid", "cumulative_trapezoid",
           lambda y, dim: np.cumsum((np.delete(y, 0, dim) + np.delete(y, -1, dim)) / 2, axis=dim),
           lambda rng: iter([Sample(rng.standard_normal((3, 4)), dim=d) for d in (0, 1)] + [Sample(np.zeros((0, 3)), dim=1)]), dtypes=FULL_FLOATS),
    OpCase("allclose", "allclose", lambda a, b: np.allclose(a, b), pairs, dtypes=FULL_FLOATS, grad=False, result=None, nonfinite=False,
           layouts=(), why="returns a bool"),
    OpCase("equal", "equal", lambda a, b: np.array_equal(a, b), lambda rng: iter(
        [Sample(np.arange(6.0), np.arange(6.0)), Sample(np.arange(6.0), np.arange(5.0)), Sample(np.zeros((0,)), np.zeros((0,))),
         Sample(np.ones((2, 3)), np.zeros((2, 3)))]), dtypes=ALL, grad=False, result=None, nonfinite=False, layouts=(), why="returns a bool"),
]


def matrix_norm_samples(rng):
    for shape, dim in [((3, 4), (0, 1)), ((2, 3, 4), (1, 2)), ((2, 3, 4), (-1, 0))]:
        yield Sample(distinct_signs(rng, shape), dim=dim)


def distinct_signs(rng, shape):
    n = int(np.prod(shape))
    return (rng.permutation(np.linspace(0.3, 2, n)) * rng.choice([-1, 1], n)).reshape(shape)


def matrix_norm_case(name, order):
    return OpCase(f"linalg.matrix_norm_{name}", lambda T, x, dim: T.linalg.matrix_norm(x, order, dim),
                  lambda x, dim: np.linalg.norm(x, order, axis=dim), matrix_norm_samples, dtypes=FULL_FLOATS, empty=False, nonfinite=False,
                  why="norms of finite matrices", gradgrad=order == "fro",
                  errors=[ErrorCase(lambda T: T.linalg.matrix_norm(T.ones(2, 2), "two"), RuntimeError, ("two",)),
                          ErrorCase(lambda T: T.linalg.matrix_norm(T.ones(3), 1, (0, 0)), RuntimeError, ("2 dimensions", "[3]")),
                          ErrorCase(lambda T: T.linalg.matrix_norm(T.ones(2, 2), dim=1), RuntimeError, ("2-tuple", "1")),
                          ErrorCase(lambda T: T.linalg.norm(T.ones(2, 2), "fro", 1), RuntimeError, ("2-tuple", "1")),
                          ErrorCase(lambda T: T.linalg.norm(T.ones(3), "nuc"), RuntimeError, ("at least 2 dimensions", "3")),
                          ErrorCase(lambda T: T.linalg.norm(T.ones(2, 2), dim=()), RuntimeError, ("length 1 or 2", "()"))])


CASES += [
    matrix_norm_case("fro", "fro"), matrix_norm_case("1", 1), matrix_norm_case("-inf", float("-inf")),
    OpCase("linalg.vector_norm", lambda T, x, ord: T.linalg.vector_norm(x, ord), lambda x, ord: np.linalg.norm(np.asarray(x).reshape(-1), ord),
           lambda rng: iter([Sample(distinct_signs(rng, (3, 4)), ord=p) for p in (2, 1, 3)]), dtypes=FULL_FLOATS, empty=False,
           why="as norm"),
    OpCase("linalg.norm", lambda T, x, **k: T.linalg.norm(x, **k), lambda x, dim=None, ord=None: np.linalg.norm(x, ord, axis=dim),
           lambda rng: iter([Sample(distinct_signs(rng, (3, 4))), Sample(distinct_signs(rng, (3, 4)), dim=1),
                             Sample(distinct_signs(rng, (5,)), ord=3), Sample(distinct_signs(rng, (3, 4)), ord=1)]),
           dtypes=FULL_FLOATS, empty=False, why="as norm", nonfinite=False),
    OpCase("renorm", lambda T, x: T.renorm(x, 2, 0, 1.5), lambda x: x * np.where(
        np.linalg.norm(x, axis=1, keepdims=True) > 1.5, 1.5 / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-7), 1),
        lambda rng: iter([Sample(rng.standard_normal((4, 5)))]), dtypes=FULL_FLOATS, empty=False, nonfinite=False, why="one form", errors=[
            ErrorCase(lambda T: T.renorm(T.ones(3), 2, 0, 1), RuntimeError, ("renorm", "2 dimensions", "[3]"))]),
    OpCase("sum_to_size", lambda T, x: x.sum_to_size(1, 4), lambda x: x.sum(0, keepdims=True),
           lambda rng: iter([Sample(rng.standard_normal((3, 4)))]), dtypes=FULL_FLOATS, empty=False, why="one form", errors=[
               ErrorCase(lambda T: T.ones(2, 3).sum_to_size(4), RuntimeError, ("sum_to_size", "[4]", "[2, 3]"))]),
]
