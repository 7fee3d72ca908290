"""Callbacks of :class:`ccdl.train.Trainer`: progress, logs, best weights, early stopping, averages.
"""

from __future__ import annotations

import csv
import json
import math
import os
from typing import TYPE_CHECKING, Any

from .. import _C
from ..serialization import save

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = [
    "BestCheckpoint",
    "Callback",
    "CSVLogger",
    "Curves",
    "EarlyStopping",
    "ExponentialAverage",
    "JSONLogger",
    "NaNWatch",
    "PrintRows",
    "Progress",
    "TensorBoard",
]


class Callback:
    """Override what you need; every hook gets the trainer.

    ``state_dict`` and ``load_state_dict`` make it resume exactly; a state holds what ``ccdl.save`` takes.
    """

    def on_fit_begin(self, trainer: Trainer) -> None: ...

    def on_epoch_begin(self, trainer: Trainer, data: Any) -> None: ...

    def on_loss(self, trainer: Trainer, batch: Any, loss: Any) -> None: ...

    def on_batch_end(self, trainer: Trainer, batch: Any, loss: Any) -> None: ...

    def on_step(self, trainer: Trainer) -> None: ...

    def on_evaluate_begin(self, trainer: Trainer) -> None: ...

    def on_evaluate_end(self, trainer: Trainer) -> None: ...

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None: ...

    def on_fit_end(self, trainer: Trainer) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class CallbackList:
    """Calls the callbacks in order; their states are kept under position and class name."""

    def __init__(self, items: list[Callback]) -> None:
        self.items = items

    def call(self, hook: str, *args: Any) -> None:
        for item in self.items:
            getattr(item, hook)(*args)

    def state_dict(self) -> dict[str, Any]:
        found = {f"{i}.{type(c).__name__}": c.state_dict() for i, c in enumerate(self.items)}
        return {k: v for k, v in found.items() if v}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, item in enumerate(self.items):
            key = f"{i}.{type(item).__name__}"
            if key in state:
                item.load_state_dict(state[key])


class Progress(Callback):
    """A tqdm bar per epoch, where tqdm is installed and the output is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_epoch_begin(self, trainer: Trainer, data: Any) -> None:
        import sys

        if not sys.stderr.isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        total = len(data) if hasattr(data, "__len__") else None
        self._bar = tqdm(total=total, initial=trainer.batch, desc=f"epoch {trainer.epoch + 1}", leave=False)

    def on_batch_end(self, trainer: Trainer, batch: Any, loss: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class PrintRows(Callback):
    """One line per epoch through ``say``."""

    def __init__(self, say: Any = print) -> None:
        self.say = say

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        parts = [f"epoch {row['epoch']:3d}/{trainer.epochs}"]
        for key, value in row.items():
            if key not in ("epoch", "lr") and isinstance(value, float):
                shown = f"{100 * value:6.2f} %" if "accuracy" in key else f"{value:.4f}"
                parts.append(f"{key} {shown}")
        self.say("  ".join(parts))


class CSVLogger(Callback):
    """Rewrites a CSV file with the whole history after each epoch: a resumed run leaves no doubles."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(trainer.history[0]))
            writer.writeheader()
            writer.writerows(trainer.history)


class JSONLogger(Callback):
    """A JSON object per epoch and line; rewritten like :class:`CSVLogger`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        with open(self.path, "w") as file:
            file.writelines(json.dumps(r) + "\n" for r in trainer.history)


class Curves(Callback):
    """curves.csv and curves.png in a folder, at the end (the picture where matplotlib is installed)."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.files: list[str] = []

    def on_fit_end(self, trainer: Trainer) -> None:
        from .report import write_curves

        os.makedirs(self.folder, exist_ok=True)
        self.files = write_curves(trainer.history, self.folder)


class TensorBoard(Callback):
    """Scalars of every epoch, and optionally the loss of every batch, as TensorBoard event files.

    Needs tensorboardX: ``pip install tensorboardX``.
    """

    def __init__(self, folder: str, every_batch: bool = False) -> None:
        self.folder, self.every_batch = folder, every_batch
        self._writer: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        from ..utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(self.folder)

    def on_batch_end(self, trainer: Trainer, batch: Any, loss: Any) -> None:
        if self.every_batch:
            self._writer.add_scalar("batch/loss", float(loss.item()), trainer.steps)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        for key, value in row.items():
            if isinstance(value, (int, float)) and key != "epoch":
                tag = key.replace("train_", "train/").replace("val_", "val/")
                self._writer.add_scalar(tag, value, row["epoch"])
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._writer.close()


