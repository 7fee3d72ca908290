"""Gradient clipping, in place, by the norm of all gradients together or by value."""

from __future__ import annotations

from typing import Any

from ... import _C

__all__ = ["clip_grad_norm_", "clip_grad_norm", "clip_grad_value_", "get_total_norm"]


def _gradients(parameters):
    if isinstance(parameters, _C.Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Any:
    """The ``norm_type``-norm of all ``tensors`` seen as one vector; ``inf`` is the largest absolute value.

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
        norms = _C.stack([t.norm(norm_type) for t in tensors])
        total = norms.max() if norm_type == float("inf") else norms.norm(norm_type)
    finally:
        _C._set_grad_enabled(previous)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients is non-finite, so it cannot be clipped"
        )
    return total


def clip_grad_norm_(
    parameters: Any,
    max_norm: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Any:
    """Scales all gradients by ``max_norm / (total norm + 1e-6)`` where that is below 1; returns the total
    norm.

    Source: Pascanu et al., 2013.

    >>> import ccdl, ccdl.nn as nn
    >>> p = nn.Parameter(ccdl.zeros(2))
    >>> p.grad = ccdl.tensor([3., 4.])
    >>> nn.utils.clip_grad_norm_([p], 1.0)
    tensor(5.)
    """
    grads = _gradients(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    if grads:
        previous = _C._set_grad_enabled(False)
        try:
            scale = (float(max_norm) / (total + 1e-6)).clamp(max=1.0)
            for g in grads:
                g.mul_(scale.to(g.dtype))
        finally:
            _C._set_grad_enabled(previous)
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
    """Limits every gradient element to [-clip_value, clip_value].

    >>> import ccdl, ccdl.nn as nn
    >>> p = nn.Parameter(ccdl.zeros(2))
    >>> p.grad = ccdl.tensor([3., -4.])
    >>> nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1., -1.])
    """
    clip_value = float(clip_value)
    previous = _C._set_grad_enabled(False)
    try:
        for g in _gradients(parameters):
            g.clamp_(min=-clip_value, max=clip_value)
    finally:
        _C._set_grad_enabled(previous)
