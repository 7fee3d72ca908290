"""``ccdl train degradation``: deeper plain networks train worse, deeper residual ones do not.

Trains the plain and the residual networks of 20 and 56 layers alike and compares their training errors, as
figures 1 and 6 of He et al., 2016 (and lecture note 004) do on CIFAR-10; here on the images at hand.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from typing import Any

from .common import add_common, common_options
from .images import train as train_network

__all__ = ["NETWORKS", "add_arguments", "run", "train"]

NETWORKS = ("plain20", "plain56", "resnet20", "resnet56")


def add_arguments(parser: Any) -> None:
    """The recipe's options."""
    parser.add_argument("--data", help="folder of IDX files, CIFAR-10 binaries or pictures (default: digits)")
    add_common(parser, "degradation", epochs=8, batch_size=64, lr=3e-3)
    parser.add_argument("--size", type=int, default=16, help="images are resized to it")
    parser.add_argument("--limit", type=int, help="use so many images only")


def run(arguments: Any) -> int:
    """The command: trains the four networks and returns the exit status."""
    train(**common_options(arguments))
    return 0


def train(out: str = "runs/degradation", say: Callable[[str], Any] = print, **options: Any) -> dict[str, Any]:
    """Trains the four networks (options as of :func:`ccdl.train.images.train`).

    Returns:
        name -> history, under "histories"; the last training losses under "loss"; files.
    """
    histories: dict[str, list[dict[str, Any]]] = {}
    finished = True
    for name in NETWORKS:
        result = train_network(name, out=os.path.join(out, name), say=say, augment=False, **options)
        histories[name] = result["history"]
        finished = finished and result["finished"]
    loss = {name: history[-1]["train_loss"] for name, history in histories.items()}
    error = {name: 1 - history[-1]["train_accuracy"] for name, history in histories.items()}
    say("network   training loss  training error %")
    for name in NETWORKS:
        say(f"{name:9} {loss[name]:13.4f} {100 * error[name]:17.2f}")
    files = _write(histories, loss, out)
    say("written: " + ", ".join(files))
    return {"histories": histories, "loss": loss, "error": error, "files": files, "finished": finished}


def _write(histories: dict[str, list[dict[str, Any]]], loss: dict[str, float], out: str) -> list[str]:
    files = [os.path.join(out, name) for name in ("degradation.csv", "degradation.json")]
    with open(files[0], "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *NETWORKS])
        for i in range(min(map(len, histories.values()))):
            writer.writerow([i + 1, *(histories[n][i]["train_loss"] for n in NETWORKS)])
    with open(files[1], "w") as file:
        json.dump(loss, file, indent=1)
    from .report import pyplot

    plt = pyplot()
    if plt is None:
        return files
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, kind in zip(axes, ("plain", "resnet")):
        for depth in (20, 56):
            history = histories[f"{kind}{depth}"]
            axis.plot(
                [r["epoch"] for r in history], [r["train_loss"] for r in history], label=f"{kind}{depth}"
            )
        axis.set_xlabel("epoch")
        axis.set_ylabel("training loss")
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    files.append(os.path.join(out, "degradation.png"))
    figure.savefig(files[-1], dpi=120)
    plt.close(figure)
    return files
