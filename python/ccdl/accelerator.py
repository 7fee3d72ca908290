"""The device that is not the CPU, asked for without naming its kind: a CUDA device, or none."""

from __future__ import annotations

from typing import Any

from . import _C, cuda, errors

__all__ = [
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "device_index",
    "empty_cache",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "set_device_idx",
    "set_device_index",
    "set_stream",
    "synchronize",
]


def is_available() -> bool:
    """Whether there is a CUDA device.

    >>> import ccdl
    >>> ccdl.accelerator.is_available() == ccdl.cuda.is_available()
    True
    """
    return cuda.is_available()


def device_count() -> int:
    """How many CUDA devices there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> _C.device | None:
    """``device('cuda')`` where there is one, else None; with or without ``check_available``.

    >>> import ccdl
    >>> accelerator = ccdl.accelerator.current_accelerator()
    >>> (accelerator is not None) == ccdl.accelerator.is_available()
    True
    """
    return _C.device("cuda") if cuda.is_available() else None


def _index(device: Any, name: str) -> Any:
    if device is None or isinstance(device, int):
        return device
    device = _C.device(device)
    if device.type != "cuda":
        raise errors.ValueError(
            f"{name}: device is {str(device)!r}, which is no accelerator; give a cuda device"
        )
    return device.index


def current_device_index() -> int:
    """The index of the current CUDA device; RuntimeError where there is none."""
    return cuda.current_device()


def set_device_index(device: Any, /) -> None:
    """Makes an index, or a device, the current one."""
    index = _index(device, "accelerator.set_device_index")
    if index is not None:
        cuda.set_device(index)


def current_stream(device: Any = None, /) -> Any:
    """The stream that kernels of a device are queued on."""
    return cuda.current_stream(_index(device, "accelerator.current_stream"))


def set_stream(stream: Any) -> None:
    """Makes ``stream`` the current one."""
    cuda.set_stream(stream)


def synchronize(device: Any = None, /) -> None:
    """Waits for all kernels of a device; RuntimeError where there is none."""
    cuda.synchronize(_index(device, "accelerator.synchronize"))


def empty_cache() -> None:
    """Gives unused device memory back; accepted without effect where there is no device."""
    cuda.empty_cache()


def memory_allocated(device: Any = None, /) -> int:
    """Bytes that tensors of a device hold."""
    return cuda.memory_allocated(_index(device, "accelerator.memory_allocated"))


def max_memory_allocated(device: Any = None, /) -> int:
    """The most bytes that tensors of a device have held."""
    return cuda.max_memory_allocated(_index(device, "accelerator.max_memory_allocated"))


class device_index:
    """Makes a device current within a ``with`` block; ``device_index(None)`` changes nothing."""

    def __init__(self, device: int | None, /) -> None:
        self._device = device
        self._before: int | None = None

    def __enter__(self) -> None:
        if self._device is not None:
            self._before = cuda.current_device()
            cuda.set_device(self._device)

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            cuda.set_device(self._before)


current_device_idx = current_device_index
set_device_idx = set_device_index
