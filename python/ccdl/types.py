"""Names of types for annotations."""

from __future__ import annotations

import os
from typing import Any, Union

from ._C import Size, Tensor, device, dtype, layout

__all__ = ["Device", "FileLike", "Number", "Size", "Storage"]

Number = Union[int, float, bool]
Device = Union[device, str, int, None]
FileLike = Union[str, os.PathLike[str], Any]
Storage = Any
_size = Union[Size, list[int], tuple[int, ...]]
_dtype = dtype
_device = device
_layout = layout
_bool = bool
_TensorOrTensors = Union[Tensor, tuple[Tensor, ...], list[Tensor]]
