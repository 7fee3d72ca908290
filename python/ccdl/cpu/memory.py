"""Statistics and limits of the allocator of CPU tensors."""

from __future__ import annotations

from typing import Any

from .. import _C

__all__ = [
    "empty_cache", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_limit",
    "memory_reserved", "memory_stats", "memory_summary", "reset_peak_memory_stats", "set_memory_limit",
]  # fmt: skip


def memory_stats(device: Any = None) -> Any:
    """Figures of the allocator, in bytes and counts.

    ``allocated_bytes`` are in live blocks, ``reserved_bytes`` are held from the system (live and cached), the
    peaks are those since the start or :func:`reset_peak_memory_stats`; ``system_allocations`` counts what no
    cache served.

    >>> import ccdl
    >>> sorted(ccdl.cpu.memory_stats())[:3]
    ['allocated_bytes', 'allocations', 'frees']
    """
    return _C._memory_stats()


def memory_allocated(device: Any = None) -> Any:
    """Bytes in live blocks."""
    return _C._memory_stats()["allocated_bytes"]


def max_memory_allocated(device: Any = None) -> Any:
    """Largest number of bytes in live blocks, exact to 1 MiB per thread."""
    return _C._memory_stats()["peak_allocated_bytes"]


def memory_reserved(device: Any = None) -> Any:
    """Bytes held from the system: live blocks and cached ones."""
    return _C._memory_stats()["reserved_bytes"]


def max_memory_reserved(device: Any = None) -> Any:
    """Largest number of bytes held from the system."""
    return _C._memory_stats()["peak_reserved_bytes"]


def reset_peak_memory_stats(device: Any = None) -> None:
    """Starts the peaks again from what is in use now."""
    _C._reset_peak_memory_stats()


def empty_cache() -> None:
    """Gives cached blocks back to the system: the shared ones and those of the calling thread."""
    _C._empty_cache()


def set_memory_limit(bytes: Any) -> None:
    """Limits what tensors may take from the system; 0 returns to the default.

    The default is ``CCDL_MEMORY_LIMIT`` (bytes) or the machine's limit.

    A request that does not fit raises :class:`MemoryError` before anything is mapped.

    >>> import ccdl
    >>> ccdl.cpu.set_memory_limit(ccdl.cpu.memory_reserved() + 10_000_000)
    >>> ccdl.empty(1_000_000_000)
    Traceback (most recent call last):
    ...
    ccdl.errors.OutOfMemoryError: ...
    >>> ccdl.cpu.set_memory_limit(0)
    """
    _C._set_memory_limit(bytes)


def memory_limit() -> Any:
    """The limit in bytes."""
    return _C._memory_limit()


def memory_summary(device: Any = None, abbreviated: bool = False) -> Any:
    """The statistics as a small table."""
    stats = _C._memory_stats()
    rows = [
        f"{name.removesuffix('_bytes').replace('_', ' '):<20}{value:>18,}" for name, value in stats.items()
    ]
    return "\n".join(["CPU memory (bytes and counts)", *rows])
