"""Muon: the momentum of a matrix, orthogonalised."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .optimizer import Optimizer, _check_state_exists, _number

__all__ = ["Muon"]


class Muon(Optimizer):
    """``b += (1 - momentum) (g - b);  u = g + momentum (b - g)`` (nesterov) or b; O = the nearest
    half-orthogonal matrix to u by Newton-Schulz steps ``X = a X + (b A + c A A) X, A = X X^T``;
    ``p = (1 - lr weight_decay) p - lr s O``. Two-dimensional parameters only.

    Args:
        params: matrices or groups of them.
        lr: learning rate.
        weight_decay: decoupled.
        momentum, nesterov: see above.
        ns_coefficients: (a, b, c).
        eps: lower limit of the norm u is divided by at first.
        ns_steps: Newton-Schulz steps, below 100.
        adjust_lr_fn: s = ``sqrt(max(1, rows / columns))`` ('original', None) or
            ``0.2 sqrt(max(rows, columns))`` ('match_rms_adamw').

    Raises:
        ValueError: an option outside its range, or a parameter that is not a matrix.

    Source: Jordan et al., 2024.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.eye(2))
    >>> optimizer = ccdl.optim.Muon([w], lr=0.1)
    >>> (w * w).sum().backward(); optimizer.step(); w[0, 0].item() < 1
    True
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Any = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if isinstance(lr, _C.Tensor) and lr.numel() != 1:
            raise ValueError(f"Tensor lr must be 1-element, got {lr.numel()} elements (Muon)")
        if not _number(lr) >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if ns_steps >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(ns_coefficients) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}"
                    )

    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = self._closure_loss(closure)
        previous = _C._set_grad_enabled(False)
        try:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._update(group, p)
        finally:
            _C._set_grad_enabled(previous)
        return loss

    def _update(self, group, p):
        state, g = self.state[p], p.grad
        _check_state_exists(self, state)
        if _C._cuda_graph_capturing():
            raise RuntimeError("Muon.step: cannot be captured in a CUDA graph, lr is a host number")
        buffer = state.setdefault("momentum_buffer", None)
        if buffer is None:
            buffer = state["momentum_buffer"] = _C.zeros_like(g)
        buffer.lerp_(g, 1 - group["momentum"])
        u = g.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer
        u = orthogonalized(u, group["ns_coefficients"], group["ns_steps"], group["eps"])
        lr = _number(group["lr"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))
        else:
            scale = math.sqrt(max(1, rows / columns))
        p.mul_(1 - lr * group["weight_decay"]).add_(u.to(p.dtype), alpha=-lr * scale)


def orthogonalized(u: Any, coefficients: Any, steps: int, eps: float) -> Any:
    """Newton-Schulz iteration in bfloat16 from ``u / ||u||``: singular values approach 1."""
    a, b, c = coefficients
    x = u.bfloat16()
    wide = x.size(0) > x.size(1)
    if wide:
        x = x.T
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = _C.addmm(x, _C.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if wide else x
