"""Tensors made from nothing."""

import numpy as np
from opcase import ALL, D, ErrorCase, OpCase, Sample

NAMES = ("float64", "float32", "int64", "int32", "uint8")


def np_type(dtype, default="float32"):
    return np.dtype(str(dtype) if dtype else default)


def call(name):
    return lambda T, *args, **kwargs: getattr(T, name)(*args, **kwargs)


def shapes(rng):
    for size in [(2, 3), (), (0, 2), (1025,), (2, 1, 3)]:
        for dtype in NAMES:
            yield Sample(size, dtype=D(dtype))
    yield Sample((2, 3))


def full_samples(rng):
    for size in [(2, 3), (), (0, 2), (70,)]:
        for value, dtype in [(3, "float64"), (2.5, "float32"), (7, "uint8"), (-4, "int16"), (1, "bool")]:
            yield Sample(size, value, dtype=D(dtype))
    yield Sample((2,), float("inf"), dtype=D("float16"))


def like_samples(*extra):
    def samples(rng):
        for shape in [(3, 4), (), (0, 2), (2, 3, 4, 5)]:
            yield Sample(np.asarray(rng.uniform(-2, 2, shape)), *extra)

    return samples


def arange_samples(rng):
    for args in [(5,), (0,), (2, 9), (2, 9, 3), (9, 2, -2), (-3, 3), (0, 2**40, 2**38), (3, 3)]:
        yield Sample(*args, dtype=D("int64"))
        yield Sample(*args, dtype=D("float64"))
    for args in [(0.0, 1.0, 0.1), (1.0, -1.0, -0.3), (0.5, 4.0, 1.0), (2.5,)]:
        yield Sample(*args, dtype=D("float64"))
        yield Sample(*args, dtype=D("float32"))
    yield Sample(10, dtype=D("uint8"))
    yield Sample(0, 2**53 + 9, 2**51, dtype=D("int64"))


def arange_ref(*args, dtype):
    start, end, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    n = (
        max(int(np.ceil((end - start) / step)), 0)
        if isinstance(start + end + step, float)
        else len(range(start, end, step))
    )
    return np.array([start + i * step for i in range(n)], np_type(dtype))


def linspace_samples(rng):
    for args in [
        (0.0, 1.0, 5),
        (-3.0, 3.0, 10),
        (2.0, 2.0, 3),
        (1.0, 9.0, 1),
        (0.0, 1.0, 0),
        (5.0, -5.0, 100),
        (0.0, 10.0, 4),
    ]:
        for dtype in ("float64", "float32", "int64"):
            if dtype != "int64" or args[2] != 4:
                yield Sample(*args, dtype=D(dtype))


def eye_samples(rng):
    for args in [(3,), (3, 5), (4, 2), (0,), (0, 3)]:
        for dtype in NAMES:
            yield Sample(*args, dtype=D(dtype))


def triangle_samples(rng):
    for args in [(3, 4), (4, 3, 1), (4, 3, -2), (3, 3, 5), (3, 3, -5), (0, 3), (3, 0, 1)]:
        yield Sample(*args)


def one_hot_samples(rng):
    yield Sample(np.array([0, 2, 1]))
    yield Sample(np.array([[0, 2], [1, 4]]), 6)
    yield Sample(np.array(3))
    yield Sample(np.zeros((0,), np.int64), 4)


def one_hot_ref(index, classes=-1):
    return np.eye(index.max() + 1 if classes < 0 else classes, dtype=np.int64)[index]


