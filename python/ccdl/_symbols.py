"""Checks of conditions and the names of symbolic numbers: ccdl's sizes are plain Python numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from . import errors
from ._C import Tensor

__all__ = ["SymBool", "SymFloat", "SymInt"]

Message = Callable[[], Any] | None


class SymInt:
    """Never made: every size is an ``int``, so that ``isinstance`` is False."""


class SymFloat:
    """Never made: every number is a ``float``, so that ``isinstance`` is False."""


class SymBool:
    """Never made: every condition is a ``bool``, so that ``isinstance`` is False."""


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


def _check_with(error_type: type[Exception], cond: Any, message: Message) -> None:
    if isinstance(cond, Tensor) or not isinstance(cond, (bool, int)):
        raise errors.TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        if message is not None and not callable(message):
            raise errors.TypeError("message must be a callable")
        raise error_type(
            "Expected cond to be True, but got False. (Could this error message be improved? If so, please "
            "report an enhancement request.)"
            if message is None
            else str(message())
        )


def _check(cond: Any, message: Message = None) -> None:
    """RuntimeError with the text ``message()`` gives, unless ``cond``."""
    _check_with(errors.RuntimeError, cond, message)


def _check_index(cond: Any, message: Message = None) -> None:
    """IndexError with the text ``message()`` gives, unless ``cond``."""
    _check_with(errors.IndexError, cond, message)


def _check_value(cond: Any, message: Message = None) -> None:
    """ValueError with the text ``message()`` gives, unless ``cond``."""
    _check_with(errors.ValueError, cond, message)


def _check_type(cond: Any, message: Message = None) -> None:
    """TypeError with the text ``message()`` gives, unless ``cond``."""
    _check_with(errors.TypeError, cond, message)


def _check_not_implemented(cond: Any, message: Message = None) -> None:
    """NotImplementedError with the text ``message()`` gives, unless ``cond``."""
    _check_with(errors.NotImplementedError, cond, message)


def _check_is_size(i: Any, message: Message = None, *, max: int | None = None) -> None:
    """RuntimeError unless 0 <= ``i`` (<= ``max``)."""
    _check_with(errors.RuntimeError, i >= 0 and (max is None or i <= max), message)


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """RuntimeError unless the one value of ``input`` is true."""
    if input.numel() != 1:
        raise errors.RuntimeError(f"_assert_async: expected one value, got shape {list(input.shape)}")
    if not input.item():
        raise errors.RuntimeError(assert_msg or "Expected Tensor with single nonzero value, but got zero")
