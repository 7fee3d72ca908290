"""Reductions of pieces of a dimension."""

from __future__ import annotations

import math

from . import _C, errors
from ._C import Tensor
from ._checks import check_tensors

__all__ = ["segment_reduce"]

_MODES = {"sum": "sum", "mean": "sum", "prod": "prod", "max": "amax", "min": "amin"}
_MODES |= {"amax": "amax", "amin": "amin"}
_START = {"sum": 0.0, "prod": 1.0, "amax": -math.inf, "amin": math.inf}


def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """Sums (means, products, maxima, minima) of neighbouring pieces of the dimension ``axis``.

    Args:
        data: floating point, [..., n, ...] with n at ``axis``.
        reduce: 'sum', 'mean', 'prod', 'max' or 'min'.
        lengths: int64 or int32, [*data.shape[:axis], pieces]: how long the pieces are; they add up to n.
        offsets: instead of lengths: where they begin, and the end of the last: one entry more.
        unsafe: lengths need not add up to n; what lies behind the last piece is left out.
        initial: where each result starts; without it an empty piece gives 0, NaN, 1, -inf or inf.

    Where several elements are the extreme, they share its gradient.

    Raises:
        RuntimeError: neither lengths nor offsets, or they do not fit data.

    >>> import ccdl
    >>> ccdl.segment_reduce(ccdl.tensor([1., 2., 3.]), "sum", lengths=ccdl.tensor([1, 0, 2]))
    tensor([1., 0., 5.])
    """
    if reduce not in _MODES:
        raise errors.RuntimeError(
            f"segment_reduce: reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    if not data.is_floating_point():
        raise errors.NotImplementedError(f"segment_reduce: data must be floating point, got {data.dtype}")
    if indices is not None:
        raise errors.RuntimeError("segment_reduce: indices based reduction is not supported yet")
    given = offsets if lengths is None else lengths
    if given is None:
        raise errors.RuntimeError("segment_reduce: Either lengths or offsets must be defined")
    name = "offsets" if lengths is None else "lengths"
    if given.dtype not in (_C.int64, _C.int32):
        raise errors.NotImplementedError(f"segment_reduce: {name} must be int64 or int32, got {given.dtype}")
    rank = data.dim()
    if not -rank <= axis < rank:
        raise errors.IndexError(f"segment_reduce: axis {axis} is out of range for data {list(data.shape)}")
    axis %= rank
    if axis != given.dim() - 1:
        raise errors.RuntimeError(
            f"segment_reduce: Expected axis to be the last dimension of {name} but got {axis}"
        )
    if given.shape[:-1] != data.shape[:axis]:
        raise errors.RuntimeError(
            f"segment_reduce: {name} {list(given.shape)} must have data's dimensions before axis {axis}, "
            f"got data {list(data.shape)}"
        )
    n = data.shape[axis]
    starts, ends = _borders(given.long(), lengths is not None, n, unsafe)
    pieces = starts.shape[-1]
    place = _C.arange(n, device=data.device)
    # one piece more collects what belongs to none
    piece = _C.searchsorted(ends, place.expand(*data.shape[:axis], n).contiguous(), right=True)
    if unsafe or lengths is None:
        before = place < starts[..., :1] if pieces else place < 0
        piece = _C.where(before, pieces, piece)
    piece = piece.reshape(*piece.shape, *[1] * (rank - axis - 1)).expand(data.shape)
    mode = _MODES[reduce]
    sizes = [*data.shape[:axis], pieces + 1, *data.shape[axis + 1 :]]
    start = _START[mode] if initial is None else float(initial)
    result = _C.full(sizes, start, dtype=data.dtype, device=data.device)
    result = result.scatter_reduce(axis, piece, data, mode).narrow(axis, 0, pieces)
    if reduce != "mean":
        return result
    count = (ends - starts).reshape(*starts.shape, *[1] * (rank - axis - 1)).to(data.dtype)
    empty = math.nan if initial is None else start
    return _C.where(count > 0, result / count.clamp(min=1), _C.full_like(count, empty))


def _borders(given: Tensor, lengths: bool, n: int, unsafe: bool) -> tuple[Tensor, Tensor]:
    """Where the pieces begin and end."""
    if lengths:
        ends = given.cumsum(-1)
        if not unsafe:
            if given.numel() and given.min().item() < 0:
                raise errors.RuntimeError("segment_reduce: lengths contains negative value!")
            if not (given.sum(-1) == n).all():
                raise errors.RuntimeError(
                    "segment_reduce: Expected all rows of lengths along axis to sum to "
                    f"data.size(lengths.dim()-1) = {n} when !unsafe"
                )
        return ends - given, ends
    if given.shape[-1] == 0:
        raise errors.RuntimeError("segment_reduce: offsets must have at least one entry")
    if not unsafe and given.numel():
        steps = given[..., 1:] - given[..., :-1]
        bad = given.min().item() < 0 or given.max().item() > n
        if bad or (steps.numel() and steps.min().item() < 0):
            raise errors.RuntimeError(
                f"segment_reduce: offsets must ascend within [0, {n}] when !unsafe, got {given.tolist()}"
            )
    return given[..., :-1].contiguous(), given[..., 1:].contiguous()


__test__ = check_tensors(globals(), __all__, "")
