"""Discrete Fourier transforms along a dimension: on the CPU by the kernels of csrc/ccdl/kernels/fft.h, on a
CUDA device as few products with real matrices that act on pairs (real, imaginary).

Short lines take one product, n = a b up to 2048 two (Cooley and Tukey, 1965): the first, a matrix for each
residue modulo b, also turns by the roots of order n. Half spectra of real numbers never meet their mirrored
half. Longer lines multiply by the turns in a pass of its own. The roots are computed in float64 from exact
residues; matrices are kept.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from . import _C
from ._C import Tensor

__all__ = ["along", "transform"]

_DENSE = 64  # up to this length one product; 256 with real numbers on one side, or of primes
_SPLIT = 2048  # up to this length matrices that turn by the roots of order n


def along(x: Tensor, kind: str, n: int, dim: int, plus: bool, factor: float) -> Tensor:
    """factor * sum_j x[j] exp(+-2 pi i j k / n) along ``dim``, counted without the last dimension of pairs.

    kind: "whole", pairs [.., 2] to n pairs; "half", real numbers to n // 2 + 1 pairs; "real", n // 2 + 1
    pairs to n real numbers; "mirrored", real numbers to n pairs. Lines are cut or filled with zeros.
    """
    half = n // 2 + 1
    if x.device.type == "cpu":
        number = ("whole", "half", "real", "mirrored").index(kind)
        return _C._fft(x, number, n, dim, half if kind == "half" else n, plus, factor)
    t = x.unsqueeze(-1) if kind in ("half", "mirrored") else x
    t = t.transpose(dim, -2)
    count = half if kind == "real" else n
    length = t.shape[-2]
    if count < length:
        t = t.narrow(-2, 0, count)
    elif count > length:
        t = _C.cat([t, t.new_zeros(*t.shape[:-2], count - length, t.shape[-1])], -2)
    out = "whole" if kind == "mirrored" else kind
    y = transform(t, n, 1 if plus else -1, factor, half=kind == "real", out=out)
    last = -1 if kind == "real" else -2
    return (y if dim == y.dim() + last else y.transpose(dim, last)).contiguous()


def _roots(residues: Tensor, n: int, sign: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of exp(sign 2 pi i r / n); the latter is exactly 0 where it should be."""
    r = residues % n
    angle = r.to(_C.float64) * (sign * 2 * math.pi / n)
    return angle.cos(), angle.sin().masked_fill(2 * r % n == 0, 0.0)


def _integers(n: int) -> Tensor:
    return _C.arange(n, dtype=_C.int64, device="cpu")


def _paired(c: Tensor, s: Tensor, real: bool, out: str) -> Tensor:
    """Matrices of roots as real ones: a row for each part of the input, a column for each of the output."""
    m = c if out == "real" else _C.stack([c, s], -1).flatten(-2)
    if not real:
        m = _C.stack([m, -s if out == "real" else _C.stack([-s, c], -1).flatten(-2)], -2).flatten(-3, -2)
    return m


def _kept(build: Any) -> Any:
    """Matrices made once for each dtype: on the CPU, without history, fit for training whoever asks first."""

    @functools.lru_cache(maxsize=16)
    def made(*key: Any, dtype: Any) -> tuple[Tensor, ...]:
        from .autograd import inference_mode

        with inference_mode(False):
            return tuple(m.to(dtype).contiguous() for m in build(*key))

    return made


