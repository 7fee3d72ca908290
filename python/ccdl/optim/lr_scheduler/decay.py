"""Schedules that fall, or follow a function of the epoch."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

from .base import LRScheduler, check_count, check_number

__all__ = [
    "LambdaLR",
    "MultiplicativeLR",
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialDecayLR",
    "NoamLR",
]


class LambdaLR(LRScheduler):
    """``lr = initial * f(epoch)``; ``lr_lambda`` is one function or one per group.

    >>> import ccdl, ccdl.nn as nn
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> ccdl.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5 ** epoch).get_last_lr()
    [1.0]
    """

    def __init__(self, optimizer: Any, lr_lambda: Any, last_epoch: int = -1) -> None:
        count = len(optimizer.param_groups)
        given = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda]
        for one in given:
            if not callable(one):
                raise TypeError(
                    f"{type(self).__name__}: lr_lambda should be a function, but got {type(one).__name__}"
                )
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> Any:
        """As the base, without the functions (callable objects keep their attributes)."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "lr_lambdas")}
        state["lr_lambdas"] = [None if hasattr(f, "__code__") else dict(f.__dict__) for f in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        """Takes what :meth:`state_dict` gave."""
        state_dict = dict(state_dict)
        for f, saved in zip(self.lr_lambdas, state_dict.pop("lr_lambdas", [])):
            if saved is not None:
                f.__dict__.update(saved)
        self.__dict__.update(state_dict)

    def get_lr(self) -> Any:
        return [base * f(self.last_epoch) for f, base in zip(self.lr_lambdas, self.base_lrs)]


class MultiplicativeLR(LambdaLR):
    """Multiplies the rate by ``f(epoch)`` at each epoch."""

    def get_lr(self) -> Any:
        if self.last_epoch == 0:
            return self._current()
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self._current())]


