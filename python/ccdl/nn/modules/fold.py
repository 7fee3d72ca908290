"""Sliding blocks under the name of PyTorch's file."""

from __future__ import annotations

from .image import Fold, Unfold

__all__ = ["Fold", "Unfold"]
