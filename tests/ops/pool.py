"""Pooling against a plain NumPy walk over the windows."""

from __future__ import annotations

import itertools

import numpy as np
from opcase import ErrorCase, OpCase, Sample


def tuple_of(v, n):
    return (v,) * n if isinstance(v, int) else tuple(v)


def windows(shape, nd, kernel, stride, padding, dilation, ceil):
    """Per dimension: for every output the list of input positions and the window's size clipped to the padded input."""
    result = []
    for size, k, s, p, d in zip(shape[-nd:], kernel, stride, padding, dilation):
        room = size + 2 * p - d * (k - 1) - 1
        count = -(-room // s) + 1 if ceil else room // s + 1
        if ceil and (count - 1) * s >= size + p:
            count -= 1
        spans = []
        for o in range(count):
            start = o * s - p
            full = min(start + k, size + p) - start
            spans.append(([i for i in range(start, start + d * (k - 1) + 1, d) if 0 <= i < size], full))
        result.append(spans)
    return result


def adaptive(shape, nd, out):
    return [
        [(list(range(o * size // n, -(-(o + 1) * size // n))), 0) for o in range(n)] for size, n in zip(shape[-nd:], out)
    ]


def walk(x, nd, spans, value):
    out = np.zeros(x.shape[:-nd] + tuple(len(s) for s in spans), dtype=np.float64)
    for cell in itertools.product(*(range(len(s)) for s in spans)):
        picked = [spans[i][c] for i, c in enumerate(cell)]
        block = x[(Ellipsis, *np.ix_(*(p[0] for p in picked)))]
        out[(Ellipsis, *cell)] = value(block.reshape(*x.shape[:-nd], int(np.prod(block.shape[-nd:]))), picked)
    return out


def max_ref(nd):
    def ref(x, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
        k = tuple_of(kernel, nd)
        s = k if stride is None else tuple_of(stride, nd)
        spans = windows(x.shape, nd, k, s, tuple_of(padding, nd), tuple_of(dilation, nd), ceil_mode)
        return walk(x, nd, spans, lambda b, p: b.max(axis=-1))

    return ref


def avg_ref(nd):
    def ref(x, kernel, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        k = tuple_of(kernel, nd)
        s = k if stride is None else tuple_of(stride, nd)
        spans = windows(x.shape, nd, k, s, tuple_of(padding, nd), (1,) * nd, ceil_mode)

        def mean(block, picked):
            count = np.prod([p[1] if count_include_pad else len(p[0]) for p in picked])
            return block.sum(axis=-1) / (divisor_override or count)

        return walk(x, nd, spans, mean)

    return ref


def indices_ref(x, kernel, stride=None, padding=0):
    k = tuple_of(kernel, 2)
    s = k if stride is None else tuple_of(stride, 2)
    spans = windows(x.shape, 2, k, s, tuple_of(padding, 2), (1, 1), False)
    flat = np.broadcast_to(np.arange(x.shape[-2] * x.shape[-1]).reshape(x.shape[-2:]), x.shape)
    y = walk(x, 2, spans, lambda b, p: b.max(axis=-1))
    where = np.zeros(y.shape, dtype=np.int64)
    for cell in itertools.product(*(range(len(s)) for s in spans)):
        at = np.ix_(*(spans[i][c][0] for i, c in enumerate(cell)))
        block, places = (a[(Ellipsis, *at)] for a in (x, flat))
        block, places = (a.reshape(*x.shape[:-2], int(np.prod(a.shape[-2:]))) for a in (block, places))
        where[(Ellipsis, *cell)] = np.take_along_axis(places, block.argmax(-1)[..., None], -1)[..., 0]
    return y, where


def distinct(rng, *shape):
    """Values far enough apart for differences not to move a maximum."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) - np.prod(shape) / 2) * 0.03125


def max_samples(nd):
    def samples(rng):
        if nd == 1:
            sizes = [((2, 3, 9), 2, {}), ((3, 10), 3, dict(stride=2, padding=1)), ((0, 2, 6), 2, {}), ((1, 2, 8), 3, dict(stride=1, dilation=2))]
        elif nd == 2:
            sizes = [
                ((1, 2, 4, 6), 2, {}), ((2, 5, 5), (3, 2), dict(stride=2, padding=1)), ((0, 2, 6, 6), 2, {}),
                ((1, 1, 7, 7), 3, dict(stride=2, padding=1, ceil_mode=True)), ((1, 1, 6, 8), (2, 3), dict(stride=1, dilation=2)),
                ((2, 3, 5, 37), 3, dict(stride=2, padding=1)), ((1, 2, 9, 70), 2, {}), ((1, 2, 6, 40), 3, dict(stride=1)),
                ((2, 17, 4, 4), 2, {}), ((1, 1, 5, 5), 5, dict(stride=3, padding=2)),
            ]  # fmt: skip
        else:
            sizes = [((1, 1, 4, 3, 4), 2, {}), ((2, 3, 4, 4), (2, 1, 3), dict(stride=1)), ((0, 1, 4, 4, 4), 2, {})]
        for shape, kernel, options in sizes:
            x = distinct(rng, *shape)
            yield Sample(x, kernel, **options).but(grad=x.size <= 64)

    return samples


def avg_samples(nd):
    def samples(rng):
        if nd == 1:
            sizes = [((2, 3, 9), 2, {}), ((3, 10), 3, dict(stride=2, padding=1, count_include_pad=False)), ((0, 2, 6), 2, {})]
        elif nd == 2:
            sizes = [
                ((1, 2, 4, 6), 2, {}), ((2, 5, 5), (3, 2), dict(stride=2, padding=1)), ((0, 2, 6, 6), 2, {}),
                ((1, 1, 7, 7), 3, dict(stride=2, padding=1, ceil_mode=True)),
                ((1, 1, 7, 7), 3, dict(stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
                ((1, 1, 6, 6), 2, dict(divisor_override=3)), ((2, 3, 5, 37), 3, dict(stride=2, padding=1)),
                ((1, 2, 6, 40), 3, dict(stride=1)), ((1, 2, 9, 70), 2, {}), ((2, 17, 4, 4), 2, {}),
            ]  # fmt: skip
        else:
            sizes = [((1, 1, 4, 3, 4), 2, {}), ((2, 3, 4, 4), (2, 1, 3), dict(stride=1)), ((0, 1, 4, 4, 4), 2, {})]
        for shape, kernel, options in sizes:
            x = rng.standard_normal(shape)
            yield Sample(x, kernel, **options).but(grad=x.size <= 64, k=9)

    return samples


def adaptive_samples(nd, make):
    def samples(rng):
        for shape, out in [((2, 3, 7, 5), (3, 2)), ((2, 3, 7, 5), 1), ((3, 6, 4), (5, 4)), ((0, 2, 6, 6), 3), ((1, 20, 6, 6), 2)]:
            shape = shape if nd == 2 else (*shape[:-2], shape[-1]) if nd == 1 else (*shape[:-2], 2, *shape[-2:])
            out = out if isinstance(out, int) else out[:1] if nd == 1 else out if nd == 2 else (2, *out)
            x = make(rng, *shape)
            yield Sample(x, out).but(grad=x.size <= 64, k=16)

    return samples


def adaptive_ref(nd, reduce):
    return lambda x, out: walk(x, nd, adaptive(x.shape, nd, tuple_of(out, nd)), lambda b, p: reduce(b, axis=-1))


def pool_errors(name):
    def call(T, *args, **kwargs):
        return getattr(T.nn.functional, name)(*args, **kwargs)

    return [
        ErrorCase(lambda T: call(T, T.ones(1, 1, 8, 8), 2, padding=2), RuntimeError, (name, "pad", "2", "half")),
        ErrorCase(lambda T: call(T, T.ones(1, 1, 8, 8), 2, stride=0), RuntimeError, (name, "stride", "0")),
        ErrorCase(lambda T: call(T, T.ones(1, 1, 8, 8), 0), RuntimeError, (name, "kernel", "0")),
        ErrorCase(lambda T: call(T, T.ones(1, 1, 3, 3), 4), RuntimeError, (name, "Output size is too small", "4")),
        ErrorCase(lambda T: call(T, T.ones(8, 8), 2), RuntimeError, (name, "[8, 8]")),
        ErrorCase(lambda T: call(T, T.ones(1, 0, 8, 8), 2), RuntimeError, (name, "non-zero")),
        ErrorCase(lambda T: call(T, T.ones(1, 1, 8, 8, dtype=T.bool), 2), RuntimeError, (name, "bool")),
        ErrorCase(lambda T: call(T, T.ones(1, 1, 8, 8), (2, 2, 2)), (RuntimeError, TypeError), (name,)),
    ]


def rng_normal(rng, *shape):
    return rng.standard_normal(shape)


F = "nn.functional."
CASES = [
    *(OpCase(f"max_pool{n}d", F + f"max_pool{n}d", max_ref(n), max_samples(n), simd=n == 2,
             errors=pool_errors("max_pool2d") if n == 2 else [],
             big=(lambda rng: Sample(rng.standard_normal((4, 8, 64, 65)), 3, stride=2, padding=1)) if n == 2 else None)
      for n in (1, 2, 3)),
    *(OpCase(f"avg_pool{n}d", F + f"avg_pool{n}d", avg_ref(n), avg_samples(n), simd=n == 2,
             errors=pool_errors("avg_pool2d") if n == 2 else [],
             big=(lambda rng: Sample(rng.standard_normal((4, 8, 64, 65)), 3, stride=2, padding=1)) if n == 2 else None)
      for n in (1, 2, 3)),
    OpCase("max_pool2d_with_indices",
           lambda T, x, *a, **k: T.nn.functional.max_pool2d(x, *a, return_indices=True, **k), indices_ref,
           samples=lambda rng: (Sample(distinct(rng, *s), k, **o).but(grad=int(np.prod(s)) <= 64) for s, k, o in
                                [((1, 2, 4, 6), 2, {}), ((2, 3, 7, 9), 3, dict(stride=2, padding=1)), ((2, 5, 5), 2, {}), ((0, 1, 4, 4), 2, {})]),
           nonfinite=False, why="argmax and the last NaN differ"),
    *(OpCase(f"adaptive_avg_pool{n}d", F + f"adaptive_avg_pool{n}d", adaptive_ref(n, np.mean), adaptive_samples(n, rng_normal))
      for n in (1, 2, 3)),
    *(OpCase(f"adaptive_max_pool{n}d", F + f"adaptive_max_pool{n}d", adaptive_ref(n, np.max), adaptive_samples(n, distinct))
      for n in (1, 2, 3)),
    OpCase("lp_pool2d", F + "lp_pool2d", lambda x, p, k: (avg_ref(2)(np.abs(x) ** p, k) * k * k) ** (1 / p),
           samples=lambda rng: (Sample(rng.uniform(0.5, 2, s), 3.0, 2).but(k=4) for s in [(1, 2, 4, 4), (0, 2, 4, 4)])),
]  # fmt: skip