class StepLR(LRScheduler):
    """``lr = initial * gamma^floor(epoch / step_size)``."""

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        check_count("StepLR", "step_size", step_size, 1)
        check_number("StepLR", "gamma", gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._current()
        return [lr * self.gamma for lr in self._current()]

    def _get_closed_form_lr(self):
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiplies the rate by ``gamma`` at each of the epochs ``milestones``."""

    def __init__(self, optimizer: Any, milestones: Any, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if isinstance(milestones, (str, bytes)) or not hasattr(milestones, "__iter__"):
            raise TypeError(
                f"MultiStepLR: milestones is {type(milestones).__name__}, must be a list of epochs"
            )
        milestones = list(milestones)
        for milestone in milestones:
            check_number("MultiStepLR", "a milestone", milestone)
        check_number("MultiStepLR", "gamma", gamma)
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        count = self.milestones.count(self.last_epoch)
        return [lr * self.gamma**count for lr in self._current()]

    def _get_closed_form_lr(self):
        passed = bisect_right(self.milestones, self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """``lr = initial * factor`` for the first ``total_iters`` epochs, then ``initial``."""

    def __init__(
        self, optimizer: Any, factor: Any = 1.0 / 3, total_iters: Any = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1.0:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        check_count("ConstantLR", "total_iters", total_iters)
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self._current()]
        if self.last_epoch != self.total_iters:
            return self._current()
        return [lr / self.factor for lr in self._current()]

    def _get_closed_form_lr(self):
        factor = self.factor if self.last_epoch < self.total_iters else 1.0
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """The factor grows linearly from ``start_factor`` to ``end_factor`` over ``total_iters`` epochs:
    warm-up.
    """

    def __init__(
        self,
        optimizer: Any,
        start_factor: Any = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: Any = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1.0:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1."
            )
        if not 0 <= end_factor <= 1.0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        check_count("LinearLR", "total_iters", total_iters)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._current()]
        if self.last_epoch > self.total_iters:
            return self._current()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1.0 + rise / before) for lr in self._current()]

    def _get_closed_form_lr(self):
        share = min(self.last_epoch, self.total_iters) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * share
        return [base * factor for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """``lr = initial * gamma^epoch``."""

    def __init__(self, optimizer: Any, gamma: Any, last_epoch: int = -1) -> None:
        check_number(type(self).__name__, "gamma", gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        if self.last_epoch == 0:
            return self._current()
        return [lr * self.gamma for lr in self._current()]

    def _get_closed_form_lr(self):
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """``lr = initial * (1 - epoch / total_iters)^power``."""

    def __init__(
        self, optimizer: Any, total_iters: Any = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        check_count("PolynomialLR", "total_iters", total_iters)
        check_number("PolynomialLR", "power", power)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current()
        left = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return [lr * (left / before) ** self.power for lr in self._current()]

    def _get_closed_form_lr(self):
        done = min(self.last_epoch, self.total_iters) / self.total_iters
        return [base * (1.0 - done) ** self.power for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """``lr = eta_min + (initial - eta_min) (1 + cos(pi epoch / T_max)) / 2``.

    Source: Loshchilov and Hutter, 2017.
    """

    def __init__(self, optimizer: Any, T_max: Any, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        check_number("CosineAnnealingLR", "T_max", T_max)
        check_number("CosineAnnealingLR", "eta_min", eta_min)
        if not T_max > 0:
            raise ValueError(f"CosineAnnealingLR: T_max is {T_max}, must be positive")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        t, half, low = self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return self._current()
        if self._step_count == 1 and t > 0:
            return self._get_closed_form_lr()
        if (t - 1 - half) % (2 * half) == 0:  # the quotient below would be 0 / 0
            rise = (1 - math.cos(math.pi / half)) / 2
            return [lr + (base - low) * rise for base, lr in zip(self.base_lrs, self._current())]
        factor = (1 + math.cos(math.pi * t / half)) / (1 + math.cos(math.pi * (t - 1) / half))
        return [factor * (lr - low) + low for lr in self._current()]

    def _get_closed_form_lr(self):
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that starts anew after T_0, T_0 T_mult, ... epochs; ``step`` takes fractions of
    epochs.
    """

    def __init__(
        self, optimizer: Any, T_0: Any, T_mult: Any = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: Any = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: Any = None) -> None:
        """Moves on by one epoch, or to ``epoch``, which may be a fraction such as ``e + batch / batches``."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        else:
            self.T_cur, self.T_i = epoch, self.T_0
            if self.T_mult == 1:
                self.T_cur %= self.T_0
            while self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())


class ExponentialDecayLR(ExponentialLR):
    """``lr = initial * exp(-rate * epoch)``: :class:`ExponentialLR` with ``gamma = exp(-rate)``.

    >>> import ccdl, ccdl.nn as nn
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> scheduler = ccdl.optim.lr_scheduler.ExponentialDecayLR(optimizer, rate=0.1)
    >>> optimizer.step(); scheduler.step(); round(scheduler.get_last_lr()[0], 6)  # exp(-0.1)
    0.904837
    """

    def __init__(self, optimizer: Any, rate: float, last_epoch: int = -1) -> None:
        self.rate = rate
        super().__init__(optimizer, math.exp(-rate), last_epoch)


class NoamLR(LRScheduler):
    """``lr = initial * d_model^-0.5 min(step^-0.5, step warmup^-1.5)`` for step = 1, 2, ...: linear warm-up,
    then the inverse square root. Call ``step`` after every batch.

    Source: Vaswani et al., 2017, section 5.3 (initial = 1).

    >>> import ccdl, ccdl.nn as nn
    >>> optimizer = ccdl.optim.Adam(nn.Linear(1, 1).parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    >>> ccdl.optim.lr_scheduler.NoamLR(optimizer, d_model=512, warmup_steps=4000).get_last_lr()
    [1.7...e-07]
    """

    def __init__(self, optimizer: Any, d_model: int, warmup_steps: int, last_epoch: int = -1) -> None:
        if not d_model > 0 or not warmup_steps > 0:
            raise ValueError(
                f"NoamLR: d_model and warmup_steps must be positive, got {d_model} and {warmup_steps}"
            )
        self.d_model = d_model
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Any:
        step = self.last_epoch + 1
        factor = self.d_model**-0.5 * min(step**-0.5, step * self.warmup_steps**-1.5)
        return [base * factor for base in self.base_lrs]
