"""Adagrad: steps divided by the root of all squared gradients so far."""

from __future__ import annotations

from typing import Any

from .. import _C
from .optimizer import _check_fused, _check_not_negative, _check_rate
from .rule import RuleOptimizer, coupled

__all__ = ["Adagrad"]


class Adagrad(RuleOptimizer):
    """``s += g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)``.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        lr_decay: the learning rate falls like ``1 / (1 + (t - 1) lr_decay)``.
        weight_decay: L2 penalty added to the gradient.
        initial_accumulator_value: s at the start.
        eps: added to the root.
        maximize: ascend instead.
        foreach, fused: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.

    Raises:
        ValueError: a negative option.

    Source: Duchi et al., 2011.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward(); optimizer.step(); w.tolist()
    [0.5]
    """

    _rule = "Adagrad"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: Any = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: Any = None,
    ) -> None:
        _check_rate("Adagrad", lr)
        _check_not_negative(
            "Adagrad",
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        _check_fused("Adagrad", fused, foreach, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                self._state_of(group, p)

    def share_memory(self) -> None:
        """Moves the sums into shared memory."""
        for state in self.state.values():
            state["sum"].share_memory_()

    def _slots(self, group):
        return ("sum",)

    def _numbers(self, group):
        return group["lr_decay"], group["eps"]

    def _first(self, group, p, name):
        return _C.full_like(p.detach(), group["initial_accumulator_value"])

    def _plain(self, group, p, g, state, step, scalars):
        g = coupled(group, p, g)
        state["sum"] = state["sum"] + g * g
        rate = group["lr"] / (1 + (step - 1) * group["lr_decay"])
        p.add_(-rate * g / (state["sum"].sqrt() + group["eps"]))
