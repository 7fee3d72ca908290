"""Names by which public code steers PyTorch's tracer; ccdl has none, so functions come back unchanged."""

from __future__ import annotations

from typing import Any

from ..compiler import allow_in_graph, assume_constant_result, disable, is_compiling, reset
from . import config

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "disallow_in_graph",
    "forbid_in_graph",
    "graph_break",
    "is_compiling",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "optimize",
    "reset",
    "run",
]


class OptimizedModule:
    """What compiling a module would give: never made, so that ``isinstance`` is False."""


def optimize(*args: Any, **options: Any) -> Any:
    """A decorator that gives back what it decorates."""
    return lambda fn: fn


def disallow_in_graph(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


def forbid_in_graph(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


def run(fn: Any = None) -> Any:
    """``fn`` itself."""
    return fn


def graph_break(msg: str = "") -> None:
    """Accepted without effect."""


def mark_dynamic(t: Any, index: Any, **bounds: Any) -> None:
    """Accepted without effect."""


def maybe_mark_dynamic(t: Any, index: Any) -> None:
    """Accepted without effect."""


def mark_static(t: Any, index: Any = None) -> None:
    """Accepted without effect."""


def mark_static_address(t: Any, guard: bool = False) -> None:
    """Accepted without effect."""
