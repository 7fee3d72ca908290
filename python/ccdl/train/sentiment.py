"""``ccdl train sentiment``: classifiers of text beside a logistic regression on bags of words.

Mean of embeddings of words (002) and of word pairs (Joulin et al., 2017), or bidirectional LSTM with the
maximum over time (002, 004).

The default text is real and so are its labels: first paragraphs of the standard library's docstrings, and
whether they document a module, a class or a function. --data takes lines "label<TAB>text", such as reviews.
Whole files go to training (70 %), to the choice of the best epoch (15 %) and to the figure (15 %).
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .. import _C
from ..models.text_classifier import BiLSTMClassifier, EmbeddingClassifier
from ..nn import functional as F
from ..text import WordTokenizer, pad_batch
from ..utils.data import DataLoader, TensorDataset
from ..utils.data.sampler import seeded_generator
from ..utils.data.worker import mix
from .common import add_common, common_options, fit, parameters
from .corpus import docstrings, split_documents

__all__ = ["add_arguments", "bag_of_words", "run", "train"]


def add_arguments(parser: Any) -> None:
    """The recipe's options."""
    parser.add_argument("--model", default="bilstm", choices=("bilstm", "mean"))
    parser.add_argument("--data", help="file of lines label<TAB>text (default: the library's docstrings)")
    parser.add_argument("--embed", type=int, default=64, help="size of an embedding")
    parser.add_argument("--hidden", type=int, help="size of the LSTM (64), or of a hidden layer (none)")
    parser.add_argument("--pairs", type=int, default=32768, help="embeddings that word pairs share (mean)")
    parser.add_argument("--length", type=int, default=40, help="words of a text that count")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--word-dropout", type=float, default=0.1, help="share of words hidden in training")
    parser.add_argument("--no-baseline", action="store_true", help="without scikit-learn's regression")
    add_common(parser, "sentiment", 12, 32, 3e-3)
    parser.set_defaults(lr=None)  # 3e-3, mean: 5e-3


def _read(path):
    """Lines label<TAB>text as one document per line."""
    documents = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            label, tab, text = line.rstrip("\n").partition("\t")
            if line.strip():
                if not tab or not text.strip():
                    raise ValueError(f"sentiment: line {number} of {path} is not label<TAB>text")
                documents.append((str(number), [(text, label)]))
    return documents


