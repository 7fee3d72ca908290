"""Transfer learning: starting from trained weights, freezing, a new head, rates per group."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterable
from typing import Any

from .. import _C
from ..nn.modules.module import Module
from ..nn.parameter import Parameter

__all__ = [
    "GradualUnfreezing",
    "freeze",
    "frozen_parameters",
    "layerwise_groups",
    "load_matching",
    "parameter_groups",
    "replace_head",
    "reuse_embedding",
    "unfreeze",
]


def _chosen(what: str, model: Any, names: Any) -> list[tuple[str, Any]]:
    """Parameters under the given names: a child's name, a pattern, or a full name; all for None."""
    if not isinstance(model, Module):
        raise TypeError(f"{what}: model is {type(model).__name__}, must be a Module")
    table = list(model.named_parameters())
    if names is None:
        return table
    patterns = [names] if isinstance(names, str) else list(names)
    found: list[tuple[str, Any]] = []
    for pattern in patterns:
        hits = [(n, p) for n, p in table if n.startswith(pattern + ".") or fnmatch.fnmatchcase(n, pattern)]
        if not hits:
            known = [n for n, _ in table][:8]
            raise ValueError(f"{what}: no parameter is called {pattern!r}; there are {known}")
        found += [hit for hit in hits if hit[0] not in {n for n, _ in found}]
    return found


def freeze(model: Any, names: Any = None, batch_norm: bool = True) -> list[str]:
    """Takes parameters out of training: ``requires_grad`` becomes False.

    Args:
        model: whose parameters.
        names: children ('layer1'), patterns ('*.bias') or full names; everything when left out.
        batch_norm: batch norm layers all of whose parameters are frozen keep their running statistics, even
            in training mode.

    Returns:
        The names that are frozen now because of the call.

    Raises:
        ValueError: a name that fits nothing.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> ccdl.train.transfer.freeze(net, "0")
    ['0.weight', '0.bias']
    """
    names_frozen = []
    for name, p in _chosen("freeze", model, names):
        if p.requires_grad:
            p.requires_grad_(False)
            p.grad = None
            names_frozen.append(name)
    if batch_norm:
        for layer in _batch_norms(model):
            parameters = list(layer.parameters(recurse=False))
            if parameters and not any(p.requires_grad for p in parameters):
                _hold(layer)
    return names_frozen


def unfreeze(model: Any, names: Any = None) -> list[str]:
    """Takes parameters back into training; arguments as for :func:`freeze`.

    Parameters that the optimiser does not have yet are to be added by ``optimizer.add_param_group``.
    """
    names_live = []
    for name, p in _chosen("unfreeze", model, names):
        if not p.requires_grad:
            p.requires_grad_(True)
            names_live.append(name)
    for layer in _batch_norms(model):
        if any(p.requires_grad for p in layer.parameters(recurse=False)):
            _release(layer)
    return names_live


def frozen_parameters(model: Any) -> list[str]:
    """Names of the parameters that are not trained."""
    return [name for name, p in model.named_parameters() if not p.requires_grad]


def _batch_norms(model: Any) -> list[Any]:
    return [m for m in model.modules() if hasattr(m, "running_mean") and m.running_mean is not None]


def _stay(layer: Any, args: Any) -> None:
    layer.eval()


def _hold(layer: Any) -> None:
    """The layer is in evaluation mode at every forward pass, whatever ``train()`` says."""
    if _stay not in layer._forward_pre_hooks.values():
        layer.register_forward_pre_hook(_stay)


def _release(layer: Any) -> None:
    for key, hook in list(layer._forward_pre_hooks.items()):
        if hook is _stay:
            del layer._forward_pre_hooks[key]
            layer.train()


