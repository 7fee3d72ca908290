"""The one name of PyTorch's symbolic tracer that ordinary model code touches; ccdl has no tracer."""

from __future__ import annotations

from typing import Any

__all__ = ["wrap"]


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


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'ccdl.fx' has no attribute '{name}': ccdl has no symbolic tracer")
