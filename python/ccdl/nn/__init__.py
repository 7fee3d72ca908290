"""Neural-network building blocks under PyTorch's names."""

from __future__ import annotations

from typing import Any

from . import functional, init, parameter
from .kv_cache import KVCache
from .modules import *
from .modules import __all__ as _module_names
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    "Buffer",
    "KVCache",
    "Parameter",
    "UninitializedParameter",
    "functional",
    "init",
    "parameter",
    *_module_names,
]


def __getattr__(name: str) -> Any:
    if name in ("DataParallel",):
        from .parallel import DataParallel

        return DataParallel
    if name in ("attention", "common_types", "grad", "modules", "parallel", "utils"):
        import importlib

        try:
            return importlib.import_module("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module 'ccdl.nn' has no attribute '{name}'")
