"""``ccdl train reverse``: encoder-decoders learn abcde -> a'b'c'd'e' and abcde -> e'd'c'b'a' (000).

Without attention one vector carries the whole string, and the reversed order is easier, because what was read
last is said first; with attention, recurrent or Transformer, both are learnt. Exact matches are counted on
strings that were never seen.
"""

from __future__ import annotations

import csv
import json
import os
import time
from typing import Any

from .. import _C
from ..models.generation import generate
from ..models.seq2seq import Seq2Seq, Seq2SeqTransformer
from ..nn import functional as F
from ..text import CharTokenizer, pad_batch
from ..utils.data import DataLoader, TensorDataset
from ..utils.data.sampler import seeded_generator
from ..utils.data.worker import mix
from .common import add_common, common_options, fit, parameters

__all__ = ["MODELS", "add_arguments", "run", "train"]

MODELS = ("plain", "bahdanau", "transformer")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def add_arguments(parser: Any) -> None:
    """The recipe's options."""
    parser.add_argument("--model", default="all", choices=("all", *MODELS))
    parser.add_argument("--order", default="both", choices=("both", "copy", "reverse"))
    parser.add_argument("--samples", type=int, default=12000, help="strings to learn from")
    parser.add_argument("--longest", type=int, default=10, help="letters of the longest string")
    parser.add_argument("--hidden", type=int, default=128)
    add_common(parser, "reverse", 8, 64, 2e-3)


def _strings(count, longest, seed):
    """Different strings of 3 to ``longest`` letters, as lists of numbers of letters."""
    generator = seeded_generator(mix(seed, 0x5E9))
    found: dict[Any, None] = {}
    while len(found) < count:
        lengths = _C.randint(min(3, longest), longest + 1, (count,), generator=generator).tolist()
        letters = _C.randint(0, len(LETTERS), (count, longest), generator=generator).tolist()
        found.update((tuple(row[:n]), None) for row, n in zip(letters, lengths))
    return list(found)[:count]


def _tensors(strings, order, tokenizer, longest):
    source = [[i + 4 for i in s] for s in strings]
    target = [[tokenizer.bos, *(s[::-1] if order == "reverse" else s), tokenizer.eos] for s in source]
    return pad_batch(source, tokenizer.pad, longest)[0], pad_batch(target, tokenizer.pad, longest + 2)[0]


