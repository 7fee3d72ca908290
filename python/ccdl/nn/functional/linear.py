"""Affine maps."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors
from ..._contractions import to_out

__all__ = ["linear", "bilinear"]


def linear(input: Tensor, weight: Any, bias: Any = None, *, out: Any = None) -> Tensor:
    """``y = x W^T + b``.

    Args:
        input: [..., in_features].
        weight: [out_features, in_features] (or [in_features]).
        bias: [out_features] (or 0-d), or None.

    Returns:
        [..., out_features].

    Raises:
        RuntimeError: shapes or dtypes do not fit.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.linear(ccdl.tensor([[1., 2.]]), ccdl.tensor([[3., 4.]]), ccdl.tensor([1.]))
    tensor([[12.]])
    """
    result = _C.linear(input, weight, bias)
    return result if out is None else to_out(out, result)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    """``y_k = x1^T W_k x2 + b_k``.

    Args:
        input1: [..., in1], input2: [..., in2] with the same leading sizes.
        weight: [out, in1, in2].
        bias: [out] or None.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.bilinear(ccdl.ones(1, 2), ccdl.ones(1, 3), ccdl.ones(1, 2, 3))
    tensor([[6.]])
    """
    if isinstance(bias, Tensor) and tuple(bias.shape) != tuple(weight.shape[:1]):
        raise errors.ShapeError(
            f"bilinear: bias is {list(bias.shape)}, must be {list(weight.shape[:1])} to match weight "
            f"{list(weight.shape)}"
        )
    return _C.bilinear(input1, input2, weight, bias)


__test__ = check_tensors(globals(), ["bilinear"])
