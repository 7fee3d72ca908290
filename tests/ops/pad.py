"""Padding, sliding windows and pixel shuffles."""

import numpy as np
from opcase import ALL, FLOATS, ErrorCase, OpCase, Sample


def u(rng, *shape):
    return np.asarray(rng.uniform(-2, 2, shape))


def pad_samples(mode):
    def samples(rng):
        small = [
            ((5,), (1, 2)),
            ((2, 5), (2, 1)),
            ((2, 3, 5), (4, 3)),
            ((2, 3, 4), (1, 2, 2, 0)),
            ((2, 2, 3, 4), (3, 1, 2, 1)),
            ((1, 2, 2, 3, 3), (1, 1, 1, 2, 1, 0)),
            ((2, 2, 3, 4), (0, 0, 0, 0)),
            ((1, 1, 4, 5), (-1, 2, 1, -2)),
        ]
        for shape, padding in small:
            if mode != "constant" and len(padding) // 2 not in (len(shape) - 1, len(shape) - 2):
                continue
            if mode == "circular" and min(padding) < 0:
                continue  # what wraps around a cropped input is not defined
            yield Sample(u(rng, *shape), list(padding), mode).but(grad=np.prod(shape) <= 64)
        if mode == "constant":
            yield Sample(u(rng, 2, 3), [1, 1, 0, 2], mode, 3.0)
            yield Sample(u(rng, 0, 3), [1, 1], mode)
            yield Sample(u(rng, 4), [-1, -3], mode)
        else:
            yield Sample(u(rng, 0, 2, 4), [1, 1], mode)

    return samples


def pad_ref(x, padding, mode, value=0.0):
    pairs = [(0, 0)] * (x.ndim - len(padding) // 2) + [
        tuple(padding[i : i + 2]) for i in range(len(padding) - 2, -1, -2)
    ]
    if mode == "constant":
        y = np.pad(
            x, [(max(a, 0), max(b, 0)) for a, b in pairs], constant_values=np.asarray(value).astype(x.dtype)
        )
        return y[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, y.shape))]
    maps = []
    for (a, b), n in zip(pairs, x.shape):
        i = np.arange(-a, n + b)
        if mode == "reflect":
            i = np.where(i < 0, -i, np.where(i >= n, 2 * (n - 1) - i, i))
        elif mode == "replicate":
            i = np.clip(i, 0, n - 1)
        else:
            i = np.where(i < 0, i + n, np.where(i >= n, i - n, i))
        maps.append(i)
    return x[np.ix_(*maps)]


def windows():
    for kernel, dilation, padding, stride in [
        ((2, 2), (1, 1), (0, 0), (1, 1)),
        ((3, 2), (1, 1), (1, 0), (2, 1)),
        ((2, 2), (2, 1), (1, 1), (1, 2)),
        ((1, 3), (1, 2), (0, 2), (3, 1)),
    ]:
        yield dict(
            kernel_size=list(kernel), dilation=list(dilation), padding=list(padding), stride=list(stride)
        )


def unfold_samples(rng):
    for w in windows():
        yield Sample(u(rng, 2, 2, 4, 4), **w)
    yield Sample(u(rng, 2, 3, 3), kernel_size=[2, 2], dilation=[1, 1], padding=[0, 0], stride=[1, 1])
    yield Sample(u(rng, 0, 2, 4, 4), kernel_size=[2, 2], dilation=[1, 1], padding=[0, 0], stride=[1, 1])


