"""Resampling of spatial dimensions: every mode is a weighted sum per dimension."""

import math

import numpy as np
from opcase import FLOATS, ErrorCase, OpCase, Sample


def u(rng, *shape):
    return np.asarray(rng.uniform(-2, 2, shape))


def cubic(t, a=-0.75):
    t = abs(t)
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a if t < 2 else 0.0


def matrix(n_in, n_out, scale, mode, align):
    """[n_out, n_in] weights along one dimension."""
    m = np.zeros((n_out, n_in))
    ratio = 1 / scale if scale else n_in / n_out
    if align:
        ratio = (n_in - 1) / (n_out - 1) if n_out > 1 else 0.0
    for o in range(n_out):
        if mode == "nearest":
            m[o, min(int(math.floor(np.float32(o) * np.float32(ratio))), n_in - 1)] = 1
        elif mode == "nearest-exact":
            m[o, min(int(math.floor((np.float32(o) + np.float32(0.5)) * np.float32(ratio))), n_in - 1)] = 1
        elif mode == "area":
            a, b = o * n_in // n_out, -(-(o + 1) * n_in // n_out)
            m[o, a:b] = 1 / (b - a)
        else:
            s = o * ratio if align else (o + 0.5) * ratio - 0.5
            if mode == "bicubic":
                i = math.floor(s)
                for k in range(-1, 3):
                    m[o, min(max(i + k, 0), n_in - 1)] += cubic(s - i - k)
            else:
                s = max(s, 0.0)
                i = min(int(s), n_in - 1)
                m[o, i] += 1 - (s - i)
                m[o, min(i + 1, n_in - 1)] += s - i
    return m


def ref(x, size=None, scale_factor=None, mode="nearest", align_corners=None):
    for d in range(x.ndim - 2):
        n = x.shape[d + 2]
        scale = None
        if size is None:
            scale = scale_factor[d] if isinstance(scale_factor, (list, tuple)) else scale_factor
            out = int(math.floor(n * scale))
        else:
            out = size[d] if isinstance(size, (list, tuple)) else size
        m = matrix(n, out, scale, mode, align_corners)
        if mode.startswith("nearest"):
            x = np.take(x, m.argmax(1), axis=d + 2)
        else:
            x = np.moveaxis(np.moveaxis(x, d + 2, -1) @ m.T, -1, d + 2)
    return x


def samples(mode, rank, aligns=(None,)):
    def make(rng):
        spatial = [(5,), (3, 4), (2, 3, 2)][rank - 1]
        sizes = [[(7,), (3,), (1,)], [(5, 7), (2, 2), (1, 4)], [(3, 2, 4), (1, 1, 1)]][rank - 1]
        for align in aligns:
            kw = {} if align is None else {"align_corners": align}
            for size in sizes:
                yield Sample(u(rng, 1, 2, *spatial), size=list(size), mode=mode, **kw).but(k=8)
            for scale in (2.0, 0.6, [1.5] * rank):
                yield Sample(u(rng, 2, 1, *spatial), scale_factor=scale, mode=mode, **kw).but(k=8)
            yield Sample(u(rng, 0, 2, *spatial), scale_factor=2.0, mode=mode, **kw)

    return make


def F(T, x, **kwargs):
    return T.nn.functional.interpolate(x, **kwargs)


ERRORS = [
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2)), ValueError, ("interpolate", "size or scale_factor")),
    ErrorCase(
        lambda T: F(T, T.ones(1, 1, 2, 2), size=2, scale_factor=2), ValueError, ("interpolate", "only one")
    ),
    ErrorCase(lambda T: F(T, T.ones(2, 2), size=2), NotImplementedError, ("interpolate", "2D")),
    ErrorCase(
        lambda T: F(T, T.ones(1, 1, 2, 2), size=2, mode="linear"),
        NotImplementedError,
        ("interpolate", "linear"),
    ),
    ErrorCase(
        lambda T: F(T, T.ones(1, 1, 2, 2), size=0), RuntimeError, ("interpolate", "greater than 0", "[0")
    ),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2), scale_factor=-1.0), ValueError, ("interpolate", "-1")),
    ErrorCase(
        lambda T: F(T, T.ones(1, 1, 2, 2), size=2, align_corners=True),
        ValueError,
        ("interpolate", "align_corners"),
    ),
    ErrorCase(
        lambda T: F(T, T.ones(1, 1, 2, 2, dtype=T.int64), size=2, mode="bilinear"),
        RuntimeError,
        ("interpolate", "int64"),
    ),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2), size=(2**40, 2**40)), (ValueError, MemoryError), ()),
]
NONFINITE = dict(
    nonfinite=False, why="neighbours of weight zero are not read, so infinities do not spread to them"
)
HALF = {"float16": (2e-3, 2e-3)}
CASES = [
    *[
        OpCase(
            f"interpolate_{mode}_{rank}d",
            F,
            ref,
            samples(mode, rank),
            dtypes=FLOATS + ("uint8",),
            errors=ERRORS if rank == 2 else (),
        )
        for mode in ("nearest", "nearest-exact")
        for rank in (1, 2, 3)
    ],
    *[
        OpCase(
            f"interpolate_{mode}",
            F,
            ref,
            samples(mode, rank, (None, True, False)),
            dtypes=FLOATS,
            tol=HALF,
            **NONFINITE,
        )
        for mode, rank in (("linear", 1), ("bilinear", 2), ("trilinear", 3), ("bicubic", 2))
    ],
    *[
        OpCase(
            f"interpolate_area_{rank}d", F, ref, samples("area", rank), dtypes=FLOATS, tol=HALF, **NONFINITE
        )
        for rank in (1, 2, 3)
    ],
]
