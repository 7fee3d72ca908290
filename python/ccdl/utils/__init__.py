"""Utilities: ``data``, ``checkpoint``, ``tensorboard``."""

from __future__ import annotations

from typing import Any

__all__ = ["data"]


def __getattr__(name: Any) -> Any:
    if name in ("data", "checkpoint", "tensorboard", "model_zoo"):
        import importlib

        try:
            return importlib.import_module("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module 'ccdl.utils' has no attribute '{name}'")
