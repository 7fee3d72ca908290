"""Special functions under PyTorch's names (``torch.special``)."""

from __future__ import annotations

from typing import Any

from . import _C
from ._C import Tensor
from ._checks import check_tensors
from ._contractions import _write

__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
]

digamma = psi = _C.digamma
erf = _C.erf
erfc = _C.erfc
erfinv = _C.erfinv
exp2 = _C.exp2
expit = _C.sigmoid
expm1 = _C.expm1
gammaln = _C.lgamma
i0 = _C.i0
log1p = _C.log1p
logit = _C.logit
logsumexp = _C.logsumexp
multigammaln = _C.mvlgamma
polygamma = _C.polygamma
round = _C.round
sinc = _C.sinc
gammainc = _C.igamma
gammaincc = _C.igammac
xlogy = _C.xlogy


def __getattr__(name: str) -> Any:
    hint = ": Bessel functions other than i0, i0e, i1, i1e and orthogonal polynomials are not implemented"
    wanted = ("bessel", "polynomial", "airy")
    raise AttributeError(
        f"module 'ccdl.special' has no attribute '{name}'{hint if any(w in name for w in wanted) else ''}"
    )


def _out(out: Tensor | None, result: Tensor) -> Tensor:
    return result if out is None else _write(out, result)


def i0e(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``exp(-|x|) I_0(x)``, the modified Bessel function of order 0, scaled."""
    return _out(out, _C._special_i0e(input))


def i1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``I_1(x)``, the modified Bessel function of order 1."""
    return _out(out, _C._special_i1(input))


def i1e(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``exp(-|x|) I_1(x)``."""
    return _out(out, _C._special_i1e(input))


def erfcx(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``exp(x^2) erfc(x)``, finite where erfc underflows.

    >>> import ccdl
    >>> ccdl.special.erfcx(ccdl.tensor(100.0))
    tensor(0.0056)
    """
    return _out(out, _C._special_erfcx(input))


def ndtr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The cumulative distribution function of the standard normal distribution."""
    return _out(out, _C._special_ndtr(input))


def ndtri(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of :func:`ndtr`.

    >>> import ccdl
    >>> ccdl.special.ndtri(ccdl.tensor(0.975))
    tensor(1.9600)
    """
    return _out(out, _C._special_ndtri(input))


def log_ndtr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``log(ndtr(x))``, exact in the lower tail."""
    return _out(out, _C._special_log_ndtr(input))


def entr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``-x log x``, 0 at 0 and -inf below: summed over probabilities, the entropy.

    >>> import ccdl
    >>> ccdl.special.entr(ccdl.tensor([0.5, 0.5])).sum()
    tensor(0.6931)
    """
    return _out(out, _C._special_entr(input))


def zeta(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """Hurwitz's zeta function ``sum over k >= 0 of (other + k)^-input``; differentiable by ``other``.

    >>> import ccdl
    >>> ccdl.special.zeta(ccdl.tensor(2.0), 1.0)
    tensor(1.6449)
    """
    return _out(out, _C._special_zeta(input, other))


def xlog1py(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``input log(1 + other)``, 0 where ``input`` is 0 (NaN where ``other`` is)."""
    return _out(out, _C._special_xlog1py(input, other))


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Alias of :func:`ccdl.softmax`."""
    return _C.softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Alias of :func:`ccdl.log_softmax`."""
    return _C.log_softmax(input, dim, dtype=dtype)


__test__ = check_tensors(globals(), __all__, "special.")
