"""Settings of ``torch.*`` that say here what is so anyway: one op at a time, denormals, determinism."""

from __future__ import annotations

from typing import Any

from . import _C, errors

__all__ = [
    "get_deterministic_debug_mode",
    "get_num_interop_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "set_default_tensor_type",
    "set_deterministic_debug_mode",
    "set_flush_denormal",
    "set_num_interop_threads",
]


def set_default_tensor_type(t: Any) -> None:
    """Sets the default dtype from a legacy type such as ``ccdl.DoubleTensor`` or its name."""
    text = t if isinstance(t, str) else getattr(t, "__name__", str(t))
    name = text.rsplit(".", 1)[-1]
    names = {
        "FloatTensor": _C.float32,
        "DoubleTensor": _C.float64,
        "HalfTensor": _C.float16,
        "BFloat16Tensor": _C.bfloat16,
    }
    if name not in names or ".cuda." in text:
        raise errors.TypeError(
            f"set_default_tensor_type: only {', '.join(names)} are supported, got {text!r}; use "
            "set_default_dtype and set_default_device"
        )
    _C.set_default_dtype(names[name])


def set_flush_denormal(mode: bool) -> bool:
    """False: denormal numbers are always kept."""
    return False


def get_num_interop_threads() -> int:
    """1: ops run one after the other."""
    return 1


def set_num_interop_threads(num: int) -> None:
    """Accepted without effect for a positive number."""
    if num < 1:
        raise errors.RuntimeError(f"set_num_interop_threads: expects a positive number, got {num}")


_deterministic_warn_only = False


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What :func:`ccdl.use_deterministic_algorithms` was told last; there is nothing to warn of."""
    return _deterministic_warn_only


_deterministic_debug_mode = 0


def get_deterministic_debug_mode() -> int:
    """What :func:`set_deterministic_debug_mode` was told last; 0 at first."""
    return _deterministic_debug_mode


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Accepted without effect: every op is deterministic.

    Args:
        debug_mode: 0 or ``"default"``, 1 or ``"warn"``, 2 or ``"error"``.

    Raises:
        RuntimeError: another value.
    """
    global _deterministic_debug_mode
    names = {"default": 0, "warn": 1, "error": 2}
    if isinstance(debug_mode, bool) or not isinstance(debug_mode, (int, str)):
        raise errors.TypeError(f"debug_mode must be str or int, but got {type(debug_mode).__name__}")
    mode = names.get(debug_mode, -1) if isinstance(debug_mode, str) else debug_mode
    if mode not in names.values():
        raise errors.RuntimeError(
            "invalid value of debug_mode, expected one of 0, 1, 2, 'default', 'warn', 'error', got "
            f"{debug_mode!r}"
        )
    _deterministic_debug_mode = mode
