"""Joining, repeating and rearranging."""

import itertools

import numpy as np
from opcase import ALL, ErrorCase, OpCase, Sample

BOUNDARY = 2**62


def u(rng, *shape):
    return np.asarray(rng.uniform(-2, 2, shape))


def cat_samples(rng):
    yield Sample([u(rng, 2, 3), u(rng, 4, 3), u(rng, 1, 3)], 0)
    yield Sample([u(rng, 2, 3), u(rng, 2, 1)], 1)
    yield Sample([u(rng, 2, 3, 2), u(rng, 2, 3, 5)], -1)
    yield Sample([u(rng, 0, 3), u(rng, 2, 3)], 0)
    yield Sample([u(rng, 17)], 0)
    yield Sample([u(rng, 2, 0), u(rng, 2, 3)], 1)


def stack_samples(rng):
    for dim in (0, 1, 2, -1):
        yield Sample([u(rng, 2, 3), u(rng, 2, 3), u(rng, 2, 3)], dim)
    yield Sample([u(rng), u(rng)], 0)
    yield Sample([u(rng, 0, 2), u(rng, 0, 2)], 1)


def list_samples(*shapes):
    def samples(rng):
        for group in shapes:
            yield Sample([u(rng, *s) for s in group])

    return samples


def roll_samples(rng):
    yield Sample(u(rng, 5), 2, 0)
    yield Sample(u(rng, 3, 4), -1, 1)
    yield Sample(u(rng, 3, 4), [1, 7], [0, 1])
    yield Sample(u(rng, 3, 4), 5)
    yield Sample(u(rng, 2, 3, 2), [1, 1, 1], [0, 1, 0])
    yield Sample(u(rng, 0, 3), 1, 0)


def roll_ref(x, shifts, dims=None):
    for s, d in zip(np.atleast_1d(shifts).tolist(), [None] if dims is None else np.atleast_1d(dims).tolist()):
        n = x.size if d is None else x.shape[d]
        x = np.roll(x, int(s) % n if n else 0, d)
    return x


def flip_samples(rng):
    for dims in ([0], [1], [0, 1], [-1], []):
        yield Sample(u(rng, 3, 4), dims)
    yield Sample(u(rng, 2, 3, 4), [0, 2])
    yield Sample(u(rng, 0, 3), [0, 1])


def matrix_samples(rng):
    for shape in [(3, 4), (4, 3), (2, 3, 3), (1, 5), (0, 3), (3, 0)]:
        yield Sample(u(rng, *shape))


def rot90_samples(rng):
    for k in (-1, 0, 1, 2, 3, 5):
        yield Sample(u(rng, 2, 3), k, [0, 1])
    yield Sample(u(rng, 2, 3, 4), 1, [2, 0])
    yield Sample(u(rng, 0, 3), 1, [0, 1])


def repeat_samples(rng):
    yield Sample(u(rng, 3), [2])
    yield Sample(u(rng, 2, 3), [2, 3])
    yield Sample(u(rng, 2, 1), [3, 1, 2])
    yield Sample(u(rng, 2, 3), [2, 0]).but(grad=False)
    yield Sample(u(rng, 0, 3), [2, 2])
    yield Sample(u(rng), [2, 3])


def tile_samples(rng):
    yield Sample(u(rng, 2, 3), [2])
    yield Sample(u(rng, 3), [2, 2])
    yield Sample(u(rng, 0, 3), [2])


def repeat_interleave_samples(rng):
    yield Sample(u(rng, 2, 3), 2)
    yield Sample(u(rng, 2, 3), 3, 1)
    yield Sample(u(rng, 2, 3), 0, 0)
    yield Sample(u(rng, 2, 3), np.array([2, 0, 3]), 1)
    yield Sample(u(rng, 2, 3), np.array([2]), 0)
    yield Sample(u(rng, 0, 3), np.zeros((0,), np.int64), 0)


def triangle_samples(rng):
    for shape, k in itertools.product([(4, 4), (3, 5), (5, 3), (2, 3, 4), (1, 1)], (-5, -1, 0, 2, 9)):
        yield Sample(u(rng, *shape), k)
    yield Sample(u(rng, 0, 3), 0)
    yield Sample(u(rng, 3, 3), BOUNDARY)
    yield Sample(u(rng, 3, 3), -BOUNDARY)


def diag_samples(rng):
    for k in (-2, 0, 1):
        yield Sample(u(rng, 3), k)
        yield Sample(u(rng, 3, 4), k)
    yield Sample(u(rng, 0), 0)


def diag_embed_samples(rng):
    yield Sample(u(rng, 3), 0, 0, 1)
    yield Sample(u(rng, 2, 3), 1, -2, -1)
    yield Sample(u(rng, 2, 3), -1, 0, 2)
    yield Sample(u(rng, 2, 3), 0, 1, 0)
    yield Sample(u(rng, 2, 0), 0, 0, 1)


