"""Gradient clipping, in place, by the norm of all gradients together or by value.

Both passes read and write every gradient once; on a CUDA device nothing waits for the result, so clipping can
be part of a captured graph.
"""

from __future__ import annotations

import types
import warnings
from typing import Any

from ... import _C

__all__ = [
    "clip_grad_norm_",
    "clip_grad_norm",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


def _gradients(parameters):
    if isinstance(parameters, _C.Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def _by_device(tensors):
    groups: dict[Any, list[Any]] = {}
    for t in tensors:
        groups.setdefault(t.device, []).append(t)
    return groups


def _vector_norm(tensors, order):
    """The norm of the tensors' norms, for the orders that have no pass of their own."""
    device = tensors[0].device
    norms = _C.stack([_C._vector_norm(t, order).to(device) for t in tensors])
    return _C._vector_norm(norms, order)


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Any:
    """The ``norm_type``-norm of all ``tensors`` seen as one vector; ``inf`` is the largest absolute value.

    Args:
        tensors: tensors of any floating dtypes on any devices; the result is on the first one's, in the
            widest dtype. An empty list gives 0.
        norm_type: 1, 2, inf and every other positive order are summed in float64 over all elements; an order
            of 0 or below is the norm of the tensors' own norms, as in PyTorch.
        error_if_nonfinite: raise RuntimeError when the norm is infinite or NaN, which waits for the device.
        foreach: accepted without effect.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.utils.get_total_norm([ccdl.tensor([3.]), ccdl.tensor([4.])])
    tensor(5.)
    """
    tensors = [tensors] if isinstance(tensors, _C.Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return _C.tensor(0.0)
    previous = _C._set_grad_enabled(False)
    try:
        if norm_type > 0:
            device = tensors[0].device
            norms = [_C._total_norm(group, norm_type).to(device) for group in _by_device(tensors).values()]
            total = norms[0] if len(norms) == 1 else _C._total_norm(norms, norm_type)
        else:
            total = _vector_norm(tensors, norm_type)
    finally:
        _C._set_grad_enabled(previous)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it "
            "cannot be clipped. To disable this error and scale the gradients by the non-finite norm anyway, "
            "set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(parameters: Any, max_norm: Any, total_norm: Any, foreach: Any = None) -> None:
    """Scales all gradients by ``max_norm / (total_norm + 1e-6)`` where that is below 1.

    ``total_norm`` is a tensor, usually from :func:`get_total_norm`; it stays on its device.

    >>> import ccdl, ccdl.nn as nn
    >>> p = nn.Parameter(ccdl.zeros(2))
    >>> p.grad = ccdl.tensor([3., 4.])
    >>> nn.utils.clip_grads_with_norm_([p], 1.0, ccdl.tensor(10.))
    >>> p.grad
    tensor([0.3000, 0.4000])
    """
    max_norm = float(max_norm)
    for device, grads in _by_device(_gradients(parameters)).items():
        _C._clip_by_norm_(grads, total_norm.detach().to(device), max_norm)


def clip_grad_norm_(
    parameters: Any,
    max_norm: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Any:
    """Scales all gradients by ``max_norm / (total norm + 1e-6)`` where that is below 1; returns the total
    norm.

    ``norm_type``, ``error_if_nonfinite`` and ``foreach`` as in :func:`get_total_norm`.

    Source: Pascanu et al., 2013.

    >>> import ccdl, ccdl.nn as nn
    >>> p = nn.Parameter(ccdl.zeros(2))
    >>> p.grad = ccdl.tensor([3., 4.])
    >>> nn.utils.clip_grad_norm_([p], 1.0)
    tensor(5.)
    """
    if not isinstance(parameters, _C.Tensor):
        generator = isinstance(parameters, types.GeneratorType)
        parameters = list(parameters)
        if generator and not parameters:
            warnings.warn(
                "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2
            )
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_norm(
    parameters: Any,
    max_norm: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Any:
    """PyTorch's deprecated name of :func:`clip_grad_norm_`."""
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters: Any, clip_value: Any, foreach: Any = None) -> None:
    """Limits every gradient element to [-clip_value, clip_value]; NaN stays.

    >>> import ccdl, ccdl.nn as nn
    >>> p = nn.Parameter(ccdl.zeros(2))
    >>> p.grad = ccdl.tensor([3., -4.])
    >>> nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1., -1.])
    """
    clip_value = float(clip_value)
    for grads in _by_device(_gradients(parameters)).values():
        _C._clamp_list_(grads, clip_value)
