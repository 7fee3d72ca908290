"""LAMB: Adam's direction, scaled per tensor by the size of the parameter, for very large batches."""

from __future__ import annotations

from typing import Any

from .. import _C
from .optimizer import _check_betas, _check_not_negative, _check_rate, _number
from .rule import RuleOptimizer

__all__ = ["LAMB"]


class LAMB(RuleOptimizer):
    """``u = m' / (sqrt(v') + eps) + weight_decay p`` with Adam's corrected moments m', v';
    ``p -= lr ||p|| / ||u|| u`` per tensor, the ratio being 1 where either norm is 0.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the root.
        weight_decay: inside the direction.
        max_trust_ratio: upper limit of the ratio, None for none.
        maximize: ascend instead.
        foreach, capturable, fused: accepted without effect.
        differentiable: record the update itself.

    Raises:
        ValueError: an option outside its range.

    Source: You et al., 2020, algorithm 2 with the ratio itself as phi.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([3., 4.]))
    >>> optimizer = ccdl.optim.LAMB([w], lr=0.1)
    >>> (w * w).sum().backward(); optimizer.step()
    >>> round((w - ccdl.tensor([3., 4.])).norm().item(), 4)  # lr ||p||
    0.5
    """

    _rule = "Lamb"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        max_trust_ratio: float | None = None,
        maximize: bool = False,
        foreach: Any = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: Any = None,
    ) -> None:
        _check_rate("LAMB", lr)
        _check_not_negative("LAMB", eps=eps)
        _check_betas("LAMB", betas)
        _check_not_negative("LAMB", weight_decay=weight_decay)
        if max_trust_ratio is not None and not max_trust_ratio > 0:
            raise ValueError(f"Invalid max_trust_ratio value: {max_trust_ratio} (LAMB), must be positive")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "max_trust_ratio": max_trust_ratio,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _slots(self, group):
        return "exp_avg", "exp_avg_sq"

    def _numbers(self, group):
        return *group["betas"], group["eps"]

    def _ratio(self, group, p, u):
        """||p|| / ||u|| on the parameter's device."""
        high = _C.float64 if p.dtype is _C.float64 else _C.float32
        size, length = p.to(high).norm(), u.to(high).norm()
        ratio = _C.where((size > 0) & (length > 0), size / length, _C.ones_like(size))
        most = group["max_trust_ratio"]
        return (ratio if most is None else ratio.clamp(max=most)).to(p.dtype)

    def _update(self, group, params, states, steps, scalars, places):
        beta1, beta2, eps = (float(_number(v)) for v in self._numbers(group))
        most = group["max_trust_ratio"]
        _C._fused_lamb_step(
            params,
            [p.grad for p in params],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            steps,
            lr=float(_number(group["lr"])),
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            weight_decay=self._rule_decay(group),
            max_ratio=None if most is None else float(most),
            maximize=bool(group["maximize"]),
            **places,
        )

    def _plain(self, group, p, g, state, step, scalars):
        beta1, beta2 = group["betas"]
        m = state["exp_avg"] = state["exp_avg"] + (1 - beta1) * (g - state["exp_avg"])
        v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g * g
        u = m / (1 - beta1**step) / ((v / (1 - beta2**step)).sqrt() + group["eps"])
        if group["weight_decay"]:
            u = u + group["weight_decay"] * p
        p.add_(-group["lr"] * self._ratio(group, p, u) * u)
