"""Pooling windows that hold no element of the input."""

from __future__ import annotations

import math

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
