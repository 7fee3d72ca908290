"""The stubs: generated, shipped, accepted by mypy --strict, refusing what is wrong, equal to the module at run time."""

from __future__ import annotations

import builtins
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ccdl

pytest.importorskip("mypy", reason="the extra package is not installed")
PACKAGE = Path(ccdl.__file__).parent
TYPING = Path(__file__).parent / "typing"
# mypy finds an installed package by itself and refuses site-packages as a path; a source tree has to be named.
SOURCE = [] if PACKAGE.parent.name == "site-packages" else [str(PACKAGE.parent)]
pytestmark = [pytest.mark.slow]


def mypy(*arguments: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    config = tmp / "mypy.ini"
    # the package itself is checked by CI without --strict: its private helpers carry no annotations
    config.write_text("[mypy]\npython_version = 3.10\n" + "".join(f"mypy_path = {path}\n" for path in SOURCE) +
                      "[mypy-ccdl.*]\nignore_errors = True\n[mypy-numpy.*]\nfollow_imports = skip\n")
    return subprocess.run([sys.executable, "-m", "mypy", "--config-file", str(config), "--strict", "--no-error-summary",
                           "--cache-dir", str(tmp / "cache"), *arguments], capture_output=True, text=True, cwd=tmp)


def test_stub_and_marker_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
    text = (PACKAGE / "_C.pyi").read_text()
    assert "class Tensor" in text and "def matmul" in text


def test_a_typed_program_is_accepted(tmp_path: Path) -> None:
    done = mypy(str(TYPING / "good.py"), tmp=tmp_path)
    assert done.returncode == 0, done.stdout


def test_wrong_lines_are_refused_and_no_others(tmp_path: Path) -> None:
    source = (TYPING / "bad.py").read_text().splitlines()
    want = {i for i, line in enumerate(source, 1) if line.endswith("# error")}
    done = mypy(str(TYPING / "bad.py"), tmp=tmp_path)
    got = {int(n) for n in re.findall(r"bad\.py:(\d+): error", done.stdout)}
    assert got == want, done.stdout


def test_every_public_name_is_in_the_stub() -> None:
    text = (PACKAGE / "__init__.pyi").read_text() + (PACKAGE / "_C.pyi").read_text()
    missing = [n for n in dir(ccdl) if not n.startswith("_") and n not in vars(builtins)
               and not re.search(rf"\b{n}\b", text)]
    assert not missing, missing


def test_the_stub_says_what_the_module_has(tmp_path: Path) -> None:
    allow = tmp_path / "allow.txt"
    allow.write_text(r"""ccdl\._C\.__.*
ccdl\._C\..*\.__.*__
ccdl\._C\._.*
""")
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", "ccdl._C", "--ignore-positional-only", "--concise",
                           "--allowlist", str(allow), "--ignore-unused-allowlist"], capture_output=True, text=True,
                          cwd=tmp_path, env={"MYPYPATH": ":".join(SOURCE), "PYTHONPATH": ":".join(SOURCE),
                                             "PATH": "/usr/bin:/bin"})
    # Ops are callable objects, and overloads have one run-time signature: what stubtest can judge is every name.
    wrong = [line for line in done.stdout.splitlines()
             if not re.search("is not a function|is inconsistent|disjoint base", line)]
    assert not wrong and not done.stderr.strip(), "\n".join(wrong) + done.stderr
