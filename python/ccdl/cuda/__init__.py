"""CUDA devices, with PyTorch's names.

Importing touches no driver. Without a device, queries answer so, seeds and caches are accepted, and
everything that needs a device raises an error that says what is missing.
"""

from typing import Any

from .. import _C
from .devices import *
from .devices import __all__ as _devices
from .graphed_callables import *
from .graphed_callables import __all__ as _graphed
from .graphs import *
from .graphs import __all__ as _graphs
from .memory import *
from .memory import __all__ as _memory
from .random import *
from .random import __all__ as _random
from .streams import *
from .streams import __all__ as _streams

__all__ = [*_devices, *_graphed, *_graphs, *_memory, *_random, *_streams]


def _launch_count() -> int:
    """Kernels queued since load, by all threads."""
    return _C._cuda_launch_count()


def _sync_count() -> int:
    """Waits of the host for a device since load, by all threads."""
    return _C._cuda_sync_count()


def __getattr__(name: str) -> Any:
    if name == "_initialized":  # read by code that saves the state of random generators
        return _C._cuda_is_initialized()
    if name == "amp":
        import importlib

        return importlib.import_module(".amp", __name__)
    if name.endswith("Tensor"):
        from .._legacy import cuda_types

        if name in cuda_types:
            return cuda_types[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
