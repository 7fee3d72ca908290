"""Padding of the last dimensions."""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor

__all__ = ["pad"]


def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """Enlarges ``input`` at its borders.

    Args:
        pad: (left, right, top, bottom, front, back, ...) starting from the last dimension; negative values
        crop. mode: 'constant' (any dimensions), 'reflect' (border not repeated; each pad smaller than the
            size),
            'replicate' or 'circular'; these three pad the last 1, 2 or 3 dimensions of a 2-5-d input.
        value: the constant, 0 if None.

    Raises:
        RuntimeError, ValueError: an odd number of pads, or pads too large for the mode.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.pad(ccdl.tensor([1., 2., 3.]), (1, 2))
    tensor([0., 1., 2., 3., 0., 0.])
    """
    return _C.pad(input, pad, mode=mode, value=value)
