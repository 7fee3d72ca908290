"""Arguments of a model in parts for several devices, and their results joined."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ._functions import Gather, Scatter

__all__ = ["gather", "scatter", "scatter_kwargs"]


def scatter(inputs: Any, target_gpus: Any, dim: int = 0) -> Any:
    """Tensors in ``inputs`` cut along ``dim``, a part for each target; anything else goes to every target.

    >>> import ccdl
    >>> a, b = ccdl.nn.parallel.scatter((ccdl.arange(4), "x"), [-1, -1])
    >>> a, b
    ((tensor([0, 1]), 'x'), (tensor([2, 3]), 'x'))
    """
    if isinstance(inputs, _C.Tensor):
        return Scatter.apply(target_gpus, None, dim, inputs)
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        parts = zip(*(scatter(x, target_gpus, dim) for x in inputs), strict=False)
        return [type(inputs)(*part) for part in parts]
    if isinstance(inputs, tuple) and inputs:
        return list(zip(*(scatter(x, target_gpus, dim) for x in inputs), strict=False))
    if isinstance(inputs, list) and inputs:
        return [list(part) for part in zip(*(scatter(x, target_gpus, dim) for x in inputs), strict=False)]
    if isinstance(inputs, dict) and inputs:
        parts = zip(*(scatter(item, target_gpus, dim) for item in inputs.items()), strict=False)
        return [type(inputs)(part) for part in parts]
    return [inputs for _ in target_gpus]


def scatter_kwargs(inputs: Any, kwargs: Any, target_gpus: Any, dim: int = 0) -> Any:
    """:func:`scatter` of positional and named arguments, as many of one as of the other."""
    cut = list(scatter(inputs, target_gpus, dim)) if inputs else []
    named = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    cut += [() for _ in range(len(named) - len(cut))]
    named += [{} for _ in range(len(cut) - len(named))]
    return tuple(cut), tuple(named)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """Results of several devices joined along ``dim`` on ``target_device`` (-1 leaves them where they are).

    >>> import ccdl
    >>> ccdl.nn.parallel.gather([{"y": ccdl.ones(1)}, {"y": ccdl.zeros(2)}], -1)
    {'y': tensor([1., 0., 0.])}
    """
    first = outputs[0]
    if isinstance(first, _C.Tensor):
        return Gather.apply(target_device, dim, *outputs)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(first) != len(other) for other in outputs):
            raise errors.ValueError("gather: all dicts must have the same number of keys")
        return type(first)((k, gather([other[k] for other in outputs], target_device, dim)) for k in first)
    parts = [gather(list(part), target_device, dim) for part in zip(*outputs, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
