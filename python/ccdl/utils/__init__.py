"""Utilities: ``data``, ``checkpoint``, ``tensorboard``, ``dlpack``, ``hooks``, ``model_zoo``."""

from __future__ import annotations

import copyreg
import weakref
from typing import Any

__all__ = ["data", "swap_tensors"]

_SUBMODULES = frozenset(
    "_pytree checkpoint collect_env cpp_extension data dlpack einops hooks model_zoo tensorboard".split()
)


def __getattr__(name: Any) -> Any:
    if name in _SUBMODULES:
        import importlib

        try:
            return importlib.import_module("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module 'ccdl.utils' has no attribute '{name}'")


def swap_tensors(t1: Any, t2: Any) -> None:
    """Exchanges what two tensor objects are: values, gradients, attributes and class.

    Whoever holds ``t1`` sees the former content of ``t2``, and the other way round. Backward through a graph
    made before is an error once it arrives at a swapped leaf.

    Raises:
        RuntimeError: something else holds one of the two, such as a weak reference or a graph in whose middle
            it is; or the classes have different ``__slots__``.

    >>> import ccdl
    >>> a, b = ccdl.zeros(1), ccdl.ones(2)
    >>> ccdl.utils.swap_tensors(a, b)
    >>> a, b
    (tensor([1., 1.]), tensor([0.]))
    """
    from .. import _C
    from ..autograd.graph import get_gradient_edge
    from ..errors import RuntimeError as CcdlRuntimeError
    from ..errors import TypeError as CcdlTypeError

    pair = (("t1", t1), ("t2", t2))
    for name, t in pair:
        if not isinstance(t, _C.Tensor):
            raise CcdlTypeError(f"swap_tensors: {name} is {type(t).__name__}, must be a Tensor")
        if weakref.getweakrefs(t):
            raise CcdlRuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    slots = set(copyreg._slotnames(type(t1)))  # type: ignore[attr-defined]
    if slots != set(copyreg._slotnames(type(t2))):  # type: ignore[attr-defined]
        raise CcdlRuntimeError("Cannot swap t1 and t2 if they have different slots")
    for name, t in pair:
        uses = t._use_count()
        if uses > 1:
            if uses > 2 or not (t.is_leaf and t.requires_grad):
                raise CcdlRuntimeError(
                    f"Expected use_count of {name} to be 1 or 2 with an AccumulateGrad node but got {uses}; "
                    "make sure that nothing else holds the tensor"
                )
            get_gradient_edge(t).node.register_prehook(_refuse_swapped)
    t1.__class__, t2.__class__ = type(t2), type(t1)
    for slot in slots:
        values = [getattr(t, slot, slots) for t in (t2, t1)]
        for t, value in zip((t1, t2), values):
            if value is not slots:
                setattr(t, slot, value)
            elif hasattr(t, slot):
                delattr(t, slot)
    _C.Tensor._swap_impl(t1, t2)


def _refuse_swapped(grads: Any) -> None:
    raise RuntimeError(
        "Trying to execute AccumulateGrad node that was poisoned by swap_tensors: a tensor was swapped "
        "between forward and backward; swap before the forward or after the backward"
    )
