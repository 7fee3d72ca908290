"""A small honest training loop: epochs, evaluation, best checkpoint, exact resume.

All randomness of an epoch is derived from (seed, epoch), so the state to keep is weights, optimiser,
schedule, history and the best weights; a run that was killed continues from its last finished epoch and ends
with the same bits.
"""

from __future__ import annotations

import os
from typing import Any

from .. import _C
from ..nn import functional as F
from ..serialization import load, save
from ..utils.data.worker import mix

__all__ = ["Run", "evaluate", "progress"]


def progress(iterable: Any, total: Any, text: Any, quiet: bool = False) -> Any:
    """tqdm's bar if it is installed and the output is a terminal, else the iterable itself."""
    import sys

    if quiet or not sys.stderr.isatty():
        return iterable
    try:
        from tqdm import tqdm
    except ImportError:
        return iterable
    return tqdm(iterable, total=total, desc=text, leave=False)


def evaluate(model: Any, images: Any, labels: Any, batch_size: int = 512) -> Any:
    """(mean loss, accuracy, predictions) of ``model`` in evaluation mode."""
    was_training = model.training
    model.eval()
    total, predictions = 0.0, []
    previous = _C._set_grad_enabled(False)
    try:
        for start in range(0, images.shape[0], batch_size):
            x, y = images[start : start + batch_size], labels[start : start + batch_size]
            logits = model(x)
            total += F.cross_entropy(logits, y, reduction="sum").item()
            predictions += logits.argmax(1).tolist()
    finally:
        _C._set_grad_enabled(previous)
        model.train(was_training)
    right = sum(p == t for p, t in zip(predictions, labels.tolist()))
    return total / max(1, len(predictions)), right / max(1, len(predictions)), predictions


class Run:
    """State of a training run in a folder.

    Args:
        folder: receives ``last.safetensors`` after each epoch and ``best.safetensors``.
        model, optimizer, scheduler: what is trained.
        loader: gives (images, labels, index) and has a ``generator``.
        validation: (images, labels).
        augment: object with ``start_epoch(epoch, samples)`` and ``__call__(images, index)``, or None.
        seed: of the run.
        options: recorded in the checkpoint and compared at resume.
        device: where the batches go; the model and the validation set are there already.
    """

    def __init__(
        self,
        folder: Any,
        model: Any,
        optimizer: Any,
        scheduler: Any,
        loader: Any,
        validation: Any,
        augment: Any,
        seed: Any,
        options: Any,
        device: Any = "cpu",
    ) -> None:
        self.folder = folder
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.loader, self.validation, self.augment = loader, validation, augment
        self.seed, self.options, self.device = seed, options, device
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.best = {"epoch": 0, "accuracy": -1.0, "loss": float("inf")}

    def _path(self, name):
        return os.path.join(self.folder, name + ".safetensors")

    def save(self) -> None:
        """Writes the state after a finished epoch, atomically."""
        save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "epoch": self.epoch,
                "history": self.history,
                "best": self.best,
                "seed": self.seed,
                "options": self.options,
            },
            self._path("last"),
        )

    def resume(self) -> bool:
        """Continues the run in the folder; False if there is none.

        Raises:
            ValueError: it was started with other options.
        """
        if not os.path.exists(self._path("last")):
            return False
        state = load(self._path("last"))
        if state["seed"] != self.seed or state["options"] != self.options:
            raise ValueError(
                f"resume: the run in {self.folder} has seed {state['seed']} and options {state['options']}; "
                f"asked for are seed {self.seed} and {self.options}"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.history, self.best = state["epoch"], state["history"], state["best"]
        return True

    def load_best(self) -> None:
        """Puts the best weights into the model."""
        self.model.load_state_dict(load(self._path("best")))

    def train_epoch(self, quiet: bool = False) -> Any:
        """One epoch; returns (mean loss, accuracy) on the training batches."""
        self.model.train()
        _C.manual_seed(mix(self.seed, 2 * self.epoch))
        self.loader.generator.manual_seed(mix(self.seed, 2 * self.epoch + 1))
        if self.augment is not None:
            self.augment.start_epoch(self.epoch, len(self.loader.dataset))
        seen = []  # (loss, right answers, images) of every batch; reading them here would wait for the device
        batches = progress(self.loader, len(self.loader), f"epoch {self.epoch + 1}", quiet)
        for images, labels, index in batches:
            if self.augment is not None:
                images = self.augment(images, index)
            images, labels = images.to(self.device), labels.to(self.device)
            logits = self.model(images.unsqueeze(1))
            loss = F.cross_entropy(logits, labels, label_smoothing=self.options.get("label_smoothing", 0.0))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            seen.append((loss.detach(), (logits.detach().argmax(1) == labels).sum(), labels.shape[0]))
        self.scheduler.step()
        total, right, count = 0.0, 0, 0
        for loss, correct, images in seen:
            total += loss.item() * images
            right += int(correct.item())
            count += images
        return total / count, right / count

    def run(self, epochs: Any, quiet: bool = False, report: Any = None) -> None:
        """Trains up to ``epochs``; ``report(row)`` sees each epoch's row of the history."""
        while self.epoch < epochs:
            rate = self.optimizer.param_groups[0]["lr"]
            train_loss, train_accuracy = self.train_epoch(quiet)
            self.epoch += 1
            loss, accuracy, _ = evaluate(self.model, *self.validation)
            row = {
                "epoch": self.epoch,
                "lr": rate,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "val_loss": loss,
                "val_accuracy": accuracy,
            }
            self.history.append(row)
            if (accuracy, -loss) > (self.best["accuracy"], -self.best["loss"]):
                self.best = {"epoch": self.epoch, "accuracy": accuracy, "loss": loss}
                save(self.model.state_dict(), self._path("best"))
            self.save()
            if report is not None:
                report(row)
