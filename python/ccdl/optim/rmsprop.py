"""RMSprop: steps divided by the root of a running mean of squared gradients."""

from __future__ import annotations

from typing import Any

from .optimizer import _check_not_negative, _check_rate
from .rule import RuleOptimizer, coupled

__all__ = ["RMSprop"]


class RMSprop(RuleOptimizer):
    """``v = alpha v + (1 - alpha) g^2;  p -= lr g / (sqrt(v) + eps)``.

    With ``momentum`` the quotient goes into a buffer ``b = momentum b + g / (sqrt(v) + eps)`` and
    ``p -= lr b``; ``centered`` takes the variance ``v - mean(g)^2`` instead of v.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        alpha: decay of the averages.
        eps: added to the root.
        weight_decay: L2 penalty added to the gradient.
        momentum, centered: see above.
        maximize: ascend instead.
        foreach, capturable: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.
        eps_inside_sqrt: divide by ``sqrt(v + eps)``, the form of lecture notes that write
            ``v = (1 - gamma) v + gamma g^2``; alpha is then 1 - gamma.

    Raises:
        ValueError: a negative option.

    Source: Hinton, lecture 6e, 2012; centered: Graves, 2013.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward(); optimizer.step(); round(w.item(), 4)
    0.9
    """

    _rule = "RmsProp"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: Any = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        eps_inside_sqrt: bool = False,
    ) -> None:
        _check_rate("RMSprop", lr)
        _check_not_negative("RMSprop", eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        if eps_inside_sqrt:
            defaults["eps_inside_sqrt"] = True
        super().__init__(params, defaults)

    def _slots(self, group):
        momentum = "momentum_buffer" if group["momentum"] > 0 else None
        return "square_avg", momentum, "grad_avg" if group["centered"] else None

    def _numbers(self, group):
        inside = group.get("eps_inside_sqrt", False)
        return group["alpha"], group["eps"], group["momentum"], bool(group["centered"]), bool(inside)

    def _plain(self, group, p, g, state, step, scalars):
        g, alpha, eps = coupled(group, p, g), group["alpha"], group["eps"]
        v = state["square_avg"] = alpha * state["square_avg"] + (1 - alpha) * g * g
        if group["centered"]:
            mean = state["grad_avg"] = state["grad_avg"] + (1 - alpha) * (g - state["grad_avg"])
            v = v - mean * mean
        u = g / ((v + eps).sqrt() if group.get("eps_inside_sqrt") else v.sqrt() + eps)
        if group["momentum"] > 0:
            u = state["momentum_buffer"] = group["momentum"] * state["momentum_buffer"] + u
        p.add_(-group["lr"] * u)
