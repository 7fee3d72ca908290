"""The examples of docs/attention.md run."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "attention.md"


def test_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) >= 3
    names = {"__name__": "example"}
    for block in blocks:
        exec(compile(block, "docs/attention.md", "exec"), names)
