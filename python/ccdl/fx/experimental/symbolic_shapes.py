"""Questions about symbolic sizes, answered for the plain integers that ccdl's sizes are."""

from __future__ import annotations

from typing import Any

__all__ = [
    "free_symbols",
    "free_unbacked_symbols",
    "guard_or_false",
    "guard_or_true",
    "statically_known_true",
]


def statically_known_true(x: Any) -> bool:
    """The truth of ``x``: every size is known."""
    return bool(x)


guard_or_false = guard_or_true = statically_known_true


def free_symbols(val: Any) -> set[Any]:
    """The symbols of ``val``: none."""
    return set()


free_unbacked_symbols = free_symbols
