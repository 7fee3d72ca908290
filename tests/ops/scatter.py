"""An index for every element: gather, scatter, scatter_reduce."""

import itertools

import numpy as np
from opcase import ALL, FLOATS, ErrorCase, OpCase, Sample


def points(rng):
    """(x, dim, index): index no larger than x apart from dim."""
    for shape, dim, ishape in [
        ((5,), 0, (3,)),
        ((3, 4), 0, (2, 4)),
        ((3, 4), 1, (3, 7)),
        ((3, 4), -1, (2, 2)),
        ((2, 3, 4), 1, (2, 5, 3)),
        ((4, 2, 3), 0, (6, 2, 3)),
        ((0, 3), 1, (0, 2)),
        ((3, 0), 0, (2, 0)),
    ]:
        n = shape[dim]
        index = rng.integers(0, max(n, 1), ishape)
        yield np.asarray(rng.uniform(-2, 2, shape)), dim, index


def gather_samples(rng):
    for x, dim, index in points(rng):
        yield Sample(x, dim, index)


def gather_ref(x, dim, index):
    part = x[tuple(slice(None) if d == dim % x.ndim else slice(index.shape[d]) for d in range(x.ndim))]
    return np.take_along_axis(part, index, dim)


def cells(index, dim):
    """Every position of index with the coordinates it names."""
    for at in itertools.product(*map(range, index.shape)):
        to = list(at)
        to[dim] = index[at]
        yield at, tuple(to)


def scatter_samples(rng):
    for x, dim, index in points(rng):
        n = x.shape[dim]
        if index.shape[dim] > n:
            index = np.take(index, range(n), axis=dim)
        moved = np.moveaxis(index, dim, -1).copy()
        for at in np.ndindex(moved.shape[:-1]):
            moved[at] = rng.permutation(max(n, 1))[: moved.shape[-1]]
        index = np.ascontiguousarray(np.moveaxis(moved, -1, dim))
        yield Sample(x, dim, index, np.asarray(rng.uniform(-2, 2, index.shape)))


def scatter_value_samples(rng):
    for x, dim, index in points(rng):
        yield Sample(x, dim, index, 3)


def scatter_ref(x, dim, index, src):
    y = x.copy()
    for at, to in cells(index, dim):
        y[to] = src if np.isscalar(src) else src[at]
    return y


def scatter_add_samples(rng):
    for x, dim, index in points(rng):
        yield Sample(x, dim, index, np.asarray(rng.uniform(-2, 2, index.shape))).but(k=8)
    yield Sample(
        np.asarray(rng.uniform(-2, 2, (3, 4))),
        0,
        rng.integers(0, 3, (2, 3)),
        np.asarray(rng.uniform(-2, 2, (4, 4))),
    ).but(k=4)


def scatter_add_ref(x, dim, index, src):
    y = x.copy()
    for at, to in cells(index, dim):
        y[to] = y[to] + src[at]
    return y


def scatter_add_big(rng):
    return Sample(
        rng.uniform(-1, 1, (40, 3000)), 0, rng.integers(0, 40, (60, 3000)), rng.uniform(-1, 1, (60, 3000))
    )


def reduce_samples(mode):
    def samples(rng):
        for include in (True, False):
            for x, dim, index in points(rng):
                x = np.asarray(rng.permutation(x.size).reshape(x.shape) / 7 + 0.5)
                src = np.asarray(rng.permutation(index.size).reshape(index.shape) / 9 + 0.55)
                yield Sample(x, dim, index, src, mode, include_self=include).but(k=8)

    return samples


def reduce_ref(x, dim, index, src, mode, include_self=True):
    values = {}
    for at, to in cells(index, dim):
        values.setdefault(to, [x[to]] if include_self else []).append(src[at])
    y = x.copy()
    fold = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[mode]
    for to, met in values.items():
        y[to] = fold(met)
    return y


