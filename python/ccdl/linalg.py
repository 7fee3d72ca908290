"""Linear algebra under PyTorch's names: products and norms. Decompositions and solvers are absent."""

from __future__ import annotations

from typing import Any

from . import _C
from ._contractions import _write
from ._norms import matrix_norm, norm, vector_norm

__all__ = ["matmul", "matrix_norm", "matrix_power", "multi_dot", "norm", "vecdot", "vector_norm"]


def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """Alias of :func:`ccdl.matmul`."""
    return _C.matmul(input, other, out=out)


def matrix_power(A: Any, n: Any, *, out: Any = None) -> Any:
    """The n-th power of square matrices, n >= 0, by repeated squaring.

    >>> import ccdl
    >>> ccdl.linalg.matrix_power(ccdl.tensor([[1., 1.], [0., 1.]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    result = _C.matrix_power(A, n)
    return result if out is None else _write(out, result)


def multi_dot(tensors: Any, *, out: Any = None) -> Any:
    """The product of two or more matrices in the cheapest order; the first and the last may be vectors.

    >>> import ccdl
    >>> ccdl.linalg.multi_dot([ccdl.ones(2, 3), ccdl.ones(3, 4), ccdl.ones(4)])
    tensor([12., 12.])
    """
    result = _C._multi_dot(list(tensors))
    return result if out is None else _write(out, result)


def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """Dot products along ``dim``, broadcasting the other dimensions."""
    result = (x * y).sum(dim)
    return result if out is None else _write(out, result)
