"""Parameters as one flat vector and back."""

from __future__ import annotations

from typing import Any

from ... import _C

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Any) -> Any:
    """All parameters, flattened and joined; differentiable.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.utils.parameters_to_vector(nn.Linear(2, 3).parameters()).shape
    ccdl.Size([9])
    """
    return _C.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Any) -> None:
    """Cuts ``vec`` into the parameters' shapes and makes the pieces their data."""
    if not isinstance(vec, _C.Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        count = p.numel()
        p.data = vec[start : start + count].view(p.shape).detach()
        start += count
