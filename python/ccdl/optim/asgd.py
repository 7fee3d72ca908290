"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .optimizer import _check_not_negative, _check_rate, _number
from .rule import RuleOptimizer, coupled

__all__ = ["ASGD"]


class ASGD(RuleOptimizer):
    """``p = (1 - lambd eta) p - eta g;  ax += mu (p - ax)`` with ``eta = lr / (1 + lambd lr t)^alpha`` and
    ``mu = 1 / max(1, t - t0)``; the average ax stands in the state.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        lambd: decay of the parameter.
        alpha: power of eta's fall.
        t0: step from which on ax averages; until then it equals p.
        weight_decay: L2 penalty added to the gradient.
        maximize: ascend instead.
        foreach, capturable: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.

    Raises:
        ValueError: a negative learning rate or weight decay.

    Source: Polyak and Juditsky, 1992.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.ASGD([w], lr=0.25, lambd=0.0)
    >>> (w * w).sum().backward(); optimizer.step(); w.item(), optimizer.state[w]["ax"].item()
    (0.5, 0.5)
    """

    _rule = "Asgd"
    _host_scalars = True
    _host_state = ("step", "eta", "mu")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: Any = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        _check_rate("ASGD", lr)
        _check_not_negative("ASGD", weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _slots(self, group):
        return ("ax",)

    def _numbers(self, group):
        return (group["lambd"],)

    def _first_scalars(self, group):
        return {"eta": _number(group["lr"]), "mu": 1.0}

    def _move_scalars(self, group, states, steps):
        now = [(state["eta"].item(), state["mu"].item()) for state in states]
        lr = _number(group["lr"])
        for state, t in zip(states, steps):
            state["eta"].fill_(lr / (1 + group["lambd"] * lr * t) ** group["alpha"])
            state["mu"].fill_(1 / max(1, t - group["t0"]))
        return now

    def _plain(self, group, p, g, state, step, scalars):
        eta, mu = scalars
        g = coupled(group, p, g)
        p.mul_(1 - group["lambd"] * eta).add_(-eta * g)
        state["ax"] = p.clone() if mu == 1 else state["ax"] + mu * (p - state["ax"])
