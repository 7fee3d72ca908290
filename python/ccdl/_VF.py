"""The native functions under PyTorch's second name for them: ``ccdl._VF.lstm`` is ``ccdl.lstm``."""

from __future__ import annotations

from typing import Any

from . import _C


def __getattr__(name: str) -> Any:
    return getattr(_C, name)
