"""Several modules, each with its own arguments."""

from __future__ import annotations

from typing import Any

from ... import _C, errors

__all__ = ["parallel_apply"]


def parallel_apply(modules: Any, inputs: Any, kwargs_tup: Any = None, devices: Any = None) -> list[Any]:
    """``module(*input, **kwargs)`` of each, one after another: an operator uses all cores by itself.

    >>> import ccdl
    >>> f = ccdl.nn.Linear(2, 1)
    >>> [y.shape for y in ccdl.nn.parallel.parallel_apply([f, f], [ccdl.ones(3, 2), (ccdl.ones(2),)])]
    [ccdl.Size([3, 1]), ccdl.Size([1])]
    """
    named = [{}] * len(modules) if kwargs_tup is None else kwargs_tup
    for name, given in (("inputs", inputs), ("kwargs_tup", named), ("devices", devices or modules)):
        if len(given) != len(modules):
            raise errors.ValueError(f"parallel_apply: got {len(given)} {name} for {len(modules)} modules")
    return [
        module(*(x if isinstance(x, (list, tuple)) else (x,)), **(more or {}))
        if not isinstance(x, _C.Tensor)
        else module(x, **(more or {}))
        for module, x, more in zip(modules, inputs, named, strict=True)
    ]
