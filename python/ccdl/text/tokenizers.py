"""Characters, words or byte pairs to integers and back.

A vocabulary is the list of its tokens; special tokens come first. All of it is plain Python lists, so that
``to_dict`` can go into a checkpoint.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .. import _C

__all__ = ["BytePairTokenizer", "CharTokenizer", "WordTokenizer", "pad_batch", "split_words"]

SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")


def split_words(text: str) -> list[str]:
    """Runs of letters, marks, digits and underscores, and every other character that is not space by itself.

    Marks (as in Thai or Devanagari) stay with their letters.

    >>> from ccdl.text import split_words
    >>> split_words("don't stop, x_1!")
    ['don', "'", 't', 'stop', ',', 'x_1', '!']
    """
    words: list[str] = []
    inside = False
    for character in text:
        if character == "_" or unicodedata.category(character)[0] in "LMN":
            if inside:
                words[-1] += character
            else:
                words.append(character)
            inside = True
            continue
        inside = False
        if not character.isspace():
            words.append(character)
    return words


class _Vocabulary:
    """Tokens by number and numbers by token."""

    pad, unk, bos, eos = range(4)

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = list(SPECIALS)
        self.tokens += [t for t in tokens if t not in SPECIALS]
        self.index = {t: i for i, t in enumerate(self.tokens)}
        if len(self.index) != len(self.tokens):
            raise ValueError(f"{type(self).__name__}: the tokens must be distinct")

    def __len__(self) -> int:
        return len(self.tokens)

    def to_dict(self) -> dict[str, Any]:
        """What :meth:`from_dict` makes the tokeniser from."""
        return {"tokens": self.tokens[len(SPECIALS) :]}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Any:
        """The tokeniser that gave ``state``."""
        return cls(state["tokens"])

    @staticmethod
    def _split(text: str) -> Sequence[str]:
        raise NotImplementedError

    @classmethod
    def train(cls, texts: Iterable[str], max_size: Any = None, min_count: int = 1) -> Any:
        """The tokens of ``texts``, most frequent first, at most ``max_size`` of them with the specials."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(cls._split(text))
        kept = sorted((t for t, n in counts.items() if n >= min_count), key=lambda t: (-counts[t], t))
        return cls(kept if max_size is None else kept[: max(0, max_size - len(SPECIALS))])

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """Numbers of the tokens; unknown ones are ``unk``."""
        ids = [self.index.get(t, self.unk) for t in self._split(text)]
        return [self.bos] * bos + ids + [self.eos] * eos

    def _pieces(self, ids: Any) -> list[str]:
        ids = ids.tolist() if isinstance(ids, _C.Tensor) else list(ids)
        found = []
        for i in ids:
            if not 0 <= i < len(self.tokens):
                raise IndexError(f"{type(self).__name__}.decode: token {i} is not below {len(self.tokens)}")
            if i == self.unk or i >= len(SPECIALS):
                found.append("\N{REPLACEMENT CHARACTER}" if i == self.unk else self.tokens[i])
        return found


class CharTokenizer(_Vocabulary):
    """One token per character (code point).

    >>> from ccdl.text import CharTokenizer
    >>> t = CharTokenizer.train(["hello"])
    >>> t.encode("hole", bos=True), t.decode(t.encode("hole"))
    ([2, 6, 7, 4, 5], 'hole')
    """

    @staticmethod
    def _split(text: str) -> Sequence[str]:
        return text

    def decode(self, ids: Any) -> str:
        """The text; special tokens vanish, unknown ones show as U+FFFD."""
        return "".join(self._pieces(ids))


class WordTokenizer(_Vocabulary):
    """One token per word or punctuation mark (:func:`split_words`), in lower case.

    >>> from ccdl.text import WordTokenizer
    >>> t = WordTokenizer.train(["the cat and the dog"], max_size=6)
    >>> t.decode(t.encode("The and bird"))
    'the and \N{REPLACEMENT CHARACTER}'
    """

    @staticmethod
    def _split(text: str) -> Sequence[str]:
        return split_words(text.lower())

    def decode(self, ids: Any) -> str:
        """The tokens with a space between them."""
        return " ".join(self._pieces(ids))


