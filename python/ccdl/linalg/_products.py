"""Products of vectors and matrices, powers and the exponential."""

from __future__ import annotations

from typing import Any

from .. import _C, errors
from .._C import Tensor
from .._checks import check_tensors, named
from ._results import into

__all__ = ["cross", "diagonal", "matmul", "matrix_exp", "matrix_power", "multi_dot", "vander", "vecdot"]


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
    return into(out, _C.matrix_power(A, n))


def multi_dot(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """The product of two or more matrices in the cheapest order; the first and the last may be vectors.

    >>> import ccdl
    >>> ccdl.linalg.multi_dot([ccdl.ones(2, 3), ccdl.ones(3, 4), ccdl.ones(4)])
    tensor([12., 12.])
    """
    if isinstance(tensors, Tensor):
        raise errors.TypeError(
            "linalg.multi_dot(): argument 'tensors' must be a tuple of Tensors, not Tensor"
        )
    return into(out, _C._multi_dot(list(tensors)))


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Dot products along ``dim``, of the conjugate of a complex ``x``, broadcasting the other dimensions."""
    return into(out, ((x.conj() if x.is_complex() else x) * y).sum(dim))


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Cross products of the 3-vectors along ``dim``, broadcasting the other dimensions.

    >>> import ccdl
    >>> ccdl.linalg.cross(ccdl.tensor([1., 0., 0.]), ccdl.tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    return into(out, _C._linalg_cross(input, other, dim))


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
    x = x if x.is_floating_point() or x.is_complex() else x.to(_C.int64)
    ones = _C.ones_like(x).unsqueeze(-1)
    return _C.cat([ones, x.unsqueeze(-1).expand(*x.shape, count - 1).cumprod(-1)], -1)


def matrix_exp(A: Tensor) -> Tensor:
    """The exponential ``I + A + A^2 / 2! + ...`` of square matrices, by scaling and squaring of the series.

    >>> import ccdl
    >>> ccdl.linalg.matrix_exp(ccdl.tensor([[0., 1.], [0., 0.]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return _C.matrix_exp(A)


__test__ = check_tensors(globals(), __all__, "linalg.")
