"""Linear algebra under PyTorch's names: products, norms, factorisations, solvers.

Matrices are float32 or float64, batches ``[..., m, n]``; factorisations (on CUDA in double) have
gradients of any order. Where a factorisation fails (a singular matrix, a matrix that is not positive
definite, non-finite values), ``LinAlgError`` is raised, except by the ``_ex`` forms, which return a code.
Eigenvalues of non-symmetric matrices (``eig``, ``eigvals``) are absent: they are complex.
"""

from __future__ import annotations

import math
from typing import Any

from . import _C, errors
from ._C import Tensor
from ._checks import check_tensors, named
from ._contractions import _write
from ._norms import matrix_norm, norm, vector_norm
from .errors import LinAlgError

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

_EIG = (
    "eigenvalues of non-symmetric matrices are complex, and ccdl has no complex tensors; use "
    "linalg.eigvalsh or linalg.eigh for symmetric matrices, linalg.svdvals for the size of a general one, "
    "numpy.linalg.eigvals(A.numpy()) where complex values are wanted"
)


def __getattr__(name: str) -> Any:
    hint = f": {_EIG}" if name in ("eig", "eigvals") else ""
    raise AttributeError(f"module 'ccdl.linalg' has no attribute '{name}'{hint}")


def _out(out: Tensor | None, result: Any) -> Any:
    return result if out is None else _write(out, result)


