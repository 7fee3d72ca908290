"""Dropout layers: active in training mode only."""

from __future__ import annotations

from ..._C import Tensor
from .. import functional as F
from .module import Module

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if isinstance(p, str) or not hasattr(p, "__float__"):
            raise TypeError(f"{type(self).__name__}: p is {type(p).__name__}, must be a number in [0, 1]")
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeros each element with probability ``p`` and scales the rest by ``1 / (1 - p)``.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Dropout(0.5).eval()(ccdl.ones(2))
    tensor([1., 1.])
    """

    _function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """Zeros whole channels of [N, C, L]."""

    _function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """Zeros whole channels of [N, C, H, W]."""

    _function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """Zeros whole channels of [N, C, D, H, W]."""

    _function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance under SELU."""

    _function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(_Dropout):
    """:class:`AlphaDropout` of whole channels."""

    _function = staticmethod(F.feature_alpha_dropout)
