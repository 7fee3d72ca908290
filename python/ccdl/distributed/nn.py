"""Collective calls that carry gradients; like all of :mod:`ccdl.distributed`, an error when called."""

from __future__ import annotations

from typing import Any

_CALLS = frozenset(
    "all_gather all_reduce all_to_all broadcast gather reduce reduce_scatter scatter".split()
)


def __getattr__(name: str) -> Any:
    if name in _CALLS:
        from .. import distributed

        return getattr(distributed, name)
    raise AttributeError(f"module 'ccdl.distributed.nn' has no attribute '{name}'")
