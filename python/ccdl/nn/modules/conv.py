"""Convolution layers. Values start as kaiming_uniform with a = sqrt(5), the bias uniform in +-1 /
sqrt(fan_in).
"""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ..._C import Tensor
from ..._checks import check_sizes, items
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


def _ntuple(value, n):
    """``value`` repeated n times if it is a number, else as a tuple."""
    return (value,) * n if isinstance(value, int) else items("convolution", "size", value)


class _ConvNd(Module):
    """Arguments, parameters and text shared by the convolutions; ``_n`` is the number of spatial
    dimensions.
    """

    _n = 0
    _transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: Any,
        padding_mode: Any,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self._n
        check_sizes(
            name, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, groups=groups
        )
        if groups <= 0:
            raise ValueError(f"{name}: groups is {groups}, must be a positive integer")
        if in_channels % groups:
            raise ValueError(
                f"{name}: in_channels must be divisible by groups, got {in_channels} and {groups}"
            )
        if out_channels % groups:
            raise ValueError(
                f"{name}: out_channels must be divisible by groups, got {out_channels} and {groups}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"{name}: padding_mode is {padding_mode!r}, must be 'zeros', 'reflect', 'replicate' or "
                "'circular'"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _ntuple(kernel_size, n)
        self.stride = _ntuple(stride, n)
        self.dilation = _ntuple(dilation, n)
        self.transposed = self._transposed
        self.output_padding = _ntuple(output_padding, n)
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            if padding not in ("valid", "same"):
                raise ValueError(f"{name}: padding is {padding!r}, must be a number, 'valid' or 'same'")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError(
                    f"{name}: padding='same' is not supported for strided convolutions (stride {stride})"
                )
            self.padding = padding
        else:
            self.padding = _ntuple(padding, n)
        self._reversed_padding_repeated_twice = self._border()
        ends = (
            (in_channels, out_channels // groups)
            if self._transposed
            else (out_channels, in_channels // groups)
        )
        self.weight = Parameter(_C.empty((*ends, *self.kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(_C.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _border(self):
        """Both sides' padding per dimension, last dimension first: the order of ``F.pad``."""
        if self.padding == "valid":
            return [0] * (2 * self._n)
        if self.padding == "same":
            border = []
            for d, k in zip(reversed(self.dilation), reversed(self.kernel_size)):
                total = d * (k - 1)
                border += [total // 2, total - total // 2]
            return border
        return [p for p in reversed(self.padding) for _ in range(2)]

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight[0].numel() if self.weight.shape[0] else 0
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        return self._function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        zero, one = (0,) * self._n, (1,) * self._n
        if self.padding != zero:
            text += f", padding={self.padding}"
        if self.dilation != one:
            text += f", dilation={self.dilation}"
        if self.output_padding != zero:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_Conv):
    """1-d convolution (cross-correlation): [N, C, L] -> [N, out, L']; arguments as :class:`Conv2d`.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Conv1d(16, 33, 3, stride=2)(ccdl.ones(20, 16, 50)).shape
    ccdl.Size([20, 33, 24])
    """

    _n = 1
    _function = staticmethod(_C.conv1d)


class Conv2d(_Conv):
    """2-d convolution (cross-correlation): [N, C, H, W] -> [N, out, H', W'], see
    :func:`ccdl.nn.functional.conv2d`.

    Args:
        in_channels, out_channels: numbers of channels.
        kernel_size, stride, padding, dilation: int or pair; ``padding`` may be 'valid' or 'same'.
        groups: number of independent groups; ``in_channels`` gives a depthwise convolution.
        bias: adds a learned value per output channel.
        padding_mode: 'zeros', 'reflect', 'replicate' or 'circular'.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Conv2d(16, 33, 3, stride=2)(ccdl.ones(2, 16, 50, 100)).shape
    ccdl.Size([2, 33, 24, 49])
    """

    _n = 2
    _function = staticmethod(_C.conv2d)


class Conv3d(_Conv):
    """3-d convolution (cross-correlation): [N, C, D, H, W] -> [N, out, D', H', W']; arguments as
    :class:`Conv2d`.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Conv3d(2, 3, 3)(ccdl.ones(1, 2, 4, 5, 6)).shape
    ccdl.Size([1, 3, 2, 3, 4])
    """

    _n = 3
    _function = staticmethod(_C.conv3d)


class _ConvTranspose(_ConvNd):
    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        if isinstance(padding, str):
            raise ValueError(f"{type(self).__name__}: padding is {padding!r}, must be a number")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input, output_size):
        """The output padding that gives ``output_size``."""
        if output_size is None:
            return self.output_padding
        n = self._n
        lead = input.dim() - n
        output_size = items(type(self).__name__, "output_size", output_size)
        if len(output_size) == lead + n:
            output_size = output_size[lead:]
        if len(output_size) != n:
            raise ValueError(
                f"{type(self).__name__}: output_size must have {n} or {lead + n} elements, got "
                f"{len(output_size)}"
            )
        result = []
        for d in range(n):
            least = (input.shape[lead + d] - 1) * self.stride[d] - 2 * self.padding[d]
            least += self.dilation[d] * (self.kernel_size[d] - 1) + 1
            if not least <= output_size[d] <= least + self.stride[d] - 1:
                raise ValueError(
                    f"{type(self).__name__}: output_size {output_size} is not reachable; dimension {d} "
                    "must be within "
                    f"[{least}, {least + self.stride[d] - 1}] for input {list(input.shape)}"
                )
            result.append(output_size[d] - least)
        return tuple(result)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTranspose):
    """1-d transposed convolution: [N, C, L] -> [N, out, L']; arguments as :class:`ConvTranspose2d`.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.ConvTranspose1d(2, 3, 4, stride=2)(ccdl.ones(1, 2, 5)).shape
    ccdl.Size([1, 3, 12])
    """

    _n = 1
    _function = staticmethod(_C.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """2-d transposed convolution, the gradient of a convolution used forward: upsamples by its stride.

    ``output_padding`` adds to one side of the output, and ``forward(x, output_size=...)`` computes it.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)(ccdl.ones(1, 2, 5, 5)).shape
    ccdl.Size([1, 3, 10, 10])
    """

    _n = 2
    _function = staticmethod(_C.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """3-d transposed convolution; arguments as :class:`ConvTranspose2d`.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.ConvTranspose3d(2, 3, 2, stride=2)(ccdl.ones(1, 2, 2, 2, 2)).shape
    ccdl.Size([1, 3, 4, 4, 4])
    """

    _n = 3
    _function = staticmethod(_C.conv_transpose3d)