MAKE = dict(
    dtypes=("float64",),
    grad=False,
    result=None,
    nonfinite=False,
    layouts=(),
    empty=False,
    why="no tensor argument",
)
CASES = [
    OpCase(
        "zeros",
        call("zeros"),
        lambda size, dtype=None: np.zeros(size, np_type(dtype)),
        shapes,
        **MAKE,
        errors=[
            ErrorCase(lambda T: T.zeros(-1), (ValueError, RuntimeError), ("-1",)),
            ErrorCase(lambda T: T.zeros(2**31, 2**31, 2**31), (ValueError, RuntimeError), ("overflow",)),
            ErrorCase(lambda T: T.zeros(0, 2**62, 4), (ValueError, RuntimeError), ("overflow",)),
            ErrorCase(lambda T: T.zeros(2**60), MemoryError, ()),
        ],
    ),
    OpCase("ones", call("ones"), lambda size, dtype=None: np.ones(size, np_type(dtype)), shapes, **MAKE),
    OpCase(
        "full",
        call("full"),
        lambda size, value, dtype: np.full(size, value, np_type(dtype)),
        full_samples,
        **MAKE,
    ),
    OpCase(
        "zeros_like",
        "zeros_like",
        np.zeros_like,
        like_samples(),
        dtypes=ALL,
        grad=False,
        nonfinite=False,
        why="values of x do not matter",
    ),
    OpCase(
        "ones_like",
        "ones_like",
        np.ones_like,
        like_samples(),
        dtypes=ALL,
        grad=False,
        nonfinite=False,
        why="values of x do not matter",
    ),
    OpCase(
        "full_like",
        "full_like",
        lambda x, v: np.full_like(x, v),
        like_samples(3),
        dtypes=ALL[:-1],
        grad=False,
        nonfinite=False,
        why="values of x do not matter",
    ),
    OpCase(
        "arange",
        call("arange"),
        arange_ref,
        arange_samples,
        **MAKE,
        errors=[
            ErrorCase(lambda T: T.arange(0, 5, 0), RuntimeError, ("arange", "step must be nonzero")),
            ErrorCase(lambda T: T.arange(0, 5, -1), RuntimeError, ("arange", "inconsistent with step sign")),
            ErrorCase(lambda T: T.arange(0, float("inf")), RuntimeError, ("arange", "unsupported range")),
            ErrorCase(lambda T: T.arange(2**58), MemoryError, ()),
        ],
    ),
    OpCase(
        "linspace",
        call("linspace"),
        lambda a, b, n, dtype: np.linspace(a, b, n).astype(np_type(dtype)),
        linspace_samples,
        **MAKE,
        torch=lambda T, a, b, n, dtype: T.linspace(a, b, n, dtype=T.float64).to(dtype),
        errors=[ErrorCase(lambda T: T.linspace(0, 1, -1), RuntimeError, ("linspace", "-1"))],
    ),
    OpCase(
        "logspace",
        call("logspace"),
        lambda a, b, n, dtype: np.logspace(a, b, n).astype(np_type(dtype)),
        lambda rng: (
            Sample(a, b, n, dtype=D(t))
            for a, b, n in [(-1.0, 2.0, 4), (0.0, 1.0, 1), (2.0, -2.0, 9), (0.0, 1.0, 0)]
            for t in ("float64", "float32")
        ),
        **MAKE,
    ),
    OpCase(
        "eye",
        call("eye"),
        lambda n, m=None, dtype=None: np.eye(n, m, dtype=np_type(dtype)),
        eye_samples,
        **MAKE,
        errors=[ErrorCase(lambda T: T.eye(-1), RuntimeError, ("eye", "-1"))],
    ),
    OpCase(
        "tril_indices",
        call("tril_indices"),
        lambda r, c, k=0: np.stack(np.tril_indices(r, k, c)),
        triangle_samples,
        **MAKE,
    ),
    OpCase(
        "triu_indices",
        call("triu_indices"),
        lambda r, c, k=0: np.stack(np.triu_indices(r, k, c)),
        triangle_samples,
        **MAKE,
        errors=[ErrorCase(lambda T: T.triu_indices(-1, 2), RuntimeError, ("triu_indices", "-1"))],
    ),
    OpCase(
        "one_hot",
        lambda T, i, n=-1: T.nn.functional.one_hot(i, n),
        one_hot_ref,
        one_hot_samples,
        dtypes=("float64",),
        grad=False,
        result="int64",
        nonfinite=False,
        layouts=(),
        why="integer input",
        errors=[
            ErrorCase(
                lambda T: T.nn.functional.one_hot(T.tensor([-1])),
                RuntimeError,
                ("one_hot", "non-negative", "-1"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.one_hot(T.tensor([3]), 3),
                RuntimeError,
                ("one_hot", "3", "num_classes=3"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.one_hot(T.zeros(0, dtype=T.int64)),
                RuntimeError,
                ("one_hot", "empty"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.one_hot(T.tensor([1.0])), RuntimeError, ("one_hot", "float32")
            ),
        ],
    ),
]
