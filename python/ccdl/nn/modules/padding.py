"""Padding layers: zero, constant, reflect, replicate and circular, in one, two and three dimensions."""

from __future__ import annotations

from typing import Any

from ..._C import Tensor
from .. import functional as F
from .module import Module

__all__ = [
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
]


class _Pad(Module):
    """``padding`` is one number for all sides, or (left, right, top, bottom, front, back) as far as they
    exist.
    """

    _mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self._n) if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 2 * self._n:
            raise ValueError(
                f"{type(self).__name__}: padding is {padding}, must be a number or {2 * self._n} numbers"
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: Any) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """Pads the last dimension with ``value``."""

    _n = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two dimensions with ``value``.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.ConstantPad2d((1, 0, 0, 0), 3.5)(ccdl.ones(1, 1))
    tensor([[3.5000, 1.0000]])
    """

    _n = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three dimensions with ``value``."""

    _n = 3


class ZeroPad1d(_ZeroPad):
    """Pads the last dimension with zeros."""

    _n = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two dimensions with zeros."""

    _n = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three dimensions with zeros."""

    _n = 3


class ReflectionPad1d(_Pad):
    """Pads the last dimension by mirroring at the border value."""

    _n, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pads the last two dimensions by mirroring at the border values."""

    _n, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Pads the last three dimensions by mirroring at the border values."""

    _n, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Pads the last dimension with the border value."""

    _n, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pads the last two dimensions with the border values."""

    _n, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Pads the last three dimensions with the border values."""

    _n, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Pads the last dimension with values from the other end."""

    _n, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Pads the last two dimensions with values from the other end."""

    _n, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Pads the last three dimensions with values from the other end."""

    _n, _mode = 3, "circular"
