"""Exchange of tensors with other libraries without copying: the DLPack protocol."""

from __future__ import annotations

from typing import Any

from .._C import Tensor, from_dlpack

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule over the memory of ``tensor``; it can be taken once.

    >>> import ccdl
    >>> from ccdl.utils.dlpack import from_dlpack, to_dlpack
    >>> from_dlpack(to_dlpack(ccdl.arange(3)))
    tensor([0, 1, 2])
    """
    return tensor.__dlpack__()
