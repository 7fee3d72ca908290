"""Switches of a library that ccdl does not use; every flag may be set and has no effect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["flags", "is_available", "set_flags", "version"]

enabled = False
benchmark = False
benchmark_limit = None
deterministic = True
allow_tf32 = False


def is_available() -> bool:
    """Always False."""
    return False


def version() -> Any:
    """Always None."""
    return None


def set_flags(**values: Any) -> None:
    """Accepted without effect."""


@contextlib.contextmanager
def flags(**values: Any) -> Iterator[Any]:
    """Accepted without effect."""
    yield
