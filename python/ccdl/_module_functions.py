"""Modules as functions of their parameters and buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _C
from .errors import RuntimeError as CcdlRuntimeError

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with other tensors in place of its parameters and buffers; the module
    itself stays as it is, and gradients reach the tensors given.

    Args:
        module: called.
        parameter_and_buffer_dicts: name -> tensor, or several such dicts; names as in ``state_dict``.
        args: arguments, a tuple or a single one.
        kwargs: keyword arguments.
        tie_weights: a tensor that the module has under several names is replaced under all of them.
        strict: all names must be given and known.

    Raises:
        ValueError: a name in two dicts.
        TypeError: a value that is no tensor.
        RuntimeError: missing or unknown names, when strict.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> w = ccdl.ones(1, 2, requires_grad=True)
    >>> out = ccdl.func.functional_call(layer, {"weight": w}, ccdl.tensor([[3., 4.]]))
    >>> out.backward(); out.item(), w.grad.tolist()
    (7.0, [[3.0, 4.0]])
    """
    given = _merged(parameter_and_buffer_dicts)
    for name, tensor in given.items():
        if not isinstance(tensor, _C.Tensor):
            raise TypeError(f"functional_call: {name} is {tensor!r}, not an instance of Tensor")
    places = _places(module)
    present = {name: table[key] for name, (table, key) in places.items()}
    chosen = {name: tensor for name, tensor in given.items() if name in places}
    if tie_weights:
        chosen.update(_tied(present, chosen))
    if strict:
        missing = [repr(n) for n, t in present.items() if n not in chosen and t is not None]
        unknown = [repr(n) for n in given if n not in places]
        if missing or unknown:
            text = f"Error(s) in reparametrizing for {type(module).__name__}:"
            text += f"\n\tUnexpected key(s): {', '.join(unknown)}." if unknown else ""
            text += f"\n\tMissing key(s): {', '.join(missing)}." if missing else ""
            raise CcdlRuntimeError(text)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    try:
        for name, tensor in chosen.items():
            table, key = places[name]
            table[key] = tensor
        return module(*args, **(kwargs or {}))
    finally:
        for name in chosen:
            table, key = places[name]
            table[key] = present[name]


def _merged(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, dict):
        return dicts
    if not isinstance(dicts, Sequence):
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(dicts)}"
        )
    if not all(isinstance(d, dict) for d in dicts):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    merged: dict[str, Any] = {}
    for d in dicts:
        twice = sorted(set(merged) & set(d))
        if twice:
            raise ValueError(
                f"{twice} appeared in multiple dictionaries; behavior of functional call is ambiguous"
            )
        merged.update(d)
    return merged


def _places(module: Any) -> dict[str, Any]:
    """Full name -> (table, key) of every parameter and buffer."""
    places = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key in table:
                places[f"{prefix}.{key}" if prefix else key] = (table, key)
    return places


def _tied(present: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """The other names of the tensors that are replaced."""
    names: dict[int, list[str]] = {}
    for name, tensor in present.items():
        if tensor is not None:
            names.setdefault(id(tensor), []).append(name)
    more = {}
    for group in names.values():
        new = {id(chosen[n]): n for n in group if n in chosen}
        if len(new) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(new.values())}, which are tied. "
                "Consider using tie_weights=False"
            )
        for n in group:
            if new and n not in chosen:
                more[n] = chosen[next(iter(new.values()))]
    return more


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of equal models, each stacked along a new first dimension.

    Raises:
        RuntimeError: no models, of different classes, or some in training mode and some not.

    >>> import ccdl, ccdl.nn as nn
    >>> parameters, _ = ccdl.func.stack_module_state([nn.Linear(2, 3) for _ in range(4)])
    >>> parameters["weight"].shape
    ccdl.Size([4, 3, 2])
    """
    models = list(models)
    if not models:
        raise CcdlRuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise CcdlRuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) > 1:
        raise CcdlRuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = {}
    for name, first in models[0].named_parameters():
        stacked = _C.stack([dict(m.named_parameters())[name].detach() for m in models])
        parameters[name] = stacked.requires_grad_(first.requires_grad)
    names = [name for name, _ in models[0].named_buffers()]
    buffers = {name: _C.stack([dict(m.named_buffers())[name] for m in models]) for name in names}
    return parameters, buffers


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Makes all batch norms below ``root`` (and itself) use batch statistics only; returns ``root``.

    Their running statistics are buffers written in place, which a function mapped over samples cannot share.

    >>> import ccdl, ccdl.nn as nn
    >>> ccdl.func.replace_all_batch_norm_modules_(nn.BatchNorm1d(2)).running_mean is None
    True
    """
    from .nn.modules.normalization import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
