"""Vector and matrix norms of ccdl.linalg, over the norm kernel and the singular values."""

from __future__ import annotations

from . import _C, errors
from ._C import Tensor
from ._checks import check_tensors, named
from ._contractions import _write

__all__ = ["matrix_norm", "norm", "vector_norm"]

_ORDERS = ("fro", "nuc", 1, -1, 2, -2, float("inf"), float("-inf"))


@named(input="x")
def vector_norm(x: Tensor, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """``(sum |x|^ord)^(1/ord)`` over ``dim`` (an int, a tuple, or None for all dimensions).

    ``ord`` 0 counts the nonzero elements; ``inf`` and ``-inf`` give the largest and smallest ``|x|``.
    The gradient at norm 0 is 0.

    >>> import ccdl
    >>> ccdl.linalg.vector_norm(ccdl.tensor([3., 4.]))
    tensor(5.)
    """
    return _C._vector_norm(x, ord, dim, keepdim, dtype=dtype, out=out)


@named(input="A")
def matrix_norm(A: Tensor, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """Norm of the matrices in the two dimensions ``dim``.

    ``ord``: ``'fro'`` (root of the sum of squares), ``inf``/``-inf`` (largest/smallest sum of ``|A|`` over a
    row), ``1``/``-1`` (the same over a column), ``2``/``-2`` (largest/smallest singular value), ``'nuc'``
    (sum of the singular values).

    >>> import ccdl
    >>> ccdl.linalg.matrix_norm(ccdl.tensor([[1., 2.], [3., 4.]]), 1)
    tensor(6.)
    """
    if not (isinstance(ord, (str, int, float)) or getattr(ord, "shape", None) == ()) or ord not in _ORDERS:
        raise errors.RuntimeError(
            f"linalg.matrix_norm: order {ord!r} is not supported; use 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    if A.dim() < 2:
        shape = list(A.shape)
        raise errors.RuntimeError(
            f"linalg.matrix_norm: the input tensor A must have at least 2 dimensions, got shape {shape}"
        )
    if isinstance(dim, int) or len(dim) != 2:
        raise errors.RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple, got {dim!r}")
    rows, columns = (d + A.dim() if d < 0 else d for d in dim)
    if ord == "fro":
        result = _C._vector_norm(A, 2, (rows, columns), keepdim, dtype=dtype)
    elif ord in (1, -1, float("inf"), float("-inf")):
        summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = _C._vector_norm(A, 1, summed, True, dtype=dtype)
        if ord > 0 and sums.shape[other] == 0:  # the largest of no sums
            result = sums.new_zeros([1 if d == other else n for d, n in enumerate(sums.shape)])
        else:
            result = sums.amax(other, keepdim=True) if ord > 0 else sums.amin(other, keepdim=True)
        result = result if keepdim else result.squeeze((rows, columns))
    else:
        x = A if dtype is None else A.to(dtype)
        values = _C._linalg_svd(x.movedim((rows, columns), (-2, -1)), False)[1]
        if ord == "nuc" or (ord == 2 and values.shape[-1] == 0):
            result = values.sum(-1)
        else:
            result = values.amax(-1) if values.shape[-1] == 0 else values[..., 0 if ord == 2 else -1]
        if keepdim:
            for d in sorted((rows, columns)):
                result = result.unsqueeze(d)
    return result if out is None else _write(out, result)


@named(input="A")
def norm(A: Tensor, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """Vector or matrix norm, as :func:`numpy.linalg.norm` chooses.

    Without ``ord``: the 2-norm of the elements in ``dim`` (all of them when None). With ``ord``: a vector
    norm when ``dim`` is an int or ``A`` is 1-d, a matrix norm when ``dim`` has two entries or ``A`` is 2-d.

    >>> import ccdl
    >>> ccdl.linalg.norm(ccdl.tensor([[3., 0.], [0., 4.]]))
    tensor(5.)
    """
    dims = None
    if dim is not None:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        if len(dims) not in (1, 2):
            raise errors.RuntimeError(f"linalg.norm: dim must be of length 1 or 2 when given, got {dims}")
    if ord is None:
        return vector_norm(A, 2, dims, keepdim, dtype=dtype, out=out)
    if dims is None and A.dim() not in (1, 2):
        shape = list(A.shape)
        raise errors.RuntimeError(
            f"linalg.norm: with ord but no dim the input must be 1D or 2D, got shape {shape}"
        )
    if not isinstance(ord, str) and (A.dim() == 1 if dims is None else len(dims) == 1):
        return vector_norm(A, ord, dims, keepdim, dtype=dtype, out=out)
    return matrix_norm(A, ord, (0, 1) if dims is None else dims, keepdim, dtype=dtype, out=out)


__test__ = check_tensors(globals(), __all__, "linalg.")