def replace_head(model: Any, outputs: int, name: str | None = None, freeze_rest: bool = False) -> Any:
    """Puts a new last layer with ``outputs`` outputs, freshly initialised, in place of the old.

    Args:
        model: changed in place.
        outputs: classes of the new task.
        name: of the layer, a Linear or a convolution; the last one of the model when left out.
        freeze_rest: train the new layer alone.

    Returns:
        The new layer.

    Raises:
        ValueError: there is no such layer, or outputs is below 1.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10))
    >>> ccdl.train.transfer.replace_head(net, 3)
    Linear(in_features=8, out_features=3, bias=True)
    """
    if outputs < 1:
        raise ValueError(f"replace_head: outputs must be at least 1, got {outputs}")
    layers = {
        n: m
        for n, m in model.named_modules()
        if n and (hasattr(m, "out_features") or hasattr(m, "out_channels")) and hasattr(m, "weight")
    }
    if not layers or (name is not None and name not in layers):
        raise ValueError(
            f"replace_head: no linear or convolution layer {'' if name is None else repr(name) + ' '}in "
            f"{type(model).__name__}; there are {list(layers)[-5:]}"
        )
    name = list(layers)[-1] if name is None else name
    old = layers[name]
    key = "out_features" if hasattr(old, "out_features") else "out_channels"
    new = copy.deepcopy(old)
    setattr(new, key, outputs)
    new.weight = Parameter(old.weight.new_empty((outputs, *old.weight.shape[1:])))
    if getattr(old, "bias", None) is not None:
        new.bias = Parameter(old.bias.new_empty(outputs))
    new.reset_parameters()
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, leaf, new)
    if freeze_rest:
        freeze(model)
        for p in new.parameters():
            p.requires_grad_(True)
    return new


def parameter_groups(
    model: Any, rates: dict[str, float], default: float, **options: Any
) -> list[dict[str, Any]]:
    """Groups for an optimiser: parameters under each name of ``rates`` get that rate, the rest ``default``.

    Frozen parameters are left out. Combine with ``lr_scheduler.WarmupLR``, which scales every group's rate.

    Args:
        model: whose parameters.
        rates: {name as for :func:`freeze`: learning rate}.
        default: of all others.
        options: further options of every group.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> groups = ccdl.train.transfer.parameter_groups(net, {"2": 1e-2}, default=1e-4)
    >>> [(group["lr"], len(group["params"])) for group in groups]
    [(0.01, 2), (0.0001, 2)]
    """
    groups, taken = [], set()
    for name, rate in rates.items():
        mine = [
            p
            for n, p in _chosen("parameter_groups", model, name)
            if p.requires_grad and id(p) not in taken
        ]
        taken |= {id(p) for p in mine}
        if mine:
            groups.append({"params": mine, "lr": rate, **options})
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
    if rest:
        groups.append({"params": rest, "lr": default, **options})
    return groups


def layerwise_groups(model: Any, lr: float, decay: float = 0.8, **options: Any) -> list[dict[str, Any]]:
    """One group per child of the model, the last with rate ``lr``, each before it with ``decay`` times the
    rate of the next: early layers, which are general, move less.

    Source: Howard and Ruder, 2018.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> [group["lr"] for group in ccdl.train.transfer.layerwise_groups(net, 1.0, 0.5)]
    [0.5, 1.0]
    """
    if not 0 < decay <= 1:
        raise ValueError(f"layerwise_groups: decay must be in (0, 1], got {decay}")
    taken: set[int] = set()
    parts = []
    own = [p for p in model._parameters.values() if p is not None]
    for tensors in [own, *(list(child.parameters()) for child in model.children())]:
        mine = [p for p in tensors if p.requires_grad and id(p) not in taken]
        taken |= {id(p) for p in mine}
        if mine:
            parts.append(mine)
    last = len(parts) - 1
    return [{"params": mine, "lr": lr * decay ** (last - i), **options} for i, mine in enumerate(parts)]


class GradualUnfreezing:
    """Unfreezes one more child per stage, from the last to the first; ``step`` at the start of each epoch.

    Args:
        model: all its parameters are frozen at first.
        every: epochs per stage.
        optimizer: newly trained parameters are added to it, at ``lr``.
        lr: the rate of the added groups; the first group's when left out.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> stages = ccdl.train.transfer.GradualUnfreezing(net)
    >>> stages.step(), stages.step()
    (['2.weight', '2.bias'], ['0.weight', '0.bias'])
    """

    def __init__(self, model: Any, every: int = 1, optimizer: Any = None, lr: float | None = None) -> None:
        if every < 1:
            raise ValueError(f"GradualUnfreezing: every must be at least 1, got {every}")
        freeze(model)
        self.model, self.every, self.optimizer, self.lr = model, every, optimizer, lr
        self.stages = [name for name, child in model.named_children() if list(child.parameters())]
        self.epoch = 0

    def step(self) -> list[str]:
        """The names that are trained from this epoch on and were not before."""
        new: list[str] = []
        if self.epoch % self.every == 0 and self.stages:
            new = unfreeze(self.model, self.stages.pop())
            if self.optimizer is not None:
                self._add(new)
        self.epoch += 1
        return new

    def _add(self, names: list[str]) -> None:
        known = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        table = dict(self.model.named_parameters())
        missing = [table[name] for name in names if id(table[name]) not in known]
        if missing:
            lr = self.optimizer.param_groups[0]["lr"] if self.lr is None else self.lr
            self.optimizer.add_param_group({"params": missing, "lr": lr})


