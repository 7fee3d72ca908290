"""The CPU as a device, in the words of ``ccdl.cuda``."""

from .memory import *
from .memory import __all__ as _memory_names

__all__ = ["current_device", "device_count", "is_available", "synchronize", *_memory_names]


def is_available():
    """Always True."""
    return True


def device_count():
    """Always 1."""
    return 1


def current_device():
    """Always ``"cpu"``."""
    return "cpu"


def synchronize(device=None):
    """Nothing to wait for: CPU ops are finished when they return."""
