"""Histograms of points in several dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import _C
from ._C import Tensor
from .errors import RuntimeError as CcdlRuntimeError
from .errors import TypeError as CcdlTypeError

__all__ = ["histogramdd"]


class _HistogramDd(NamedTuple):
    hist: Tensor
    bin_edges: tuple[Tensor, ...]


_HistogramDd.__name__ = "histogramdd"


def histogramdd(
    input: Tensor,
    bins: int | Sequence[int] | Sequence[Tensor],
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(hist, bin_edges): how many points, or what ``weight`` of them, lie in each cell of a grid.

    Args:
        input: [..., D], the last dimension holds the coordinates of a point; floating point.
        bins: number of equal bins, one for all dimensions or one each; or D tensors of edges.
        range: D pairs, flat: least and greatest edge of each dimension; those of the points without it.
        weight: of the points, of the shape of ``input`` without its last dimension.
        density: divide by the total and by the volume of the cell.

    The last bin of each dimension includes its end; points outside count nowhere.

    Raises:
        RuntimeError: no floating point, or sizes that do not belong together.

    >>> import ccdl
    >>> points = ccdl.tensor([[0., 1.], [1., 0.], [2., 0.], [2., 2.]])
    >>> ccdl.histogramdd(points, bins=[3, 3]).hist
    tensor([[0., 1., 0.],
            [1., 0., 0.],
            [1., 0., 1.]])
    """
    if not isinstance(input, Tensor):
        raise CcdlTypeError(f"histogramdd: input is {type(input).__name__}, must be a Tensor")
    if not input.is_floating_point() or input.dim() < 2:
        raise CcdlRuntimeError(
            f"histogramdd: input tensor should have at least 2 dimensions and a floating point dtype, got "
            f"{list(input.shape)} {input.dtype}"
        )
    x = input.detach().reshape(-1, input.shape[-1])
    points, dims = x.shape
    if weight is not None and (weight.shape != input.shape[:-1] or weight.dtype != input.dtype):
        raise CcdlRuntimeError(
            "histogramdd: if weight tensor is provided, it should have the same shape as the input tensor "
            f"excluding its innermost dimension, and its dtype; got input {list(input.shape)} {input.dtype} "
            f"and weight {list(weight.shape)} {weight.dtype}"
        )
    edges = _edges(x, bins, range)
    counts = [e.numel() - 1 for e in edges]
    cell = _C.zeros(points, dtype=_C.int64, device=x.device)
    inside = _C.ones(points, dtype=_C.bool, device=x.device)
    for d, (e, count) in enumerate(zip(edges, counts)):
        column = x[:, d].contiguous()
        place = _C.searchsorted(e, column, right=True) - 1
        place = _C.where(column == e[-1], count - 1, place)
        inside = inside & (place >= 0) & (place < count) & (column <= e[-1])
        cell = cell * count + place
    amounts = _C.ones_like(x[:, 0]) if weight is None else weight.detach().reshape(-1)
    hist = _C.zeros(math.prod(counts), dtype=x.dtype, device=x.device)
    hist = hist.index_add(0, cell[inside], amounts[inside]).reshape(counts)
    if density:
        hist = hist / hist.sum()
        for d, e in enumerate(edges):
            hist = hist / e.diff().reshape([-1] + [1] * (dims - 1 - d))
    return _HistogramDd(hist, tuple(edges))


def _edges(x: Tensor, bins: Any, range: Any) -> list[Tensor]:
    dims = x.shape[1]
    if isinstance(bins, int) and not isinstance(bins, bool):
        bins = [bins] * dims
    elif isinstance(bins, (Tensor, str)) or not hasattr(bins, "__len__"):
        raise CcdlTypeError(
            f"histogramdd: bins is {type(bins).__name__}, must be an int or a sequence of ints or of Tensors"
        )
    if len(bins) != dims:
        raise CcdlRuntimeError(
            f"histogramdd: expected {dims} values of bins for input with innermost dimension {dims}, got "
            f"{len(bins)}"
        )
    if all(isinstance(b, Tensor) for b in bins):
        for d, b in enumerate(bins):
            if b.dim() != 1 or b.numel() < 2:
                raise CcdlRuntimeError(
                    f"histogramdd: bins[{d}] should have one dimension and at least 2 edges, got "
                    f"{list(b.shape)}"
                )
        return [b.to(x.dtype).contiguous() for b in bins]
    if range is not None and len(range) != 2 * dims:
        raise CcdlRuntimeError(
            f"histogramdd: for a {dims}-dimensional histogram, range should have {2 * dims} elements, but "
            f"got {len(range)}"
        )
    edges = []
    for d, count in enumerate(bins):
        if isinstance(count, bool) or not isinstance(count, int):
            raise CcdlTypeError(f"histogramdd: bins[{d}] is {type(count).__name__}, must be an int")
        if count < 1:
            raise CcdlRuntimeError(f"histogramdd: bins must be > 0, but got {count} for dimension {d}")
        if range is not None:
            low, high = float(range[2 * d]), float(range[2 * d + 1])
        else:
            low, high = (float(x[:, d].min()), float(x[:, d].max())) if len(x) else (0.0, 1.0)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise CcdlRuntimeError(
                f"histogramdd: dimension {d}'s range [{low}, {high}] is not finite; pass range="
            )
        if low > high:
            raise CcdlRuntimeError(f"histogramdd: min should not exceed max, but got {low} > {high}")
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(_C.linspace(low, high, count + 1, dtype=x.dtype, device=x.device))
    return edges
