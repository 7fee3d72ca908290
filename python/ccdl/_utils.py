"""Helpers that code for several devices and processes takes from PyTorch's module of this name."""

from __future__ import annotations

import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NoReturn

from . import _C, errors

__all__: list[str] = []


def _flatten_dense_tensors(tensors: Any) -> _C.Tensor:
    """The values of all ``tensors``, of one dtype, one after another in one vector.

    >>> import ccdl
    >>> from ccdl._utils import _flatten_dense_tensors
    >>> _flatten_dense_tensors([ccdl.ones(2, 1), ccdl.zeros(1)])
    tensor([1., 1., 0.])
    """
    tensors = list(tensors)
    if len({t.dtype for t in tensors}) > 1:
        kinds = ", ".join(sorted({t.dtype.name for t in tensors}))
        raise errors.TypeError(f"_flatten_dense_tensors: tensors are of dtypes {kinds}, must be of one dtype")
    return _C.cat([t.contiguous().view(-1) for t in tensors])


def _unflatten_dense_tensors(flat: _C.Tensor, tensors: Any) -> tuple[_C.Tensor, ...]:
    """Views of ``flat`` in the shapes of ``tensors``, as :func:`_flatten_dense_tensors` laid them out."""
    parts, start = [], 0
    for t in tensors:
        parts.append(flat.narrow(0, start, t.numel()).view(t.shape))
        start += t.numel()
    return tuple(parts)


def _take_tensors(tensors: Any, size_limit: int) -> Iterator[list[_C.Tensor]]:
    """``tensors`` in lists of one dtype and device, each of at most ``size_limit`` bytes or of one tensor."""
    waiting: dict[Any, list[_C.Tensor]] = defaultdict(list)
    sizes: dict[Any, int] = defaultdict(int)
    for t in tensors:
        key, size = (t.dtype, str(t.device)), t.numel() * t.element_size()
        if waiting[key] and sizes[key] + size > size_limit:
            yield waiting.pop(key)
            sizes[key] = 0
        waiting[key].append(t)
        sizes[key] += size
    yield from (part for part in waiting.values() if part)


def _reorder_tensors_as(tensors: Any, ordered_tensors: Any) -> tuple[_C.Tensor, ...]:
    """``tensors``, which come grouped by dtype, in the order of ``ordered_tensors``."""
    by_type = defaultdict(list)
    for t in tensors:
        by_type[t.dtype].append(t)
    groups = {key: iter(part) for key, part in by_type.items()}
    return tuple(next(groups[t.dtype]) for t in ordered_tensors)


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """The number of a CUDA device; -1 for the CPU with ``allow_cpu``; the current one with ``optional``."""
    if isinstance(device, int):
        return device
    if isinstance(device, str):
        device = _C.device(device)
    if isinstance(device, _C.device):
        if device.type == "cpu":
            if allow_cpu:
                return -1
            raise ValueError(f"Expected a non cpu device, but got: {device}")
        if device.index is not None:
            return int(device.index)
    elif device is not None:
        raise ValueError(f"Expected a ccdl.device or an integer, but got: {device!r}")
    if not optional:
        raise ValueError(f"Expected a ccdl.device with a specified index or an integer, but got: {device}")
    import ccdl

    return int(ccdl.cuda.current_device()) if ccdl.cuda.is_available() else -1


def _get_all_device_indices() -> list[int]:
    """The numbers of all CUDA devices."""
    import ccdl

    return list(range(ccdl.cuda.device_count()))


class KeyErrorMessage(str):
    """A message that prints with its line breaks inside a KeyError."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ExceptionWrapper:
    """An exception of a worker as text, to be raised where the worker was called from."""

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        kind: Any
        kind, value, trace = sys.exc_info() if exc_info is None else exc_info
        self.exc_type = kind
        self.exc_msg = "".join(traceback.format_exception(kind, value, trace))
        self.where = where

    def reraise(self) -> NoReturn:
        """Raises an exception of the same class whose text holds the original traceback."""
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            raise KeyError(KeyErrorMessage(message))
        try:
            error = self.exc_type(message)
        except Exception:
            raise RuntimeError(message) from None
        raise error
