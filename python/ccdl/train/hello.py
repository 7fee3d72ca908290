"""``ccdl train hello``: a recurrent net of three units learns to spell (001).

Fed "hell" letter by letter as one-hot vectors, it has to answer "ello": after the first l another l, after
the second an o, which only the state can tell apart.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from ..models.char_rnn import CharRNN
from ..nn import functional as F
from ..utils.data.worker import mix
from .charlm import language_forward
from .common import add_common, common_options, fit, parameters

__all__ = ["add_arguments", "run", "train"]


def add_arguments(parser: Any) -> None:
    """The recipe's options."""
    parser.add_argument("--word", default="hello", help="the word to spell")
    parser.add_argument("--cell", default="rnn", choices=("rnn", "lstm", "gru"))
    parser.add_argument("--hidden", type=int, default=3, help="size of the state")
    add_common(parser, "hello", 15, 1, 0.05, 0.0)


def train(
    word: str = "hello",
    cell: str = "rnn",
    hidden: int = 3,
    out: str = "runs/hello",
    epochs: int = 15,
    batch_size: int = 1,
    lr: float = 0.05,
    weight_decay: float = 0.0,
    seed: int = 0,
    device: Any = "cpu",
    resume: bool = False,
    stop_after: Any = None,
    quiet: bool = False,
    say: Any = print,
) -> Any:
    """Trains and returns a dict with what the net spells, its states, history and files."""
    if len(word) < 2:
        raise ValueError(f"hello: word is {word!r}, must have at least two letters")
    letters = sorted(set(word), key=word.index)
    ids = _C.tensor([[letters.index(c) for c in word]], dtype=_C.int64)
    _C.manual_seed(mix(seed, 1))
    model = CharRNN(len(letters), hidden, cell=cell, embed_dim=None)
    batches = [(ids[:, :-1].repeat(batch_size, 1), ids[:, 1:].repeat(batch_size, 1), True)] * 10
    say(f"{word!r}: {len(letters)} letters, {parameters(model)} parameters")
    done, trainer, files = fit(
        model,
        language_forward(model),
        batches,
        batches[:1],
        out=out,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        options={"word": word, "cell": cell, "hidden": hidden, "batch_size": batch_size},
        resume=resume,
        stop_after=stop_after,
        quiet=True,
        say=say,
        device=device,
        clip_norm=5.0,
    )
    result: dict[str, Any] = {"finished": done, "history": trainer.history, "files": files, "model": model}
    if not done:
        return result
    model.eval()
    previous = _C._set_grad_enabled(False)
    try:
        x = ids[:, :-1].to(device)
        states = model.rnn(F.one_hot(x, len(letters)).to(model.head.weight.dtype))[0][0]
        p = F.softmax(model(x)[0][0], -1)
    finally:
        _C._set_grad_enabled(previous)
    result["states"], result["spelled"] = states.tolist(), "".join(letters[i] for i in p.argmax(-1).tolist())
    if not quiet:
        say("input   state" + " " * (7 * hidden - 3) + "".join(f"p({c})   " for c in letters))
        for c, state, row in zip(word, result["states"], p.tolist()):
            shown = " ".join(f"{v:6.2f}" for v in state)
            say(f"  {c}    {shown}   " + " ".join(f"{v:6.3f}" for v in row))
    say(f"after {word[0]!r} it spells {result['spelled']!r}; loss {trainer.history[-1]['val_loss']:.4f}")
    return result


def run(arguments: Any) -> int:
    """The command: trains and returns the exit status."""
    train(**common_options(arguments))
    return 0
