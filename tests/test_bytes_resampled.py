"""Bilinear and bicubic resampling of uint8 images: rounded after each dimension, as PyTorch does."""

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F


@pytest.mark.parametrize(("mode", "antialias"), [("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True)])
@pytest.mark.parametrize("size", [(7, 3), (9, 20), (10, 10)])
def test_images_of_bytes_are_resampled_and_rounded(mode, antialias, size):
    rng = np.random.default_rng(3)
    x = ccdl.tensor(rng.integers(90, 166, (2, 3, 10, 11)).astype("uint8"))  # no filter leaves 0 to 255
    y = F.interpolate(x, size=size, mode=mode, antialias=antialias)
    z = F.interpolate(x.double(), size=size, mode=mode, antialias=antialias)
    assert y.dtype is ccdl.uint8 and y.shape == (2, 3, *size)
    assert float((y.double() - z).abs().max()) <= 1.5  # each dimension rounds by half at most
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = rng.integers(0, 256, (2, 3, 10, 11)).astype("uint8")
    y = F.interpolate(ccdl.tensor(x), size=size, mode=mode, antialias=antialias)
    w = torch.nn.functional.interpolate(torch.from_numpy(x), size=size, mode=mode, antialias=antialias)
    assert int(np.abs(y.numpy().astype(int) - w.numpy().astype(int)).max()) <= 1


def test_bytes_by_scale_keep_exact_positions():
    x = ccdl.tensor([[[[0, 16, 32, 48]]]], dtype=ccdl.uint8)
    y = F.interpolate(x, scale_factor=(1, 2), mode="bilinear")
    assert y.tolist() == [[[[0, 4, 12, 20, 28, 36, 44, 48]]]]
    assert F.interpolate(x, size=(1, 7), mode="bilinear", align_corners=True).tolist() == [[[[0, 8, 16, 24, 32, 40, 48]]]]
    with pytest.raises(ValueError, match="size"):
        F.interpolate(x, mode="bilinear")
