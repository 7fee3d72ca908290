"""Sequence metrics against published and hand-counted values."""

from __future__ import annotations

import math
import random

import pytest

import ccdl
from ccdl.train.metrics import (
    bits_per_character,
    bleu,
    character_error_rate,
    edit_distance,
    perplexity,
    word_error_rate,
)


def test_edit_distance():
    for a, b, d in (("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("intention", "execution", 5), ("abc", "abc", 0),
                    ("sunday", "saturday", 3), ("ab", "ba", 2)):
        assert edit_distance(a, b) == edit_distance(b, a) == d
    assert edit_distance([1, 2, 3], [2, 3, 4]) == 2

    def plain(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(plain(a[1:], b) + 1, plain(a, b[1:]) + 1, plain(a[1:], b[1:]) + (a[0] != b[0]))

    chance = random.Random(0)
    for _ in range(30):
        a, b = ("".join(chance.choices("xyz", k=chance.randrange(6))) for _ in range(2))
        assert edit_distance(a, b) == plain(a, b)


def test_error_rates():
    assert word_error_rate(["the cat sat on the mat"], ["the cat sat mat"]) == pytest.approx(2 / 6)
    assert word_error_rate(["a b", "c d e"], ["a x", "c d e f"]) == pytest.approx(2 / 5)
    assert word_error_rate([["a"]], [["b", "c", "d"]]) == 3.0
    assert character_error_rate(["abcd"], ["abd"]) == 0.25
    for bad, error in ((lambda: word_error_rate("a b", "a b"), TypeError), (lambda: word_error_rate(["a"], []), ValueError),
                       (lambda: word_error_rate([""], ["a"]), ValueError)):
        with pytest.raises(error, match="word_error_rate"):
            bad()


def test_perplexity():
    logits = ccdl.tensor([[0.0, 0.0], [math.log(3.0), 0.0], [5.0, 1.0]])
    assert perplexity(logits, ccdl.tensor([1, 0, 0]), ignore_index=9) == pytest.approx(
        (2 * 4 / 3 * (1 + math.exp(-4))) ** (1 / 3), rel=1e-5)
    assert perplexity(logits, ccdl.tensor([1, 0, -100])) == pytest.approx((2 * 4 / 3) ** 0.5, rel=1e-5)
    with pytest.raises(ValueError, match="no target"):
        perplexity(logits, ccdl.tensor([-100] * 3))
    assert bits_per_character(math.log(4)) == pytest.approx(2.0)


ONE = ("It is a guide to action which ensures that the military always obeys the commands of the party",
       ["It is a guide to action that ensures that the military will forever heed Party commands",
        "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        "It is the practical guide for the army always to heed the directions of the party"])
TWO = ("he read the book because he was interested in world history",
       ["he was interested in world history because he read the book"])


def test_bleu():
    """Papineni et al. give the clipped precisions 2/7, 17/18, 10/17; the scores are those NLTK's documentation prints."""
    assert bleu([["the cat is on the mat", "there is a cat on the mat"]], ["the the the the the the the"], 1) == pytest.approx(2 / 7)
    assert bleu([ONE[1]], [ONE[0]], 1) == pytest.approx(17 / 18)
    assert bleu([ONE[1]], [ONE[0]], 2, weights=[0, 1]) == pytest.approx(10 / 17)
    assert bleu([ONE[1]], [ONE[0]]) == pytest.approx(0.5045666840058485, rel=1e-12)
    assert bleu([ONE[1], TWO[1]], [ONE[0], TWO[0]]) == pytest.approx(0.5920778868801042, rel=1e-12)
    assert bleu([["a b c d"]], ["a b c d"]) == 1.0
    assert bleu([["a b c d e f g h"]], ["a b c d"]) == pytest.approx(math.exp(1 - 2))
    assert bleu([["a b c d"]], ["x y"]) == 0.0 == bleu([["a b c"]], [""])
    assert 0 < bleu([["a b c d"]], ["a b x d"], smooth=True) < 1
    for bad, error in ((lambda: bleu("a", "a"), TypeError), (lambda: bleu(["a"], ["a"]), TypeError),
                       (lambda: bleu([["a"]], []), ValueError), (lambda: bleu([["a"]], ["a"], weights=[1]), ValueError)):
        with pytest.raises(error, match="bleu"):
            bad()


def test_bleu_takes_the_closest_reference_length():
    """Lengths 4 and 9 for a hypothesis of 8: the closer one counts, and its brevity costs exp(1 - 9/8)."""
    hypothesis = "a b c d e f g h"
    assert bleu([["a b c d", "a b c d e f g h i"]], [hypothesis]) == pytest.approx(math.exp(1 - 9 / 8))
    assert bleu([["a b c d e f g h i", "x y z a b c d"]], [hypothesis]) == pytest.approx(1.0)  # 7 and 9: the shorter
