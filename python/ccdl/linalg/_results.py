"""Results into ``out=``."""

from __future__ import annotations

from typing import Any

from .._C import Tensor
from .._contractions import _write

__all__ = ["all_into", "into"]


def into(out: Tensor | None, result: Any) -> Any:
    return result if out is None else _write(out, result)


def all_into(out: Any, results: Any) -> Any:
    if out is None:
        return results
    return tuple(_write(o, r) for o, r in zip(out, results))
