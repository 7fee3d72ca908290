"""Normalisations against NumPy."""

from __future__ import annotations

import numpy as np
from opcase import ErrorCase, OpCase, Sample


def standard(x, axes, eps, weight=None, bias=None, rms=False):
    if x.size == 0:
        return x
    mean = 0.0 if rms else x.mean(axis=axes, keepdims=True)
    y = (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def column(v, x):
    return None if v is None else v.reshape([1, -1] + [1] * (x.ndim - 2))


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    return standard(x, tuple(range(x.ndim - len(shape), x.ndim)), eps, weight, bias)


def rms_norm(x, shape, weight=None, eps=1e-5):
    return standard(x, tuple(range(x.ndim - len(shape), x.ndim)), eps, weight, rms=True)


def batch_norm(x, weight=None, bias=None, eps=1e-5):
    return standard(x, (0, *range(2, x.ndim)), eps, column(weight, x), column(bias, x))


def batch_norm_eval(x, mean, var, weight=None, bias=None):
    y = (x - column(mean, x).astype(np.float64)) / np.sqrt(column(var, x).astype(np.float64) + 1e-5)
    y = y if weight is None else y * column(weight, x)
    return y if bias is None else y + column(bias, x)


def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    if x.size == 0:
        return x
    flat = x.reshape(x.shape[0], groups, -1)
    y = standard(flat, (2,), eps).reshape(x.shape)
    y = y if weight is None else y * column(weight, x)
    return y if bias is None else y + column(bias, x)


def row_samples(bias):
    def samples(rng):
        for shape, n in [((4, 6), 1), ((2, 3, 4), 2), ((5,), 1), ((0, 6), 1), ((3, 17), 1), ((2, 65), 1), ((3, 1030), 1), ((9, 37), 1),
                         ((130, 600), 1), ((5, 4100), 1)]:
            x = rng.standard_normal(shape) + 0.5
            small = x.size <= 64
            k = int(np.prod(shape[-n:]))
            yield Sample(x, shape[-n:]).but(grad=small, k=k)
            vectors = [rng.standard_normal(shape[-n:]) for _ in range(1 + bias)]
            yield Sample(x, shape[-n:], *vectors).but(grad=small, k=k)

    return samples


def channel_samples(*leading):
    """x [N, C, ...] with and without weight and bias; leading(rng, x) gives arguments between x and them."""

    def samples(rng):
        for shape in [(4, 3), (2, 3, 5), (2, 2, 3, 4), (2, 4, 1, 2, 2), (0, 3, 4), (3, 17, 9), (2, 33, 3, 3), (11, 70), (203, 600),
                      (8, 3, 2), (9, 5, 7), (70, 33, 4, 4), (8, 3, 32)]:
            x = rng.standard_normal(shape) + 0.5
            first = [f(rng, x) for f in leading]
            k = max(x.size // shape[1], 1)
            yield Sample(x, *first).but(grad=x.size <= 64, k=k)
            yield Sample(x, *first, rng.standard_normal(shape[1]), rng.standard_normal(shape[1])).but(grad=x.size <= 64, k=k)

    return samples


def group_samples(rng):
    for shape, groups in [((2, 4, 3), 2), ((2, 4, 2, 2), 1), ((3, 4, 3), 4), ((0, 4, 3), 2), ((2, 6, 5, 7), 3), ((2, 6), 2), ((3, 6), 3), ((3, 6), 6),
                          ((67, 40), 5), ((3, 34), 2), ((2, 6, 8, 8), 3), ((2, 6, 5, 13), 3), ((1, 6, 3), 2), ((65, 9, 3), 9), ((2, 2, 4100), 1)]:
        x = rng.standard_normal(shape) + 0.5
        yield Sample(x, groups).but(grad=x.size <= 64, k=x.size)
        yield Sample(x, groups, rng.standard_normal(shape[1]), rng.standard_normal(shape[1])).but(grad=x.size <= 64, k=x.size)


def lrn(x, size, alpha=1e-2, beta=0.75, k=1.0):
    if x.size == 0:
        return x
    square = np.pad(x * x, [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (x.ndim - 2))
    total = sum(square[:, i : i + x.shape[1]] for i in range(size))
    return x / (k + alpha * total / size) ** beta


def normalize(x, p=2.0, dim=1):
    size = (np.abs(x) ** p).sum(axis=dim, keepdims=True) ** (1 / p)
    return x / np.maximum(size, 1e-12)


def train_norm(T, x, weight=None, bias=None):
    return T.nn.functional.batch_norm(x, None, None, weight, bias, training=True)


F = "nn.functional."
CASES = [
    OpCase("layer_norm", F + "layer_norm", layer_norm, row_samples(True), simd=True,
           big=lambda rng: Sample(rng.standard_normal((300, 200)), (200,), rng.standard_normal(200), rng.standard_normal(200)).but(k=300),
           errors=[ErrorCase(lambda T: T.nn.functional.layer_norm(T.ones(2, 3), (4,)), RuntimeError, ("layer_norm", "normalized_shape", "4")),
                   ErrorCase(lambda T: T.nn.functional.layer_norm(T.ones(2, 3), (3,), T.ones(4)), RuntimeError, ("layer_norm", "weight", "4")),
                   ErrorCase(lambda T: T.nn.functional.layer_norm(T.ones(2, 3), ()), RuntimeError, ("layer_norm", "normalized_shape"))]),
    OpCase("rms_norm", lambda T, x, shape, w=None: T.nn.functional.rms_norm(x, shape, w, eps=1e-5), rms_norm, row_samples(False), simd=True),
    OpCase("batch_norm", train_norm, batch_norm, channel_samples(), simd=True, dtypes=("float64", "float32"),
           torch=False, why="PyTorch warns about half weights on CPU; compared in tests of the module",
           big=lambda rng: Sample(rng.standard_normal((8, 6, 40, 41)), rng.standard_normal(6), rng.standard_normal(6)).but(k=16000),
           errors=[ErrorCase(lambda T: T.nn.functional.batch_norm(T.ones(1, 3), None, None, training=True), ValueError, ("Expected more than 1 value",)),
                   ErrorCase(lambda T: T.nn.functional.batch_norm(T.ones(2, 3), None, None), RuntimeError, ("batch_norm", "running_mean")),
                   ErrorCase(lambda T: T.nn.functional.batch_norm(T.ones(2, 3), T.ones(4), T.ones(3)), RuntimeError, ("batch_norm", "running_mean", "4"))]),
    OpCase("batch_norm_eval", F + "batch_norm", batch_norm_eval, simd=True, dtypes=("float64", "float32"),
           samples=channel_samples(lambda rng, x: rng.standard_normal(x.shape[1]).astype(np.float32),
                                   lambda rng, x: rng.uniform(0.5, 2, x.shape[1]).astype(np.float32)),
           torch=False, gradgrad=True, why="float32 statistics with float64 input: PyTorch wants equal dtypes"),
    OpCase("group_norm", F + "group_norm", group_norm, group_samples, simd=True,
           errors=[ErrorCase(lambda T: T.nn.functional.group_norm(T.ones(2, 6), 4), RuntimeError, ("group_norm", "num_groups", "4"))]),
    OpCase("instance_norm", F + "instance_norm", lambda x: group_norm(x, x.shape[1]), dtypes=("float64", "float32"),
           samples=lambda rng: (Sample(rng.standard_normal(s)).but(k=s[-1]) for s in [(2, 3, 7), (1, 2, 4), (2, 2, 3, 4)]),
           empty=False, why="PyTorch refuses a single or no spatial element"),
    OpCase("local_response_norm", lambda T, x, size: T.nn.functional.local_response_norm(x, size, alpha=1e-2), lrn,
           samples=lambda rng: (Sample(rng.standard_normal(s), n) for s, n in [((2, 5, 3), 3), ((1, 4, 2, 3), 2), ((2, 5, 0), 3)])),
    OpCase("normalize", F + "normalize", normalize,
           samples=lambda rng: (Sample(rng.standard_normal(s), p, d).but(k=4) for s in [(3, 4), (2, 3, 4), (0, 4)] for p, d in [(2.0, 1), (3.0, 0)])),
]  # fmt: skip
