"""The benchmarks of the CPU themselves: rows, judgements, tables, the instruction guard's parser, the models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ccdl

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "bench"))

import check_instructions
import judging
import levels
import measuring
import probe_models
import targets
import training

MADE_UP = targets.Target("made up", "gemm/x", (1.0, 2.0, 4.0), (1.5, 3.0, 6.0))


def test_every_target_has_a_row() -> None:
    for family, name in targets.rows():
        rows = [row for row in measuring.family(family).ROWS if row.name == name]
        assert len(rows) == 1, f"{family}/{name}: {len(rows)} rows"
        assert (rows[0].make is None) == (rows[0].probe is not None)
    assert len({t.title for t in targets.TARGETS}) == len(targets.TARGETS)


def test_own_rows_have_another_call_to_be_held_against() -> None:
    own = [t for t in targets.TARGETS if t.kind == "own"]
    assert len(own) == 15 and all(measuring.find(t.family, t.row).own for t in own)


@pytest.mark.parametrize("value, threads, column", [(0.9, 1, "below"), (0.95, 1, "v1"), (1.9, 1, "ahead"), (9, 1, "limit"),
                                                    (1.5, 2, "v1"), (2.84, 2, "v1"), (2.86, 2, "ahead")])  # fmt: skip
def test_column_reached(value: float, threads: int, column: str) -> None:
    assert judging.reached(MADE_UP, value, threads) == column


def test_upper_bounds() -> None:
    call = targets.Target("call", "overhead/x", (400e-9, 200e-9, 90e-9), kind="seconds")
    assert [judging.reached(call, s, 1) for s in (500e-9, 419e-9, 209e-9, 50e-9)] == ["below", "v1", "ahead", "limit"]


def data(entry: dict[str, Any]) -> dict[str, Any]:
    environment = {"cpu": "C", "cores": 2, "isa": "v4", "date": "D", "ccdl": "1", "peers": {"torch": "2"}, "python": "3", "system": "S", "load": 0}
    return {"set": "targets", "command": "c", "seconds": 1, "environment": environment,
            "peak": {"1": {"gflops": 100.0, "gbytes": 50.0}}, "rows": [entry]}  # fmt: skip


def entry(row: str, default: list[tuple[float, float]], keep: list[tuple[float, float]]) -> dict[str, Any]:
    runs = lambda pairs: [{"ccdl": a, "torch": b} for a, b in pairs]
    return {"family": row.partition("/")[0], "name": row.partition("/")[2], "flops": 2e6, "bytes": 0,
            "samples": {"1": {"default": runs(default), "keep": runs(keep)}}}  # fmt: skip


def test_the_better_state_of_malloc_counts() -> None:
    made = entry("elementwise/a+b 16777216", [(1e-3, 8e-3)] * 3, [(1e-3, 1.2e-3), (1e-3, 1.0e-3), (1e-3, 1.1e-3)])
    s = judging.summary(made, "1", data(made)["peak"])
    assert s["state"] == "keep" and s["ratio"] == pytest.approx((1.1, 0.1 / 1.1)) and s["ratio_default"][0] == pytest.approx(8)
    assert s["share"] == pytest.approx(0.02)
    found = {r["target"].kind: r["column"] for r in judging.judged(data(made))}
    assert found == {"ratio": "v1", "default": "limit"}
    text = judging.markdown(data(made))
    assert "| a+b 16M | 1 | 1 ms | 1.1 ms (8 ms) | 1.10 ±9% | 8.00 | 2% | 0.95 / 1.2 / 1.25 | v1 |" in text


def test_models_table() -> None:
    made = entry("training/MLP step", [(1e-3, 2e-3)], [(1e-3, 2.5e-3)])
    figures = {"peak_MB": 50.0, "import_MB": 30.0, "loss": 0.5, "steps": 10}
    process = {"family": "training", "name": "MLP process", "flops": 0, "bytes": 0, "samples": {},
               "figures": {"ccdl": figures, "torch": {**figures, "peak_MB": 300.0}}}  # fmt: skip
    both = data(made)
    both["rows"].append(process)
    line = judging.models(both)[-1]
    assert line.startswith("| MLP 784-512-10 B64 SGD-m | 1 ms / 2 ms (2.00) ") and "| 50 / 300 |" in line


def test_races_table_begins_with_the_closest() -> None:
    made = {"set": "races", "peak": {"1": {}, "2": {}}, "rows": []}
    for name, ours, theirs in (("far", 1e-3, 4e-3), ("near", 2e-3, 1e-3)):
        runs = {"default": [{"ccdl": ours, "torch": 2 * theirs}], "keep": [{"ccdl": ours, "torch": theirs}]}
        made["rows"].append({"family": "races_tables", "name": name, "flops": 0, "bytes": 0, "samples": {"1": runs, "2": runs}})
    made["rows"].append({"family": "races_images", "name": "wrong", "error": "the output differs", "samples": {}})
    text = judging.races(made)
    assert "2 models, 4 figures: 2 slower than PyTorch, 2 at least twice as fast" in text[0]
    assert text[4].startswith("| wrong |") and text[4].endswith("| the output differs |")
    assert text[5].startswith("| near | tables, graphs, play | 2 ms / 1 ms (0.50) |") and text[6].startswith("| far |")


RACES = [(f, row.name) for f in measuring.families() if f.startswith("races_") for row in measuring.family(f).ROWS]


@pytest.mark.parametrize("family, name", [r for r in RACES if r[0] in ("races_tables", "races_func")])
def test_small_races_run_as_often_as_one_likes(family: str, name: str) -> None:
    row = measuring.find(family, name)
    assert row.check is not None and row.make is not None
    first, second = (float(measuring.values(row.check(ccdl)()).sum()) for _ in range(2))
    assert first == second and abs(first) < float("inf")
    measuring.values(row.make(ccdl)())


def test_races_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for name in ("LSTMCell loop B16 L40", "feature pyramid 64x64 B4", "GAT scatter 512", "PPO B64", "hessian 16-32-1 mapped B64"):
        row = next(measuring.find(f, n) for f, n in RACES if n == name)
        assert row.check is not None and measuring.agrees(row, row.check(ccdl), row.check(torch)), name
    assert len(RACES) == len({name for _, name in RACES}) >= 60


@pytest.mark.parametrize("kind", sorted(probe_models.KINDS))
def test_models_drawn_at_random_take_steps(kind: str) -> None:
    texts = set()
    for seed in range(4):
        step, text = probe_models.build(ccdl, seed, [kind])
        assert bool(ccdl.isfinite(step()).all()), text
        texts.add(text)
    assert len(texts) == 4


def test_publishing_replaces_the_block_between_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- models: x -->\nold\n<!-- end -->\nb\n")
    judging.publish(page, "models", ["new"], "y")
    assert page.read_text() == "a\n<!-- models: y -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(ValueError, match="no block"):
        judging.publish(page, "absent", [], "y")


def test_a_row_is_compared_then_timed() -> None:
    row = measuring.Row("sum", lambda T: (lambda: T.ones(3).sum()), numpy=lambda: (lambda: 4.0))
    import numpy

    libraries = {"ccdl": ccdl, "numpy": numpy}
    assert "numpy" in measuring.run(row, libraries, 1, 1, True)["error"]
    row.numpy = lambda: (lambda: 3.0)
    timed = measuring.run(row, libraries, 1, 2, True)["seconds"]
    assert set(timed) == {"ccdl", "numpy"} and 0 < timed["numpy"] < 1


@pytest.mark.parametrize("name", ["MLP", "LeNet-5"])
def test_models_learn_and_start_alike(name: str) -> None:
    first, second = training.build(ccdl, name), training.build(ccdl, name)
    losses = [first[0]().item() for _ in range(4)]
    assert losses[-1] < losses[0] and second[0]().item() == losses[0]
    assert first[1]().shape == (64, 10)


@pytest.mark.slow
def test_the_command_measures_a_row(tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    done = subprocess.run([sys.executable, str(ROOT / "bench/compare.py"), "--only", "overhead/a[1]", "--rounds", "1", "--peers", "numpy",
                           "--json", str(out)], capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:] + done.stdout[-1000:]
    (row,) = json.loads(out.read_text())["rows"]
    assert row["samples"]["1"]["default"][0]["ccdl"] > 0 and "overhead/a[1]" in out.with_suffix(".md").read_text()


PART = """ob=(1) /usr/lib/libccdl.so.0.1.0
fn=(1) add
10 5
+1 7
cob=(2) /usr/lib/libc.so.6
cfn=(2) memcpy
calls=1 0
* 100
*
-3 2

