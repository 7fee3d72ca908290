"""Pooling layers over :mod:`ccdl.nn.functional.pooling`."""

from __future__ import annotations

from typing import Any

from ..._C import Tensor
from .. import functional as F
from .module import Module

__all__ = [
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
]


def _ntuple(value, n):
    return (value,) * n if isinstance(value, int) else tuple(value)


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return self._function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Largest value per window: [N, C, L] -> [N, C, L'].

    >>> import ccdl, ccdl.nn as nn
    >>> nn.MaxPool1d(2)(ccdl.ones(1, 1, 6)).shape
    ccdl.Size([1, 1, 3])
    """

    _function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """Largest value per window: [N, C, H, W] -> [N, C, H', W'], see :func:`ccdl.nn.functional.max_pool2d`.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.MaxPool2d(3, stride=2)(ccdl.ones(1, 1, 7, 7)).shape
    ccdl.Size([1, 1, 3, 3])
    """

    _function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """Largest value per window: [N, C, D, H, W] -> [N, C, D', H', W'].

    >>> import ccdl, ccdl.nn as nn
    >>> nn.MaxPool3d(2)(ccdl.ones(1, 1, 4, 4, 4)).shape
    ccdl.Size([1, 1, 2, 2, 2])
    """

    _function = staticmethod(F.max_pool3d)


class _MaxUnpool(Module):
    _n = 0

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = _ntuple(kernel_size, self._n)
        self.stride = _ntuple(stride if stride is not None else kernel_size, self._n)
        self.padding = _ntuple(padding, self._n)

    def forward(self, input: Tensor, indices: Any, output_size: Any = None) -> Tensor:
        return self._function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Partial inverse of :class:`MaxPool1d`: values at their indices, zeros elsewhere."""

    _n = 1
    _function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Partial inverse of :class:`MaxPool2d`: values at their indices, zeros elsewhere."""

    _n = 2
    _function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Partial inverse of :class:`MaxPool3d`: values at their indices, zeros elsewhere."""

    _n = 3
    _function = staticmethod(F.max_unpool3d)


class AvgPool1d(Module):
    """Mean per window: [N, C, L] -> [N, C, L'].

    >>> import ccdl, ccdl.nn as nn
    >>> nn.AvgPool1d(2)(ccdl.tensor([[[1., 3.]]]))
    tensor([[[2.]]])
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _ntuple(kernel_size, 1)
        self.stride = _ntuple(stride if stride is not None else kernel_size, 1)
        self.padding = _ntuple(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return self._function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """Mean per window: [N, C, H, W] -> [N, C, H', W'], see :func:`ccdl.nn.functional.avg_pool2d`.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.AvgPool2d(2)(ccdl.ones(1, 1, 4, 4)).shape
    ccdl.Size([1, 1, 2, 2])
    """

    _function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """Mean per window: [N, C, D, H, W] -> [N, C, D', H', W']."""

    _function = staticmethod(F.avg_pool3d)


class _LPPool(Module):
    def __init__(self, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """p-norm per window of the last dimension."""

    _function = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """p-norm per window of the last two dimensions.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.LPPool2d(2, 2)(ccdl.ones(1, 1, 2, 2)).item()
    2.0
    """

    _function = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """p-norm per window of the last three dimensions."""

    _function = staticmethod(F.lp_pool3d)


class _AdaptiveMaxPool(Module):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return self._function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maximum over windows that give ``output_size``."""

    _function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maximum over windows that give ``output_size``.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.AdaptiveMaxPool2d((5, 7))(ccdl.ones(1, 4, 8, 9)).shape
    ccdl.Size([1, 4, 5, 7])
    """

    _function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maximum over windows that give ``output_size``."""

    _function = staticmethod(F.adaptive_max_pool3d)


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Mean over windows that give ``output_size``."""

    _function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Mean over windows that give ``output_size``; 1 is global average pooling.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.AdaptiveAvgPool2d(1)(ccdl.ones(1, 4, 8, 9)).shape
    ccdl.Size([1, 4, 1, 1])
    """

    _function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Mean over windows that give ``output_size``."""

    _function = staticmethod(F.adaptive_avg_pool3d)


def __getattr__(name: str) -> object:
    if name in ("FractionalMaxPool2d", "FractionalMaxPool3d"):  # defined in a file of its own here
        from . import fractional

        return getattr(fractional, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
