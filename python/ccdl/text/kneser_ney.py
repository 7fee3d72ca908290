"""Interpolated Kneser-Ney n-grams: the baseline a neural language model has to beat.

p_n(w | h) = max(c(h w) - D_n, 0) / c(h) + D_n N(h .) / c(h) p_{n-1}(w | h without its first symbol); c is the
count at the highest order and below it the number of different symbols seen before; D_n = n1 / (n1 + 2 n2);
below the single symbol the uniform distribution. Source: Kneser and Ney, 1995; Chen and Goodman, 1999.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["KneserNey"]

_START = -1


class KneserNey:
    """An n-gram model.

    Args:
        order: n; a symbol is predicted from the n - 1 before it.
        vocab_size: symbols are 0 to vocab_size - 1.

    >>> from ccdl.text import KneserNey
    >>> model = KneserNey(2, 3).fit([[0, 1, 0, 1, 2]])
    >>> round(sum(model.prob(w, [0]) for w in range(3)), 12)
    1.0
    """

    def __init__(self, order: int, vocab_size: int) -> None:
        if order < 1 or vocab_size < 1:
            raise ValueError(f"KneserNey: order is {order} and vocab_size {vocab_size}, must be positive")
        self.order, self.vocab_size = order, vocab_size
        self._counts: list[dict[Any, int]] = []  # per order: (h, w) -> c
        self._totals: list[dict[Any, list[int]]] = []  # per order: h -> [c(h), N(h .)]
        self._discounts: list[float] = []

    def fit(self, sequences: Iterable[Sequence[int]]) -> KneserNey:
        """Counts; each sequence starts anew."""
        n = self.order
        highest: dict[Any, int] = {}
        for sequence in sequences:
            padded = (_START,) * (n - 1) + tuple(sequence)
            for i in range(len(sequence)):
                gram = padded[i : i + n]
                highest[gram] = highest.get(gram, 0) + 1
        self._counts = [highest]
        for _ in range(n - 1):
            lower: dict[Any, int] = {}
            for gram in self._counts[0]:
                lower[gram[1:]] = lower.get(gram[1:], 0) + 1
            self._counts.insert(0, lower)
        self._totals, self._discounts = [], []
        for counts in self._counts:
            totals: dict[Any, list[int]] = {}
            ones = twos = 0
            for gram, c in counts.items():
                entry = totals.setdefault(gram[:-1], [0, 0])
                entry[0] += c
                entry[1] += 1
                ones += c == 1
                twos += c == 2
            self._totals.append(totals)
            self._discounts.append(ones / (ones + 2 * twos) if ones else 0.5)
        return self

    def prob(self, symbol: int, context: Sequence[int]) -> float:
        """p(symbol | the last n - 1 symbols of context)."""
        n = self.order
        history = ((_START,) * (n - 1) + tuple(context))[len(context) :]
        p = 1.0 / self.vocab_size
        for k in range(n):
            h = history[n - 1 - k :]
            total = self._totals[k].get(h)
            if total is None:
                break
            d = self._discounts[k]
            p = (max(self._counts[k].get((*h, symbol), 0) - d, 0.0) + d * total[1] * p) / total[0]
        return p

    def bits(self, sequences: Iterable[Sequence[int]]) -> float:
        """Mean of -log2 p over all symbols of ``sequences``."""
        total, count = 0.0, 0
        for sequence in sequences:
            for i, symbol in enumerate(sequence):
                total -= math.log2(self.prob(symbol, sequence[max(0, i - self.order + 1) : i]))
            count += len(sequence)
        if not count:
            raise ValueError("KneserNey.bits: there are no symbols")
        return total / count
