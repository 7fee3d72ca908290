"""Exceptions that ccdl raises, each a subclass of the builtin that PyTorch raises there.

ValueError, TypeError, IndexError, KeyError, NotImplementedError, RuntimeError and, below RuntimeError,
ShapeError, DTypeError, DeviceError, AutogradError, CheckpointError, LinAlgError; OutOfMemoryError below
MemoryError, FileError below OSError. ValueError, TypeError, IndexError and OutOfMemoryError are RuntimeErrors
as well, ShapeError is a ValueError and DTypeError a TypeError: PyTorch raises the one here and the other
there.
"""

from . import _C

_classes = _C._error_classes
__all__ = sorted(_classes)

AutogradError = _classes["AutogradError"]
CheckpointError = _classes["CheckpointError"]
DTypeError = _classes["DTypeError"]
DeviceError = _classes["DeviceError"]
FileError = _classes["FileError"]
IndexError = _classes["IndexError"]
KeyError = _classes["KeyError"]
LinAlgError = _classes["LinAlgError"]
NotImplementedError = _classes["NotImplementedError"]
OutOfMemoryError = _classes["OutOfMemoryError"]
RuntimeError = _classes["RuntimeError"]
ShapeError = _classes["ShapeError"]
TypeError = _classes["TypeError"]
ValueError = _classes["ValueError"]