def _outs(out: Any, results: Any) -> Any:
    if out is None:
        return results
    return tuple(_write(o, r) for o, r in zip(out, results))


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Alias of :func:`ccdl.matmul`."""
    return _C.matmul(input, other, out=out)


@named(input="A")
def matrix_power(A: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """The n-th power of square matrices by repeated squaring; of the inverse for negative n.

    >>> import ccdl
    >>> ccdl.linalg.matrix_power(ccdl.tensor([[1., 1.], [0., 1.]]), -3)
    tensor([[ 1., -3.],
            [ 0.,  1.]])
    """
    return _out(out, _C.matrix_power(A, n))


def multi_dot(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """The product of two or more matrices in the cheapest order; the first and the last may be vectors.

    >>> import ccdl
    >>> ccdl.linalg.multi_dot([ccdl.ones(2, 3), ccdl.ones(3, 4), ccdl.ones(4)])
    tensor([12., 12.])
    """
    return _out(out, _C._multi_dot(list(tensors)))


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Dot products along ``dim``, broadcasting the other dimensions."""
    return _out(out, (x * y).sum(dim))


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Cross products of the 3-vectors along ``dim``, broadcasting the other dimensions.

    >>> import ccdl
    >>> ccdl.linalg.cross(ccdl.tensor([1., 0., 0.]), ccdl.tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    return _out(out, _C._linalg_cross(input, other, dim))


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of matrices; :func:`ccdl.diagonal` with the last two dimensions as default."""
    return A.diagonal(offset, dim1, dim2)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """Vandermonde matrices ``V[..., i, j] = x[..., i]^j`` of vectors [..., n]: [..., n, N], N = n by default.

    >>> import ccdl
    >>> ccdl.linalg.vander(ccdl.tensor([1., 2., 3.]))
    tensor([[1., 1., 1.],
            [1., 2., 4.],
            [1., 3., 9.]])
    """
    if x.dim() == 0:
        raise errors.RuntimeError("linalg.vander: input must have at least 1 dimension, got a 0-d tensor")
    count = x.shape[-1] if N is None else N
    if count <= 1:
        raise errors.RuntimeError(f"linalg.vander: N must be greater than 1, got {count}")
    x = x.to(_C.int64) if not x.is_floating_point() else x
    ones = _C.ones_like(x).unsqueeze(-1)
    return _C.cat([ones, x.unsqueeze(-1).expand(*x.shape, count - 1).cumprod(-1)], -1)


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
    return _out(out, _C.cholesky(A, upper))


@named(input="A")
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """(L, info): as :func:`cholesky`, but a failure is the order of the minor in ``info``, not an error."""
    if check_errors:
        cholesky(A)
    return _outs(out, _C._linalg_cholesky_ex(A, upper))


def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Inverses of square matrices.

    Raises:
        LinAlgError: a matrix is singular.

    >>> import ccdl
    >>> ccdl.linalg.inv(ccdl.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return _out(out, _C.inverse(A))


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """(inverse, info): as :func:`inv`, with ``info`` 0 where the matrix is not singular."""
    if check_errors:
        inv(A)
    return _outs(out, _C._linalg_inv_ex(A))


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """``X`` with ``A X = B`` (``X A = B`` when not ``left``), by LU factorisation with partial pivoting.

    Args:
        A: [..., n, n]. B: [..., n, k], or [..., n] when that is the batch shape of A followed by n.

    Raises:
        LinAlgError: a matrix is singular.

    >>> import ccdl
    >>> ccdl.linalg.solve(ccdl.tensor([[2., 1.], [1., 3.]]), ccdl.tensor([3., 4.]))
    tensor([1., 1.])
    """
    return _out(out, _C._linalg_solve(A, B, left))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(result, info): as :func:`solve`, with ``info`` 0 where the matrix is not singular."""
    if check_errors:
        solve(A, B, left=left)
    return _outs(out, _C._linalg_solve_ex(A, B, left))


@named(input="A")
def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``X`` with ``A X = B`` (``X A = B`` when not ``left``) for triangular ``A``, whose other
    triangle is not read.

    >>> import ccdl
    >>> L, b = ccdl.tensor([[2., 0.], [1., 1.]]), ccdl.tensor([[2.], [3.]])
    >>> ccdl.linalg.solve_triangular(L, b, upper=False)
    tensor([[1.],
            [2.]])
    """
    return _out(out, _C._linalg_solve_triangular(A, B, upper, left, unitriangular))


def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Determinants of square matrices.

    >>> import ccdl
    >>> ccdl.linalg.det(ccdl.tensor([[1., 2.], [3., 4.]]))
    tensor(-2.0000)
    """
    return _out(out, _C.det(A))


@named(input="A")
def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """(sign, logabsdet): sign and logarithm of the magnitude of determinants; (0, -inf) when singular."""
    return _outs(out, _C._linalg_slogdet(A))


def _check_pivot(op: str, pivot: bool) -> None:
    if not pivot:
        raise errors.RuntimeError(f"{op}: LU without pivoting is not implemented; use pivot=True")


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(P, L, U) with ``A = P L U``: a permutation, a unit lower and an upper triangular matrix."""
    _check_pivot("linalg.lu", pivot)
    return _outs(out, _C._linalg_lu(A))


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
    return _outs(out, type(factors)((packed, pivots, info)))


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
    return _outs(out, _LuFactor(packed, pivots))


def lu_solve(
    LU: Tensor,
    pivots: Tensor,
    B: Tensor,
    *,
    left: bool = True,
    adjoint: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``X`` with ``A X = B`` (``A^T X = B`` with ``adjoint``; ``X A = B`` when not
    ``left``) from :func:`lu_factor` of A.

    >>> import ccdl
    >>> factors = ccdl.linalg.lu_factor(ccdl.tensor([[2., 1.], [1., 3.]]))
    >>> ccdl.linalg.lu_solve(*factors, ccdl.tensor([[3.], [4.]]))
    tensor([[1.],
            [1.]])
    """
    return _out(out, _C._linalg_lu_solve(LU, pivots, B, left, adjoint))


@named(input="A")
def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """(Q, R) with ``A = Q R``, Q with orthonormal columns, R upper triangular, by Householder reflections.

    Args:
        mode: "reduced" (Q has min(m, n) columns), "complete" (Q is square) or "r" (Q is empty).
    """
    return _outs(out, _C._linalg_qr(A, mode))


@named(input="A")
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first n columns of ``H_1 H_2 ... H_k``, ``H_i = I - tau_i v_i v_i^T`` with v_i in column i of ``A``
    [..., m, n] (1 on the diagonal, 0 above), k <= n.

    By products of matrices: ``I - V T V^T`` with ``T^-1 = diag(1 / tau) + triu(V^T V, 1)`` (R. Schreiber,
    C. Van Loan, A storage-efficient WY representation for products of Householder transformations, SIAM J.
    Sci. Stat. Comput. 1989).

    >>> import ccdl
    >>> ccdl.linalg.householder_product(ccdl.tensor([[1., 0.], [1., 1.]]), ccdl.tensor([1., 0.]))
    tensor([[ 0., -1.],
            [-1.,  0.]])
    """
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
    k = tau.shape[-1]
    v = A[..., :k].tril(-1) + _C.eye(m, k, dtype=A.dtype, device=A.device)
    scaled = tau.unsqueeze(-1) * v.mT
    inverse = (scaled @ v).triu(1) + _C.eye(k, dtype=A.dtype, device=A.device)
    w = _C._linalg_solve_triangular(inverse, scaled[..., :n], True, True, True)
    return _out(out, _C.eye(m, n, dtype=A.dtype, device=A.device) - v @ w)


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of symmetric matrices: ``A = V diag(w) V^T``, w ascending, vectors
    in columns.

    Only the triangle that ``UPLO`` names is read. The gradient of the vectors is finite where eigenvalues
    are distinct, and meaningful only for functions that do not depend on the vectors' signs.

    >>> import ccdl
    >>> ccdl.linalg.eigh(ccdl.tensor([[2., 1.], [1., 2.]]))[0]
    tensor([1., 3.])
    """
    return _outs(out, _C._linalg_eigh(A, UPLO))


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of :func:`eigh`."""
    return _out(out, _C._linalg_eigvalsh(A, UPLO))


@named(input="A")
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """(U, S, Vh) with ``A = U diag(S) Vh``, S descending, by bidiagonalisation and divide and conquer
    (on CUDA by one-sided Jacobi rotations).

    Args:
        full_matrices: U [m, m] and Vh [n, n]; else [m, k] and [k, n] with k = min(m, n).
        driver: accepted for PyTorch's sake.
    """
    return _outs(out, _C._linalg_svd(A, full_matrices))


def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values of :func:`svd`.

    >>> import ccdl
    >>> ccdl.linalg.svdvals(ccdl.tensor([[3., 0.], [0., -4.]]))
    tensor([4., 3.])
    """
    return _out(out, _C._linalg_svdvals(A))


def _tolerance(value: Any, like: Tensor) -> Tensor | None:
    if value is None:
        return None
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=_C.float64)
    return _C.tensor(float(value), dtype=_C.float64, device=like.device)


