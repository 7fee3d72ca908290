"""Indexed reading and writing: index_*, take, advanced indexing, masks."""

import numpy as np
from opcase import ALL, FLOATS, ErrorCase, OpCase, Sample


def slices(rng):
    """(x, dim, index)"""
    for shape, dim, n in [
        ((5,), 0, 3),
        ((3, 4), 0, 5),
        ((3, 4), 1, 2),
        ((2, 3, 4), -2, 4),
        ((3, 0), 0, 2),
        ((4, 2), 0, 0),
    ]:
        yield np.asarray(rng.uniform(-2, 2, shape)), dim, rng.integers(0, shape[dim], n)


def index_select_samples(rng):
    for x, dim, index in slices(rng):
        yield Sample(x, dim, index)


def index_source_samples(repeats, **kwargs):
    def samples(rng):
        for x, dim, index in slices(rng):
            if not repeats:
                index = rng.permutation(x.shape[dim])[: index.size]
            shape = list(x.shape)
            shape[dim] = index.size
            yield Sample(x, dim, index, np.asarray(rng.uniform(-2, 2, shape)), **kwargs).but(k=6)

    return samples


def along(x, dim, i):
    return tuple(slice(None) if d != dim % x.ndim else i for d in range(x.ndim))


def index_add_ref(x, dim, index, src, alpha=1):
    y = x.copy()
    for i, to in enumerate(index):
        y[along(x, dim, to)] += src[along(x, dim, i)] * np.asarray(alpha).astype(x.dtype)
    return y


def index_copy_ref(x, dim, index, src):
    y = x.copy()
    y[along(x, dim, index)] = src
    return y


def index_fill_samples(rng):
    for x, dim, index in slices(rng):
        yield Sample(x, dim, index, 2)


def index_fill_ref(x, dim, index, value):
    y = x.copy()
    y[along(x, dim, index)] = value
    return y


def take_samples(rng):
    x = np.asarray(rng.uniform(-2, 2, (3, 4)))
    yield Sample(x, rng.integers(-12, 12, (2, 5)))
    yield Sample(x, rng.integers(0, 12, ()))
    yield Sample(x, np.zeros((0,), np.int64))


def put_samples(rng):
    x = np.asarray(rng.uniform(-2, 2, (3, 4)))
    yield Sample(x, rng.permutation(12)[:5], np.asarray(rng.uniform(-2, 2, 5)))
    yield Sample(x, np.zeros((0,), np.int64), np.zeros((0,)))


def put_ref(x, index, src):
    y = x.copy()
    y.reshape(-1)[index] = src
    return y


def take_along_dim_samples(rng):
    x = np.asarray(rng.uniform(-2, 2, (3, 4)))
    yield Sample(x, rng.integers(0, 4, (3, 2)), dim=1)
    yield Sample(x, rng.integers(0, 3, (2, 1)), dim=0)
    yield Sample(np.asarray(rng.uniform(-2, 2, (1, 4))), rng.integers(0, 4, (3, 2)), dim=1)
    yield Sample(x, rng.integers(0, 12, (5,)))
    yield Sample(np.zeros((0, 3)), np.zeros((0, 2), np.int64), dim=1)


def take_along_dim_ref(x, indices, dim=None):
    return (
        np.take_along_axis(x.reshape(-1), indices.reshape(-1), 0)
        if dim is None
        else np.take_along_axis(x, indices, dim)
    )


def index_samples(rng):
    x = np.asarray(rng.uniform(-2, 2, (3, 4, 2)))
    i, j, k = rng.integers(-3, 3, 5), rng.integers(-4, 4, 5), rng.integers(0, 2, (3, 1))
    for where in [
        (i,),
        (i, j),
        (None, j),
        (i, None, k[:, 0].repeat(2)[:5]),
        (None, j, k),
        (i, j, k),
        (rng.uniform(size=(3, 4)) > 0.5,),
        (None, np.array([True, False, True, True])),
        (None, None, np.array([0, 1])),
        (np.zeros((0,), np.int64),),
    ]:
        yield Sample(x, list(where))


def index_op(T, x, where):
    return x[tuple(slice(None) if w is None else w for w in where)]


def index_ref(x, where):
    return x[tuple(slice(None) if w is None else w for w in where)]


def index_put_samples(accumulate):
    def samples(rng):
        x = np.asarray(rng.uniform(-2, 2, (3, 4, 2)))
        i, j = rng.permutation(3)[:2], rng.permutation(4)[:2]
        for where, shape in [
            ((i,), (2, 4, 2)),
            ((i, j), (2, 2)),
            ((i, j), (1,)),
            ((None, j), (3, 2, 2)),
            ((None, j), ()),
            ((np.zeros((0,), np.int64),), (0, 4, 2)),
            ((np.eye(3, 4) > 0,), (3, 2)),
        ]:
            if accumulate and where[0] is None:
                continue
            yield Sample(x, list(where), np.asarray(rng.uniform(-2, 2, shape)))
        if accumulate:
            yield Sample(x, [np.array([0, 2, 0, -1])], np.asarray(rng.uniform(-2, 2, (4, 4, 2)))).but(k=4)
            yield Sample(
                x, [np.array([1, 1, 1]), np.array([0, 0, -4])], np.asarray(rng.uniform(-2, 2, (3, 2)))
            ).but(k=4)

    return samples


