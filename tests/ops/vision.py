"""Sampling of images at given positions, against a loop over points and neighbours."""

import itertools
import math

import numpy as np
from opcase import FLOATS, ErrorCase, OpCase, Sample


def reflect(x, low, high):
    if high <= low:
        return 0.0
    span = high - low
    x = abs(x - low)
    turns, extra = int(x // span), math.fmod(x, span)
    return extra + low if turns % 2 == 0 else span - extra + low


def move(x, size, padding, align):
    if padding == "border":
        return min(max(x, 0.0), size - 1.0)
    if padding == "reflection":
        return min(max(reflect(x, *((0.0, size - 1.0) if align else (-0.5, size - 0.5))), 0.0), size - 1.0)
    return x


def keys(t, a=-0.75):
    t = abs(t)
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a if t < 2 else 0.0


def ref(x, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    n, c, *space = x.shape
    align = bool(align_corners)
    result = np.zeros((n, c, *grid.shape[1:-1]))

    def read(b, places):
        if all(0 <= p < s for p, s in zip(places, space)):
            return x[(b, slice(None), *(int(p) for p in places))]
        return np.zeros(c)

    for b, *at in np.ndindex(n, *grid.shape[1:-1]):
        point = [(g + 1) / 2 * (s - 1) if align else ((g + 1) * s - 1) / 2 for g, s in zip(grid[(b, *at)][::-1], space)]
        if mode != "bicubic":
            point = [move(p, s, padding_mode, align) for p, s in zip(point, space)]
        total = np.zeros(c)
        if mode == "nearest":
            total = read(b, [np.round(p) for p in point])
        else:
            reach = (0, 1) if mode == "bilinear" else (-1, 0, 1, 2)
            for offsets in itertools.product(reach, repeat=len(space)):
                places = [math.floor(p) + o for p, o in zip(point, offsets)]
                if mode == "bilinear":
                    weight = np.prod([1 - abs(p - q) for p, q in zip(point, places)])
                else:
                    weight = np.prod([keys(p - q) for p, q in zip(point, places)])
                    places = [math.floor(move(q, s, padding_mode, align) + 0.25) for q, s in zip(places, space)]
                total = total + weight * read(b, places)
        result[(b, slice(None), *at)] = total
    return result


def samples(rank, mode):
    def make(rng):
        space, out = [((4, 5), (3, 2)), ((2, 3, 4), (2, 1, 3))][rank - 2]
        for padding, align in itertools.product(("zeros", "border", "reflection"), (False, True)):
            x, grid = rng.standard_normal((2, 3, *space)), rng.uniform(-1.6, 1.6, (2, *out, rank))
            if mode == "nearest":  # away from the steps between pixels
                size = np.array(space[::-1])
                pixel = rng.integers(-2, size + 2, grid.shape) + rng.uniform(-0.4, 0.4, grid.shape)
                grid = 2 * pixel / (size - 1) - 1 if align else (2 * pixel + 1) / size - 1
            yield Sample(x, grid, mode=mode, padding_mode=padding, align_corners=align).but(k=64)
            if mode != "nearest":  # far outside, and more points than a block of vectors holds
                far = rng.uniform(-12, 12, (1, *((5, 13), (2, 5, 7))[rank - 2], rank))
                yield Sample(x[:1, :, ...], far, mode=mode, padding_mode=padding, align_corners=align).but(k=64, grad=False)
        yield Sample(rng.standard_normal((1, 1, *[1] * rank)), rng.uniform(-0.9, 0.9, (1, *out, rank)), mode=mode).but(k=64)
        yield Sample(rng.standard_normal((0, 2, *space)), rng.uniform(-1, 1, (0, *out, rank)), mode=mode)

    return make


def F(T, x, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    return T.nn.functional.grid_sample(x, grid, mode, padding_mode, bool(align_corners))


ERRORS = [
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2), T.ones(1, 1, 1, 2), mode="cubic"), ValueError, ("grid_sample", "mode", "cubic")),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2), T.ones(1, 1, 1, 2), padding_mode="x"), ValueError, ("grid_sample", "padding_mode", "x")),
    ErrorCase(lambda T: F(T, T.ones(1, 2, 2), T.ones(1, 1, 2)), RuntimeError, ("grid_sample", "4-d or 5-d", "[1, 2, 2]")),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2), T.ones(1, 1, 1, 1, 3)), RuntimeError, ("grid_sample", "same rank")),
    ErrorCase(lambda T: F(T, T.ones(2, 1, 2, 2), T.ones(1, 1, 1, 2)), RuntimeError, ("grid_sample", "batch", "[2, 1, 2, 2]")),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2), T.ones(1, 1, 1, 3)), RuntimeError, ("grid_sample", "size 2 in last dimension", "[1, 1, 1, 3]")),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 0, 2), T.ones(1, 1, 1, 2)), RuntimeError, ("grid_sample", "non-empty spatial")),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2), T.ones(1, 1, 1, 2, dtype=T.float64)), RuntimeError, ("grid_sample", "dtype", "float64")),
    ErrorCase(lambda T: F(T, T.ones(1, 1, 2, 2, 2), T.ones(1, 1, 1, 1, 3), mode="bicubic"), RuntimeError, ("grid_sample", "bicubic")),
]
# positions are computed in the grid's own dtype: half a unit of it moves the sample by that share of a pixel
HALF = {"float16": (1e-2, 1e-2), "bfloat16": (1.6e-2, 1.6e-2)}
CASES = [
    OpCase(f"grid_sample_{mode}_{rank}d", F, ref, samples(rank, mode), dtypes=FLOATS, errors=ERRORS if rank == 2 and mode == "bilinear" else (),
           tol=HALF, nonfinite=False, why="NaN and infinite positions count as outside")
    for mode, rank in (("bilinear", 2), ("bilinear", 3), ("nearest", 2), ("nearest", 3), ("bicubic", 2))
]