class _Monitor(Callback):
    """Watches one row of the history; ``mode`` 'max' or 'min' (default: 'min' for losses and errors)."""

    def __init__(self, monitor: str, mode: str | None) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode is {mode!r}, must be 'min' or 'max'")
        small = any(word in monitor for word in ("loss", "error", "perplexity"))
        self.monitor, self.mode = monitor, mode or ("min" if small else "max")
        self.best = math.inf if self.mode == "min" else -math.inf
        self.best_epoch = 0

    def improves(self, row: dict[str, Any], by: float = 0.0) -> bool:
        if self.monitor not in row:
            raise ValueError(
                f"{type(self).__name__}: there is no {self.monitor!r} in the history, which has {sorted(row)}"
            )
        value = row[self.monitor]
        better = value < self.best - by if self.mode == "min" else value > self.best + by
        if better:
            self.best, self.best_epoch = value, row["epoch"]
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class BestCheckpoint(_Monitor):
    """Saves the model's weights whenever ``monitor`` reaches a new best; ``path`` is then loadable by
    ``model.load_state_dict(ccdl.load(path))``. Of equally good epochs that with the smallest val_loss wins:
    accuracies on few samples are often equal."""

    def __init__(self, path: str, monitor: str = "val_loss", mode: str | None = None) -> None:
        super().__init__(monitor, mode)
        self.path = path
        self.loss = math.inf  # of the best epoch

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        loss = row.get("val_loss", math.inf)
        if self.improves(row) or (row[self.monitor] == self.best and loss < self.loss):
            self.loss, self.best_epoch = loss, row["epoch"]
            save(trainer.model.state_dict(), self.path)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "loss": self.loss}


class EarlyStopping(_Monitor):
    """Stops when ``monitor`` has not improved by more than ``min_delta`` for ``patience`` epochs."""

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, mode: str | None = None
    ) -> None:
        super().__init__(monitor, mode)
        if patience < 0:
            raise ValueError(f"EarlyStopping: patience is {patience}, must not be negative")
        self.patience, self.min_delta = patience, min_delta
        self.waited = 0

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        self.waited = 0 if self.improves(row, self.min_delta) else self.waited + 1
        if self.waited > self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "waited": self.waited}


class ExponentialAverage(Callback):
    """Keeps an exponential moving average of the weights, e = decay e + (1 - decay) w after each step, and
    evaluates with it; ``copy_to(model)`` writes the average into a model."""

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ExponentialAverage: decay is {decay}, must be in [0, 1)")
        self.decay = decay
        self.average: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        if not self.average:
            self.average = {k: v.detach().clone() for k, v in trainer.model.state_dict().items()}

    def on_step(self, trainer: Trainer) -> None:
        previous = _C._set_grad_enabled(False)
        try:
            for key, value in trainer.model.state_dict().items():
                mean = self.average[key]
                if mean.is_floating_point():
                    mean.lerp_(value.detach(), 1 - self.decay)
                else:
                    mean.copy_(value)
        finally:
            _C._set_grad_enabled(previous)

    def copy_to(self, model: Any) -> None:
        """Loads the average into ``model``."""
        model.load_state_dict(self.average)

    def on_evaluate_begin(self, trainer: Trainer) -> None:
        if self.average:
            self._kept = {k: v.detach().clone() for k, v in trainer.model.state_dict().items()}
            self.copy_to(trainer.model)

    def on_evaluate_end(self, trainer: Trainer) -> None:
        if self._kept:
            trainer.model.load_state_dict(self._kept)
            self._kept = {}

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average = state["average"]


class NaNWatch(Callback):
    """Raises FloatingPointError when the loss is not finite, and names the first layer whose output is not.

    Looks at the loss every ``every`` batches (on a CUDA device this waits for it).
    """

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"NaNWatch: every is {every}, must be at least 1")
        self.every = every

    def on_loss(self, trainer: Trainer, batch: Any, loss: Any) -> None:  # before it breaks the weights
        if trainer.batch % self.every or math.isfinite(float(loss.item())):
            return
        where = self._first_layer(trainer, batch)
        place = f"in epoch {trainer.epoch + 1}, batch {trainer.batch + 1}"
        raise FloatingPointError(f"NaNWatch: the loss is {float(loss.item())} {place}; {where}")

    @staticmethod
    def _first_layer(trainer: Trainer, batch: Any) -> str:
        found: list[str] = []

        def finite(value: Any) -> bool:
            if isinstance(value, (tuple, list)):
                return all(finite(v) for v in value)
            if not isinstance(value, _C.Tensor) or not value.is_floating_point():
                return True
            return bool(_C.isfinite(value).all().item())

        for name, p in trainer.model.named_parameters():
            if not finite(p.detach()):
                advice = "the last step broke it (lower lr, clip gradients)"
                found.append(f"parameter {name!r} holds NaN or inf: {advice}")
                break
        handles = []
        layers: list[str] = []

        def watch(name: str) -> Any:
            def hook(module: Any, args: Any, output: Any) -> None:
                if not layers and not finite(output):
                    state = "finite" if finite(args) else "not finite"
                    layers.append(
                        f"layer {name!r} ({type(module).__name__}) is the first whose output is not finite; "
                        f"its input is {state}"
                    )

            return hook

        for name, module in trainer.model.named_modules():
            if not any(True for _ in module.children()):
                handles.append(module.register_forward_hook(watch(name)))
        previous = _C._set_grad_enabled(False)
        try:
            trainer._pass(batch)
        finally:
            _C._set_grad_enabled(previous)
            for handle in handles:
                handle.remove()
        return "; ".join(found + layers) or "every layer's output is finite: look at the loss and the targets"
