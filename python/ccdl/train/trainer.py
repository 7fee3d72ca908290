"""A small trainer: fit, evaluate, predict, callbacks, exact resume.

All randomness of an epoch follows from (seed, epoch), and a checkpoint holds weights, optimiser, schedule,
callbacks, history, the state of the random generator and the position within the epoch: a run that was killed
goes on from its last checkpoint, at any thread count, and ends with the same bits as one that was not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from .. import _C, nn
from ..serialization import load, save
from ..utils.data.worker import mix
from .callbacks import Callback, CallbackList
from .scores import Score

__all__ = ["Trainer"]


def _to(batch: Any, device: Any) -> Any:
    if isinstance(batch, _C.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {k: _to(v, device) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        moved = [_to(v, device) for v in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


class Trainer:
    """Trains a model.

    Args:
        model: any module.
        optimizer: of its parameters.
        loss: ``loss(output, target)``, the mean over the batch.
        metrics: name -> :class:`ccdl.train.scores.Score`.
        scheduler: a learning-rate schedule; one whose ``step`` takes a metric gets ``monitor``.
        schedule_every: "epoch" or "step" (of the optimiser).
        callbacks: see :mod:`ccdl.train.callbacks`.
        device: where the model and the batches go.
        seed: of the run.
        accumulate: batches whose gradients are added before a step; the loss is divided by it.
        clip_norm: largest total gradient norm, or None.
        autocast: low-precision dtype for the forward pass (bfloat16, float16), or None.
        scaler: a gradient scaler for float16.
        monitor: the row of the history that plateau schedules look at.
        forward: ``forward(model, batch) -> (loss, output, target, size)`` instead of the default, which takes
            the last entry of the batch as target and calls the model with the others.

    A batch is what the loader gives, on ``device``. The history has one row per epoch: epoch, lr, train_loss,
    train_NAME, val_loss, val_NAME.

    >>> import ccdl
    >>> from ccdl.train import Trainer
    >>> x = ccdl.randn(64, 3); y = (x.sum(1) > 0).long()
    >>> data = ccdl.utils.data.DataLoader(ccdl.utils.data.TensorDataset(x, y), batch_size=16, shuffle=True)
    >>> net = ccdl.nn.Linear(3, 2)
    >>> trainer = Trainer(net, ccdl.optim.Adam(net.parameters(), lr=0.1), ccdl.nn.CrossEntropyLoss())
    >>> history = trainer.fit(data, epochs=5)
    >>> history[-1]["train_loss"] < history[0]["train_loss"]
    True
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        loss: Callable[..., Any] | None = None,
        *,
        metrics: dict[str, Score] | None = None,
        scheduler: Any = None,
        schedule_every: str = "epoch",
        callbacks: Iterable[Callback] = (),
        device: Any = None,
        seed: int = 0,
        accumulate: int = 1,
        clip_norm: float | None = None,
        autocast: Any = None,
        scaler: Any = None,
        monitor: str = "val_loss",
        forward: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"Trainer: model is {type(model).__name__}, must be a Module")
        if not hasattr(optimizer, "step") or not hasattr(optimizer, "param_groups"):
            raise TypeError(f"Trainer: optimizer is {type(optimizer).__name__}, must be an Optimizer")
        for name, given in (("loss", loss), ("forward", forward)):
            if given is not None and not callable(given):
                raise TypeError(f"Trainer: {name} is {type(given).__name__}, must be callable")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"Trainer: clip_norm is {clip_norm}, must be positive")
        if loss is None and forward is None:
            raise ValueError("Trainer: give a loss function, or a forward function that computes the loss")
        if schedule_every not in ("epoch", "step"):
            raise ValueError(f"Trainer: schedule_every is {schedule_every!r}, must be 'epoch' or 'step'")
        if accumulate < 1:
            raise ValueError(f"Trainer: accumulate is {accumulate}, must be at least 1")
        self.device = next((p.device for p in model.parameters()), "cpu") if device is None else device
        self.model = model.to(self.device)
        self.optimizer, self.loss, self.scheduler = optimizer, loss, scheduler
        self.metrics = dict(metrics or {})
        self.schedule_every, self.seed, self.accumulate = schedule_every, seed, accumulate
        self.clip_norm, self.autocast, self.scaler, self.monitor = clip_norm, autocast, scaler, monitor
        self.callbacks = CallbackList(list(callbacks))
        self._forward = forward
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the current epoch
        self.steps = 0  # optimiser steps in all
        self.epochs = 0
        self.history: list[dict[str, Any]] = []
        self.should_stop = False
        self._sums: list[tuple[Any, int]] = []
        self._resumed_rng: Any = None

    def _pass(self, batch: Any) -> tuple[Any, Any, Any, int]:
        """(loss, output, target, samples)."""
        if self.autocast is not None:
            from ..amp import autocast

            kind = str(self.device).partition(":")[0]
            with autocast(kind, dtype=self.autocast):
                return self._plain_pass(batch)
        return self._plain_pass(batch)

    def _plain_pass(self, batch: Any) -> tuple[Any, Any, Any, int]:
        if self._forward is not None:
            return self._forward(self.model, batch)
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise ValueError(
                f"Trainer: a batch is (inputs..., target), got {type(batch).__name__}; others need forward="
            )
        *inputs, target = batch
        output = self.model(*inputs)
        assert self.loss is not None
        return self.loss(output, target), output, target, target.shape[0]

    def _step(self) -> None:
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(list(self.model.parameters()), self.clip_norm)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        if self.scheduler is not None and self.schedule_every == "step":
            self.scheduler.step()
        self.callbacks.call("on_step", self)

    def _train_epoch(self, data: Any) -> dict[str, Any]:
        self.model.train()
        _C.manual_seed(mix(self.seed, 2 * self.epoch))
        if getattr(data, "generator", None) is not None:
            data.generator.manual_seed(mix(self.seed, 2 * self.epoch + 1))
        for holder in (data, getattr(data, "sampler", None), getattr(data, "dataset", None)):
            if holder is not None and hasattr(holder, "set_epoch"):
                holder.set_epoch(self.epoch)
        if self.batch == 0:
            self._sums = []
            for score in self.metrics.values():
                score.reset()
        self.optimizer.zero_grad()
        self.callbacks.call("on_epoch_begin", self, data)
        skip, total = self.batch, len(data) if hasattr(data, "__len__") else None
        for number, batch in enumerate(data):
            if number < skip:
                continue
            if number == skip and self._resumed_rng is not None:
                _C.set_rng_state(self._resumed_rng)
                self._resumed_rng = None
            batch = _to(batch, self.device)
            loss, output, target, size = self._pass(batch)
            self.callbacks.call("on_loss", self, batch, loss.detach())
            scaled = loss / self.accumulate if self.accumulate > 1 else loss
            (scaled if self.scaler is None else self.scaler.scale(scaled)).backward()
            self._sums.append((loss.detach(), size))
            if output is not None:
                for score in self.metrics.values():
                    score.update(output.detach(), target)
            self.batch = number + 1
            if self.batch % self.accumulate == 0 or self.batch == total:
                self._step()
            self.callbacks.call("on_batch_end", self, batch, self._sums[-1][0])
        return {"train_" + k: v for k, v in self._results().items()}

    def _results(self) -> dict[str, Any]:
        total = sum(_number(loss) * n for loss, n in self._sums)
        count = sum(n for _, n in self._sums)
        found: dict[str, Any] = {"loss": total / max(1, count)}
        for name, score in self.metrics.items():
            found[name] = score.compute()
        return found

    def fit(
        self,
        train: Any,
        validation: Any = None,
        epochs: int = 1,
        *,
        checkpoint: str | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
    ) -> list[dict[str, Any]]:
        """Trains until ``epochs`` epochs are done in all; returns the history.

        Args:
            train: a loader; give it a ``generator`` (or leave shuffling to the global one).
            validation: another one, evaluated after each epoch, or None.
            checkpoint: file that receives the whole state after each epoch, atomically.
            checkpoint_every: also after so many batches (a multiple of ``accumulate``).
            resume: go on from ``checkpoint`` if it exists.

        Raises:
            ValueError: the checkpoint belongs to a run with another seed.
        """
        if epochs < 0:
            raise ValueError(f"Trainer.fit: epochs is {epochs}, must not be negative")
        if checkpoint_every is not None and (checkpoint_every < 1 or checkpoint_every % self.accumulate):
            raise ValueError(
                f"Trainer.fit: checkpoint_every is {checkpoint_every}, must be a positive multiple of "
                f"accumulate={self.accumulate}"
            )
        if resume and checkpoint is not None and os.path.exists(checkpoint):
            self.load_state_dict(load(checkpoint))
        self.epochs, self.should_stop = epochs, False
        saver = None
        if checkpoint is not None:
            saver = _Saver(checkpoint, checkpoint_every)
            self.callbacks.items.append(saver)
        try:
            self.callbacks.call("on_fit_begin", self)
            while self.epoch < epochs and not self.should_stop:
                rate = self.optimizer.param_groups[0]["lr"]
                row = {"epoch": self.epoch + 1, "lr": float(rate), **self._train_epoch(train)}
                self.epoch, self.batch = self.epoch + 1, 0
                if validation is not None:
                    row.update({"val_" + k: v for k, v in self.evaluate(validation).items()})
                if self.scheduler is not None and self.schedule_every == "epoch":
                    self._schedule(row)
                self.history.append(row)
                self.callbacks.call("on_epoch_end", self, row)
            self.callbacks.call("on_fit_end", self)
        finally:
            if saver is not None:
                self.callbacks.items.remove(saver)
        return self.history

    def _schedule(self, row: dict[str, Any]) -> None:
        from ..optim.lr_scheduler import ReduceLROnPlateau

        if isinstance(self.scheduler, ReduceLROnPlateau) or getattr(self.scheduler, "needs_metric", False):
            if self.monitor not in row:
                raise ValueError(
                    f"Trainer: the schedule looks at {self.monitor!r}, the history has {sorted(row)}; "
                    "give validation data or another monitor"
                )
            self.scheduler.step(row[self.monitor])
        else:
            self.scheduler.step()

    def evaluate(self, data: Any) -> dict[str, Any]:
        """Mean loss and metrics over ``data`` in evaluation mode, without gradients."""
        was_training = self.model.training
        sums, self._sums = self._sums, []
        self.callbacks.call("on_evaluate_begin", self)
        self.model.eval()
        previous = _C._set_grad_enabled(False)
        try:
            for score in self.metrics.values():
                score.reset()
            for batch in data:
                loss, output, target, size = self._pass(_to(batch, self.device))
                self._sums.append((loss, size))
                if output is not None:
                    for score in self.metrics.values():
                        score.update(output, target)
            return self._results()
        finally:
            _C._set_grad_enabled(previous)
            self.model.train(was_training)
            self._sums = sums
            self.callbacks.call("on_evaluate_end", self)

    def predict(self, data: Any) -> Any:
        """Outputs for all of ``data`` (a tensor, or a loader of inputs), joined along the batch."""
        was_training = self.model.training
        self.model.eval()
        previous = _C._set_grad_enabled(False)
        try:
            found = []
            for batch in [data] if isinstance(data, _C.Tensor) else data:
                inputs = batch if isinstance(batch, (tuple, list)) else (batch,)
                found.append(self.model(*_to(tuple(inputs), self.device)))
            if not found:
                raise ValueError("Trainer.predict: data gave no batch")
            return found[0] if len(found) == 1 else _C.cat(found)
        finally:
            _C._set_grad_enabled(previous)
            self.model.train(was_training)

    def state_dict(self) -> dict[str, Any]:
        """Everything a new process needs to go on with the same bits."""
        partial: dict[str, Any] = {}
        if self.batch:
            partial = {
                "sums": [(_number(loss), n) for loss, n in self._sums],
                "scores": {k: dict(vars(v)) for k, v in self.metrics.items()},
            }
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "callbacks": self.callbacks.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "steps": self.steps,
            "history": self.history,
            "partial": partial,
            "rng": _C.get_rng_state() if self.batch else None,
            "seed": self.seed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave.

        Raises:
            ValueError: the state belongs to a run with another seed.
        """
        if state["seed"] != self.seed:
            raise ValueError(f"Trainer: the checkpoint has seed {state['seed']}, this run {self.seed}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.callbacks.load_state_dict(state["callbacks"])
        self.epoch, self.batch, self.steps = state["epoch"], state["batch"], state["steps"]
        self.history = state["history"]
        self._resumed_rng = state["rng"]
        if self.batch:
            self._sums = [(loss, n) for loss, n in state["partial"]["sums"]]
            for name, score in self.metrics.items():
                vars(score).update(state["partial"]["scores"][name])


def _number(loss: Any) -> float:
    return float(loss if isinstance(loss, float) else loss.item())


class _Saver(Callback):
    """Writes the whole state after each epoch, and within it after every so many batches."""

    def __init__(self, path: str, every: int | None) -> None:
        self.path, self.every = path, every

    def on_batch_end(self, trainer: Trainer, batch: Any, loss: Any) -> None:
        if self.every is not None and trainer.batch % self.every == 0:
            save(trainer.state_dict(), self.path)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        save(trainer.state_dict(), self.path)
