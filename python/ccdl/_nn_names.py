"""Functions that public code takes from ``torch._C._nn``: those of ``ccdl.nn.functional``, and the reading of
the arguments of ``Module.to``."""

from __future__ import annotations

import importlib
from typing import Any

from . import _C

__all__ = ["_parse_to"]


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """(device, dtype, non_blocking, memory_format) of a call of ``Module.to``."""
    from .nn.modules.module import _parse_to as parse

    device, dtype, non_blocking, memory_format = parse(args, kwargs)
    return None if device is None else _C.device(device), dtype, non_blocking, memory_format


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("ccdl.nn.functional"), name)