def load_matching(model: Any, state_dict: Any, prefix: str = "") -> dict[str, list[str]]:
    """Loads the entries whose name and shape the model has, and says what became of the rest.

    Args:
        model: changed in place.
        state_dict: of another model, or a model.
        prefix: put before the entries' names, for a part of the model.

    Returns:
        ``{"loaded", "missing", "unexpected", "mismatched"}``, lists of names.

    Raises:
        ValueError: nothing fits.

    >>> import ccdl, ccdl.nn as nn
    >>> source = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10))
    >>> target = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> found = ccdl.train.transfer.load_matching(target, source.state_dict())
    >>> found["loaded"], found["mismatched"]
    (['0.weight', '0.bias'], ['2.weight', '2.bias'])
    """
    given = state_dict.state_dict() if isinstance(state_dict, Module) else state_dict
    given = {prefix + name: value for name, value in given.items()}
    own = model.state_dict()
    report: dict[str, list[str]] = {"loaded": [], "missing": [], "unexpected": [], "mismatched": []}
    for name, value in given.items():
        if name not in own:
            report["unexpected"].append(name)
        elif not isinstance(value, _C.Tensor) or value.shape != own[name].shape:
            report["mismatched"].append(name)
        else:
            report["loaded"].append(name)
    if not report["loaded"]:
        raise ValueError(
            f"load_matching: none of {list(given)[:5]} fits the model's entries {list(own)[:5]} by name and "
            "shape"
        )
    model.load_state_dict({name: given[name] for name in report["loaded"]}, strict=False)
    report["missing"] = [name for name in own if name not in given]
    return report


def reuse_embedding(
    target: Any, source: Any, words: Iterable[tuple[int, int]] | None = None, train: bool = False
) -> int:
    """Copies an embedding learnt on another task.

    Args:
        target: an Embedding, changed in place.
        source: an Embedding or its weight, of the same width.
        words: pairs (row of target, row of source), for another vocabulary; all rows in order when left out.
        train: whether the copied table is trained further.

    Returns:
        The number of rows copied.

    Raises:
        ValueError: widths or rows that do not fit.

    >>> import ccdl, ccdl.nn as nn
    >>> old, new = nn.Embedding(5, 2), nn.Embedding(3, 2)
    >>> ccdl.train.transfer.reuse_embedding(new, old, words=[(0, 4), (2, 1)])
    2
    >>> bool((new.weight[0] == old.weight[4]).all())
    True
    """
    weight = source.weight if isinstance(source, Module) else source
    table = target.weight
    if weight.dim() != 2 or weight.size(1) != table.size(1):
        raise ValueError(
            f"reuse_embedding: the source has size {tuple(weight.shape)}, must be (rows, {table.size(1)})"
        )
    if words is None:
        if weight.size(0) != table.size(0):
            raise ValueError(
                f"reuse_embedding: {weight.size(0)} rows for a table of {table.size(0)}; give words"
            )
        pairs = [(i, i) for i in range(table.size(0))]
    else:
        pairs = list(words)
    for i, j in pairs:
        if not (0 <= i < table.size(0) and 0 <= j < weight.size(0)):
            raise ValueError(
                f"reuse_embedding: the pair ({i}, {j}) is outside {table.size(0)} and {weight.size(0)} rows"
            )
    if pairs:
        rows = _C.tensor([i for i, _ in pairs], device=table.device)
        origin = _C.tensor([j for _, j in pairs], device=weight.device)
        table.data[rows] = weight.detach()[origin].to(device=table.device, dtype=table.dtype)
    table.requires_grad_(train)
    return len(pairs)
