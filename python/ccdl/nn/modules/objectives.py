"""The losses of :mod:`ccdl.nn.functional.objectives` as modules."""

from __future__ import annotations

from typing import Any

from ..._C import Tensor
from .. import functional as F
from .loss import _Loss

__all__ = ["AsymmetricHuberLoss", "HalfSumSquaresLoss", "NTXentLoss", "QuantileLoss", "SquaredEMDLoss"]


class HalfSumSquaresLoss(_Loss):
    """``1/2 sum (input - target)^2``."""

    def __init__(self) -> None:
        super().__init__(reduction="sum")

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.half_sum_squares_loss(input, target)


class QuantileLoss(_Loss):
    """The pinball loss of the quantile(s) ``q``."""

    def __init__(self, q: Any = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.q = q

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.quantile_loss(input, target, self.q, self.reduction)


class AsymmetricHuberLoss(_Loss):
    """Huber's loss with a width of its own on each side."""

    def __init__(self, delta_below: float = 1.0, delta_above: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.delta_below, self.delta_above = delta_below, delta_above

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.asymmetric_huber_loss(input, target, self.delta_below, self.delta_above, self.reduction)


class SquaredEMDLoss(_Loss):
    """The squared earth mover's distance of probabilities over ordered classes."""

    def forward(self, probs: Tensor, target: Tensor) -> Tensor:
        return F.squared_emd_loss(probs, target, self.reduction)


class NTXentLoss(_Loss):
    """The contrastive loss of SimCLR between two views."""

    def __init__(self, temperature: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.temperature = temperature

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return F.nt_xent_loss(z1, z2, self.temperature, self.reduction)
