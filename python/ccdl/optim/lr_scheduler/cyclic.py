"""Schedules that rise and fall."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, check_number, per_group, set_lr, set_momentum

__all__ = ["CyclicLR", "OneCycleLR"]


class CyclicLR(LRScheduler):
    """Goes up and down between ``base_lr`` and ``max_lr``; call ``step`` after every batch.

    With ``cycle = floor(1 + t / (up + down))`` the height is ``(max_lr - base_lr) * scale``: scale is 1
    ('triangular'), ``2^(1 - cycle)`` ('triangular2') or ``gamma^t`` ('exp_range').

    Args:
        optimizer: its momentum (or first beta) moves the other way when ``cycle_momentum``.
        base_lr, max_lr: lower and upper rate, one number or one per group.
        step_size_up, step_size_down: batches of the rising and the falling half; the second is the first when
            left out.
        mode, gamma: see above.
        scale_fn, scale_mode: a scale of your own, of the cycle's number ('cycle') or of t ('iterations').
        cycle_momentum, base_momentum, max_momentum: the momentum is ``max_momentum`` at ``base_lr``.
        last_epoch: -1 to start anew.

    Raises:
        ValueError: an unknown mode, or an optimiser without momentum and betas.

    Source: Smith, 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0, momentum=0.9)
    >>> scheduler = ccdl.optim.lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, step_size_up=2)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(scheduler.get_last_lr()[0])
    ...     optimizer.step(); scheduler.step()
    >>> rates
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Any,
        base_lr: Any,
        max_lr: Any,
        step_size_up: Any = 2000,
        step_size_down: Any = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        for name, size in (("step_size_up", step_size_up), ("step_size_down", step_size_down)):
            if size is not None:
                check_number("CyclicLR", name, size)
                if not size > 0:
                    raise ValueError(f"CyclicLR: {name} is {size}, must be positive")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode is {scale_mode!r}, must be 'cycle' or 'iterations'")
        for name, rates in (("base_lr", base_lr), ("max_lr", max_lr)):
            for rate in rates if isinstance(rates, (list, tuple)) else (rates,):
                check_number("CyclicLR", name, rate)
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs):
                set_lr(group, lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"mode {mode!r} is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
                raise ValueError(
                    "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
                )
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                for group, low, high in zip(
                    optimizer.param_groups, self.base_momentums, self.max_momentums
                ):
                    set_momentum(group, high)
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The scale of cycle or iteration ``x``."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> Any:
        turns = self.last_epoch / self.total_size
        cycle = math.floor(1 + turns)
        x = 1.0 + turns - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums
            ):
                set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> Any:
        """As the base; a scale function keeps its attributes only where it is a callable object."""
        state = super().state_dict()
        custom = state.pop("_scale_fn_custom")
        state["_scale_fn_custom"] = None
        if custom is not None and not hasattr(custom, "__code__"):
            state["_scale_fn_custom"] = dict(custom.__dict__)
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        """Takes what :meth:`state_dict` gave."""
        state = dict(state_dict)
        custom = state.pop("_scale_fn_custom", None)
        super().load_state_dict(state)
        if custom is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(custom)


class OneCycleLR(LRScheduler):
    """Rises from ``max_lr / div_factor`` to ``max_lr`` and falls to ``initial / final_div_factor`` over
    ``total_steps`` steps; momentum moves the other way. Source: Smith and Topin, 2018.
    """

    def __init__(
        self,
        optimizer: Any,
        max_lr: Any,
        total_steps: Any = None,
        epochs: Any = None,
        steps_per_epoch: Any = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        up = float(pct_start * total_steps) - 1
        if three_phase:
            self._phases = [
                (up, "initial_lr", "max_lr"),
                (2 * up, "max_lr", "initial_lr"),
                (total_steps - 1, "initial_lr", "min_lr"),
            ]
        else:
            self._phases = [(up, "initial_lr", "max_lr"), (total_steps - 1, "max_lr", "min_lr")]
        peaks = per_group("max_lr", optimizer, max_lr)
        for peak in peaks:
            check_number("OneCycleLR", "max_lr", peak)
        if last_epoch == -1:
            for group, peak in zip(optimizer.param_groups, peaks):
                set_lr(group, peak / div_factor)
                group["max_lr"] = peak
                group["min_lr"] = peak / div_factor / final_div_factor
                if cycle_momentum:
                    set_momentum(group, max_momentum)
                    group["max_momentum"], group["base_momentum"] = max_momentum, base_momentum
        super().__init__(optimizer, last_epoch)

    def _between(self, start, end, share):
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2.0 * (1 + math.cos(math.pi * share))

    def get_lr(self) -> Any:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}"
            )
        begin, rates, phase = 0.0, [], 0
        while step > self._phases[phase][0] and phase < len(self._phases) - 1:
            begin = self._phases[phase][0]
            phase += 1
        end, first, last = self._phases[phase]
        share = (step - begin) / (end - begin) if end > begin else 1.0
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[first], group[last], share))
            if self.cycle_momentum:
                edge = {"initial_lr": "max_momentum", "max_lr": "base_momentum", "min_lr": "max_momentum"}
                set_momentum(group, self._between(group[edge[first]], group[edge[last]], share))
        return rates
