"""Adamax: Adam with the largest recent gradient in place of the root mean square."""

from __future__ import annotations

from typing import Any

from .. import _C
from .optimizer import _check_betas, _check_not_negative, _check_rate
from .rule import RuleOptimizer, coupled

__all__ = ["Adamax"]


class Adamax(RuleOptimizer):
    """``m = beta1 m + (1 - beta1) g;  u = max(beta2 u, |g| + eps);  p -= lr / (1 - beta1^t) m / u``.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        betas: decay of m and of u, each in [0, 1).
        eps: added to the gradient's size.
        weight_decay: L2 penalty added to the gradient.
        maximize: ascend instead.
        foreach, capturable: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.

    Raises:
        ValueError: an option outside its range.

    Source: Kingma and Ba, 2015.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.Adamax([w], lr=0.25)
    >>> (w * w).sum().backward(); optimizer.step(); w.item()
    0.75
    """

    _rule = "Adamax"

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: Any = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        _check_rate("Adamax", lr)
        _check_not_negative("Adamax", eps=eps)
        _check_betas("Adamax", betas)
        _check_not_negative("Adamax", weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _slots(self, group):
        return "exp_avg", "exp_inf"

    def _numbers(self, group):
        return *group["betas"], group["eps"]

    def _plain(self, group, p, g, state, step, scalars):
        g, (beta1, beta2) = coupled(group, p, g), group["betas"]
        m = state["exp_avg"] = state["exp_avg"] + (1 - beta1) * (g - state["exp_avg"])
        u = state["exp_inf"] = _C.maximum(beta2 * state["exp_inf"], g.abs() + group["eps"])
        p.add_(-(group["lr"] / (1 - beta1**step)) * m / u)
