"""Penalties to add to a loss, and the max-norm constraint after each step.

Conventions: with ``form="half"`` the L2 penalty is ``lambda / 2 sum w^2`` with gradient ``lambda w``, which
is what an optimiser's ``weight_decay=lambda`` adds; with ``form="sum"`` it is ``lambda sum w^2`` with
gradient ``2 lambda w``. Weight decay that is decoupled (``AdamW``) shrinks the weights outside the gradient
and equals a penalty for plain SGD only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import _C
from .optimizer import Optimizer

__all__ = ["MaxNorm", "elastic_penalty", "l1_penalty", "l2_penalty", "max_norm_"]


def _tensors(what: str, parameters: Any, biases: bool) -> list[Any]:
    if isinstance(parameters, _C.Tensor):
        return [parameters]
    if not hasattr(parameters, "parameters") and not isinstance(parameters, Iterable):
        raise TypeError(f"{what}: parameters is {type(parameters).__name__}, must be a module or tensors")
    if hasattr(parameters, "parameters"):
        found = [p for p in parameters.parameters() if biases or p.dim() > 1]
    else:
        found = list(parameters)
    for p in found:
        if not isinstance(p, _C.Tensor):
            raise TypeError(f"{what}: parameters must be tensors, got {type(p).__name__}")
    if not found:
        raise ValueError(f"{what}: got no parameters")
    return found


def _strength(what: str, **weights: Any) -> None:
    for name, weight in weights.items():
        number = weight.item() if isinstance(weight, _C.Tensor) else weight
        if not isinstance(number, (int, float)):
            raise TypeError(f"{what}: {name} is {type(weight).__name__}, must be a number")
        if not number >= 0:
            raise ValueError(f"{what}: {name} is {weight}, must not be negative")


def _total(terms: Iterable[Any], weight: float) -> Any:
    total: Any = None
    for term in terms:
        total = term if total is None else total + term.to(total.device)
    return total * weight


def l1_penalty(parameters: Any, weight: float = 1.0, biases: bool = False) -> Any:
    """``weight sum |w|``: drives weights to zero. The gradient at 0 is 0.

    Args:
        parameters: a module, a tensor, or tensors.
        weight: lambda.
        biases: of a module take vectors and scalars (biases, normalisation) too.

    >>> import ccdl
    >>> ccdl.optim.regularizers.l1_penalty(ccdl.tensor([1., -2.]), 0.5)
    tensor(1.5000)
    """
    _strength("l1_penalty", weight=weight)
    return _total((p.abs().sum() for p in _tensors("l1_penalty", parameters, biases)), weight)


def l2_penalty(parameters: Any, weight: float = 1.0, form: str = "half", biases: bool = False) -> Any:
    """``weight / 2 sum w^2`` ('half') or ``weight sum w^2`` ('sum').

    Args:
        parameters, weight, biases: as for :func:`l1_penalty`.
        form: see above.

    Raises:
        ValueError: an unknown form.

    >>> import ccdl
    >>> ccdl.optim.regularizers.l2_penalty(ccdl.tensor([1., -2.]), 0.5)
    tensor(1.2500)
    """
    if form not in ("half", "sum"):
        raise ValueError(f"l2_penalty: form must be 'half' or 'sum', got {form!r}")
    _strength("l2_penalty", weight=weight)
    weight = weight / 2 if form == "half" else weight
    return _total(((p * p).sum() for p in _tensors("l2_penalty", parameters, biases)), weight)


def elastic_penalty(
    parameters: Any, l1: float = 1.0, l2: float = 1.0, form: str = "half", biases: bool = False
) -> Any:
    """Both: ``l1 sum |w| + l2 / 2 sum w^2`` (or ``l2 sum w^2`` with form 'sum').

    Source: Zou and Hastie, 2005.

    >>> import ccdl
    >>> ccdl.optim.regularizers.elastic_penalty(ccdl.tensor([1., -2.]), 0.5, 0.5, form="sum")
    tensor(4.)
    """
    _strength("elastic_penalty", l1=l1, l2=l2)
    tensors = _tensors("elastic_penalty", parameters, biases)
    return l1_penalty(tensors, l1) + l2_penalty(tensors, l2, form)


def max_norm_(parameters: Any, c: float = 3.0, dim: int = 0, norm_type: float = 2.0) -> None:
    """Scales weight vectors longer than c back to length c, in place; shorter ones stay as they are.

    Args:
        parameters: a module (its weights of two and more dimensions), a tensor, or tensors.
        c: largest length, about 3 to 4.
        dim: the dimension of the units: a vector is everything at one index of it (0: rows of linear layers,
            filters of convolutions).
        norm_type: of the length.

    Raises:
        ValueError: c is not positive.

    >>> import ccdl
    >>> w = ccdl.tensor([[3., 4.], [1., 0.]])
    >>> ccdl.optim.regularizers.max_norm_(w, c=1.0); w
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]])
    """
    if not c > 0:
        raise ValueError(f"max_norm_: c must be positive, got {c}")
    previous = _C._set_grad_enabled(False)
    try:
        for p in _tensors("max_norm_", parameters, False):
            if p.dim() == 0 or not -p.dim() <= dim < p.dim():
                raise IndexError(f"max_norm_: no dimension {dim} in a tensor of size {tuple(p.shape)}")
            others = [d for d in range(p.dim()) if d != dim % p.dim()]
            length = p.norm(norm_type, others, keepdim=True) if others else p.abs()
            p.mul_(c / length.clamp(min=c))
    finally:
        _C._set_grad_enabled(previous)


class MaxNorm:
    """Applies :func:`max_norm_` after every step of an optimiser.

    Args:
        optimizer: which gets a hook.
        c, dim, norm_type: as for :func:`max_norm_`.
        parameters: the tensors, or a module; all parameters of two and more dimensions when left out.

    ``remove()`` takes the hook away. Works in captured CUDA graphs.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.Linear(2, 1)
    >>> optimizer = ccdl.optim.SGD(layer.parameters(), lr=100.0)
    >>> constraint = ccdl.optim.regularizers.MaxNorm(optimizer, c=3.0)
    >>> layer(ccdl.ones(1, 2)).sum().backward(); optimizer.step()
    >>> round(layer.weight.norm().item(), 4)
    3.0
    """

    def __init__(
        self,
        optimizer: Any,
        c: float = 3.0,
        dim: int = 0,
        norm_type: float = 2.0,
        parameters: Any = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"MaxNorm: {type(optimizer).__name__} is not an Optimizer")
        if not c > 0:
            raise ValueError(f"MaxNorm: c must be positive, got {c}")
        self.c, self.dim, self.norm_type = c, dim, norm_type
        self._given = None if parameters is None else _tensors("MaxNorm", parameters, False)
        self._handle = optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        chosen = self._given
        if chosen is None:
            chosen = [p for group in optimizer.param_groups for p in group["params"] if p.dim() > 1]
        if chosen:
            max_norm_(chosen, self.c, self.dim, self.norm_type)

    def remove(self) -> None:
        """Ends the constraint."""
        self._handle.remove()
