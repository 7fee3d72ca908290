"""Mixing the images of a batch and their labels."""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ...nn import functional as F
from .base import as_batch

__all__ = ["CutMix", "MixUp"]


class _Mix:
    """Pairs the batch with itself rolled by one place and mixes with weight lambda ~ Beta(alpha, alpha)."""

    def __init__(self, alpha: float = 1.0, num_classes: int | None = None) -> None:
        if alpha <= 0:
            raise ValueError(f"{type(self).__name__}: alpha is {alpha}, must be positive")
        self.alpha, self.num_classes = float(alpha), num_classes

    def _weight(self) -> float:
        """Beta(alpha, alpha) as g / (g + h) of two gamma variables, by their logarithms (small alpha
        underflows)."""
        g, h = self._log_gamma_variable(), self._log_gamma_variable()
        return 1 / (1 + math.exp(min(700.0, h - g)))

    def _log_gamma_variable(self) -> float:
        """log of Gamma(alpha): Gamma(alpha + 1) by Marsaglia and Tsang, 2000, times u^(1 / alpha)."""
        d = self.alpha + 1 - 1 / 3
        c = 1 / math.sqrt(9 * d)
        while True:
            x = float(_C.randn((), dtype=_C.float64).item())
            u, boost = (1 - _C.rand(2, dtype=_C.float64)).tolist()
            v = (1 + c * x) ** 3
            if v > 0 and math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return math.log(d * v) + math.log(boost) / self.alpha

    def _labels(self, labels: Any, weight: float) -> Any:
        if labels.dim() == 1:
            if self.num_classes is None:
                raise ValueError(f"{type(self).__name__}: class labels need num_classes")
            labels = F.one_hot(labels, self.num_classes).float()
        return weight * labels + (1 - weight) * labels.roll(1, 0)

    def _check(self, images: Any) -> None:
        _, several = as_batch(type(self).__name__, images)
        if not several:
            raise ValueError(f"{type(self).__name__}: needs a batch [N, C, H, W], got {list(images.shape)}")


class MixUp(_Mix):
    """x = l x_i + (1 - l) x_j, the same for the one-hot labels, l ~ Beta(alpha, alpha) once per batch.

    Args:
        alpha: of the Beta distribution.
        num_classes: where labels are classes [N]; soft labels [N, classes] need none.

    Source: Zhang et al., "mixup", 2018.

    >>> import ccdl
    >>> x, y = MixUp(0.2, num_classes=3)(ccdl.rand(4, 1, 2, 2), ccdl.tensor([0, 1, 2, 0]))
    >>> x.shape, [round(v, 4) for v in y.sum(1).tolist()]
    (ccdl.Size([4, 1, 2, 2]), [1.0, 1.0, 1.0, 1.0])
    """

    def __call__(self, images: Any, labels: Any) -> tuple[Any, Any]:
        self._check(images)
        weight = self._weight()
        return weight * images + (1 - weight) * images.roll(1, 0), self._labels(labels, weight)


class CutMix(_Mix):
    """Pastes a rectangle of the neighbouring image of the batch; labels are mixed by the areas left.

    The rectangle's sides are sqrt(1 - l) of the image's, its centre is uniform, it is cut to the image;
    l ~ Beta(alpha, alpha). Source: Yun et al., "CutMix", 2019.
    """

    def __call__(self, images: Any, labels: Any) -> tuple[Any, Any]:
        self._check(images)
        h, w = images.shape[-2:]
        side = (1 - self._weight()) ** 0.5
        x, y = _C.rand(2, dtype=_C.float64).tolist()
        left, right = (max(0, min(w, round(x * w + s * side * w / 2))) for s in (-1, 1))
        top, bottom = (max(0, min(h, round(y * h + s * side * h / 2))) for s in (-1, 1))
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images.roll(1, 0)[:, :, top:bottom, left:right]
        return mixed, self._labels(labels, 1 - (right - left) * (bottom - top) / (h * w))
