"""Windows of signal processing: raised cosines, triangles, Kaiser's."""

from __future__ import annotations

import math
from typing import Any

from . import _C, errors
from ._C import Tensor

__all__ = [
    "bartlett_window",
    "blackman_window",
    "hamming_window",
    "hann_window",
    "kaiser_window",
]


def _window(length: int, periodic: bool, formula: Any, options: dict[str, Any]) -> Tensor:
    if length < 0:
        raise errors.RuntimeError(f"window: requires non-negative window_length, got window_length={length}")
    dtype = options.get("dtype") or _C.get_default_dtype()
    if not dtype.is_floating_point:
        raise errors.RuntimeError(f"window: expects floating point dtypes, got {dtype}")
    device = options.get("device")
    if length == 0:
        result = _C.empty(0, dtype=dtype, device=device)
    elif length == 1:
        result = _C.ones(1, dtype=dtype, device=device)
    else:
        n = _C.arange(length, dtype=_C.float64, device=device)
        result = formula(n, length if periodic else length - 1).to(dtype)
    return result.requires_grad_(bool(options.get("requires_grad", False)))


def _options(
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> dict[str, Any]:
    return {"dtype": dtype, "device": device, "requires_grad": requires_grad}


def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """``sin^2(pi n / N)`` with N = window_length (periodic) or window_length - 1.

    >>> import ccdl
    >>> ccdl.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return hamming_window(window_length, periodic, 0.5, 0.5, **options)


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, **options: Any
) -> Tensor:
    """``alpha - beta cos(2 pi n / N)``, N as for :func:`hann_window`."""

    def formula(n: Tensor, period: int) -> Tensor:
        return alpha - beta * _C.cos(n * (2 * math.pi / period))

    return _window(window_length, periodic, formula, _options(**options))


def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """``0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)``, N as for :func:`hann_window`."""

    def formula(n: Tensor, period: int) -> Tensor:
        angle = n * (2 * math.pi / period)
        return 0.42 - 0.5 * _C.cos(angle) + 0.08 * _C.cos(2 * angle)

    return _window(window_length, periodic, formula, _options(**options))


def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """``1 - |2 n / N - 1|``, N as for :func:`hann_window`."""
    return _window(
        window_length, periodic, lambda n, period: 1 - (2 * n / period - 1).abs(), _options(**options)
    )


def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any) -> Tensor:
    """``I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta)``, N as for :func:`hann_window`."""

    def formula(n: Tensor, period: int) -> Tensor:
        inside = (1 - (2 * n / period - 1).square()).clamp(min=0)
        return _C.i0(beta * inside.sqrt()) / _C.i0(_C.tensor(beta, dtype=_C.float64, device=n.device))

    return _window(window_length, periodic, formula, _options(**options))