class BytePairTokenizer:
    """Bytes, joined by the most frequent pairs of the training text: any text is encoded without loss.

    Tokens 0 to 255 are bytes, the following ones ``merges`` in order, then <pad>, <bos>, <eos>.

    Source: Gage, 1994; Sennrich, Haddow and Birch, 2016.

    >>> from ccdl.text import BytePairTokenizer
    >>> t = BytePairTokenizer.train(["low lower lowest low"], num_merges=2)
    >>> [t.token_bytes(i) for i in t.encode("lower")]
    [b'low', b'e', b'r']
    """

    def __init__(self, merges: Iterable[Any]) -> None:
        self.merges = [(int(a), int(b)) for a, b in merges]
        self._bytes = [bytes([i]) for i in range(256)]
        for a, b in self.merges:
            if not (0 <= a < len(self._bytes) and 0 <= b < len(self._bytes)):
                raise ValueError(f"BytePairTokenizer: merge ({a}, {b}) names a token that does not exist yet")
            self._bytes.append(self._bytes[a] + self._bytes[b])
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.pad, self.bos, self.eos = (len(self._bytes) + i for i in range(3))
        self._known: dict[bytes, list[int]] = {}

    def __len__(self) -> int:
        return len(self._bytes) + 3

    @staticmethod
    def _words(text):
        """Pieces that merges do not cross: a word with the space before it, or a run of other characters."""
        pieces: list[str] = []
        kind = ""
        for c in text:
            now = "w" if c.isalnum() or c == "_" else "s" if c == " " else "o"
            if pieces and (now == kind or (now == "w" and pieces[-1] == " ")):
                pieces[-1] += c
            else:
                pieces.append(c)
            kind = now
        return pieces

    @classmethod
    def train(cls, texts: Iterable[str], num_merges: int = 256) -> BytePairTokenizer:
        """Joins the most frequent pair ``num_merges`` times (ties: the smaller pair)."""
        counts: Counter[bytes] = Counter()
        for text in texts:
            counts.update(w.encode() for w in cls._words(text))
        words = [(list(w), n) for w, n in sorted(counts.items())]
        pairs: Counter[Any] = Counter()
        where: dict[Any, set[int]] = {}
        for i, (word, n) in enumerate(words):
            for pair in zip(word, word[1:]):
                pairs[pair] += n
                where.setdefault(pair, set()).add(i)
        merges: list[Any] = []
        while len(merges) < num_merges and pairs:
            best = max(pairs, key=lambda p: (pairs[p], -p[0], -p[1]))
            if pairs[best] < 1:
                break
            new = 256 + len(merges)
            merges.append(best)
            for i in where.pop(best):
                word, n = words[i]
                for pair in zip(word, word[1:]):
                    pairs[pair] -= n
                word = _join(word, best, new)
                words[i] = (word, n)
                for pair in zip(word, word[1:]):
                    pairs[pair] += n
                    where.setdefault(pair, set()).add(i)
            pairs.pop(best, None)
        return cls(merges)

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """Numbers of the tokens."""
        found = [self.bos] * bos
        for word in self._words(text):
            data = word.encode()
            if data not in self._known:
                self._known[data] = self._encode_word(list(data))
            found += self._known[data]
        return found + [self.eos] * eos

    def _encode_word(self, word):
        while len(word) > 1:
            rank, pair = min((self.rank.get(p, len(self.rank)), p) for p in zip(word, word[1:]))
            if rank == len(self.rank):
                break
            word = _join(word, pair, 256 + rank)
        return word

    def token_bytes(self, token: int) -> bytes:
        """What a token stands for; special tokens for nothing."""
        if not 0 <= token < len(self):
            raise IndexError(f"BytePairTokenizer: token {token} is not below {len(self)}")
        return self._bytes[token] if token < len(self._bytes) else b""

    def decode(self, ids: Any) -> str:
        """The text; bytes that are not UTF-8 show as U+FFFD."""
        ids = ids.tolist() if isinstance(ids, _C.Tensor) else ids
        return b"".join(self.token_bytes(i) for i in ids).decode(errors="replace")

    def to_dict(self) -> dict[str, Any]:
        """What :meth:`from_dict` makes the tokeniser from."""
        return {"merges": [list(m) for m in self.merges]}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> BytePairTokenizer:
        """The tokeniser that gave ``state``."""
        return cls(state["merges"])


def _join(word, pair, new):
    """``word`` with every ``pair``, from the left, replaced by ``new``."""
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and word[i] == pair[0] and word[i + 1] == pair[1]:
            out.append(new)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def pad_batch(sequences: Sequence[Any], value: int = 0, length: Any = None) -> tuple[Any, Any]:
    """Lists of integers as one int64 tensor [N, L], filled up with ``value``, and their lengths [N].

    Args:
        length: L; the longest sequence if None; longer ones are cut.

    >>> from ccdl.text import pad_batch
    >>> pad_batch([[5, 6], [7]])
    (tensor([[5, 6],
            [7, 0]]), tensor([2, 1]))
    """
    if not len(sequences):
        raise ValueError("pad_batch: there are no sequences")
    length = max(len(s) for s in sequences) if length is None else length
    rows = [list(s[:length]) for s in sequences]
    lengths = _C.tensor([len(r) for r in rows], dtype=_C.int64)
    padded = [r + [value] * (length - len(r)) for r in rows]
    return _C.tensor(padded, dtype=_C.int64).reshape(len(rows), length), lengths