def diag_embed_ref(x, offset, dim1, dim2):
    n = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], n, n), x.dtype)
    i = np.arange(x.shape[-1])
    y[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


def block_diag_ref(*blocks):
    blocks = [np.atleast_2d(b) for b in blocks]
    y = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)), blocks[0].dtype)
    r = c = 0
    for b in blocks:
        y[r : r + b.shape[0], c : c + b.shape[1]] = b
        r, c = r + b.shape[0], c + b.shape[1]
    return y


def meshgrid_samples(rng):
    for indexing in ("ij", "xy"):
        yield Sample([u(rng, 3), u(rng, 4)], indexing)
        yield Sample([u(rng, 2), u(rng, 3), u(rng, 2)], indexing)
    yield Sample([u(rng, 0), u(rng, 3)], "ij")


def combinations_samples(rng):
    yield Sample(u(rng, 4))
    yield Sample(u(rng, 4), 3)
    yield Sample(u(rng, 3), 2, True)
    yield Sample(u(rng, 2), 3)
    yield Sample(u(rng, 0))


def combinations_ref(x, r=2, with_replacement=False):
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return np.array(list(pick(x, r)), x.dtype).reshape(-1, r)


def spread(name):
    return lambda T, tensors: getattr(T, name)(*tensors)


CASES = [
    OpCase(
        "cat",
        "cat",
        lambda xs, dim: np.concatenate(xs, dim),
        cat_samples,
        dtypes=ALL,
        out=True,
        big=lambda rng: Sample([u(rng, 300, 400), u(rng, 200, 400)], 0),
        errors=[
            ErrorCase(lambda T: T.cat([]), ValueError, ("cat", "non-empty")),
            ErrorCase(
                lambda T: T.cat([T.ones(2, 3), T.ones(2, 4)]),
                RuntimeError,
                ("cat", "Expected size 3 but got size 4", "number 1"),
            ),
            ErrorCase(
                lambda T: T.cat([T.ones(2, 3), T.ones(2)]),
                RuntimeError,
                ("cat", "same number of dimensions", "2 and 1"),
            ),
            ErrorCase(lambda T: T.cat([T.ones(2, 3)], 2), IndexError, ("cat", "2")),
            ErrorCase(
                lambda T: T.cat([T.tensor(1.0)]), RuntimeError, ("cat", "zero-dimensional", "position 0")
            ),
        ],
    ),
    OpCase(
        "stack",
        "stack",
        lambda xs, dim: np.stack(xs, dim),
        stack_samples,
        dtypes=ALL,
        out=True,
        errors=[
            ErrorCase(
                lambda T: T.stack([T.ones(2), T.ones(3)]),
                RuntimeError,
                ("stack", "equal size", "[2]", "[3]", "entry 1"),
            ),
            ErrorCase(lambda T: T.stack([]), ValueError, ("stack", "non-empty")),
        ],
    ),
    OpCase(
        "hstack",
        "hstack",
        np.hstack,
        list_samples([(3,), (2,)], [(2, 3), (2, 1)], [(), ()], [(0,), (2,)]),
        dtypes=ALL,
        out=True,
    ),
    OpCase(
        "vstack",
        "vstack",
        np.vstack,
        list_samples([(3,), (3,)], [(2, 3), (1, 3)], [(), ()], [(0, 3), (2, 3)]),
        dtypes=ALL,
        out=True,
    ),
    OpCase(
        "dstack",
        "dstack",
        np.dstack,
        list_samples([(3,), (3,)], [(2, 3), (2, 3)], [(0,), (0,)]),
        dtypes=ALL,
        out=True,
    ),
    OpCase(
        "column_stack",
        "column_stack",
        np.column_stack,
        list_samples([(3,), (3,)], [(2, 3), (2,)], [(0,), (0,)]),
        dtypes=ALL,
        out=True,
    ),
    OpCase(
        "block_diag",
        spread("block_diag"),
        lambda xs: block_diag_ref(*xs),
        list_samples([(2, 3), (3,), ()], [(0, 2), (2, 2)]),
        dtypes=ALL,
    ),
    OpCase(
        "meshgrid",
        lambda T, xs, indexing: T.meshgrid(*xs, indexing=indexing),
        lambda xs, indexing: tuple(np.meshgrid(*xs, indexing=indexing)),
        meshgrid_samples,
        dtypes=ALL,
        errors=[
            ErrorCase(
                lambda T: T.meshgrid(T.ones(2), T.ones(2), indexing="yx"), RuntimeError, ("meshgrid", "yx")
            )
        ],
    ),
    OpCase(
        "cartesian_prod",
        spread("cartesian_prod"),
        lambda xs: np.stack([g.reshape(-1) for g in np.meshgrid(*xs, indexing="ij")], 1),
        list_samples([(2,), (3,)], [(2,), (2,), (2,)], [(0,), (2,)]),
        dtypes=ALL,
    ),
    OpCase("combinations", "combinations", combinations_ref, combinations_samples, dtypes=ALL),
    OpCase(
        "broadcast_tensors",
        spread("broadcast_tensors"),
        lambda xs: tuple(np.broadcast_arrays(*xs)),
        list_samples([(3, 1), (4,)], [(), (2,)], [(0, 1), (3,)]),
        dtypes=ALL,
    ),
    OpCase(
        "atleast_2d",
        "atleast_2d",
        np.atleast_2d,
        lambda rng: (Sample(u(rng, *s)) for s in [(), (3,), (2, 3), (0,)]),
        dtypes=ALL,
    ),
    OpCase(
        "atleast_3d",
        "atleast_3d",
        np.atleast_3d,
        lambda rng: (Sample(u(rng, *s)) for s in [(), (3,), (2, 3), (2, 1, 2), (0,)]),
        dtypes=ALL,
    ),
    OpCase(
        "roll",
        "roll",
        roll_ref,
        roll_samples,
        dtypes=ALL,
        errors=[
            ErrorCase(
                lambda T: T.roll(T.ones(2, 2), [1, 1], [0]), RuntimeError, ("roll", "2 shifts", "1 dims")
            ),
            ErrorCase(lambda T: T.roll(T.ones(2), 1, 3), IndexError, ("roll", "3")),
        ],
    ),
    OpCase(
        "roll_far",
        "roll",
        roll_ref,
        lambda rng: iter([Sample(u(rng, 3, 4), [-(2**62), 2**62 + 1], [0, 1]), Sample(u(rng, 0), 2**62, 0)]),
        torch=False,
        why="PyTorch 2.13 overflows on shifts near 2^63",
    ),
    OpCase(
        "flip",
        "flip",
        lambda x, dims: np.flip(x, dims),
        flip_samples,
        dtypes=ALL,
        errors=[ErrorCase(lambda T: T.flip(T.ones(2), [1]), IndexError, ("flip", "1"))],
    ),
    OpCase("fliplr", "fliplr", np.fliplr, matrix_samples, dtypes=ALL),
    OpCase("flipud", "flipud", np.flipud, matrix_samples, dtypes=ALL),
    OpCase("rot90", "rot90", lambda x, k, dims: np.rot90(x, k, dims), rot90_samples, dtypes=ALL),
    OpCase(
        "repeat",
        "Tensor.repeat",
        lambda x, r: np.tile(x, r),
        repeat_samples,
        dtypes=ALL,
        errors=[
            ErrorCase(lambda T: T.ones(2, 3).repeat(2), RuntimeError, ("repeat", "[2]", "[2, 3]")),
            ErrorCase(lambda T: T.ones(2).repeat(-1), RuntimeError, ("repeat", "-1")),
            ErrorCase(lambda T: T.ones(2).repeat(2**62), ValueError, ("repeat", str(2**62))),
        ],
    ),
    OpCase("tile", "tile", lambda x, r: np.tile(x, r), tile_samples, dtypes=ALL),
    OpCase(
        "repeat_interleave",
        "repeat_interleave",
        lambda x, r, dim=None: np.repeat(x, r, dim),
        repeat_interleave_samples,
        dtypes=ALL,
        errors=[
            ErrorCase(
                lambda T: T.repeat_interleave(T.ones(2), -1), RuntimeError, ("repeat_interleave", "-1")
            ),
            ErrorCase(
                lambda T: T.repeat_interleave(T.ones(2), T.tensor([1, -1])),
                RuntimeError,
                ("repeat_interleave", "negative"),
            ),
            ErrorCase(
                lambda T: T.repeat_interleave(T.ones(2), T.tensor([1, 1, 1])),
                RuntimeError,
                ("repeat_interleave", "[3]", "[2]"),
            ),
        ],
    ),
    OpCase(
        "tril",
        "tril",
        np.tril,
        triangle_samples,
        dtypes=ALL,
        inplace="tril_",
        out=True,
        errors=[
            ErrorCase(lambda T: T.tril(T.ones(3)), RuntimeError, ("tril", "at least 2 dimensions", "[3]"))
        ],
    ),
    OpCase("triu", "triu", np.triu, triangle_samples, dtypes=ALL, inplace="triu_", out=True),
    OpCase(
        "diag",
        "diag",
        np.diag,
        diag_samples,
        dtypes=ALL,
        out=True,
        errors=[ErrorCase(lambda T: T.diag(T.ones(2, 2, 2)), RuntimeError, ("diag", "3D"))],
    ),
    OpCase(
        "diagflat",
        "diagflat",
        np.diagflat,
        lambda rng: iter([Sample(u(rng, 2, 2)), Sample(u(rng, 3), 1), Sample(u(rng, 0))]),
        dtypes=ALL,
    ),
    OpCase(
        "diag_embed",
        "diag_embed",
        diag_embed_ref,
        diag_embed_samples,
        dtypes=ALL,
        errors=[
            ErrorCase(lambda T: T.diag_embed(T.ones(2), 0, 1, 1), RuntimeError, ("diag_embed", "identical"))
        ],
    ),
]
