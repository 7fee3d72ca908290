"""Rearranged channels under the name of PyTorch's file."""

from __future__ import annotations

from .image import ChannelShuffle

__all__ = ["ChannelShuffle"]