@named(input="A")
def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Any = None,
) -> Tensor:
    """Moore-Penrose inverses [..., n, m] of matrices [..., m, n].

    Singular values at most ``max(atol, rtol * largest)`` count as zero; ``rtol`` (``rcond``) is
    max(m, n) times the dtype's eps unless given, or 0 when only ``atol`` is.

    >>> import ccdl
    >>> ccdl.linalg.pinv(ccdl.tensor([[2., 0.], [0., 0.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    relative = rcond if rtol is None else rtol
    return _out(out, _C._linalg_pinv(A, _tolerance(atol, A), _tolerance(relative, A), hermitian))


@named(input="A")
def matrix_rank(
    A: Tensor,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Any = None,
) -> Tensor:
    """The number of singular values above ``max(atol, rtol * largest)``, defaults as for :func:`pinv`.

    >>> import ccdl
    >>> ccdl.linalg.matrix_rank(ccdl.ones(3, 2))
    tensor(1)
    """
    values = eigvalsh(A.detach()).abs() if hermitian else svdvals(A.detach())
    absolute = _tolerance(tol if atol is None else atol, A)
    relative = _tolerance(rtol, A)
    if values.shape[-1] == 0:
        return _out(out, _C.zeros(values.shape[:-1], dtype=_C.int64, device=A.device))
    largest = values.amax(-1)
    if relative is None:
        standard = max(A.shape[-2:]) * (2.0**-52 if A.dtype is _C.float64 else 2.0**-23)
        relative = _C.tensor(standard, dtype=_C.float64, device=A.device)
        if absolute is not None:
            relative = _C.where(absolute > 0, 0.0, relative)
    limit = relative * largest
    if absolute is not None:
        limit = _C.maximum(absolute, limit)
    return _out(out, (values > limit.unsqueeze(-1)).sum(-1))


@named(input="A")
def cond(A: Tensor, p: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Condition numbers: the ratio of the extreme singular values (``p`` None, 2 or -2), else
    ``norm(A, p) norm(A^-1, p)``, infinite for a singular matrix."""
    if p in (None, 2, -2):
        s = svdvals(A)
        result = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    else:
        inverse, info = inv_ex(A)
        result = matrix_norm(A, p) * matrix_norm(inverse, p)
        result = _C.where(info == 0, result, float("inf"))
    return _out(out, result)


