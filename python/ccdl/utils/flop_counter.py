"""Counting floating-point operations needs to see every operator, which is not supported."""

from __future__ import annotations

from typing import Any

from .. import errors

__all__ = ["FlopCounterMode"]


class FlopCounterMode:
    """Would count the operations of the code in its ``with`` block.

    Raises:
        NotImplementedError: on entering.
    """

    def __init__(
        self, mods: Any = None, depth: int = 2, display: bool = True, custom_mapping: Any = None
    ) -> None:
        self.mods = mods
        self.depth = depth
        self.display = display

    def __enter__(self) -> Any:
        raise errors.NotImplementedError(
            "FlopCounterMode: operators are not counted; ccdl.profiler.profile measures their time"
        )

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """The counts by module: none, since no block was entered."""
        return {}

    def get_total_flops(self) -> int:
        """The sum of :meth:`get_flop_counts`: 0."""
        return 0

    def __exit__(self, *error: Any) -> None:
        return None
