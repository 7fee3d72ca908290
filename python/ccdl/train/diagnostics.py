"""Looking at gradients: sizes per layer, singular values of Jacobians, dead units, vanishing and exploding
gradients, and how much a layer's gradient changes when the layers before it move.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

from .. import _C, linalg
from ..nn.modules import activation as _activation
from ..nn.modules.module import Module

__all__ = [
    "ActivationMonitor",
    "GradientFlow",
    "ShiftRow",
    "dead_units",
    "gradient_flow",
    "gradient_norms",
    "gradient_smoothness",
    "internal_covariate_shift",
    "jacobian_singular_values",
    "layer_singular_values",
]


def gradient_norms(model: Any, norm_type: float = 2.0) -> dict[str, dict[str, float]]:
    """Sizes of all parameters and their gradients: ``{name: {"grad", "weight", "ratio"}}``.

    ``ratio`` is grad / weight; times the learning rate it is the relative size of an SGD step, about 1e-3 in
    healthy training. Parameters without a gradient are left out.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer(ccdl.tensor([[3., 4.]])).sum().backward()
    >>> ccdl.train.diagnostics.gradient_norms(layer)["weight"]["grad"]
    5.0
    """
    rows = {}
    for name, p in model.named_parameters():
        if p.grad is None:
            continue
        grad = float(p.grad.float().norm(norm_type))
        weight = float(p.detach().float().norm(norm_type))
        rows[name] = {"grad": grad, "weight": weight, "ratio": grad / weight if weight else math.inf}
    return rows


def jacobian_singular_values(function: Callable[[Any], Any], x: Any) -> Any:
    """Singular values of the Jacobian of ``function`` at ``x``, largest first, of flat input and output.

    A gradient that passes through the function grows at most by the largest and shrinks at most to the
    smallest of them. For a layer pass one sample, not a batch.

    >>> import ccdl
    >>> ccdl.train.diagnostics.jacobian_singular_values(lambda x: ccdl.stack([3 * x[0], x[1]]), ccdl.ones(2))
    tensor([3., 1.])
    """
    from ..autograd.functional import jacobian

    matrix = jacobian(function, x.detach())
    return linalg.svdvals(matrix.reshape(-1, x.numel()))


def layer_singular_values(model: Any, x: Any) -> dict[str, tuple[float, float]]:
    """Largest and smallest singular value of each child's Jacobian, for a model whose children run one after
    the other (a ``Sequential``), at one sample ``x`` (a batch of one).

    The product of the largest bounds how much the gradient can grow from the last layer to the first.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    >>> _ = net[0].weight.data.copy_(ccdl.tensor([[0.5, 0.], [0., 2.]]))
    >>> ccdl.train.diagnostics.layer_singular_values(net, ccdl.ones(1, 2))
    {'0': (2.0, 0.5), '1': (1.0, 1.0)}
    """
    rows = {}
    for name, layer in model.named_children():
        values = jacobian_singular_values(layer, x)
        rows[name] = (float(values[0]), float(values[-1]))
        previous = _C._set_grad_enabled(False)
        try:
            x = layer(x)
        finally:
            _C._set_grad_enabled(previous)
    return rows


@dataclasses.dataclass
class GradientFlow:
    """What :func:`gradient_flow` found, layers from first to last.

    ``gradients`` are the root mean squares of the loss' gradient at the layers' outputs, ``weights`` those of
    the gradients of their weights (0 where frozen). ``total`` is the first layer's output gradient over the
    last's, ``factor`` the mean factor per layer on the way back; ``verdict`` is 'vanishing', 'exploding',
    'not finite' or 'healthy', ``advice`` says what usually helps.
    """

    names: list[str]
    gradients: list[float]
    weights: list[float]
    factor: float
    total: float
    verdict: str
    advice: str

    def __str__(self) -> str:
        width = max(map(len, self.names), default=4)
        rows = [
            f"{n:<{width}}  output {g:.3e}  weight {w:.3e}"
            for n, g, w in zip(self.names, self.gradients, self.weights)
        ]
        rows.append(f"{self.factor:.3g} per layer, {self.total:.3g} in all: {self.verdict}")
        return "\n".join([*rows, self.advice])


_ADVICE = {
    "healthy": "gradients of all layers are of similar size",
    "vanishing": (
        "the first layers hardly learn: use ReLU-like activations, He or Xavier initialisation, "
        "normalisation layers, residual connections; in recurrent networks LSTM or GRU"
    ),
    "exploding": (
        "the first layers get huge steps: clip the gradient norm, initialise smaller, add normalisation "
        "layers, lower the learning rate"
    ),
    "not finite": "a gradient is infinite or NaN: lower the learning rate, check the loss and the data",
}


def gradient_flow(
    model: Any, loss_fn: Callable[[Any], Any], vanishing: float = 1e-3, exploding: float = 1e3
) -> GradientFlow:
    """How the gradient changes on its way from the last layer with weights to the first.

    Args:
        model: is not changed.
        loss_fn: ``loss_fn(model)`` computes the loss of one batch.
        vanishing, exploding: limits of the total factor.

    Raises:
        ValueError: fewer than two layers with weights take part.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(11)))
    >>> for layer in net:
    ...     _ = layer.weight.data.copy_(0.5 * ccdl.eye(2))
    >>> flow = ccdl.train.diagnostics.gradient_flow(net, lambda m: m(ccdl.ones(1, 2)).sum())
    >>> flow.factor, flow.total == 0.5 ** 10, flow.verdict
    (0.5, True, 'vanishing')
    """
    model = copy.deepcopy(model)
    seen: dict[str, Any] = {}
    gradients: dict[str, Any] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(layer: Any, args: Any, output: Any) -> None:
            first = output[0] if isinstance(output, (tuple, list)) else output
            if isinstance(first, _C.Tensor) and first.requires_grad:
                seen.setdefault(name, layer)
                first.register_hook(lambda g: gradients.setdefault(name, g.detach()))

        return hook

    for name, layer in model.named_modules():
        if name and any(p is not None and p.dim() > 1 for p in layer._parameters.values()):
            layer.register_forward_hook(watch(name))
    model.zero_grad()
    loss_fn(model).backward()
    names = [name for name in seen if name in gradients]
    if len(names) < 2:
        raise ValueError(f"gradient_flow: needs at least two layers with weights, found {len(names)}")
    sizes = [_rms(gradients[name]) for name in names]
    weights = []
    for name in names:
        grads = [p.grad for p in seen[name]._parameters.values() if p is not None and p.grad is not None]
        weights.append(_rms(_C.cat([g.reshape(-1) for g in grads])) if grads else 0.0)
    total = sizes[0] / sizes[-1] if sizes[-1] else 0.0 if sizes[0] == 0 else math.inf
    if not all(map(math.isfinite, sizes + weights)):
        verdict = "not finite"
    else:
        verdict = "vanishing" if total < vanishing else "exploding" if total > exploding else "healthy"
    factor = total ** (1 / (len(sizes) - 1)) if math.isfinite(total) else total
    return GradientFlow(names, sizes, weights, factor, total, verdict, _ADVICE[verdict])


def _rms(x: Any) -> float:
    return float(x.double().square().mean().sqrt())


# --- activations ---


class ActivationMonitor:
    """Watches the outputs of layers while it is active (``with ActivationMonitor(model) as m:``).

    ``report()`` gives per layer ``{"mean", "std", "zeros", "dead", "grad"}``: moments over everything seen,
    the fraction of zeros, the fraction of units (channels for images) that were 0 for every sample and place,
    and the root mean square of the gradient that arrived at the output (None without a backward pass).

    Args:
        model: whose layers are watched.
        types: classes of the layers; activations when left out.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    >>> _ = net[0].weight.data.copy_(ccdl.tensor([[1.], [-1.]])); _ = net[0].bias.data.zero_()
    >>> with ccdl.train.diagnostics.ActivationMonitor(net) as monitor:
    ...     _ = net(ccdl.tensor([[1.], [2.]]))
    >>> monitor.report()["1"]["dead"]
    0.5
    """

    def __init__(self, model: Any, types: Any = None) -> None:
        if types is None:
            classes = [v for v in vars(_activation).values() if isinstance(v, type)]
            types = tuple(c for c in classes if issubclass(c, Module) and c is not Module)
        self.layers = {name: m for name, m in model.named_modules() if isinstance(m, types) and name}
        self._handles: list[Any] = []
        self._rows: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> ActivationMonitor:
        self._rows = {}
        for name, layer in self.layers.items():
            self._handles.append(layer.register_forward_hook(self._watch(name)))
        return self

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _watch(self, name: str) -> Callable[..., None]:
        def hook(layer: Any, args: Any, output: Any) -> None:
            y = output.detach()
            row = self._rows.setdefault(
                name, {"count": 0, "sum": 0.0, "square": 0.0, "zero": 0, "live": None, "grads": []}
            )
            row["count"] += y.numel()
            row["sum"] += float(y.double().sum())
            row["square"] += float(y.double().square().sum())
            row["zero"] += int((y == 0).sum())
            units = (y != 0).transpose(0, 1).reshape(y.size(1), -1).any(1) if y.dim() > 1 else (y != 0)
            row["live"] = units if row["live"] is None else row["live"] | units
            if output.requires_grad:
                output.register_hook(lambda g: row["grads"].append(g.detach().double().square().mean()))

        return hook

    def report(self) -> dict[str, dict[str, Any]]:
        """The figures per layer."""
        found = {}
        for name, row in self._rows.items():
            mean = row["sum"] / row["count"]
            grads = [float(g) for g in row["grads"]]
            found[name] = {
                "mean": mean,
                "std": math.sqrt(max(0.0, row["square"] / row["count"] - mean * mean)),
                "zeros": row["zero"] / row["count"],
                "dead": 1.0 - float(row["live"].float().mean()),
                "grad": math.sqrt(sum(grads) / len(grads)) if grads else None,
            }
        return found


def dead_units(model: Any, data: Any, types: Any = None) -> dict[str, float]:
    """Fraction of units per layer that are 0 for every sample of ``data`` (a batch, or batches).

    A ReLU unit that is dead on the whole training set has no gradient and cannot recover: lower the learning
    rate, or use LeakyReLU or ELU.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(1, 4), nn.ReLU())
    >>> _ = net[0].weight.data.zero_(); _ = net[0].bias.data.copy_(ccdl.tensor([1., -1., -2., -3.]))
    >>> ccdl.train.diagnostics.dead_units(net, ccdl.ones(8, 1))
    {'1': 0.75}
    """
    types = (_activation.ReLU, _activation.ReLU6) if types is None else types
    batches = [data] if isinstance(data, _C.Tensor) else data
    was_training = model.training
    model.eval()
    previous = _C._set_grad_enabled(False)
    try:
        with ActivationMonitor(model, types) as monitor:
            for batch in batches:
                model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    finally:
        _C._set_grad_enabled(previous)
        model.train(was_training)
    return {name: row["dead"] for name, row in monitor.report().items()}


# --- the batch norm study ---


@dataclasses.dataclass
class ShiftRow:
    """One layer of :func:`internal_covariate_shift`: ``distance`` is ``||G - G'||``, ``relative`` that over
    ``||G||``, ``cosine`` of the angle between both."""

    name: str
    distance: float
    relative: float
    cosine: float


def internal_covariate_shift(
    model: Any, loss_fn: Callable[[Any], Any], lr: float, names: Iterable[str] | None = None
) -> list[ShiftRow]:
    """How much each weight's gradient changes when all layers before it take their step.

    For layer i: ``G = dL/dW_i`` at the present weights, ``G'`` the same after ``W_j -= lr dL/dW_j`` for all
    parameters before it. Batch norm is often said to reduce this shift; measured, it does not.

    Args:
        model: is not changed.
        loss_fn: ``loss_fn(model)`` computes the loss of one fixed batch.
        lr: of the step.
        names: the weights to look at, first layer first; all of two and more dimensions when left out.

    Source: Santurkar et al., 2018, definition 2.1.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> for layer in net:
    ...     _ = layer.weight.data.fill_(1.0)
    >>> study = ccdl.train.diagnostics.internal_covariate_shift
    >>> rows = study(net, lambda m: m(ccdl.ones(1, 1)).sum(), lr=0.5)
    >>> [row.distance for row in rows]  # the second layer's gradient is w1: 1, then 0.5
    [0.0, 0.5]
    """
    model = copy.deepcopy(model)
    table = dict(model.named_parameters())
    order = list(table)
    chosen = list(names) if names is not None else [n for n, p in table.items() if p.dim() > 1]
    before = _gradients(model, loss_fn)
    start = {name: p.detach().clone() for name, p in table.items()}
    rows = []
    for name in chosen:
        for other in order:  # all before this layer have moved, it and those after have not
            moved = order.index(other) < order.index(name) and before[other] is not None
            table[other].data.copy_(start[other] - lr * before[other] if moved else start[other])
        g, h = before[name].double().reshape(-1), _gradients(model, loss_fn)[name].double().reshape(-1)
        size = float(g.norm())
        distance = float((g - h).norm())
        cosine = float(g.dot(h)) / max(size * float(h.norm()), 1e-300)
        rows.append(ShiftRow(name, distance, distance / size if size else math.inf, cosine))
    return rows


def _gradients(model: Any, loss_fn: Callable[[Any], Any]) -> dict[str, Any]:
    model.zero_grad()
    loss_fn(model).backward()
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def gradient_smoothness(
    model: Any, loss_fn: Callable[[Any], Any], steps: Iterable[float] = (0.01, 0.05, 0.1, 0.2, 0.4)
) -> dict[str, Any]:
    """Loss and gradient along the gradient's direction: ``w - t g`` for the given t.

    Returns ``{"steps", "loss", "distance", "smoothness"}``: ``distance`` is ``||g(t) - g(0)||`` and
    ``smoothness`` the largest ``distance / (t ||g(0)||)``, an estimate of the loss' Lipschitz constant of the
    gradient along that line. Batch norm makes it smaller and more predictable.

    Args:
        model: is not changed.
        loss_fn: ``loss_fn(model)`` computes the loss of one fixed batch.
        steps: positive numbers.

    Source: Santurkar et al., 2018, section 3.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Linear(1, 1, bias=False)
    >>> found = ccdl.train.diagnostics.gradient_smoothness(net, lambda m: 2 * (m.weight ** 2).sum())
    >>> round(found["smoothness"], 4)
    4.0
    """
    model = copy.deepcopy(model)
    base = _gradients(model, loss_fn)
    table = dict(model.named_parameters())
    start = {name: p.detach().clone() for name, p in table.items()}
    moving = [name for name in table if base[name] is not None]
    size = math.sqrt(sum(float(base[name].double().square().sum()) for name in moving))
    found: dict[str, Any] = {"steps": [float(t) for t in steps], "loss": [], "distance": []}
    for t in found["steps"]:
        if not t > 0:
            raise ValueError(f"gradient_smoothness: steps must be positive, got {t}")
        for name in moving:
            table[name].data.copy_(start[name] - t * base[name])
        model.zero_grad()
        loss = loss_fn(model)
        loss.backward()
        found["loss"].append(float(loss))
        square = sum(
            float((table[name].grad.double() - base[name].double()).square().sum()) for name in moving
        )
        found["distance"].append(math.sqrt(square))
    slopes = [d / (t * size) if size else 0.0 for t, d in zip(found["steps"], found["distance"])]
    found["smoothness"] = max(slopes)
    return found