WRONG_INDEX = [
    ErrorCase(
        lambda T: T.gather(T.ones(2, 3), 1, T.tensor([[0, 3]])),
        IndexError,
        ("gather", "3", "dimension 1", "size 3"),
    ),
    ErrorCase(lambda T: T.gather(T.ones(2, 3), 1, T.tensor([[-1]])), IndexError, ("gather", "-1", "size 3")),
    ErrorCase(lambda T: T.gather(T.ones(2, 3), 2, T.tensor([[0]])), IndexError, ("gather", "2")),
    ErrorCase(
        lambda T: T.gather(T.ones(2, 3), 0, T.tensor([0])),
        RuntimeError,
        ("gather", "same number of dimensions", "[1]", "[2, 3]"),
    ),
    ErrorCase(
        lambda T: T.gather(T.ones(2, 3), 1, T.zeros(3, 1, dtype=T.int64)),
        RuntimeError,
        ("gather", "[3, 1]", "[2, 3]"),
    ),
    ErrorCase(
        lambda T: T.gather(T.ones(2, 3), 1, T.tensor([[-(2**63)]])),
        IndexError,
        ("gather", "-9223372036854775808"),
    ),
    ErrorCase(lambda T: T.gather(T.ones(2), 0, T.ones(2)), IndexError, ("gather", "index", "float32")),
]


CASES = [
    OpCase(
        "gather",
        "gather",
        gather_ref,
        gather_samples,
        dtypes=ALL,
        out=True,
        errors=WRONG_INDEX,
        big=lambda rng: Sample(rng.uniform(-1, 1, (300, 500)), 1, rng.integers(0, 500, (300, 400))),
    ),
    OpCase(
        "scatter",
        "scatter",
        scatter_ref,
        scatter_samples,
        dtypes=ALL,
        inplace="scatter_",
        out=True,
        errors=[
            ErrorCase(
                lambda T: T.zeros(3).scatter(0, T.tensor([3]), T.ones(1)),
                IndexError,
                ("scatter", "3", "size 3"),
            ),
            ErrorCase(
                lambda T: T.zeros(3).scatter(0, T.tensor([0, 1]), T.ones(1)),
                RuntimeError,
                ("scatter", "[2]", "[1]"),
            ),
            ErrorCase(
                lambda T: T.zeros(3).scatter(0, T.tensor([0]), T.ones(1, dtype=T.int64)),
                RuntimeError,
                ("scatter", "float32", "int64"),
            ),
        ],
    ),
    OpCase("scatter_value", "scatter", scatter_ref, scatter_value_samples, dtypes=ALL, inplace="scatter_"),
    OpCase(
        "scatter_add",
        "scatter_add",
        scatter_add_ref,
        scatter_add_samples,
        dtypes=ALL,
        inplace="scatter_add_",
        out=True,
        torch=lambda T, x, dim, index, src: T.scatter_add(
            x, dim, index, src[tuple(slice(n) for n in index.shape)]
        ),
        big=scatter_add_big,
        errors=[
            ErrorCase(
                lambda T: T.zeros(3).scatter_add(0, T.tensor([5]), T.ones(1)),
                IndexError,
                ("scatter_add", "5", "size 3"),
            )
        ],
    ),
    *[
        OpCase(
            f"scatter_reduce_{mode}",
            "scatter_reduce",
            reduce_ref,
            reduce_samples(mode),
            dtypes=FLOATS,
            inplace="scatter_reduce_",
            nonfinite=mode != "mean",
            gradgrad=mode != "prod",
            why="the second derivative of prod is taken through quotients, undefined at zero"
            if mode == "prod"
            else "a mean of an infinity and its opposite depends on the order"
            if mode == "mean"
            else "",
            errors=[
                ErrorCase(
                    lambda T: T.zeros(3).scatter_reduce(0, T.tensor([0]), T.ones(1), "most"),
                    ValueError,
                    ("scatter_reduce", "most"),
                )
            ],
        )
        for mode in ("sum", "prod", "mean", "amax", "amin")
    ],
]
