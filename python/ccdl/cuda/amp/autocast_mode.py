"""Where older code looks for the mixed precision of CUDA devices."""

from . import autocast, custom_bwd, custom_fwd

__all__ = ["autocast", "custom_bwd", "custom_fwd"]
