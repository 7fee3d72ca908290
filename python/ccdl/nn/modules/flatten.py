"""Flattening under the name of PyTorch's file."""

from __future__ import annotations

from .linear import Flatten, Unflatten

__all__ = ["Flatten", "Unflatten"]
