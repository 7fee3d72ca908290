"""Where PyTorch keeps the module of a traced program."""

from . import GraphModule

__all__ = ["GraphModule"]
