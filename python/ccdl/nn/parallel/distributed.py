"""The wrapper for training over several processes, which ccdl does not have."""

from __future__ import annotations

from typing import Any

from ... import errors
from ..modules.module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """Needs several processes, which ccdl does not have: making one is a RuntimeError."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        raise errors.RuntimeError(
            "DistributedDataParallel: Default process group has not been initialized; training over several "
            "processes is not implemented, use the module itself"
        )
