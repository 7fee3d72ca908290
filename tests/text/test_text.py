"""Tokenisers round-trip any script; n-grams sum to one and equal a hand calculation."""

from __future__ import annotations

import itertools
import random

import pytest

import ccdl
from ccdl.text import BytePairTokenizer, CharTokenizer, KneserNey, WordTokenizer, pad_batch, split_words

TEXTS = ["The quick brown fox, and the lazy dog.", "ภาษาไทยไม่มีวรรค", "हिन्दी भाषा", "naïve façade — 12 €", "tab\tand\nline"]


def test_characters():
    t = CharTokenizer.train(TEXTS)
    for text in TEXTS:
        assert t.decode(t.encode(text)) == text
        assert t.encode(text, bos=True, eos=True) == [t.bos, *t.encode(text), t.eos]
    assert t.decode(t.encode("Ω")) == "\N{REPLACEMENT CHARACTER}" and t.encode("Ω") == [t.unk]
    again = CharTokenizer.from_dict(t.to_dict())
    assert again.tokens == t.tokens and len(t) == len(set("".join(TEXTS))) + 4
    assert t.decode(ccdl.tensor(t.encode("fox", bos=True))) == "fox"
    with pytest.raises(IndexError, match="decode: token"):
        t.decode([len(t)])
    with pytest.raises(ValueError, match="distinct"):
        CharTokenizer("aa")


def test_words():
    assert split_words("ไม่มี हिन्दी") == ["ไม่มี", "हिन्दी"]
    assert split_words("") == [] == split_words(" \n\t")
    t = WordTokenizer.train(["a b a c a b"], max_size=6)
    assert t.tokens[4:] == ["a", "b"] and t.encode("A c B!") == [4, t.unk, 5, t.unk]
    assert WordTokenizer.train(["a b a"], min_count=2).tokens[4:] == ["a"]


def test_byte_pairs():
    t = BytePairTokenizer.train(TEXTS * 3 + ["the then there other"], num_merges=40)
    for text in [*TEXTS, "never seen: ∑ 𝔸 \x00", ""]:
        assert t.decode(t.encode(text)) == text
    plain = len(b"the then there")
    assert len(t.encode("the then there")) < plain and len(t) == 256 + len(t.merges) + 3
    assert b"the" in {t.token_bytes(i) for i in range(256, 256 + len(t.merges))}
    assert BytePairTokenizer.from_dict(t.to_dict()).encode(TEXTS[0]) == t.encode(TEXTS[0])
    assert t.decode([t.bos, *t.encode("x"), t.eos]) == "x"
    first = BytePairTokenizer.train(["aaab aab b"], num_merges=1)
    assert first.merges == [(97, 97)]  # aa: twice in aaab and once in aab
    with pytest.raises(ValueError, match="does not exist yet"):
        BytePairTokenizer([(300, 2)])
    with pytest.raises(IndexError, match="token 9999"):
        t.decode([9999])


def test_padding():
    x, n = pad_batch([[1, 2, 3], [], [4]], value=9)
    assert x.tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9]] and n.tolist() == [3, 0, 1]
    assert pad_batch([[1, 2, 3]], length=2)[0].tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="no sequences"):
        pad_batch([])


def test_kneser_ney_sums_to_one():
    chance = random.Random(1)
    data = [[chance.randrange(4) for _ in range(chance.randrange(1, 30))] for _ in range(8)]
    for order in (1, 2, 3, 5):
        model = KneserNey(order, 5).fit(data)
        for context in [[], [0], [4, 4, 4, 4], data[0][:3], *([list(c) for c in itertools.product(range(4), repeat=2)])]:
            assert sum(model.prob(w, context) for w in range(5)) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="no symbols"):
        model.bits([[]])
    with pytest.raises(ValueError, match="positive"):
        KneserNey(0, 2)


def test_kneser_ney_by_hand():
    """Bigrams of 0 1 0 1 2 (start s): s0 1, 01 2, 10 1, 12 1; n1 = 3, n2 = 1, D = 3/5. Continuations: 0 after s, 1; 1 after 0;
    2 after 1: counts 2 1 1, n1 = 2, n2 = 1, D = 1/2."""
    model = KneserNey(2, 3).fit([[0, 1, 0, 1, 2]])
    uniform = 1 / 3
    p0 = (2 - 0.5 + 0.5 * 3 * uniform) / 4
    p1 = (1 - 0.5 + 0.5 * 3 * uniform) / 4
    assert model.prob(0, [2]) == pytest.approx(p0)  # 2 was never followed: the lower order alone
    assert model.prob(1, [0]) == pytest.approx((2 - 0.6 + 0.6 * 1 * p1) / 2)
    assert model.prob(0, [1]) == pytest.approx((1 - 0.6 + 0.6 * 2 * p0) / 2)
    assert model.prob(0, []) == pytest.approx((1 - 0.6 + 0.6 * p0) / 1)


def test_kneser_ney_beats_lower_orders_on_text():
    text = "the cat sat on the mat and the rat ran at the cat " * 3
    t = CharTokenizer.train([text])
    held_out = [t.encode("the rat sat on the cat")]
    bits = [KneserNey(n, len(t)).fit([t.encode(text)]).bits(held_out) for n in (1, 2, 4)]
    assert bits[0] > bits[1] > bits[2]
