"""CUDA build facts, and how float32 matrices are multiplied on a CUDA device."""

from __future__ import annotations

from .. import _C

__all__ = ["is_built", "matmul"]

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
