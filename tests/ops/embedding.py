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


def bag_ref(index, table, offsets=None, weights=None, mode="mean", include_last_offset=False, padding_idx=None):
    if index.ndim == 2:
        bags = [range(b * index.shape[1], (b + 1) * index.shape[1]) for b in range(index.shape[0])]
    else:
        ends = list(offsets[1:]) + ([] if include_last_offset else [index.size])
        bags = [range(a, b) for a, b in zip(offsets, ends)]
    flat, scale = index.ravel(), np.ones(index.size) if weights is None else weights.ravel()
    out = np.zeros((len(bags), table.shape[1]))
    for b, bag in enumerate(bags):
        kept = [i for i in bag if padding_idx is None or flat[i] != padding_idx % len(table)]
        if kept:
            rows = np.stack([table[flat[i]] * scale[i] for i in kept])
            out[b] = getattr(rows, mode)(0)
    return out


def bag_samples(mode):
    def make(rng):
        for columns in (1, 5, 37):
            table = np.asarray(rng.uniform(-2, 2, (6, columns)))
            yield Sample(rng.integers(0, 6, (3, 4)), table).but(k=4)
        table = np.asarray(rng.uniform(-2, 2, (6, 150)))  # more columns than are summed at a time
        yield Sample(rng.integers(0, 6, (9,)), table, np.array([0, 4])).but(k=5, grad=False)
        table = np.asarray(rng.uniform(-2, 2, (6, 3)))
        ids = rng.integers(0, 6, (9,))
        yield Sample(ids, table, np.array([0, 2, 2, 7])).but(k=5)  # one bag is empty
        yield Sample(ids.astype(np.int32), table, np.array([0, 8], np.int32)).but(k=8)
        yield Sample(ids, table, np.array([0, 4, 9]), include_last_offset=True).but(k=5)
        yield Sample(ids, table, np.array([0, 5]), padding_idx=int(ids[0])).but(k=5)
        yield Sample(np.array([[1, 1], [2, 1]]), table, padding_idx=-5).but(k=2)  # nothing but padding in one
        yield Sample(ids[:0], table, np.array([0, 0])).but(k=1)
        yield Sample(ids[:0].reshape(0, 4), table).but(k=1)
        if mode == "sum":
            yield Sample(ids, table, np.array([0, 2, 2]), np.asarray(rng.uniform(-2, 2, 9))).but(k=7)
            yield Sample(ids, table, np.array([0, 3, 9]), np.asarray(rng.uniform(-2, 2, 9)), include_last_offset=True).but(k=6)
            yield Sample(ids.reshape(3, 3), table, None, np.asarray(rng.uniform(-2, 2, (3, 3))), padding_idx=int(ids[1])).but(k=3)

    return make


def bag(mode):
    def call(T, index, table, offsets=None, weights=None, **kwargs):
        return T.nn.functional.embedding_bag(index, table, offsets, mode=mode, per_sample_weights=weights, **kwargs)

    return call


def bag_error(exc, parts, index=((0, 1),), table=(3, 2), offsets=None, **kwargs):
    def call(T):
        options = dict(kwargs)
        if "per_sample_weights" in options:
            options["per_sample_weights"] = T.ones(*options["per_sample_weights"])
        if options.pop("double_weights", False):
            options["per_sample_weights"] = options["per_sample_weights"].double()
        given = offsets if offsets is None else T.tensor(offsets)
        return T.nn.functional.embedding_bag(T.tensor(index), T.ones(*table), given, **options)

    return ErrorCase(call, exc, ("embedding_bag", *parts))


BAG_ERRORS = [
    bag_error(IndexError, ("3",), index=((0, 3),)),
    bag_error(IndexError, ("-1",), index=((0, -1),)),
    bag_error(RuntimeError, ("float32", "int64"), index=((0.0, 1.0),)),
    bag_error(ValueError, ("2-d", "[3]"), table=(3,)),
    bag_error(ValueError, ("1-d or 2-d", "[1, 1, 2]"), index=(((0, 1),),)),
    bag_error(ValueError, ("None", "[1]"), offsets=[0]),
    bag_error(ValueError, ("offsets", "None"), index=(0, 1)),
    bag_error(ValueError, ("offsets", "[1, 1]"), index=(0, 1), offsets=[[0]]),
    bag_error(RuntimeError, ("offsets", "float32"), index=(0, 1), offsets=[0.0]),
    bag_error(RuntimeError, ("offsets", "start at 0", "got 1"), index=(0, 1), offsets=[1]),
    bag_error(RuntimeError, ("offsets", "length 2", "got 3"), index=(0, 1), offsets=[0, 3]),
    bag_error(RuntimeError, ("offsets", "not decrease", "got 1"), index=(0, 1), offsets=[0, 2, 1]),
    bag_error(RuntimeError, ("include_last_offset", "float32 [0]"), index=(0, 1), offsets=[], include_last_offset=True),
    bag_error(ValueError, ("mode", "'median'"), mode="median"),
    bag_error(NotImplementedError, ("per_sample_weights", "'mean'"), mode="mean", per_sample_weights=(1, 2)),
    bag_error(ValueError, ("per_sample_weights", "[1, 3]", "[1, 2]"), mode="sum", per_sample_weights=(1, 3)),
    bag_error(RuntimeError, ("per_sample_weights", "float64", "float32"), mode="sum", per_sample_weights=(1, 2), double_weights=True),
    bag_error(ValueError, ("max", "scale_grad_by_freq"), mode="max", scale_grad_by_freq=True),
    bag_error(ValueError, ("max", "sparse"), mode="max", sparse=True),
    bag_error(RuntimeError, ("padding_idx", "3"), padding_idx=3),
]


def bag_case(mode):
    return OpCase(
        f"embedding_bag_{mode}",
        bag(mode),
        lambda *args, **kwargs: bag_ref(*args, mode=mode, **kwargs),
        bag_samples(mode),
        dtypes=FLOATS,
        simd=True,
        big=lambda rng: Sample(rng.integers(0, 400, (900, 20)), rng.uniform(-1, 1, (400, 130))).but(k=20),
        errors=BAG_ERRORS if mode == "mean" else [],
    )


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
    *(bag_case(mode) for mode in ("sum", "mean", "max")),
]
