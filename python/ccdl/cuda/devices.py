"""Devices: how many, which one is current, and what they are."""

from types import SimpleNamespace
from typing import Any

from .. import _C
from ..errors import DeviceError

__all__ = [
    "current_device", "device", "device_count", "device_of", "get_arch_list", "get_device_capability",
    "get_device_name", "get_device_properties", "init", "is_available", "is_bf16_supported", "is_emulated",
    "is_initialized", "set_device", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether a CUDA device can be used: there is a driver, a GPU, and a build with CUDA (or the emulator).

    >>> import ccdl
    >>> ccdl.cuda.is_available() == (ccdl.cuda.device_count() > 0)
    True
    """
    return _C._cuda_device_count() > 0


def is_emulated() -> bool:
    """Whether device ``cuda`` is the emulator that runs CUDA kernels on the CPU."""
    return _C._cuda_is_emulated()


def is_initialized() -> bool:
    """Whether a device was used by this process."""
    return _C._cuda_is_initialized()


def device_count() -> int:
    """Number of CUDA devices; 0 without driver or GPU."""
    return _C._cuda_device_count()


def _require(name: str) -> None:
    if _C._cuda_device_count() == 0:
        reason = _C._cuda_unavailable_reason()
        raise DeviceError(f"ccdl.cuda.{name}: {reason}")


def _index(name: str, where: Any = None) -> int:
    """The number of a device given as None (the current one), a number, "cuda:1" or a device object."""
    _require(name)
    if where is None:
        return _C._cuda_current_device()
    if isinstance(where, str):
        where = _C.device(where)
    if isinstance(where, _C.device):
        if where.type != "cuda":
            raise ValueError(f"ccdl.cuda.{name}: expected a CUDA device, got '{where}'")
        return _C._cuda_current_device() if where.index is None else where.index
    if isinstance(where, bool) or not hasattr(where, "__index__"):
        raise TypeError(f"ccdl.cuda.{name}: device must be a number, a string or a device, got {where!r}")
    number = int(where)
    if not 0 <= number < _C._cuda_device_count():
        count = _C._cuda_device_count()
        raise DeviceError(f"ccdl.cuda.{name}: device {number} does not exist; devices are 0 to {count - 1}")
    return number


def init() -> None:
    """Initialises the current device now rather than at its first use."""
    _C._cuda_synchronize(_index("init"))


def current_device() -> int:
    """Number of the device that ``"cuda"`` means on this thread."""
    return _index("current_device")


def set_device(device: Any) -> None:
    """Makes ``device`` what ``"cuda"`` means on this thread; -1 leaves it."""
    if device == -1:
        return
    _C._cuda_set_device(_index("set_device", device))


class device:
    """Context in which ``device`` is the current one; None or -1 changes nothing.

    >>> import ccdl
    >>> with ccdl.cuda.device(None):
    ...     pass
    """

    def __init__(self, device: Any) -> None:
        self.idx = -1 if device is None or device == -1 else _index("device", device)
        self.prev_idx = -1

    def __enter__(self) -> "device":
        if self.idx >= 0:
            self.prev_idx = _C._cuda_current_device()
            _C._cuda_set_device(self.idx)
        return self

    def __exit__(self, *exception: Any) -> None:
        if self.idx >= 0:
            _C._cuda_set_device(self.prev_idx)


class device_of(device):
    """Context in which the device of a tensor is the current one."""

    def __init__(self, tensor: _C.Tensor) -> None:
        super().__init__(tensor.device.index if tensor.is_cuda else None)


def synchronize(device: Any = None) -> None:
    """Waits until everything queued on a device is done; raises what kernels reported meanwhile."""
    _C._cuda_synchronize(_index("synchronize", device))


def get_device_properties(device: Any = None) -> SimpleNamespace:
    """``name``, ``major``, ``minor``, ``total_memory``, ``multi_processor_count``, ``L2_cache_size``, ..."""
    return SimpleNamespace(**_C._cuda_properties(_index("get_device_properties", device)))


def get_device_name(device: Any = None) -> str:
    """Name of a device; ``"emulated"`` for the emulator."""
    return str(_C._cuda_properties(_index("get_device_name", device))["name"])


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """(major, minor) compute capability."""
    p = _C._cuda_properties(_index("get_device_capability", device))
    return p["major"], p["minor"]


def get_arch_list() -> list[str]:
    """Compute capabilities of the devices present, as ``["sm_90"]``."""
    found = {
        _C._cuda_properties(i)["major"] * 10 + _C._cuda_properties(i)["minor"] for i in range(device_count())
    }
    return [f"sm_{n}" for n in sorted(found)]


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 runs on the current device: on every one that ccdl supports."""
    return is_available()
