"""The packed QR factorisation and products with the orthogonal matrix it holds."""

from __future__ import annotations

from typing import Any

from .. import _C, errors
from .._C import Tensor
from .._checks import check_tensors
from ._results import all_into, into

__all__ = ["geqrf", "ormqr"]


def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """(a, tau): the QR factorisation of matrices [..., m, n] as LAPACK packs it: R on and above the diagonal
    of ``a``, below it the vectors v_i (without their leading 1) of the reflections ``I - tau_i v_i v_i^T``
    whose product is Q. :func:`ccdl.linalg.householder_product` makes Q of them, :func:`ormqr` applies it.

    Raises:
        RuntimeError: not floating-point matrices, or a gradient is wanted (:func:`ccdl.linalg.qr` has one).

    >>> import ccdl
    >>> a, tau = ccdl.geqrf(ccdl.tensor([[3., 1.], [4., 2.]]))
    >>> a.triu()
    tensor([[-5.0000, -2.2000],
            [ 0.0000,  0.4000]])
    """
    return all_into(out, _C._linalg_geqrf(input))


def ormqr(
    input: Tensor,
    tau: Tensor,
    other: Tensor,
    left: bool = True,
    transpose: bool = False,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """``Q other``, ``Q^T other`` (transpose), ``other Q`` or ``other Q^T`` (not left), where Q [..., m, m] is
    the product of the reflections in ``input`` [..., m, n] and ``tau`` [..., k], k <= min(m, n), as
    :func:`geqrf` gives them.

    By products of matrices, in double: ``Q = I - V T V^T`` with ``T^-1 = diag(1 / tau) + triu(V^T V, 1)``
    (R. Schreiber, C. Van Loan, A storage-efficient WY representation for products of Householder
    transformations, SIAM J. Sci. Stat. Comput. 1989). Differentiable in all three.

    Raises:
        RuntimeError: shapes or dtypes do not fit together.

    >>> import ccdl
    >>> a = ccdl.tensor([[3., 1.], [4., 2.]])
    >>> ccdl.ormqr(*ccdl.geqrf(a), a, transpose=True)[0]
    tensor([-5.0000, -2.2000])
    """
    if input.dim() < 2 or other.dim() < 2 or tau.dim() < 1:
        raise errors.RuntimeError(
            "ormqr: input and other must have at least 2 dimensions and tau at least 1, got "
            f"{list(input.shape)}, {list(other.shape)} and {list(tau.shape)}"
        )
    m, k = input.shape[-2], tau.shape[-1]
    if other.shape[-2 if left else -1] != m:
        raise errors.RuntimeError(
            f"ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2], got "
            f"{list(other.shape)} and {list(input.shape)}"
        )
    if k > min(m, input.shape[-1]):
        raise errors.RuntimeError(
            f"ormqr: tau.shape[-1] must be less than or equal to both sizes of the matrix input, got "
            f"{list(tau.shape)} and {list(input.shape)}"
        )
    batch = input.shape[:-2]
    if tau.shape[:-1] != batch or other.shape[:-2] != batch:
        raise errors.RuntimeError(
            "ormqr: batch dimensions of tau and other must be those of input, got "
            f"{list(tau.shape)}, {list(other.shape)} and {list(input.shape)}"
        )
    for name, x in (("tau", tau), ("other", other)):
        if x.dtype != input.dtype:
            raise errors.DTypeError(
                f"ormqr: {name} must have the dtype of input, got {x.dtype} and {input.dtype}"
            )
    if not input.is_floating_point():
        raise errors.DTypeError(f"ormqr: input must be floating point, got {input.dtype}")
    wide, x = input[..., :k].double(), other.double()
    v = wide.tril(-1) + _C.eye(m, k, dtype=_C.float64, device=input.device)
    scaled = tau.double().unsqueeze(-1) * v.mT
    inverse = (scaled @ v).triu(1) + _C.eye(k, dtype=_C.float64, device=input.device)
    w = _C._linalg_solve_triangular(inverse, scaled, True, True, True)  # Q = I - v w
    first, second = (w.mT, v.mT) if transpose else (v, w)
    moved = first @ (second @ x) if left else (x @ first) @ second
    return into(out, (x - moved).to(input.dtype))


__test__ = check_tensors(globals(), __all__, "")
