"""What all schedules share."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ... import _C
from ..optimizer import Optimizer

__all__ = ["LRScheduler", "check_count", "check_number", "get_lr", "per_group", "set_lr", "set_momentum"]


def set_lr(group: dict[str, Any], lr: Any) -> None:
    """Writes a group's learning rate, into its tensor where it is one."""
    if isinstance(group["lr"], _C.Tensor):
        group["lr"].fill_(float(lr))
    else:
        group["lr"] = lr


def get_lr(group: dict[str, Any], key: str = "lr") -> Any:
    """A group's learning rate as a number."""
    return group[key].item() if isinstance(group[key], _C.Tensor) else group[key]


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Writes a group's momentum, or the first of its betas."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    elif "momentum" in group:
        group["momentum"] = value
    else:
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")


def per_group(name: str, optimizer: Any, value: Any) -> list[Any]:
    """One value per group, from one for all or a list."""
    groups = len(optimizer.param_groups)
    if isinstance(value, (list, tuple)):
        if len(value) != groups:
            raise ValueError(
                f"{name} must have the same length as optimizer.param_groups: {groups}, got {len(value)}"
            )
        return list(value)
    return [value] * groups


def check_count(op: str, name: str, value: Any, least: int = 0) -> None:
    """A number of steps or epochs, whole or not, of at least ``least``."""
    check_number(op, name, value)
    if not value >= least:
        raise ValueError(f"{op}: {name} is {value}, must be at least {least}")


def check_number(op: str, name: str, value: Any) -> None:
    """TypeError for anything but a number."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{op}: {name} is {type(value).__name__}, must be a number")


_ORDER = "See https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"


def _step_of(optimizer):
    """The function that ``optimizer.step`` runs, the same for each look-up."""
    return getattr(optimizer.step, "__func__", optimizer.step)


class LRScheduler:
    """Base: subclasses write ``get_lr()``, the rates of all groups at ``self.last_epoch``.

    Args:
        optimizer: whose groups' ``lr`` is set; their starting values are kept as ``initial_lr``.
        last_epoch: -1 to start anew.

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: ``last_epoch`` is given and the groups have no ``initial_lr``.
    """

    _is_initial = False  # while the first rates are set

    def __init__(self, optimizer: Any, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", get_lr(group))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming a schedule"
                )
        self.base_lrs = [get_lr(group, "initial_lr") for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self.optimizer._scheduled_step = _step_of(self.optimizer)
        self._is_initial = True
        try:
            self.step()
        finally:
            del self._is_initial

    def state_dict(self) -> Any:
        """All attributes but the optimiser."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: Any) -> None:
        """Takes what :meth:`state_dict` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> Any:
        """The rates set last."""
        return self._last_lr

    def get_lr(self) -> Any:
        """The rates at ``self.last_epoch``."""
        raise NotImplementedError

    def step(self, epoch: Any = None) -> None:
        """Moves on by one epoch (or to ``epoch``) and sets the rates."""
        if self._step_count == 1 and _step_of(self.optimizer) is not self.optimizer._scheduled_step:
            warnings.warn(
                "`optimizer.step()` has been overridden after the schedule was made, so whether it runs "
                f"before `lr_scheduler.step()` cannot be seen. {_ORDER}",
                UserWarning,
                stacklevel=2,
            )
        elif self._step_count == 1 and not self.optimizer._stepped:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value of the "
                f"schedule is skipped; call `optimizer.step()` first. {_ORDER}",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self._move_to(epoch)

    def _move_to(self, epoch: Any) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = getattr(self, "_get_closed_form_lr", None)
        self._set(self.get_lr() if epoch is None or closed_form is None else closed_form())

    def _set(self, rates: Iterable[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates):
            set_lr(group, lr)
        self._last_lr = self._current()

    def _current(self) -> list[Any]:
        return [get_lr(group) for group in self.optimizer.param_groups]