def _weights(half: bool, n: int, c: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of a half spectrum stand for their mirror images, too, but for the first and the middle one."""
    if not half:
        return c, s
    j = _integers(n // 2 + 1)
    w = _C.where((j == 0) | (2 * j == n), 1.0, 2.0).to(_C.float64).unsqueeze(1)
    return c * w, s * w


@_kept
def _dense(n: int, sign: int, factor: float, real: bool, half: bool, out: str) -> list[Tensor]:
    rows, columns = _integers(n // 2 + 1 if half else n), _integers(n // 2 + 1 if out == "half" else n)
    c, s = _weights(half, n, *_roots(rows.unsqueeze(1) * columns, n, sign))
    return [_paired(c * factor, s * factor, real, out)]


@_kept
def _split(a: int, b: int, sign: int, factor: float, real: bool, half: bool, out: str) -> list[Tensor]:
    """[b, in, 2 a] over p of x[p b + q], turned; [2 b, out] over q. Output k2 a + k1."""
    n = a * b
    j = _integers(n)
    c, s = _roots(j.unsqueeze(1) * _integers(a), n, sign)
    if half:
        fill = _C.zeros(n - n // 2 - 1, a, dtype=_C.float64, device="cpu")
        c, s = (_C.cat([t, fill]) for t in _weights(True, n, c[: n // 2 + 1], s[: n // 2 + 1]))
    rows = -(-(n // 2 + 1) // b) if half else a
    c, s = (t.view(a, b, a)[:rows].transpose(0, 1) for t in (c, s))
    first = _paired(c, s, real, "whole")
    columns = _integers(b // 2 + 1 if out == "half" else b)
    c, s = _roots(_integers(b).unsqueeze(1) * columns, b, sign)
    return [first, _paired(c * factor, s * factor, False, "real" if out == "real" else "whole")]


def _divisor(n: int) -> int:
    """The largest divisor of ``n`` up to its root; 1 for a prime."""
    return next(d for d in range(math.isqrt(n), 0, -1) if n % d == 0)


def transform(x: Tensor, n: int, sign: int, factor: float, half: bool = False, out: str = "whole") -> Tensor:
    """factor * sum_j x[j] exp(sign 2 pi i j k / n) of each line.

    x: pairs [.., n, 2], of real numbers [.., n, 1]; with half=True the first n // 2 + 1 pairs of a spectrum
    whose others are their conjugates. out: "whole" [.., n, 2], "half" [.., n // 2 + 1, 2], "real" [.., n].
    """
    if _C.is_autocast_enabled(x.device.type):
        from .amp import autocast

        with autocast(x.device.type, enabled=False):
            return transform(x, n, sign, factor, half, out)
    real = x.shape[-1] == 1
    a = _divisor(n)
    b = n // a
    if n <= (4 * _DENSE if real or out == "real" or a == 1 else _DENSE):
        (m,) = _dense(n, sign, factor, real, half, out, dtype=x.dtype)
        y = x.flatten(-2) @ m.to(x.device)
        return y if out == "real" else y.unflatten(-1, (-1, 2))
    if n > _SPLIT or b > 2 * _DENSE:
        return _long(x, n, sign, factor, half, out)
    first, second = (m.to(x.device) for m in _split(a, b, sign, factor, real, half, out, dtype=x.dtype))
    lead, parts, rows = x.shape[:-2], x.shape[-1], first.shape[1] // x.shape[-1]
    lines = math.prod(lead)
    if half:
        x = _C.cat([x, x.new_zeros(*lead, rows * b - x.shape[-2], parts)], -2)
    y = x.reshape(lines, rows, b, parts).permute(2, 0, 1, 3).flatten(2) @ first
    y = y.view(b, lines, a, 2).permute(1, 2, 0, 3).reshape(lines, a, 2 * b) @ second
    if out == "real":
        return y.transpose(1, 2).reshape(*lead, n)
    columns = second.shape[1] // 2
    y = y.view(lines, a, columns, 2).transpose(1, 2).reshape(*lead, columns * a, 2)
    return y.narrow(-2, 0, n // 2 + 1) if out == "half" else y


def _long(x: Tensor, n: int, sign: int, factor: float, half: bool, out: str) -> Tensor:
    """The transform of a length without matrices that are kept."""
    like: dict[str, Any] = {"dtype": x.dtype, "device": x.device}
    if half:
        ones = _C.ones(n // 2 + 1, 1, dtype=_C.float64, device="cpu")
        w = _weights(True, n, ones, ones)[0].to(**like)
        x = _C.cat([x * w, x.new_zeros(*x.shape[:-2], n - n // 2 - 1, x.shape[-1])], -2)
    a = _divisor(n)
    if a == 1:
        c, s = (t.to(**like) for t in _roots(_integers(n).unsqueeze(1) * _integers(n), n, sign))
        y = _turned(x, lambda t: t @ c, lambda t: t @ s)
    else:
        y = transform(x.unflatten(-2, (a, n // a)).transpose(-2, -3), a, sign, 1.0)
        j = _integers(n // a).unsqueeze(1) * _integers(a)
        c, s = (t.to(**like) for t in _roots(j, n, sign))
        y = _turned(y, lambda t: t * c, lambda t: t * s)
        y = transform(y.transpose(-2, -3), n // a, sign, 1.0).transpose(-2, -3).flatten(-3, -2)
    if out == "real":
        return y[..., 0] * factor
    return (y.narrow(-2, 0, n // 2 + 1) if out == "half" else y) * factor


def _turned(x: Tensor, by_cosines: Any, by_sines: Any) -> Tensor:
    """The complex product of pairs with c + i s."""
    if x.shape[-1] == 1:
        return _C.stack([by_cosines(x[..., 0]), by_sines(x[..., 0])], -1)
    re, im = x[..., 0], x[..., 1]
    return _C.stack([by_cosines(re) - by_sines(im), by_sines(re) + by_cosines(im)], -1)
