"""Softmax family: normalised exponentials along one dimension."""

from __future__ import annotations

import warnings
from typing import Any

from ... import _C
from ..._C import Tensor

__all__ = ["softmax", "log_softmax", "softmin", "gumbel_softmax"]


def _dim(op, dim, input, stacklevel):
    if dim is not None:
        return dim
    warnings.warn(f"{op}: dim was left out; pass it explicitly", stacklevel=stacklevel)
    return 0 if input.dim() in (0, 1, 3) else 1


def softmax(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Tensor:
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``, with the maximum subtracted first.

    Args:
        input: floating tensor.
        dim: the dimension whose entries sum to 1.
        dtype: compute in and return this dtype.

    Raises:
        IndexError: ``dim`` is out of range.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.softmax(ccdl.tensor([0., 0.]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _C.softmax(input, _dim("softmax", dim, input, _stacklevel), dtype=dtype)


def log_softmax(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Tensor:
    """``x_i - log sum_j exp(x_j)`` along ``dim``, without overflow.

    Arguments as for :func:`softmax`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.log_softmax(ccdl.tensor([0., 0.]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return _C.log_softmax(input, _dim("log_softmax", dim, input, _stacklevel), dtype=dtype)


def softmin(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Tensor:
    """Softmax of ``-x``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.softmin(ccdl.tensor([0., 0.]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _C.softmax(-input, _dim("softmin", dim, input, _stacklevel), dtype=dtype)


def gumbel_softmax(
    logits: Tensor, tau: Any = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A relaxed one-hot sample: softmax of ``(logits + g) / tau`` with Gumbel noise ``g = -log(-log u)``.

    ``hard=True`` returns the exact one-hot of the largest entry and lets the gradient of the relaxed sample
    through.

    Source: Jang et al., 2017; Maddison et al., 2017.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.gumbel_softmax(ccdl.zeros(2, 3), hard=True).sum(dim=-1)
    tensor([1., 1.])
    """
    noise = -_C.empty_like(logits, memory_format=_C.contiguous_format).exponential_().log()
    soft = _C.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = _C.zeros_like(soft).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft
