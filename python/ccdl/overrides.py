"""Questions about tensor-like arguments.

Operators leave a call to ``__torch_function__`` of the classes of its arguments, as in PyTorch: of objects
that are no tensors and have one, and of subclasses of Tensor, where the method Tensor itself has computes
as ever and gives the results the class. Most properties do not ask.
"""

from __future__ import annotations

from typing import Any

from . import _C
from ._C import Tensor
from .errors import NotImplementedError

__all__ = [
    "TorchFunctionMode",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
]


def is_tensor_like(inp: Any) -> bool:
    """Whether ``inp`` is a tensor.

    >>> import ccdl
    >>> ccdl.overrides.is_tensor_like(ccdl.ones(1)), ccdl.overrides.is_tensor_like([1.0])
    (True, False)
    """
    return isinstance(inp, Tensor)


def has_torch_function(args: Any) -> bool:
    """Whether the class of one of several arguments has a say: ``__torch_function__``, and no plain tensor.

    >>> import ccdl
    >>> ccdl.overrides.has_torch_function((ccdl.ones(1), [1.0]))
    False
    """
    return any(
        _C._has_say(a) if isinstance(a, Tensor) else hasattr(type(a), "__torch_function__") for a in args
    )


def has_torch_function_unary(arg: Any) -> bool:
    """:func:`has_torch_function` of one argument."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args: Any) -> bool:
    """:func:`has_torch_function` of the arguments given."""
    return has_torch_function(args)


class TorchFunctionMode:
    """Base of contexts that see every public call of an operator on this thread.

    Inside ``with mode:`` each call of an operator, a method of Tensor or an operator of Python goes to
    ``mode.__torch_function__(func, types, args, kwargs)``, whose answer is the result. The mode is left while
    that runs, so it may call ``func``; of nested modes the inner sees the calls first. Modes come before the
    ``__torch_function__`` of classes. Functions that are written in Python show the operators they call.

    >>> import ccdl
    >>> class Names(ccdl.overrides.TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> with Names():
    ...     x = ccdl.ones(2) + 1
    ones
    add
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__}: a mode says what becomes of a call in its own __torch_function__(self, "
            "func, types, args=(), kwargs=None)"
        )

    def __enter__(self) -> Any:
        _C._push_function_mode(self)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        _C._pop_function_mode()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A mode of this class, to be entered; the older way of writing ``with cls():``."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """The mode that does as if it were not there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _get_current_function_mode() -> Any:
    modes = _C._function_modes()
    return modes[-1] if modes else None


def _get_current_function_mode_stack() -> Any:
    return _C._function_modes()
