"""Cropping, padding, resizing, flipping, erasing."""

from __future__ import annotations

from typing import Any

from ... import _C
from ...nn import functional as F
from .base import RandomTransform, as_batch, pair, probability

__all__ = [
    "CenterCrop",
    "FiveCrop",
    "Pad",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ten_crop_predict",
]


def _fits(op: str, images: Any, size: tuple[int, int]) -> None:
    if images.shape[-2] < size[0] or images.shape[-1] < size[1]:
        raise ValueError(
            f"{op}: a crop of {size[0]}x{size[1]} does not fit into images {list(images.shape)}; pad or "
            "resize first"
        )


class Pad:
    """Pads left and right, top and bottom: an int, (x, y) or (left, top, right, bottom).

    >>> import ccdl
    >>> Pad(1, fill=9.0)(ccdl.zeros(1, 1, 1)).tolist()
    [[[9.0, 9.0, 9.0], [9.0, 0.0, 9.0], [9.0, 9.0, 9.0]]]
    """

    def __init__(self, padding: Any, fill: float = 0.0, padding_mode: str = "constant") -> None:
        p = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        p = p * 2 if len(p) == 2 else p
        if len(p) != 4 or min(p) < 0:
            raise ValueError(
                f"Pad: padding is {padding!r}, must be an int, a pair or four ints, not negative"
            )
        known = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
        if padding_mode not in known:
            raise ValueError(f"Pad: padding_mode is {padding_mode!r}, must be one of {sorted(known)}")
        self.padding, self.fill, self.mode = p, fill, known[padding_mode]

    def __call__(self, images: Any) -> Any:
        batch, several = as_batch("Pad", images)
        left, top, right, bottom = self.padding
        value = {"value": self.fill} if self.mode == "constant" else {}
        found = F.pad(batch, (left, right, top, bottom), mode=self.mode, **value)
        return found if several else found.squeeze(0)


class CenterCrop:
    """The middle ``size`` = h or (h, w) of the image."""

    def __init__(self, size: Any) -> None:
        self.size = pair("CenterCrop", "size", size)

    def __call__(self, images: Any) -> Any:
        as_batch("CenterCrop", images)
        _fits("CenterCrop", images, self.size)
        h, w = self.size
        top, left = (images.shape[-2] - h) // 2, (images.shape[-1] - w) // 2
        return images[..., top : top + h, left : left + w]


class Resize:
    """Resizes to (h, w), or the shorter side to an int; bilinear and antialiased unless said otherwise.

    >>> import ccdl
    >>> Resize(4)(ccdl.rand(3, 8, 16)).shape
    ccdl.Size([3, 4, 8])
    """

    def __init__(self, size: Any, interpolation: str = "bilinear", antialias: bool = True) -> None:
        self.size = size if isinstance(size, int) else pair("Resize", "size", size)
        if isinstance(size, int) and size < 1:
            raise ValueError(f"Resize: size is {size}, must be at least 1")
        self.interpolation = interpolation
        self.antialias = antialias and interpolation in ("bilinear", "bicubic")

    def __call__(self, images: Any) -> Any:
        batch, several = as_batch("Resize", images)
        h, w = batch.shape[-2:]
        if isinstance(self.size, int):
            short = min(h, w)
            size = (int(self.size * h / short), int(self.size * w / short))
        else:
            size = self.size
        options = {"align_corners": False} if self.interpolation in ("bilinear", "bicubic") else {}
        found = F.interpolate(batch, size=size, mode=self.interpolation, antialias=self.antialias, **options)
        return found if several else found.squeeze(0)


class RandomCrop(RandomTransform):
    """A window of ``size`` at a random place of each image, after optional padding.

    Args:
        size: h or (h, w).
        padding: as of :class:`Pad`, or None.
        fill, padding_mode: as of :class:`Pad`.

    >>> import ccdl
    >>> RandomCrop(32, padding=4)(ccdl.rand(2, 3, 32, 32)).shape
    ccdl.Size([2, 3, 32, 32])
    """

    numbers = 2

    def __init__(
        self, size: Any, padding: Any = None, fill: float = 0.0, padding_mode: str = "constant", seed: int = 0
    ) -> None:
        super().__init__(seed)
        self.size = pair("RandomCrop", "size", size)
        self.pad = None if padding is None else Pad(padding, fill, padding_mode)

    def apply(self, images: Any, u: Any) -> Any:
        images = images if self.pad is None else self.pad(images)
        _fits("RandomCrop", images, self.size)
        n, _, big_h, big_w = images.shape
        h, w = self.size
        top = (u[:, 0] * (big_h - h + 1)).floor().long().clamp(max=big_h - h)
        left = (u[:, 1] * (big_w - w + 1)).floor().long().clamp(max=big_w - w)
        rows = top.reshape(n, 1) + _C.arange(h, device=images.device)
        columns = left.reshape(n, 1) + _C.arange(w, device=images.device)
        c = images.shape[1]
        taken = images.gather(2, rows.reshape(n, 1, h, 1).expand(n, c, h, big_w))
        return taken.gather(3, columns.reshape(n, 1, 1, w).expand(n, c, h, w))


