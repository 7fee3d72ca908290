"""Activation functions. All are elementwise unless stated, keep shape and dtype, and take floating
tensors.
"""

from __future__ import annotations

import math
from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors, number
from ..._contractions import to_out

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Rectified linear unit: ``max(x, 0)``; the gradient at 0 is 0.

    Args:
        input: floating or integer tensor of any shape.
        inplace: overwrite ``input``.

    Source: Nair and Hinton, 2010.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.relu(ccdl.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    return _C.relu_(input) if inplace else _C.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.relu6(ccdl.tensor([-1., 2., 9.]))
    tensor([0., 2., 6.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` where x > 0, else ``negative_slope * x``.

    Source: Maas et al., 2013.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.leaky_relu(ccdl.tensor([-1., 2.]), 0.5)
    tensor([-0.5000,  2.0000])
    """
    return _C.leaky_relu_(input, negative_slope) if inplace else _C.leaky_relu(input, negative_slope)


def prelu(input: Tensor, weight: Any) -> Tensor:
    """``x`` where x > 0, else ``weight * x`` with a learned weight.

    Args:
        input: [N, C, ...] or any shape for a single weight.
        weight: one element, or one per channel (dimension 1).

    Raises:
        RuntimeError: the number of weights is neither 1 nor the number of channels.

    Source: He et al., 2015.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.prelu(ccdl.tensor([-2., 2.]), ccdl.tensor([0.25]))
    tensor([-0.5000,  2.0000])
    """
    return _C.prelu(input, weight)


def rrelu(
    input: Tensor, lower: Any = 1.0 / 8, upper: Any = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Randomised leaky ReLU: the negative slope is uniform in [lower, upper] per element in training, else
    their mean.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.rrelu(ccdl.tensor([-2., 2.]), 0.5, 0.5)
    tensor([-1.,  2.])
    """
    number("rrelu", "lower", lower), number("rrelu", "upper", upper)
    if not -math.inf < lower <= upper < math.inf:
        raise errors.ValueError(
            f"rrelu: lower is {lower} and upper is {upper}, must be finite with lower <= upper"
        )
    if training:
        slope = _C.rand_like(input) * (upper - lower) + lower
    else:
        slope = (lower + upper) / 2
    result = _C.where(input > 0, input, input * slope)
    return input.copy_(result) if inplace else result


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` where x > 0, else ``alpha * (exp(x) - 1)``.

    Source: Clevert et al., 2016.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.elu(ccdl.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    return _C.elu_(input, alpha) if inplace else _C.elu(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``scale * elu(x, alpha)`` with alpha 1.6732632423543772 and scale 1.0507009873554805.

    Source: Klambauer et al., 2017 (self-normalising networks).

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.selu(ccdl.tensor([1.]))
    tensor([1.0507])
    """
    return _C.selu_(input) if inplace else _C.selu(input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))``; ``alpha`` must not be 0.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.celu(ccdl.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    return _C.celu_(input, alpha) if inplace else _C.celu(input, alpha)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Swish with beta 1: ``x * sigmoid(x)``; its minimum is -0.278465 near x = -1.2785.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.silu(ccdl.tensor([0., 1.]))
    tensor([0.0000, 0.7311])
    """
    return _C.silu_(input) if inplace else _C.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.mish(ccdl.tensor([0., 1.]))
    tensor([0.0000, 0.8651])
    """
    return _C.mish_(input) if inplace else _C.mish(input)


def gelu(input: Tensor, approximate: str = "none", *, out: Any = None) -> Tensor:
    """Gaussian error linear unit: ``x * Phi(x)`` with the normal distribution function Phi.

    Args:
        input: floating tensor.
        approximate: ``"none"`` uses erf; ``"tanh"`` is ``x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``, at
            most 0.000473 off.

    Source: Hendrycks and Gimpel, 2016.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.gelu(ccdl.tensor([-1., 1.]))
    tensor([-0.1587,  0.8413])
    """
    result = _C.gelu(input, approximate=approximate)
    return result if out is None else to_out(out, result)


def softplus(
    input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, out: Any = None
) -> Tensor:
    """``log(1 + exp(beta x)) / beta``; equal to ``x`` where ``beta x > threshold``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.softplus(ccdl.tensor([0.]))
    tensor([0.6931])
    """
    return to_out(out, _C.softplus(input, beta, threshold))


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.softsign(ccdl.tensor([1.]))
    tensor([0.5000])
    """
    return input / (input.abs() + 1)


def softshrink(input: Tensor, lambd: float = 0.5, *, out: Any = None) -> Tensor:
    """``x - lambd`` above lambd, ``x + lambd`` below -lambd, else 0; ``lambd`` must not be negative.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.softshrink(ccdl.tensor([-1., 0.2, 1.]))
    tensor([-0.5000,  0.0000,  0.5000])
    """
    return to_out(out, _C.softshrink(input, lambd))


def hardshrink(input: Tensor, lambd: float = 0.5, *, out: Any = None) -> Tensor:
    """``x`` where ``|x| > lambd``, else 0.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.hardshrink(ccdl.tensor([-1., 0.2, 1.]))
    tensor([-1.,  0.,  1.])
    """
    return to_out(out, _C.hardshrink(input, lambd))


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.tanhshrink(ccdl.tensor([1.]))
    tensor([0.2384])
    """
    return input - input.tanh()


def threshold(input: Tensor, threshold: Any, value: Any, inplace: bool = False) -> Tensor:
    """``x`` where ``x > threshold``, else ``value``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.threshold(ccdl.tensor([0.1, 2.]), 1.0, 20.0)
    tensor([20.,  2.])
    """
    return _C.threshold_(input, threshold, value) if inplace else _C.threshold(input, threshold, value)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` limited to [min_val, max_val]; the gradient is 0 at and beyond the limits.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.hardtanh(ccdl.tensor([-3., 0.5]))
    tensor([-1.0000,  0.5000])
    """
    if type(min_val) is not float or type(max_val) is not float:
        number("hardtanh", "min_val", min_val), number("hardtanh", "max_val", max_val)
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val is {min_val}, must not exceed max_val {max_val}")
    return _C.hardtanh_(input, min_val, max_val) if inplace else _C.hardtanh(input, min_val, max_val)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.hardsigmoid(ccdl.tensor([0.]))
    tensor([0.5000])
    """
    return _C.hardsigmoid_(input) if inplace else _C.hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * hardsigmoid(x)``.

    Source: Howard et al., 2019.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.hardswish(ccdl.tensor([3.]))
    tensor([3.])
    """
    return _C.hardswish_(input) if inplace else _C.hardswish(input)


def logsigmoid(input: Tensor, *, out: Any = None) -> Tensor:
    """``log(1 / (1 + exp(-x)))``, computed without overflow.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.logsigmoid(ccdl.tensor([0.]))
    tensor([-0.6931])
    """
    return to_out(out, _C.logsigmoid(input))


def sigmoid(input: Tensor) -> Tensor:
    """Logistic function ``1 / (1 + exp(-x))``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.sigmoid(ccdl.tensor([0.]))
    tensor([0.5000])
    """
    return _C.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.tanh(ccdl.tensor([0.]))
    tensor([0.])
    """
    return _C.tanh(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Gated linear unit: halves ``a, b`` along ``dim`` (of even size) give ``a * sigmoid(b)``.

    Source: Dauphin et al., 2017.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.glu(ccdl.tensor([2., 0.]))
    tensor([1.])
    """
    if input.dim() == 0:
        raise RuntimeError("glu: input has no dimension, must have at least one")
    return _C.glu(input, dim)


def relu_(input: Tensor) -> Tensor:
    """In-place :func:`relu`."""
    return _C.relu_(input)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place :func:`leaky_relu`."""
    return _C.leaky_relu_(input, negative_slope)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place :func:`elu`."""
    return _C.elu_(input, alpha)


def selu_(input: Tensor) -> Tensor:
    """In-place :func:`selu`."""
    return _C.selu_(input)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place :func:`celu`."""
    return _C.celu_(input, alpha)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place :func:`hardtanh`."""
    return hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: Any, value: Any) -> Tensor:
    """In-place :func:`threshold`."""
    return _C.threshold_(input, threshold, value)


def rrelu_(input: Tensor, lower: Any = 1.0 / 8, upper: Any = 1.0 / 3, training: bool = False) -> Tensor:
    """In-place :func:`rrelu`."""
    return rrelu(input, lower, upper, training, inplace=True)


__test__ = check_tensors(globals(), ["rrelu", "rrelu_", "softsign", "tanhshrink"])
