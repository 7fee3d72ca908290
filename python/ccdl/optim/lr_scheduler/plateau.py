"""Schedules that watch a metric."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, check_count, check_number, get_lr, per_group, set_lr

__all__ = ["NewBobLR", "ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by ``factor`` when ``step(metric)`` has not seen a new best for ``patience``
    epochs.

    Args:
        mode: 'min' or 'max' of the metric.
        factor: below 1.
        patience: epochs without improvement that are tolerated.
        threshold, threshold_mode: what counts as improvement, relative ('rel') or absolute ('abs').
        cooldown: epochs to wait after a reduction.
        min_lr: lower limit, one number or one per group.
        eps: smaller changes are not made.
    """

    needs_metric = True

    def __init__(
        self,
        optimizer: Any,
        mode: str = "min",
        factor: float = 0.1,
        patience: Any = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: Any = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        for name, value in (("patience", patience), ("cooldown", cooldown)):
            check_count("ReduceLROnPlateau", name, value)
        for name, value in (("factor", factor), ("threshold", threshold), ("eps", eps)):
            check_number("ReduceLROnPlateau", name, value)
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        if isinstance(min_lr, (list, tuple)) and len(min_lr) != groups:
            raise ValueError(f"expected {groups} min_lrs, got {len(min_lr)}")
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * groups
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = self._current()

    def is_better(self, a: Any, best: Any) -> Any:
        """Whether ``a`` improves on ``best``."""
        if self.threshold_mode == "rel":
            if self.mode == "min":
                return a < best * (1.0 - self.threshold)
            return a > best * (self.threshold + 1.0)
        return a < best - self.threshold if self.mode == "min" else a > best + self.threshold

    def _fit_groups(self):
        groups = len(self.optimizer.param_groups)
        if groups != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau: the optimizer has {groups} groups, min_lr was given for "
                    f"{len(self.min_lrs)}; set min_lrs after adding a group"
                )
            self.min_lrs = [self.default_min_lr] * groups

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction is too recent for another."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any, epoch: Any = None) -> None:  # type: ignore[override]
        """Takes the epoch's metric."""
        if epoch is not None:
            warnings.warn("ReduceLROnPlateau.step: epoch is deprecated", stacklevel=2)
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._fit_groups()
            for group, low in zip(self.optimizer.param_groups, self.min_lrs):
                old = get_lr(group)
                new = max(old * self.factor, low)
                if old - new > self.eps:
                    set_lr(group, new)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._current()


class NewBobLR(LRScheduler):
    """Halves the rate whenever the error is higher than in the epoch before.

    :class:`ReduceLROnPlateau` compares with the best epoch instead: the errors 1.0, 1.2, 1.1 halve once here
    and twice there (patience 0).

    Args:
        optimizer: whose rates are set.
        factor: of each reduction, in (0, 1).
        threshold: relative improvement that an epoch must make; 0: any rise halves, an equal error does not.
        ramp: once halved, halve at every epoch.
        mode: 'min' for errors, 'max' for scores.
        min_lr: lower limit, one number or one per group.

    Raises:
        ValueError: an option outside its range.

    Source: the "new bob" rule of ICSI's QuickNet.

    >>> import ccdl, ccdl.nn as nn
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> scheduler = ccdl.optim.lr_scheduler.NewBobLR(optimizer)
    >>> for error in (1.0, 1.2, 1.1):
    ...     scheduler.step(error)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    needs_metric = True

    def __init__(
        self,
        optimizer: Any,
        factor: float = 0.5,
        threshold: float = 0.0,
        ramp: bool = False,
        mode: str = "min",
        min_lr: Any = 0.0,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if not 0 < factor < 1:
            raise ValueError(f"NewBobLR: factor must be in (0, 1), got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"NewBobLR: mode must be 'min' or 'max', got {mode!r}")
        self.optimizer = optimizer
        self.factor, self.threshold, self.ramp, self.mode = factor, threshold, ramp, mode
        self.min_lrs = per_group("min_lr", optimizer, min_lr)
        self.previous: float | None = None
        self.ramping = False
        self.last_epoch = 0
        self._last_lr = self._current()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Takes the epoch's error (or score)."""
        now = float(metrics)
        self.last_epoch += 1
        if self.previous is not None:
            gain = self.previous - now if self.mode == "min" else now - self.previous
            worse = not gain >= self.threshold * abs(self.previous)  # a NaN is worse
            if worse or self.ramping:
                self.ramping = self.ramp
                for group, low in zip(self.optimizer.param_groups, self.min_lrs):
                    set_lr(group, max(get_lr(group) * self.factor, low))
        self.previous = now
        self._last_lr = self._current()
