"""Affine warps by bilinear sampling: rotation, scale, shear, shift, random resized crops."""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ...nn import functional as F
from .base import RandomTransform, pair, span

__all__ = ["RandomAffine", "RandomResizedCrop", "RandomRotation", "warp"]


def warp(
    images: Any, theta: Any, size: Any = None, mode: str = "bilinear", padding_mode: str = "zeros"
) -> Any:
    """Samples ``images`` [N, C, H, W] where ``theta`` [N, 2, 3] sends each output pixel.

    ``theta`` maps output to input coordinates, both in pixels from the image's centre (x right, y down).
    """
    n, c, h, w = images.shape
    out_h, out_w = (h, w) if size is None else size
    # from pixels to the [-1, 1] of grid_sample: x' = x 2 / w (align_corners=False)
    scale_in = _C.tensor([2.0 / w, 2.0 / h], device=images.device).reshape(1, 2, 1)
    scale_out = _C.tensor([out_w / 2.0, out_h / 2.0, 1.0], device=images.device).reshape(1, 1, 3)
    grid = F.affine_grid(theta * scale_in * scale_out, [n, c, out_h, out_w], align_corners=False)
    return F.grid_sample(
        images, grid.to(images.dtype), mode=mode, padding_mode=padding_mode, align_corners=False
    )


def _matrix(rows: list[list[Any]]) -> Any:
    return _C.stack([_C.stack(row, 1) for row in rows], 1)


class RandomAffine(RandomTransform):
    """Rotates, shifts, scales and shears each image about its centre; pixels from outside are 0.

    Args:
        degrees: largest rotation, or (from, to).
        translate: largest shift as a share of width and height, or None.
        scale: (from, to), or None.
        shear: largest horizontal shear in degrees, (from, to), or four numbers for x and y; or None.
        interpolation: 'bilinear' or 'nearest'.

    >>> import ccdl
    >>> RandomAffine(10, translate=(0.1, 0.1))(ccdl.rand(2, 1, 8, 8)).shape
    ccdl.Size([2, 1, 8, 8])
    """

    numbers = 6

    def __init__(
        self,
        degrees: Any,
        translate: Any = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: str = "bilinear",
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        name = type(self).__name__
        self.degrees = span(name, "degrees", degrees, 0.0)
        self.translate = (0.0, 0.0) if translate is None else tuple(translate)
        if len(self.translate) != 2 or not all(0 <= t <= 1 for t in self.translate):
            raise ValueError(f"{name}: translate is {translate!r}, must be two shares between 0 and 1")
        self.scale = (1.0, 1.0) if scale is None else span(name, "scale", scale, None)
        if self.scale[0] <= 0:
            raise ValueError(f"{name}: scale is {scale!r}, must be positive")
        shear = 0.0 if shear is None else shear
        four = not isinstance(shear, (int, float)) and len(shear) == 4
        self.shear_x = span(name, "shear", shear[:2] if four else shear, 0.0)
        self.shear_y = span(name, "shear", shear[2:], 0.0) if four else (0.0, 0.0)
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(f"{name}: interpolation is {interpolation!r}, must be 'bilinear' or 'nearest'")
        self.interpolation = interpolation

    def apply(self, images: Any, u: Any) -> Any:
        h, w = images.shape[-2:]

        def between(column: int, ends: tuple[float, float]) -> Any:
            return u[:, column] * (ends[1] - ends[0]) + ends[0]

        angle = between(0, self.degrees) * (math.pi / 180)
        shear_x, shear_y = (between(4, self.shear_x) * (math.pi / 180)).tan(), None
        shear_y = (between(5, self.shear_y) * (math.pi / 180)).tan()
        size = between(3, self.scale)
        tx = ((2 * u[:, 1] - 1) * (self.translate[0] * w)).round()
        ty = ((2 * u[:, 2] - 1) * (self.translate[1] * h)).round()
        cos, sin = angle.cos() / size, angle.sin() / size
        # output -> input: unshift, rotate back (counter-clockwise on screen is positive), unscale, shear
        a, b = cos + shear_x * sin, -sin + shear_x * cos
        d, e = sin + shear_y * cos, cos - shear_y * sin
        theta = _matrix([[a, b, -(a * tx + b * ty)], [d, e, -(d * tx + e * ty)]])
        return warp(images, theta, mode=self.interpolation)


class RandomRotation(RandomAffine):
    """Rotates each image by an angle uniform in ``degrees`` = d: (-d, d), or (from, to)."""

    def __init__(self, degrees: Any, interpolation: str = "bilinear", seed: int = 0) -> None:
        super().__init__(degrees, interpolation=interpolation, seed=seed)


class RandomResizedCrop(RandomTransform):
    """A random part of each image, resized to ``size``: area uniform in ``scale``, log(w/h) uniform in
    ``ratio``.

    The part is cut to the image; sampling is bilinear without antialiasing. Source: Szegedy et al., 2015.

    >>> import ccdl
    >>> RandomResizedCrop(6)(ccdl.rand(2, 3, 8, 8)).shape
    ccdl.Size([2, 3, 6, 6])
    """

    numbers = 4

    def __init__(
        self, size: Any, scale: Any = (0.08, 1.0), ratio: Any = (3.0 / 4.0, 4.0 / 3.0), seed: int = 0
    ) -> None:
        super().__init__(seed)
        self.size = pair("RandomResizedCrop", "size", size)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"RandomResizedCrop: scale is {scale!r}, must be (from, to) within (0, 1]")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"RandomResizedCrop: ratio is {ratio!r}, must be (from, to) of positive numbers")
        self.scale, self.ratio = tuple(scale), tuple(ratio)

    def apply(self, images: Any, u: Any) -> Any:
        h, w = images.shape[-2:]
        area = (u[:, 0] * (self.scale[1] - self.scale[0]) + self.scale[0]) * (h * w)
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = (u[:, 1] * (high - low) + low).exp()
        width, height = (area * ratio).sqrt().clamp(max=w), (area / ratio).sqrt().clamp(max=h)
        x = width / 2 + u[:, 2] * (w - width) - w / 2
        y = height / 2 + u[:, 3] * (h - height) - h / 2
        zero = _C.zeros_like(x)
        theta = _matrix([[width / self.size[1], zero, x], [zero, height / self.size[0], y]])
        return warp(images, theta, self.size, padding_mode="border")
