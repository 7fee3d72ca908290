"""Eigenvalues of general matrices, which are complex; LAPACK's, by way of NumPy."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from .. import _C, errors
from .._C import Tensor
from .._checks import check_tensors, named
from ..autograd import Function
from ._results import all_into, into

__all__ = ["eig", "eigvals"]

_Eig = namedtuple("_Eig", ["eigenvalues", "eigenvectors"])


class _General(Function):
    """A = V diag(L) V^-1. With V^H gV = W and E_jk = conj(L_k - L_j) off the diagonal

        gA = V^-H ((W - V^H V diag(Re diag W)) / E + diag(gL)) V^H

    for vectors of length 1 (Boeddeker et al., "On the computation of complex-valued gradients with
    application to statistically optimum beamforming", 2017, equation 4.77, corrected for the lengths).
    """

    @staticmethod
    def forward(ctx: Any, A: Any) -> Any:
        import numpy

        from .._complex.make import from_data

        host = A.detach().cpu().numpy()
        try:
            values, vectors = numpy.linalg.eig(host)
        except numpy.linalg.LinAlgError as error:
            raise errors.LinAlgError(f"linalg.eig: the algorithm failed to converge ({error})") from error
        kind = _C.complex64 if A.dtype in (_C.float32, _C.complex64) else _C.complex128
        wide = "complex64" if kind is _C.complex64 else "complex128"
        L, V = (from_data("tensor", x.astype(wide), kind, A.device) for x in (values, vectors))
        ctx.real = not A.is_complex()
        ctx.save_for_backward(L, V)
        return L, V

    @staticmethod
    def backward(ctx: Any, gL: Any, gV: Any) -> Any:
        L, V = ctx.saved_tensors
        VH = V.mH
        W = VH @ gV
        lengths = _C.diagonal(W.real, 0, -2, -1)
        inner = W - (VH @ V) * lengths.unsqueeze(-2)
        eye = _C.eye(L.shape[-1], dtype=L.real.dtype, device=L.device)
        E = (L.unsqueeze(-2) - L.unsqueeze(-1)).conj() + eye
        off = inner / E * (1 - eye)
        gA = linalg_solve(VH, (off + gL.unsqueeze(-2) * eye) @ VH)
        return gA.real if ctx.real else gA


def linalg_solve(A: Any, B: Any) -> Any:
    """``A^-1 B`` of complex matrices."""
    return _C._linalg_solve(A, B, True)


def _checked(op: str, A: Any) -> Any:
    if A.dtype not in (_C.float32, _C.float64, _C.complex64, _C.complex128):
        raise errors.DTypeError(
            f"{op}: expected a floating point or complex tensor as input, got {A.dtype}; use .float()"
        )
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise errors.ShapeError(f"{op}: A must be batches of square matrices, got {list(A.shape)}")
    if not bool((A if not A.is_complex() else A.abs()).isfinite().all()):
        raise errors.RuntimeError(f"{op}: torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return A


@named(input="A")
def eig(A: Tensor, *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of general square matrices [..., n, n]: ``A V = V diag(L)``, both complex,
    the vectors of length 1 in columns; in no order, and found on the host.

    The gradient of the vectors is finite where eigenvalues are distinct, and meaningful only for functions
    that do not depend on the vectors' phases.

    Raises:
        RuntimeError: not square, or values that are not finite.

    >>> import ccdl
    >>> ccdl.linalg.eig(ccdl.tensor([[0., 1.], [-1., 0.]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    return all_into(out, _Eig(*_General.apply(_checked("linalg.eig", A))))


@named(input="A")
def eigvals(A: Tensor, *, out: Any = None) -> Any:
    """The eigenvalues of :func:`eig`.

    >>> import ccdl
    >>> ccdl.linalg.eigvals(ccdl.tensor([[2., 0.], [1., 3.]])).abs().max()
    tensor(3.)
    """
    return into(out, _General.apply(_checked("linalg.eigvals", A))[0])


__test__ = check_tensors(globals(), __all__, "linalg.")