ob=(2)
fn=(2)
1 100
ob=(1)
fn=(3) sub
7 3
"""


def test_instructions_are_counted_inside_our_objects_only() -> None:
    assert check_instructions.self_cost(PART, ("libccdl",)) == 17
    assert check_instructions.self_cost(PART, ("libc.",)) == 100


def test_instruction_verdicts() -> None:
    assert check_instructions.verdicts({"a": 100}, {"a": 105}, 1.05) == []
    (wrong,) = check_instructions.verdicts({"a": 100}, {"a": 106}, 1.05)
    assert "6.0% above" in wrong
    assert len(check_instructions.verdicts({"a": 100}, {"b": 1}, 1.05)) == 2
    assert check_instructions.major("GCC: (Debian 12.2.0-14+deb12u1) 12.2.0") == "GCC: 12"
    assert json.loads(check_instructions.BUDGET.read_text()).keys() == {"compiler", "isa", "instructions"}


def test_levels_are_held_against_the_scalar_loop() -> None:
    vectorised, scalar = levels.VARIANTS
    made = {"cpu": "C", "date": "D", "command": "c", "runs": 1, "load": 0,
            "loops": {vectorised: {"gflops": 8.0, "gexp": 0.4}, scalar: {"gflops": 4.0, "gexp": 0.5}},
            "levels": {"v2": {"gflops": 13.0, "gexp": 1.0}}}  # fmt: skip
    text = levels.markdown(made)
    assert "| level v2 | 13.00 | 3.2 | 1.6 | 3 | reached |" in text and "| level v2 | 1.00 | 2.0 | 2.5 | 3 | missed |" in text
