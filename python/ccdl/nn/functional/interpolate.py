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

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.interpolate(ccdl.tensor([[[1., 2.]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    return _C.interpolate(
        input,
        size=size,
        scale_factor=scale_factor,
        mode=mode,
        align_corners=align_corners,
        recompute_scale_factor=recompute_scale_factor,
        antialias=antialias,
    )


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
