"""Resilient back-propagation: steps that grow while the gradient keeps its sign."""

from __future__ import annotations

from typing import Any

from .. import _C
from .optimizer import _check_rate, _number
from .rule import RuleOptimizer

__all__ = ["Rprop"]


class Rprop(RuleOptimizer):
    """Each element has its own step size: times ``etas[1]`` while the gradient keeps its sign, times
    ``etas[0]`` when it changes (the element then waits once), always within ``step_sizes``;
    ``p -= sign(g) step``.

    Made for whole-batch gradients.

    Args:
        params: parameters or groups.
        lr: the first step size.
        etas: the two factors, ``0 < etas[0] < 1 < etas[1]``.
        step_sizes: least and largest step.
        maximize: ascend instead.
        foreach, capturable: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.

    Raises:
        ValueError: an option outside its range.

    Source: Riedmiller and Braun, 1993.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.Rprop([w], lr=0.25)
    >>> (w * w).sum().backward(); optimizer.step(); w.item()
    0.75
    """

    _rule = "Rprop"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: Any = (0.5, 1.2),
        step_sizes: Any = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: Any = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_rate("Rprop", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]} (Rprop)")
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _slots(self, group):
        return "prev", "step_size"

    def _numbers(self, group):
        return *group["etas"], *group["step_sizes"]

    def _first(self, group, p, name):
        if name == "prev":
            return _C.zeros_like(p.detach())
        lr = float(_number(group["lr"]))
        return _C.full_like(p.detach(), complex(lr, lr) if p.is_complex() else lr)

    def _plain(self, group, p, g, state, step, scalars):
        (down, up), (least, most) = group["etas"], group["step_sizes"]
        kept = g * state["prev"]
        factor = _C.ones_like(g).masked_fill(kept > 0, up).masked_fill(kept < 0, down)
        size = state["step_size"] = (state["step_size"] * factor).clamp(least, most)
        g = state["prev"] = _C.where(kept < 0, _C.zeros_like(g), g)
        p.add_(-g.sign() * size)