def _network(name, size, hidden, longest):
    if name == "transformer":
        return Seq2SeqTransformer(
            size, size, hidden, 4, 2, 2 * hidden, dropout=0.0, max_len=longest + 2
        )
    return Seq2Seq(size, size, hidden // 2, hidden, attention=name == "bahdanau")


def _forward(model: Any, batch: Any) -> Any:
    source, target = batch
    logits = model(source, target[:, :-1]).flatten(0, 1)
    y = target[:, 1:].flatten()
    kept = (y != 0).nonzero().squeeze(1)
    logits, y = logits.index_select(0, kept), y.index_select(0, kept)
    return F.cross_entropy(logits, y), logits, y, y.shape[0]


def translate(model: Any, source: Any, tokenizer: Any, longest: int) -> list[str]:
    """The strings the model answers, greedily."""
    model.eval()
    previous = _C._set_grad_enabled(False)
    try:
        texts = []
        for part in source.split(256):
            start = _C.full((part.shape[0], 1), tokenizer.bos, dtype=_C.int64, device=part.device)
            out = generate(model, start, longest + 1, eos=tokenizer.eos, state=model.start(part))
            texts += [tokenizer.decode(row) for row in out.tolist()]
        return texts
    finally:
        _C._set_grad_enabled(previous)


def _write_alignment(model, source, target, tokenizer, folder):
    """alignment.csv, rows the letters said and columns those read; alignment.png where matplotlib is."""
    previous = _C._set_grad_enabled(False)
    try:
        _, alpha = model(source, target[:, :-1], need_weights=True)
    finally:
        _C._set_grad_enabled(previous)
    read, said = tokenizer.decode(source[0]), tokenizer.decode(target[0])
    table = alpha[0, : len(said), : len(read)].tolist()
    files = [os.path.join(folder, "alignment.csv")]
    with open(files[0], "w", newline="") as file:
        csv.writer(file).writerows([["", *read], *([c + "'", *row] for c, row in zip(said, table))])
    from .report import pyplot

    plt = pyplot()
    if plt is None:
        return files
    figure, axis = plt.subplots(figsize=(4, 4))
    axis.imshow(table, cmap="Greys", vmin=0, vmax=1)
    axis.set_xticks(range(len(read)), list(read))
    axis.set_yticks(range(len(said)), [c + "'" for c in said])
    axis.set_xlabel("read")
    axis.set_ylabel("said")
    figure.tight_layout()
    files.append(os.path.join(folder, "alignment.png"))
    figure.savefig(files[1], dpi=120)
    plt.close(figure)
    return files


def train(
    model: str = "all",
    order: str = "both",
    samples: int = 12000,
    longest: int = 10,
    hidden: int = 128,
    out: str = "runs/reverse",
    epochs: int = 8,
    batch_size: int = 64,
    lr: float = 2e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: Any = "cpu",
    resume: bool = False,
    stop_after: Any = None,
    quiet: bool = False,
    say: Any = print,
    tests: int = 1000,
) -> Any:
    """Trains every model asked for on every order and returns a dict with the shares of exact matches.

    Each has its folder ``out``/MODEL-ORDER. Arguments are the command's options; ``tests`` unseen strings.
    """
    started = time.perf_counter()
    if longest < 2 or samples < 10:
        raise ValueError(f"reverse: longest is {longest} and samples {samples}, must be at least 2 and 10")
    checks = max(8, samples // 20)
    if len(LETTERS) ** longest < 4 * (samples + checks + tests):
        raise ValueError(f"reverse: there are too few strings of {longest} letters for {samples} samples")
    strings = _strings(samples + checks + tests, longest, seed)
    tokenizer = CharTokenizer(LETTERS)
    result: dict[str, Any] = {"finished": True, "exact": {}, "history": {}, "files": []}
    for name in MODELS if model == "all" else (model,):
        for how in ("copy", "reverse") if order == "both" else (order,):
            source, target = _tensors(strings, how, tokenizer, longest)
            cut = (samples, samples + checks)
            _C.manual_seed(mix(seed, 1))
            net = _network(name, len(tokenizer), hidden, longest)
            key, folder = f"{name}-{how}", os.path.join(out, f"{name}-{how}")
            say(f"{key}: {parameters(net)} parameters, {samples} strings to learn from, {tests} unseen")
            done, trainer, files = fit(
                net,
                _forward,
                DataLoader(
                    TensorDataset(source[: cut[0]], target[: cut[0]]),
                    batch_size=batch_size,
                    shuffle=True,
                    generator=seeded_generator(0),
                ),
                DataLoader(TensorDataset(source[cut[0] : cut[1]], target[cut[0] : cut[1]]), batch_size=256),
                out=folder,
                epochs=epochs,
                lr=lr,
                weight_decay=weight_decay,
                seed=seed,
                options={"samples": samples, "longest": longest, "hidden": hidden, "batch_size": batch_size},
                resume=resume,
                stop_after=stop_after,
                quiet=quiet,
                say=say,
                device=device,
            )
            result["history"][key] = trainer.history
            result["files"] += files
            if not done:
                result["finished"] = False
                continue
            unseen = source[cut[1] :].to(device)
            wanted = [tokenizer.decode(row) for row in target[cut[1] :].tolist()]
            answers = translate(net, unseen, tokenizer, longest)
            result["exact"][key] = sum(a == w for a, w in zip(answers, wanted)) / len(wanted)
            shown = "".join(c + "'" for c in answers[0])
            say(
                f"{key}: {100 * result['exact'][key]:.1f} % exact on unseen strings; "
                f"{tokenizer.decode(unseen[0])} -> {shown}"
            )
            if name == "bahdanau":
                one = target[cut[1] : cut[1] + 1].to(device)
                result["files"] += _write_alignment(net, unseen[:1], one, tokenizer, folder)
    if result["finished"]:
        say("exact matches on unseen strings")
        for key, value in result["exact"].items():
            say(f"  {key:20s} {100 * value:6.1f} %")
        result["files"].append(os.path.join(out, "result.json"))
        with open(result["files"][-1], "w") as file:
            json.dump(result["exact"], file, indent=1)
    say(f"{time.perf_counter() - started:.1f} s")
    return result


def run(arguments: Any) -> int:
    """The command: trains and returns the exit status."""
    train(**common_options(arguments))
    return 0
