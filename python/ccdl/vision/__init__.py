"""Images: data sets from files, and transforms of single images and of whole batches on either device."""

from __future__ import annotations

from typing import Any

__all__ = ["datasets", "transforms"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        import importlib

        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'ccdl.vision' has no attribute '{name}'")