def index_put_op(accumulate):
    def op(T, x, where, values):
        if accumulate:
            return T.index_put(x, tuple(where), values, True)
        y = x.clone()
        y[tuple(slice(None) if w is None else w for w in where)] = values
        return y

    return op


def index_put_ref(accumulate):
    def ref(x, where, values):
        y = x.copy()
        key = tuple(slice(None) if w is None else w for w in where)
        if accumulate:
            np.add.at(y, key, values)
        else:
            y[key] = values
        return y

    return ref


def masked_fill_samples(rng):
    for shape, mshape in [
        ((3, 4), (3, 4)),
        ((3, 4), (4,)),
        ((2, 3, 4), (3, 1)),
        ((3,), ()),
        ((0, 2), (2,)),
        ((5, 17), (5, 17)),
    ]:
        x = np.asarray(rng.uniform(-2, 2, shape))
        yield Sample(x, np.asarray(rng.uniform(size=mshape) > 0.5), 2).but(grad=x.size <= 64)


def masked_select_samples(rng):
    for shape, mshape in [
        ((3, 4), (3, 4)),
        ((3, 4), (4,)),
        ((4,), (3, 4)),
        ((2, 3, 4), (3, 1)),
        ((0, 2), (0, 2)),
        ((3,), (3,)),
    ]:
        yield Sample(np.asarray(rng.uniform(-2, 2, shape)), np.asarray(rng.uniform(size=mshape) > 0.5))


def masked_select_ref(x, mask):
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


def masked_scatter_samples(rng):
    for shape, mshape, n in [((3, 4), (3, 4), 12), ((3, 4), (4,), 14), ((0, 2), (0, 2), 0)]:
        yield Sample(
            np.asarray(rng.uniform(-2, 2, shape)),
            np.asarray(rng.uniform(size=mshape) > 0.5),
            np.asarray(rng.uniform(-2, 2, n)),
        )


def masked_scatter_ref(x, mask, src):
    y, mask = x.copy(), np.broadcast_to(mask, x.shape)
    y[mask] = src[: mask.sum()]
    return y


def where_samples(rng):
    for shape in [(3, 4), (5,), (0, 3), (2, 3, 2)]:
        yield Sample(np.asarray(rng.uniform(-1, 1, shape)) * (rng.uniform(size=shape) > 0.5))


