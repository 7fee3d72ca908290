"""Small random rotations, scalings, shears and shifts of whole batches of images.

The random numbers of an epoch are one table with a row per sample, from a generator seeded by (seed, epoch):
what a sample gets depends on (seed, epoch, sample index) alone.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from ..utils.data.sampler import seeded_generator
from ..utils.data.worker import mix

__all__ = ["RandomAffine"]


class RandomAffine:
    """Warps [B, H, W] images by bilinear sampling; zeros outside.

    Args:
        degrees: largest rotation.
        scale: largest relative change of size.
        shear: largest horizontal shear factor.
        shift: largest shift in pixels.
        seed: of the run.
    """

    def __init__(
        self, degrees: float = 10.0, scale: float = 0.1, shear: float = 0.1, shift: float = 2.0, seed: int = 0
    ) -> None:
        self.degrees, self.scale, self.shear, self.shift, self.seed = degrees, scale, shear, shift, seed
        self._table: Any = None

    def start_epoch(self, epoch: Any, samples: Any) -> None:
        """Draws the epoch's numbers for ``samples`` samples."""
        generator = seeded_generator(mix(mix(self.seed, 0xA06), epoch))
        self._table = _C.rand(samples, 6, generator=generator) * 2 - 1

    def __call__(self, images: Any, index: Any) -> Any:
        """The batch of samples ``index`` (positions in the epoch's table), warped."""
        b, h, w = images.shape
        u = self._table.index_select(0, index)
        angle = u[:, 0] * (self.degrees * 3.141592653589793 / 180)
        # one rotation series instead of cos and sin: exact enough below 30 degrees, same bits everywhere
        square = angle * angle
        cosine = 1 - square / 2 + square * square / 24
        sine = angle * (1 - square / 6 + square * square / 120)
        zoom_x, zoom_y = 1 + u[:, 1] * self.scale, 1 + u[:, 2] * self.scale
        shear = u[:, 3] * self.shear
        a, c = cosine * zoom_x, sine * zoom_x
        bb, d = shear * a - sine * zoom_y, shear * c + cosine * zoom_y
        xs = (_C.arange(w, dtype=_C.float32) - (w - 1) / 2).reshape(1, 1, w)
        ys = (_C.arange(h, dtype=_C.float32) - (h - 1) / 2).reshape(1, h, 1)
        shape = (b, 1, 1)
        sx = (
            a.reshape(shape) * xs
            + bb.reshape(shape) * ys
            + (u[:, 4] * self.shift + (w - 1) / 2).reshape(shape)
        )
        sy = (
            c.reshape(shape) * xs
            + d.reshape(shape) * ys
            + (u[:, 5] * self.shift + (h - 1) / 2).reshape(shape)
        )
        return _bilinear(images, sx, sy)


def _bilinear(images, sx, sy):
    """Values at the positions (sx, sy) in pixels; a border of zeros two pixels wide stands for everything
    outside.
    """
    b, h, w = images.shape
    framed = _C.zeros(b, h + 4, w + 4)
    framed[:, 2:-2, 2:-2] = images
    flat = framed.reshape(b, -1)
    sx, sy = (sx + 2).clamp(0, w + 2), (sy + 2).clamp(0, h + 2)
    x0, y0 = sx.floor(), sy.floor()
    fx, fy = sx - x0, sy - y0
    corner = (y0 * (w + 4) + x0).to(_C.int64).reshape(b, -1)
    parts = [flat.gather(1, corner + offset).reshape(b, h, w) for offset in (0, 1, w + 4, w + 5)]
    top = parts[0] + (parts[1] - parts[0]) * fx
    bottom = parts[2] + (parts[3] - parts[2]) * fx
    return top + (bottom - top) * fy