@named(input="A", b="B")
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """``X`` with the least ``|A X - B|``, the shortest one where several are.

    Returns:
        (solution [..., n, k], residuals [..., k] (sums of squares, when m > n and A has full rank; else
        empty), rank, singular_values). ``rcond`` as ``rtol`` of :func:`pinv`; ``driver`` is accepted: QR
        solves matrices that are far from losing rank, singular values the others (they are returned for
        "gelsd" and "gelss").

    >>> import ccdl
    >>> ccdl.linalg.lstsq(ccdl.tensor([[1., 0.], [1., 1.], [1., 2.]]), ccdl.tensor([[1.], [3.], [5.]]))[0]
    tensor([[1.0000],
            [2.0000]])
    """
    if A.dim() < 2 or B.dim() < 1:
        raise errors.RuntimeError(
            f"linalg.lstsq: input must have at least 2 dimensions and other at least 1, got {tuple(A.shape)} "
            f"and {tuple(B.shape)}"
        )
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise errors.RuntimeError(
            f"linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver!r}"
        )
    if A.dtype is not B.dtype:
        raise errors.RuntimeError(
            f"linalg.lstsq: Expected input and other to have the same dtype, but got {A.dtype} and {B.dtype}"
        )
    vector = B.dim() == 1 or (A.dim() - 1 == B.dim() and B.shape == A.shape[:-1])
    right = B.unsqueeze(-1) if vector else B
    if right.shape[-2] != A.shape[-2]:
        raise errors.RuntimeError(
            "linalg.lstsq: input.size(-2) should match other.size(-2), got "
            f"{tuple(A.shape)} and {tuple(B.shape)}"
        )
    m, n = A.shape[-2:]
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else A.new_empty(0)
    solution = _regular_lstsq(A, right, rcond)
    if solution is not None:
        rank = _C.full(A.shape[:-2], min(m, n), dtype=_C.int64, device=A.device)
    else:
        rank = matrix_rank(A, rtol=rcond)
        solution = pinv(A, rtol=rcond) @ right
    residuals = A.new_empty(0)
    full = m > n and bool((rank == n).all())
    if driver == "gels":  # which takes full rank for granted
        rank = rank.new_empty(0)
    if full:
        residuals = (A @ solution - right).square().sum(-2)
    return _LstSq(solution.squeeze(-1) if vector else solution, residuals, rank, values)


def _regular_lstsq(A: Tensor, B: Tensor, rcond: float | None) -> Tensor | None:
    """The solution by QR, or None unless every matrix surely has full rank: no singular value is below
    1 / |R^-1|, none above |R| (Frobenius norms); infinite or NaN where R is singular."""
    m, n = A.shape[-2:]
    if A.numel() == 0 or not A.is_floating_point() or A.device.type != "cpu":
        return None
    q, r = qr(A if m >= n else A.mT)
    low = r.detach()
    inverse = solve_triangular(low, _C.eye(low.shape[-1], dtype=A.dtype, device=A.device), upper=True)
    limit = max(m, n) * (2.0**-52 if A.dtype is _C.float64 else 2.0**-23) if rcond is None else rcond
    bound = low.square().sum((-2, -1)).sqrt() * inverse.square().sum((-2, -1)).sqrt() * limit
    if not bool((bound < 0.5).all()):
        return None
    if m >= n:
        return solve_triangular(r, q.mT @ B, upper=True)
    return q @ solve_triangular(r.mT, B, upper=False)


class _LuFactor(tuple):
    """The result of :func:`lu_factor`, with field names."""

    LU = property(lambda self: self[0])
    pivots = property(lambda self: self[1])

    def __new__(cls, *parts: Tensor) -> Any:
        return super().__new__(cls, parts)


class _LstSq(tuple):
    """The result of :func:`lstsq`, with field names."""

    solution = property(lambda self: self[0])
    residuals = property(lambda self: self[1])
    rank = property(lambda self: self[2])
    singular_values = property(lambda self: self[3])

    def __new__(cls, *parts: Tensor) -> Any:
        return super().__new__(cls, parts)


def matrix_exp(A: Tensor) -> Tensor:
    """The exponential ``I + A + A^2 / 2! + ...`` of square matrices, by scaling and squaring of the series.

    >>> import ccdl
    >>> ccdl.linalg.matrix_exp(ccdl.tensor([[0., 1.], [0., 0.]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return _C.matrix_exp(A)


@named(input="A")
def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``A`` as a map from its last dimensions to its first ``ind`` ones."""
    if ind <= 0:
        raise errors.RuntimeError(
            f"linalg.tensorinv: expected a strictly positive integer for 'ind', got {ind}"
        )
    rows, columns = A.shape[:ind], A.shape[ind:]
    size = math.prod(rows)
    if size != math.prod(columns):
        raise errors.RuntimeError(
            "linalg.tensorinv: expected input to satisfy prod(shape[:ind]) == prod(shape[ind:]), got "
            f"{tuple(A.shape)}"
        )
    return _out(out, inv(A.reshape(size, size)).reshape(*columns, *rows))


@named(input="A", other="B")
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Tensor | None = None) -> Tensor:
    """``X`` with ``tensordot(A, X, X.ndim) = B``; ``dims`` of A are moved to its end first."""
    if dims is not None:
        A = A.movedim(dims, tuple(range(A.dim() - len(dims), A.dim())))
    shape = A.shape[B.dim() :]
    size = math.prod(shape)
    if size != B.numel():
        raise errors.RuntimeError(
            "linalg.tensorsolve: expected A to satisfy prod(A.shape[B.ndim:]) == prod(A.shape[:B.ndim]), got "
            f"{tuple(A.shape)} and {tuple(B.shape)}"
        )
    return _out(out, solve(A.reshape(size, size), B.reshape(-1)).reshape(shape))


__test__ = check_tensors(globals(), __all__, "linalg.")
