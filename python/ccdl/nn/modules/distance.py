"""Distances under the name of PyTorch's file."""

from __future__ import annotations

from .image import CosineSimilarity, PairwiseDistance

__all__ = ["CosineSimilarity", "PairwiseDistance"]
