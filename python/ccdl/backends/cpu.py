"""The processor."""

from __future__ import annotations

from typing import Any

from .. import _C

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> Any:
    """The instruction-set level whose kernels run."""
    return _C._isa_level()
