"""Slice writes, reductions by index and what complex numbers would be, against NumPy."""

from __future__ import annotations

import numpy as np
from opcase import FULL_FLOATS, ErrorCase, OpCase, Sample

R = RuntimeError


def selects(rng):
    for shape, dim, index in [((3, 4), 0, 1), ((3, 4), 1, -1), ((2, 3, 4), 1, 2), ((1, 1), 0, 0), ((2, 0), 0, 1)]:
        x = rng.standard_normal(shape)
        yield Sample(x, np.asarray(rng.standard_normal(np.take(x, 0, dim).shape)), dim, index)


def np_select(x, src, dim, index):
    y = np.moveaxis(x.copy(), dim, 0)
    y[index] = src
    return np.moveaxis(y, 0, dim)


def pieces(rng):
    for shape, dim, start, end, step in [((5, 4), 0, 1, 4, 1), ((5, 4), 0, None, None, 2), ((5, 4), 1, -2, None, 1), ((2, 6, 2), 1, 1, 6, 3), ((3, 0), 0, 0, 2, 1)]:
        x = rng.standard_normal(shape)
        part = np.moveaxis(x, dim, 0)[start:end:step]
        yield Sample(x, np.moveaxis(rng.standard_normal(part.shape), 0, dim), dim, start, end, step)


def np_slice(x, src, dim, start, end, step):
    y = np.moveaxis(x.copy(), dim, 0)
    y[start:end:step] = np.moveaxis(src, dim, 0)
    return np.moveaxis(y, 0, dim)


def diagonals(rng):
    for shape, offset in [((4, 4), 0), ((4, 4), 1), ((3, 5), -1), ((5, 3), 0), ((0, 3), 0), ((2, 3, 4), 0)]:
        x = rng.standard_normal(shape)
        yield Sample(x, rng.standard_normal(np.diagonal(x, offset).shape), offset)


def np_diagonal(x, src, offset):
    y = x.copy()
    np.einsum("ii...->...i", y[max(-offset, 0):, max(offset, 0):][:src.shape[-1], :src.shape[-1]])[...] = src
    return y


def reductions(reduce):
    def samples(rng):
        for shape, dim, count in [((4, 3), 0, 6), ((4, 3), 1, 5), ((5,), 0, 7), ((2, 4, 2), 1, 3), ((3, 2), 0, 0)]:
            source = list(shape)
            source[dim] = count
            for include in (True, False):
                yield Sample(rng.uniform(0.5, 2, shape), dim, rng.integers(0, shape[dim], count), rng.uniform(0.5, 2, source), include).but(nonfinite=False, k=8)

    return samples


def np_reduce(reduce):
    f = {"prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[reduce]

    def ref(x, dim, index, source, include):
        y, s = np.moveaxis(x.copy(), dim, 0), np.moveaxis(source, dim, 0)
        for i in set(index.tolist()):
            rows = [s[j] for j in np.flatnonzero(index == i)]
            y[i] = f(np.stack(([y[i]] if include else []) + rows), axis=0)
        return np.moveaxis(y, 0, dim)

    return ref


def numbers(rng):
    for s in ((), (5,), (0,), (2, 3)):
        yield Sample(np.asarray(rng.standard_normal(s) + np.where(rng.random(s) < 0.5, 2.0, -2.0)))


CASES = [
    OpCase("select_scatter", "select_scatter", np_select, selects, errors=[
        ErrorCase(lambda T: T.select_scatter(T.ones(2, 3), T.ones(2), 0, 0), R, ("size equal to the slice", "[2]", "[3]")),
        ErrorCase(lambda T: T.select_scatter(T.ones(2, 3), T.ones(3), 0, 2), IndexError, ("select", "2"))]),
    OpCase("slice_scatter", "slice_scatter", np_slice, pieces, errors=[
        ErrorCase(lambda T: T.slice_scatter(T.ones(4), T.ones(3), 0, 0, 2), R, ("size equal to the slice", "[3]", "[2]"))]),
    OpCase("diagonal_scatter", "diagonal_scatter", np_diagonal, diagonals, errors=[
        ErrorCase(lambda T: T.diagonal_scatter(T.ones(2, 2), T.ones(3)), R, ("size equal to the slice",))]),
    *(OpCase(f"index_reduce_{r}", lambda T, x, dim, index, source, include, r=r: T.index_reduce(x, dim, index, source, r, include_self=include), np_reduce(r),
             reductions(r), dtypes=FULL_FLOATS, nonfinite=False, gradgrad=r == "mean", why="the second derivative of a product or extreme by index is not compared",
             errors=[ErrorCase(lambda T: T.ones(3).index_reduce(0, T.tensor([0]), T.ones(1), "sum"), R, ("index_reduce", "sum")),
                     ErrorCase(lambda T: T.ones(3).index_reduce(0, T.tensor([0, 1]), T.ones(1), "prod"), R, ("index_reduce", "2", "1"))] if r == "prod" else [])
      for r in ("prod", "mean", "amax", "amin")),
    OpCase("angle", "angle", lambda x: np.angle(x).astype(np.float64), numbers, dtypes=FULL_FLOATS, nonfinite=False, out=True, gradgrad=False,
           why="the gradient is zero everywhere"),
    OpCase("narrow_copy", lambda T, x: T.narrow_copy(x, 0, 1, 2), lambda x: x[1:3], lambda rng: iter([Sample(rng.standard_normal((4, 3))), Sample(rng.standard_normal((3, 0)))])),
    OpCase("hsplit", lambda T, x: T.hsplit(x, 2), lambda x: tuple(np.hsplit(x, 2)), lambda rng: iter([Sample(rng.standard_normal(s)) for s in ((4,), (3, 4), (0, 2))]), errors=[
        ErrorCase(lambda T: T.hsplit(T.ones(3), 2), R, ("hsplit", "not divisible", "2")),
        ErrorCase(lambda T: T.hsplit(T.tensor(1.0), 2), R, ("hsplit", "at least 1 dimension"))]),
    OpCase("vsplit", lambda T, x: T.vsplit(x, (1, 2)), lambda x: tuple(np.vsplit(x, (1, 2))), lambda rng: iter([Sample(rng.standard_normal(s)) for s in ((4, 2), (3, 0))]), errors=[
        ErrorCase(lambda T: T.vsplit(T.ones(4), 2), R, ("vsplit", "at least 2 dimension"))]),
    OpCase("dsplit", lambda T, x: T.dsplit(x, 2), lambda x: tuple(np.dsplit(x, 2)), lambda rng: iter([Sample(rng.standard_normal(s)) for s in ((2, 2, 4), (0, 1, 2))])),
]
