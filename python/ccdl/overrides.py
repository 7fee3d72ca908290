"""Questions about tensor-like arguments.

Operators that get an object which is no tensor and whose class has ``__torch_function__`` leave the call to
it, as in PyTorch; tensors and their subclasses always go the built-in way.
"""

from __future__ import annotations

from typing import Any

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
    """Whether one of several arguments is no tensor and has ``__torch_function__``."""
    return any(not isinstance(a, Tensor) and hasattr(type(a), "__torch_function__") for a in args)


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
