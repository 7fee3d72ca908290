"""Measures of sequences: edit distance, word error rate, perplexity, BLEU."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..nn import functional as F

__all__ = [
    "bits_per_character",
    "bleu",
    "character_error_rate",
    "edit_distance",
    "perplexity",
    "word_error_rate",
]


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that make ``b`` out of ``a``; strings or lists.

    d(i, j) = min(d(i-1, j) + 1, d(i, j-1) + 1, d(i-1, j-1) + [a_i != b_j]).

    Source: Levenshtein, 1966; Wagner and Fischer, 1974.

    >>> from ccdl.train.metrics import edit_distance
    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        left, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (x != y))
    return row[-1]


def _words(text):
    return text.split() if isinstance(text, str) else list(text)


def _pairs(op, references, hypotheses):
    if isinstance(references, str) or isinstance(hypotheses, str):
        raise TypeError(f"{op}: references and hypotheses must be lists of sentences, one of them is a str")
    if len(references) != len(hypotheses):
        raise ValueError(
            f"{op}: there are {len(references)} references and {len(hypotheses)} hypotheses, must be as many"
        )
    return zip(references, hypotheses)


def _error_rate(op, references, hypotheses, split):
    errors = length = 0
    for reference, hypothesis in _pairs(op, references, hypotheses):
        a, b = split(reference), split(hypothesis)
        errors += edit_distance(a, b)
        length += len(a)
    if not length:
        raise ValueError(f"{op}: the references are empty")
    return errors / length


def word_error_rate(references: Sequence[Any], hypotheses: Sequence[Any]) -> float:
    """Edits between words over the number of words of the references; may exceed 1.

    Args:
        references, hypotheses: lists of strings, split at white space, or of lists of words.

    >>> from ccdl.train.metrics import word_error_rate
    >>> word_error_rate(["the cat sat"], ["the cat sat down"])
    0.3333333333333333
    """
    return _error_rate("word_error_rate", references, hypotheses, _words)


def character_error_rate(references: Sequence[Any], hypotheses: Sequence[Any]) -> float:
    """:func:`word_error_rate` over characters instead of words."""
    return _error_rate("character_error_rate", references, hypotheses, list)


def perplexity(logits: Any, targets: Any, ignore_index: int = -100) -> float:
    """exp of the mean negative log-likelihood of ``targets`` [...] under ``logits`` [..., V].

    >>> import ccdl
    >>> from ccdl.train.metrics import perplexity
    >>> round(perplexity(ccdl.zeros(3, 8), ccdl.tensor([0, 5, 7])), 4)
    8.0
    """
    logits = logits.detach().reshape(-1, logits.shape[-1])
    loss = F.cross_entropy(logits, targets.reshape(-1), ignore_index=ignore_index, reduction="sum")
    count = int((targets != ignore_index).sum().item())
    if not count:
        raise ValueError("perplexity: no target is left")
    return math.exp(loss.item() / count)


def bits_per_character(nats: float) -> float:
    """A mean loss per character in bits: nats / ln 2."""
    return nats / math.log(2)


def _grams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(
    references: Sequence[Any],
    hypotheses: Sequence[Any],
    max_n: int = 4,
    weights: Any = None,
    smooth: bool = False,
) -> float:
    """Corpus BLEU: BP exp(sum_n w_n log p_n), p_n the clipped n-gram precision over the whole corpus.

    BP = 1 where the hypotheses are longer than the closest references, else exp(1 - r / c).

    Args:
        references: per hypothesis a list of references, each a string or list of words.
        hypotheses: strings or lists of words.
        max_n: longest n-gram.
        weights: w_n, 1 / max_n each if None.
        smooth: add 1 to the counts of n > 1 (Lin and Och, 2004), for single sentences.

    Source: Papineni, Roukos, Ward and Zhu, 2002.

    >>> from ccdl.train.metrics import bleu
    >>> bleu([["the cat is on the mat"]], ["the cat is on the mat"])
    1.0
    """
    weights = [1.0 / max_n] * max_n if weights is None else list(weights)
    if max_n < 1 or len(weights) != max_n:
        raise ValueError(f"bleu: max_n is {max_n} and there are {len(weights)} weights, must be as many")
    matches, totals = [0] * max_n, [0] * max_n
    length = closest = 0
    for several, hypothesis in _pairs("bleu", references, hypotheses):
        if isinstance(several, str) or not several:
            raise TypeError("bleu: references must hold a non-empty list of references per hypothesis")
        found, wanted = _words(hypothesis), [_words(r) for r in several]
        length += len(found)
        closest += min((abs(len(r) - len(found)), len(r)) for r in wanted)[1]
        for n in range(1, max_n + 1):
            most: Counter[Any] = Counter()
            for r in wanted:
                most |= _grams(r, n)
            grams = _grams(found, n)
            matches[n - 1] += sum((grams & most).values())
            totals[n - 1] += sum(grams.values())
    score = 0.0
    for n, (m, total, w) in enumerate(zip(matches, totals, weights)):
        if smooth and n:
            m, total = m + 1, total + 1
        if not m:
            return 0.0
        score += w * math.log(m / total)
    return math.exp(score + min(0.0, 1 - closest / length))
