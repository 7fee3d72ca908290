"""Systems of equations, inverses, determinants, least squares, rank and condition."""

from __future__ import annotations

import math
from typing import Any

from .. import _C, errors
from .._C import Tensor
from .._checks import check_tensors, named
from .._norms import matrix_norm
from ._factors import eigvalsh, qr, svdvals
from ._results import all_into, into

__all__ = [
    "cond",
    "det",
    "inv",
    "inv_ex",
    "lstsq",
    "lu_solve",
    "matrix_rank",
    "pinv",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "tensorinv",
    "tensorsolve",
]


def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Inverses of square matrices.

    Raises:
        LinAlgError: a matrix is singular.

    >>> import ccdl
    >>> ccdl.linalg.inv(ccdl.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return into(out, _C.inverse(A))


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """(inverse, info): as :func:`inv`, with ``info`` 0 where the matrix is not singular."""
    if check_errors:
        inv(A)
    return all_into(out, _C._linalg_inv_ex(A))


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
    return into(out, _C._linalg_solve(A, B, left))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(result, info): as :func:`solve`, with ``info`` 0 where the matrix is not singular."""
    if check_errors:
        solve(A, B, left=left)
    return all_into(out, _C._linalg_solve_ex(A, B, left))


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
    return into(out, _C._linalg_solve_triangular(A, B, upper, left, unitriangular))


def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Determinants of square matrices.

    >>> import ccdl
    >>> ccdl.linalg.det(ccdl.tensor([[1., 2.], [3., 4.]]))
    tensor(-2.0000)
    """
    return into(out, _C.det(A))


@named(input="A")
def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """(sign, logabsdet): sign and logarithm of the magnitude of determinants; (0, -inf) when singular."""
    return all_into(out, _C._linalg_slogdet(A))


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
    return into(out, _C._linalg_lu_solve(LU, pivots, B, left, adjoint))


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
    return into(out, _C._linalg_pinv(A, _tolerance(atol, A), _tolerance(relative, A), hermitian))


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
        return into(out, _C.zeros(values.shape[:-1], dtype=_C.int64, device=A.device))
    largest = values.amax(-1)
    if relative is None:
        standard = max(A.shape[-2:]) * (2.0**-52 if A.dtype is _C.float64 else 2.0**-23)
        relative = _C.tensor(standard, dtype=_C.float64, device=A.device)
        if absolute is not None:
            relative = _C.where(absolute > 0, 0.0, relative)
    limit = relative * largest
    if absolute is not None:
        limit = _C.maximum(absolute, limit)
    return into(out, (values > limit.unsqueeze(-1)).sum(-1))


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
    return into(out, result)


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
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else A.real.new_empty(0)
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
        miss = A @ solution - right
        residuals = (miss.abs() if miss.is_complex() else miss).square().sum(-2)
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


class _LstSq(tuple):
    """The result of :func:`lstsq`, with field names."""

    solution = property(lambda self: self[0])
    residuals = property(lambda self: self[1])
    rank = property(lambda self: self[2])
    singular_values = property(lambda self: self[3])

    def __new__(cls, *parts: Tensor) -> Any:
        return super().__new__(cls, parts)


@named(input="A")
def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``A`` as a map from its last dimensions to its first ``ind`` ones."""
    if ind <= 0:
        raise errors.RuntimeError(
            f"linalg.tensorinv: expected a strictly positive integer for 'ind', got {ind}"
        )
    if A.dim() <= ind:
        raise errors.RuntimeError(
            f"linalg.tensorinv: A must have more than ind={ind} dimensions, got {list(A.shape)}"
        )
    rows, columns = A.shape[:ind], A.shape[ind:]
    size = math.prod(rows)
    if size != math.prod(columns):
        raise errors.RuntimeError(
            "linalg.tensorinv: expected input to satisfy prod(shape[:ind]) == prod(shape[ind:]), got "
            f"{tuple(A.shape)}"
        )
    return into(out, inv(A.reshape(size, size)).reshape(*columns, *rows))


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
    return into(out, solve(A.reshape(size, size), B.reshape(-1)).reshape(shape))


__test__ = check_tensors(globals(), __all__, "linalg.")
