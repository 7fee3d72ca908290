"""``ccdl train charlm``: a language model of characters learns English prose, beside Kneser-Ney n-grams.

The documentation of Python's ``help()`` (or --data), split by document: 80 % to learn, 10 % to choose the
best epoch, 10 % for the figure, bits per character, that the 5-gram baseline of the same run has as well.
"""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any

from .. import _C
from ..models.char_rnn import CharRNN
from ..models.generation import generate
from ..models.gpt import GPT
from ..nn import functional as F
from ..text import CharTokenizer, KneserNey
from ..utils.data.worker import mix
from .common import add_common, common_options, fit, parameters
from .corpus import StreamBatches, documentation, read_documents, split_documents

__all__ = ["add_arguments", "bits_per_token", "run", "train"]


def add_arguments(parser: Any) -> None:
    """The recipe's options."""
    parser.add_argument("--cell", default="lstm", choices=("rnn", "lstm", "gru", "transformer"))
    parser.add_argument("--data", help="a text file or a folder of them (default: Python's documentation)")
    parser.add_argument("--hidden", type=int, default=256, help="size of the state, or of the Transformer")
    parser.add_argument("--layers", type=int, default=1, help="recurrent layers, or Transformer blocks")
    parser.add_argument("--length", type=int, default=100, help="characters per window")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--order", type=int, default=5, help="of the n-gram baseline, 0 for none")
    parser.add_argument("--temperature", type=float, default=0.8, help="of the printed samples")
    add_common(parser, "charlm", 15, 32, 4e-3)


def language_forward(model: Any) -> Any:
    """The trainer's forward: next-token loss; a recurrent state goes on from window to window."""
    carried: dict[bool, Any] = {}

    def forward(model: Any, batch: Any) -> Any:
        x, y, first = batch
        if isinstance(model, CharRNN):
            state = None if first else carried[model.training]
            logits, state = model(x, state)
            carried[model.training] = model.detach(state)
        else:
            logits = model(x)
        logits, y = logits.flatten(0, 1), y.flatten()
        return F.cross_entropy(logits, y), logits, y, y.shape[0]

    return forward


def bits_per_token(model: Any, documents: Any, device: Any = "cpu") -> float:
    """Mean -log2 p of all tokens of the documents but their first, each document by itself.

    A recurrent model carries its state through the document; a Transformer sees at least half its window
    before each token, once there is so much.
    """
    was_training, total, count = model.training, 0.0, 0
    model.eval()
    previous = _C._set_grad_enabled(False)
    try:
        for document in documents:
            tokens = _C.tensor(document, dtype=_C.int64).to(device).unsqueeze(0)
            if tokens.shape[1] < 2:
                continue
            whole = _recurrent_loss if isinstance(model, CharRNN) else _windowed_loss
            total += whole(model, tokens)
            count += tokens.shape[1] - 1
    finally:
        _C._set_grad_enabled(previous)
        model.train(was_training)
    if not count:
        raise ValueError("bits_per_token: the documents hold no token to predict")
    return total / count / math.log(2)


def _recurrent_loss(model, tokens, chunk=2000):
    total, state = 0.0, None
    for begin in range(0, tokens.shape[1] - 1, chunk):
        part = tokens[:, begin : begin + chunk + 1]
        logits, state = model(part[:, :-1], state)
        total += F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum").item()
    return total


def _windowed_loss(model, tokens):
    size = model.max_len
    half, length = size // 2, tokens.shape[1] - 1
    total, begin = 0.0, 0
    while True:
        part = tokens[:, begin : begin + size + 1]
        skip = half if begin else 0  # those were scored by the window before
        logits, y = model(part[:, :-1])[0, skip:], part[0, 1 + skip :]
        total += F.cross_entropy(logits, y, reduction="sum").item()
        if begin + size >= length:
            return total
        begin += size - half


