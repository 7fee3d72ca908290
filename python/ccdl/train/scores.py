"""Scores of classifiers and regressors: functions of whole tensors, and accumulators over batches.

The accumulators keep their counts on the device of what they see and wait for it only in ``compute``.
"""

from __future__ import annotations

from typing import Any

from .. import _C

__all__ = [
    "Accuracy",
    "ConfusionMatrix",
    "MeanAbsoluteError",
    "Score",
    "accuracy",
    "confusion_counts",
    "precision_recall_f1",
    "top_k_accuracy",
]


def _check(op: str, output: Any, target: Any) -> None:
    if output.dim() != 2 or target.dim() != 1 or output.shape[0] != target.shape[0]:
        raise ValueError(
            f"{op}: output must be scores [N, C] and target classes [N], got output {list(output.shape)} and "
            f"target {list(target.shape)}"
        )


def top_k_accuracy(output: Any, target: Any, k: int = 1) -> float:
    """Share of samples whose class is among the ``k`` highest scores.

    Args:
        output: scores [N, C].
        target: classes [N].

    >>> import ccdl
    >>> top_k_accuracy(ccdl.tensor([[1.0, 3.0, 2.0], [9.0, 1.0, 0.0]]), ccdl.tensor([2, 0]), k=2)
    1.0
    """
    score = Accuracy(k)
    score.update(output, target)
    return score.compute()


def accuracy(output: Any, target: Any) -> float:
    """Share of samples whose highest score is their class; see :func:`top_k_accuracy`."""
    return top_k_accuracy(output, target, 1)


def confusion_counts(output: Any, target: Any, classes: int | None = None) -> Any:
    """counts[true, predicted] as an int64 tensor [C, C].

    Args:
        output: scores [N, C], or predicted classes [N].
        target: true classes [N].
        classes: C where ``output`` holds classes (default: one more than the largest).

    >>> import ccdl
    >>> confusion_counts(ccdl.tensor([0, 1, 0]), ccdl.tensor([0, 1, 1])).tolist()
    [[1, 0], [1, 1]]
    """
    if output.dim() == 2:
        classes = output.shape[1] if classes is None else classes
        output = output.argmax(1)
    if output.shape != target.shape:
        raise ValueError(
            f"confusion_counts: {list(output.shape)} predictions for {list(target.shape)} targets"
        )
    if classes is None:
        classes = 1 + max([int(output.max().item()), int(target.max().item())] if target.numel() else [-1])
    joint = target * classes + output
    return _C.bincount(joint, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(counts: Any) -> dict[str, Any]:
    """Of a confusion matrix: per class and averaged over classes ("macro"); 0 where nothing was predicted.

    precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN).

    >>> import ccdl
    >>> scores = precision_recall_f1(ccdl.tensor([[3, 1], [0, 4]]))
    >>> scores["recall"].tolist(), round(scores["macro_f1"], 4)
    ([0.75, 1.0], 0.873)
    """
    counts = counts.double()
    right = counts.diagonal()
    predicted, actual = counts.sum(0), counts.sum(1)

    def share(part: Any, whole: Any) -> Any:
        return _C.where(whole > 0, part / whole.clamp(min=1), _C.zeros_like(part))

    found: dict[str, Any] = {
        "precision": share(right, predicted),
        "recall": share(right, actual),
        "f1": share(2 * right, predicted + actual),
    }
    for name in ("precision", "recall", "f1"):
        found["macro_" + name] = float(found[name].mean().item())
    found["accuracy"] = float((right.sum() / counts.sum().clamp(min=1)).item())
    return found


class Score:
    """Base of the accumulators: ``reset()``, ``update(output, target)`` per batch, ``compute()`` at the end.

    ``larger_is_better`` tells early stopping and best-checkpoint saving which way is up.
    """

    larger_is_better = True

    def reset(self) -> None:
        raise NotImplementedError

    def update(self, output: Any, target: Any) -> None:
        raise NotImplementedError

    def compute(self) -> Any:
        raise NotImplementedError


class Accuracy(Score):
    """Share of samples whose class is among the ``k`` highest scores.

    >>> import ccdl
    >>> score = Accuracy()
    >>> score.update(ccdl.tensor([[1.0, 3.0], [9.0, 1.0]]), ccdl.tensor([0, 0]))
    >>> score.compute()
    0.5
    """

    def __init__(self, k: int = 1) -> None:
        if k < 1:
            raise ValueError(f"Accuracy: k is {k}, must be at least 1")
        self.k = k
        self.reset()

    def reset(self) -> None:
        self._right: list[Any] = []
        self._count = 0

    def update(self, output: Any, target: Any) -> None:
        _check("Accuracy", output, target)
        if self.k == 1:
            right = output.argmax(1) == target
        else:
            best = output.topk(min(self.k, output.shape[1]), 1)[1]
            right = (best == target.unsqueeze(1)).any(1)
        self._right.append(right.sum())
        self._count += target.shape[0]

    def compute(self) -> float:
        return sum(int(r.item()) for r in self._right) / self._count if self._count else 0.0


class ConfusionMatrix(Score):
    """Counts [true][predicted] over batches of scores [N, C]; ``compute`` gives nested lists."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.reset()

    def reset(self) -> None:
        self._counts: Any = None

    def update(self, output: Any, target: Any) -> None:
        found = confusion_counts(output, target, self.classes)
        self._counts = found if self._counts is None else self._counts + found

    def compute(self) -> list[list[int]]:
        if self._counts is None:
            return [[0] * self.classes for _ in range(self.classes)]
        return self._counts.tolist()


class MeanAbsoluteError(Score):
    """mean |output - target| over all elements."""

    larger_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sums: list[Any] = []
        self._count = 0

    def update(self, output: Any, target: Any) -> None:
        self._sums.append((output - target).abs().double().sum())
        self._count += target.numel()

    def compute(self) -> float:
        return sum(float(s.item()) for s in self._sums) / self._count if self._count else 0.0
