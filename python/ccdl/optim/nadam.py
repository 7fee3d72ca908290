"""NAdam: Adam with Nesterov's look-ahead."""

from __future__ import annotations

from typing import Any

from .optimizer import _check_betas, _check_not_negative, _check_rate, _number
from .rule import RuleOptimizer, coupled

__all__ = ["NAdam"]


class NAdam(RuleOptimizer):
    """``mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2);  P_t = mu_1 mu_2 ... mu_t``; moments m, v as Adam's;
    ``p -= lr (mu_{t+1} / (1 - P_{t+1}) m + (1 - mu_t) / (1 - P_t) g) / (sqrt(v / (1 - beta2^t)) + eps)``.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the root.
        weight_decay: L2 penalty added to the gradient, or, with ``decoupled_weight_decay``, the parameter
            shrinks by ``1 - lr weight_decay``.
        momentum_decay: how fast mu approaches beta1.
        maximize: ascend instead.
        foreach, capturable: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.

    Raises:
        ValueError: an option outside its range.

    Source: Dozat, 2016.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward(); optimizer.step(); w.item() < 1
    True
    """

    _rule = "NAdam"
    _host_scalars = True
    _host_state = ("step", "mu_product")

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_rate("NAdam", lr)
        _check_not_negative("NAdam", eps=eps)
        _check_betas("NAdam", betas)
        _check_not_negative("NAdam", weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _slots(self, group):
        return "exp_avg", "exp_avg_sq"

    def _numbers(self, group):
        return *group["betas"], group["eps"], group["momentum_decay"]

    def _first_scalars(self, group):
        return {"mu_product": 1.0}

    def _mu(self, group, step):
        return _number(group["betas"][0]) * (1.0 - 0.5 * 0.96 ** (step * group["momentum_decay"]))

    def _move_scalars(self, group, states, steps):
        for state, step in zip(states, steps):
            state["mu_product"] *= self._mu(group, step)
        return [(state["mu_product"].item(),) for state in states]

    def _plain(self, group, p, g, state, step, scalars):
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
        if decay and group["decoupled_weight_decay"]:
            p.mul_(1 - lr * decay)
        else:
            g = coupled(group, p, g)
        m = state["exp_avg"] = state["exp_avg"] + (1 - beta1) * (g - state["exp_avg"])
        v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g * g
        root = (v / (1 - beta2**step)).sqrt() + group["eps"]
        product = state["mu_product"].to(p.dtype) if group["differentiable"] else scalars[0]
        mu, after = self._mu(group, step), self._mu(group, step + 1)
        move = (1 - mu) / (1 - product) * g + after / (1 - product * after) * m
        p.add_(-lr * move / root)
