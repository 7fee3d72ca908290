"""The last lines of a pytest run as JSON: counts, failed tests, executed cells.

    python bench/gpu/suite_json.py suite.log suite.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any


def digest(text: str) -> dict[str, Any]:
    counts = {}
    for line in reversed(text.splitlines()):
        found = re.findall(r"(\d+) (passed|failed|skipped|error|errors|deselected|xfailed)", line)
        if found and re.search(r" in [\d.]+s", line):
            counts = {what.rstrip("s") if what == "errors" else what: int(n) for n, what in found}
            break
    cells = re.search(r"executed \(op x check\) cells on (\w+): (\d+)", text)
    return {
        "finished": bool(counts),
        "counts": counts,
        "cells": int(cells[2]) if cells else None,
        "failed": re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.M),
    }


def main(words: list[str]) -> int:
    result = digest(Path(words[0]).read_text(errors="replace"))
    Path(words[1]).write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["finished"] and not result["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
