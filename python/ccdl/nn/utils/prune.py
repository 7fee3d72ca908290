"""Pruning: masks over parameters. ``<name>_orig`` is trained, ``<name>_mask`` (a buffer) is 0 where pruned,
and ``<name>`` is their product, computed before each forward pass until :func:`remove` makes it permanent.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from ... import _C
from ..parameter import Parameter

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod(ABC):
    """Base: subclasses write ``compute_mask(t, default_mask)`` and name what they choose among in
    ``PRUNING_TYPE``: 'unstructured' (elements), 'structured' (slices) or 'global' (everything, mask and all).
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The new mask of ``t``, which ``default_mask`` already prunes."""

    def apply_mask(self, module: Any) -> Any:
        """Original times mask."""
        original = getattr(module, self._tensor_name + "_orig")
        return getattr(module, self._tensor_name + "_mask").to(original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prunes ``module.<name>``; what is pruned already stays so."""
        earlier = [
            (key, hook)
            for key, hook in module._forward_pre_hooks.items()
            if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
        ]
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        if earlier:
            key, old = earlier[0]
            del module._forward_pre_hooks[key]
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            method = container
            original = getattr(module, name + "_orig")
            default = getattr(module, name + "_mask").detach().clone()
        else:
            original = getattr(module, name)
            default = _C.ones_like(original.detach())
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}"
            )
        mask = method.compute_mask(scores.detach(), default)
        if earlier:
            module._buffers[name + "_mask"] = mask
        else:
            if not isinstance(original, Parameter):
                original = Parameter(original)
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
            module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """``t`` times the mask, without a module."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        default = _C.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=default)

    def remove(self, module: Any) -> None:
        """Makes the pruned tensor the parameter, without mask."""
        name = self._tensor_name
        original = module._parameters.pop(name + "_orig")
        original.data = self.apply_mask_to(original, module._buffers.pop(name + "_mask"))
        delattr(module, name)
        setattr(module, name, original)

    @staticmethod
    def apply_mask_to(original: Any, mask: Any) -> Any:
        """Their product, outside the graph."""
        return original.detach() * mask.to(original.dtype)


class PruningContainer(BasePruningMethod):
    """Several methods on one tensor, each among what those before have left."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        methods = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        for method in methods:
            if not hasattr(self, "_tensor_name"):
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Adds a method for the same tensor."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The last method's choice among what ``default_mask`` leaves."""
        method, mask = self._pruning_methods[-1], default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            left = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim % t.dim()
            others = [d for d in range(t.dim()) if d != dim]
            keep = mask.sum(others) != 0  # slices that are not gone as a whole
            left = _along(keep, dim, t.dim()).expand(t.shape)
            shape = [int(keep.sum()) if d == dim else n for d, n in enumerate(t.shape)]
            part = method.compute_mask(t[left].reshape(shape), mask[left].reshape(shape))
            mask = mask.clone()
            mask[left] = part.reshape(-1).to(mask.dtype)
            return mask
        elif method.PRUNING_TYPE == "global":
            left = _C.ones_like(mask).bool()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        part = method.compute_mask(t[left], mask[left])
        mask = mask.clone()
        mask[left] = part.to(mask.dtype)
        return mask


def _along(vector: Any, dim: int, ndim: int) -> Any:
    return vector.reshape([-1 if d == dim else 1 for d in range(ndim)])


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real) or isinstance(amount, bool):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    value: Any = amount
    whole = isinstance(value, numbers.Integral)
    if (whole and value < 0) or (not whole and not 0.0 <= float(value) <= 1.0):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer"
        )


_validate_pruning_amount_init = _check_amount


def _validate_pruning_amount(amount: Any, tensor_size: int) -> None:
    """ValueError for a count above the number of entries there are."""
    if isinstance(amount, int) and amount > tensor_size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={tensor_size}"
        )


def _compute_nparams_toprune(amount: Any, tensor_size: int) -> int:
    """The count that an amount, a count or a share, means of ``tensor_size`` entries."""
    return amount if isinstance(amount, int) else round(float(amount) * tensor_size)


def _count(amount: Any, size: int) -> int:
    """How many of ``size``; a share is rounded."""
    _validate_pruning_amount(amount, size)
    return _compute_nparams_toprune(amount, size)


class Identity(BasePruningMethod):
    """Prunes nothing; adds the mask."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask as it is."""
        return default_mask


