"""The handle that registering a hook returns."""

from __future__ import annotations

from ..nn.modules.module import RemovableHandle

__all__ = ["RemovableHandle"]
