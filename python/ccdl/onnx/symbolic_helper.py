"""Decorators of functions that say how an operator would be exported; those functions are never called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["parse_args"]


def parse_args(*arg_descriptors: str) -> Callable[[Any], Any]:
    """A decorator that gives the function back."""
    return lambda function: function
