"""Where older code looks for the loss scaling of CUDA devices."""

from . import GradScaler

__all__ = ["GradScaler"]