def _network(cell, vocab_size, hidden, layers, length, dropout):
    if cell == "transformer":
        heads = next(h for h in (4, 2, 1) if hidden % (2 * h) == 0 or h == 1)
        return GPT(vocab_size, length, hidden, heads, layers, dropout=dropout, positions="rotary")
    return CharRNN(vocab_size, hidden, layers, cell, min(64, hidden), dropout)


def sample_text(model: Any, tokenizer: Any, prompts: Any, count: int, temperature: float, seed: int) -> Any:
    """Continuations of the prompts, as text."""
    device = next(model.parameters()).device
    texts = []
    for i, prompt in enumerate(prompts):
        ids = _C.tensor(tokenizer.encode(prompt, bos=True), dtype=_C.int64).to(device)
        room = getattr(model, "max_len", 1 << 30) - ids.shape[0]
        generator = _C.Generator(device)
        generator.manual_seed(mix(seed, i))
        count = min(count, room)
        out = generate(
            model, ids, count, "sample", temperature, top_p=0.95, eos=tokenizer.eos, generator=generator
        )
        texts.append(tokenizer.decode(out))
    return texts


PROMPTS = ("The ", "If the ", "A class ")


def train(
    cell: str = "lstm",
    data: Any = None,
    hidden: int = 256,
    layers: int = 1,
    length: int = 100,
    dropout: float = 0.2,
    order: int = 5,
    temperature: float = 0.8,
    out: str = "runs/charlm",
    epochs: int = 15,
    batch_size: int = 32,
    lr: float = 4e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: Any = "cpu",
    resume: bool = False,
    stop_after: Any = None,
    quiet: bool = False,
    say: Any = print,
    documents: Any = None,
) -> Any:
    """Trains and returns a dict with the test bits per character of model and baseline, history and files.

    Arguments are the command's options; ``documents``, a list of texts, replaces ``data``.
    """
    started = time.perf_counter()
    texts = documents if documents is not None else read_documents(data) if data else documentation()
    parts = split_documents(texts, seed)
    tokenizer = CharTokenizer.train(parts[0])
    learn, choose, test = ([tokenizer.encode(t, bos=True, eos=True) for t in p] for p in parts)
    _C.manual_seed(mix(seed, 1))
    model = _network(cell, len(tokenizer), hidden, layers, length, dropout)
    loader = StreamBatches(learn, batch_size, length, seed)
    held_out = StreamBatches(choose, min(8, batch_size), length, seed, shuffle=False)
    say(
        f"{len(learn)} + {len(choose)} + {len(test)} documents, {sum(map(len, learn))} characters to learn, "
        f"{len(tokenizer)} different; {parameters(model)} parameters"
    )
    options = {"cell": cell, "data": data, "hidden": hidden, "layers": layers, "length": length}
    options.update({"dropout": dropout, "batch_size": batch_size})
    done, trainer, files = fit(
        model,
        language_forward(model),
        loader,
        held_out,
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
    )
    if not done:
        return {"finished": False, "history": trainer.history, "files": files}
    result: dict[str, Any] = {"finished": True, "history": trainer.history, "files": files, "model": model}
    result["bits"] = bits_per_token(model, test, device)
    if order:
        baseline = KneserNey(order, len(tokenizer)).fit([d[1:] for d in learn]).bits([d[1:] for d in test])
        result["baseline_bits"] = baseline
        say(f"Kneser-Ney {order}-grams: {baseline:.3f} bits per character on the test documents")
    say(f"{cell}: {result['bits']:.3f} bits per character on the test documents")
    result["samples"] = sample_text(model, tokenizer, PROMPTS, 200, temperature, seed)
    for text in result["samples"]:
        say("---\n" + text)
    say(f"---\n{time.perf_counter() - started:.1f} s")
    path = os.path.join(out, "result.json")
    with open(path, "w") as file:
        json.dump({k: result.get(k) for k in ("bits", "baseline_bits", "samples")}, file, indent=1)
    result["files"].append(path)
    result["tokenizer"] = tokenizer
    return result


def run(arguments: Any) -> int:
    """The command: trains and returns the exit status."""
    train(**common_options(arguments))
    return 0
