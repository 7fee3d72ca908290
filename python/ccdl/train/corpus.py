"""Real text that every Python carries, cut into documents, splits and batches.

``documentation``: the language reference of ``help()``. ``docstrings``: those of the standard library with
what they document, a module, a class or a function, as label. A split never divides a document.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import _C
from ..utils.data.sampler import seeded_generator
from ..utils.data.worker import mix

__all__ = [
    "StreamBatches",
    "docstrings",
    "documentation",
    "read_documents",
    "split_documents",
    "unique_paragraphs",
]


def documentation() -> list[str]:
    """The topics of ``help()``: about 60 documents and 300,000 characters of English prose and grammar.

    Many topics repeat sections of others; a paragraph is kept in the longest topic that has it, so that a
    split by document shares no text.
    """
    from pydoc_data.topics import topics

    texts = unique_paragraphs([topics[name] for name in sorted(topics)])
    return [t for t in texts if len(t) >= 100]


def unique_paragraphs(texts: Sequence[str]) -> list[str]:
    """The texts without paragraphs of a longer one (or an earlier of the same length); empty ones vanish.

    Paragraphs are compared without white space.
    """
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
    seen: set[str] = set()
    kept: dict[int, str] = {}
    for i in order:
        paragraphs = []
        for paragraph in texts[i].split("\n\n"):
            key = "".join(paragraph.split())
            if key and key not in seen:
                seen.add(key)
                paragraphs.append(paragraph)
        if paragraphs:
            kept[i] = "\n\n".join(paragraphs)
    return [kept[i] for i in sorted(kept)]


def read_documents(path: Any) -> list[str]:
    """The UTF-8 files of a folder, or one file cut at blank lines into about 40 pieces.

    Raises:
        ValueError: there is too little text to split.
    """
    path = Path(path)
    if path.is_dir():
        texts = [p.read_text("utf-8", errors="replace") for p in sorted(path.iterdir()) if p.is_file()]
        texts = [t for t in texts if t.strip()]
    else:
        text = path.read_text("utf-8", errors="replace")
        texts, size = [], max(1, len(text) // 40)
        for paragraph in text.split("\n\n"):
            if texts and len(texts[-1]) < size:
                texts[-1] += "\n\n" + paragraph
            elif paragraph.strip():
                texts.append(paragraph)
    if len(texts) < 3:
        raise ValueError(f"read_documents: {path} gives {len(texts)} documents, at least 3 are needed")
    return texts


def split_documents(documents: Sequence[Any], seed: int, share: float = 0.1, size: Any = len) -> Any:
    """(train, validation, test): whole documents in an order given by ``seed``.

    The last two get about ``share`` of the total ``size`` each, one document at least.
    """
    order = _C.randperm(len(documents), generator=seeded_generator(mix(seed, 0x5117))).tolist()
    total = sum(size(d) for d in documents)
    parts: list[list[Any]] = [[], [], []]
    for which in (2, 1):
        taken = 0
        rest: list[int] = []
        for position, i in enumerate(order):
            n = size(documents[i])
            fits = not parts[which] or taken + n <= 1.5 * share * total
            spare = len(rest) + len(order) - position > which  # the other parts need one each
            if taken < share * total and fits and spare:
                parts[which].append(documents[i])
                taken += n
            else:
                rest.append(i)
        order = rest
    parts[0] = [documents[i] for i in order]
    return tuple(parts)


_SKIPPED = "site-packages dist-packages test tests idlelib idle_test lib2to3 turtledemo __pycache__".split()
_KINDS = {ast.Module: "module", ast.ClassDef: "class", ast.FunctionDef: "function"}


def docstrings(limit: Any = None) -> list[tuple[str, list[tuple[str, str]]]]:
    """Per file of the standard library: its name and (first paragraph, "module" | "class" | "function") of
    its docstrings of at least three words.

    Args:
        limit: read so many files only.
    """
    import sysconfig

    root = sysconfig.get_paths()["stdlib"]
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(d for d in folders if d not in _SKIPPED and not d.startswith("config-"))
        for name in sorted(f for f in files if f.endswith(".py")):
            if limit is not None and len(found) >= limit:
                return found
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    tree = ast.parse(file.read())
            except (SyntaxError, ValueError):
                continue
            rows = []
            for node in ast.walk(tree):
                kind = _KINDS.get(type(node))
                text = ast.get_docstring(node) if kind else None  # type: ignore[arg-type]
                if kind and text and len(text.split()) >= 3:
                    rows.append((" ".join(text.split("\n\n")[0].split()), kind))
            if rows:
                found.append((os.path.relpath(path, root), rows))
    return found


class StreamBatches:
    """Batches (x, y, first) of a text that goes on from batch to batch, as truncated back-propagation needs.

    The documents, in an order given by (seed, epoch), are joined and cut into ``batch_size`` streams; batch i
    holds positions i L ... of all streams, x int64 [B, L] and y the tokens after them; ``first`` says that a
    new epoch starts. What does not fill a stream is left out, another part in each epoch.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        batch_size: int,
        length: int,
        seed: int,
        shuffle: bool = True,
    ) -> None:
        self.documents, self.length, self.seed, self.shuffle = list(documents), length, seed, shuffle
        total = sum(len(d) for d in documents)
        self.batch_size = max(1, min(batch_size, (total - 1) // length))
        self._steps = (total - 1) // (self.batch_size * length)
        if not self._steps:
            raise ValueError(f"StreamBatches: {total} tokens are less than one window of {length} + 1")
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the documents."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        order = list(range(len(self.documents)))
        if self.shuffle:
            generator = seeded_generator(mix(mix(self.seed, 0x57E), self.epoch))
            order = _C.randperm(len(order), generator=generator).tolist()
        text = _C.tensor([t for i in order for t in self.documents[i]], dtype=_C.int64)
        span = self._steps * self.length
        x = text[: self.batch_size * span].reshape(self.batch_size, span)
        y = text[1 : self.batch_size * span + 1].reshape(self.batch_size, span)
        for i in range(self._steps):
            part = slice(i * self.length, (i + 1) * self.length)
            yield x[:, part], y[:, part], i == 0
