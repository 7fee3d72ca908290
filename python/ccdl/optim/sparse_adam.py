"""Adam for embeddings: rows without gradient are left alone."""

from __future__ import annotations

from typing import Any

from .. import _C
from ._overflow import device_flag
from .optimizer import Optimizer, _check_betas, _check_state_exists, _number

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam on those rows (entries of the first dimension) whose gradient is not all zero: moments and weights
    of the others stay, so a word that a batch does not have is not moved by its momentum.

    ccdl's gradients are dense; a row that a batch does have with a gradient of exactly zero counts as absent.

    Args:
        params: parameters or groups.
        lr: learning rate, positive; a number or a 0-d tensor.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the root, positive.
        maximize: ascend instead.

    Raises:
        ValueError: an option outside its range.

    Source: Kingma and Ba, 2015, applied to the rows present, as PyTorch has it for sparse gradients.

    >>> import ccdl, ccdl.nn as nn
    >>> table = nn.Embedding(3, 2)
    >>> before = table.weight.detach().clone()
    >>> optimizer = ccdl.optim.SparseAdam(table.parameters(), lr=0.1)
    >>> table(ccdl.tensor([1])).sum().backward(); optimizer.step()
    >>> (table.weight != before).any(1).tolist()
    [False, True, False]
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, _C.Tensor) and lr.numel() != 1:
            raise ValueError(f"Tensor lr must be 1-element, got {lr.numel()} elements (SparseAdam)")
        if not _number(lr) > 0.0:
            raise ValueError(f"Invalid learning rate: {lr} (SparseAdam), must be positive")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps} (SparseAdam), must be positive")
        _check_betas("SparseAdam", betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def step(self, closure: Any = None) -> Any:
        """One update of the rows that have a gradient; returns the closure's loss."""
        loss = self._closure_loss(closure)
        if device_flag(self, ready=False) is False:
            return loss
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
        if _C._cuda_graph_capturing():
            raise RuntimeError("SparseAdam.step: the host asks for the rows, no CUDA graph can capture it")
        state = self.state[p]
        _check_state_exists(self, state)
        if not state:
            state.update(step=0, exp_avg=_C.zeros_like(p), exp_avg_sq=_C.zeros_like(p))
        state["step"] += 1
        beta1, beta2 = (float(_number(b)) for b in group["betas"])
        if p.dim() == 0 or p.numel() == 0:
            rows = slice(None) if p.dim() else ()
        else:
            present = p.grad != 0
            rows = (present.flatten(1).any(1) if p.dim() > 1 else present).nonzero().squeeze(1)
        g = p.grad[rows]
        g = -g if group["maximize"] else g
        mean, square = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        mean = mean + (1 - beta1) * (g - mean)
        square = square + (1 - beta2) * (g * g - square)
        state["exp_avg"][rows] = mean
        state["exp_avg_sq"][rows] = square
        correction1, correction2 = 1 - beta1 ** state["step"], 1 - beta2 ** state["step"]
        size = float(_number(group["lr"])) * correction2**0.5 / correction1
        p[rows] = p[rows] - size * mean / (square.sqrt() + group["eps"])