class _ByAmount(BasePruningMethod):
    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def _scores(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Zero where the scores are smallest."""
        n = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if n:
            least = self._scores(t).reshape(-1).topk(n, largest=False).indices
            flat = mask.reshape(-1)
            flat[least] = 0
            mask = flat.reshape(mask.shape)
        return mask


class RandomUnstructured(_ByAmount):
    """Elements at random."""

    def _scores(self, t):
        return _C.rand_like(t)


class L1Unstructured(_ByAmount):
    """The elements of least magnitude."""

    def _scores(self, t):
        return t.abs()


class _Structured(BasePruningMethod):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def _scores(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Zero for the slices along ``dim`` with the smallest scores."""
        if t.dim() <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{tuple(t.shape)} with {t.dim()} dims"
            )
        if not -t.dim() <= self.dim < t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {tuple(t.shape)}")
        n = _count(self.amount, t.size(self.dim))
        if n == 0:
            return default_mask
        keep = _C.ones(t.size(self.dim), dtype=default_mask.dtype, device=t.device)
        keep[self._scores(t).topk(n, largest=False).indices] = 0
        return default_mask * _along(keep, self.dim % t.dim(), t.dim())


class RandomStructured(_Structured):
    """Slices at random."""

    def _scores(self, t):
        return _C.rand(t.size(self.dim), device=t.device)


class LnStructured(_Structured):
    """The slices of least n-norm."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _scores(self, t):
        return t.norm(self.n, [d for d in range(t.dim()) if d != self.dim % t.dim()])


class CustomFromMask(BasePruningMethod):
    """A given mask."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Both masks."""
        if default_mask.shape != self.mask.shape and default_mask.numel() != self.mask.numel():
            raise AssertionError(
                f"mask has size {tuple(self.mask.shape)}, must have the tensor's {tuple(default_mask.shape)}"
            )
        return default_mask * self.mask.to(default_mask.dtype).reshape(default_mask.shape)


def identity(module: Any, name: str) -> Any:
    """Adds a mask of ones to ``module.<name>``."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """Prunes ``amount`` (a count, or a share as float) elements at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:
    """Prunes the ``amount`` elements of least magnitude (or least score).

    Raises:
        ValueError: an amount outside [0, 1] or above the number of elements.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.Linear(4, 1)
    >>> _ = layer.weight.data.copy_(ccdl.tensor([[1., -3., 0.5, 2.]]))
    >>> nn.utils.prune.l1_unstructured(layer, "weight", 0.5).weight.tolist()
    [[0.0, -3.0, 0.0, 2.0]]
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """Prunes ``amount`` slices along ``dim`` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None
) -> Any:
    """Prunes the ``amount`` slices along ``dim`` of least n-norm.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(ccdl.tensor([[1., 1.], [2., 0.5]]))
    >>> nn.utils.prune.ln_structured(layer, "weight", 1, n=2, dim=0).weight.tolist()
    [[0.0, 0.0], [2.0, 0.5]]
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(
    parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any
) -> None:
    """Prunes among all ``(module, name)`` pairs at once, so that layers keep different shares.

    Raises:
        TypeError: a method that does not choose among elements, or no list of pairs.

    >>> import ccdl, ccdl.nn as nn
    >>> import ccdl.nn.utils.prune as prune
    >>> net = nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 1))
    >>> prune.global_unstructured([(net[0], "weight"), (net[1], "weight")], prune.L1Unstructured, amount=11)
    >>> sum(int((m == 0).sum()) for m in (net[0].weight_mask, net[1].weight_mask))
    11
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    pairs = list(parameters)
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    tensors = [getattr(module, name) for module, name in pairs]
    flat = [scores.get(pair, t).detach().reshape(-1) for pair, t in zip(pairs, tensors)]
    masks = [getattr(m, name + "_mask", _C.ones_like(t)).detach() for (m, name), t in zip(pairs, tensors)]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    final = container.compute_mask(_C.cat(flat), _C.cat([m.reshape(-1) for m in masks]))
    start = 0
    for (module, name), t in zip(pairs, tensors):
        custom_from_mask(module, name, final[start : start + t.numel()].reshape(t.shape))
        start += t.numel()


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Prunes by a mask of zeros and ones."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Any, name: str) -> Any:
    """Makes pruning permanent: mask and original go, the pruned tensor is the parameter.

    Raises:
        ValueError: the tensor is not pruned.
    """
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(
        f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
    )


def is_pruned(module: Any) -> bool:
    """Whether the module or one inside it is pruned."""
    hooks = (hook for part in module.modules() for hook in part._forward_pre_hooks.values())
    return any(isinstance(hook, BasePruningMethod) for hook in hooks)
