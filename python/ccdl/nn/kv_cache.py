"""Keys and values of the tokens seen so far, for generation token by token."""

from __future__ import annotations

from typing import Any

from .. import _C
from .._C import Tensor
from ..errors import ShapeError

__all__ = ["KVCache"]


class KVCache:
    """Memory for the keys and values of one attention layer, filled from the front.

    Args:
        max_length: positions there is room for.

    The memory is made at the first :meth:`append`, of its dtype and device. For inference: what is appended
    must carry no gradient.

    >>> import ccdl, ccdl.nn as nn
    >>> cache = nn.KVCache(4)
    >>> k, v = cache.append(ccdl.ones(1, 2, 3, 8), ccdl.ones(1, 2, 3, 8))
    >>> k.shape, len(cache)
    (ccdl.Size([1, 2, 3, 8]), 3)
    >>> cache.append(ccdl.ones(1, 2, 2, 8), ccdl.ones(1, 2, 2, 8))
    Traceback (most recent call last):
    ccdl.errors.ShapeError: KVCache: 2 more positions do not fit, 3 of max_length 4 are filled
    """

    def __init__(self, max_length: int) -> None:
        if not isinstance(max_length, int) or isinstance(max_length, bool):
            raise TypeError(f"KVCache: max_length is {type(max_length).__name__}, must be an int")
        if max_length < 1:
            raise ValueError(f"KVCache: max_length is {max_length}, must be positive")
        self.max_length = max_length
        self._length = 0
        self._keys: Any = None
        self._values: Any = None

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds keys [N, H, L, D] and values [N, H, L, E]; returns views of all so far.

        Raises:
            ShapeError: they do not fit behind what is there, or have other sizes than before.
            RuntimeError: they require a gradient.
        """
        for name, x in (("keys", keys), ("values", values)):
            if not isinstance(x, Tensor):
                raise TypeError(f"KVCache.append: {name} is {type(x).__name__}, must be a Tensor")
            if x.dim() != 4 or tuple(x.shape[:3]) != tuple(keys.shape[:3]):
                raise ShapeError(
                    f"KVCache.append: {name} is {list(x.shape)}, must be [N, H, L, D] as keys "
                    f"{list(keys.shape)}"
                )
            if x.requires_grad:
                raise RuntimeError(f"KVCache.append: {name} requires a gradient; use ccdl.no_grad()")
        if self._keys is None:
            self._keys, self._values = (self._room(x) for x in (keys, values))
        for name, x, room in (("keys", keys, self._keys), ("values", values, self._values)):
            if x.shape[:2] != room.shape[:2] or x.shape[3] != room.shape[3]:
                raise ShapeError(
                    f"KVCache.append: {name} is {list(x.shape)}, the cache holds {list(room.shape)}: reset()"
                )
        begin, end = self._length, self._length + keys.shape[2]
        if end > self.max_length:
            raise ShapeError(
                f"KVCache: {end - begin} more positions do not fit, {begin} of max_length {self.max_length} "
                "are filled"
            )
        self._keys[:, :, begin:end] = keys
        self._values[:, :, begin:end] = values
        self._length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def _room(self, x):
        n, h, _, d = x.shape
        return _C.zeros((n, h, self.max_length, d), dtype=x.dtype, device=x.device)

    def reorder(self, index: Tensor) -> None:
        """Makes sequence i of the batch what sequence ``index[i]`` was; for beam search."""
        if self._keys is not None:
            self._keys = self._keys.index_select(0, index)
            self._values = self._values.index_select(0, index)

    def truncate(self, length: int) -> None:
        """Forgets all positions from ``length`` on."""
        if not 0 <= length <= self._length:
            raise ValueError(f"KVCache.truncate: length is {length}, must be from 0 to {self._length}")
        self._length = length

    def reset(self) -> None:
        """Forgets everything, sizes included."""
        self._length, self._keys, self._values = 0, None, None

    def __repr__(self) -> str:
        return f"KVCache(length={self._length}, max_length={self.max_length})"
