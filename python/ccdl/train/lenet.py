"""``ccdl train lenet``: LeNet-5 learns real handwritten digits.

20 % of the data, stratified, is the test set, touched once at the end; 10 % of the rest is the validation
set, which alone decides the best checkpoint. Seed, split, augmentation and order are functions of the seed
and the epoch.
"""

from __future__ import annotations

import os
import time
from typing import Any

from .. import _C
from ..models.lenet import LeNet5
from ..optim import AdamW
from ..optim.lr_scheduler import CosineAnnealingLR
from ..utils.data import DataLoader, TensorDataset
from ..utils.data.sampler import seeded_generator
from ..utils.data.worker import mix
from .augment import RandomAffine
from .data import load_digits, load_idx, resize, stratified_split
from .loop import Run, evaluate
from .report import confusion_matrix, confusion_text, write_confusion, write_curves

__all__ = ["add_arguments", "run", "train"]


def add_arguments(parser: Any) -> None:
    """The recipe's options."""
    parser.add_argument("--data", help="folder with MNIST IDX files (default: scikit-learn's digits)")
    parser.add_argument("--out", default="runs/lenet", help="folder for checkpoints and curves")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--label-smoothing", type=float, default=0.05)
    parser.add_argument("--no-augment", action="store_true", help="train on the images as they are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="number of threads (results do not depend on it)")
    parser.add_argument("--device", default="cpu", help="where to train: cpu, cuda or cuda:<index>")
    parser.add_argument("--workers", type=int, default=0, help="loader worker threads")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out, to the same bits")
    parser.add_argument("--stop-after", type=int, help="stop after this many epochs in all; --resume goes on")
    parser.add_argument("--quiet", action="store_true")


def _load(data, seed):
    """(train, validation, test) pairs of images [N, 32, 32] and labels."""
    if data:
        x, y, test_x, test_y = load_idx(data)
    else:
        (x, y), test_x, test_y = load_digits(), None, None
    x = resize(x)
    if test_x is None:
        rest, part = stratified_split(y, 0.2, mix(seed, 1))
        test_x, test_y = x.index_select(0, part), y.index_select(0, part)
        x, y = x.index_select(0, rest), y.index_select(0, rest)
    else:
        test_x = resize(test_x)
    rest, part = stratified_split(y, 0.1, mix(seed, 2))
    train = x.index_select(0, rest), y.index_select(0, rest)
    return train, (x.index_select(0, part), y.index_select(0, part)), (test_x, test_y)


def train(
    data: Any = None,
    out: str = "runs/lenet",
    epochs: Any = 25,
    batch_size: int = 64,
    lr: float = 3e-3,
    weight_decay: float = 1e-2,
    label_smoothing: float = 0.05,
    augment: bool = True,
    seed: int = 0,
    workers: Any = 0,
    resume: bool = False,
    stop_after: Any = None,
    quiet: bool = False,
    say: Any = print,
    device: Any = "cpu",
) -> Any:
    """Trains LeNet-5 and returns a dict with test accuracy, loss, confusion matrix, history and files.

    Arguments are the command's options; ``say`` receives lines of text.
    """
    started = time.perf_counter()
    os.makedirs(out, exist_ok=True)
    (train_x, train_y), (val_x, val_y), (test_x, test_y) = _load(data, seed)
    mean = train_x.mean().item()
    std = train_x.std().item() or 1.0
    classes = int(train_y.max().item()) + 1
    _C.manual_seed(mix(seed, 3))
    net = _Normalised(LeNet5(classes), mean, std).to(device)
    optimizer = AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    scheduler = CosineAnnealingLR(optimizer, T_max=max(1, epochs))
    index = _C.arange(train_x.shape[0], dtype=_C.int64)
    loader = DataLoader(
        TensorDataset(train_x, train_y, index),
        batch_size=batch_size,
        shuffle=True,
        generator=seeded_generator(0),
        num_workers=workers,
    )
    options = {
        "data": data,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "augment": augment,
    }
    warp = RandomAffine(seed=mix(seed, 4)) if augment else None
    validation = val_x.unsqueeze(1).to(device), val_y.to(device)
    state = Run(out, net, optimizer, scheduler, loader, validation, warp, seed, options, device)
    if resume and state.resume():
        say(f"resumed after epoch {state.epoch}")
    say(
        f"{train_x.shape[0]} training, {val_x.shape[0]} validation, {test_x.shape[0]} test images; "
        f"{sum(p.numel() for p in net.parameters())} parameters"
    )

    def report(row):
        if not quiet:
            say(
                f"epoch {row['epoch']:3d}/{epochs}  train {row['train_loss']:.4f} "
                f"{100 * row['train_accuracy']:6.2f} %"
                f"  validation {row['val_loss']:.4f} {100 * row['val_accuracy']:6.2f} %"
            )

    last = epochs if stop_after is None else min(epochs, stop_after)
    state.run(last, quiet, report)
    files = write_curves(state.history, out)
    if state.epoch < epochs:
        say(f"stopped after epoch {state.epoch}; --resume goes on")
        return {"finished": False, "history": state.history, "files": files}
    state.load_best()
    loss, accuracy, predictions = evaluate(net, test_x.unsqueeze(1).to(device), test_y.to(device))
    counts = confusion_matrix(test_y.tolist(), predictions, classes)
    files += write_confusion(counts, out)
    say(confusion_text(counts))
    say(
        f"test accuracy {100 * accuracy:.2f} % ({test_x.shape[0]} images, best epoch {state.best['epoch']}, "
        f"validation {100 * state.best['accuracy']:.2f} %), {time.perf_counter() - started:.1f} s"
    )
    say("written: " + ", ".join(files + [os.path.join(out, "best.safetensors")]))
    return {
        "finished": True,
        "test_accuracy": accuracy,
        "test_loss": loss,
        "confusion": counts,
        "history": state.history,
        "best": state.best,
        "files": files,
        "model": net,
    }


class _Normalised(LeNet5):
    """LeNet-5 that subtracts the training set's mean and divides by its deviation first; both are saved with
    it.
    """

    def __init__(self, net: Any, mean: Any, std: Any) -> None:
        super().__init__(net.classifier[-1].out_features)
        self.load_state_dict(net.state_dict())
        self.register_buffer("mean", _C.tensor(mean))
        self.register_buffer("std", _C.tensor(std))

    def forward(self, x: Any) -> Any:
        return super().forward((x - self.mean) / self.std)


def run(arguments: Any) -> Any:
    """The command: trains and returns the exit status."""
    if arguments.threads:
        _C.set_num_threads(arguments.threads)
    train(
        data=arguments.data,
        out=arguments.out,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        lr=arguments.lr,
        weight_decay=arguments.weight_decay,
        label_smoothing=arguments.label_smoothing,
        augment=not arguments.no_augment,
        seed=arguments.seed,
        workers=arguments.workers,
        resume=arguments.resume,
        stop_after=arguments.stop_after,
        quiet=arguments.quiet,
        device=arguments.device,
    )
    return 0
