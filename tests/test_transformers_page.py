"""The examples of docs/transformers.md run, and its recipes exist."""

from __future__ import annotations

import re
from pathlib import Path

from ccdl.train import RECIPES

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "transformers.md").read_text()


def test_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) >= 2
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/transformers.md example {number}", "exec"), {"__name__": "example"})


def test_recipes_exist() -> None:
    named = re.findall(r"^ccdl train (\w+)", PAGE, re.M)
    assert len(named) >= 5 and set(named) <= set(RECIPES)
