"""What a run leaves to look at: curves as CSV and PNG, the confusion matrix as text, CSV and PNG."""

from __future__ import annotations

import csv
import os
from typing import Any

__all__ = ["confusion_text", "pyplot", "write_confusion", "write_curves"]


def confusion_text(counts: Any) -> Any:
    """The matrix as aligned text, rows the true and columns the predicted classes."""
    width = max(len(str(v)) for row in counts for v in row) + 1
    width = max(width, len(str(len(counts) - 1)) + 1)
    lines = ["true\\predicted" + "".join(f"{c:>{width}}" for c in range(len(counts)))]
    lines += [f"{i:>14}" + "".join(f"{v:>{width}}" for v in row) for i, row in enumerate(counts)]
    return "\n".join(lines)


def pyplot() -> Any:
    """matplotlib.pyplot without a display, or None where matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def write_curves(history: Any, folder: Any) -> Any:
    """curves.csv, and curves.png where matplotlib is installed; returns the files written."""
    path = os.path.join(folder, "curves.csv")
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]) if history else ["epoch"])
        writer.writeheader()
        writer.writerows(history)
    plt = pyplot()
    if plt is None or not history:
        return [path]
    epochs = [row["epoch"] for row in history]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, what in zip(axes, ("loss", "accuracy")):
        axis.plot(epochs, [row["train_" + what] for row in history], label="train")
        axis.plot(epochs, [row["val_" + what] for row in history], label="validation")
        axis.set_xlabel("epoch")
        axis.set_ylabel(what)
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_yscale("log")
    figure.tight_layout()
    picture = os.path.join(folder, "curves.png")
    figure.savefig(picture, dpi=120)
    plt.close(figure)
    return [path, picture]


def write_confusion(counts: Any, folder: Any) -> Any:
    """confusion.csv, and confusion.png where matplotlib is installed; returns the files written."""
    path = os.path.join(folder, "confusion.csv")
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(counts)
    plt = pyplot()
    if plt is None:
        return [path]
    figure, axis = plt.subplots(figsize=(5, 5))
    axis.imshow(counts, cmap="Blues")
    for i, row in enumerate(counts):
        for j, value in enumerate(row):
            if value:
                dark = value > max(map(max, counts)) / 2
                axis.text(j, i, str(value), ha="center", va="center", color="white" if dark else "black")
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_xticks(range(len(counts)))
    axis.set_yticks(range(len(counts)))
    figure.tight_layout()
    picture = os.path.join(folder, "confusion.png")
    figure.savefig(picture, dpi=120)
    plt.close(figure)
    return [path, picture]
