"""PyTorch's operators that take functions, run eagerly."""

from __future__ import annotations

from .associative_scan import associative_scan
from .control_flow import cond, while_loop

__all__ = ["associative_scan", "cond", "while_loop"]
