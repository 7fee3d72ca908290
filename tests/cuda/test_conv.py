"""Convolution on the device against direct sums.

Operands hold -1, 0 and 1, so every partial sum is a small integer: results are exact in every dtype and compared bit
for bit, and the adjoint identities <conv(x, w), dy> = <x, dx> = <w, dw> hold without tolerance. Small shapes are
enumerated along one dimension (each dimension is treated alike and apart), combined at random in two and three, and
larger ones are chosen to reach every kernel.
"""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

pytestmark = pytest.mark.gpu

DTYPES = {"float64": ccdl.float64, "float32": ccdl.float32, "float16": ccdl.float16, "bfloat16": ccdl.bfloat16}
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
LAST = {2: ccdl.channels_last, 3: ccdl.channels_last_3d}


def digits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-1, 2, size=shape).astype(np.float64)


def direct(x, w, dy, stride, padding, dilation, groups):
    """y, dx and dw as plain sums; dy is given as a function of y's shape."""
    dims = x.ndim - 2
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(x.shape[2:], w.shape[2:], stride, padding, dilation)]
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    y = np.zeros((x.shape[0], w.shape[0], *out))
    dy = dy(y.shape)
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    rows, channels = w.shape[0] // groups, w.shape[1]
    for g, tap in itertools.product(range(groups), itertools.product(*map(range, w.shape[2:]))):
        r, c = slice(g * rows, (g + 1) * rows), slice(g * channels, (g + 1) * channels)
        at = (slice(None), c, *(slice(t * d, t * d + s * (o - 1) + 1, s) for t, d, s, o in zip(tap, dilation, stride, out)))
        at_w = (r, slice(None), *tap)
        y[:, r] += np.einsum("nc...,kc->nk...", padded[at], w[at_w])
        dx[at] += np.einsum("nk...,kc->nc...", dy[:, r], w[at_w])
        dw[at_w] = np.einsum("nkp,ncp->kc", *(a.reshape(*a.shape[:2], -1) for a in (dy[:, r], padded[at])))
    inner = tuple(slice(p, p + n) for p, n in zip(padding, x.shape[2:]))
    return y, dx[(slice(None), slice(None), *inner)], dw, dy, dims


def check(rng, x_shape, w_shape, dtype, last, stride, padding, dilation, groups, w_last=None):
    x, w = digits(rng, *x_shape), digits(rng, *w_shape)
    y, dx, dw, dy, dims = direct(x, w, lambda s: digits(rng, *s), stride, padding, dilation, groups)
    tx, tw, tdy = (ccdl.tensor(a, device="cuda").to(DTYPES[dtype]) for a in (x, w, dy))
    if last:
        tx = tx.contiguous(memory_format=LAST[dims])
    if last if w_last is None else w_last:
        tw = tw.contiguous(memory_format=LAST[dims])
    tx, tw = tx.requires_grad_(), tw.requires_grad_()
    ty = CONV[dims](tx, tw, None, list(stride), list(padding), list(dilation), groups)
    ty.backward(tdy)
    what = (x_shape, w_shape, dtype, last, stride, padding, dilation, groups)
    for name, got, want in (("y", ty.detach(), y), ("dx", tx.grad, dx), ("dw", tw.grad, dw)):
        assert got.dtype == DTYPES[dtype]
        np.testing.assert_array_equal(got.cpu().double().numpy(), want, err_msg=f"{name} of {what}")
    if last and not tx.is_contiguous():  # with one channel or one pixel both formats are the same
        assert ty.is_contiguous(memory_format=LAST[dims])
        assert tx.grad.is_contiguous(memory_format=LAST[dims])


THIN = ccdl.cuda.is_emulated() and not os.environ.get("CCDL_TEST_THOROUGH")


def thinned(cases, step):
    """All cases on a GPU; on the emulated device every step-th, the first one by the schedule's seed, unless
    CCDL_TEST_THOROUGH is set (tests/run_emulated_seeds.sh sets it)."""
    cases = list(cases)
    if not THIN:
        return cases
    step = min(step, len(cases))
    return cases[int(os.environ.get("CCDL_EMULATOR_SEED", "0")) % step :: step]


