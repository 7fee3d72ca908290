"""The CPU as a device, in the words of ``ccdl.cuda``."""

from __future__ import annotations

from typing import Any

from .memory import *
from .memory import __all__ as _memory_names

__all__ = ["current_device", "device_count", "is_available", "synchronize", *_memory_names]


def is_available() -> bool:
    """Always True."""
    return True


def device_count() -> Any:
    """Always 1."""
    return 1


def current_device() -> Any:
    """Always ``"cpu"``."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Nothing to wait for: CPU ops are finished when they return."""


def __getattr__(name: str) -> Any:
    if name == "amp":
        import importlib

        return importlib.import_module(".amp", __name__)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
