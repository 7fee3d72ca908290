"""Indexing, joining, padding, embedding and interpolation."""

import numpy as np

from measuring import Row, tensor

MB = 4 << 20  # one 1000 x 1000 float32 tensor is about this


def ints(T, high, *shape, seed=3):
    return T.from_numpy(np.random.default_rng(seed).integers(0, high, shape))


def op(name, call, *shape, extra=lambda T: (), bytes=2 * MB, tol=1e-4):
    def make(T):
        x, args = tensor(T, *(shape or (1000, 1000)), seed=1), extra(T)
        return lambda: call(T, x, *args)

    return Row(name, make, bytes=bytes, tol=tol)


def backward(name, call, *shape, bytes=0.0, tol=1e-3):
    def make(T):
        x = tensor(T, *shape, seed=1, grad=True)
        dy = tensor(T, *call(T, x).shape, seed=2)

        def run():
            x.grad = None
            call(T, x).backward(dy)
            return x.grad

        return run

    return Row(name + " f+b", make, bytes=bytes, tol=tol)


def F(name, *args, **kwargs):
    return lambda T, x: getattr(T.nn.functional, name)(x, *args, **kwargs)


def lookup(T, w):
    return T.nn.functional.embedding(ints(T, 32000, 32, 128), w)


def bags(T, w):
    return T.nn.functional.embedding_bag(ints(T, 4000, 256, 16), w)


def narrow_bags(T, w):
    return T.nn.functional.embedding_bag(ints(T, 100000, 512, 8), w, mode="sum")


def columns(T):
    return ints(T, 100, 256, 256).to(T.uint8), ints(T, 100, 256, 1).to(T.uint8)


def maxima(T, w):
    return T.nn.functional.embedding_bag(ints(T, 4000, 256, 16), w, mode="max")


def scan(name, dim):
    return lambda T, x: getattr(T, name)(x, dim)


