"""Random fills and dropout against an independent Philox4x32-10 in NumPy: the stream is part of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from opcase import FLOATS, INTS, ErrorCase, OpCase, Sample

SEED = 0x1234567887654321
SHAPES = [(), (0,), (1,), (3, 0, 2), (2, 3), (4, 5, 6), (2, 3, 4, 5), (1025,), (17,), (16,)]


def philox_words(n: int, seed: int = SEED, offset: int = 0) -> np.ndarray:
    """The first n 32-bit words of the stream, as uint64."""
    low = np.uint64(0xFFFFFFFF)
    counter = np.uint64(offset) + np.arange((n + 3) // 4, dtype=np.uint64)
    c = [counter & low, counter >> np.uint64(32), np.zeros_like(counter), np.zeros_like(counter)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).reshape(-1)[:n]


def draws64(n: int) -> np.ndarray:
    w = philox_words(2 * n)
    return w[0::2] | (w[1::2] << np.uint64(32))


def uniform24(n: int) -> np.ndarray:
    return (philox_words(n) >> np.uint64(8)).astype(np.float64) * 2.0**-24


def uniform53(n: int) -> np.ndarray:
    return (draws64(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def positive53(n: int) -> np.ndarray:
    return ((draws64(n) >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53


def seeded(f: Callable[..., Any]) -> Callable[..., Any]:
    """The op with the stream at its start, as every reference below has it."""

    def op(T: Any, *args: Any, **kwargs: Any) -> Any:
        T.manual_seed(SEED)
        return f(T, *args, **kwargs)

    return op


def fresh(T: Any, x: Any) -> Any:
    return T.empty_like(x.detach())


def shaped(low: float = -3, high: float = 3, shapes: Any = SHAPES, **kwargs: Any) -> Any:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in shapes:
            x = np.asarray(rng.uniform(low, high, shape))
            yield Sample(x, **kwargs).but(grad=x.size <= 64, nonfinite=False)

    return samples


def uniform_case(dtype: str, bits: int) -> OpCase:
    def ref(x: np.ndarray, low: float, high: float) -> np.ndarray:
        if dtype == "float64":
            u = uniform53(x.size)
        else:
            u = np.floor(uniform24(x.size) * 2**bits) * 2.0**-bits
        return (low + u * (high - low)).reshape(x.shape)

    return OpCase(f"uniform_[{dtype}]", seeded(lambda T, x, low, high: fresh(T, x).uniform_(low, high)), ref,
                  lambda rng: (Sample(s.args[0], -2.0, 3.0) for s in shaped()(rng)),
                  dtypes=(dtype,), grad=False, nonfinite=False, torch=False, simd=True, why="fills ignore the input's values")


def normal_case(dtype: str) -> OpCase:
    def ref(x: np.ndarray) -> np.ndarray:
        n = x.size + x.size % 2
        if dtype == "float64":
            d = draws64(n) >> np.uint64(11)
            u, turn = (d[0::2].astype(np.float64) + 1) * 2.0**-53, d[1::2].astype(np.float64) * 2.0**-53
        else:
            w = philox_words(n)
            half = (w[0::2] >> np.uint64(1)).astype(np.float32).astype(np.float64)
            u = (half.astype(np.float32) * np.float32(2.0**-31) + np.float32(2.0**-32)).astype(np.float64)
            turn = (w[1::2] >> np.uint64(8)).astype(np.float64) * 2.0**-24
        radius = np.sqrt(-2 * np.log(u))
        z = np.stack([radius * np.cos(2 * np.pi * turn), radius * np.sin(2 * np.pi * turn)], axis=1).reshape(-1)
        return (1.0 + 2.0 * z[: x.size]).reshape(x.shape)

    return OpCase(f"normal_[{dtype}]", seeded(lambda T, x: fresh(T, x).normal_(1.0, 2.0)), ref, shaped(), dtypes=(dtype,),
                  grad=False, nonfinite=False, torch=False, simd=True, why="fills ignore the input's values")


def integers_ref(x: np.ndarray, low: int, high: int) -> np.ndarray:
    values = [low + ((int(d) * (high - low)) >> 64) for d in draws64(x.size)]
    return np.array(values, dtype=np.float64 if x.dtype.kind == "f" else x.dtype).reshape(x.shape)


def channel_mask(shape: tuple[int, ...], p: float) -> np.ndarray:
    channels = shape[0] * shape[1]
    keep = np.where(uniform24(channels) >= p, 1 / (1 - p), 0.0)
    return keep.reshape(shape[:2] + (1,) * (len(shape) - 2))


def dropout_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in SHAPES:
        for p in (0.3, 0.75):
            x = np.asarray(rng.standard_normal(shape))
            yield Sample(x, p).but(grad=x.size <= 64 and x.size > 1)


def feature_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(4, 5), (3, 4, 6), (2, 3, 4, 5), (2, 0, 3), (0, 2), (7, 9, 3, 2, 2)]:
        x = np.asarray(rng.standard_normal(shape))
        yield Sample(x, 0.4).but(grad=0 < x.size <= 72)


def weight_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, n in (((5,), 3), ((5,), 40), ((3, 7), 25), ((0, 4), 2), ((1, 1), 3)):
        w = rng.uniform(0.1, 2.0, shape)
        if w.size > 4:
            w[..., 1] = 0.0
        yield Sample(w, n).but(layouts=True, nonfinite=False)


def multinomial_ref(w: np.ndarray, n: int) -> np.ndarray:
    rows = w.reshape(-1, w.shape[-1])
    u = uniform53(rows.shape[0] * n).reshape(rows.shape[0], n)
    found = [np.searchsorted(np.cumsum(row), u[r] * np.cumsum(row)[-1], side="right") for r, row in enumerate(rows)]
    return np.array(found, dtype=np.int64).reshape(w.shape[:-1] + (n,))


def distinct_ref(w: np.ndarray, n: int) -> np.ndarray:
    rows = w.reshape(-1, w.shape[-1])
    e = -np.log(positive53(rows.size)).reshape(rows.shape)
    with np.errstate(divide="ignore"):
        order = np.argsort(np.where(rows > 0, e / rows, np.inf), axis=-1, kind="stable")
    return order[:, :n].astype(np.int64).reshape(w.shape[:-1] + (n,))


CASES = [
    *[uniform_case(dtype, bits) for dtype, bits in (("float64", 53), ("float32", 24), ("float16", 11), ("bfloat16", 8))],
    *[normal_case(dtype) for dtype in FLOATS],
    OpCase("random_", seeded(lambda T, x, low, high: fresh(T, x).random_(low, high)), integers_ref,
           lambda rng: (Sample(s.args[0], 3, 100) for s in shaped()(rng)), dtypes=INTS + FLOATS, grad=False,
           nonfinite=False, torch=False, why="fills ignore the input's values",
           errors=[ErrorCase(lambda T: T.ones(3).random_(5, 5), ValueError, ("random_", "from=5", "to=5")),
                   ErrorCase(lambda T: T.ones(3, dtype=T.uint8).random_(0, 300), ValueError, ("random_", "299", "uint8"))]),
    OpCase("exponential_", seeded(lambda T, x: fresh(T, x).exponential_(2.5)),
           lambda x: (-np.log(positive53(x.size)) / 2.5).reshape(x.shape), shaped(), grad=False, nonfinite=False,
           torch=False, why="fills ignore the input's values",
           errors=[ErrorCase(lambda T: T.ones(3).exponential_(0.0), ValueError, ("exponential_", "lambd", "0"))]),
    OpCase("geometric_", seeded(lambda T, x: fresh(T, x).geometric_(0.3)),
           lambda x: (np.floor(np.log(positive53(x.size)) / np.log1p(-0.3)) + 1).reshape(x.shape), shaped(),
           dtypes=("float64", "float32", "int64"), grad=False, nonfinite=False, torch=False,
           why="fills ignore the input's values",
           errors=[ErrorCase(lambda T: T.ones(3).geometric_(1.5), ValueError, ("geometric_", "p=1.5"))]),
    OpCase("bernoulli", seeded(lambda T, x: T.bernoulli(x)),
           lambda x: (philox_words(x.size).astype(np.float64) < np.ceil(x.reshape(-1) * 2.0**32)).astype(np.float64).reshape(x.shape),
           shaped(low=0.0, high=1.0), grad=False, zero_grad=True, nonfinite=False, torch=False, why="NaN is refused as a probability",
           errors=[ErrorCase(lambda T: T.bernoulli(T.tensor([0.5, 1.5])), RuntimeError, ("bernoulli", "[0, 1]")),
                   ErrorCase(lambda T: T.bernoulli(T.tensor([0.5, float("nan")])), RuntimeError, ("bernoulli",)),
                   ErrorCase(lambda T: T.bernoulli(T.ones(2, dtype=T.int64)), RuntimeError, ("bernoulli", "int64"))]),
    OpCase("randperm", seeded(lambda T, n: T.randperm(n)), lambda n: np.argsort(draws64(n), kind="stable"),
           lambda rng: (Sample(n) for n in (0, 1, 2, 255, 256, 257, 1000, 70000)), dtypes=("float32",), grad=False,
           result="int64", nonfinite=False, torch=False, empty=False, why="takes no tensor",
           errors=[ErrorCase(lambda T: T.randperm(-1), ValueError, ("randperm", "-1")),
                   ErrorCase(lambda T: T.randperm(300, dtype=T.uint8), ValueError, ("randperm", "300", "uint8"))]),
    OpCase("multinomial", seeded(lambda T, w, n: T.multinomial(w, n, replacement=True)), multinomial_ref, weight_samples,
           dtypes=("float64",), grad=False, result="int64", nonfinite=False, torch=False, why="NaN is refused as a weight",
           errors=[ErrorCase(lambda T: T.multinomial(T.tensor([0.5, -1.0]), 1), ValueError, ("multinomial", "element < 0")),
                   ErrorCase(lambda T: T.multinomial(T.tensor([1.0, float("inf")]), 1), ValueError, ("multinomial", "inf")),
                   ErrorCase(lambda T: T.multinomial(T.zeros(3), 1), ValueError, ("multinomial", "sum of probabilities")),
                   ErrorCase(lambda T: T.multinomial(T.ones(3), 4), ValueError, ("multinomial", "4", "3 categories")),
                   ErrorCase(lambda T: T.multinomial(T.ones(3), 0), ValueError, ("multinomial", "num_samples=0")),
                   ErrorCase(lambda T: T.multinomial(T.ones(2, 2, 2), 1), RuntimeError, ("multinomial", "1 or 2 dim"))]),
    OpCase("multinomial_distinct", seeded(lambda T, w, n: T.multinomial(w, n)), distinct_ref,
           lambda rng: (Sample(s.args[0], min(s.args[1], s.args[0].shape[-1] - 1 or 1)) for s in weight_samples(rng)),
           dtypes=("float64",), grad=False, result="int64", nonfinite=False, torch=False, why="NaN is refused as a weight"),
    OpCase("dropout", seeded(lambda T, x, p: T.nn.functional.dropout(x, p)),
           lambda x, p: x * np.where(uniform24(x.size) >= p, 1 / (1 - p), 0.0).reshape(x.shape), dropout_samples,
           torch=False, simd=True, why="PyTorch's stream is another one",
           big=lambda rng: Sample(rng.standard_normal((300, 401)), 0.5),
           errors=[ErrorCase(lambda T: T.dropout(T.ones(3), 1.5, True), ValueError, ("dropout", "between 0 and 1", "1.5")),
                   ErrorCase(lambda T: T.dropout(T.ones(3, dtype=T.int64), 0.5, True), RuntimeError, ("dropout", "int64"))]),
    OpCase("feature_dropout", seeded(lambda T, x, p: T.feature_dropout(x, p, True)),
           lambda x, p: x * channel_mask(x.shape, p), feature_samples, torch=False, why="PyTorch's stream is another one",
           errors=[ErrorCase(lambda T: T.feature_dropout(T.ones(3), 0.5, True), RuntimeError, ("feature_dropout", "[3]"))]),
]
