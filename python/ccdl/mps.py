"""MPS devices: ccdl drives none, and says so."""

from __future__ import annotations

from typing import Any

from . import errors

__all__ = ["device_count", "empty_cache", "is_available", "manual_seed", "synchronize"]


def is_available() -> bool:
    """Always False."""
    return False


def device_count() -> int:
    """Always 0."""
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without effect."""


def empty_cache() -> None:
    """Accepted without effect."""


def synchronize(device: Any = None) -> None:
    """Raises RuntimeError: there is nothing to wait for."""
    raise errors.RuntimeError("mps.synchronize: there is no MPS device; ask mps.is_available() first")
