"""Distances and similarities between vectors."""

from __future__ import annotations

from ... import _C
from ..._C import Tensor
from ..._checks import check_tensors
from ...errors import DTypeError
from .loss import _check_fits

__all__ = ["cosine_similarity", "pairwise_distance", "pdist"]


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`` along ``dim``; the inputs are broadcast.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.cosine_similarity(ccdl.tensor([[1., 0.]]), ccdl.tensor([[1., 1.]]))
    tensor([0.7071])
    """
    _check_fits("cosine_similarity", "x1", x1, x2=x2)
    x1, x2 = _C.broadcast_tensors(*_C._autocast("cosine_similarity", [x1, x2]))
    if eps < 0:
        raise RuntimeError(f"cosine_similarity: eps is {eps}, must not be negative")
    dtype = _C.promote_types(x1.dtype, x2.dtype)
    if not (dtype.is_floating_point or dtype.is_complex):
        raise DTypeError(
            f"cosine_similarity: expected common dtype to be floating point, yet common dtype is {dtype} "
            f"(x1 {x1.dtype}, x2 {x2.dtype}); convert one of them with .float()"
        )
    x1, x2 = x1.to(dtype), x2.to(dtype)
    n1 = x1.norm(2, dim, keepdim=True).clamp_min(eps)
    n2 = x2.norm(2, dim, keepdim=True).clamp_min(eps)
    return ((x1 / n1) * (x2 / n2)).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """``||x1 - x2 + eps||_p`` along the last dimension.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.pairwise_distance(ccdl.tensor([[3., 4.]]), ccdl.zeros(1, 2))
    tensor([5.0000])
    """
    _check_fits("pairwise_distance", "x1", x1, x2=x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """p-norm distances between all pairs of rows of [N, M], in the order (0,1), (0,2), ...: [N (N - 1) / 2].

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.pdist(ccdl.tensor([[0., 0.], [3., 4.]]))
    tensor([5.])
    """
    if input.dim() != 2:
        raise RuntimeError(f"pdist: input is {list(input.shape)}, must be 2-d")
    if not p >= 0:
        raise RuntimeError(f"pdist: p is {p}, only supports non-negative p values")
    (input,) = _C._autocast("pdist", [input])
    return _C._pdist(input, p)


__test__ = check_tensors(globals(), __all__)
