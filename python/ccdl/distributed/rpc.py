"""Calls of functions in other processes are not implemented: :func:`is_available` says so."""

from __future__ import annotations

from typing import Any, NoReturn

from .. import errors

__all__ = ["RRef", "is_available"]


def is_available() -> bool:
    """Always False."""
    return False


class RRef:
    """Never made, so that ``isinstance`` is False."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse("RRef")


def _refuse(name: str) -> NoReturn:
    raise errors.RuntimeError(
        f"distributed.rpc.{name}: training over several processes is not implemented, ask "
        "distributed.rpc.is_available() first"
    )


def init_rpc(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError."""
    _refuse("init_rpc")


def rpc_async(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError."""
    _refuse("rpc_async")


def rpc_sync(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError."""
    _refuse("rpc_sync")


def remote(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError."""
    _refuse("remote")


def shutdown(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError."""
    _refuse("shutdown")
