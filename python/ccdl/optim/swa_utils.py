"""Averages of weights over training: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import _C
from ..nn.modules.module import Module
from .lr_scheduler.base import LRScheduler, per_group

__all__ = [
    "AveragedModel",
    "EMA",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _without_grad(f: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any) -> Any:
        previous = _C._set_grad_enabled(False)
        try:
            return f(*args)
        finally:
            _C._set_grad_enabled(previous)

    return wrapped


def _approach(averaged: Any, current: Any, weight: float) -> None:
    """averaged += weight (current - averaged) for all tensors, floating ones in one pass."""
    floats = [(a, c) for a, c in zip(averaged, current) if a.is_floating_point()]
    if floats:
        a, c = [p for p, _ in floats], [p for _, p in floats]
        ones = [1.0] * len(floats)
        weights = [float(weight)] * len(floats)
        _C._fused_rule_step("Lerp", a, c, [], [], [], ones, weights, [], lr=0.0, numbers=[])
    for own, new in zip(averaged, current):
        if not own.is_floating_point():
            own.copy_(own + (new - own) * weight)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """``average = decay average + (1 - decay) current`` over lists of tensors, in one pass."""
    _check_decay(decay)
    return _without_grad(lambda averaged, current, count: _approach(averaged, current, 1 - decay))


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """The equal average of all models so far, over lists of tensors, in one pass."""
    return _without_grad(
        lambda averaged, current, count: _approach(averaged, current, 1.0 / (float(count) + 1))
    )


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Any]:
    """``decay average + (1 - decay) current`` of one tensor."""
    _check_decay(decay)
    return _without_grad(lambda averaged, current, count: decay * averaged + (1 - decay) * current)


def get_swa_avg_fn() -> Callable[..., Any]:
    """``average + (current - average) / (count + 1)`` of one tensor."""
    return _without_grad(lambda averaged, current, count: averaged + (current - averaged) / (count + 1))


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's over calls of
    :meth:`update_parameters`; the equal average by default.

    Args:
        model: copied.
        device: of the copy.
        avg_fn: ``avg_fn(average, current, count)`` gives a new average of one tensor.
        multi_avg_fn: ``multi_avg_fn(averages, currents, count)`` updates lists of tensors in place.
        use_buffers: average buffers too; otherwise they are copied.

    Raises:
        AssertionError: both functions are given.

    Source: Izmailov et al., 2018.

    >>> import ccdl, ccdl.nn as nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = ccdl.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = model.weight.data.fill_(value)
    ...     average.update_parameters(model)
    >>> average.module.weight.item(), average.n_averaged.item()
    (3.0, 3)
    """

    n_averaged: Any
    module: Any

    def __init__(
        self,
        model: Any,
        device: Any = None,
        avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", _C.tensor(0, dtype=_C.int64, device="cpu"))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def _tensors(self, model: Any) -> list[Any]:
        found = list(model.parameters())
        return found + list(model.buffers()) if self.use_buffers else found

    def update_parameters(self, model: Any) -> None:
        """Takes the model's present parameters into the average."""
        previous = _C._set_grad_enabled(False)
        try:
            own = [p.detach() for p in self._tensors(self.module)]
            new = [p.detach().to(q.device) for p, q in zip(self._tensors(model), own)]
            if int(self.n_averaged) == 0:
                for p, q in zip(own, new):
                    p.copy_(q)
            elif self.avg_fn is not None:
                for p, q in zip(own, new):
                    p.copy_(self.avg_fn(p, q, self.n_averaged.to(p.device)))
            elif own:
                (self.multi_avg_fn or get_swa_multi_avg_fn())(own, new, self.n_averaged)
            if not self.use_buffers:
                for b, c in zip(self.module.buffers(), model.buffers()):
                    b.detach().copy_(c.detach())
            self.n_averaged += 1
        finally:
            _C._set_grad_enabled(previous)


class EMA:
    """Exponential moving average of parameters, beside the parameters themselves:
    ``average += (1 - d) (parameter - average)`` with d the decay, or ``min(decay, (1 + t) / (10 + t))``
    while warming up.

    Args:
        parameters: the tensors to follow.
        decay: in [0, 1].
        warmup: small decays at first, so that the starting values fade sooner.

    >>> import ccdl, ccdl.nn as nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = model.weight.data.fill_(0.0)
    >>> ema = ccdl.optim.swa_utils.EMA(model.parameters(), decay=0.75)
    >>> _ = model.weight.data.fill_(4.0)
    >>> ema.update()
    >>> with ema.average_parameters():
    ...     model.weight.item()
    1.0
    >>> model.weight.item()
    4.0
    """

    def __init__(self, parameters: Iterable[Any], decay: float = 0.999, warmup: bool = False) -> None:
        _check_decay(decay)
        self.parameters = list(parameters)
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self.averages = [p.detach().clone() for p in self.parameters]

    def update(self) -> None:
        """Takes the present parameters into the averages."""
        self.updates += 1
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.updates) / (10 + self.updates))
        if self.parameters:
            _without_grad(_approach)(self.averages, [p.detach() for p in self.parameters], 1 - decay)

    def copy_to(self, parameters: Iterable[Any] | None = None) -> None:
        """Writes the averages into the parameters (or others of the same shapes)."""
        targets = self.parameters if parameters is None else list(parameters)
        if len(targets) != len(self.averages):
            raise ValueError(f"EMA.copy_to: got {len(targets)} parameters for {len(self.averages)} averages")
        for p, average in zip(targets, self.averages):
            p.detach().copy_(average)

    @contextlib.contextmanager
    def average_parameters(self) -> Iterator[None]:
        """Inside the block the parameters hold their averages, for evaluation or saving."""
        kept = [p.detach().clone() for p in self.parameters]
        self.copy_to()
        try:
            yield
        finally:
            for p, value in zip(self.parameters, kept):
                p.detach().copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Count, decay and averages."""
        return {"updates": self.updates, "decay": self.decay, "averages": self.averages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what :meth:`state_dict` gave."""
        averages = state_dict["averages"]
        if len(averages) != len(self.averages):
            raise ValueError(
                f"EMA.load_state_dict: {len(averages)} averages for {len(self.averages)} parameters"
            )
        self.updates, self.decay = state_dict["updates"], state_dict["decay"]
        for own, saved in zip(self.averages, averages):
            own.copy_(saved)


