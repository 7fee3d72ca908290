"""Table look-up."""

import numpy as np
from opcase import FLOATS, ErrorCase, OpCase, Sample


def samples(rng):
    table = np.asarray(rng.uniform(-2, 2, (6, 3)))
    for index in [
        rng.integers(0, 6, (4,)),
        rng.integers(0, 6, (2, 5)),
        np.array(2),
        np.zeros((0,), np.int64),
        np.array([1, 1, 1, 0]),
    ]:
        yield Sample(index, table).but(k=8)
    yield Sample(rng.integers(0, 6, (5,)).astype(np.int32), table).but(k=8)
    yield Sample(np.array([4, 4, 1]), table, padding_idx=4).but(grad=False)


def frequency_samples(rng):
    table = np.asarray(rng.uniform(-2, 2, (5, 2)))
    yield Sample(np.array([1, 1, 3, 1]), table, scale_grad_by_freq=True).but(grad=False)
    yield Sample(np.zeros((0,), np.int64), table, scale_grad_by_freq=True).but(grad=False)


def F(name):
    return lambda T, *args, **kwargs: getattr(T.nn.functional, name)(*args, **kwargs)


def lookup(index, table, **kwargs):
    return table[index]


CASES = [
    OpCase(
        "embedding",
        F("embedding"),
        lookup,
        samples,
        dtypes=FLOATS,
        simd=True,
        big=lambda rng: Sample(rng.integers(0, 400, (3000,)), rng.uniform(-1, 1, (400, 130))),
        errors=[
            ErrorCase(
                lambda T: T.nn.functional.embedding(T.tensor([3]), T.ones(3, 2)),
                IndexError,
                ("embedding", "3", "size 3"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.embedding(T.tensor([-1]), T.ones(3, 2)),
                IndexError,
                ("embedding", "-1", "size 3"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.embedding(T.tensor([-(2**63)]), T.ones(3, 2)),
                IndexError,
                ("embedding", "size 3"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.embedding(T.tensor([0.0]), T.ones(3, 2)),
                RuntimeError,
                ("embedding", "float32"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.embedding(T.tensor([0]), T.ones(3)),
                RuntimeError,
                ("embedding", "2-D", "[3]"),
            ),
        ],
    ),
]
