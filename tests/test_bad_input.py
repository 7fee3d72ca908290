"""Wrong arguments, one call per line of tests/bad_input.txt: functions, layers, losses, initialisers, distributions,
optimisers, schedules, samplers and loaders, transforms, training tools. Each raises the error PyTorch's users expect,
with a message that says where and why: the op, the argument and what came are held, not the wording."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ccdl
from ccdl import nn, optim
from ccdl.utils import data

ROWS = [line for line in (Path(__file__).parent / "bad_input.txt").read_text().splitlines() if line and line[0] != "#"]
ROW = re.compile(r"(.*?)  =>  (\w+): ?(.*)")
ERRORS = {e.__name__: e for e in (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError, AssertionError,
                                  NotImplementedError, ZeroDivisionError)}


def size(given: tuple[Any, ...]) -> tuple[int, ...]:
    return given[0] if len(given) == 1 and isinstance(given[0], tuple) else given


def names() -> dict[str, Any]:
    def module(name: str) -> Any:
        return importlib.import_module(f"ccdl.{name}")

    def made(make: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return lambda *given: make(size(given), **options)

    return {
        "L": ccdl, "nn": nn, "F": nn.functional, "optim": optim, "init": nn.init, "U": data, "S": module("optim.lr_scheduler"),
        "D": module("distributions"), "R": module("optim.regularizers"), "T": module("vision.transforms"), "X": module("text"),
        "Pp": module("utils.data.preprocess"), "Fi": module("utils.data.files"), "models": module("models"), "train": module("train"),
        "callbacks": module("train.callbacks"), "scores": module("train.scores"), "metrics": module("train.metrics"),
        "calibration": module("train.calibration"), "summary": module("train.summary"), "transfer": module("train.transfer"),
        "sanity": module("train.sanity"), "images": module("train.images"),
        "z": made(ccdl.zeros), "o": made(ccdl.ones), "i": made(ccdl.zeros, dtype=ccdl.int64), "t": ccdl.tensor,
        "p": lambda *given: nn.Parameter(ccdl.ones(given or (2,))),
        "sgd": lambda: optim.SGD([nn.Parameter(ccdl.ones(2))], lr=0.1, momentum=0.9),
    }  # fmt: skip


def telling(text: str) -> set[str]:
    """What a message must say whatever its wording: numbers, quoted values, and names of arguments and operations."""
    return set(re.findall(r"'[^']*'|-?\d+(?:\.\d+)?|\w+_\w+", text))


NAMES = names()
for _name in ("nn.utils.prune", "nn.utils.rnn", "nn.utils.parametrizations", "optim.swa_utils", "utils.checkpoint", "amp", "autograd.graph",
              "autograd.estimators"):
    importlib.import_module(f"ccdl.{_name}")


@pytest.mark.parametrize("row", ROWS, ids=[row.split("  =>  ")[0][:70] for row in ROWS])
def test_is_refused(row: str) -> None:
    call, kind, words = ROW.fullmatch(row).groups()
    ccdl.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ERRORS[kind]) as caught:
            eval(call, dict(NAMES))
    said = " ".join(str(caught.value).split())
    words = " ".join(words.split())
    where = words.partition(": ")[0] + ": " if ": " in words else ""
    facts = telling(words)
    assert said.startswith(where if facts else words) and facts <= telling(said), said
    assert ccdl.ones(2).add(1).tolist() == [2.0, 2.0]  # and the next call works


def test_the_table_covers_what_there_is() -> None:
    """Every function of nn.functional, every optimiser, every schedule, and nearly every layer (the others take any input)."""
    table = "\n".join(ROWS)
    left_out = [n for n in nn.functional.__all__ if f"F.{n}(" not in table]
    assert left_out in ([], ["attention"])  # the submodule
    layers = [n for n in nn.modules.__all__ if f"nn.{n}(" not in table and not n.startswith("Lazy")]
    assert len(layers) <= 25, layers
    optimisers = [n for n in optim.__all__ if isinstance(getattr(optim, n), type) and issubclass(getattr(optim, n), optim.Optimizer)]
    assert not [n for n in optimisers if f"optim.{n}(" not in table and n != "Optimizer"]
    schedules = [n for n in dir(optim.lr_scheduler) if n.endswith("LR") and n != "LRScheduler"]
    assert not [n for n in schedules if f"S.{n}(" not in table]


@pytest.mark.parametrize("command", [["train", "nosuch"], ["train", "lenet", "--epochs", "x"], ["train"]])
def test_the_command_names_what_is_valid(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from ccdl import cli
    from ccdl.train import RECIPES

    with pytest.raises(SystemExit) as stop:
        cli.main(command)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    if command[-1] == "nosuch":
        assert all(name in said for name in RECIPES), said
    elif command[-1] == "x":
        assert "argument --epochs: invalid int value: 'x'" in said


@pytest.mark.parametrize(("options", "words"), [
    (["lenet", "--epochs", "-1"], "epochs"), (["resnet20", "--lr", "-1"], "learning rate"), (["resnet20", "--batch-size", "0"], "batch_size"),
    (["vgg", "--data", "/nonexistent"], "/nonexistent is not a folder"), (["lenet", "--limit", "0"], ""), (["lenet", "--size", "0"], ""),
    (["alexnet", "--device", "tpu"], "tpu")])
def test_a_recipe_says_what_is_wrong_in_one_line(options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ccdl import cli

    assert cli.main(["train", *options, "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1, said


def test_an_int_without_a_sign_is_a_number_beside_floats() -> None:
    x = ccdl.tensor([1.0, -2.0], requires_grad=True)
    assert (x + 2**63).tolist() == [2.0**63, 2.0**63]
    assert (2**64 - 1 > x).tolist() == [True, True]
    assert nn.functional.layer_norm(ccdl.ones(3), (3,), eps=2**70).tolist() == [0.0, 0.0, 0.0]


def test_a_bound_that_is_no_number_leaves_none_and_passes_no_gradient() -> None:
    x = ccdl.tensor([1.0, -2.0], requires_grad=True)
    for low, high in ((float("nan"), None), (None, float("nan")), (0.0, float("nan"))):
        y = ccdl.clamp(x, low, high)
        assert y.isnan().all()
        (slope,) = ccdl.autograd.grad(y.sum(), x)
        assert slope.tolist() == [0.0, 0.0]
    assert nn.functional.hardtanh(x, float("nan"), 1.0).isnan().all()
