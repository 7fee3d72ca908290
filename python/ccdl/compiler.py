"""Names that steer a compiler; ccdl has none and runs eagerly, so functions come back unchanged."""

from __future__ import annotations

from typing import Any

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
    "set_stance",
    "substitute_in_graph",
]


def compile(*args: Any, **kwargs: Any) -> Any:
    """:func:`ccdl.compile`."""
    from . import compile

    return compile(*args, **kwargs)


def is_compiling() -> bool:
    """Always False."""
    return False


def is_dynamo_compiling() -> bool:
    """Always False."""
    return False


def is_exporting() -> bool:
    """Always False."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """``fn`` itself; a decorator with and without arguments.

    >>> import ccdl
    >>> @ccdl.compiler.disable
    ... def twice(x):
    ...     return 2 * x
    >>> twice(3)
    6
    """
    return fn if fn is not None else lambda target: target


def allow_in_graph(fn: Any) -> Any:
    """``fn`` itself (one function, or several)."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


def substitute_in_graph(original_fn: Any, **options: Any) -> Any:
    """A decorator that gives back what it decorates."""
    return lambda fn: fn


def reset() -> None:
    """Accepted without effect."""


def cudagraph_mark_step_begin() -> None:
    """Accepted without effect."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """No backends: an empty list."""
    return []


class set_stance:
    """Accepted without effect: a call, a context manager or a decorator."""

    def __init__(self, stance: str = "default", **options: Any) -> None:
        self.stance = stance

    def __call__(self, fn: Any) -> Any:
        return fn

    def __enter__(self) -> None: ...

    def __exit__(self, *exception: object) -> None: ...
