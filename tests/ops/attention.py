"""Scaled dot-product attention against softmax(q k^T) v in float64."""

from __future__ import annotations

import numpy as np
from opcase import FULL_FLOATS, ErrorCase, OpCase, Sample


def scores(q, k, attn_mask=None, is_causal=False, scale=None, enable_gqa=False, lower_right=False, key_lengths=None):
    q, k = np.asarray(q, dtype=np.float64), np.asarray(k, dtype=np.float64)
    if enable_gqa:
        k = np.repeat(k, q.shape[-3] // k.shape[-3], axis=-3)
    if scale is None:
        scale = 1 / np.sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    s = (q * scale) @ np.swapaxes(k, -1, -2)
    length, keys = s.shape[-2:]
    if attn_mask is not None:
        # -inf in a mask hides a key whatever its score is
        s = np.where(attn_mask if attn_mask.dtype == bool else attn_mask != -np.inf, s, -np.inf)
        s = s if attn_mask.dtype == bool else s + np.where(attn_mask == -np.inf, 0.0, attn_mask)
    if is_causal:
        offset = keys - length if lower_right else 0
        s = np.where(np.arange(keys) <= np.arange(length)[:, None] + offset, s, -np.inf)
    if key_lengths is not None:
        s = np.where(np.arange(keys) < key_lengths.reshape((-1,) + (1,) * (s.ndim - 1)), s, -np.inf)
    return s


def attend(s, q, v, enable_gqa=False):
    """softmax(s) v and log-sum-exp; a row of -inf gives 0 and -inf."""
    v = np.asarray(v, dtype=np.float64)
    if enable_gqa:
        v = np.repeat(v, q.shape[-3] // v.shape[-3], axis=-3)
    top = s.max(axis=-1, keepdims=True, initial=-np.inf)
    dead = top == -np.inf
    top = np.where(dead, 0.0, top)
    e = np.exp(s - top)
    total = e.sum(axis=-1, keepdims=True)
    out = np.where(dead, 0.0, (e / np.where(dead, 1.0, total)) @ v)
    return out, np.where(dead, -np.inf, top + np.log(np.where(dead, 1.0, total)))[..., 0]


def sdpa(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    return attend(scores(q, k, attn_mask, is_causal, scale, enable_gqa), q, v, enable_gqa)[0]


def extended(q, k, v, attn_mask=None, is_causal=False, scale=None, enable_gqa=False, causal_alignment="upper_left",
             key_lengths=None):
    s = scores(q, k, attn_mask, is_causal, scale, enable_gqa, causal_alignment == "lower_right", key_lengths)
    return attend(s, q, v, enable_gqa)


def qkv(rng, lead, length, keys, d, e, k_lead=None, v_lead=None):
    k_lead = lead if k_lead is None else k_lead
    v_lead = k_lead if v_lead is None else v_lead
    return (rng.standard_normal((*lead, length, d)), rng.standard_normal((*k_lead, keys, d)),
            rng.standard_normal((*v_lead, keys, e)))


def sample(rng, lead, length, keys, d, e, k_lead=None, v_lead=None, **kwargs):
    arrays = qkv(rng, lead, length, keys, d, e, k_lead, v_lead)
    return Sample(*arrays, **kwargs).but(grad=sum(a.size for a in arrays) <= 400, k=max(d, 1))


def samples(rng):
    # second order is checked on the first few
    yield sample(rng, (1, 2), 2, 3, 2, 2)
    yield sample(rng, (1, 1), 3, 3, 2, 3, is_causal=True)
    yield sample(rng, (1, 2), 2, 3, 2, 1, k_lead=(1, 1), enable_gqa=True)
    yield sample(rng, (), 2, 3, 2, 2, scale=-0.7)
    yield sample(rng, (2, 2), 3, 5, 4, 4)
    yield sample(rng, (2,), 3, 4, 5, 6)
    yield sample(rng, (3, 1, 2), 2, 3, 4, 1, k_lead=(2, 2), v_lead=(1, 2))  # five dimensions, broadcast
    yield sample(rng, (2, 3), 2, 3, 4, 2, k_lead=(1,))
    yield sample(rng, (2, 4), 3, 4, 3, 2, k_lead=(2, 1))  # one key head broadcast
    yield sample(rng, (2, 4), 3, 4, 2, 2, k_lead=(1, 2), enable_gqa=True)
    yield sample(rng, (4,), 3, 4, 2, 2, k_lead=(2,), enable_gqa=True)
    yield sample(rng, (1, 4), 2, 3, 2, 2, k_lead=(1, 2), v_lead=(1, 1), enable_gqa=True)
    yield sample(rng, (1, 2), 6, 3, 4, 4, is_causal=True)  # more queries than keys
    yield sample(rng, (1, 2), 3, 6, 4, 4, is_causal=True)
    yield sample(rng, (2, 2), 1, 7, 5, 5)
    yield sample(rng, (1, 1), 1, 1, 1, 1)
    yield sample(rng, (2, 2), 3, 4, 3, 3, scale=0.0)
    for empty in [((2, 2), 3, 0, 4, 4), ((2, 2), 0, 3, 4, 4), ((0, 2), 3, 4, 4, 4), ((2, 0), 3, 4, 4, 4),
                  ((1, 2), 3, 4, 3, 0), ((1, 2), 3, 4, 0, 3), ((0,), 3, 4, 4, 4), ((), 0, 4, 4, 4)]:
        yield sample(rng, *empty)
    # block edges: 64 queries, 240 or 192 keys, vectors of 16
    for length, keys, d, e, causal in [(63, 64, 16, 16, True), (65, 241, 17, 15, False), (64, 193, 64, 64, True),
                                       (130, 500, 33, 48, True), (8, 513, 40, 24, False), (9, 513, 24, 40, False),
                                       (2, 1025, 31, 65, True)]:
        yield sample(rng, (1, 2), length, keys, d, e, is_causal=causal).but(grad=False)


def masks(rng):
    mask = rng.random((2, 3)) > 0.4
    mask[:, 0] = True
    yield sample(rng, (1, 2), 2, 3, 2, 2, attn_mask=mask)
    yield sample(rng, (1, 1), 2, 3, 2, 2, attn_mask=rng.standard_normal((1, 1, 2, 3)).astype(np.float32))
    yield sample(rng, (2, 2), 3, 5, 4, 4, attn_mask=np.arange(5) < np.array([2, 5]).reshape(2, 1, 1, 1))  # padding
    yield sample(rng, (2, 2), 3, 5, 4, 4, attn_mask=rng.standard_normal((2, 3, 5)).astype(np.float32))
    yield sample(rng, (2, 2), 3, 5, 4, 4, attn_mask=rng.standard_normal((3, 1)).astype(np.float32))
    yield sample(rng, (3,), 3, 5, 4, 4, attn_mask=rng.random((3, 3, 5)) > 0.3)
    yield sample(rng, (), 3, 5, 4, 4, attn_mask=rng.random((3, 5)) > 0.3)
    yield sample(rng, (2, 1, 2), 2, 3, 2, 2, attn_mask=rng.random((2, 1, 1, 2, 3)) > 0.3)
    yield sample(rng, (1, 4), 3, 4, 2, 2, k_lead=(1, 2), attn_mask=rng.random((4, 3, 4)) > 0.3, enable_gqa=True)
    bias = rng.standard_normal((3, 5)).astype(np.float32)
    bias[:, 3] = -np.inf
    yield sample(rng, (1, 2), 3, 5, 4, 4, attn_mask=bias)
    yield sample(rng, (1, 2), 0, 5, 4, 4, attn_mask=np.ones((1, 5), dtype=bool))
    wide = rng.random((1, 1, 70, 300)) > 0.5
    yield sample(rng, (2, 2), 70, 300, 20, 33, attn_mask=wide).but(grad=False)
    yield sample(rng, (2, 2), 70, 300, 20, 33, attn_mask=rng.standard_normal((2, 70, 300)).astype(np.float32)).but(grad=False)
    yield sample(rng, (2, 2), 2, 600, 20, 33, attn_mask=rng.random((2, 1, 1, 600)) > 0.5).but(grad=False)


def dead_rows(rng):
    """Queries that may attend to nothing: zeros and a zero gradient."""
    mask = np.array([[True, False, True], [False, False, False]])
    yield sample(rng, (1, 1), 2, 3, 2, 2, attn_mask=mask)
    yield sample(rng, (1, 2), 2, 3, 2, 2, attn_mask=np.where(mask, 0.0, -np.inf).astype(np.float32))
    yield sample(rng, (1, 2), 2, 0, 2, 2)
    big = rng.random((70, 300)) > 0.5
    big[10:20] = False
    yield sample(rng, (1, 2), 70, 300, 20, 33, attn_mask=big).but(grad=False)


def learned_mask(rng):
    q, k, v = qkv(rng, (1, 2), 2, 3, 2, 2)
    yield Sample(q, k, v, rng.standard_normal((2, 3)))
    q, k, v = qkv(rng, (1, 2), 3, 4, 2, 3)
    yield Sample(q, k, v, rng.standard_normal((1, 2, 3, 1)))
    q, k, v = qkv(rng, (2, 1), 3, 4, 5, 6)
    yield Sample(q, k, v, rng.standard_normal((2, 1, 3, 4)))
    q, k, v = qkv(rng, (0, 1), 3, 4, 5, 6)
    yield Sample(q, k, v, rng.standard_normal((3, 4)))


def extras(rng):
    yield sample(rng, (1, 2), 2, 3, 2, 2, is_causal=True, causal_alignment="lower_right")
    yield sample(rng, (2, 1), 2, 3, 1, 2, key_lengths=np.array([2, 1]))
    yield sample(rng, (2, 1), 2, 3, 1, 2, key_lengths=np.array([2, 0])).but(grad=False)  # rows whose sum is -inf
    yield sample(rng, (1, 1), 4, 2, 2, 2, is_causal=True, causal_alignment="lower_right").but(grad=False)
    yield sample(rng, (2, 2), 3, 5, 4, 4, key_lengths=np.array([9, 3]), is_causal=True)
    yield sample(rng, (2, 2), 3, 5, 4, 4, key_lengths=np.array([1, -3])).but(grad=False)
    yield sample(rng, (2,), 3, 5, 4, 4, key_lengths=np.array([1, 4]))
    yield sample(rng, (2, 2), 3, 5, 4, 4, key_lengths=np.array([1, 4]), attn_mask=rng.random((3, 5)) > 0.3)
    yield sample(rng, (2, 4), 3, 5, 2, 2, k_lead=(2, 2), enable_gqa=True, key_lengths=np.array([1, 4]))
    yield sample(rng, (2, 2), 3, 0, 4, 4)
    yield sample(rng, (2, 2), 0, 3, 4, 4)
    for length, keys, lengths in [(1, 1300, (700, 3)), (3, 1300, (1300, 0)), (70, 500, (499, 60)), (500, 70, (70, 2))]:
        yield sample(rng, (2, 4), length, keys, 20, 33, k_lead=(2, 2), enable_gqa=True, is_causal=True,
                     causal_alignment="lower_right", key_lengths=np.array(lengths)).but(grad=False)


def call(T, q, k, v, *args, **kwargs):
    return T.nn.functional.scaled_dot_product_attention(q, k, v, *args, **kwargs)


def call_extended(T, q, k, v, **kwargs):
    return T.nn.functional.attention(q, k, v, return_lse=True, **kwargs)


def wrong(exc, parts, q=(2, 4, 3, 8), k=(2, 4, 5, 8), v=(2, 4, 5, 8), dtypes=("float32",) * 3, mask=None, **kwargs):
    def fn(T):
        tensors = [T.ones(s, dtype=getattr(T, d)) for s, d in zip((q, k, v), dtypes, strict=True)]
        more = dict(kwargs)
        if mask is not None:
            more["attn_mask"] = T.ones(mask[0], dtype=getattr(T, mask[1]))
        return call(T, *tensors, **more)

    return ErrorCase(fn, exc, ("scaled_dot_product_attention", *parts))


ERRORS = [
    wrong(RuntimeError, ("at least 2", "[8]"), q=(8,)),
    wrong(RuntimeError, ("head size", "8", "7"), k=(2, 4, 5, 7)),
    wrong(RuntimeError, ("length", "5", "6"), v=(2, 4, 6, 8)),
    wrong(RuntimeError, ("4", "3"), k=(2, 3, 5, 8), v=(2, 3, 5, 8)),
    wrong(RuntimeError, ("2", "3"), k=(3, 4, 5, 8), v=(3, 4, 5, 8)),
    wrong(RuntimeError, ("divide", "[2, 3, 5, 8]"), k=(2, 3, 5, 8), v=(2, 3, 5, 8), enable_gqa=True),
    wrong(RuntimeError, ("divide", "[2, 0, 5, 8]"), k=(2, 0, 5, 8), v=(2, 0, 5, 8), enable_gqa=True),
    wrong(IndexError, ("head dimension",), q=(3, 8), k=(5, 8), v=(5, 8), enable_gqa=True),
    wrong(RuntimeError, ("same dtype", "float64"), dtypes=("float32", "float64", "float32")),
    wrong(RuntimeError, ("floating", "int64"), dtypes=("int64",) * 3),
    wrong(RuntimeError, ("broadcast", "[3, 4]"), mask=((3, 4), "bool")),
    wrong(RuntimeError, ("broadcast", "[2, 2, 4, 3, 5]"), mask=((2, 2, 4, 3, 5), "bool")),
    wrong(RuntimeError, ("attn_mask", "int64"), mask=((3, 5), "int64")),
    wrong(RuntimeError, ("attn_mask", "float64"), mask=((3, 5), "float64")),
    wrong(RuntimeError, ("is_causal",), mask=((3, 5), "bool"), is_causal=True),
    wrong(RuntimeError, ("between 0 and 1", "1.5"), dropout_p=1.5),
    wrong(RuntimeError, ("between 0 and 1", "-0.5"), dropout_p=-0.5),
    wrong(RuntimeError, ("between 0 and 1", "nan"), dropout_p=float("nan")),
    ErrorCase(lambda T: call(T, T.ones(2, 3), None, T.ones(2, 3)), TypeError, ("key",)),
    ErrorCase(lambda T: call(T, T.ones(2, 3), T.ones(2, 3), T.ones(2, 3), [1]), TypeError, ("attn_mask",)),
]  # fmt: skip


def extended_error(exc, parts, **kwargs):
    return ErrorCase(lambda T: call_extended(T, *(T.ones(2, 1, 3, 4) for _ in range(3)),
                                             **{n: f(T) for n, f in kwargs.items()}), exc, parts)


EXTENDED_ERRORS = [
    extended_error(RuntimeError, ("key_lengths", "[2]"), key_lengths=lambda T: T.ones(3, dtype=T.int64)),
    extended_error(RuntimeError, ("key_lengths", "float32"), key_lengths=lambda T: T.ones(2)),
]

CASES = [
    OpCase("scaled_dot_product_attention", call, sdpa, samples, simd=True, errors=ERRORS,
           big=lambda rng: Sample(*qkv(rng, (2, 4), 200, 300, 64, 64), is_causal=True)),
    OpCase("sdpa_mask", call, sdpa, masks, simd=True,
           big=lambda rng: Sample(*qkv(rng, (1, 2), 300, 500, 24, 24), attn_mask=rng.random((300, 500)) > 0.5)),
    OpCase("sdpa_dead_rows", call, sdpa, dead_rows, torch=False,
           why="PyTorch's gradient of such a row is NaN in some of its kernels"),
    OpCase("sdpa_learned_mask", call, sdpa, learned_mask, dtypes=FULL_FLOATS),
    OpCase("attention", call_extended, extended, extras, torch=False, errors=EXTENDED_ERRORS, simd=True,
           big=lambda rng: Sample(*qkv(rng, (1, 2), 1, 4000, 64, 64)), why="PyTorch has no such arguments"),
]  # fmt: skip
