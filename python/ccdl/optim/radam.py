"""RAdam: Adam that uses its second moment once that is known well enough."""

from __future__ import annotations

from typing import Any

from .optimizer import _check_betas, _check_not_negative, _check_rate
from .rule import RuleOptimizer, coupled

__all__ = ["RAdam"]


class RAdam(RuleOptimizer):
    """Moments m, v as Adam's; ``rho = 2 / (1 - beta2) - 1``,
    ``rho_t = rho - 2 t beta2^t / (1 - beta2^t)``. Where ``rho_t > 5``:
    ``p -= lr m / (1 - beta1^t) r sqrt(1 - beta2^t) / (sqrt(v) + eps)`` with
    ``r^2 = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t)``; before: ``p -= lr m / (1 - beta1^t)``.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the root.
        weight_decay: L2 penalty added to the gradient, or, with ``decoupled_weight_decay``, the parameter
            shrinks by ``1 - lr weight_decay``.
        maximize: ascend instead.
        foreach, capturable: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.

    Raises:
        ValueError: an option outside its range.

    Source: Liu et al., 2020.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward(); optimizer.step(); w.item()
    0.5
    """

    _rule = "RAdam"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_rate("RAdam", lr)
        _check_not_negative("RAdam", eps=eps)
        _check_betas("RAdam", betas)
        _check_not_negative("RAdam", weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    def _slots(self, group):
        return "exp_avg", "exp_avg_sq"

    def _numbers(self, group):
        return *group["betas"], group["eps"]

    def _plain(self, group, p, g, state, step, scalars):
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
        if decay and group["decoupled_weight_decay"]:
            p.mul_(1 - lr * decay)
        else:
            g = coupled(group, p, g)
        m = state["exp_avg"] = state["exp_avg"] + (1 - beta1) * (g - state["exp_avg"])
        v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g * g
        move = m / (1 - beta1**step)
        rho = 2 / (1 - beta2) - 1
        now = rho - 2 * step * beta2**step / (1 - beta2**step)
        if now > 5:
            r = ((now - 4) * (now - 2) * rho / ((rho - 4) * (rho - 2) * now)) ** 0.5
            move = move * (r * (1 - beta2**step) ** 0.5) / (v.sqrt() + group["eps"])
        p.add_(-lr * move)
