"""Resampling of the spatial dimensions."""

from __future__ import annotations

import warnings
from typing import Any

from ... import _C
from ..._C import Tensor

__all__ = ["interpolate", "upsample", "upsample_nearest", "upsample_bilinear"]


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Tensor:
    """Resamples [N, C, ...] to ``size`` or by ``scale_factor``.

    Args:
        input: 3-d, 4-d or 5-d.
        size: int or one per spatial dimension.
        scale_factor: number or one per spatial dimension; exactly one of the two is given.
        mode: 'nearest', 'nearest-exact', 'linear' (3-d), 'bilinear', 'bicubic' (4-d), 'trilinear' (5-d) or
        'area'. align_corners: put the corner pixels' centres at the corners; linear modes only.
        recompute_scale_factor: use the ratio of the sizes instead of ``scale_factor`` for the sampling
        positions. antialias: widen the filter when shrinking; 'bilinear' and 'bicubic' only.

    Images of uint8 stay uint8: they are rounded after each dimension, the last one first.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.interpolate(ccdl.tensor([[[1., 2.]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    if mode in ("linear", "bilinear", "bicubic", "trilinear") and getattr(input, "dtype", None) is _C.uint8:
        return _bytes(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    return _C.interpolate(
        input,
        size=size,
        scale_factor=scale_factor,
        mode=mode,
        align_corners=align_corners,
        recompute_scale_factor=recompute_scale_factor,
        antialias=antialias,
    )


def _bytes(
    input: Tensor,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: Any,
    recompute: Any,
    antialias: bool,
) -> Tensor:
    """Dimension by dimension, from the last, each result rounded to whole numbers from 0 to 255."""
    n = input.dim() - 2
    sizes = [size] * n if size is not None and not isinstance(size, (list, tuple)) else size
    scales = (
        [scale_factor] * n
        if scale_factor is not None and not isinstance(scale_factor, (list, tuple))
        else scale_factor
    )
    given = [v for v in (sizes, scales) if v is not None]
    if len(given) != 1 or len(given[0]) != n:  # raises, with the words of the whole call
        return _C.interpolate(input.float(), size=size, scale_factor=scale_factor, mode=mode)
    x = input
    for d in range(n - 1, -1, -1):
        options: dict[str, Any] = {"align_corners": align_corners, "antialias": antialias}
        if sizes is not None:
            options["size"] = [*x.shape[2 : 2 + d], sizes[d], *x.shape[3 + d :]]
        elif scales is not None:
            options["scale_factor"] = [float(scales[i]) if i == d else 1.0 for i in range(n)]
            options["recompute_scale_factor"] = recompute
        y = _C.interpolate(x.float(), mode=mode, **options)
        x = (y + 0.5).floor_().clamp_(0, 255).to(_C.uint8)
    return x


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
) -> Tensor:
    """PyTorch's older name of :func:`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """:func:`interpolate` with mode 'nearest'."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """:func:`interpolate` with mode 'bilinear' and aligned corners."""
    warnings.warn("upsample_bilinear is deprecated, use interpolate", stacklevel=2)
    return interpolate(input, size, scale_factor, "bilinear", True)
