"""Questions about tensor-like arguments.

Operators leave a call to ``__torch_function__`` of the classes of its arguments, as in PyTorch: of objects
that are no tensors and have one, and of subclasses of Tensor, where the method Tensor itself has computes
as ever and gives the results the class. In-place operators of Python (``+=``) and most properties do not ask.
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
    """Base of contexts that see every call of an operator. Classes may derive from it; to enter one is an
    error, since operators here ask no mode.

    Raises:
        NotImplementedError: on entering.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__}: modes that see every operator are not supported; call what the mode "
            "would call"
        )

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        return None
