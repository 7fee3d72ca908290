"""Batch normalisation under the name of PyTorch's file."""

from __future__ import annotations

from .adaptive import SyncBatchNorm
from .lazy import LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d
from .normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, _BatchNorm, _NormBase

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
]
__all__ += ["SyncBatchNorm"]
_PRIVATE = (_BatchNorm, _NormBase)
