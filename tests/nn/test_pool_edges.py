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
    windows = np.abs(x.detach().numpy()).reshape(2, 2, 2).transpose(1, 0, 2)
    y = F.lp_pool2d(x, norm, 2)
    np.testing.assert_array_equal(y.detach().numpy().ravel(), pick(windows, axis=(1, 2)))
    y.sum().backward()
    assert int(x.grad.count_nonzero()) == 2 and set(x.grad.abs().unique().tolist()) == {0.0, 1.0}
