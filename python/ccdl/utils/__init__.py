"""Utilities: ``data``, ``checkpoint``, ``tensorboard``, ``dlpack``, ``hooks``, ``model_zoo``."""

from __future__ import annotations

from typing import Any

__all__ = ["data"]


def __getattr__(name: Any) -> Any:
    if name in ("_pytree", "checkpoint", "data", "dlpack", "einops", "hooks", "model_zoo", "tensorboard"):
        import importlib

        try:
            return importlib.import_module("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module 'ccdl.utils' has no attribute '{name}'")
