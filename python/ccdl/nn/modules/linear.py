"""Affine layers and layers that only reshape."""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ..._C import Tensor
from ..._checks import check_sizes
from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedParameter
from .module import Module

__all__ = ["Identity", "Linear", "LazyLinear", "Bilinear", "Flatten", "Unflatten"]


class Identity(Module):
    """Returns its input; takes and ignores any arguments.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Identity(54, unused=True)(ccdl.ones(1))
    tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """``y = x W^T + b``: [..., in_features] -> [..., out_features].

    ``weight`` [out_features, in_features] and ``bias`` [out_features] start uniform in +-1 /
    sqrt(in_features).

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Linear(20, 30)(ccdl.ones(128, 20)).shape
    ccdl.Size([128, 30])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(_C.empty((out_features, in_features), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(_C.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return _C.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear under the name PyTorch prints for the output projection of attention."""


class LazyLinear(Linear):
    """:class:`Linear` whose ``in_features`` is the last size of its first input; becomes a Linear then.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.LazyLinear(3)(ccdl.ones(2, 5)).shape
    ccdl.Size([2, 3])
    """

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        Module.__init__(self)
        self.in_features = 0
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)
        else:
            self.register_parameter("bias", None)

    def has_uninitialized_params(self) -> bool:
        """Whether the first input has not come yet."""
        return isinstance(self.weight, UninitializedParameter)

    def forward(self, input: Tensor) -> Tensor:
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))
            self.reset_parameters()
        self.in_features = self.weight.shape[-1]  # which a state dict may have brought
        self.__class__ = Linear  # type: ignore[assignment]
        return self.forward(input)


class Bilinear(Module):
    """``y_k = x1^T W_k x2 + b_k``; values start uniform in +-1 / sqrt(in1_features).

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Bilinear(2, 3, 4)(ccdl.ones(5, 2), ccdl.ones(5, 3)).shape
    ccdl.Size([5, 4])
    """

    def __init__(
        self,
        in1_features: Any,
        in2_features: Any,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes(
            "Bilinear", in1_features=in1_features, in2_features=in2_features, out_features=out_features
        )
        if in1_features <= 0:
            raise ValueError(f"Bilinear: in1_features is {in1_features}, must be positive")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(
            _C.empty((out_features, in1_features, in2_features), device=device, dtype=dtype)
        )
        if bias:
            self.bias = Parameter(_C.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Flatten(Module):
    """Merges dimensions ``start_dim`` to ``end_dim`` into one; keeps the batch dimension by default.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Flatten()(ccdl.ones(2, 3, 4)).shape
    ccdl.Size([2, 12])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() == 0 and self.start_dim not in (0, -1):
            raise IndexError(
                "Flatten: Dimension out of range (expected to be in range of [-1, 0], but got "
                f"{self.start_dim}): the input has no dimension"
            )
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits dimension ``dim`` into ``unflattened_size``, of which one entry may be -1.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Unflatten(1, (3, 4))(ccdl.ones(2, 12)).shape
    ccdl.Size([2, 3, 4])
    """

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(
                f"Unflatten: dim is {type(dim).__name__}, must be an int (named dimensions are absent)"
            )
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                f"Unflatten: unflattened_size is {type(unflattened_size).__name__}, must be a tuple of ints"
            )
        for i, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                raise TypeError(f"Unflatten: unflattened_size[{i}] is {type(size).__name__}, must be an int")
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        dim = self.dim % input.dim()
        shape = tuple(input.shape)
        return input.reshape(shape[:dim] + tuple(self.unflattened_size) + shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
