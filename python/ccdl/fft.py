"""Discrete Fourier transforms over real tensors and :class:`ComplexTensor` pairs, with gradients.

The transforms themselves are in ``_fourier.py``. float32 and float64; under autocast they keep their dtype.
"""

from __future__ import annotations

import math
from typing import Any

from . import _C, errors
from ._C import Tensor
from ._checks import check_tensors, items, number, whole
from ._complex import ComplexTensor, as_complex
from ._fourier import along

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

def _scale(name: str, n: int, norm: str | None, inverse: bool) -> float:
    if not (norm is None or isinstance(norm, str)) or norm not in (None, "backward", "ortho", "forward"):
        raise errors.RuntimeError(f"{name}: Invalid normalization mode: {norm!r}")
    if norm == "ortho":
        return 1 / math.sqrt(n)
    return 1 / n if inverse == (norm != "forward") else 1.0


def _tensor(name: str, x: Any) -> Any:
    """``x``, a real or complex tensor of a dtype that is transformed."""
    if not isinstance(x, Tensor):
        raise errors.TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    if isinstance(x, Tensor) and x.dtype in (_C.float16, _C.bfloat16):
        raise errors.DTypeError(f"{name}: unsupported dtype {x.dtype}; use .float()")
    return x


def _input(name: str, x: Any) -> ComplexTensor:
    return as_complex(_tensor(name, x))


def _real(name: str, x: Any) -> Tensor:
    """Real numbers of a dtype that is transformed; whole numbers become floats."""
    if isinstance(x, Tensor) and x.dtype in (_C.float32, _C.float64):
        return x
    return _input(name, x).real


def _points(name: str, n: Any) -> int:
    """``n``, which must be a length."""
    n = whole(name, "n", n)
    if n < 1:
        raise errors.RuntimeError(f"{name}: Invalid number of data points ({n}) specified")
    return n


def _placed(name: str, x: Any, dim: int) -> int:
    """``dim``, which ``x`` must have."""
    ndim, dim = x.dim(), whole(name, "dim", dim)
    if not ndim or not -ndim <= dim < ndim:
        raise errors.IndexError(f"{name}: Dimension out of range, got {dim} for {ndim} dimensions")
    return dim % ndim


def _one(name: str, x: Any, n: int | None, dim: int, norm: str | None, inverse: bool) -> ComplexTensor:
    is_real = isinstance(x, Tensor) and not x.is_complex()
    t = _real(name, x) if is_real else _input(name, x)._parts
    dim = _placed(name, x, dim)
    n = _points(name, t.shape[dim] if n is None else n)
    kind = "mirrored" if is_real else "whole"
    return ComplexTensor(along(t, kind, n, dim, inverse, _scale(name, n, norm, inverse)))


def fft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> ComplexTensor:
    """X[k] = sum_j x[j] exp(-2 pi i j k / n) along one dimension.

    Args:
        n: length; the input is cut or filled with zeros.
        norm: "backward" (no factor), "ortho" (1/sqrt n) or "forward" (1/n).

    >>> import ccdl
    >>> ccdl.fft.fft(ccdl.tensor([1.0, 0.0, 0.0, 0.0])).real
    tensor([1., 1., 1., 1.])
    """
    return _one("fft", input, n, dim, norm, False)


def ifft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> ComplexTensor:
    """The inverse of :func:`fft`."""
    return _one("ifft", input, n, dim, norm, True)


def _of_real(name: str, x: Any, n: int | None, dim: int, norm: str | None, inverse: bool) -> ComplexTensor:
    """The first n // 2 + 1 values of a transform of real numbers."""
    if isinstance(x, ComplexTensor):
        raise errors.RuntimeError(f"{name} expects a real input tensor, but got a complex one")
    x = _real(name, x)
    dim = _placed(name, x, dim)
    n = _points(name, x.shape[dim] if n is None else n)
    return ComplexTensor(along(x, "half", n, dim, inverse, _scale(name, n, norm, inverse)))


def _to_real(name: str, x: Any, n: int | None, dim: int, norm: str | None, inverse: bool) -> Tensor:
    """The n real numbers whose spectrum begins with ``x``."""
    parts = _input(name, x)._parts
    dim = _placed(name, x, dim)
    n = _points(name, 2 * (parts.shape[dim] - 1) if n is None else n)
    return along(parts, "real", n, dim, inverse, _scale(name, n, norm, inverse))


def rfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> ComplexTensor:
    """The first n // 2 + 1 values of :func:`fft` of real numbers; the others are their conjugates."""
    return _of_real("rfft", input, n, dim, norm, False)


def irfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The real inverse of :func:`rfft`; ``n`` is 2 (length - 1) by default."""
    return _to_real("irfft", input, n, dim, norm, True)


def _dims(name: str, x: Any, s: Any, dim: Any) -> list[tuple[int | None, int]]:
    """(length, dimension) pairs of a transform over several dimensions."""
    count = _tensor(name, x).dim()
    if s is not None:
        s = tuple(whole(name, "s", n) for n in (items(name, "s", s) if not isinstance(s, int) else (s,)))
    if dim is None:
        dim = tuple(range(count)) if s is None else tuple(range(count - len(s), count))
    dim = tuple(whole(name, "dim", d) for d in ((dim,) if isinstance(dim, int) else items(name, "dim", dim)))
    if s is not None and len(s) != len(dim):
        raise errors.RuntimeError(f"{name}: When given, dim and shape must have the same length")
    if len({d % max(count, 1) for d in dim}) != len(dim):
        raise errors.RuntimeError(f"{name}: FFT dims must be unique, got {list(dim)}")
    sizes = [None] * len(dim) if s is None else [None if n == -1 else n for n in s]
    return list(zip(sizes, dim, strict=True))


def _two(name: str, x: Any, s: Any, dim: Any) -> list[tuple[int | None, int]]:
    pairs = _dims(name, x, s, dim)
    if len(pairs) != 2:
        raise errors.RuntimeError(f"{name}: expected two dimensions, got {dim}")
    return pairs


def fftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> ComplexTensor:
    """:func:`fft` over several dimensions, all by default."""
    z = _tensor("fftn", input)
    for n, d in _dims("fftn", z, s, dim):
        z = _one("fftn", z, n, d, norm, False)
    return as_complex(z)


def ifftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> ComplexTensor:
    """The inverse of :func:`fftn`."""
    z = _tensor("ifftn", input)
    for n, d in _dims("ifftn", z, s, dim):
        z = _one("ifftn", z, n, d, norm, True)
    return as_complex(z)


def fft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> ComplexTensor:
    """:func:`fft` over two dimensions."""
    return fftn(input, s, dim, norm)


def ifft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> ComplexTensor:
    """The inverse of :func:`fft2`."""
    return ifftn(input, s, dim, norm)


def rfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> ComplexTensor:
    """:func:`rfft` over the last and :func:`fft` over the first of two dimensions."""
    (m, first), (n, last) = _two("rfft2", input, s, dim)
    return fft(rfft(input, n, last, norm), m, first, norm)


def irfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """The real inverse of :func:`rfft2`."""
    (m, first), (n, last) = _two("irfft2", input, s, dim)
    return irfft(ifft(input, m, first, norm), n, last, norm)


def rfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> ComplexTensor:
    """:func:`rfft` over the last and :func:`fft` over the other of several dimensions, all by default."""
    *others, (n, last) = _dims("rfftn", input, s, dim)
    z = rfft(input, n, last, norm)
    for m, d in others:
        z = fft(z, m, d, norm)
    return z


def irfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The real inverse of :func:`rfftn`; the last length is 2 (length - 1) by default."""
    z = _input("irfftn", input)
    *others, (n, last) = _dims("irfftn", z, s, dim)
    for m, d in others:
        z = ifft(z, m, d, norm)
    return irfft(z, n, last, norm)


def hfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """:func:`fft` of a signal whose second half is the conjugate of the first: real, 2 (length - 1) long."""
    return _to_real("hfft", input, n, dim, norm, False)


def ihfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """The inverse of :func:`hfft`: the first n // 2 + 1 values for real numbers."""
    return _of_real("ihfft", input, n, dim, norm, True)


def hfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """:func:`hfft` over the last and :func:`fft` over the other of several dimensions, all by default.

    >>> import ccdl
    >>> ccdl.fft.hfftn(ccdl.ones(2, 3))
    tensor([[8., 0., 0., 0.],
            [0., 0., 0., 0.]])
    """
    z = _input("hfftn", input)
    *others, (n, last) = _dims("hfftn", z, s, dim)
    for m, d in others:
        z = fft(z, m, d, norm)
    return hfft(z, n, last, norm)


def ihfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> ComplexTensor:
    """The inverse of :func:`hfftn`, of real numbers."""
    *others, (n, last) = _dims("ihfftn", input, s, dim)
    z = ihfft(input, n, last, norm)
    for m, d in others:
        z = ifft(z, m, d, norm)
    return z


def hfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """:func:`hfftn` over two dimensions."""
    return hfftn(input, s, dim, norm)


def ihfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> ComplexTensor:
    """:func:`ihfftn` over two dimensions."""
    return ihfftn(input, s, dim, norm)


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of :func:`fft`: 0, 1, ..., -2, -1 over n d."""
    n, d = whole("fftfreq", "n", n), number("fftfreq", "d", d)
    k = _C.arange(n, dtype=dtype or _C.get_default_dtype(), device=device)
    return _C.where(k < (n + 1) // 2, k, k - n) / (n * d)


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of :func:`rfft`: 0, 1, ..., n // 2 over n d."""
    n, d = whole("rfftfreq", "n", n), number("rfftfreq", "d", d)
    return _C.arange(n // 2 + 1, dtype=dtype or _C.get_default_dtype(), device=device).div_(n * d)


def _shifted(x: Any, dim: Any, by: Any) -> Any:
    if not isinstance(x, Tensor):
        raise errors.TypeError(f"fft.fftshift(): argument 'input' must be Tensor, not {type(x).__name__}")
    dims: Any = range(x.dim())
    if dim is not None:
        dims = (dim,) if isinstance(dim, int) else items("fft.fftshift", "dim", dim)
        dims = [whole("fft.fftshift", "dim", d) for d in dims]
    for d in dims:
        if not -x.dim() <= d < x.dim():
            raise errors.IndexError(
                "fft.fftshift: Dimension out of range (expected to be in range of "
                f"[{-x.dim()}, {x.dim() - 1}], "
                f"but got {d})"
            )
    dims = [d % x.dim() for d in dims]
    steps = [by(x.shape[d]) for d in dims]
    if isinstance(x, ComplexTensor):
        return ComplexTensor(x._parts.roll(steps, dims))
    return x.roll(steps, dims)


def fftshift(input: Any, dim: Any = None) -> Any:
    """Frequency 0 moved to the middle."""
    return _shifted(input, dim, lambda n: n // 2)


def ifftshift(input: Any, dim: Any = None) -> Any:
    """Undoes :func:`fftshift`."""
    return _shifted(input, dim, lambda n: (n + 1) // 2)


__test__ = check_tensors(globals(), __all__, "fft.")
