"""tests/surface.txt against the package: every name owed exists and takes every keyword owed."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import ccdl

ROWS = [line for line in (Path(__file__).parent / "surface.txt").read_text().splitlines()
        if line and not line.startswith("#")]
SUBMODULES = ("nn.functional", "nn.init", "nn.utils", "nn", "optim", "utils.data", "autograd.functional", "autograd",
              "cuda", "backends")


def signatures() -> dict[tuple[str, str], set[str]]:
    """(kind, name) -> the parameter names of all overloads, from the typed signatures of the extension."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind, name, text in ccdl._C._signatures():
        inner = re.fullmatch(r"[\w.]+\((.*)\)\s*->.*", text, re.S)
        assert inner, text
        names = {re.split(r"\s", part.partition("=")[0].strip())[-1] for part in re.split(r",(?![^\[(]*[\])])", inner[1])}
        found.setdefault((kind, name), set()).update(names)
    return found


SIGNATURES = signatures()


def lookup(name: str) -> Any:
    for module in SUBMODULES:
        if name.startswith(module + "."):
            found: Any = importlib.import_module(f"ccdl.{module}")
            rest = name[len(module) + 1:]
            break
    else:
        found, rest = ccdl, name
    for part in rest.split("."):
        found = getattr(found, part)
    return found


def keywords(name: str, found: Any) -> set[str] | None:
    """None: anything goes."""
    head, _, last = name.rpartition(".")
    if head == "Tensor":
        known = SIGNATURES.get(("method", last))
    elif head in ("", "nn.functional"):
        known = SIGNATURES.get(("function", last)) if not inspect.isfunction(found) else None
    else:
        known = None
    if known is not None:
        return known
    target = found.__init__ if inspect.isclass(found) else found
    parameters = inspect.signature(target).parameters.values()
    names = {p.name for p in parameters}
    if any(p.kind is p.VAR_KEYWORD for p in parameters) and not names - {"args", "kwargs", "self"}:
        return None
    return names


@pytest.mark.parametrize("row", ROWS, ids=[r.partition("(")[0] for r in ROWS])
def test_owed(row: str) -> None:
    name, paren, owed = row.partition("(")
    if name in ("optim.Optimizer.param_groups", "optim.Optimizer.state", "nn.Module.training"):
        model = ccdl.nn.Linear(1, 1)
        holder = model if name.startswith("nn.") else ccdl.optim.SGD(model.parameters(), lr=0.1)
        assert hasattr(holder, name.rpartition(".")[2])
        return
    found = lookup(name)
    if not paren or not owed.rstrip(")"):
        return
    try:
        taken = keywords(name, found)
    except (ValueError, TypeError) as error:
        pytest.fail(f"{name}: no signature ({error})")
    missing = set(owed.rstrip(")").split(", ")) - taken if taken is not None else set()
    assert not missing, f"{name} does not take {sorted(missing)}; it takes {sorted(taken or ())}"


def test_no_row_twice() -> None:
    assert len(ROWS) == len(set(ROWS))
