"""Pinned host memory: host memory here needs no pinning for copies to a device."""

from __future__ import annotations

from typing import Any

__all__ = ["pin_memory"]


def pin_memory(data: Any, device: Any = None) -> Any:
    """``data`` itself; objects with a method ``pin_memory`` are asked."""
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, dict):
        return {k: pin_memory(v, device) for k, v in data.items()}
    if isinstance(data, (list, tuple)) and not hasattr(data, "pin_memory"):
        parts = [pin_memory(v, device) for v in data]
        return type(data)(*parts) if hasattr(data, "_fields") else type(data)(parts)
    return data.pin_memory() if hasattr(data, "pin_memory") else data
