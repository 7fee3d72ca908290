"""CUDA devices. This build has none: queries answer so, everything that needs a device raises a clear
error.
"""

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "init",
    "is_available",
    "is_emulated",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "set_device",
    "synchronize",
]


def is_available():
    """Whether a CUDA device can be used: False in a build without CUDA.

    >>> import ccdl
    >>> ccdl.cuda.is_available()
    False
    """
    return False


def is_emulated():
    """Whether device ``cuda`` is the emulator that runs CUDA kernels on the CPU."""
    return False


def is_initialized():
    """Whether a CUDA context exists."""
    return False


def device_count():
    """Number of CUDA devices."""
    return 0


def manual_seed(seed):
    """Accepted without effect: there is no device generator to seed."""


def manual_seed_all(seed):
    """Accepted without effect: there is no device generator to seed."""


def empty_cache():
    """Accepted without effect: there is no device memory."""


def memory_allocated(device=None):
    """Bytes of device memory in use: 0."""
    return 0


def max_memory_allocated(device=None):
    """Largest number of bytes of device memory in use so far: 0."""
    return 0


def _absent(name):
    raise RuntimeError(f"ccdl.cuda.{name}: this build of ccdl has no CUDA device; use device='cpu'")


def init():
    """Raises: no device."""
    _absent("init")


def current_device():
    """Raises: no device."""
    _absent("current_device")


def set_device(device):
    """Raises: no device."""
    _absent("set_device")


def get_device_name(device=None):
    """Raises: no device."""
    _absent("get_device_name")


def synchronize(device=None):
    """Raises: no device."""
    _absent("synchronize")
