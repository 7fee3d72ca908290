"""Where PyTorch keeps the node of a traced program."""

from . import Node

__all__ = ["Node"]
