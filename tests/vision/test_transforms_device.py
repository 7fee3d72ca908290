"""Augmentation on the device under test: where the batch lives the result lives, with the values of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ccdl
from ccdl.vision import transforms as T

PIXELS = np.random.default_rng(1).random((4, 3, 8, 10), dtype=np.float32)
INDEX = [5, 2000, 9, 0]
RANDOM: dict[str, Callable[[], Any]] = {
    "crop": lambda: T.RandomCrop(6, padding=1, seed=3), "hflip": lambda: T.RandomHorizontalFlip(seed=3),
    "vflip": lambda: T.RandomVerticalFlip(seed=3), "erase": lambda: T.RandomErasing(1.0, seed=3),
    "affine": lambda: T.RandomAffine(20, (0.2, 0.2), (0.8, 1.2), 10, seed=3), "rotate": lambda: T.RandomRotation(30, seed=3),
    "resized": lambda: T.RandomResizedCrop(5, seed=3), "jitter": lambda: T.ColorJitter(0.4, 0.4, 0.4, 0.2, seed=3),
    "gray": lambda: T.RandomGrayscale(0.5, seed=3), "blur": lambda: T.GaussianBlur(3, seed=3),
}  # fmt: skip
PLAIN: dict[str, Callable[[], Any]] = {
    "resize": lambda: T.Resize((5, 7)), "centre": lambda: T.CenterCrop(4), "pad": lambda: T.Pad(2, padding_mode="reflect"),
    "normalize": lambda: T.Normalize([0.1, 0.2, 0.3], [1.0, 2.0, 4.0]), "grayscale": lambda: T.Grayscale(3),
}  # fmt: skip


def host(make: Callable[[], Any], *args: Any, **options: Any) -> Any:
    with ccdl.device("cpu"):
        return make()(*args, **options)


@pytest.mark.parametrize("name", RANDOM)
def test_random_ones_draw_the_hosts_numbers(name: str, device: str) -> None:
    with ccdl.device("cpu"):
        x, index = ccdl.tensor(PIXELS), ccdl.tensor(INDEX)
    want = host(RANDOM[name], x, index=index)
    got = RANDOM[name]()(x.to(device), index=index.to(device))
    assert got.device.type == device and got.shape == want.shape
    np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), atol=2e-6)
    assert not np.array_equal(want.numpy(), host(RANDOM[name], x, index=index + 1).numpy())


@pytest.mark.parametrize("name", PLAIN)
def test_plain_ones(name: str, device: str) -> None:
    with ccdl.device("cpu"):
        x = ccdl.tensor(PIXELS)
    want, got = host(PLAIN[name], x), PLAIN[name]()(x.to(device))
    assert got.device.type == device
    np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), atol=2e-6)


@pytest.mark.parametrize("kind", ["MixUp", "CutMix"])
def test_mixing(kind: str, device: str) -> None:
    x, y = ccdl.tensor(PIXELS, device=device), ccdl.tensor([0, 1, 2, 1], device=device)
    ccdl.manual_seed(3)
    mixed, soft = getattr(T, kind)(1.0, 3)(x, y)
    assert mixed.device.type == soft.device.type == device
    weight = float(soft[0, 0])
    np.testing.assert_allclose(soft.sum(1).cpu().numpy(), 1, rtol=1e-6)
    if kind == "MixUp":
        rolled = np.roll(PIXELS, 1, 0)
        np.testing.assert_allclose(mixed.cpu().numpy(), weight * PIXELS + (1 - weight) * rolled, atol=1e-6)
    else:
        kept = (mixed.cpu().numpy() == PIXELS).all(1).mean((1, 2))
        assert abs(kept[0] - weight) < 1e-6
    assert 0 < weight < 1


def test_colour_shift_and_ten_crops(device: str) -> None:
    x = ccdl.tensor(PIXELS, device=device)
    shift = T.PCAColorShift(0.5, seed=1).fit(x)
    moved = (shift(x, index=ccdl.tensor(INDEX, device=device)) - x).cpu().numpy()
    np.testing.assert_allclose(moved.std((2, 3)), 0, atol=1e-6)  # one shift per sample and channel
    assert np.abs(moved[:, :, 0, 0]).min() > 0
    crops = T.TenCrop(6)(x)
    crops = crops if isinstance(crops, ccdl.Tensor) else ccdl.stack(list(crops), 1)
    assert crops.device.type == device and crops.shape == (4, 10, 3, 6, 6)
    np.testing.assert_array_equal(crops[:, 0].cpu().numpy(), PIXELS[:, :, :6, :6])
