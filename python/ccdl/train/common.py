"""What the recipes of sequences share: options, training with everything that is written, resume."""

from __future__ import annotations

import os
from typing import Any

from .. import _C
from ..optim import AdamW
from ..optim.lr_scheduler import CosineAnnealingLR
from ..serialization import load
from .callbacks import BestCheckpoint, Callback, Curves, PrintRows, Progress
from .scores import Accuracy
from .trainer import Trainer

__all__ = ["add_common", "common_options", "fit", "parameters"]


def add_common(
    parser: Any, name: str, epochs: int, batch_size: int, lr: float, weight_decay: float = 1e-2
) -> None:
    """The options every recipe has."""
    parser.add_argument("--out", default=f"runs/{name}", help="folder for checkpoints, curves and results")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--weight-decay", type=float, default=weight_decay)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="number of threads (results do not depend on it)")
    parser.add_argument("--device", default="cpu", help="where to train: cpu, cuda or cuda:<index>")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch in --out")
    parser.add_argument("--stop-after", type=int, help="stop after this epoch; --resume goes on")
    parser.add_argument("--quiet", action="store_true")


def common_options(arguments: Any) -> dict[str, Any]:
    """The parsed options as keywords of a recipe's ``train``; sets the number of threads."""
    mine = ("command", "recipe", "cmake_dir", "threads")
    options = {k: v for k, v in vars(arguments).items() if k not in mine}
    if arguments.threads:
        _C.set_num_threads(arguments.threads)
    return options


def parameters(model: Any) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in model.parameters())


class _SameOptions(Callback):
    """Keeps the options in the checkpoint and refuses to resume with others."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def state_dict(self) -> dict[str, Any]:
        return {"options": self.options}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["options"] != self.options:
            raise ValueError(
                f"resume: the run has options {state['options']}; asked for are {self.options}"
            )


def fit(
    model: Any,
    forward: Any,
    loader: Any,
    validation: Any,
    *,
    out: str,
    epochs: int,
    lr: float,
    weight_decay: float,
    seed: int,
    options: dict[str, Any],
    resume: bool = False,
    stop_after: Any = None,
    quiet: bool = False,
    say: Any = print,
    device: Any = "cpu",
    clip_norm: float = 1.0,
    monitor: str = "val_loss",
) -> tuple[bool, Trainer, list[str]]:
    """Trains with AdamW and a cosine schedule, resumes, keeps the best weights, draws the curves.

    ``forward(model, batch)`` returns (loss, output [M, C], target [M], M).

    Returns:
        Whether all epochs are done (the model then holds the best weights), the trainer, the files.
    """
    os.makedirs(out, exist_ok=True)
    model.to(device)
    optimizer = AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    best = os.path.join(out, "best.safetensors")
    curves = Curves(out)
    options = {**options, "epochs": epochs, "lr": lr, "weight_decay": weight_decay}
    callbacks: list[Callback] = [_SameOptions(options), BestCheckpoint(best, monitor), curves]
    if not quiet:
        callbacks += [Progress(), PrintRows(say)]
    trainer = Trainer(
        model,
        optimizer,
        forward=forward,
        metrics={"accuracy": Accuracy()},
        scheduler=CosineAnnealingLR(optimizer, T_max=max(1, epochs)),
        callbacks=callbacks,
        device=device,
        seed=mix_seed(seed),
        clip_norm=clip_norm,
        monitor=monitor,
    )
    last = epochs if stop_after is None else min(epochs, stop_after)
    checkpoint = os.path.join(out, "last.safetensors")
    if resume and os.path.exists(checkpoint):
        trainer.load_state_dict(load(checkpoint))
        say(f"resumed after epoch {trainer.epoch}")
    trainer.fit(loader, validation, last, checkpoint=checkpoint)
    if trainer.epoch < epochs:
        say(f"stopped after epoch {trainer.epoch}; --resume goes on")
        return False, trainer, curves.files
    model.load_state_dict(load(best))
    return True, trainer, [*curves.files, best]


def mix_seed(seed: int) -> int:
    """The trainer's seed: apart from those of data and initial weights."""
    from ..utils.data.worker import mix

    return int(mix(seed, 0x7A))
