"""Training over several processes is not implemented: :func:`is_available` says so, and calls are an error.

Code that asks first (``if dist.is_available() and dist.is_initialized()``) runs unchanged in one process.
"""

from __future__ import annotations

from typing import Any, NoReturn

from .. import errors

__all__ = [
    "is_available",
    "is_initialized",
    "is_nccl_available",
    "is_gloo_available",
    "is_mpi_available",
    "is_torchelastic_launched",
]

# What scripts import at their top; each is a RuntimeError when called.
_CALLS = frozenset(
    (
        "init_process_group destroy_process_group get_rank get_world_size get_backend barrier all_reduce "
        "all_gather all_gather_object all_gather_into_tensor all_to_all all_to_all_single broadcast "
        "broadcast_object_list gather gather_object reduce reduce_scatter reduce_scatter_tensor scatter "
        "scatter_object_list send recv isend irecv new_group monitored_barrier get_process_group_ranks "
        "TCPStore FileStore HashStore init_device_mesh "
    ).split()
)


def is_available() -> bool:
    """Always False: there is no communication between processes."""
    return False


def is_initialized() -> bool:
    """Always False: there is no process group."""
    return False


def is_nccl_available() -> bool:
    """Always False."""
    return False


def is_gloo_available() -> bool:
    """Always False."""
    return False


def is_mpi_available() -> bool:
    """Always False."""
    return False


def is_torchelastic_launched() -> bool:
    """Always False."""
    return False


class ReduceOp:
    """The names of reductions."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"


class ProcessGroup:
    """Never made: see :func:`is_available`."""


def __getattr__(name: str) -> Any:
    if name in ("nn", "rpc"):
        import importlib

        return importlib.import_module("." + name, __name__)
    if name not in _CALLS:
        raise AttributeError(
            f"module 'ccdl.distributed' has no attribute '{name}': training over several processes is not "
            "implemented"
        )

    def call(*args: Any, **kwargs: Any) -> NoReturn:
        raise errors.RuntimeError(
            f"distributed.{name}: Default process group has not been initialized; training over several "
            "processes is not implemented, ask distributed.is_available() first"
        )

    call.__name__ = call.__qualname__ = name
    return call