def update_bn(loader: Iterable[Any], model: Any, device: Any = None) -> None:
    """Replaces the running statistics of batch norm layers by the exact averages over one pass of
    ``loader``: statistics of the whole training set, or those of averaged weights.

    Args:
        loader: batches, inputs or sequences that start with them.
        model: run in training mode without gradients.
        device: where inputs are moved.

    >>> import ccdl, ccdl.nn as nn
    >>> model = nn.BatchNorm1d(1)
    >>> batches = [ccdl.tensor([[0.0], [2.0]]), ccdl.tensor([[4.0], [6.0]])]
    >>> ccdl.optim.swa_utils.update_bn(batches, model); model.running_mean.item()
    3.0
    """
    layers = [m for m in model.modules() if hasattr(m, "running_mean") and hasattr(m, "reset_running_stats")]
    kept = [(layer, layer.momentum) for layer in layers]
    if not kept:
        return
    was_training = model.training
    model.train()
    for layer, _ in kept:
        layer.reset_running_stats()
        layer.momentum = None
    previous = _C._set_grad_enabled(False)
    try:
        for batch in loader:
            inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(inputs if device is None else inputs.to(device))
    finally:
        _C._set_grad_enabled(previous)
        for layer, momentum in kept:
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """Anneals every group's rate to ``swa_lr`` within ``anneal_epochs`` epochs and keeps it there.

    Args:
        optimizer: whose rates are set.
        swa_lr: one number or one per group.
        anneal_epochs: 0 for at once.
        anneal_strategy: 'cos' or 'linear'.
        last_epoch: -1 to start anew.

    Raises:
        ValueError: an unknown strategy or a negative length.

    >>> import ccdl, ccdl.nn as nn
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> swa = ccdl.optim.swa_utils.SWALR(optimizer, 0.0, anneal_epochs=2, anneal_strategy="linear")
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(swa.get_last_lr()[0])
    ...     optimizer.step(); swa.step()
    >>> rates
    [1.0, 0.5, 0.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Any,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for group, lr in zip(optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: float) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> Any:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group, lr in zip(self.optimizer.param_groups, self._current()):
            goal = group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