SCANS = ("cumsum", "cumprod", "logcumsumexp")
IMAGES = (8, 16, 56, 56)
ROWS = [
    op("x[5]", lambda T, x: x[5], bytes=0),
    op("x[5, 2:9]", lambda T, x: x[5, 2:9], bytes=0),
    op("x[rows]", lambda T, x, i: x[i], extra=lambda T: (ints(T, 1000, 1000),)),
    op("x[mask]", lambda T, x: x[x > 0]),
    op(
        "gather dim 0",
        lambda T, x, i: T.gather(x, 0, i),
        extra=lambda T: (ints(T, 1000, 1000, 1000),),
        bytes=4 * MB,
    ),
    op(
        "gather dim 1",
        lambda T, x, i: T.gather(x, 1, i),
        extra=lambda T: (ints(T, 1000, 1000, 1000),),
        bytes=4 * MB,
    ),
    op(
        "scatter_add dim 1",
        lambda T, x, i: T.scatter_add(x, 1, i, x),
        extra=lambda T: (ints(T, 1000, 1000, 1000),),
        bytes=6 * MB,
    ),
    op(
        "index_add dim 0",
        lambda T, x, i: T.index_add(x, 0, i, x),
        extra=lambda T: (ints(T, 1000, 1000),),
        bytes=4 * MB,
    ),
    op(
        "masked_fill", lambda T, x, m: T.masked_fill(x, m, 0.0), extra=lambda T: (ints(T, 2, 1000, 1000) > 0,)
    ),
    op("cat dim 1", lambda T, x: T.cat([x, x], 1), bytes=4 * MB),
    op("stack 64 x 784", lambda T, x: T.stack([x[i, :784] for i in range(64)]), bytes=64 * 784 * 8),
    op("flip dim 1", lambda T, x: T.flip(x, [1])),
    op("tril", lambda T, x: T.tril(x)),
    op("pad reflect", F("pad", (1, 1, 1, 1), "reflect"), *IMAGES, bytes=3.3e6),
    op("unfold 3x3", F("unfold", 3, padding=1), *IMAGES, bytes=16e6),
    op("interpolate nearest x2", F("interpolate", scale_factor=2), *IMAGES, bytes=8e6),
    op("interpolate bilinear x2", F("interpolate", scale_factor=2, mode="bilinear"), *IMAGES, bytes=8e6),
    backward(
        "interpolate bilinear x2", F("interpolate", scale_factor=2, mode="bilinear"), *IMAGES, bytes=16e6
    ),
    op(
        "index_select dim 1",
        lambda T, x, i: T.index_select(x, 1, i),
        extra=lambda T: (ints(T, 1000, 1000),),
    ),
    op(
        "index_add dim 1",
        lambda T, x, i: T.index_add(x, 1, i, x),
        extra=lambda T: (ints(T, 1000, 1000),),
        bytes=4 * MB,
    ),
    op("where", lambda T, x, m: T.where(m, x, 0.0), extra=lambda T: (ints(T, 2, 1000, 1000) > 0,)),
    op("one_hot 1000", lambda T, x, i: T.nn.functional.one_hot(i, 1000), extra=lambda T: (ints(T, 1000, 1000),)),
    *(op(f"{name}({dim})", scan(name, dim), bytes=2 * MB) for name in SCANS for dim in (0, 1)),
    *(op(f"{name}({dim})", scan(name, dim), bytes=4 * MB) for name in ("cummax", "cummin") for dim in (0, 1)),
    backward("x[i, j]", lambda T, x: x[ints(T, 1000, 1000), ints(T, 1000, 1000)], 1000, 1000, bytes=4 * MB),
    backward("x[mask]", lambda T, x: x[x > 1.3], 1000, 1000, bytes=6 * MB),
    op(
        "scatter dim 1",
        lambda T, x, i: T.scatter(x, 1, i, 2.0),
        extra=lambda T: (ints(T, 1000, 1000, 1000),),
        bytes=4 * MB,
    ),
    op(
        "masked_scatter",
        lambda T, x, m: T.masked_scatter(x, m, x),
        extra=lambda T: (ints(T, 10, 1000, 1000) == 0,),
    ),
    op("nonzero 8192x8", lambda T, x: (x > 0).nonzero(), 8192, 8, bytes=2e6),
    op("triu 8192x8", lambda T, x: T.triu(x), 8192, 8, bytes=5e5),
    op("pad 1024x4x8", F("pad", (1, 1)), 1024, 4, 8, bytes=3e5),
    op("index_select 16x64x64 dim 1", lambda T, x, i: T.index_select(x, 1, i), 16, 64, 64, extra=lambda T: (ints(T, 64, 48),), bytes=4e5),
    op("embedding_bag 100000x16", narrow_bags, 100000, 16, bytes=3e5),
    op("x + column 256x256 uint8", lambda T, x, a, b: a + b, 1, extra=columns, bytes=131e3),
    op("embedding_bag max 4000x256", maxima, 4000, 256, bytes=4.5e6),
    backward("embedding_bag max 4000x256", maxima, 4000, 256, bytes=13e6),
    op("embedding_bag 4000x256", bags, 4000, 256, bytes=4.5e6),
    backward("embedding_bag 4000x256", bags, 4000, 256, bytes=13e6),
    op("embedding 32000x512", lookup, 32000, 512, bytes=16.8e6),
    backward("embedding 32000x512", lookup, 32000, 512, bytes=99e6),
    *(op(f"planes to pixels {'x'.join(map(str, shape))}", lambda T, x: x.movedim(-3, -1).contiguous(), *shape) for shape in ((3, 224, 224), (8, 3, 64, 64), (8, 4, 64, 64))),
    *(op(f"pixels to planes {'x'.join(map(str, shape))}", lambda T, x: x.movedim(-1, -3).contiguous(), *shape) for shape in ((224, 224, 3), (8, 64, 64, 4))),
    *(
        op(f"{name} channels_last", lambda T, x, f=f: f(T, x.contiguous(memory_format=T.channels_last)), 16, 64, 28, 28)
        for name, f in (("channel_shuffle", F("channel_shuffle", 4)), ("pixel_shuffle", F("pixel_shuffle", 2)))
    ),
]
