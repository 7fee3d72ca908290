"""Adafactor: second moments of matrices kept as one row and one column."""

from __future__ import annotations

from typing import Any

from .. import _C
from .._type_info import finfo
from .optimizer import Optimizer, _check_state_exists, _graph_scalars, _host_number, _number

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """The second moment of a matrix gradient is the outer product of its row and column means, so the state
    grows with rows + columns instead of rows x columns.

    ``w_t = t^beta2_decay;  R += w_t (mean_cols(g^2) - R);  C += w_t (mean_rows(g^2) - C);
    V = R C / mean(R)`` (vectors keep V itself); ``U = g / sqrt(V);
    rho_t = min(lr, 1 / sqrt(t));  alpha = max(eps2, rms(p)) rho_t;
    p = (1 - lr weight_decay) p - alpha U / max(1, rms(U) / d)``.

    Args:
        params: parameters or groups.
        lr: upper limit of the relative step.
        beta2_decay: not above 0.
        eps: (eps1, eps2); eps1 limits V from below (its square) and mean(R), None for the dtype's epsilon.
        d: clipping threshold of rms(U), at least 1.
        weight_decay: decoupled.
        foreach: accepted without effect.
        maximize: ascend instead.

    Raises:
        ValueError: an option outside its range.

    Source: Shazeer and Stern, 2018.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.ones(4, 3))
    >>> optimizer = ccdl.optim.Adafactor([w], lr=0.25)
    >>> (w * w).sum().backward(); optimizer.step(); w[0, 0].item()
    0.75
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: Any = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: Any = None,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, _C.Tensor) and lr.numel() != 1:
            raise ValueError(f"Tensor lr must be 1-element, got {lr.numel()} elements (Adafactor)")
        if not _number(lr) >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("foreach", None)
            for p in group["params"]:
                own = self.state.get(p)
                if own and not isinstance(own["step"], _C.Tensor):
                    own["step"] = _host_number(own["step"])

    def _state_of(self, p: Any) -> Any:
        state = self.state[p]
        _check_state_exists(self, state)
        if not state:
            state["step"] = _host_number(0.0)
            if p.grad.dim() > 1:
                shape = list(p.grad.shape)
                state["row_var"] = p.grad.new_zeros([*shape[:-1], 1])
                state["col_var"] = p.grad.new_zeros([*shape[:-2], 1, shape[-1]])
            else:
                state["variance"] = _C.zeros_like(p.grad)
        return state

    def _move_scalars(self, group: Any, states: Any, steps: Any) -> Any:
        lr = _number(group["lr"])
        return [(t ** group["beta2_decay"], min(lr, t**-0.5)) for t in steps]

    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = self._closure_loss(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            states = [self._state_of(p) for p in params]
            steps = _C._count_steps([s["step"] for s in states])
            scalars = self._move_scalars(group, states, steps)
            if not _C._cuda_graph_capturing():
                self._update(group, params, states, scalars, {})
                continue
            alike: dict[Any, list[int]] = {}  # one launch for parameters of equal numbers
            for i, own in enumerate(scalars):
                alike.setdefault(own, []).append(i)
            for own, rows in alike.items():
                chosen = [params[i] for i in rows]
                places = _graph_scalars(self, group, chosen, own)
                self._update(group, chosen, [states[i] for i in rows], [own] * len(rows), places)
        return loss

    def _update(self, group, params, states, scalars, places):
        eps1, eps2 = group["eps"]
        # a parameter has either the averages of rows and columns or a variance
        rows = [s.get("row_var", s.get("variance")) for s in states]
        columns = [s.get("col_var", s.get("variance")) for s in states]
        _C._fused_adafactor_step(
            params,
            [p.grad for p in params],
            rows,
            columns,
            rows,
            [weight for weight, _ in scalars],
            [rho for _, rho in scalars],
            [finfo(p.dtype).eps if eps1 is None else float(eps1) for p in params],
            lr=float(_number(group["lr"])),
            eps2=float(eps2),
            d=float(group["d"]),
            weight_decay=float(group["weight_decay"]),
            maximize=bool(group["maximize"]),
            **places,
        )
