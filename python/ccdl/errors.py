"""Exceptions that ccdl raises, each a subclass of the builtin that PyTorch raises there.

ValueError, TypeError, IndexError, KeyError, NotImplementedError, RuntimeError and, below RuntimeError,
ShapeError, DTypeError, DeviceError, AutogradError, CheckpointError; OutOfMemoryError below MemoryError,
FileError below OSError.
"""

from . import _C

__all__ = sorted(_C._error_classes)
globals().update(_C._error_classes)
