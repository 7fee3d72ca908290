"""Copies between images whose channels come first and last: two to four streams dealt into one another and taken apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ccdl

TYPES = ("uint8", "bool", "int16", "float32", "int32", "float64", "int64")
LENGTHS = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 500, 513, 1030)


def numbers(name: str, *shape: int) -> np.ndarray:
    g = np.random.default_rng(int(np.prod(shape)))
    return g.integers(0, 2 if name == "bool" else 127, shape).astype(name)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("channels", (1, 2, 3, 4, 5, 8))
def test_planes_and_pixels(name: str, channels: int) -> None:
    for n, batch in itertools.product(LENGTHS, (1, 3)):
        planes = numbers(name, batch, channels, n)
        pixels = np.ascontiguousarray(planes.transpose(0, 2, 1))
        np.testing.assert_array_equal(ccdl.from_numpy(planes).transpose(1, 2).contiguous().numpy(), pixels)
        np.testing.assert_array_equal(ccdl.from_numpy(pixels).transpose(1, 2).contiguous().numpy(), planes)
        # a part of the channels, a part of the pixels, and into a place that is not dense
        wide = ccdl.from_numpy(numbers(name, batch, channels + 2, n + 5))
        part = wide[:, 1 : channels + 1, 3 : n + 3]
        np.testing.assert_array_equal(part.transpose(1, 2).contiguous().numpy(), wide.numpy()[:, 1 : channels + 1, 3 : n + 3].transpose(0, 2, 1))
        target = ccdl.zeros(batch, n, channels + 1, dtype=wide.dtype)
        target[:, :, :channels] = part.transpose(1, 2)
        np.testing.assert_array_equal(target[:, :, :channels].numpy(), part.numpy().transpose(0, 2, 1))
        assert not target[:, :, channels].any()
        backwards = ccdl.from_numpy(planes).flip(1)
        np.testing.assert_array_equal(backwards.transpose(1, 2).contiguous().numpy(), pixels[:, :, ::-1])


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("step", (2, 3, 4, 5))
def test_every_so_many(name: str, step: int) -> None:
    for n in LENGTHS:
        x = numbers(name, 5, n * step + 3)
        for first in range(4):
            np.testing.assert_array_equal(ccdl.from_numpy(x)[:, first::step].contiguous().numpy(), x[:, first::step])


@pytest.mark.parametrize("groups", (2, 4, 8))
def test_shuffles_of_channels_last(groups: int) -> None:
    x = ccdl.randn(2, 16 * groups, 5, 7)
    last = x.contiguous(memory_format=ccdl.channels_last)
    shuffled = x.numpy().reshape(2, groups, 16, 5, 7).transpose(0, 2, 1, 3, 4).reshape(x.shape)
    np.testing.assert_array_equal(ccdl.nn.functional.channel_shuffle(last, groups).numpy(), shuffled)
    a = x[:, : 4 * groups * 4].numpy()
    up = a.reshape(2, groups * 4, 2, 2, 5, 7).transpose(0, 1, 4, 2, 5, 3).reshape(2, groups * 4, 10, 14)
    few = ccdl.from_numpy(a).contiguous(memory_format=ccdl.channels_last)
    np.testing.assert_array_equal(ccdl.nn.functional.pixel_shuffle(few, 2).numpy(), up)
