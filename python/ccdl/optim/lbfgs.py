"""L-BFGS: a quasi-Newton method over the last few steps, with an optional line search."""

from __future__ import annotations

import functools
from typing import Any

from .. import _C
from .optimizer import Optimizer, _check_rate, _number

__all__ = ["LBFGS"]


def _real(x: Any) -> Any:
    """Complex numbers as their parts, over the same memory."""
    return x._parts if x.is_complex() else x


class LBFGS(Optimizer):
    """Limited-memory BFGS. ``step`` needs a closure that clears the gradients, computes the loss, calls
    ``backward`` and returns the loss; it is called several times.

    Args:
        params: parameters, one group only.
        lr: scale of each step (of the first trial step with a line search).
        max_iter: iterations per ``step``.
        max_eval: calls of the closure per ``step``, 5/4 max_iter when left out.
        tolerance_grad: stop when the largest gradient is at most this.
        tolerance_change: stop when parameters or loss change less.
        history_size: pairs kept.
        line_search_fn: None or 'strong_wolfe'.

    Raises:
        ValueError: several groups, or a negative learning rate.

    Source: Liu and Nocedal, 1989; line search: Nocedal and Wright, Numerical Optimization, ch. 3.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.Parameter(ccdl.tensor([3.0, -2.0]))
    >>> optimizer = ccdl.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure); ccdl.allclose(w, ccdl.ones(2), atol=1e-4)
    True
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        _check_rate("LBFGS", lr)
        for name, count, least in (("max_iter", max_iter, 0), ("history_size", history_size, 1)):
            if not isinstance(count, int) or count < least:
                raise ValueError(f"LBFGS: {name} is {count}, must be an integer of at least {least}")
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError(
                f"LBFGS: line_search_fn is {line_search_fn!r}, only 'strong_wolfe' is supported"
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self):
        return self.param_groups[0]["params"]

    def _flat_grad(self):
        parts = [_C.zeros_like(p.detach()) if p.grad is None else p.grad for p in self._params]
        return _C.cat([_real(g).reshape(-1) for g in parts])

    def _move(self, amount, direction):
        offset = 0
        for p in self._params:
            p = _real(p)
            p.add_(direction[offset : offset + p.numel()].view(p.shape), alpha=amount)
            offset += p.numel()

    def _evaluate(self, closure, start, direction, amount):
        """Loss and gradient at start + amount direction; the parameters come back to start."""
        self._move(amount, direction)
        loss, grad = float(closure()), self._flat_grad()
        for p, kept in zip(self._params, start):
            p.copy_(kept)
        return loss, grad

    def step(self, closure: Any = None) -> Any:
        """Up to ``max_iter`` iterations; returns the loss before them."""
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that recomputes the loss and its gradients")
        if len(self.param_groups) != 1:
            raise AssertionError(f"Expected exactly one param_group, but got {len(self.param_groups)}")
        previous = _C._set_grad_enabled(False)
        try:
            return self._iterate(lambda: self._closure_loss(closure))
        finally:
            _C._set_grad_enabled(previous)

    def _direction(self, state, grad, history_size):
        """Two-loop recursion over the stored pairs."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return grad.neg()
        y, s = grad - state["prev_flat_grad"], state["d"] * state["t"]
        ys = y.dot(s).item()
        dirs, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        if ys > 1e-10:
            if len(dirs) == history_size:
                dirs.pop(0)
                steps.pop(0)
                ro.pop(0)
            dirs.append(y)
            steps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / y.dot(y).item()
        al, q = [0.0] * len(dirs), grad.neg()
        for i in range(len(dirs) - 1, -1, -1):
            al[i] = steps[i].dot(q).item() * ro[i]
            q.add_(dirs[i], alpha=-al[i])
        state["al"] = al
        q.mul_(state["H_diag"])
        for i in range(len(dirs)):
            q.add_(steps[i], alpha=al[i] - dirs[i].dot(q).item() * ro[i])
        return q

    def _iterate(self, closure):
        group = self.param_groups[0]
        lr, small, flat = _number(group["lr"]), group["tolerance_change"], group["tolerance_grad"]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = closure()
        loss, grad, calls = float(first), self._flat_grad(), 1
        state["func_evals"] += 1
        if grad.abs().max().item() <= flat:
            return first
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = state["d"] = self._direction(state, grad, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"], before = grad.clone(), loss, loss
            first_step = 1.0 / max(grad.abs().sum().item(), 1e-300)
            t = state["t"] = min(1.0, first_step) * lr if state["n_iter"] == 1 else lr
            slope = grad.dot(d).item()
            if slope > -small:
                break
            used = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                evaluate = functools.partial(
                    self._evaluate, closure, [p.detach().clone() for p in self._params], d
                )
                search = _StrongWolfe(evaluate, d, small)
                loss, grad, t, used = search.run(t, loss, grad, slope, group["max_eval"] - calls)
                state["t"] = t
                self._move(t, d)
            else:
                self._move(t, d)
                if n != group["max_iter"]:
                    loss, grad, used = float(closure()), self._flat_grad(), 1
            calls += used
            state["func_evals"] += used
            if (
                n == group["max_iter"]
                or calls >= group["max_eval"]
                or grad.abs().max().item() <= flat
                or (d * t).abs().max().item() <= small
                or abs(loss - before) < small
            ):
                break
        return first


def _cubic(x1, f1, g1, x2, f2, g2, bounds=None):
    """Minimum of the cubic through two points with their slopes, within bounds."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if x1 <= x2:
        best = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        best = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(best, low), high)


class _Point:
    def __init__(self, t, f, g, slope):
        self.t, self.f, self.g, self.slope = t, f, g, slope


class _StrongWolfe:
    """Line search for a step with enough decrease (c1) and a flat enough slope (c2)."""

    c1, c2 = 1e-4, 0.9

    def __init__(self, evaluate, direction, small):
        self.evaluate, self.direction, self.small = evaluate, direction, small
        self.longest = direction.abs().max().item()
        self.calls = 0

    def point(self, t):
        f, g = self.evaluate(t)
        self.calls += 1
        return _Point(t, f, g, g.dot(self.direction).item())

    def run(self, t, f, g, slope, most):
        """Loss, gradient and size of the step found, and the number of evaluations."""
        start = _Point(0.0, f, g, slope)
        previous, now = start, self.point(t)
        tries, bracket = 0, None
        while tries < most:
            if now.f > f + self.c1 * now.t * slope or (tries > 1 and now.f >= previous.f):
                bracket = [previous, now]
            elif abs(now.slope) <= -self.c2 * slope:
                return now.f, now.g, now.t, self.calls
            elif now.slope >= 0:
                bracket = [previous, now]
            if bracket is not None:
                break
            bounds = (now.t + 0.01 * (now.t - previous.t), now.t * 10)
            t = _cubic(previous.t, previous.f, previous.slope, now.t, now.f, now.slope, bounds)
            previous, now = now, self.point(t)
            tries += 1
        found = self.zoom(start, bracket if bracket is not None else [start, now], tries, most)
        return found.f, found.g, found.t, self.calls

    def zoom(self, start, bracket, tries, most):
        """Narrows the bracket to a point that satisfies both conditions."""
        stuck = False
        low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
        while tries < most and abs(bracket[1].t - bracket[0].t) * self.longest >= self.small:
            a, b = bracket
            t = _cubic(a.t, a.f, a.slope, b.t, b.f, b.slope)
            least, largest = min(a.t, b.t), max(a.t, b.t)
            edge = 0.1 * (largest - least)
            if min(largest - t, t - least) < edge:  # near a border: move inside every second time
                if stuck or t >= largest or t <= least:
                    t = largest - edge if abs(t - largest) < abs(t - least) else least + edge
                    stuck = False
                else:
                    stuck = True
            else:
                stuck = False
            now = self.point(t)
            tries += 1
            if now.f > start.f + self.c1 * now.t * start.slope or now.f >= bracket[low].f:
                bracket[high] = now
                low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
                continue
            if abs(now.slope) <= -self.c2 * start.slope:
                return now
            if now.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = now
        return bracket[low]
