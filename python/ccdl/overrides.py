"""Questions about tensor-like arguments: ccdl calls no ``__torch_function__``."""

from __future__ import annotations

from typing import Any

from ._C import Tensor

__all__ = ["has_torch_function", "has_torch_function_unary", "has_torch_function_variadic", "is_tensor_like"]


def is_tensor_like(inp: Any) -> bool:
    """Whether ``inp`` is a tensor.

    >>> import ccdl
    >>> ccdl.overrides.is_tensor_like(ccdl.ones(1)), ccdl.overrides.is_tensor_like([1.0])
    (True, False)
    """
    return isinstance(inp, Tensor)


def has_torch_function(args: Any) -> bool:
    """Always False."""
    return False


def has_torch_function_unary(arg: Any) -> bool:
    """Always False."""
    return False


def has_torch_function_variadic(*args: Any) -> bool:
    """Always False."""
    return False
