"""A backend that ccdl does not use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["enabled", "flags", "is_available"]

enabled = False


@contextmanager
def flags(**options: Any) -> Iterator[None]:
    """Accepted without effect."""
    yield


def is_available() -> bool:
    """Always False."""
    return False
