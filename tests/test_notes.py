"""The pages on the lecture notes tell the truth: every call they name exists, every test is collected."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import ccdl
from ccdl.train import RECIPES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "notes").glob("*.md"))


def rows(page: Path) -> list[tuple[str, str, str]]:
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ") and not line.startswith("| topic")]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert all(len(c) == 3 for c in cells), page
    return [(c[0], c[1], c[2]) for c in cells]


def resolve(name: str) -> object:
    """ccdl.<name>, importing submodules on the way."""
    found: object = ccdl
    path = "ccdl"
    for part in name.split("."):
        path += "." + part
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(path)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_page(page: Path) -> None:
    wrong = []
    for topic, call, test in rows(page):
        if call == "later" or test == "later":
            if call != test:
                wrong.append(f"{topic}: a call without a test, or a test without a call")
            continue
        for name in re.findall(r"`([^`]+)`", call):
            recipe = re.fullmatch(r"ccdl train (\w+)", name)
            try:
                assert recipe[1] in RECIPES if recipe else callable(resolve(name))
            except (AttributeError, ImportError, AssertionError) as error:
                wrong.append(f"{topic}: {name} does not exist ({error})")
        file, _, function = test.strip("`").partition("::")
        path = ROOT / file
        if not path.exists() or not re.search(rf"^def {function}\(", path.read_text(), re.M):
            wrong.append(f"{topic}: there is no test {test}")
    assert not wrong, "\n".join(wrong)


def test_five_pages_with_most_topics_done() -> None:
    assert [p.stem for p in PAGES] == ["000", "001", "002", "003", "004"]
    done = [row for page in PAGES for row in rows(page) if row[1] != "later"]
    assert len(done) >= 150
