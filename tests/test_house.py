"""The rules of the house that a script can check: includes between layers, file sizes, words that must not appear."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"

# Files over the ceiling, each with its reason.
SIZE_EXCEPTIONS = {
    "csrc/ccdl/cpu/simd/vmath.h": "one function per section over one vector type; a split would only scatter them",
}


def sources(*suffixes: str) -> list[Path]:
    found = []
    for folder in ("csrc", "cuda", "python", "tests", "bench"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file() and not path.is_symlink():
                found.append(path)
    return found


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.M)


def layer(path: Path) -> str:
    parts = path.relative_to(CSRC).parts
    if parts[0] == "python":
        return "python"
    return parts[1] if len(parts) > 2 else "umbrella"


# Which ccdl/ folders each layer may include.
ALLOWED = {
    "core": {"core"},
    "kernels": {"core", "kernels"},
    "cpu": {"core", "kernels", "cpu"},
    "autograd": {"core", "kernels", "autograd", "ops"},
    "ops": {"core", "kernels", "autograd", "ops", "io"},
    "optim": {"core", "kernels", "autograd", "ops", "optim"},
    "io": {"core", "io"},
}
ABOVE_TENSOR = ("ccdl/core/tensor.h", "ccdl/core/storage.h", "ccdl/core/dispatch.h")


def test_includes_between_layers() -> None:
    wrong = []
    for path in [p for p in sources(".h", ".cpp") if CSRC in p.parents]:
        where = layer(path)
        for name in includes(path):
            relative = path.relative_to(ROOT)
            if name.startswith("ccdl/") and where in ALLOWED and name.count("/") >= 2:
                if name.split("/")[1] not in ALLOWED[where]:
                    wrong.append(f"{relative}: {where} includes {name}")
            if where in ("kernels", "cpu") and name in ABOVE_TENSOR:
                wrong.append(f"{relative}: a kernel includes {name}")
            if where in ("ops", "autograd") and name.startswith("ccdl/cpu/"):
                wrong.append(f"{relative}: includes the private header {name}")
            if name.startswith("pybind11/") and where != "python":
                wrong.append(f"{relative}: pybind11 outside csrc/python")
            if re.match(r"cuda|cublas|cudnn|nccl|thrust/|cub/", name):
                wrong.append(f"{relative}: CUDA header {name} outside cuda/")
    assert not wrong, "\n".join(wrong)


def test_simd_sources_include_plain_data_only() -> None:
    allowed = re.compile(r"ccdl/core/(dtype|view|rng)\.h|ccdl/kernels/\w+\.h|ccdl/cpu/(isa|simd/\w+)\.h|c(stdint|stddef|string|math|float|limits)"
                         r"|\w+intrin\.h|arm_neon\.h|\w+\.h")
    wrong = [f"{p.relative_to(ROOT)}: {name}" for p in (CSRC / "ccdl/cpu/simd").glob("*") for name in includes(p)
             if not allowed.fullmatch(name)]
    assert not wrong, "\n".join(wrong)


def code_lines(path: Path) -> int:
    text = path.read_text()
    if path.suffix == ".py":
        lines = set()
        previous = tokenize.NEWLINE
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            doc = token.type == tokenize.STRING and previous in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
                                                                 tokenize.NL, tokenize.COMMENT)
            if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
                                  tokenize.ENDMARKER) and not doc:
                lines.update(range(token.start[0], token.end[0] + 1))
            previous = token.type
        return len(lines)
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("//"))


def test_file_sizes() -> None:
    wrong = []
    for path in sources(".h", ".cpp", ".cu", ".cuh", ".py"):
        ceiling = 300 if path.suffix in (".h", ".cuh") else 600
        name = str(path.relative_to(ROOT))
        if name.startswith("tests/ops/") or name in SIZE_EXCEPTIONS:  # OpCase tables are not counted
            continue
        n = code_lines(path)
        if n > ceiling:
            wrong.append(f"{name}: {n} code lines, the ceiling is {ceiling}")
    assert not wrong, "\n".join(wrong)


FORBIDDEN = {  # pattern: (folders, why)
    r"\bpickle\.loads?\b|\bUnpickler\b": (("python",), "files are never unpickled"),
    r"(?<![\w.])eval\s*\((?!\s*self)(?!\s*\))": (("python",), "no eval on anything"),
    r"(?<![\w.])exec\s*\(": (("python",), "no exec on anything"),
    r"\bos\.system\b|shell=True": (("python",), "no shell"),
    r"\babort\s*\(|\bstd::terminate\b|[^_]\bexit\s*\(": (("csrc",), "errors are thrown"),
    r"-march=native|-ffast-math|-Ofast|-fopenmp|#pragma omp": (("csrc", "cuda", "python"), "portable, exact, no OpenMP"),
    r"\bconst CUtensorMap \w": (("cuda",), "a tensor map parameter of a kernel is __grid_constant__"),
    r"\bTODO\b|\bFIXME\b|\bXXX\b": (("csrc", "cuda", "python", "bench"), "finish it or list it as open"),
}


def test_forbidden_words() -> None:
    wrong = []
    for path in sources(".h", ".cpp", ".cu", ".cuh", ".py"):
        folder = path.relative_to(ROOT).parts[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for pattern, (folders, why) in FORBIDDEN.items():
                if folder in folders and re.search(pattern, line) and not re.match(r"\s*(//|#|def )", line):
                    wrong.append(f"{path.relative_to(ROOT)}:{number}: {why}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_only_the_exchange_code_imports_numpy() -> None:
    """The rest of the package works without NumPy: no import at module level outside the files that exchange data."""
    wrong = []
    for path in sorted((ROOT / "python/ccdl").rglob("*.py")):
        if path.relative_to(ROOT / "python/ccdl").parts[0] in ("train", "vision", "text", "interpret"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"(import|from)\s+(numpy|scipy|sklearn|matplotlib|tqdm|torch)\b", line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line}")
    assert not wrong, "\n".join(wrong)


def test_contract_has_a_cpu_kernel() -> None:
    contracts = {p.name for p in (CSRC / "ccdl/kernels").glob("*.h") if "_CONTRACT" in p.read_text()}
    served = {name.rpartition("/")[2] for p in (CSRC / "ccdl/cpu").glob("*.*") for name in includes(p)
              if name.startswith("ccdl/kernels/")}
    assert contracts <= served, f"contracts that no csrc/ccdl/cpu/*.cpp includes: {sorted(contracts - served)}"


def test_no_generated_or_binary_files_are_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("partial run")
    bad = [f for f in listed.stdout.splitlines() if re.search(r"\.(so|o|a|pyc|safetensors|whl|egg-info)$", f)]
    assert not bad, bad
