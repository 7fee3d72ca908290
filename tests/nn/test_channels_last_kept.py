"""Rearrangements and resampling of channels_last images: the values of contiguous ones, in the layout that came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

FORMATS = {4: ccdl.channels_last, 5: ccdl.channels_last_3d}
CASES: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "pixel_shuffle": ((2, 16, 3, 5), lambda x: F.pixel_shuffle(x, 2)),
    "pixel_unshuffle": ((2, 3, 4, 6), lambda x: F.pixel_unshuffle(x, 2)),
    "channel_shuffle": ((2, 6, 3, 5), lambda x: F.channel_shuffle(x, 3)),
    "channel_shuffle of volumes": ((2, 6, 3, 5, 2), lambda x: F.channel_shuffle(x, 2)),
    "nearest of volumes": ((2, 3, 3, 5, 2), lambda x: F.interpolate(x, scale_factor=2, mode="nearest")),
    "trilinear of volumes": ((2, 3, 3, 5, 2), lambda x: F.interpolate(x, scale_factor=2, mode="trilinear")),
    "area of volumes": ((2, 3, 4, 6, 2), lambda x: F.interpolate(x, size=(2, 3, 3), mode="area")),
}


@pytest.mark.parametrize("case", CASES)
def test_layout_and_gradient_follow_the_input(case: str) -> None:
    shape, function = CASES[case]
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    plain = ccdl.tensor(x, requires_grad=True)
    last = ccdl.tensor(x).contiguous(memory_format=FORMATS[len(shape)]).requires_grad_()
    y, y_last = function(plain), function(last)
    assert y_last.is_contiguous(memory_format=FORMATS[len(shape)])
    assert y.is_contiguous()
    np.testing.assert_array_equal(y_last.detach().cpu().numpy(), y.detach().cpu().numpy())
    dy = ccdl.tensor(rng.standard_normal(tuple(y.shape)))
    y.backward(dy)
    y_last.backward(dy)
    np.testing.assert_allclose(last.grad.cpu().numpy(), plain.grad.cpu().numpy(), rtol=1e-12, atol=1e-12)


def test_pixel_shuffle_of_channels_last_by_hand() -> None:
    x = np.arange(2 * 8 * 2 * 3, dtype=np.float32).reshape(2, 8, 2, 3)
    blocks = x.reshape(2, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 4, 6)
    last = ccdl.tensor(x).contiguous(memory_format=ccdl.channels_last)
    np.testing.assert_array_equal(F.pixel_shuffle(last, 2).cpu().numpy(), blocks)
    np.testing.assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(last, 2), 2).cpu().numpy(), x)


SLICED: dict[str, Callable[[Any], Any]] = {
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "max_pool2d": lambda x: F.max_pool2d(x, 2, return_indices=True)[1],
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 3)),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, (3, 3)),
    "conv2d": lambda x: F.conv2d(x, ccdl.ones(4, 3, 2, 2)),
    "batch_norm": lambda x: F.batch_norm(x, ccdl.zeros(3), ccdl.ones(3)),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "cat": lambda x: ccdl.cat([x, x], 1),
}


@pytest.mark.parametrize("case", SLICED)
def test_a_slice_of_the_channels_is_still_channels_last(case: str) -> None:
    rng = np.random.default_rng(1)
    whole = ccdl.tensor(rng.standard_normal((2, 6, 5, 7)).astype(np.float32))
    sliced = whole.to(memory_format=ccdl.channels_last)[:, ::2]
    assert not sliced.is_contiguous(memory_format=ccdl.channels_last)
    x, plain = (t.detach().requires_grad_() for t in (sliced, sliced.contiguous()))
    y, expected = SLICED[case](x), SLICED[case](plain)
    assert y.is_contiguous(memory_format=ccdl.channels_last) and not y.is_contiguous()
    assert ccdl.allclose(y, expected, rtol=1e-5, atol=1e-5)
    if y.requires_grad:
        y.square().sum().backward()
        expected.square().sum().backward()
        assert ccdl.allclose(x.grad, plain.grad, rtol=1e-4, atol=1e-5)
