"""Checks of a condition, as library code writes them, and the symbolic numbers of traced code, of which there
are none here: only the names exist, for ``isinstance``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _C, errors
from ._C import Tensor

__all__ = ["SymBool", "SymFloat", "SymInt"]


class SymInt:
    """No object is one: programs are never traced with symbolic sizes."""


class SymFloat:
    """No object is one: see :class:`SymInt`."""


class SymBool:
    """No object is one: see :class:`SymInt`."""


def _raise_unless(kind: type[BaseException], cond: Any, message: Callable[[], Any] | None) -> None:
    if not isinstance(cond, bool):
        raise errors.TypeError(f"cond must be a bool, but got {type(cond).__name__}")
    if cond:
        return
    if message is None:
        raise kind("Expected cond to be True, but got False")
    if not callable(message):
        raise errors.TypeError(f"message must be a callable, but got {type(message).__name__}")
    raise kind(str(message()))


def _check(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """RuntimeError with the text ``message()`` unless ``cond``."""
    _raise_unless(errors.RuntimeError, cond, message)


def _check_index(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """IndexError with the text ``message()`` unless ``cond``."""
    _raise_unless(errors.IndexError, cond, message)


def _check_value(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """ValueError with the text ``message()`` unless ``cond``."""
    _raise_unless(errors.ValueError, cond, message)


def _check_type(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """TypeError with the text ``message()`` unless ``cond``."""
    _raise_unless(errors.TypeError, cond, message)


def _check_not_implemented(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """NotImplementedError with the text ``message()`` unless ``cond``."""
    _raise_unless(errors.NotImplementedError, cond, message)


def _check_tensor_all(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """RuntimeError with the text ``message()`` unless all elements of the tensor ``cond`` are True."""
    if not isinstance(cond, Tensor):
        raise errors.TypeError(f"cond must be a tensor, but got {type(cond).__name__}")
    if cond.dtype != _C.bool:
        raise errors.TypeError(f"cond tensor must have dtype bool, but got {cond.dtype}")
    _raise_unless(errors.RuntimeError, bool(cond.all().item()), message)


def _check_is_size(i: Any, message: Callable[[], Any] | None = None, *, max: Any = None) -> None:
    """RuntimeError unless ``i`` can be a size: not negative, and at most ``max`` when that is given."""
    _raise_unless(errors.RuntimeError, i >= 0 and (max is None or i <= max), message)
