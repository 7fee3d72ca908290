"""The global generator, under PyTorch's module name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import _C

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]

manual_seed = _C.manual_seed
initial_seed = _C.initial_seed
get_rng_state = _C.get_rng_state
set_rng_state = _C.set_rng_state
seed = getattr(_C, "seed", None)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **ignored: Any) -> Iterator[Any]:
    """Leaves the global generator at exit as it was at entry."""
    if not enabled:
        yield
        return
    state = _C.get_rng_state()
    try:
        yield
    finally:
        _C.set_rng_state(state)
