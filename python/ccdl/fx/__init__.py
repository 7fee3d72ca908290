"""The names of PyTorch's symbolic tracer that ordinary model code touches; ccdl has no tracer.

The classes exist, so that annotations, ``isinstance`` and subclasses of public code load; making one is
an error.
"""

from __future__ import annotations

from typing import Any

from .. import errors

__all__ = [
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "Proxy",
    "Tracer",
    "Transformer",
    "symbolic_trace",
    "wrap",
]


def wrap(fn_or_name: Any) -> Any:
    """``fn_or_name`` itself, a function or its name; usable as a decorator.

    >>> import ccdl.fx
    >>> ccdl.fx.wrap("len")
    'len'
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError(
            f"fx.wrap: unsupported type for global function, must be callable or a name, got {fn_or_name!r}"
        )
    return fn_or_name


class _Absent:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise errors.NotImplementedError(
            f"fx.{type(self).__name__}: ccdl has no symbolic tracer; take features with forward hooks "
            "(Module.register_forward_hook) instead"
        )


class Graph(_Absent):
    """A traced program: there are none."""


class GraphModule(_Absent):
    """A module of a traced program: there are none, so that ``isinstance`` is False."""


class Interpreter(_Absent):
    """Runs a traced program: there are none."""


class Node(_Absent):
    """A step of a traced program: there are none."""


class Proxy(_Absent):
    """Stands for a value while tracing: ccdl never traces, so that ``isinstance`` is False."""


class Tracer(_Absent):
    """Would trace a module; making one is a NotImplementedError."""


class Transformer(_Absent):
    """Rewrites a traced program: there are none."""


def symbolic_trace(root: Any, concrete_args: Any = None) -> Any:
    """Always a NotImplementedError: ccdl has no symbolic tracer."""
    return Tracer()


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'ccdl.fx' has no attribute '{name}': ccdl has no symbolic tracer")
