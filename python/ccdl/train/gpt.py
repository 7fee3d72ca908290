"""``ccdl train gpt``: a decoder-only Transformer over byte pairs learns English prose and writes some.

Data and split as in ``ccdl train charlm``; the text is written with the key-value cache, whose logits are
compared with those of the whole sequence first.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .. import _C
from ..models.generation import sequence_log_prob
from ..models.gpt import GPT
from ..text import BytePairTokenizer, CharTokenizer, KneserNey
from ..utils.data.worker import mix
from .charlm import PROMPTS, bits_per_token, language_forward, sample_text
from .common import add_common, common_options, fit, parameters
from .corpus import StreamBatches, documentation, read_documents, split_documents

__all__ = ["add_arguments", "run", "train"]


def add_arguments(parser: Any) -> None:
    """The recipe's options."""
    parser.add_argument("--data", help="a text file or a folder of them (default: Python's documentation)")
    parser.add_argument("--merges", type=int, default=400, help="byte pairs joined by the tokeniser")
    parser.add_argument("--d-model", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--length", type=int, default=128, help="longest sequence, in tokens")
    parser.add_argument("--positions", default="rotary", choices=("learned", "sinusoidal", "rotary"))
    parser.add_argument("--untied", action="store_true", help="an output table of its own")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--order", type=int, default=5, help="of the n-gram baseline, 0 for none")
    parser.add_argument("--temperature", type=float, default=0.8, help="of the printed samples")
    add_common(parser, "gpt", 20, 16, 3e-3, 0.1)


def cache_difference(model: Any, tokens: Any) -> float:
    """Largest difference between the logits with the key-value cache, token by token, and those without."""
    was_training, worst, state = model.training, 0.0, None
    model.eval()
    previous = _C._set_grad_enabled(False)
    try:
        whole = model(tokens)
        for i in range(tokens.shape[1]):
            logits, state = model.step(tokens[:, i : i + 1], state)
            worst = max(worst, float((logits - whole[:, i]).abs().max().item()))
    finally:
        _C._set_grad_enabled(previous)
        model.train(was_training)
    return worst


def train(
    data: Any = None,
    merges: int = 400,
    d_model: int = 128,
    heads: int = 4,
    layers: int = 3,
    length: int = 128,
    positions: str = "rotary",
    untied: bool = False,
    dropout: float = 0.2,
    order: int = 5,
    temperature: float = 0.8,
    out: str = "runs/gpt",
    epochs: int = 20,
    batch_size: int = 16,
    lr: float = 3e-3,
    weight_decay: float = 0.1,
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
    tokenizer = BytePairTokenizer.train(parts[0], merges)
    learn, choose, test = ([tokenizer.encode(t, bos=True, eos=True) for t in p] for p in parts)
    _C.manual_seed(mix(seed, 1))
    model = GPT(
        len(tokenizer), length, d_model, heads, layers, dropout=dropout, tied=not untied, positions=positions
    )
    characters = sum(map(len, parts[0]))
    say(
        f"{len(learn)} + {len(choose)} + {len(test)} documents, {characters} characters to learn in "
        f"{sum(map(len, learn))} tokens, {len(tokenizer)} different; {parameters(model)} parameters"
    )
    options = {"data": data, "merges": merges, "d_model": d_model, "heads": heads, "layers": layers}
    options.update({"length": length, "positions": positions, "untied": untied, "dropout": dropout})
    options["batch_size"] = batch_size
    done, trainer, files = fit(
        model,
        language_forward(model),
        StreamBatches(learn, batch_size, length, seed),
        StreamBatches(choose, min(8, batch_size), length, seed, shuffle=False),
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
    per_token = bits_per_token(model, test, device)
    tokens, letters = sum(len(t) - 1 for t in test), sum(len(t) + 1 for t in parts[2])  # the end counts too
    result: dict[str, Any] = {"finished": True, "history": trainer.history, "files": files, "model": model}
    result.update({"bits": per_token * tokens / letters, "perplexity": 2.0**per_token})
    if order:
        plain = CharTokenizer.train(parts[0])
        ids = [[plain.encode(t, eos=True) for t in p] for p in (parts[0], parts[2])]
        result["baseline_bits"] = KneserNey(order, len(plain)).fit(ids[0]).bits(ids[1])
        say(f"Kneser-Ney {order}-grams of characters: {result['baseline_bits']:.3f} bits per character")
    say(f"gpt: {result['bits']:.3f} bits per character, perplexity {result['perplexity']:.2f} per token")
    probe = _C.tensor([test[0][: min(length, len(test[0]))]], dtype=_C.int64).to(device)
    result["cache_difference"] = cache_difference(model, probe)
    previous = _C._set_grad_enabled(False)
    try:
        say(
            f"log-probability of the first {probe.shape[1] - 1} test tokens: "
            f"{sequence_log_prob(model, probe).item():.2f} nats; with and without cache the logits differ by "
            f"at most {result['cache_difference']:.1e}"
        )
    finally:
        _C._set_grad_enabled(previous)
    result["samples"] = sample_text(model, tokenizer, PROMPTS, length, temperature, seed)
    for text in result["samples"]:
        say("---\n" + text)
    say(f"---\n{time.perf_counter() - started:.1f} s")
    path = os.path.join(out, "result.json")
    with open(path, "w") as file:
        kept = ("bits", "baseline_bits", "perplexity", "cache_difference", "samples")
        json.dump({k: result.get(k) for k in kept}, file, indent=1)
    result["files"].append(path)
    return result


def run(arguments: Any) -> int:
    """The command: trains and returns the exit status."""
    train(**common_options(arguments))
    return 0
