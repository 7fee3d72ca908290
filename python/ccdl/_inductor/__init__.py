"""Settings of PyTorch's code generator, which ccdl does not have: accepted without effect."""

from . import config

__all__ = ["config"]
