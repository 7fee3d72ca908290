"""Windows of signals: symmetric by default, one period of a longer one with ``sym=False``.

All take ``M``, the number of points, and the keywords ``sym``, ``dtype`` (float32 or float64), ``layout``,
``device`` and ``requires_grad``. They are computed in float64 and rounded once. A negative ``M``, another
dtype or a parameter outside its domain is a ValueError. Source: F. J. Harris, On the use of windows for
harmonic analysis, 1978.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from .. import _C, errors
from .._C import Tensor

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _window(name: str, M: int, sym: bool, formula: Callable[[Tensor, int], Tensor], options: Any) -> Tensor:
    """``formula(n, N)`` of the points n = 0 ... M - 1, where N is M - 1 when symmetric and M otherwise."""
    dtype, layout, device, requires_grad = options
    dtype = _C.get_default_dtype() if dtype is None else dtype
    if not isinstance(M, int):
        raise errors.TypeError(f"{name}: M must be an int, got {type(M).__name__}")
    if M < 0:
        raise errors.ValueError(f"{name}: requires non-negative window length, got M={M}")
    if layout is not None and str(layout).rpartition(".")[2] != "strided":
        raise errors.ValueError(f"{name}: is implemented for strided tensors only, got {layout}")
    if dtype not in (_C.float32, _C.float64):
        raise errors.ValueError(f"{name}: expects float32 or float64 dtypes, got {dtype}")
    if M < 2:
        window = _C.ones(M, dtype=dtype, device=device)
    else:
        n = _C.arange(M, dtype=_C.float64, device=device)
        window = formula(n, M - 1 if sym else M).to(dtype)
    return window.requires_grad_(requires_grad)


def general_cosine(
    M: int,
    *,
    a: Iterable[float],
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``sum_i (-1)^i a_i cos(2 pi i n / N)``, N = M - 1 (or M with ``sym=False``).

    >>> import ccdl
    >>> ccdl.signal.windows.general_cosine(5, a=[0.46, 0.23, 0.31])
    tensor([0.5400, 0.1500, 1.0000, 0.1500, 0.5400])
    """
    if not isinstance(a, Iterable):
        raise errors.TypeError(f"general_cosine: Coefficients must be a list/tuple, got {type(a).__name__}")
    terms = [float(x) for x in a]
    if not terms:
        raise errors.ValueError("general_cosine: Coefficients cannot be empty")

    def formula(n: Tensor, period: int) -> Tensor:
        angle = n * (2 * math.pi / period)
        return sum(((-1) ** i * x * (angle * i).cos() for i, x in enumerate(terms)), start=n * 0)

    return _window("general_cosine", M, sym, formula, (dtype, layout, device, requires_grad))


def general_hamming(M: int, *, alpha: float = 0.54, **options: Any) -> Tensor:
    """``alpha - (1 - alpha) cos(2 pi n / N)``.

    >>> import ccdl
    >>> ccdl.signal.windows.general_hamming(5, alpha=0.7)
    tensor([0.4000, 0.7000, 1.0000, 0.7000, 0.4000])
    """
    return general_cosine(M, a=[alpha, 1.0 - alpha], **options)


def hamming(M: int, **options: Any) -> Tensor:
    """``0.54 - 0.46 cos(2 pi n / N)``.

    >>> import ccdl
    >>> ccdl.signal.windows.hamming(5)
    tensor([0.0800, 0.5400, 1.0000, 0.5400, 0.0800])
    """
    return general_hamming(M, **options)


def hann(M: int, **options: Any) -> Tensor:
    """``0.5 - 0.5 cos(2 pi n / N)``.

    >>> import ccdl
    >>> ccdl.signal.windows.hann(4, sym=False)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return general_hamming(M, alpha=0.5, **options)


def blackman(M: int, **options: Any) -> Tensor:
    """``0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)``.

    >>> import ccdl
    >>> ccdl.signal.windows.blackman(5)[1:4]
    tensor([0.3400, 1.0000, 0.3400])
    """
    return general_cosine(M, a=[0.42, 0.5, 0.08], **options)


def nuttall(M: int, **options: Any) -> Tensor:
    """The cosine window of coefficients 0.3635819, 0.4891775, 0.1365995, 0.0106411 (Nuttall, 1981).

    >>> import ccdl
    >>> ccdl.signal.windows.nuttall(5)
    tensor([3.6280e-04, 2.2698e-01, 1.0000e+00, 2.2698e-01, 3.6280e-04])
    """
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], **options)


def bartlett(
    M: int,
    *,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The triangle ``1 - |2 n / N - 1|``.

    >>> import ccdl
    >>> ccdl.signal.windows.bartlett(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """

    def formula(n: Tensor, period: int) -> Tensor:
        return 1 - (n * 2 / period - 1).abs()

    return _window("bartlett", M, sym, formula, (dtype, layout, device, requires_grad))


def cosine(
    M: int,
    *,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``sin(pi (n + 1/2) / (N + 1))``: half a wave, zero just outside.

    >>> import ccdl
    >>> ccdl.signal.windows.cosine(3)
    tensor([0.5000, 1.0000, 0.5000])
    """

    def formula(n: Tensor, period: int) -> Tensor:
        return ((n + 0.5) * (math.pi / (period + 1))).sin()

    return _window("cosine", M, sym, formula, (dtype, layout, device, requires_grad))


def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``exp(-|n - center| / tau)``; ``center`` is N / 2 unless given, which needs ``sym=False``.

    >>> import ccdl
    >>> ccdl.signal.windows.exponential(3)
    tensor([0.3679, 1.0000, 0.3679])
    """
    if tau <= 0:
        raise errors.ValueError(f"exponential: Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise errors.ValueError("exponential: Center must be None for symmetric windows")

    def formula(n: Tensor, period: int) -> Tensor:
        middle = period / 2 if center is None else center
        return ((n - middle).abs() / -tau).exp()

    return _window("exponential", M, sym, formula, (dtype, layout, device, requires_grad))


def gaussian(
    M: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``exp(-((n - N / 2) / std)^2 / 2)``.

    >>> import ccdl
    >>> ccdl.signal.windows.gaussian(3)
    tensor([0.6065, 1.0000, 0.6065])
    """
    if std <= 0:
        raise errors.ValueError(f"gaussian: Standard deviation must be positive, got: {std} instead.")

    def formula(n: Tensor, period: int) -> Tensor:
        return (((n - period / 2) / std).square() * -0.5).exp()

    return _window("gaussian", M, sym, formula, (dtype, layout, device, requires_grad))


def kaiser(
    M: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta)``.

    >>> import ccdl
    >>> ccdl.signal.windows.kaiser(3, beta=2.0)
    tensor([0.4387, 1.0000, 0.4387])
    """
    if beta < 0:
        raise errors.ValueError(f"kaiser: beta must be non-negative, got: {beta} instead.")

    def formula(n: Tensor, period: int) -> Tensor:
        inside = (1 - (n * 2 / period - 1).square()).clamp(min=0)
        return _C.i0(inside.sqrt() * beta) / _C.i0(n.new_tensor(beta))

    return _window("kaiser", M, sym, formula, (dtype, layout, device, requires_grad))
