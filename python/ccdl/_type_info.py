"""Limits of the element types: ``finfo`` and ``iinfo``."""

from __future__ import annotations

from typing import Any

from . import _C

__all__ = ["finfo", "iinfo"]

# name -> (bits, mantissa bits stored, largest exponent)
_FLOATS = {
    "float16": (16, 10, 15),
    "bfloat16": (16, 7, 127),
    "float32": (32, 23, 127),
    "float64": (64, 52, 1023),
}
# 8-bit formats, no tensor's dtype: name -> (eps, max, min, smallest normal); from the mantissa bits and
# exponents of the OCP 8-bit floating point and microscaling specifications and of their "fnuz" variants.
_EIGHT_BIT = {
    "float8_e4m3fn": (2.0**-3, 448.0, -448.0, 2.0**-6),
    "float8_e5m2": (2.0**-2, 57344.0, -57344.0, 2.0**-14),
    "float8_e4m3fnuz": (2.0**-3, 240.0, -240.0, 2.0**-7),
    "float8_e5m2fnuz": (2.0**-3, 57344.0, -57344.0, 2.0**-15),
    "float8_e8m0fnu": (1.0, 2.0**127, 2.0**-127, 2.0**-127),
}
_INTS = {
    "uint16": (16, False),
    "uint32": (32, False),
    "uint64": (64, False),
    "uint8": (8, False),
    "int8": (8, True),
    "int16": (16, True),
    "int32": (32, True),
    "int64": (64, True),
}


def _name(dtype):
    return str(dtype).rsplit(".", 1)[-1]


class finfo:
    """Limits of a floating dtype: ``bits, eps, max, min, tiny, smallest_normal, resolution, dtype``.

    >>> import ccdl
    >>> ccdl.finfo(ccdl.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: Any = None) -> None:
        type = _C.get_default_dtype() if type is None else type
        self.dtype = _name(type)
        if self.dtype in _EIGHT_BIT:
            self.bits, self.resolution = 8, 1.0
            self.eps, self.max, self.min, self.tiny = _EIGHT_BIT[self.dtype]
            self.smallest_normal = self.tiny
            return
        if self.dtype not in _FLOATS:
            raise TypeError(f"finfo: type is {type}, must be a floating dtype; use ccdl.iinfo for integers")
        self.bits, digits, exponent = _FLOATS[self.dtype]
        self.eps = 2.0**-digits
        self.max = (2.0 - 2.0**-digits) * 2.0**exponent
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0 ** (1 - exponent)
        self.resolution = 10.0 ** -int(digits * 0.30102999566398120)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype: ``bits, max, min, dtype``.

    >>> import ccdl
    >>> ccdl.iinfo(ccdl.int8).max
    127
    """

    def __init__(self, type: Any) -> None:
        self.dtype = _name(type)
        if self.dtype not in _INTS:
            raise TypeError(
                f"iinfo: type is {type}, must be an integer dtype; use ccdl.finfo for floating types"
            )
        self.bits, signed = _INTS[self.dtype]
        self.max = 2 ** (self.bits - signed) - 1
        self.min = -(2 ** (self.bits - 1)) if signed else 0

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
