"""Adam and AdamW.

m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
Adam adds weight_decay p to g; AdamW shrinks p by 1 - lr weight_decay instead. AMSGrad keeps the largest v so
far.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from ._overflow import count_skipped, device_flag, overflow_arguments
from .optimizer import (
    Optimizer,
    _check_betas,
    _check_fused,
    _check_not_negative,
    _check_rate,
    _check_state_exists,
    _graph_scalars,
    _host_number,
    _number,
)

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adaptive moments, with optional AMSGrad.

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a 0-d tensor.
        betas: decay of the two moment averages, each in [0, 1).
        eps: added to the root of the second moment.
        weight_decay: L2 penalty added to the gradient (Adam) or decoupled (AdamW,
        ``decoupled_weight_decay=True``). amsgrad: divide by the largest second moment so far (of the
        uncorrected ones, as PyTorch has it). maximize: ascend instead.
        foreach, capturable, fused: accepted without effect; the step is always one fused pass.
        differentiable: record the update itself.
        amsgrad_corrected: with amsgrad, keep the largest bias-corrected moment ``v / (1 - beta2^t)``, the
            form of lecture notes: ``p -= lr / (1 - beta1^t) m / (sqrt(largest) + eps)``.

    Source: Kingma and Ba, 2015; Reddi et al., 2018; Loshchilov and Hutter, 2019.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([1.]))
    >>> optimizer = ccdl.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward(); optimizer.step(); w.item() < 0.91
    True
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: Any = None,
        decoupled_weight_decay: bool = False,
        amsgrad_corrected: bool = False,
    ) -> None:
        name = type(self).__name__
        _check_rate(name, lr)
        if isinstance(lr, _C.Tensor) and foreach and not capturable:
            raise ValueError(
                f"lr as a Tensor is not supported for capturable=False and foreach=True ({name})"
            )
        _check_not_negative(name, eps=eps)
        _check_betas(name, betas)
        _check_not_negative(name, weight_decay=weight_decay)
        _check_fused(name, fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad or amsgrad_corrected,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        if amsgrad_corrected:
            defaults["amsgrad_corrected"] = True
        super().__init__(params, defaults)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in (
                ("amsgrad", False),
                ("maximize", False),
                ("foreach", None),
                ("capturable", False),
                ("differentiable", False),
                ("fused", None),
                ("decoupled_weight_decay", isinstance(self, AdamW)),
            ):
                group.setdefault(key, value)
            for p in group["params"]:
                state_of = self.state.get(p)
                if state_of and not isinstance(state_of.get("step"), _C.Tensor):
                    state_of["step"] = _host_number(state_of.get("step", 0))

    def _state_of(self, p, amsgrad):
        state = self.state[p]
        _check_state_exists(self, state)
        if not state:
            zeros = p.detach()
            state["step"] = _host_number(0.0)
            state["exp_avg"] = _C.zeros_like(zeros)
            state["exp_avg_sq"] = _C.zeros_like(zeros)
            if amsgrad:
                state["max_exp_avg_sq"] = _C.zeros_like(zeros)
        return state

    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = self._closure_loss(closure)
        found = device_flag(self, self._reads_overflow_flag())
        if found is False:
            return loss
        for key, group in enumerate(self.param_groups):
            params, grads, states = [], [], []
            for p in group["params"]:
                if p.grad is not None:
                    params.append(p)
                    grads.append(p.grad)
                    states.append(self._state_of(p, group["amsgrad"]))
            if params:
                self._update(group, params, grads, states, overflow_arguments(self, key, states, found))
        return loss

    def _reads_overflow_flag(self) -> bool:
        """Whether the step's kernels can read a GradScaler's flag."""
        if type(self).step is not Adam.step:  # somebody else's update
            return False
        return not any(g["differentiable"] or g.get("amsgrad_corrected") for g in self.param_groups)

    def _update(self, group, params, grads, states, overflow):
        steps = _C._count_steps([state["step"] for state in states])
        if group["differentiable"]:
            _adam(group, params, grads, states)
            return
        beta1, beta2 = group["betas"]
        moments = (
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [s["max_exp_avg_sq"] for s in states] if group["amsgrad"] else [],
        )
        if group.get("amsgrad_corrected"):
            _C._fused_rule_step(
                "AmsCorrected",
                params,
                grads,
                *moments,
                steps,
                [],
                [],
                lr=float(_number(group["lr"])),
                numbers=[float(_number(v)) for v in (beta1, beta2, group["eps"])],
                weight_decay=float(_number(group["weight_decay"])),
                decoupled=bool(group["decoupled_weight_decay"]),
                maximize=bool(group["maximize"]),
                **_graph_scalars(self, group, params),
            )
            return
        _C._fused_adam_step(
            params,
            grads,
            *moments,
            steps,
            lr=float(_number(group["lr"])),
            beta1=float(_number(beta1)),
            beta2=float(_number(beta2)),
            eps=float(_number(group["eps"])),
            weight_decay=float(_number(group["weight_decay"])),
            decoupled=bool(group["decoupled_weight_decay"]),
            maximize=bool(group["maximize"]),
            **_graph_scalars(self, group, params),
            **overflow,
        )
        count_skipped(overflow)


def _adam(group, params, grads, states):
    """The update as recorded tensor ops: the plain form of the fused step."""
    lr, (beta1, beta2) = group["lr"], group["betas"]
    decay = group["weight_decay"]
    for p, g, state in zip(params, grads, states):
        step = state["step"].item()
        g = -g if group["maximize"] else g
        if decay:
            if group["decoupled_weight_decay"]:
                p.mul_(1 - lr * decay)
            else:
                g = g + decay * p
        m = state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * g
        v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g * g
        corrected = group.get("amsgrad_corrected", False)
        if corrected:
            v = v / (1 - beta2**step)
        if group["amsgrad"]:
            v = state["max_exp_avg_sq"] = _C.maximum(state["max_exp_avg_sq"], v)
        root = v.sqrt() / (1.0 if corrected else (1 - beta2**step) ** 0.5) + group["eps"]
        p.add_(-(lr / (1 - beta1**step)) * m / root)


class AdamW(Adam):
    """:class:`Adam` with decoupled weight decay, 0.01 by default."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: Any = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: Any = None,
        amsgrad_corrected: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
            amsgrad_corrected=amsgrad_corrected,
        )