CASES = [
    OpCase(
        "index_select",
        "index_select",
        lambda x, dim, i: np.take(x, i, dim),
        index_select_samples,
        dtypes=ALL,
        out=True,
        errors=[
            ErrorCase(
                lambda T: T.ones(3, 2).index_select(0, T.tensor([0, 3])),
                IndexError,
                ("index_select", "3", "size 3"),
            ),
            ErrorCase(
                lambda T: T.ones(3, 2).index_select(0, T.tensor([[0]])),
                IndexError,
                ("index_select", "[1, 1]"),
            ),
            ErrorCase(
                lambda T: T.ones(3, 2).index_select(0, T.tensor([0.5])),
                IndexError,
                ("index_select", "float32"),
            ),
        ],
    ),
    OpCase(
        "index_add",
        "index_add",
        index_add_ref,
        index_source_samples(True),
        dtypes=ALL[:-1],
        inplace="index_add_",
        out=True,
        errors=[
            ErrorCase(
                lambda T: T.zeros(3, 2).index_add(0, T.tensor([3]), T.ones(1, 2)),
                IndexError,
                ("index_add", "3", "size 3"),
            ),
            ErrorCase(
                lambda T: T.zeros(3, 2).index_add(0, T.tensor([0]), T.ones(2, 2)),
                RuntimeError,
                ("index_add", "[1, 2]", "[2, 2]"),
            ),
        ],
    ),
    OpCase(
        "index_add_alpha",
        "index_add",
        index_add_ref,
        index_source_samples(True, alpha=3),
        dtypes=FLOATS,
        inplace="index_add_",
    ),
    OpCase(
        "index_copy",
        "index_copy",
        index_copy_ref,
        index_source_samples(False),
        dtypes=ALL,
        inplace="index_copy_",
        out=True,
        errors=[
            ErrorCase(
                lambda T: T.zeros(3).index_copy(0, T.tensor([-1]), T.ones(1)),
                IndexError,
                ("index_copy", "-1"),
            )
        ],
    ),
    OpCase(
        "index_fill",
        "Tensor.index_fill",
        index_fill_ref,
        index_fill_samples,
        dtypes=ALL,
        inplace="index_fill_",
        errors=[
            ErrorCase(lambda T: T.zeros(3).index_fill(0, T.tensor([3]), 1.0), IndexError, ("index_fill", "3"))
        ],
    ),
    OpCase(
        "take",
        "take",
        lambda x, i: np.take(x, i),
        take_samples,
        dtypes=ALL,
        out=True,
        errors=[ErrorCase(lambda T: T.take(T.ones(2, 3), T.tensor([6])), IndexError, ("6", "size 6"))],
    ),
    OpCase(
        "put",
        "Tensor.put",
        put_ref,
        put_samples,
        dtypes=ALL,
        inplace="put_",
        errors=[
            ErrorCase(lambda T: T.ones(4).put(T.tensor([4]), T.ones(1)), IndexError, ("4",)),
            ErrorCase(lambda T: T.ones(4).put(T.tensor([1]), T.ones(2)), RuntimeError, ("put", "[2]", "[1]")),
        ],
    ),
    OpCase(
        "take_along_dim",
        "take_along_dim",
        take_along_dim_ref,
        take_along_dim_samples,
        dtypes=ALL,
        out=True,
        errors=[
            ErrorCase(
                lambda T: T.take_along_dim(T.ones(2, 3), T.tensor([1]), dim=1),
                RuntimeError,
                ("take_along_dim", "[1]", "[2, 3]"),
            )
        ],
    ),
    OpCase(
        "index",
        index_op,
        index_ref,
        index_samples,
        dtypes=ALL,
        errors=[
            ErrorCase(
                lambda T: T.ones(2, 3)[T.tensor([2])], IndexError, ("index 2", "dimension 0", "size 2")
            ),
            ErrorCase(
                lambda T: T.ones(2, 3)[T.tensor([0, 1]), T.tensor([0, 1, 2])],
                IndexError,
                ("shape mismatch", "[2]", "[3]"),
            ),
            ErrorCase(
                lambda T: T.ones(2, 3)[T.tensor([True, False, True])], IndexError, ("mask", "[3]", "[2, 3]")
            ),
            ErrorCase(lambda T: T.ones(2, 3)[0, 0, 0], IndexError, ("too many indices", "dimension 2")),
            ErrorCase(lambda T: T.ones(2, 3)[0.5], IndexError, ("float",)),
            ErrorCase(lambda T: T.ones(2, 3)[5], IndexError, ("index 5", "dimension 0", "size 2")),
            ErrorCase(lambda T: T.ones(2, 3)[::-1], ValueError, ("step", "-1")),
        ],
    ),
    OpCase(
        "index_put",
        index_put_op(False),
        index_put_ref(False),
        index_put_samples(False),
        dtypes=ALL,
        errors=[
            ErrorCase(
                lambda T: T.zeros(3).index_put((T.tensor([3]),), T.ones(1)),
                IndexError,
                ("index_put", "3", "size 3"),
            ),
            ErrorCase(
                lambda T: T.zeros(3).index_put((T.tensor([1]),), T.ones(2)),
                RuntimeError,
                ("index_put", "shape mismatch", "[2]", "[1]"),
            ),
        ],
    ),
    OpCase(
        "index_put_accumulate",
        index_put_op(True),
        index_put_ref(True),
        index_put_samples(True),
        dtypes=FLOATS,
        big=lambda rng: Sample(
            rng.uniform(-1, 1, (50, 2000)), [rng.integers(0, 50, 70)], rng.uniform(-1, 1, (70, 2000))
        ),
    ),
    OpCase(
        "masked_fill",
        "masked_fill",
        lambda x, m, v: np.where(m, np.asarray(v).astype(x.dtype), x),
        masked_fill_samples,
        dtypes=ALL,
        inplace="masked_fill_",
        errors=[
            ErrorCase(
                lambda T: T.ones(3).masked_fill(T.ones(3), 0.0),
                RuntimeError,
                ("masked_fill", "boolean", "float32"),
            ),
            ErrorCase(
                lambda T: T.ones(3).masked_fill_(T.ones(4, dtype=T.bool), 0.0),
                RuntimeError,
                ("masked_fill_", "[4]", "[3]"),
            ),
            ErrorCase(
                lambda T: T.ones(3).masked_fill(T.ones(3, dtype=T.bool), T.ones(2)),
                RuntimeError,
                ("masked_fill", "0-dim"),
            ),
        ],
    ),
    OpCase(
        "masked_select",
        "masked_select",
        masked_select_ref,
        masked_select_samples,
        dtypes=ALL,
        out=True,
        errors=[
            ErrorCase(
                lambda T: T.masked_select(T.ones(3), T.ones(3)), RuntimeError, ("masked_select", "boolean")
            )
        ],
    ),
    OpCase(
        "masked_scatter",
        "Tensor.masked_scatter",
        masked_scatter_ref,
        masked_scatter_samples,
        dtypes=ALL,
        inplace="masked_scatter_",
        nonfinite=False,
        why="elements of source beyond the mask are unused",
        errors=[
            ErrorCase(
                lambda T: T.ones(3).masked_scatter(T.ones(3, dtype=T.bool), T.ones(2)),
                RuntimeError,
                ("masked_scatter", "3", "2"),
            )
        ],
    ),
    OpCase(
        "where_coordinates",
        lambda T, x: T.where(x),
        lambda x: np.nonzero(x),
        where_samples,
        dtypes=ALL,
        grad=False,
        result="int64",
        nonfinite=False,
        why="coordinates only",
    ),
]
