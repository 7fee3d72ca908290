"""Upsampling under the name of PyTorch's file."""

from __future__ import annotations

from .image import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]
