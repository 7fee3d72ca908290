"""Activations as modules over :mod:`ccdl.nn.functional`; equations and sources stand there."""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor
from ..._checks import check_sizes
from .. import functional as F
from ..parameter import Parameter
from .module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


def _inplace_text(inplace):
    return "inplace=True" if inplace else ""


def _join(*parts):
    return ", ".join(p for p in parts if p)


class ReLU(Module):
    """``max(x, 0)``.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.ReLU()(ccdl.tensor([-1., 2.]))
    tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return _C.relu_(input) if self.inplace else _C.relu(input)

    def extra_repr(self) -> str:
        return _inplace_text(self.inplace)


class _InplaceOnly(Module):
    """Activations whose only argument is ``inplace``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return _inplace_text(self.inplace)


class SELU(_InplaceOnly):
    """Scaled ELU of self-normalising networks."""

    _function = staticmethod(F.selu)


class SiLU(_InplaceOnly):
    """``x * sigmoid(x)``, also called Swish."""

    _function = staticmethod(F.silu)


class Mish(_InplaceOnly):
    """``x * tanh(softplus(x))``."""

    _function = staticmethod(F.mish)


class Hardsigmoid(_InplaceOnly):
    """``relu6(x + 3) / 6``."""

    _function = staticmethod(F.hardsigmoid)

    def extra_repr(self) -> str:
        return ""


class Hardswish(_InplaceOnly):
    """``x * relu6(x + 3) / 6``."""

    _function = staticmethod(F.hardswish)

    def extra_repr(self) -> str:
        return ""


class _Plain(Module):
    """Activations without arguments."""

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input)


class Sigmoid(_Plain):
    """``1 / (1 + exp(-x))``."""

    _function = staticmethod(_C.sigmoid)


class Tanh(_Plain):
    """Hyperbolic tangent."""

    _function = staticmethod(_C.tanh)


class LogSigmoid(_Plain):
    """``log(sigmoid(x))``."""

    _function = staticmethod(F.logsigmoid)


class Softsign(_Plain):
    """``x / (1 + |x|)``."""

    _function = staticmethod(F.softsign)


class Tanhshrink(_Plain):
    """``x - tanh(x)``."""

    _function = staticmethod(F.tanhshrink)


class Hardtanh(Module):
    """``x`` limited to [min_val, max_val]."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: Any = None,
        max_value: Any = None,
    ) -> None:
        super().__init__()
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise AssertionError(
                f"Hardtanh: max_val {self.max_val} must be greater than min_val {self.min_val}"
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return _join(f"min_val={self.min_val}, max_val={self.max_val}", _inplace_text(self.inplace))


class ReLU6(Hardtanh):
    """``min(max(x, 0), 6)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return _inplace_text(self.inplace)


class Threshold(Module):
    """``x`` above ``threshold``, else ``value``."""

    def __init__(self, threshold: Any, value: Any, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return _join(f"threshold={self.threshold}, value={self.value}", _inplace_text(self.inplace))


class RReLU(Module):
    """Leaky ReLU whose slope is random in training."""

    def __init__(self, lower: Any = 1.0 / 8, upper: Any = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return _join(f"lower={self.lower}, upper={self.upper}", _inplace_text(self.inplace))


class LeakyReLU(Module):
    """``x`` above 0, else ``negative_slope * x``."""

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return _join(f"negative_slope={self.negative_slope}", _inplace_text(self.inplace))


class ELU(Module):
    """``x`` above 0, else ``alpha * (exp(x) - 1)``."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return _join(f"alpha={self.alpha}", _inplace_text(self.inplace))


class CELU(ELU):
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)


class PReLU(Module):
    """Leaky ReLU with learned slopes: one, or one per channel.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.PReLU()(ccdl.tensor([-2., 2.])).tolist()
    [-0.5, 2.0]
    """

    def __init__(
        self, num_parameters: Any = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        check_sizes("PReLU", num_parameters=num_parameters)
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(_C.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets all slopes to ``init``."""
        previous = _C._set_grad_enabled(False)
        try:
            self.weight.fill_(self.init)
        finally:
            _C._set_grad_enabled(previous)

    def forward(self, input: Tensor) -> Tensor:
        return _C.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class GELU(Module):
    """``x * Phi(x)``; ``approximate`` is 'none' or 'tanh'."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """``log(1 + exp(beta x)) / beta``."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(_Shrink):
    """Moves values towards 0 by ``lambd``; 0 within [-lambd, lambd]."""

    _function = staticmethod(F.softshrink)


class Hardshrink(_Shrink):
    """0 within [-lambd, lambd], else unchanged."""

    _function = staticmethod(F.hardshrink)


class GLU(Module):
    """Half of the channels gated by the sigmoid of the other half."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(Module):
    """Exponentials along ``dim`` normalised to sum 1.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Softmax(dim=1)(ccdl.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, dim: Any = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(Softmax):
    """Softmax of the negated input."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim, _stacklevel=5)


class LogSoftmax(Softmax):
    """Logarithm of softmax."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim, _stacklevel=5)


class Softmax2d(Module):
    """Softmax over the channels of [N, C, H, W] or [C, H, W]."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead")
        return F.softmax(input, -3)


def __getattr__(name: str) -> object:
    if name == "MultiheadAttention":  # defined in a file of its own here
        from . import attention

        return getattr(attention, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
