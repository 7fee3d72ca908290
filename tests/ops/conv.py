"""Convolution in one to three dims and its transpose, against sums over shifted slices."""

import itertools

import numpy as np
from opcase import ErrorCase, OpCase, Sample

NAMES = ("stride", "padding", "dilation", "output_padding")


def normal(rng, *shape):
    return np.asarray(rng.standard_normal(shape))


def per_dim(value, dims):
    return (value,) * dims if isinstance(value, int) else tuple(value) * (dims // len(value))


def shifted(x, tap, stride, out):
    """The slice of x [N, C, ...] that output positions read through one tap."""
    index = tuple(slice(t, t + s * (o - 1) + 1, s) for t, s, o in zip(tap, stride, out))
    return x[(slice(None), slice(None), *index)]


def conv_ref(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    dims = w.ndim - 2
    batched = x.ndim == dims + 2
    x = x if batched else x[None]
    stride, dilation = per_dim(stride, dims), per_dim(dilation, dims)
    if padding == "valid":
        pads = [(0, 0)] * dims
    elif padding == "same":
        pads = [(d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for d, k in zip(dilation, w.shape[2:])]
    else:
        pads = [(p, p) for p in per_dim(padding, dims)]
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    out = [(n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(x.shape[2:], dilation, w.shape[2:], stride)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    rows, channels = w.shape[0] // groups, w.shape[1]
    for g in range(groups):
        for tap in itertools.product(*map(range, w.shape[2:])):
            part = shifted(x[:, g * channels:(g + 1) * channels], [t * d for t, d in zip(tap, dilation)], stride, out)
            y[:, g * rows:(g + 1) * rows] += np.einsum("nc...,oc->no...", part, w[(slice(g * rows, (g + 1) * rows), slice(None), *tap)])
    if b is not None:
        y += b.reshape(-1, *[1] * dims)
    return y if batched else y[0]


def transpose_ref(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    dims = w.ndim - 2
    batched = x.ndim == dims + 2
    x = x if batched else x[None]
    stride, padding, dilation, extra = (per_dim(v, dims) for v in (stride, padding, dilation, output_padding))
    full = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(x.shape[2:], stride, dilation, w.shape[2:], extra)]
    rows, channels = w.shape[1], w.shape[0] // groups
    y = np.zeros((x.shape[0], rows * groups, *full))
    for g in range(groups):
        for tap in itertools.product(*map(range, w.shape[2:])):
            part = np.einsum("nc...,co->no...", x[:, g * channels:(g + 1) * channels],
                             w[(slice(g * channels, (g + 1) * channels), slice(None), *tap)])
            target = shifted(y[:, g * rows:(g + 1) * rows], [t * d for t, d in zip(tap, dilation)], stride, x.shape[2:])
            target += part
    y = y[(slice(None), slice(None), *[slice(p, n - p) for p, n in zip(padding, full)])]
    if b is not None:
        y = y + b.reshape(-1, *[1] * dims)
    return y if batched else y[0]


CONV2D = [  # x, w, options
    ((1, 1, 3, 3), (1, 1, 2, 2), {}),
    ((2, 3, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ((2, 3, 5, 6), (4, 3, 3, 2), {"padding": (0, 1), "stride": (2, 1)}),
    ((1, 4, 6, 6), (4, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 3, 6, 5), (3, 1, 3, 3), {"groups": 3, "padding": 1}),
    ((2, 3, 6, 5), (6, 1, 3, 3), {"groups": 3, "stride": 2, "padding": 1}),
    ((1, 2, 7, 7), (3, 2, 3, 3), {"dilation": 2}),
    ((1, 2, 7, 7), (3, 2, 3, 3), {"dilation": (2, 1), "stride": 2, "padding": (2, 3)}),
    ((2, 3, 4, 4), (5, 3, 1, 1), {}),
    ((2, 3, 5, 5), (4, 3, 1, 1), {"stride": 2}),
    ((1, 2, 5, 5), (3, 2, 3, 3), {"padding": "same"}),
    ((1, 2, 5, 6), (3, 2, 2, 4), {"padding": "same"}),
    ((1, 2, 5, 6), (3, 2, 2, 4), {"padding": "valid"}),
    ((3, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ((0, 3, 5, 5), (2, 3, 3, 3), {}),
    ((1, 1, 2, 2), (1, 1, 2, 2), {"padding": 3, "stride": 3}),
    ((2, 1, 8, 9), (6, 1, 5, 5), {"padding": 2}),
    # windows nearly as large as the image
    ((2, 1, 6, 8), (3, 1, 5, 8), {}),
    ((1, 2, 7, 7), (3, 2, 4, 3), {"dilation": (2, 3)}),
    ((1, 1, 9, 11), (3, 1, 9, 9), {"stride": (1, 2), "padding": (0, 1)}),
]
LARGER2D = [  # values only: several blocks of pixels, channels and taps
    ((3, 5, 14, 14), (17, 5, 3, 3), {"padding": 1}),
    ((2, 40, 9, 9), (20, 40, 3, 3), {"padding": 1}),
    ((5, 36, 7, 7), (18, 36, 3, 3), {"padding": 1}),
    ((2, 3, 33, 35), (8, 3, 7, 7), {"padding": 3, "stride": 2}),
    ((2, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}),
    ((2, 1, 32, 32), (6, 1, 5, 5), {}),
    ((2, 6, 14, 14), (16, 6, 5, 5), {}),
    ((1, 16, 30, 30), (16, 1, 3, 3), {"groups": 16, "padding": 1}),
    ((1, 64, 17, 17), (32, 64, 1, 1), {}),
    # few filters: vectors over several short rows, with and without borders, and over images too far apart for it
    ((3, 6, 14, 14), (16, 6, 5, 5), {"padding": 1}),
    ((2, 20, 12, 11), (7, 20, 3, 3), {}),
    ((2, 2, 9, 40), (5, 2, 3, 30), {"padding": (1, 2)}),
    ((1, 3, 10, 6), (9, 3, 4, 2), {"dilation": (2, 3)}),
    # adjacent taps of one channel per group: pixels loaded once for all of them
    ((2, 19, 9, 14), (19, 1, 3, 3), {"groups": 19, "padding": 1}),
    ((1, 20, 8, 7), (20, 1, 7, 7), {"groups": 20, "padding": 3}),
    ((1, 17, 9, 11), (17, 1, 5, 5), {"groups": 17, "padding": 2, "stride": (2, 1)}),
    # float32 by minimal filtering: cut tiles, channel tails, several images of a block
    ((1, 32, 17, 15), (33, 32, 3, 3), {"padding": 1}),
    ((2, 35, 13, 14), (50, 35, 3, 3), {}),
    ((17, 34, 4, 4), (32, 34, 3, 3), {"padding": (1, 2)}),
]


def fan_in(w):
    return int(np.prod(w[1:]))


def samples_for(table, larger=(), swap=False):
    def samples(rng):
        for i, (x, w, options) in enumerate([*table, *larger]):
            channels = w[1] * options.get("groups", 1) if swap else w[0]
            k = fan_in(w) if not swap else w[0] * fan_in(w)
            marks = {"k": k + 1, "nonfinite": False, "grad": i < len(table) and np.prod(x) + np.prod(w) <= 320}
            yield Sample(normal(rng, *x), normal(rng, *w), **options).but(**marks)
            if i % 2 == 0:
                yield Sample(normal(rng, *x), normal(rng, *w), normal(rng, channels), **options).but(**marks)

    return samples


CONV1D = [
    ((1, 1, 4), (1, 1, 2), {}),
    ((2, 3, 9), (4, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 4, 9), (4, 2, 3), {"padding": 2, "dilation": 2, "groups": 2}),
    ((3, 9), (4, 3, 3), {"padding": "same"}),
    ((0, 3, 9), (4, 3, 3), {}),
    ((2, 3, 40), (5, 3, 20), {"padding": 10}),
    ((2, 1, 30), (3, 1, 29), {}),
]
CONV3D = [
    ((1, 1, 3, 3, 3), (1, 1, 2, 2, 2), {}),
    ((1, 2, 3, 4, 4), (2, 2, 2, 3, 3), {"padding": 1}),
    ((1, 2, 4, 4, 3), (2, 1, 2, 2, 2), {"groups": 2, "stride": (2, 1, 2), "padding": (0, 1, 1)}),
    ((2, 3, 3, 3), (2, 2, 2, 2, 2), {"dilation": 2, "padding": 1}),
    ((1, 2, 4, 4, 4), (2, 2, 4, 4, 3), {}),
    ((0, 1, 3, 3, 3), (1, 1, 2, 2, 2), {}),
]
TRANSPOSED2D = [
    ((1, 1, 3, 3), (1, 1, 2, 2), {}),
    ((2, 3, 4, 3), (3, 4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((1, 4, 3, 3), (4, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((1, 2, 3, 4), (2, 3, 2, 3), {"stride": (3, 2), "output_padding": (2, 0)}),
    ((1, 2, 3, 3), (2, 2, 3, 2), {"dilation": 2, "stride": 2, "padding": (1, 0)}),
    ((2, 3, 3), (2, 2, 2, 2), {"stride": 2}),
    ((0, 2, 3, 3), (2, 2, 2, 2), {}),
    ((1, 3, 3, 3), (3, 1, 3, 3), {"groups": 3, "stride": 2}),
    ((1, 2, 3, 3), (2, 2, 1, 1), {"stride": 3, "output_padding": 2}),
    ((1, 2, 1, 1), (2, 3, 2, 1), {"stride": (4, 2)}),
    ((2, 9, 7, 20), (9, 3, 4, 3), {"stride": 2, "padding": 1}),
]
TRANSPOSED1D = [((2, 3, 5), (3, 2, 4), {"stride": 2, "padding": 1}), ((3, 5), (3, 2, 4), {}), ((0, 3, 5), (3, 2, 4), {})]
TRANSPOSED3D = [((1, 2, 2, 3, 2), (2, 2, 2, 2, 2), {"stride": 2, "padding": 1, "output_padding": 1}), ((0, 2, 2, 3, 2), (2, 2, 2, 2, 2), {})]

R = RuntimeError


def bad(parts, x=(1, 4, 8, 8), w=(6, 4, 3, 3), b=None, op="conv2d", **options):
    def call(T):
        bias = None if b is None else T.ones(*b)
        return getattr(T.nn.functional, op)(T.ones(*x), T.ones(*w), bias, **options)

    return ErrorCase(call, R, (op, *parts))


ERRORS = [
    bad(("weight expects 3 input channels per group but input has 4", "[8, 4, 32, 32]", "[16, 3, 3, 3]", "groups=1"), (8, 4, 32, 32), (16, 3, 3, 3)),
    bad(("groups", "0"), groups=0),
    bad(("groups", "-1"), groups=-1),
    bad(("5", "groups=2"), w=(5, 2, 3, 3), groups=2),
    bad(("stride", "0"), stride=0),
    bad(("stride", "-1"), stride=(1, -1)),
    bad(("stride", "1 or 2 entries"), stride=(1, 1, 1)),
    bad(("dilation", "0"), dilation=0),
    bad(("padding", "-1"), padding=-1),
    bad(("padding", "'some'"), padding="some"),
    bad(("'same'", "strided"), padding="same", stride=2),
    bad(("(8 x 8)", "(9 x 9)", "Kernel size can't be greater"), w=(6, 4, 9, 9)),
    bad(("input", "[4, 8]"), x=(4, 8)),
    bad(("weight", "[6, 4, 3]"), w=(6, 4, 3)),
    bad(("empty kernel", "[6, 4, 0, 3]"), w=(6, 4, 0, 3)),
    bad(("bias", "6", "[5]"), b=(5,)),
    ErrorCase(lambda T: T.nn.functional.conv2d(T.ones(1, 1, 3, 3), T.ones(1, 1, 2, 2, dtype=T.float64)), R, ("conv2d", "float32", "float64")),
    ErrorCase(lambda T: T.nn.functional.conv2d(T.ones(1, 1, 3, 3, dtype=T.bool), T.ones(1, 1, 2, 2, dtype=T.bool)), R, ("conv2d", "bool")),
]
TRANSPOSE_ERRORS = [
    bad(("weight expects 3 input channels but input has 4",), w=(3, 4, 3, 3), op="conv_transpose2d"),
    bad(("stride", "0"), w=(4, 4, 3, 3), op="conv_transpose2d", stride=0),
    bad(("output padding", "2"), w=(4, 4, 3, 3), op="conv_transpose2d", output_padding=2),
    bad(("too small", "padding"), x=(1, 4, 1, 1), w=(4, 4, 3, 3), op="conv_transpose2d", padding=2),
    bad(("groups=3",), w=(4, 4, 3, 3), op="conv_transpose2d", groups=3),
    bad(("bias", "[3]"), w=(4, 4, 3, 3), b=(3,), op="conv_transpose2d"),
]


def big_conv(rng):
    return Sample(normal(rng, 8, 24, 30, 30), normal(rng, 48, 24, 3, 3), padding=1).but(k=216)


CASES = [
    OpCase("conv2d", "nn.functional.conv2d", conv_ref, samples_for(CONV2D, LARGER2D), errors=ERRORS, big=big_conv, simd=True),
    OpCase("conv1d", "nn.functional.conv1d", conv_ref, samples_for(CONV1D)),
    OpCase("conv3d", "nn.functional.conv3d", conv_ref, samples_for(CONV3D)),
    OpCase("conv_transpose2d", "nn.functional.conv_transpose2d", transpose_ref, samples_for(TRANSPOSED2D, swap=True), errors=TRANSPOSE_ERRORS, simd=True),
    OpCase("conv_transpose1d", "nn.functional.conv_transpose1d", transpose_ref, samples_for(TRANSPOSED1D, swap=True)),
    OpCase("conv_transpose3d", "nn.functional.conv_transpose3d", transpose_ref, samples_for(TRANSPOSED3D, swap=True)),
]
