"""Layers that the lecture notes have and PyTorch lacks: locally connected layers, causal convolution, maxout,
Swish with a learnt slope, plain dropout, DropConnect, global pooling."""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ..._C import Tensor
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .conv import Conv1d, _ntuple
from .linear import Linear
from .module import Module

__all__ = [
    "CausalConv1d",
    "DropConnectLinear",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "Maxout",
    "PlainDropout",
    "Swish",
]


class _LocallyConnected(Module):
    """A convolution whose weights are not shared: every output position has its own filter."""

    _n = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Any,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        n = self._n
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.input_size = _ntuple(input_size, n)
        self.kernel_size = _ntuple(kernel_size, n)
        self.stride = _ntuple(stride, n)
        self.padding = _ntuple(padding, n)
        self.dilation = _ntuple(dilation, n)
        sizes = zip(self.input_size, self.kernel_size, self.stride, self.padding, self.dilation)
        self.output_size = tuple((i + 2 * p - d * (k - 1) - 1) // s + 1 for i, k, s, p, d in sizes)
        if any(o < 1 for o in self.output_size):
            raise ValueError(
                f"{type(self).__name__}: the kernel {self.kernel_size} does not fit into the padded input "
                f"{self.input_size} (padding {self.padding})"
            )
        positions = math.prod(self.output_size)
        window = in_channels * math.prod(self.kernel_size)
        self.weight = Parameter(_C.empty((positions, out_channels, window), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(_C.empty((out_channels, *self.output_size), device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1 / sqrt(fan_in), as the shared convolution."""
        bound = 1 / math.sqrt(self.weight.shape[2])
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        n = self._n
        if tuple(input.shape[-n - 1 :]) != (self.in_channels, *self.input_size) or input.dim() not in (
            n + 1,
            n + 2,
        ):
            raise RuntimeError(
                f"{type(self).__name__}: expected input [N, {self.in_channels}, "
                f"{', '.join(map(str, self.input_size))}], got {list(input.shape)}"
            )
        x = input if input.dim() == n + 2 else input.unsqueeze(0)
        pair = (1,) * (2 - n)
        zero = (0,) * (2 - n)
        if n == 1:
            x = x.unsqueeze(2)
        windows = F.unfold(
            x, pair + self.kernel_size, pair + self.dilation, zero + self.padding, pair + self.stride
        )  # [N, window, positions]
        y = self.weight @ windows.permute(2, 1, 0)  # [positions, out, N]
        y = y.permute(2, 1, 0).reshape(-1, self.out_channels, *self.output_size)
        if self.bias is not None:
            y = y + self.bias
        return y if input.dim() == n + 2 else y.squeeze(0)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        )


class LocallyConnected1d(_LocallyConnected):
    """Locally connected layer over [N, C, L]:
    ``y[n, o, i] = sum over c, k of w[i, o, c, k] x[n, c, i s + k d - p] + b[o, i]``.

    ``weight`` is [L', out, C k], ``bias`` [out, L'].

    >>> import ccdl, ccdl.nn as nn
    >>> nn.LocallyConnected1d(2, 3, 10, 4)(ccdl.ones(5, 2, 10)).shape
    ccdl.Size([5, 3, 7])
    """

    _n = 1


class LocallyConnected2d(_LocallyConnected):
    """Locally connected layer over [N, C, H, W]: a convolution whose filters differ from place to place.

    ``weight`` is [H' W', out, C kh kw], ``bias`` [out, H', W']. With equal filters at all places it is
    :class:`Conv2d`; a 200 x 200 image with 1,000 x 1,000 units of 10 x 10 windows has 100M weights, 40M for
    one unit per pixel of a 200 x 200 x 10 map (notes 000 and 004).

    >>> import ccdl, ccdl.nn as nn
    >>> nn.LocallyConnected2d(2, 3, 6, 3, padding=1)(ccdl.ones(5, 2, 6, 6)).shape
    ccdl.Size([5, 3, 6, 6])
    """

    _n = 2


class CausalConv1d(Conv1d):
    """1-d convolution over time whose output at t depends on inputs up to t only: pads on the left by
    ``dilation (kernel_size - 1)``. With stride 1 the length stays.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.CausalConv1d(2, 3, 4, dilation=2)(ccdl.ones(1, 2, 9)).shape
    ccdl.Size([1, 3, 9])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            0,
            dilation,
            groups,
            bias,
            "zeros",
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        before = self.dilation[0] * (self.kernel_size[0] - 1)
        return super().forward(F.pad(input, (before, 0)))


class Maxout(Module):
    """The largest of ``pieces`` affine functions: ``y_j = max_k (W_jk x + b_jk)``.

    Source: Goodfellow et al., Maxout networks, 2013.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Maxout(4, 3, pieces=5)(ccdl.ones(2, 4)).shape
    ccdl.Size([2, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if pieces < 1:
            raise ValueError(f"Maxout: pieces is {pieces}, must be at least 1")
        self.in_features, self.out_features, self.pieces = in_features, out_features, pieces
        self.linear = Linear(in_features, out_features * pieces, bias, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        return self.linear(input).unflatten(-1, (self.out_features, self.pieces)).amax(-1)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, pieces={self.pieces}"


class Swish(Module):
    """``x sigmoid(beta x)`` with a learnt ``beta``, one or one per channel (dimension 1).

    Beta 1 is SiLU, beta to infinity ReLU, beta 1.702 an approximation of GELU.

    Source: Ramachandran, Zoph and Le, Searching for activation functions, 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Swish()(ccdl.tensor([-1.2785]))
    tensor([-0.2785], grad_fn=<MulBackward>)
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 1.0, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.beta = Parameter(_C.full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        beta: Tensor = self.beta
        if self.num_parameters > 1:
            if input.dim() < 2 or input.shape[1] != self.num_parameters:
                raise RuntimeError(
                    f"Swish: expected {self.num_parameters} channels in dimension 1, got {list(input.shape)}"
                )
            beta = beta.reshape(-1, *[1] * (input.dim() - 2))
        return input * _C.sigmoid(input * beta)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class PlainDropout(Module):
    """Dropout as first described: zeros with probability ``p`` in training, multiplies by ``1 - p`` at test.

    The usual :class:`Dropout` divides by ``1 - p`` in training instead; both have the same expectation.

    Source: Srivastava et al., Dropout, 2014.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.PlainDropout(0.33).eval()(ccdl.ones(2))
    tensor([0.6700, 0.6700])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input * (1 - self.p)
        return input * _C.bernoulli(_C.full_like(input, 1 - self.p, requires_grad=False))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class DropConnectLinear(Linear):
    """:class:`Linear` that drops weights, not units: each weight is zero with probability ``p`` in training
    (the rest scaled by ``1 / (1 - p)``).

    Source: Wan et al., Regularization of neural networks using DropConnect, 2013.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.DropConnectLinear(4, 3, p=0.2)(ccdl.ones(2, 4)).shape
    ccdl.Size([2, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        return _C.linear(input, F.dropout(self.weight, self.p, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"


class _GlobalPool(Module):
    def __init__(self, keepdim: bool = False) -> None:
        super().__init__()
        self.keepdim = keepdim

    def _dims(self, input: Tensor) -> tuple[int, ...]:
        if input.dim() < 3:
            raise RuntimeError(
                f"{type(self).__name__}: expected input [N, C, ...] with at least one more dimension, got "
                f"{list(input.shape)}"
            )
        return tuple(range(2, input.dim()))

    def extra_repr(self) -> str:
        return f"keepdim={self.keepdim}"


class GlobalAvgPool(_GlobalPool):
    """The mean of each channel of [N, C, ...]: [N, C].

    >>> import ccdl, ccdl.nn as nn
    >>> nn.GlobalAvgPool()(ccdl.ones(2, 3, 4, 4)).shape
    ccdl.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.mean(self._dims(input), self.keepdim)


class GlobalMaxPool(_GlobalPool):
    """The largest value of each channel of [N, C, ...]: [N, C]; after convolutions it makes them invariant to
    shifts.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.GlobalMaxPool()(ccdl.ones(2, 3, 4)).shape
    ccdl.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.amax(self._dims(input), self.keepdim)
