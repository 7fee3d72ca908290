"""Learning-rate range test: a short run with a rising rate shows which rates train and which diverge."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

from .. import _C
from .._checks import check_count
from ..nn.modules.module import Module
from .lr_scheduler.base import get_lr, set_lr
from .optimizer import Optimizer

__all__ = ["LRFinder"]


class LRFinder:
    """Raises the rate from batch to batch and records the loss; model and optimiser come back as they were.

    Args:
        model: called on the inputs; its parameters and buffers are restored afterwards.
        optimizer: its state and rates are restored afterwards. Groups keep the ratio of their rates.
        criterion: ``criterion(output, target)``, the loss; or left out, ``loss_fn(batch)`` then goes to
            :meth:`range_test`.

    ``history`` is ``{"lr": [...], "loss": [...]}`` with smoothed losses, ``raw`` the losses as they came.

    Source: Smith, 2017, section 3.3.

    >>> import ccdl, ccdl.nn as nn
    >>> _ = ccdl.manual_seed(0)
    >>> x = ccdl.randn(64, 4); y = x.sum(1, keepdim=True)
    >>> model = nn.Linear(4, 1)
    >>> finder = ccdl.optim.LRFinder(model, ccdl.optim.SGD(model.parameters(), lr=1.0), nn.MSELoss())
    >>> history = finder.range_test([(x, y)], start_lr=1e-4, end_lr=10.0, num_iter=60)
    >>> 1e-3 < finder.suggestion() < 1.0
    True
    """

    def __init__(self, model: Any, optimizer: Any, criterion: Callable[..., Any] | None = None) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"LRFinder: model is {type(model).__name__}, must be a Module")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"LRFinder: optimizer is {type(optimizer).__name__}, must be an Optimizer")
        if criterion is not None and not callable(criterion):
            raise TypeError(f"LRFinder: criterion is {type(criterion).__name__}, must be callable")
        self.model = model
        self.optimizer = optimizer
        self.criterion = criterion
        self.history: dict[str, list[float]] = {"lr": [], "loss": []}
        self.raw: list[float] = []
        self.diverged = False

    def range_test(
        self,
        loader: Iterable[Any],
        start_lr: float = 1e-7,
        end_lr: float = 10.0,
        num_iter: int = 100,
        mode: str = "exp",
        smooth: float = 0.05,
        diverge_threshold: float = 5.0,
        accumulation_steps: int = 1,
        loss_fn: Callable[[Any], Any] | None = None,
    ) -> dict[str, list[float]]:
        """Runs up to ``num_iter`` updates; stops when the smoothed loss is ``diverge_threshold`` times the
        best or is not finite.

        Args:
            loader: batches ``(input, target)``; starts anew when it ends.
            start_lr, end_lr: of the first and the last update.
            num_iter: updates, at least 2.
            mode: 'exp' multiplies the rate, 'linear' adds to it.
            smooth: weight of the running mean of losses, 0 for none.
            diverge_threshold: factor over the best loss.
            accumulation_steps: batches per update.
            loss_fn: the loss of a whole batch, instead of the criterion.

        Raises:
            ValueError: rates or counts outside their range, or an empty loader.
        """
        if not 0 < start_lr < end_lr:
            raise ValueError(f"LRFinder: needs 0 < start_lr < end_lr, got {start_lr} and {end_lr}")
        if num_iter < 2 or accumulation_steps < 1:
            raise ValueError(
                "LRFinder: needs num_iter of at least 2 and accumulation_steps of at least 1, got "
                f"{num_iter} and {accumulation_steps}"
            )
        check_count("LRFinder", "num_iter", num_iter, 1_000_000)
        if mode not in ("exp", "linear"):
            raise ValueError(f"LRFinder: mode must be 'exp' or 'linear', got {mode!r}")
        if not 0 <= smooth < 1:
            raise ValueError(f"LRFinder: smooth must be in [0, 1), got {smooth}")
        if loss_fn is None and self.criterion is None:
            raise ValueError("LRFinder: give a criterion, or loss_fn to range_test")
        self.history, self.raw, self.diverged = {"lr": [], "loss": []}, [], False
        kept = self._save()
        try:
            self._run(
                _forever(loader),
                loss_fn or self._loss,
                [start_lr * (end_lr / start_lr) ** (i / (num_iter - 1)) for i in range(num_iter)]
                if mode == "exp"
                else [start_lr + (end_lr - start_lr) * i / (num_iter - 1) for i in range(num_iter)],
                smooth,
                diverge_threshold,
                accumulation_steps,
            )
        finally:
            self._restore(kept)
        return self.history

    def _loss(self, batch: Any) -> Any:
        assert self.criterion is not None
        inputs, target = batch[0], batch[1]
        return self.criterion(self.model(inputs), target)

    def _run(self, batches, loss_fn, rates, smooth, threshold, accumulation):
        first = [get_lr(group) for group in self.optimizer.param_groups]
        top = max(first) or 1.0
        self.model.train()
        best, mean = math.inf, 0.0
        for i, rate in enumerate(rates):
            for group, lr in zip(self.optimizer.param_groups, first):
                set_lr(group, rate * (lr / top if lr else 1.0))
            self.optimizer.zero_grad()
            total = 0.0
            for _ in range(accumulation):
                loss = loss_fn(next(batches)) / accumulation
                loss.backward()
                total += loss.item()
            self.optimizer.step()
            mean = total if i == 0 else smooth * total + (1 - smooth) * mean if smooth else total
            self.history["lr"].append(rate)
            self.history["loss"].append(mean)
            self.raw.append(total)
            best = min(best, mean)
            if not math.isfinite(total) or mean > threshold * abs(best):
                self.diverged = True
                return

    def suggestion(self, skip_start: int = 0, skip_end: int = 0) -> float:
        """The rate where the loss falls steepest against log(rate): a start for the largest rate.

        Raises:
            ValueError: fewer than three points, or the loss never falls.
        """
        end = len(self.history["lr"]) - skip_end
        pairs = [
            (lr, loss)
            for lr, loss in zip(self.history["lr"][skip_start:end], self.history["loss"][skip_start:end])
            if math.isfinite(loss)
        ]
        if len(pairs) < 3:
            raise ValueError(f"LRFinder.suggestion: needs at least 3 finite points, got {len(pairs)}")
        slopes = [
            (pairs[i + 1][1] - pairs[i - 1][1]) / math.log(pairs[i + 1][0] / pairs[i - 1][0])
            for i in range(1, len(pairs) - 1)
        ]
        steepest = min(range(len(slopes)), key=slopes.__getitem__)
        if slopes[steepest] >= 0:
            raise ValueError("LRFinder.suggestion: the loss never falls between the rates tried")
        return pairs[steepest + 1][0]

    def plot(self, path: Any = None, skip_start: int = 0, skip_end: int = 0) -> Any:
        """Loss over rate; saved to ``path`` where given, otherwise the axes are returned (matplotlib)."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError(
                "LRFinder.plot: needs matplotlib; install it with: pip install matplotlib"
            ) from None
        figure = Figure(figsize=(6, 4))
        axes = figure.subplots()
        end = len(self.history["lr"]) - skip_end
        axes.plot(self.history["lr"][skip_start:end], self.history["loss"][skip_start:end])
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
        if path is None:
            return axes
        figure.savefig(path, bbox_inches="tight")
        return None

    def _save(self):
        tensors = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        grads = [None if p.grad is None else p.grad.clone() for p in self.model.parameters()]
        state = copy.deepcopy(self.optimizer.state_dict())
        return tensors, grads, state, self.model.training, _C.get_rng_state()

    def _restore(self, kept):
        tensors, grads, state, training, rng = kept
        self.model.load_state_dict(tensors)
        for p, g in zip(self.model.parameters(), grads):
            p.grad = g
        self.optimizer.load_state_dict(state)
        self.model.train(training)
        _C.set_rng_state(rng)


def _forever(loader):
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ValueError("LRFinder: the loader is empty")
