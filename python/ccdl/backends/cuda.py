"""CUDA build facts, and how float32 matrices are multiplied on a CUDA device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .. import _C

__all__ = [
    "cudnn_sdp_enabled",
    "enable_cudnn_sdp",
    "enable_flash_sdp",
    "enable_math_sdp",
    "enable_mem_efficient_sdp",
    "flash_sdp_enabled",
    "is_built",
    "is_flash_attention_available",
    "math_sdp_enabled",
    "matmul",
    "mem_efficient_sdp_enabled",
    "sdp_kernel",
]

_PRECISIONS = ("ieee", "tf32x3", "tf32")


class _Matmul:
    """Switches of matrix products and convolutions on CUDA devices; the CPU always computes in float32.

    ``fp32_precision`` is ``"ieee"`` (float32 arithmetic, the default), ``"tf32"`` (tensor cores, operands
    rounded to 11 bits of mantissa) or ``"tf32x3"`` (tensor cores, three products per term: the accuracy of
    float32). ``allow_tf32`` says the same as PyTorch's flag: True is ``"tf32"``, False is ``"ieee"``. Sums of
    float16 and bfloat16 products are always formed in float32, so the reduced-precision flags have no effect.

    >>> import ccdl
    >>> ccdl.backends.cuda.matmul.fp32_precision
    'ieee'
    """

    allow_fp16_reduced_precision_reduction = False
    allow_bf16_reduced_precision_reduction = False

    @property
    def fp32_precision(self) -> str:
        return _PRECISIONS[_C._matmul_precision()]

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        if value not in _PRECISIONS:
            raise ValueError(f"fp32_precision: expected one of {', '.join(_PRECISIONS)}, got {value!r}")
        _C._set_matmul_precision(_PRECISIONS.index(value))

    @property
    def allow_tf32(self) -> bool:
        return self.fp32_precision == "tf32"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        self.fp32_precision = "tf32" if value else "ieee"


matmul = _Matmul()


def is_built() -> bool:
    """Whether this build has CUDA kernels."""
    return _C._cuda_is_built()


# Attention has one implementation, which never holds the matrix of scores; PyTorch's switches are remembered
# and have no effect.
_sdp = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def enable_flash_sdp(enabled: bool) -> None:
    """Accepted without effect."""
    _sdp["flash"] = bool(enabled)


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Accepted without effect."""
    _sdp["mem_efficient"] = bool(enabled)


def enable_math_sdp(enabled: bool) -> None:
    """Accepted without effect."""
    _sdp["math"] = bool(enabled)


def enable_cudnn_sdp(enabled: bool) -> None:
    """Accepted without effect."""
    _sdp["cudnn"] = bool(enabled)


def flash_sdp_enabled() -> bool:
    """What was last set."""
    return _sdp["flash"]


def mem_efficient_sdp_enabled() -> bool:
    """What was last set."""
    return _sdp["mem_efficient"]


def math_sdp_enabled() -> bool:
    """What was last set."""
    return _sdp["math"]


def cudnn_sdp_enabled() -> bool:
    """What was last set."""
    return _sdp["cudnn"]


def is_flash_attention_available() -> bool:
    """True: ccdl's attention is of that kind on every device."""
    return True


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[Any]:
    """Accepted without effect; the switches hold inside the block.

    >>> import ccdl
    >>> with ccdl.backends.cuda.sdp_kernel(enable_math=False):
    ...     ccdl.backends.cuda.math_sdp_enabled()
    False
    """
    before = dict(_sdp)
    _sdp.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield {}
    finally:
        _sdp.update(before)