def unfold_ref(x, kernel_size, dilation, padding, stride):
    batched = x.ndim == 4
    x = x if batched else x[None]
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = kernel_size, dilation, padding, stride
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    bh, bw = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1, (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    columns = [
        x[:, :, i * dh : i * dh + (bh - 1) * sh + 1 : sh, j * dw : j * dw + (bw - 1) * sw + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]
    y = np.stack(columns, 2).reshape(x.shape[0], x.shape[1] * kh * kw, bh * bw)
    return y if batched else y[0]


def fold_samples(rng):
    for w in windows():
        blocks = unfold_ref(np.zeros((1, 1, 4, 4)), **w).shape[2]
        taps = w["kernel_size"][0] * w["kernel_size"][1]
        yield Sample(u(rng, 1, 2 * taps, blocks), output_size=[4, 4], **w).but(
            k=4, grad=2 * taps * blocks <= 64
        )
    yield Sample(
        u(rng, 4, 4), output_size=[3, 3], kernel_size=[2, 2], dilation=[1, 1], padding=[0, 0], stride=[1, 1]
    ).but(k=4)
    yield Sample(
        u(rng, 0, 4, 4),
        output_size=[3, 3],
        kernel_size=[2, 2],
        dilation=[1, 1],
        padding=[0, 0],
        stride=[1, 1],
    )


def fold_ref(x, output_size, kernel_size, dilation, padding, stride):
    batched = x.ndim == 3
    x = x if batched else x[None]
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = kernel_size, dilation, padding, stride
    h, w = output_size[0] + 2 * ph, output_size[1] + 2 * pw
    bh, bw = (h - dh * (kh - 1) - 1) // sh + 1, (w - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((x.shape[0], x.shape[1] // (kh * kw), h, w))
    x = x.reshape(x.shape[0], x.shape[1] // (kh * kw), kh, kw, bh, bw)
    for i in range(kh):
        for j in range(kw):
            y[:, :, i * dh : i * dh + (bh - 1) * sh + 1 : sh, j * dw : j * dw + (bw - 1) * sw + 1 : sw] += x[
                :, :, i, j
            ]
    y = y[:, :, ph : h - ph, pw : w - pw]
    return y if batched else y[0]


def shuffle_samples(rng):
    yield Sample(u(rng, 1, 8, 2, 3), 2)
    yield Sample(u(rng, 9, 1, 2), 3)
    yield Sample(u(rng, 0, 4, 2, 2), 2)


def pixel_shuffle_ref(x, r):
    *lead, c, h, w = x.shape
    y = x.reshape(*lead, c // r**2, r, r, h, w)
    n = len(lead)
    return y.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2).reshape(*lead, c // r**2, h * r, w * r)


def unshuffle_samples(rng):
    yield Sample(u(rng, 1, 2, 4, 6), 2)
    yield Sample(u(rng, 1, 3, 3), 3)
    yield Sample(u(rng, 0, 1, 2, 2), 2)


def pixel_unshuffle_ref(x, r):
    *lead, c, h, w = x.shape
    y = x.reshape(*lead, c, h // r, r, w // r, r)
    n = len(lead)
    return y.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3).reshape(*lead, c * r * r, h // r, w // r)


def F(name):
    return lambda T, *args, **kwargs: getattr(T.nn.functional, name)(*args, **kwargs)


CASES = [
    *[
        OpCase(
            f"pad_{mode}",
            F("pad"),
            pad_ref,
            pad_samples(mode),
            dtypes=ALL if mode == "constant" else FLOATS,
            big=lambda rng, mode=mode: Sample(u(rng, 8, 8, 60, 60), [2, 3, 1, 2], mode),
        )
        for mode in ("constant", "reflect", "replicate", "circular")
    ],
    OpCase(
        "pad_errors",
        lambda T, x: T.nn.functional.pad(x, [0, 0]),
        lambda x: x,
        lambda rng: iter([Sample(u(rng, 2)), Sample(u(rng, 0))]),
        errors=[
            ErrorCase(
                lambda T: T.nn.functional.pad(T.ones(2), (1,)), RuntimeError, ("pad", "divisible by 2", "[1]")
            ),
            ErrorCase(
                lambda T: T.nn.functional.pad(T.ones(2), (1, 1, 1, 1)),
                RuntimeError,
                ("pad", "4", "dimension 1"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.pad(T.ones(2), (-2, -1)),
                RuntimeError,
                ("pad", "negative output size"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.pad(T.ones(1, 3), (3, 0), "reflect"),
                RuntimeError,
                ("pad", "3", "[1, 3]"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.pad(T.ones(1, 3), (4, 0), "circular"),
                RuntimeError,
                ("pad", "wrapping"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.pad(T.ones(1, 3), (1, 0), "mirror"),
                NotImplementedError,
                ("pad", "mirror"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.pad(T.ones(2), (2**62, 2**62)), ValueError, ("pad", "overflow")
            ),
        ],
    ),
    OpCase(
        "unfold_windows",
        F("unfold"),
        unfold_ref,
        unfold_samples,
        dtypes=FLOATS,
        errors=[
            ErrorCase(
                lambda T: T.nn.functional.unfold(T.ones(1, 1, 2, 2), 3),
                RuntimeError,
                ("unfold", "2 x 2", "[3, 3]"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.unfold(T.ones(1, 1, 2, 2), 0),
                ValueError,
                ("unfold", "kernel_size", "[0, 0]"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.unfold(T.ones(1, 1, 2, 2), 1, stride=0),
                ValueError,
                ("unfold", "stride"),
            ),
        ],
    ),
    OpCase(
        "fold_windows",
        F("fold"),
        fold_ref,
        fold_samples,
        dtypes=FLOATS,
        errors=[
            ErrorCase(
                lambda T: T.nn.functional.fold(T.ones(1, 3, 4), (3, 3), 2),
                RuntimeError,
                ("fold", "divisible", "3"),
            ),
            ErrorCase(
                lambda T: T.nn.functional.fold(T.ones(1, 4, 5), (3, 3), 2), RuntimeError, ("fold", "4", "5")
            ),
        ],
    ),
    OpCase(
        "pixel_shuffle",
        F("pixel_shuffle"),
        pixel_shuffle_ref,
        shuffle_samples,
        dtypes=ALL,
        torch=False,
        why="PyTorch 2.13 fails on the gradient of an empty batch",
    ),
    OpCase(
        "pixel_unshuffle",
        F("pixel_unshuffle"),
        pixel_unshuffle_ref,
        unshuffle_samples,
        dtypes=ALL,
        torch=False,
        why="PyTorch 2.13 gives an empty batch the wrong shape",
    ),
]
