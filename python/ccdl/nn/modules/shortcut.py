"""Shortcut connections: residual, highway, dense (concatenation)."""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor
from ...errors import ShapeError
from .. import functional as F
from .. import init
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["DenseConcat", "Highway", "Residual"]


class Residual(Module):
    """y = f(x) + s(x), then ``activation``: f is the modules one after the other, s the identity unless
    given.

    Args:
        modules: one or several, together f.
        shortcut: module s, for where f changes the shape.
        activation: function applied to the sum.

    Raises:
        ShapeError: f(x) and s(x) differ in shape.

    Source: 000, 003, 004; He et al., 2016.

    >>> import ccdl, ccdl.nn as nn
    >>> block = nn.Residual(nn.Linear(4, 4), nn.ReLU())
    >>> block(ccdl.ones(2, 4)).shape
    ccdl.Size([2, 4])
    """

    def __init__(self, *modules: Module, shortcut: Any = None, activation: Any = None) -> None:
        super().__init__()
        if not modules:
            raise ValueError("Residual: needs at least one module")
        for one in modules:
            if not callable(one):
                raise TypeError(f"Residual: got {type(one).__name__}, must be a module")
        self.function = modules[0] if len(modules) == 1 else Sequential(*modules)
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y = self.function(x)
        s = x if self.shortcut is None else self.shortcut(x)
        if tuple(y.shape) != tuple(s.shape):
            raise ShapeError(
                f"Residual: f(x) is {list(y.shape)} but the shortcut is {list(s.shape)}; give a shortcut "
                "that changes the shape alike"
            )
        y = y + s
        return y if self.activation is None else self.activation(y)


class Highway(Module):
    """y = T(x) H(x) + (1 - T(x)) x, with H(x) = g(W_H x + b_H) and T(x) = sigmoid(W_T x + b_T), per layer.

    Args:
        size: of the input and output.
        num_layers: of such layers one after the other.
        activation: g.
        gate_bias: b_T at the start; negative values start near the identity.

    Source: 003; Srivastava et al., 2015.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Highway(4, num_layers=2)(ccdl.ones(2, 4)).shape
    ccdl.Size([2, 4])
    """

    def __init__(
        self,
        size: int,
        num_layers: int = 1,
        activation: Any = F.relu,
        gate_bias: float = -1.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"Highway: num_layers is {num_layers}, must be at least 1")
        if num_layers > 100_000:
            raise ValueError(f"Highway: num_layers is {num_layers}, at most 100000 layers are made")
        factory = {"device": device, "dtype": dtype}
        self.transform = ModuleList([Linear(size, size, **factory) for _ in range(num_layers)])
        self.gate = ModuleList([Linear(size, size, **factory) for _ in range(num_layers)])
        for gate in self.gate:
            init.constant_(gate.bias, gate_bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for transform, gate in zip(self.transform, self.gate):
            t = _C.sigmoid(gate(x))
            x = x + t * (self.activation(transform(x)) - x)
        return x


class DenseConcat(Module):
    """Each module sees the concatenation of the input and of all outputs before it; returns them all
    concatenated.

    x_l = f_l([x_0, ..., x_{l-1}]), y = [x_0, ..., x_L].

    Args:
        modules: f_1 ... f_L.
        dim: dimension of concatenation, the channels.

    Source: 003, 004; Huang et al., 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> block = nn.DenseConcat(nn.Linear(4, 2), nn.Linear(6, 2), dim=-1)
    >>> block(ccdl.ones(3, 4)).shape
    ccdl.Size([3, 8])
    """

    def __init__(self, *modules: Module, dim: int = 1) -> None:
        super().__init__()
        self.layers = ModuleList(list(modules))
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = _C.cat([x, layer(x)], self.dim)
        return x

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
