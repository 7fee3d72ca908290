"""Nearest interpolation to fewer pixels in channels_last goes in one pass over all dimensions: values and gradients
against NumPy's indexing, second gradients, one dimension growing while the other shrinks."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F


def places(n: int, out: int, exact: bool) -> np.ndarray:
    at = np.floor((np.arange(out, dtype=np.float32) + np.float32(0.5 if exact else 0)) * np.float32(n / out))
    return np.clip(at.astype(np.int64), 0, n - 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("shape, size", [
    ((2, 5, 32, 32), (13, 13)), ((1, 70, 9, 8), (4, 8)), ((2, 3, 20, 4), (3, 9)), ((0, 3, 8, 8), (4, 4)),
    ((2, 4, 8, 6, 7), (3, 5, 2)), ((2, 7, 8, 8), (8, 8)),
])
def test_fewer_pixels(shape, size, mode, dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(-8, 9, shape)
    x = ccdl.tensor(values).to(getattr(ccdl, dtype))
    format = ccdl.channels_last if len(shape) == 4 else ccdl.channels_last_3d
    x = x.contiguous(memory_format=format).requires_grad_()
    y = F.interpolate(x, size=size, mode=mode)
    assert not y.numel() or y.is_contiguous(memory_format=format)
    spots = np.ix_(*map(np.arange, shape[:2]), *(places(n, o, mode != "nearest") for n, o in zip(shape[2:], size)))
    np.testing.assert_array_equal(y.detach().double().cpu().numpy(), values[spots])
    dy = rng.integers(-8, 9, y.shape)
    given = ccdl.tensor(dy).to(x.dtype).requires_grad_()
    (dx,) = ccdl.autograd.grad(y, x, given, create_graph=True)
    want = np.zeros(shape)
    np.add.at(want, spots, dy)
    np.testing.assert_array_equal(dx.detach().double().cpu().numpy(), want)
    (ddy,) = ccdl.autograd.grad(dx, given, x.detach())
    np.testing.assert_array_equal(ddy.double().cpu().numpy(), values[spots])


def test_scale_factors_choose_the_same_pixels():
    x = ccdl.arange(2.0 * 3 * 10 * 10).reshape(2, 3, 10, 10)
    last = x.contiguous(memory_format=ccdl.channels_last)
    for factor in (0.35, 0.5, 0.61, (0.2, 1.3)):
        for mode in ("nearest", "nearest-exact"):
            a, b = (F.interpolate(t, scale_factor=factor, mode=mode).cpu().numpy() for t in (x, last))
            np.testing.assert_array_equal(a, b)
