"""A backend that ccdl does not use."""

from __future__ import annotations

__all__ = ["enabled", "is_available"]

enabled = False


def is_available() -> bool:
    """Always False."""
    return False
