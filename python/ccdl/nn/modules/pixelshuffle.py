"""Rearranged pixels under the name of PyTorch's file."""

from __future__ import annotations

from .image import PixelShuffle, PixelUnshuffle

__all__ = ["PixelShuffle", "PixelUnshuffle"]
