"""Where PyTorch keeps what stands for values while tracing."""

from . import Proxy

__all__ = ["Proxy"]
