"""Lion: the sign of a momentum."""

from __future__ import annotations

from typing import Any

from .optimizer import _check_betas, _check_not_negative, _check_rate
from .rule import RuleOptimizer

__all__ = ["Lion"]


class Lion(RuleOptimizer):
    """``u = beta1 m + (1 - beta1) g;  p = (1 - lr weight_decay) p - lr sign(u);
    m = beta2 m + (1 - beta2) g``. One state tensor per parameter.

    The learning rate is usually 3 to 10 times smaller than AdamW's, the weight decay as much larger.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        betas: weights of the two averages, each in [0, 1).
        weight_decay: decoupled.
        maximize: ascend instead.
        foreach, capturable, fused: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself (its gradient is that of the decay alone).

    Raises:
        ValueError: an option outside its range.

    Source: Chen et al., 2023.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.Lion([w], lr=0.25)
    >>> (w * w).sum().backward(); optimizer.step(); w.item()
    0.75
    """

    _rule = "Lion"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-4,
        betas: Any = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: Any = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: Any = None,
    ) -> None:
        _check_rate("Lion", lr)
        _check_betas("Lion", betas)
        _check_not_negative("Lion", weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _slots(self, group):
        return ("exp_avg",)

    def _numbers(self, group):
        return group["betas"]

    def _decoupled(self, group):
        return True

    def _plain(self, group, p, g, state, step, scalars):
        lr, (beta1, beta2) = group["lr"], group["betas"]
        u = beta1 * state["exp_avg"] + (1 - beta1) * g
        p.mul_(1 - lr * group["weight_decay"]).add_(-lr * u.sign())
        state["exp_avg"] = beta2 * state["exp_avg"] + (1 - beta2) * g
