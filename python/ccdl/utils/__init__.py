"""Utilities; so far ``ccdl.utils.data``."""

__all__ = ["data"]


def __getattr__(name):
    if name in ("data", "checkpoint", "tensorboard", "model_zoo"):
        import importlib

        try:
            return importlib.import_module("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module 'ccdl.utils' has no attribute '{name}'")