class _Flip(RandomTransform):
    dim = -1

    def __init__(self, p: float = 0.5, seed: int = 0) -> None:
        super().__init__(seed)
        self.p = probability(type(self).__name__, p)

    def apply(self, images: Any, u: Any) -> Any:
        return _C.where((u < self.p).reshape(-1, 1, 1, 1), images.flip(self.dim), images)


class RandomHorizontalFlip(_Flip):
    """Mirrors each image left to right with probability ``p``."""


class RandomVerticalFlip(_Flip):
    """Mirrors each image top to bottom with probability ``p``."""

    dim = -2


class RandomErasing(RandomTransform):
    """Overwrites a random rectangle of each image with ``value``, with probability ``p``.

    The rectangle's share of the area is uniform in ``scale``, the logarithm of its height over width in
    ``ratio``; it is cut to the image. Source: Zhong et al., 2020.
    """

    numbers = 5

    def __init__(
        self,
        p: float = 0.5,
        scale: Any = (0.02, 0.33),
        ratio: Any = (0.3, 3.3),
        value: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.p = probability("RandomErasing", p)
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise ValueError(f"RandomErasing: scale is {scale!r}, must be (from, to) within [0, 1]")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"RandomErasing: ratio is {ratio!r}, must be (from, to) of positive numbers")
        self.scale, self.ratio, self.value = tuple(scale), tuple(ratio), value

    def apply(self, images: Any, u: Any) -> Any:
        h, w = images.shape[-2:]
        area = (u[:, 1] * (self.scale[1] - self.scale[0]) + self.scale[0]) * (h * w)
        low, high = _C.tensor(self.ratio, dtype=_C.float64).log().tolist()
        ratio = (u[:, 2] * (high - low) + low).exp()
        height = (area * ratio).sqrt().round().clamp(max=h)
        width = (area / ratio).sqrt().round().clamp(max=w)
        top, left = (u[:, 3] * (h - height + 1)).floor(), (u[:, 4] * (w - width + 1)).floor()
        y, x = _C.arange(h, device=images.device), _C.arange(w, device=images.device)

        def inside(at: Any, start: Any, size: Any) -> Any:
            start, size = start.reshape(-1, 1), size.reshape(-1, 1)
            return (at >= start) & (at < start + size)

        box = inside(y, top, height).unsqueeze(2) & inside(x, left, width).unsqueeze(1)
        box = box & (u[:, 0] < self.p).reshape(-1, 1, 1)
        return images.masked_fill(box.unsqueeze(1), self.value)


class FiveCrop:
    """The four corners and the centre of ``size``: [N, 5, C, h, w] of a batch, [5, C, h, w] of one image."""

    def __init__(self, size: Any) -> None:
        self.size = pair(type(self).__name__, "size", size)

    def _crops(self, images: Any) -> list[Any]:
        h, w = self.size
        corners = [images[..., :h, :w], images[..., :h, -w:], images[..., -h:, :w], images[..., -h:, -w:]]
        return [*corners, CenterCrop(self.size)(images)]

    def __call__(self, images: Any) -> Any:
        batch, several = as_batch(type(self).__name__, images)
        _fits(type(self).__name__, batch, self.size)
        found = _C.stack(self._crops(batch), 1)
        return found if several else found.squeeze(0)


class TenCrop(FiveCrop):
    """:class:`FiveCrop` of the image and of its mirror image: [N, 10, C, h, w].

    Source: Krizhevsky, Sutskever, Hinton, 2012: predictions are averaged over the ten.
    """

    def _crops(self, images: Any) -> list[Any]:
        return super()._crops(images) + super()._crops(images.flip(-1))


def ten_crop_predict(model: Any, images: Any, size: Any) -> Any:
    """Class probabilities averaged over the ten crops, [N, classes].

    >>> import ccdl
    >>> net = ccdl.nn.Sequential(ccdl.nn.Flatten(), ccdl.nn.Linear(3 * 4 * 4, 5))
    >>> ten_crop_predict(net, ccdl.rand(2, 3, 6, 6), 4).shape
    ccdl.Size([2, 5])
    """
    crops = TenCrop(size)(images)
    n, k = crops.shape[:2]
    scores = model(crops.flatten(0, 1))
    return F.softmax(scores, 1).reshape(n, k, -1).mean(1)
