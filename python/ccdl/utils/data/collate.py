"""From a list of samples to a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ... import _C

__all__ = ["default_collate", "default_convert"]


def _is_numpy(value):
    return type(value).__module__.split(".")[0] == "numpy"


def default_collate(batch: Any) -> Any:
    """Stacks the samples' tensors, arrays and numbers; keeps dicts, tuples and lists around them.

    Tensors [*] become [B, *]; Python floats float64 and ints int64 tensors; strings stay a list; a list of
    tuples becomes a list of batches.

    Raises:
        RuntimeError: samples of different lengths. TypeError: an unknown kind of value.

    >>> from ccdl.utils.data import default_collate
    >>> default_collate([{"a": 1}, {"a": 2}])
    {'a': tensor([1, 2])}
    """
    first = batch[0]
    if isinstance(first, _C.Tensor):
        return _C.stack(list(batch), 0)
    if _is_numpy(first):
        if getattr(first, "dtype", None) is None or first.dtype.kind in "OSUV":
            raise TypeError(
                f"default_collate: cannot batch numpy values of dtype {getattr(first, 'dtype', None)}"
            )
        if getattr(first, "shape", None) == ():
            return _C.as_tensor([value.item() for value in batch], dtype=_C.as_tensor(first).dtype)
        return _C.stack([_C.as_tensor(value) for value in batch], 0)
    if isinstance(first, bool):
        return _C.tensor(batch)
    if isinstance(first, float):
        return _C.tensor(batch, dtype=_C.float64)
    if isinstance(first, int):
        return _C.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        merged = {key: default_collate([sample[key] for sample in batch]) for key in first}
        try:
            return type(first)(merged)  # type: ignore[call-arg]
        except TypeError:
            return merged
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(values)) for values in zip(*batch)))
    if isinstance(first, Sequence):
        size = len(first)
        if any(len(sample) != size for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(list(values)) for values in zip(*batch)]
        return columns if isinstance(first, (tuple, list)) else _like(first, columns)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first).__name__}"
    )


def _like(first, columns):
    try:
        return type(first)(columns)
    except TypeError:
        return columns


def default_convert(data: Any) -> Any:
    """numpy arrays inside ``data`` become tensors; everything else stays. Used when batching is off."""

    def convert(value):
        is_numbers = _is_numpy(value) and getattr(value, "dtype", None) is not None
        return _C.as_tensor(value) if is_numbers and value.dtype.kind not in "OSUV" else value

    return _mapped(data, convert)


def pin_memory(data: Any) -> Any:
    """The tensors inside ``data`` in page-locked memory, from which copies to a device need no wait."""
    return _mapped(data, lambda value: value.pin_memory() if isinstance(value, _C.Tensor) else value)


def _mapped(data, leaf):
    """``data`` with ``leaf`` applied to everything that is not a mapping or a sequence."""
    if isinstance(data, (_C.Tensor, str, bytes)) or _is_numpy(data):
        return leaf(data)
    if isinstance(data, Mapping):
        changed = {key: _mapped(value, leaf) for key, value in data.items()}
        try:
            return type(data)(changed)  # type: ignore[call-arg]
        except TypeError:
            return changed
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(_mapped(value, leaf) for value in data))
    if isinstance(data, tuple):
        return [_mapped(value, leaf) for value in data]
    if isinstance(data, Sequence):
        return _like(data, [_mapped(value, leaf) for value in data])
    return leaf(data)
