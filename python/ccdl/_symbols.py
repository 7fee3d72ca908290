"""Arithmetic of symbolic numbers, which in ccdl are plain Python ones, and a check of a tensor's value."""

from __future__ import annotations

import math
from typing import Any

from . import errors
from ._C import Tensor

__all__ = ["sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt"]


def sym_int(a: Any) -> int:
    """``int(a)``."""
    return int(a)


def sym_float(a: Any) -> float:
    """``float(a)``."""
    return float(a)


def sym_not(a: Any) -> bool:
    """``not a``."""
    return not a


def sym_max(a: Any, b: Any) -> Any:
    """The larger; a float where one of them is."""
    larger = max(a, b)
    return float(larger) if isinstance(a, float) or isinstance(b, float) else larger


def sym_min(a: Any, b: Any) -> Any:
    """The smaller; a float where one of them is."""
    smaller = min(a, b)
    return float(smaller) if isinstance(a, float) or isinstance(b, float) else smaller


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """``t if b else f``."""
    return t if b else f


def sym_sqrt(a: Any) -> float:
    """``math.sqrt(a)``."""
    return math.sqrt(a)


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """RuntimeError unless the one value of ``input`` is true."""
    if input.numel() != 1:
        raise errors.RuntimeError(f"_assert_async: expected one value, got shape {list(input.shape)}")
    if not input.item():
        raise errors.RuntimeError(assert_msg or "Expected Tensor with single nonzero value, but got zero")
