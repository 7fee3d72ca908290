"""Type checks of functions written in Python: a value that is no tensor is a TypeError with its argument."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ._C import Tensor
from .errors import ShapeError, TypeError, ValueError

__all__ = ["check_count", "check_sizes", "check_tensors"]

_MISSING = object()


def check_count(op: str, name: str, count: Any, most: int) -> None:
    """ValueError for a number of repetitions in Python that would not end within seconds."""
    if isinstance(count, int) and count > most:
        raise ValueError(f"{op}: {name} is {count}, must be at most {most}")


def check_sizes(op: str, **sizes: Any) -> None:
    """Numbers of features, channels or entries: an integer or a sequence of them, none negative."""
    for name, size in sizes.items():
        for one in size if isinstance(size, (tuple, list)) else (size,):
            if not hasattr(one, "__index__"):
                raise TypeError(f"{op}: {name} is {size!r}, must be made of integers")
            if one < 0:
                raise ShapeError(f"{op}: {name} is {size!r}, must not be negative")


def _checked(function: Callable[..., Any], label: str) -> Any:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    wanted = [(i, n) for i, n in enumerate(names) if function.__annotations__.get(n) in ("Tensor", Tensor)]
    if not wanted:
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for i, name in wanted:
            value = args[i] if i < len(args) else kwargs.get(name, _MISSING)
            if value is not _MISSING and not isinstance(value, Tensor):
                raise TypeError(f"{label}(): argument '{name}' must be Tensor, not {type(value).__name__}")
        return function(*args, **kwargs)

    return checked


def check_tensors(module: dict[str, Any], names: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """Replaces the functions ``names`` of a module's globals by ones that check every parameter annotated as
    Tensor. Returns the originals, for ``__test__``: their examples are run as before."""
    originals = {}
    for name in names:
        function = module[name]
        if not hasattr(function, "__code__"):
            continue
        checked = _checked(function, prefix + name)
        if checked is not function:
            originals[name] = function
            module[name] = checked
    return originals
