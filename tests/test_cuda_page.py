"""The examples of docs/cuda.md run, each by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cuda.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


@pytest.mark.gpu
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_example(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(BLOCKS[number], f"docs/cuda.md example {number}", "exec"), {"__name__": "example"})
    if "except IndexError" in BLOCKS[number]:
        printed = capsys.readouterr().out
        assert "embedding" in printed and "12" in printed and "10" in printed
