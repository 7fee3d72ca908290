"""Factorisations: Cholesky, LU, QR, eigenvalues of symmetric matrices, singular values."""

from __future__ import annotations

from typing import Any

from .. import _C, errors
from .._C import Tensor
from .._checks import check_tensors, named
from ._results import all_into, into

__all__ = [
    "cholesky",
    "cholesky_ex",
    "eigh",
    "eigvalsh",
    "householder_product",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "qr",
    "svd",
    "svdvals",
]


@named(input="A")
def cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """Lower triangular ``L`` with ``A = L L^T`` (or upper ``U`` with ``A = U^T U``) of symmetric positive
    definite matrices; only the lower triangle of ``A`` is read.

    Raises:
        LinAlgError: a matrix is not positive definite.

    >>> import ccdl
    >>> ccdl.linalg.cholesky(ccdl.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return into(out, _C.cholesky(A, upper))


@named(input="A")
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """(L, info): as :func:`cholesky`, but a failure is the order of the minor in ``info``, not an error."""
    if check_errors:
        cholesky(A)
    return all_into(out, _C._linalg_cholesky_ex(A, upper))


def _check_pivot(op: str, pivot: bool) -> None:
    if not pivot:
        raise errors.RuntimeError(f"{op}: LU without pivoting is not implemented; use pivot=True")


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(P, L, U) with ``A = P L U``: a permutation, a unit lower and an upper triangular matrix."""
    _check_pivot("linalg.lu", pivot)
    return all_into(out, _C._linalg_lu(A))


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(LU, pivots, info): L below and U on and above the diagonal of one matrix; row i was swapped with row
    ``pivots[i] - 1``; ``info`` i where the i-th diagonal entry of U is 0."""
    _check_pivot("linalg.lu_factor", pivot)
    factors = _C._linalg_lu_factor(A)
    packed, pivots, info = factors
    if check_errors:
        _check_lu(info)
    if A.requires_grad and _C.is_grad_enabled():
        _, low, up = _C._linalg_lu(A)
        m, n = A.shape[-2:]
        wide, tall = max(n - m, 0), max(m - n, 0)
        low = low.tril(-1)
        low = _C.cat([low, low.new_zeros(*low.shape[:-1], wide)], -1) if wide else low
        up = _C.cat([up, up.new_zeros(*up.shape[:-2], tall, up.shape[-1])], -2) if tall else up
        packed = low + up
    return all_into(out, type(factors)((packed, pivots, info)))


def _check_lu(info: Tensor) -> None:
    if not info.any():
        return
    for code in info.reshape(-1).tolist():
        if code:
            raise errors.RuntimeError(
                f"linalg.lu_factor: U[{code},{code}] is zero and using it on lu_solve would result in a "
                "division by zero; use linalg.lu or linalg.lu_factor_ex if that is wanted"
            )


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(LU, pivots) of :func:`lu_factor_ex`; raises where a matrix is singular."""
    packed, pivots, info = lu_factor_ex(A, pivot=pivot)
    _check_lu(info)
    return all_into(out, _LuFactor(packed, pivots))


class _LuFactor(tuple):
    """The result of :func:`lu_factor`, with field names."""

    LU = property(lambda self: self[0])
    pivots = property(lambda self: self[1])

    def __new__(cls, *parts: Tensor) -> Any:
        return super().__new__(cls, parts)


@named(input="A")
def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """(Q, R) with ``A = Q R``, Q with orthonormal columns, R upper triangular, by Householder reflections.

    Args:
        mode: "reduced" (Q has min(m, n) columns), "complete" (Q is square) or "r" (Q is empty).
    """
    return all_into(out, _C._linalg_qr(A, mode))


@named(input="A")
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first n columns of ``H_1 H_2 ... H_k``, ``H_i = I - tau_i v_i v_i^T`` with v_i in column i of ``A``
    [..., m, n] (1 on the diagonal, 0 above), k <= n.

    >>> import ccdl
    >>> ccdl.linalg.householder_product(ccdl.tensor([[1., 0.], [1., 1.]]), ccdl.tensor([1., 0.]))
    tensor([[ 0., -1.],
            [-1.,  0.]])
    """
    if A.dim() < 2 or not tau.dim():
        raise errors.RuntimeError(
            f"linalg.householder_product: A must be [..., m, n] and tau [..., k], got {list(A.shape)} and "
            f"{list(tau.shape)}"
        )
    if tau.dtype != A.dtype:
        raise errors.DTypeError(
            f"linalg.householder_product: tau dtype {tau.dtype} does not match input dtype {A.dtype}"
        )
    m, n = A.shape[-2:]
    if m < n or tau.shape[-1] > n:
        raise errors.RuntimeError(
            f"linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1], "
            f"and that to tau.shape[-1], got {tuple(A.shape)} and {tuple(tau.shape)}"
        )
    if tau.shape[:-1] != A.shape[:-2]:
        raise errors.RuntimeError(
            "linalg.householder_product: Expected batch dimensions of tau to be equal to input.shape[:-2], "
            f"got {tuple(tau.shape)} and {tuple(A.shape)}"
        )
    return into(out, _C._linalg_householder_product(A, tau))


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of symmetric matrices: ``A = V diag(w) V^T``, w ascending, vectors
    in columns.

    Only the triangle that ``UPLO`` names is read. The gradient of the vectors is finite where eigenvalues
    are distinct, and meaningful only for functions that do not depend on the vectors' signs.

    >>> import ccdl
    >>> ccdl.linalg.eigh(ccdl.tensor([[2., 1.], [1., 2.]]))[0]
    tensor([1., 3.])
    """
    return all_into(out, _C._linalg_eigh(A, UPLO))


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of :func:`eigh`."""
    return into(out, _C._linalg_eigvalsh(A, UPLO))


@named(input="A")
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """(U, S, Vh) with ``A = U diag(S) Vh``, S descending, by bidiagonalisation and divide and conquer
    (on CUDA by one-sided Jacobi rotations).

    Args:
        full_matrices: U [m, m] and Vh [n, n]; else [m, k] and [k, n] with k = min(m, n).
        driver: accepted for PyTorch's sake.
    """
    return all_into(out, _C._linalg_svd(A, full_matrices))


def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values of :func:`svd`.

    >>> import ccdl
    >>> ccdl.linalg.svdvals(ccdl.tensor([[3., 0.], [0., -4.]]))
    tensor([4., 3.])
    """
    return into(out, _C._linalg_svdvals(A))


__test__ = check_tensors(globals(), __all__, "linalg.")
