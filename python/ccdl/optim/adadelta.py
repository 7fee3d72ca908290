"""Adadelta: steps in the units of the parameters, from running averages of gradients and steps."""

from __future__ import annotations

from typing import Any

from .optimizer import _check_not_negative, _check_range, _check_rate
from .rule import RuleOptimizer, coupled

__all__ = ["Adadelta"]


class Adadelta(RuleOptimizer):
    """``v = rho v + (1 - rho) g^2;  e = sqrt(a + eps) / sqrt(v + eps) g;  a = rho a + (1 - rho) e^2;
    p -= lr e``.

    Args:
        params: parameters or groups.
        lr: scale of the step, 1 in the paper.
        rho: decay of both averages, in [0, 1].
        eps: inside both roots.
        weight_decay: L2 penalty added to the gradient.
        maximize: ascend instead.
        foreach, capturable: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.

    Raises:
        ValueError: an option outside its range.

    Source: Zeiler, 2012.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.Adadelta([w], eps=1e-2)
    >>> (w * w).sum().backward(); optimizer.step(); round(w.item(), 3)
    0.688
    """

    _rule = "Adadelta"

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: Any = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_rate("Adadelta", lr)
        _check_range("Adadelta", "rho", rho, 0.0, 1.0)
        _check_not_negative("Adadelta", eps=eps, weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def _slots(self, group):
        return "square_avg", "acc_delta"

    def _numbers(self, group):
        return group["rho"], group["eps"]

    def _plain(self, group, p, g, state, step, scalars):
        g, rho, eps = coupled(group, p, g), group["rho"], group["eps"]
        v = state["square_avg"] = rho * state["square_avg"] + (1 - rho) * g * g
        e = (state["acc_delta"] + eps).sqrt() / (v + eps).sqrt() * g
        state["acc_delta"] = rho * state["acc_delta"] + (1 - rho) * e * e
        p.add_(-group["lr"] * e)
