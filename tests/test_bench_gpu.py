"""The CPU side of bench/gpu: row tables, statistics, files, rendering, argument and skip logic, and the lane maps."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ccdl

ROOT = Path(__file__).resolve().parent.parent
GPU = ROOT / "bench" / "gpu"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, GPU / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


report, rows = load("report"), load("rows")
run, lane_maps, sanitize, suite_json = load("run"), load("lane_maps"), load("sanitize"), load("suite_json")
ROWS = rows.all_rows()


# ---- rows --------------------------------------------------------------------------------------------------------


def test_every_target_has_rows_and_every_row_a_target() -> None:
    served = {target for row in ROWS for target in (row.targets.get(peer, row.target) for peer in row.peers)}
    assert served == set(report.TARGETS)


def test_counts_of_the_shape_sets() -> None:
    count = lambda target: sum(row.target == target for row in ROWS)
    assert count("gemm_bf16_mid") == 40
    assert count("conv") >= 2 * 22 * 3  # every convolution of ResNet-50, three directions, two batch sizes
    assert {rows.SIZE[row.kind] > 0 for row in ROWS} == {True}
    assert all(row.flops > 0 or row.moved > 0 or row.wall or row.target == "random" for row in ROWS)


def test_rows_say_what_they_move() -> None:
    by_name = {row.name: row for row in ROWS}
    row = by_name["gemm_bf16 4096x4096x4096 NN"]
    assert row.flops == 2 * 4096**3 and row.moved == 3 * 2 * 4096**2
    assert by_name["norm_backward LayerNorm 16384x4096 bf16"].moved == 3 * 2 * 16384 * 4096
    assert sum(by_name["adamw 124M fp32"].moved / 28 for _ in range(1)) == pytest.approx(124.4e6, rel=0.01)
    assert rows.Input("bf16", (2, 3)).bytes() == 12


def test_named_backends() -> None:
    attention = [row for row in ROWS if row.name.startswith("attention forward d128")]
    assert attention and all({"flash", "cuDNN"} == set(row.peers) for row in attention)
    assert attention[0].targets == {"cuDNN": "attention_cudnn"}


# ---- statistics and files ----------------------------------------------------------------------------------------


def test_statistics() -> None:
    assert report.geomean([1.0, 4.0]) == pytest.approx(2.0) and report.geomean([]) is None
    s = report.summary([3e-6, 1e-6, 2e-6, 100e-6])
    assert s["us"] == pytest.approx(2.5) and s["n"] == 4 and s["q1"] <= s["us"] <= s["q3"]
    assert report.limit_us(989e12, 0, "bf16") == pytest.approx(1e6)
    assert report.limit_us(0, 4.3e12, "fp32") == pytest.approx(1e6)
    assert report.rotations(1e9) == 1 and report.rotations(30e6) == 4 and report.rotations(8) == 48 and report.rotations(0) == 1
    found = report.judge({"ccdl": {"us": 10.0}, "cuBLAS": {"us": 8.0}}, 5.0)
    assert found == {"ratio": {"cuBLAS": 0.8}, "of_limit": {"ccdl": 0.5, "cuBLAS": 0.625}}
    assert report.judge({"cuBLAS": {"us": 8.0}}, 0.0) == {"ratio": {}, "of_limit": {}}


def sample_rows() -> list[dict[str, Any]]:
    times = {"ccdl": {"us": 10.0}, "PyTorch": {"us": 20.0}, "compiled": {"us": 5.0}}
    return [
        {"name": "norm_forward a", "target": "norm_forward", "targets": {"compiled": "norm_forward_best"}, "times": times,
         **report.judge(times, 4.0), "absent": {}},
        {"name": "rnn", "target": "rnn_fp16", "targets": {}, "times": {"cuDNN": {"us": 7.0}},
         **report.judge({"cuDNN": {"us": 7.0}}, 1.0), "absent": {"ccdl": "AttributeError: LSTM"}},
        {"name": "broken", "target": "conv", "error": "the output differs"},
    ]


def test_table() -> None:
    text = report.render({"environment": {"device": "X"}, "rows": sample_rows()})
    assert "- device: X" in text
    assert "| LayerNorm, RMSNorm forward / PyTorch | 1 | 2.00 | 1.1 | 1.5 |" in text
    assert "| LayerNorm, RMSNorm forward / compiled | 1 | 0.50 | 0.95 | 1.05 |" in text
    assert "| LSTM, GRU fp16 / cuDNN | 1 | - |" in text
    assert "| norm_forward a | 10.0 | 40% | PyTorch 20.0 (20%, 2.00), compiled 5.0 (80%, 0.50) |  |" in text
    assert "| rnn | - | - | cuDNN 7.0 (14%, -) | ccdl: AttributeError: LSTM |" in text
    assert "| broken | - | - |  | the output differs |" in text


def test_results_are_saved_after_each_row_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.json"
    results = report.Results(path, {"device": "X"})
    for i, row in enumerate(sample_rows()):
        results.add(row)
        assert len(json.loads(path.read_text())["rows"]) == i + 1
    again = report.Results(path, {"device": "X"})
    assert again.done() == {"norm_forward a", "rnn"}  # what failed is tried again
    again.add({"name": "rnn", "target": "rnn_fp16"})
    assert [r["name"] for r in again.data["rows"]] == ["norm_forward a", "rnn"]
    assert not list(path.parent.glob("*.part"))


# ---- the runner --------------------------------------------------------------------------------------------------


def test_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    options = run.arguments(["--json", "x.json", "--only", "conv,gemv", "--name", "dgrad"], True)
    assert options.only == ["conv", "gemv"] and options.name == ["dgrad"] and options.seconds == 450
    with pytest.raises(SystemExit):
        run.arguments(["--json", "x.json", "--only", "convolution"], True)
    assert "unknown targets" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run.arguments([], True)
    assert run.main(["--json", "x.json", "--list", "--only", "gemv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_choice() -> None:
    pick = lambda only, names, done=frozenset(): [r.name for r in run.chosen(ROWS, only, names, set(done))]
    assert len(pick([], [])) == len(ROWS)
    assert all("dgrad" in n and n.startswith("conv ") for n in pick(["conv"], ["dgrad"]))
    assert pick(["norm_forward_best"], []) == pick(["norm_forward"], [])  # one row serves both
    first = pick(["gemv"], [])[0]
    assert first not in pick(["gemv"], [], {first})


def test_no_device_is_a_clear_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device"):
        run.load(True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if not ccdl.cuda.is_available() or ccdl.cuda.is_emulated():
        with pytest.raises(SystemExit, match="real CUDA device"):
            run.load(True)


def small_row(**changes: Any) -> Any:
    matrix = rows.Input("fp32", (8, 8), grad=True)
    fields: dict[str, Any] = dict(
        target="norm_forward", name="small", inputs={"x": matrix, "i": rows.Input("int64", (4,), 8)}, kind="fp32", tol=1e-5,
        moved=100.0, **rows.both(lambda T, x: lambda: T.nn.functional.softmax(x.x, 1).index_select(0, x.i), "PyTorch"))
    return rows.Row(**{**fields, **changes})


def test_measure_on_the_cpu() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    libraries = {"torch": torch, "ccdl": ccdl}
    result = run.measure(small_row(), libraries, "cpu", batches=2)
    assert result["times"].keys() == {"ccdl", "PyTorch"} and result["times"]["ccdl"]["n"] == 2
    assert result["difference"]["PyTorch"] <= 1e-5 and result["ratio"]["PyTorch"] > 0
    alone = run.measure(small_row(), {"torch": torch}, "cpu", batches=2)
    assert alone["times"].keys() == {"PyTorch"} and alone["ratio"] == {}


def test_a_wrong_output_is_not_timed() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    wrong = small_row(ours=lambda T, x: lambda: T.nn.functional.softmax(x.x, 1).index_select(0, x.i) + 1)
    result = run.measure(wrong, {"torch": torch, "ccdl": ccdl}, "cpu", batches=2)
    assert "differs" in result["error"] and "times" not in result


def test_an_op_that_is_missing_leaves_the_peers() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    missing = small_row(ours=lambda T, x: lambda: T.no_such_op(x.x))
    result = run.measure(missing, {"torch": torch, "ccdl": ccdl}, "cpu", batches=2)
    assert "no_such_op" in result["absent"]["ccdl"] and result["times"].keys() == {"PyTorch"}


def test_gradient_rows() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    forward = lambda T, x: rows.layer_norm(T, x.x, x.w, x.b)
    weight = rows.Input("fp32", (8,), grad=True)
    row = small_row(inputs={"x": rows.Input("fp32", (4, 8), grad=True), "w": weight, "b": weight, "dy": rows.Input("fp32", (4, 8))},
                    **rows.both(rows.backward(forward, "x,w,b"), "PyTorch"))
    result = run.measure(row, {"torch": torch, "ccdl": ccdl}, "cpu", batches=2)
    assert result["difference"]["PyTorch"] <= 1e-5 and "times" in result


@pytest.mark.parametrize("training", [False, True])
def test_rnn_rows_give_what_pytorch_gives(training: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for cell in ("LSTM", "GRU"):
        row = rows.rnn("rnn_other", cell, "fp32", 8, 3, 5, "PyTorch", training=training)
        result = run.measure(row, {"torch": torch, "ccdl": ccdl}, "cpu", batches=2)
        assert result["difference"]["PyTorch"] <= 1e-5, result


def test_difference() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    a = torch.tensor([1.0, 4.0])
    assert run.difference(torch, a, a) == 0.0
    assert run.difference(torch, a, torch.tensor([1.0, 5.0])) == pytest.approx(0.2)
    assert run.difference(torch, (a, a), a) == float("inf") and run.difference(torch, a, a[:1]) == float("inf")


def test_device_timer_uses_events_and_rotates() -> None:
    log: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            log.append("event")

        def elapsed_time(self, other: Event) -> float:
            return 2.0

    cuda = SimpleNamespace(Event=Event, synchronize=lambda: log.append("wait"))
    fake = SimpleNamespace(cuda=cuda, zeros=lambda n, device: SimpleNamespace(sum=lambda: log.append("filler")))
    timer = run.timer(fake, small_row(), "cuda")
    times = timer.batch([lambda: log.append("a"), lambda: log.append("b")], 1)
    assert times == [2e-3] * run.PER_BATCH
    calls = [entry for entry in log if entry in "ab"]
    assert calls == ["b", "a"] * (run.PER_BATCH // 2) and log[0] == "wait" and log[-1] == "wait"
    assert log.index("filler") < log.index("event") and run.BATCHES * run.PER_BATCH >= 50


# ---- lane maps ---------------------------------------------------------------------------------------------------


def test_lane_maps_file_is_what_the_ptx_manual_says() -> None:
    want = (GPU / "lane_maps.txt").read_text().splitlines()
    assert want == lane_maps.expected()
    assert lane_maps.compare(want, want)["different"] == {}


def test_lane_maps_find_a_wrong_lane() -> None:
    want = lane_maps.expected()
    swapped = list(want)
    swapped[5], swapped[6] = swapped[5].split(":")[0] + ":" + swapped[6].split(":")[1], swapped[6]
    found = lane_maps.compare(swapped, want)["different"]
    assert list(found) == ["ldmatrix x1"] and "lane 5" in found["ldmatrix x1"]
    assert "missing" in lane_maps.compare(want[1:], want)["different"]["ldmatrix x1"]


# ---- the command -------------------------------------------------------------------------------------------------


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(GPU / "run_all.sh"), *words], capture_output=True, text=True,
                          env=dict(os.environ, **variables))


def test_run_all_explains_and_refuses() -> None:
    done = command("--help")
    assert done.returncode == 0 and "--lib FILE" in done.stdout and "racecheck" in done.stdout
    for words, message in ((["nonsense"], "unknown part"), (["--frobnicate"], "unknown option"), (["--lib"], "needs a value"),
                           (["--lib", "/nowhere/libccdl.so"], "is not a file")):
        done = command(*words)
        assert done.returncode == 2 and message in done.stderr, done.stderr


def test_a_part_that_fails_is_named(tmp_path: Path) -> None:
    done = command("--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--python", "false", "peers", "bench")
    assert done.returncode == 1 and "failed: peers bench" in done.stdout, done.stdout + done.stderr


def test_sanitizer_cases_in_parts() -> None:
    items = list(range(10))
    assert sorted(sanitize.part_of(items, "0/3") + sanitize.part_of(items, "1/3") + sanitize.part_of(items, "2/3")) == items
    with pytest.raises(SystemExit):
        sanitize.part_of(items, "3/3")
    assert sanitize.dtypes_of(SimpleNamespace(dtypes=("float64", "float32", "bfloat16"))) == ["float32", "bfloat16"]
    assert sanitize.dtypes_of(SimpleNamespace(dtypes=("int64", "bool"))) == ["int64"]


def test_sanitizer_runs_a_case_here() -> None:
    harness = sys.modules["harness"]
    case = next(c for m in harness.families() for c in m.CASES if c.name == "softmax")
    assert sanitize.run_case(harness, ccdl, case) == 2


@pytest.mark.parametrize(("text", "finished", "counts"), [
    ("FAILED tests/a.py::x - no\nexecuted (op x check) cells on cuda: 77 (with PyTorch 80), floor 3\n"
     "1 failed, 20 passed, 3 skipped in 12.34s\n", True, {"failed": 1, "passed": 20, "skipped": 3}),
    ("killed", False, {}),
])
def test_suite_digest(tmp_path: Path, text: str, finished: bool, counts: dict[str, int]) -> None:
    found = suite_json.digest(text)
    assert found["finished"] == finished and found["counts"] == counts
    (tmp_path / "log").write_text(text)
    assert suite_json.main([str(tmp_path / "log"), str(tmp_path / "json")]) == 1
    assert json.loads((tmp_path / "json").read_text()) == found
