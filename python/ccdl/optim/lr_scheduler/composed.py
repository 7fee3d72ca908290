"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from .base import LRScheduler, get_lr, set_lr
from .plateau import ReduceLROnPlateau

__all__ = ["ChainedScheduler", "SequentialLR", "WarmupLR"]


class ChainedScheduler(LRScheduler):
    """Runs all ``schedulers`` at every step; each multiplies the rate it finds.

    Raises:
        ValueError: no scheduler, one that needs a metric, or schedulers of different optimisers.

    >>> import ccdl, ccdl.nn as nn
    >>> from ccdl.optim import lr_scheduler as schedules
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> parts = [schedules.ConstantLR(optimizer, 0.5, 2), schedules.ExponentialLR(optimizer, 0.5)]
    >>> both = schedules.ChainedScheduler(parts)
    >>> optimizer.step(); both.step(); both.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Any, optimizer: Any = None) -> None:
        if len(schedulers) < 1:
            raise ValueError(
                "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler."
            )
        optimizer = optimizer or schedulers[0].optimizer
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"ChainedScheduler at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    "ChainedScheduler does not support `ReduceLROnPlateau` scheduler as it requires "
                    "additional kwargs to be specified when calling `step`, but got one at "
                    f"index {i} in the given schedulers sequence."
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    "ChainedScheduler expects all schedulers to belong to the same optimizer, but got "
                    f"scheduler {type(scheduler).__name__} at index {i} of another"
                )
        self.optimizer = optimizer
        self._schedulers = schedulers
        self._last_lr = self._current()

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = self._current()

    def _move_to(self, epoch: Any) -> None:
        for scheduler in self._schedulers:
            scheduler._move_to(epoch)
        self._last_lr = self._current()

    def step(self) -> None:  # type: ignore[override]
        """Moves all on by one epoch."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current()

    def state_dict(self) -> Any:
        """Own counters and the schedulers' states."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        state["_schedulers"] = [s.state_dict() for s in self._schedulers]
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        """Takes what :meth:`state_dict` gave."""
        state_dict = dict(state_dict)
        for scheduler, state in zip(self._schedulers, state_dict.pop("_schedulers")):
            scheduler.load_state_dict(state)
        self.__dict__.update(state_dict)


class SequentialLR(LRScheduler):
    """Runs ``schedulers`` one after the other, changing at the epochs ``milestones``."""

    def __init__(self, optimizer: Any, schedulers: Any, milestones: Any, last_epoch: int = -1) -> None:
        if len(schedulers) < 1:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"SequentialLR at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    "SequentialLR does not support `ReduceLROnPlateau`, whose step needs a metric, but got "
                    f"one at index {i} in the given schedulers sequence."
                )
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} milestones, "
                f"got {len(milestones)}"
            )
        for scheduler in schedulers:
            if scheduler.optimizer is not optimizer:
                raise ValueError("SequentialLR: all schedulers must belong to the given optimizer")
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            set_lr(group, get_lr(group, "initial_lr"))
        self._undo(self._schedulers)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self, schedulers):
        """Takes back the first step that each made when it was built."""
        for scheduler in schedulers:
            if hasattr(scheduler, "_schedulers"):
                self._undo(scheduler._schedulers)
            elif hasattr(scheduler, "last_epoch"):
                scheduler.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Moves on by one epoch."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._move_to(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> Any:
        """Own counters and the schedulers' states."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        state["_schedulers"] = [s.state_dict() for s in self._schedulers]
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        """Takes what :meth:`state_dict` gave."""
        state_dict = dict(state_dict)
        for scheduler, state in zip(self._schedulers, state_dict.pop("_schedulers")):
            scheduler.load_state_dict(state)
        self.__dict__.update(state_dict)


class WarmupLR(LRScheduler):
    """The rate of ``after`` (or the initial one) times a factor that rises from ``start_factor`` to 1 over
    ``warmup_steps`` steps; ``after`` does not move meanwhile.

    Large steps from a bad first point do harm; large batches and transfer learning gain most.

    Args:
        optimizer: whose rates are set.
        warmup_steps: length, at least 1.
        start_factor: of step 0, in (0, 1].
        mode: 'linear', 'exponential' or 'constant'.
        after: a schedule of the same optimiser that goes on after the warm-up, also one with a metric.

    Raises:
        ValueError: an option outside its range.

    Source: Goyal et al., 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> from ccdl.optim import lr_scheduler as schedules
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> warm = schedules.WarmupLR(optimizer, 2, 0.5, after=schedules.ExponentialLR(optimizer, 0.1))
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(warm.get_last_lr()[0])
    ...     optimizer.step(); warm.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.1]
    """

    def __init__(
        self,
        optimizer: Any,
        warmup_steps: int,
        start_factor: float = 0.1,
        mode: str = "linear",
        after: Any = None,
    ) -> None:
        if warmup_steps < 1:
            raise ValueError(f"WarmupLR: warmup_steps must be at least 1, got {warmup_steps}")
        if not 0 < start_factor <= 1:
            raise ValueError(f"WarmupLR: start_factor must be in (0, 1], got {start_factor}")
        if mode not in ("linear", "exponential", "constant"):
            raise ValueError(f"WarmupLR: mode must be 'linear', 'exponential' or 'constant', got {mode!r}")
        if after is not None and after.optimizer is not optimizer:
            raise ValueError("WarmupLR: after belongs to another optimizer")
        self.warmup_steps = warmup_steps
        self.start_factor = start_factor
        self.mode = mode
        self.after = after
        super().__init__(optimizer)

    @property
    def needs_metric(self) -> bool:
        """Whether ``after`` takes a metric."""
        return getattr(self.after, "needs_metric", False)

    def _factor(self):
        done = min(1.0, self.last_epoch / self.warmup_steps)
        if self.mode == "linear":
            return self.start_factor + (1 - self.start_factor) * done
        return 1.0 if done == 1.0 else self.start_factor ** (1 - done if self.mode == "exponential" else 1.0)

    def get_lr(self) -> Any:
        return [base * self._factor() for base in self.base_lrs]

    def step(self, metrics: Any = None) -> None:
        """Moves on by one step; ``metrics`` goes to ``after`` where that takes one."""
        if self.last_epoch < self.warmup_steps or self.after is None:
            super().step()
            return
        self.last_epoch += 1
        if self.needs_metric:
            self.after.step(metrics)
        else:
            self.after.step()
        self._last_lr = self._current()

    def state_dict(self) -> Any:
        """Own counters and the state of ``after``."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "after")}
        state["after"] = None if self.after is None else self.after.state_dict()
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        """Takes what :meth:`state_dict` gave."""
        state = dict(state_dict)
        after = state.pop("after", None)
        if self.after is not None and after is not None:
            self.after.load_state_dict(after)
        self.__dict__.update(state)
