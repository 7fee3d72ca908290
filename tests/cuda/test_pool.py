"""Pooling on the device: both layouts, 16-byte channel vectors and long windows against the CPU, and the promises that
hold bit for bit: ties, NaN, the last of equal unpooling indices, the same sums every time."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

pytestmark = pytest.mark.gpu

DTYPES = {"float64": ccdl.float64, "float32": ccdl.float32, "float16": ccdl.float16, "bfloat16": ccdl.bfloat16}
CALLS = {
    "max": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_dilated": lambda x: F.max_pool2d(x, 2, 1, 1, dilation=2),
    "max_ceil": lambda x: F.max_pool2d(x, (2, 3), 2, ceil_mode=True),
    "max_long": lambda x: F.max_pool2d(x, 9, 1, 4),
    "max_indices": lambda x: F.max_pool2d(x, 3, 1, 1, return_indices=True)[0],
    "max_adaptive": lambda x: F.adaptive_max_pool2d(x, (3, 2)),
    "max_global": lambda x: F.adaptive_max_pool2d(x, 1),
    "avg": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_inside": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
    "avg_divisor": lambda x: F.avg_pool2d(x, 2, divisor_override=-3),
    "avg_adaptive": lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
    "avg_finer": lambda x: F.adaptive_avg_pool2d(x, (17, 13)),
    "avg_global": lambda x: F.adaptive_avg_pool2d(x, 1),
}


def run(call, x, dy, dtype, device, last):
    t = ccdl.tensor(x, device=device).to(DTYPES[dtype])
    if last:
        t = t.contiguous(memory_format=ccdl.channels_last)
    t = t.requires_grad_()
    y = call(t)
    y.backward(ccdl.tensor(dy(y.shape), device=device).to(DTYPES[dtype]))
    return [a.detach().cpu().double().numpy() for a in (y, t.grad)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize("name", CALLS)
def test_as_on_the_cpu(name, channels, last, dtype):
    rng = np.random.default_rng(1)
    x = rng.integers(-20, 20, size=(2, channels, 11, 10)).astype(np.float64)  # ties in every window
    dy = lambda shape: np.random.default_rng(2).integers(-8, 8, size=shape).astype(np.float64)
    tolerance = {"float64": 1e-14, "float32": 1e-6, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
    for got, want in zip(run(CALLS[name], x, dy, dtype, "cuda", last), run(CALLS[name], x, dy, dtype, "cpu", False)):
        if name.startswith("max"):
            np.testing.assert_array_equal(got, want)
        else:
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [(3, 3), (12, 12)])
def test_the_last_nan_wins_everywhere(size):
    x = np.random.default_rng(3).standard_normal((2, 8, *size)).astype(np.float32)
    x[0, 3, 1, 1] = x[0, 3, 2, 0] = x[1, 7, 0, 2] = np.nan
    for last in (False, True):
        t = ccdl.tensor(x, device="cuda")
        t = t.contiguous(memory_format=ccdl.channels_last) if last else t
        y, at = F.adaptive_max_pool2d(t, 1, return_indices=True)
        y, at = y.cpu().numpy()[..., 0, 0], at.cpu().numpy()[..., 0, 0]
        flat = x.reshape(2, 8, -1)
        assert np.isnan(y[0, 3]) and np.isnan(y[1, 7]) and np.isnan(y).sum() == 2
        assert at[0, 3] == 2 * size[1]
        assert at[1, 7] == 2
        clean = ~np.isnan(y)
        np.testing.assert_array_equal(at[clean], flat.argmax(-1)[clean])


def test_last_of_equal_unpool_indices_wins():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    at = rng.integers(0, 40, size=x.shape)
    want = np.zeros((2, 3, 256), np.float32)
    for n in range(2):
        for c in range(3):
            want[n, c, at[n, c].ravel()] = x[n, c].ravel()
    got = F.max_unpool2d(ccdl.tensor(x, device="cuda"), ccdl.tensor(at, device="cuda"), 2)
    np.testing.assert_array_equal(got.cpu().numpy().reshape(2, 3, -1), want)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scattering_to_any_position_adds_in_order(dtype):
    rng = np.random.default_rng(5)
    x = ccdl.tensor(rng.standard_normal((1, 2, 9, 9)), device="cuda").to(DTYPES[dtype]).requires_grad_()
    at = ccdl.tensor(rng.integers(0, 20, size=(1, 2, 9, 9)), device="cuda")
    bits = []
    for _ in range(2):
        u = ccdl.ones(1, 2, 18, 18, device="cuda").to(DTYPES[dtype]).requires_grad_()
        (dx,) = ccdl.autograd.grad(F.max_unpool2d(x, at, 2), x, u, create_graph=True)
        weights = ccdl.tensor(np.random.default_rng(6).standard_normal((1, 2, 9, 9)), device="cuda").to(DTYPES[dtype])
        (du,) = ccdl.autograd.grad(dx, u, weights)
        bits.append(du.cpu().double().numpy())
    np.testing.assert_array_equal(*bits)
    want = np.zeros((2, 324))
    for c in range(2):
        np.add.at(want[c], at.cpu().numpy()[0, c].ravel(), weights.cpu().double().numpy()[0, c].ravel())
    np.testing.assert_allclose(bits[0].reshape(2, -1), want, rtol=1e-2 if dtype == "bfloat16" else 1e-5, atol=1e-6)


def test_bad_unpool_index():
    x = ccdl.ones(1, 1, 2, 2, device="cuda")
    at = ccdl.tensor([[[[0, 3], [99, 5]]]], device="cuda")
    with pytest.raises(IndexError, match="99"):
        F.max_unpool2d(x, at, 2).cpu()
    assert F.max_unpool2d(x, at * 0, 2).sum().item() == 1