def _balanced(rows, seed):
    """The rows with at most one and a half times as many of a class as of all others together."""
    counts: dict[str, int] = {}
    for _, label in rows:
        counts[label] = counts.get(label, 0) + 1
    most = max(counts, key=lambda c: counts[c])
    limit = max(1, 3 * (len(rows) - counts[most]) // 2) if len(counts) > 1 else len(rows)
    if counts[most] <= limit:
        return rows
    mine = [i for i, (_, label) in enumerate(rows) if label == most]
    order = _C.randperm(len(mine), generator=seeded_generator(mix(seed, 0xBA1))).tolist()
    kept = {mine[i] for i in order[:limit]}
    return [row for i, row in enumerate(rows) if row[1] != most or i in kept]


def bag_of_words(train_rows: Any, test_rows: Any) -> float:
    """Test accuracy of scikit-learn's logistic regression on word counts, the better of two penalties chosen
    on a tenth of the training rows.

    Raises:
        RuntimeError: scikit-learn is missing.
    """
    try:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise RuntimeError(
            "train sentiment: the baseline is scikit-learn's, which is missing; pip install scikit-learn, or "
            "--no-baseline"
        ) from error
    vectorizer = CountVectorizer()
    x = vectorizer.fit_transform([text for text, _ in train_rows])
    y = [label for _, label in train_rows]
    cut = len(y) - max(1, len(y) // 10)
    scores = {}
    for c in (0.3, 1.0, 3.0):
        if len(set(y[:cut])) > 1:
            part = LogisticRegression(C=c, max_iter=2000).fit(x[:cut], y[:cut])
            scores[c] = part.score(x[cut:], y[cut:])
    best = max(scores, key=lambda c: scores[c]) if scores else 1.0
    model = LogisticRegression(C=best, max_iter=2000).fit(x, y)
    wanted = [label for _, label in test_rows]
    return float(model.score(vectorizer.transform([text for text, _ in test_rows]), wanted))


def _with_pairs(ids: list[int], words: int, pairs: int) -> list[int]:
    """The words and, as further tokens, every two in a row, hashed to ``pairs`` numbers behind ``words``."""
    if pairs == 0:
        return ids
    return ids + [words + (a * 1000003 + b) % pairs for a, b in zip(ids, ids[1:])]


class _Forward:
    """The trainer's forward; hides words in training."""

    def __init__(self, word_dropout: float, pad: int, unk: int) -> None:
        self.word_dropout, self.pad, self.unk = word_dropout, pad, unk

    def __call__(self, model: Any, batch: Any) -> Any:
        x, y = batch
        if model.training and self.word_dropout:
            hidden = (_C.rand(*x.shape, device=x.device) < self.word_dropout) & (x != self.pad)
            x = x.masked_fill(hidden, self.unk)
        logits = model(x)
        return F.cross_entropy(logits, y), logits, y, y.shape[0]


def train(
    model: str = "bilstm",
    data: Any = None,
    embed: int = 64,
    hidden: int | None = None,
    pairs: int = 32768,
    length: int = 40,
    dropout: float = 0.5,
    word_dropout: float = 0.1,
    no_baseline: bool = False,
    out: str = "runs/sentiment",
    epochs: int = 12,
    batch_size: int = 32,
    lr: float | None = None,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: Any = "cpu",
    resume: bool = False,
    stop_after: Any = None,
    quiet: bool = False,
    say: Any = print,
    documents: Any = None,
) -> Any:
    """Trains and returns a dict with the test accuracy of model and baseline, history and files.

    Arguments are the command's options; ``documents``, a list of (name, [(text, label)]), replaces ``data``.
    """
    started = time.perf_counter()
    lr = (5e-3 if model == "mean" else 3e-3) if lr is None else lr
    if documents is None:
        documents = _read(data) if data else docstrings()
    parts = split_documents(documents, seed, 0.15, lambda d: len(d[1]))
    parts = [[row for _, rows in part for row in rows] for part in parts]
    parts = [_balanced(rows, mix(seed, i)) for i, rows in enumerate(parts)]
    labels = sorted({label for _, label in parts[0]})
    if len(labels) < 2:
        raise ValueError(f"sentiment: the training texts have {len(labels)} label, at least two are needed")
    parts = [[row for row in part if row[1] in labels] for part in parts]
    if not all(parts):
        raise ValueError("sentiment: a part of the split is empty; give more documents")
    tokenizer = WordTokenizer.train([text for text, _ in parts[0]], min_count=2)
    pairs = pairs if model == "mean" else 0
    room = length if pairs == 0 else 2 * length - 1
    sets = []
    for part in parts:
        ids = [tokenizer.encode(text)[:length] or [tokenizer.unk] for text, _ in part]
        ids = [_with_pairs(row, len(tokenizer), pairs) for row in ids]
        targets = _C.tensor([labels.index(label) for _, label in part], dtype=_C.int64)
        sets.append((pad_batch(ids, tokenizer.pad, room)[0], targets))
    _C.manual_seed(mix(seed, 1))
    if model == "bilstm":
        net: Any = BiLSTMClassifier(len(tokenizer), len(labels), embed, hidden or 64, dropout=dropout)
    else:
        net = EmbeddingClassifier(len(tokenizer) + pairs, len(labels), embed, hidden or 0, dropout)
    say(
        f"{' + '.join(str(len(p)) for p in parts)} texts, labels {', '.join(labels)}, "
        f"{len(tokenizer)} words; {parameters(net)} parameters"
    )
    options = {"model": model, "data": data, "embed": embed, "hidden": hidden, "length": length}
    options.update({"dropout": dropout, "word_dropout": word_dropout, "batch_size": batch_size})
    options["pairs"] = pairs
    done, trainer, files = fit(
        net,
        _Forward(word_dropout, tokenizer.pad, tokenizer.unk),
        DataLoader(
            TensorDataset(*sets[0]), batch_size=batch_size, shuffle=True, generator=seeded_generator(0)
        ),
        DataLoader(TensorDataset(*sets[1]), batch_size=256),
        out=out,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        options=options,
        resume=resume,
        stop_after=stop_after,
        quiet=quiet,
        say=say,
        device=device,
        monitor="val_accuracy",
    )
    result: dict[str, Any] = {"finished": done, "history": trainer.history, "files": files, "model": net}
    result["labels"] = labels
    if not done:
        return result
    found = trainer.evaluate(DataLoader(TensorDataset(*sets[2]), batch_size=256))
    result["test_accuracy"] = found["accuracy"]
    result["baseline_accuracy"] = None if no_baseline else bag_of_words(parts[0] + parts[1], parts[2])
    if not no_baseline:
        say(f"bag of words, logistic regression: test accuracy {100 * result['baseline_accuracy']:.2f} %")
    say(f"{model}: test accuracy {100 * found['accuracy']:.2f} %, {time.perf_counter() - started:.1f} s")
    path = os.path.join(out, "result.json")
    with open(path, "w") as file:
        json.dump({k: result[k] for k in ("test_accuracy", "baseline_accuracy", "labels")}, file, indent=1)
    result["files"].append(path)
    return result


def run(arguments: Any) -> int:
    """The command: trains and returns the exit status."""
    train(**common_options(arguments))
    return 0
