"""The order in which ``einsum`` multiplies its operands: from left to right, whatever is set here."""

from __future__ import annotations

__all__ = ["enabled", "is_available", "strategy"]

enabled = False
strategy = None


def is_available() -> bool:
    """Always False."""
    return False
