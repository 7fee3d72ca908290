"""Pooling windows that hold no element of the input."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F


def test_dilated_windows_between_the_elements():
    x = ccdl.ones(1, 1, 1).requires_grad_()
    y = F.max_pool1d(x, 2, 1, 1, 2)
    assert y.tolist() == [[[-math.inf]]]
    y.sum().backward()
    assert x.grad.tolist() == [[[0.0]]]
    image = ccdl.ones(1, 2, 1, 3).requires_grad_()
    for memory_format in (ccdl.contiguous_format, ccdl.channels_last):
        out = F.max_pool2d(image.contiguous(memory_format=memory_format), (2, 1), 1, (1, 0), (2, 1))
        assert out.tolist() == [[[[-math.inf] * 3]] * 2]
        (dx,) = ccdl.autograd.grad(out.sum(), image)
        assert dx.abs().sum().item() == 0


@pytest.mark.parametrize("norm", [np.inf, -np.inf])
def test_lp_pool_of_infinite_order(norm):
    x = ccdl.tensor([[[[-3.0, 2.0, 1.0, 0.5], [0.25, -0.5, 4.0, -5.0]]]], requires_grad=True)
    pick = np.max if norm > 0 else np.min
    windows = np.abs(x.detach().cpu().numpy()).reshape(2, 2, 2).transpose(1, 0, 2)
    y = F.lp_pool2d(x, norm, 2)
    np.testing.assert_array_equal(y.detach().cpu().numpy().ravel(), pick(windows, axis=(1, 2)))
    y.sum().backward()
    assert int(x.grad.count_nonzero()) == 2 and set(x.grad.abs().unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("dtype", [ccdl.uint8, ccdl.int8, ccdl.int32, ccdl.int64])
def test_max_pool_of_whole_numbers(dtype):
    x = ccdl.tensor([[[[3, 1, 2, 5], [4, 0, 9, 7], [8, 6, 1, 1], [2, 2, 3, 4]]]], dtype=dtype)
    y, where = F.max_pool2d(x, 2, return_indices=True)
    assert y.dtype is dtype and y.tolist() == [[[[4, 9], [8, 4]]]] and where.tolist() == [[[[4, 6], [8, 15]]]]
    assert F.max_pool2d(x, 3, stride=1, padding=1).tolist()[0][0][0] == [4, 9, 9, 9]
    assert F.max_pool1d(x[0, 0], 2).tolist() == [[3, 5], [4, 9], [8, 1], [2, 4]]
    assert F.max_pool3d(x.expand(1, 2, 4, 4).unsqueeze(0), 2).tolist() == [[[[[4, 9], [8, 4]]]]]
