"""Statistics and limits of the caching allocator of device memory, and pinned host memory's counterpart."""

from typing import Any

from .. import _C
from ..errors import OutOfMemoryError
from .devices import _index

__all__ = [
    "OutOfMemoryError", "empty_cache", "max_memory_allocated", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_reserved", "memory_stats", "memory_summary", "reset_accumulated_memory_stats",
    "reset_max_memory_allocated", "reset_max_memory_cached", "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
]  # fmt: skip

_NONE = dict.fromkeys(
    (
        "allocated_bytes", "reserved_bytes", "peak_allocated_bytes", "peak_reserved_bytes", "allocations",
        "frees", "device_allocations", "device_frees", "num_alloc_retries", "num_ooms", "limit_bytes",
    ),
    0,
)  # fmt: skip


def _stats(name: str, device: Any) -> dict[str, int]:
    if _C._cuda_device_count() == 0:
        return _NONE
    stats: dict[str, int] = _C._cuda_memory_stats(_index(name, device))
    return stats


def memory_stats(device: Any = None) -> dict[str, int]:
    """Figures of the allocator, in bytes and counts, with PyTorch's keys beside.

    ``allocated_bytes`` are in live tensors, ``reserved_bytes`` are held from the driver (live and cached);
    ``num_alloc_retries`` counts requests that had to empty the caches, ``num_ooms`` those that failed.
    """
    s = dict(_stats("memory_stats", device))
    s.update({
        "allocated_bytes.all.current": s["allocated_bytes"],
        "allocated_bytes.all.peak": s["peak_allocated_bytes"],
        "reserved_bytes.all.current": s["reserved_bytes"],
        "reserved_bytes.all.peak": s["peak_reserved_bytes"],
        "allocation.all.allocated": s["allocations"],
        "allocation.all.freed": s["frees"],
        "allocation.all.current": s["allocations"] - s["frees"],
        "segment.all.allocated": s["device_allocations"],
        "segment.all.freed": s["device_frees"],
        "segment.all.current": s["device_allocations"] - s["device_frees"],
    })  # fmt: skip
    return s


def memory_allocated(device: Any = None) -> int:
    """Bytes in live tensors, in steps of 512 per tensor."""
    return _stats("memory_allocated", device)["allocated_bytes"]


def max_memory_allocated(device: Any = None) -> int:
    """Largest number of bytes in live tensors since the start or :func:`reset_peak_memory_stats`."""
    return _stats("max_memory_allocated", device)["peak_allocated_bytes"]


def memory_reserved(device: Any = None) -> int:
    """Bytes held from the driver, live and cached."""
    return _stats("memory_reserved", device)["reserved_bytes"]


def max_memory_reserved(device: Any = None) -> int:
    """Largest number of bytes held from the driver."""
    return _stats("max_memory_reserved", device)["peak_reserved_bytes"]


def reset_peak_memory_stats(device: Any = None) -> None:
    """Peaks start again from what is in use now."""
    if _C._cuda_device_count():
        _C._cuda_reset_peak_memory_stats(_index("reset_peak_memory_stats", device))


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Accepted without effect: counts run from the start of the process."""


def empty_cache() -> None:
    """Gives cached blocks of all devices back to the driver; waits for the devices."""
    _C._cuda_empty_cache()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of a device as the driver sees them."""
    free, total = _C._cuda_memory_info(_index("mem_get_info", device))
    return free, total


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Limits what is held from the driver to a fraction of the device's memory; beyond it requests raise
    OutOfMemoryError.
    """
    if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
        raise ValueError(f"set_per_process_memory_fraction: expected 0 to 1, got {fraction!r}")
    index = _index("set_per_process_memory_fraction", device)
    total = _C._cuda_properties(index)["total_memory"]
    _C._cuda_set_memory_limit(index, 0 if fraction == 1 else max(1, int(fraction * total)))


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The figures of :func:`memory_stats` as a table."""
    s = _stats("memory_summary", device)
    rows = (
        ("in live tensors", s["allocated_bytes"], s["peak_allocated_bytes"]),
        ("held from the driver", s["reserved_bytes"], s["peak_reserved_bytes"]),
    )
    text = f"{'CUDA memory':<24}{'now':>16}{'peak':>16}\n"
    for name, now, peak in rows:
        text += f"{name:<24}{now / 2**20:>12.1f} MiB{peak / 2**20:>12.1f} MiB\n"
    limit = f"{s['limit_bytes'] / 2**20:.1f} MiB" if s["limit_bytes"] else "none"
    return text + (
        f"limit {limit}; {s['allocations']} allocations, {s['frees']} frees; "
        f"{s['device_allocations']} blocks from the driver, {s['device_frees']} given back; "
        f"{s['num_alloc_retries']} retries, {s['num_ooms']} out of memory\n"
    )
