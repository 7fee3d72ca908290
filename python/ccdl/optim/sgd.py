"""Stochastic gradient descent with classical and Nesterov momentum.

g += weight_decay p;  b = momentum b + (1 - dampening) g  (b = g at the first step);
d = g + momentum b (Nesterov) or b;  p -= lr d.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from ._overflow import device_flag
from .optimizer import (
    Optimizer,
    _check_fused,
    _check_range,
    _check_rate,
    _check_state_exists,
    _checked_number,
    _graph_scalars,
    _number,
)

__all__ = ["SGD", "sgd"]


class SGD(Optimizer):
    """Stochastic gradient descent, by default plain.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        momentum, dampening, nesterov: see the equations in this module's head; Nesterov needs momentum and no
            dampening.
        weight_decay: L2 penalty added to the gradient.
        maximize: ascend instead.
        foreach, fused: accepted without effect; the step is always one fused pass over all parameters.
        differentiable: record the update itself, for derivatives through it.
        averaged_momentum: ``b = momentum b + (1 - momentum) g`` from b = 0, the form of lecture notes;
            ``dampening=momentum`` is not the same, as its first step sets b = g.

    Source: Sutskever et al., 2013 (momentum as PyTorch applies it).

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward(); optimizer.step(); w.tolist() == [0.800000011920929]
    True
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: Any = None,
        differentiable: bool = False,
        fused: Any = None,
        averaged_momentum: bool = False,
    ) -> None:
        _check_rate("SGD", lr)
        for name, value in (("momentum", momentum), ("weight_decay", weight_decay)):
            _check_range("SGD", name, value, 0.0)
        _checked_number("SGD", "dampening", dampening)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        if averaged_momentum and (nesterov or dampening != 0):
            raise ValueError("SGD: averaged_momentum goes with neither nesterov nor dampening")
        _check_fused("SGD", fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        if averaged_momentum:
            defaults["averaged_momentum"] = True
        super().__init__(params, defaults)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in (("nesterov", False), ("maximize", False), ("foreach", None), ("fused", None)):
                group.setdefault(key, value)
            group.setdefault("differentiable", False)

    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = self._closure_loss(closure)
        found = device_flag(self, self._reads_overflow_flag())
        if found is False:
            return loss
        overflow = {} if found is None else {"found_inf": found}
        for group in self.param_groups:
            params, grads, buffers, first = [], [], [], []
            momentum = _number(group["momentum"])
            for p in group["params"]:
                if p.grad is None:
                    continue
                params.append(p)
                grads.append(p.grad)
                if momentum:
                    state = self.state[p]
                    buffer = state.get("momentum_buffer")
                    averaged = group.get("averaged_momentum", False)
                    first.append(buffer is None and not averaged)
                    _check_state_exists(self, buffer is not None)
                    if buffer is None:
                        buffer = state["momentum_buffer"] = _C.zeros_like(p.detach())
                    buffers.append(buffer)
                else:
                    first.append(False)
            if not params:
                continue
            options = {k: group[k] for k in ("lr", "momentum", "dampening", "weight_decay")}
            if group.get("averaged_momentum"):
                options["dampening"] = options["momentum"]
            if group["differentiable"]:
                new = sgd(params, grads, buffers, first, group["nesterov"], group["maximize"], **options)
                for p, b in zip(params, new):
                    self.state[p]["momentum_buffer"] = b
            else:
                _C._fused_sgd_step(
                    params,
                    grads,
                    buffers,
                    nesterov=bool(group["nesterov"]),
                    maximize=bool(group["maximize"]),
                    first=first,
                    **{k: float(_number(v)) for k, v in options.items()},  # type: ignore[arg-type]
                    **_graph_scalars(self, group, params),
                    **overflow,
                )
        return loss

    def _reads_overflow_flag(self) -> bool:
        """Whether the step's kernels can read a GradScaler's flag: not the step that makes the buffers."""
        if type(self).step is not SGD.step:  # somebody else's update
            return False
        return not any(g["differentiable"] or self._lacks_buffers(g) for g in self.param_groups)

    def _lacks_buffers(self, group):
        if not _number(group["momentum"]):
            return False
        with_grad = (p for p in group["params"] if p.grad is not None)
        return any("momentum_buffer" not in self.state.get(p, ()) for p in with_grad)


def sgd(
    params: Any,
    grads: Any,
    buffers: Any,
    first: Any,
    nesterov: Any,
    maximize: Any,
    *,
    lr: Any,
    momentum: Any,
    dampening: Any,
    weight_decay: Any,
) -> Any:
    """The update as recorded tensor ops: the plain form of the fused step. Returns the new momentum
    buffers.
    """
    new = []
    for i, (p, g) in enumerate(zip(params, grads)):
        g = -g if maximize else g
        if weight_decay:
            g = g + weight_decay * p
        if momentum:
            b = g.clone() if first[i] else momentum * buffers[i] + (1 - dampening) * g
            new.append(b)
            g = g + momentum * b if nesterov else b
        p.add_(-lr * g)
    return new