def along_one_dim():
    for n, k, s, p, d in itertools.product(range(1, 8), range(1, 6), (1, 2, 3), range(4), (1, 2, 3)):
        if n + 2 * p >= d * (k - 1) + 1 and not (k == 1 and d > 1):
            yield n, k, s, p, d


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_small_window(dtype):
    rng = np.random.default_rng(3)
    for i, (n, k, s, p, d) in thinned(enumerate(along_one_dim()), 8):
        groups, c, rows = ((1, 1, 2), (1, 3, 2), (2, 2, 1), (3, 1, 1))[i % 4]
        check(rng, (2, c * groups, n), (rows * groups, c, k), dtype, False, (s,), (p,), (d,), groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_random_windows(dtype, last):
    rng = np.random.default_rng(4)
    windows = list(along_one_dim())
    for i in thinned(range(60), 4):
        dims = 3 if i % 6 == 0 else 2
        size, kernel, stride, padding, dilation = zip(*(windows[j] for j in rng.integers(len(windows), size=dims)))
        if dims == 3:
            kernel = tuple(min(k, 3) for k in kernel)
        groups, c, rows = ((1, 1, 5), (1, 8, 8), (2, 3, 2), (8, 1, 1), (4, 1, 2), (2, 8, 16), (1, 5, 1))[i % 7]
        check(rng, (2, c * groups, *size), (rows * groups, c, *kernel), dtype, last, stride, padding, dilation, groups,
              last and i % 3 > 0)


# x, w, stride, padding, dilation, groups, dtypes: what the shape is for
REACH = [
    ((2, 136, 9, 9), (72, 136, 3, 3), 1, 1, 1, 1, "float32 float16"),  # several tiles of channels, parts of a sum
    ((1, 300, 4, 4), (10, 300, 3, 3), 1, 1, 1, 1, "float32 float64 bfloat16"),  # few pixels, long sums
    ((2, 4, 24, 24), (6, 4, 5, 5), 1, 2, 1, 1, "float32 float64 float16"),  # few output channels, many pixels
    ((2, 24, 13, 13), (40, 24, 3, 3), 2, 1, 1, 1, "float32 float16 bfloat16"),  # phases of the adjoint
    ((2, 10, 9, 9), (12, 10, 3, 3), 1, 1, 1, 1, "bfloat16"),  # channels not in eights
    ((2, 32, 9, 17), (32, 1, 3, 3), 1, 1, 1, 32, "float32 float16 bfloat16"),  # depthwise, 16-byte vectors
    ((2, 32, 9, 17), (32, 1, 5, 5), 2, 2, 1, 32, "float32 float16"),
    ((1, 12, 21, 9), (12, 1, 7, 7), 1, 3, 1, 12, "float32 bfloat16 float64"),
    ((2, 64, 6, 6), (64, 4, 3, 3), 1, 1, 1, 16, "float32 float16"),  # groups
    ((1, 3, 200, 130), (40, 3, 2, 1), 1, 0, 1, 1, "float32"),  # large tiles
    ((2, 5, 6, 7), (9, 5, 1, 1), 1, 0, 1, 1, "float32 float64 float16"),  # a matrix product
]


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", REACH, ids=lambda s: f"{'x'.join(map(str, s[0]))}-{'x'.join(map(str, s[1]))}")
def test_every_kernel(shape, last):
    x, w, stride, padding, dilation, groups, dtypes = shape
    for dtype in thinned(dtypes.split(), 3):
        check(np.random.default_rng(5), x, w, dtype, last, (stride,) * 2, (padding,) * 2, (dilation,) * 2, groups)


@pytest.mark.skipif(THIN, reason="partial run")
def test_large_tensor_core_tiles():
    check(np.random.default_rng(5), (1, 8, 188, 184), (72, 8, 1, 2), "float16", True, (1, 1), (0, 0), (1, 1), 1)


@pytest.mark.parametrize("precision", ["tf32", "tf32x3"])
def test_float32_on_the_tensor_cores(precision, monkeypatch):
    monkeypatch.setattr(ccdl.backends.cuda.matmul, "fp32_precision", precision)
    for i, (x, w, stride, padding, dilation, groups, dtypes) in thinned(enumerate(REACH), 4):
        if "float32" in dtypes and x[2] < 100:
            check(np.random.default_rng(5), x, w, "float32", i % 2 == 0, (stride,) * 2, (padding,) * 2, (dilation,) * 2, groups)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_same_bits_every_time(dtype):
    rng = np.random.default_rng(6)
    for x_shape, w_shape, groups in (((2, 64, 9, 9), (24, 64, 3, 3), 1), ((4, 16, 15, 15), (16, 1, 3, 3), 16)):
        results = []
        x, w, dy = (rng.standard_normal(s) for s in (x_shape, w_shape, (x_shape[0], w_shape[0], *x_shape[2:])))
        for _ in range(3):
            tx, tw, tdy = (ccdl.tensor(a, device="cuda").to(DTYPES[dtype]) for a in (x, w, dy))
            tx, tw = tx.requires_grad_(), tw.requires_grad_()
            y = F.conv2d(tx, tw, padding=1, groups=groups)
            y.backward(tdy)
            results.append([t.detach().cpu().numpy() for t in (y, tx.grad, tw.grad)])
        for again in results[1:]:
            for a, b in zip(results[0], again):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transposed_is_the_adjoint(dtype, dims):
    rng = np.random.default_rng(7)
    for stride, padding, dilation, groups in ((1, 0, 1, 1), (2, 1, 1, 2), (3, 1, 2, 1), (2, 0, 3, 4)):
        c, k = 2 * groups, groups
        w = digits(rng, c, k // groups, *(3,) * dims)
        x = digits(rng, 2, c, *(4,) * dims)
        y = TRANSPOSED[dims](*(ccdl.tensor(a, device="cuda").to(DTYPES[dtype]) for a in (x, w)), None, stride, padding,
                             0, groups, dilation)
        other = digits(rng, *y.shape)
        back = CONV[dims](*(ccdl.tensor(a, device="cuda").to(DTYPES[dtype]) for a in (other, w)), None, stride, padding,
                          dilation, groups)
        assert back.shape == x.shape
        assert (y.cpu().double().numpy() * other).sum() == (back.cpu().double().numpy() * x).sum()


def test_bias_and_empty_sums():
    x = ccdl.zeros(2, 3, 5, 5, device="cuda")
    for dtype in (ccdl.float32, ccdl.float16):
        b = ccdl.tensor([1.0, -2.0, 3.0, 4.0], device="cuda").to(dtype)
        w = ccdl.ones(4, 3, 3, 3, device="cuda").to(dtype)
        for t in (x.to(dtype), x.to(dtype).contiguous(memory_format=ccdl.channels_last)):
            y = F.conv2d(t, w, b, padding=1).float().cpu().numpy()
            np.testing.assert_array_equal(y, np.broadcast_to(np.array([1, -2, 3, 4.0]).reshape(1, 4, 1, 1), y.shape))
        empty = F.conv2d(ccdl.zeros(2, 0, 5, 5, device="cuda").to(dtype), ccdl.zeros(4, 0, 3, 3, device="cuda").to(dtype), b)
        np.testing.assert_array_equal(empty.float().cpu().numpy()[:, :, 0, 0], [[1, -2, 3, 4]] * 2)
