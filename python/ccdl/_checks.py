"""Type checks of functions written in Python: a value that is no tensor or no number is a TypeError with its
argument."""

from __future__ import annotations

import builtins
import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ._C import Tensor
from .errors import ShapeError, TypeError, ValueError

__all__ = [
    "check_count",
    "check_sizes",
    "check_tensors",
    "flag",
    "items",
    "named",
    "number",
    "one_of",
    "tensor",
    "whole",
]

_MOST_ITEMS = 64  # of a sequence that is neither a list nor a tuple
_F = TypeVar("_F", bound=Callable[..., Any])


def named(**others: str) -> Callable[[_F], _F]:
    """Other names of arguments, as PyTorch's own parser knows them: ``input`` for ``A``, say."""

    def mark(function: _F) -> _F:
        function.__dict__["_other_names"] = others
        return function

    return mark


def check_count(op: str, name: str, count: Any, most: int) -> None:
    """ValueError for a number of repetitions in Python that would not end within seconds."""
    if hasattr(count, "__index__") and operator.index(count) > most:
        raise ValueError(f"{op}: {name} is {count}, must be at most {most}")


def _refused(op: str, name: str, wanted: str, value: Any) -> Exception:
    return TypeError(f"{op}(): argument '{name}' must be {wanted}, not {type(value).__name__}")


def tensor(op: str, name: str, value: Any) -> Tensor:
    """A Tensor as it is."""
    if not isinstance(value, Tensor):
        raise _refused(op, name, "Tensor", value)
    return value


def number(op: str, name: str, value: Any) -> Any:
    """A number as it is: Python's, NumPy's or that of a tensor without dimensions."""
    if not _is_number(value) or not isinstance(value, (int, float)) and not _kind_of(value):
        raise _refused(op, name, "a number", value)
    return value


def whole(op: str, name: str, value: Any) -> int:
    """An integer of any type that stands for one."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or len(getattr(value, "shape", ())):
        raise _refused(op, name, "int", value)
    try:
        return operator.index(value)
    except builtins.TypeError:
        raise _refused(op, name, "int", value) from None


def flag(op: str, name: str, value: Any) -> bool:
    """A truth value: a bool, a whole number, or one of NumPy's or a tensor's without dimensions."""
    if isinstance(value, int) or value is None:
        return bool(value)
    if _kind_of(value) != "bool" or len(getattr(value, "shape", ())):
        raise _refused(op, name, "bool", value)
    return bool(value)


def one_of(op: str, name: str, value: Any, choices: Sequence[str | None]) -> Any:
    """One of a few words."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        words = ", ".join(repr(c) for c in choices)
        raise ValueError(f"{op}: {name} is {value!r}, must be one of {words}")
    return value


def _kind_of(value: Any) -> str:
    """What a number of NumPy's or a tensor's is: "bool", "real" or nothing."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return "real" if hasattr(value, "__float__") else ""
    name = str(dtype).rpartition(".")[2]
    if name == "bool":
        return "bool"
    return "real" if name.startswith(("int", "uint", "float", "bfloat")) else ""


def items(op: str, name: str, value: Any) -> tuple[Any, ...]:
    """The entries of a short sequence; an iterator, which may have no end, is refused."""
    if isinstance(value, (tuple, list)):
        return tuple(value)
    try:
        count = len(value) if hasattr(value, "__len__") else _MOST_ITEMS + 1
    except (builtins.TypeError, builtins.ValueError):  # an array without dimensions, a negative length
        count = _MOST_ITEMS + 1
    if count > _MOST_ITEMS:
        raise TypeError(f"{op}: argument '{name}' must be a short sequence, not {type(value).__name__}")
    return tuple(itertools.islice(value, count))


def check_sizes(op: str, **sizes: Any) -> None:
    """Numbers of features, channels or entries: an integer or a sequence of them, none negative."""
    for name, size in sizes.items():
        for one in size if isinstance(size, (tuple, list)) else (size,):
            if not hasattr(one, "__index__"):
                raise TypeError(f"{op}: {name} is {size!r}, must be made of integers")
            if one < 0:
                raise ShapeError(f"{op}: {name} is {size!r}, must not be negative")


def _is_number(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return True
    if isinstance(value, Tensor):
        return value.ndim == 0
    return hasattr(value, "__float__") and not getattr(value, "shape", ())


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    "Tensor": ("Tensor", lambda value: isinstance(value, Tensor)),
    Tensor: ("Tensor", lambda value: isinstance(value, Tensor)),
    "float": ("float", _is_number),
    "int": ("int", _is_integer),
    "bool": ("bool", lambda value: isinstance(value, bool) or type(value).__name__ == "bool"),
}


# NumPy's names of the arguments PyTorch's native functions have.
_NUMPY_NAMES = {
    "input": ("x", "a", "x1"),
    "A": ("x", "a"),
    "other": ("x2",),
    "dim": ("axis",),
    "keepdim": ("keepdims",),
}


def _checked(function: Callable[..., Any], label: str) -> Any:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    kinds = {n: _KINDS[a] for n in names if (a := function.__annotations__.get(n)) in _KINDS}
    in_order = [kinds.get(n) for n in names[: code.co_argcount]]
    others: dict[str, str] = dict(getattr(function, "_other_names", {}))
    if not function.__module__.startswith("ccdl.nn"):  # PyTorch's are written in Python, as these are
        others.update((other, n) for n in names for other in _NUMPY_NAMES.get(n, ()) if other not in names)
    if not kinds and not others:
        return function

    def refuse(name: str, position: int | None, wanted: str, value: Any) -> None:
        where = "" if position is None else f" (position {position + 1})"
        raise TypeError(f"{label}(): argument '{name}'{where} must be {wanted}, not {type(value).__name__}")

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for i, (kind, value) in enumerate(zip(in_order, args)):
            if kind is not None and not kind[1](value):
                refuse(names[i], i, kind[0], value)
        if kwargs:
            for other, name in others.items():
                if other in kwargs and name not in kwargs:
                    kwargs[name] = kwargs.pop(other)
            for name, value in kwargs.items():
                kind = kinds.get(name)
                if kind is not None and not kind[1](value):
                    refuse(name, None, kind[0], value)
        return function(*args, **kwargs)

    return checked


def check_tensors(module: dict[str, Any], names: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """Replaces the functions ``names`` of a module's globals by ones that check every parameter annotated as
    Tensor, float, int or bool. Returns the originals, for ``__test__``: their examples are run as before."""
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
