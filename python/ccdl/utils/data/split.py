"""Splitting data sets: stratified shares, train/validation/test, k folds. Every split is a function of its
seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ... import _C
from .sampler import seeded_generator
from .worker import mix

__all__ = ["k_fold", "stratified_split", "train_validation_test_split"]


def _labels(op: str, labels: Any) -> list[Any]:
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if not values:
        raise ValueError(f"{op}: labels are empty")
    return values


def stratified_split(labels: Any, share: float, seed: int) -> tuple[Any, Any]:
    """(rest, part): sorted int64 index tensors; ``part`` holds ``share`` of every class, chosen by ``seed``.

    Args:
        labels: one class per sample: a tensor or a sequence.
        share: between 0 and 1.
        seed: of the choice.

    >>> rest, part = stratified_split([0, 0, 0, 0, 1, 1], 0.5, seed=0)
    >>> len(rest), len(part)
    (3, 3)
    """
    if not 0 <= share <= 1:
        raise ValueError(f"stratified_split: share is {share}, must be between 0 and 1")
    generator = seeded_generator(seed)
    values = _labels("stratified_split", labels)
    by_class: dict[Any, list[int]] = {}
    for i, label in enumerate(values):
        by_class.setdefault(label, []).append(i)
    quota = {c: share * len(members) for c, members in by_class.items()}
    counts = {c: int(q) for c, q in quota.items()}
    left = math.ceil(share * len(values)) - sum(counts.values())
    for c in sorted(quota, key=lambda c: (counts[c] - quota[c], c))[: max(left, 0)]:
        counts[c] += 1  # largest remainders first
    part: list[int] = []
    rest: list[int] = []
    for c in sorted(by_class):
        order = _C.randperm(len(by_class[c]), generator=generator).tolist()
        part += [by_class[c][i] for i in order[: counts[c]]]
        rest += [by_class[c][i] for i in order[counts[c] :]]
    return _C.tensor(sorted(rest), dtype=_C.int64), _C.tensor(sorted(part), dtype=_C.int64)


def train_validation_test_split(
    labels: Any, validation: float = 0.1, test: float = 0.2, seed: int = 0
) -> tuple[Any, Any, Any]:
    """Three sorted index tensors: the test share is taken first, the validation share of what is left.

    >>> [len(part) for part in train_validation_test_split([0, 1] * 50, validation=0.25, test=0.2)]
    [60, 20, 20]
    """
    values = _labels("train_validation_test_split", labels)
    rest, test_part = stratified_split(values, test, mix(seed, 1))
    train, part = stratified_split([values[i] for i in rest.tolist()], validation, mix(seed, 2))
    return rest[train], rest[part], test_part


def k_fold(
    samples: int | Sequence[Any] | Any, k: int = 5, shuffle: bool = True, seed: int = 0
) -> Iterator[tuple[Any, Any]]:
    """k times (train, validation): every sample is in exactly one validation part.

    Args:
        samples: their number, or their labels: then every class is spread evenly over the folds.
        k: folds, at least 2 and at most the number of samples.
        shuffle: by ``seed``; else the folds follow the given order.

    >>> [part.tolist() for _, part in k_fold(5, k=2, shuffle=False)]
    [[0, 1, 2], [3, 4]]
    """
    if isinstance(samples, int):
        count, values = samples, None
    else:
        values = _labels("k_fold", samples)
        count = len(values)
    if not 2 <= k <= count:
        raise ValueError(f"k_fold: k is {k}, must be between 2 and the number of samples, {count}")
    order = _C.randperm(count, generator=seeded_generator(seed)).tolist() if shuffle else list(range(count))
    if values is None:
        sizes = [count // k + (i < count % k) for i in range(k)]
        starts = [sum(sizes[:i]) for i in range(k + 1)]
        folds = [order[starts[i] : starts[i + 1]] for i in range(k)]
    else:
        order.sort(key=lambda i: values[i])  # stable: shuffled within each class
        folds = [order[i::k] for i in range(k)]
    for i, fold in enumerate(folds):
        rest = sorted(j for other in folds[:i] + folds[i + 1 :] for j in other)
        yield _C.tensor(rest, dtype=_C.int64), _C.tensor(sorted(fold), dtype=_C.int64)
