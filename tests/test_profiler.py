"""Times of ops, backward nodes and ranges: who is counted, what encloses what, the table."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

import ccdl
from ccdl.autograd import profiler as old_profiler
from ccdl.profiler import profile, record_function, schedule


def test_ops_nodes_and_ranges_are_counted() -> None:
    x = ccdl.ones(2, 3, requires_grad=True)
    with profile() as p:
        with record_function("forward"):
            y = (x * 2).exp()
            z = y.neg()
            z += 1
            loss = z.sum()
        loss.backward()
    counts = {row.key: row.count for row in p.key_averages()}
    for key in ("aten::mul", "aten::exp", "aten::add_", "aten::sum", "aten::backward"):
        assert counts[key] == 1, counts
    for key in ("ExpBackward", "MulBackward", "SumBackward", "AccumulateGrad", "forward"):
        assert counts[key] == 1, counts
    assert not any(key.startswith(("_", "aten::_")) for key in counts)


def test_nothing_is_timed_outside() -> None:
    with profile() as first:
        ccdl.ones(2).exp()
    ccdl.ones(2).log()
    with profile() as second:
        ccdl.ones(2).sqrt()
    assert [e.name for e in first.events()] == ["aten::ones", "aten::exp"]
    assert [e.name for e in second.events()] == ["aten::ones", "aten::sqrt"]


def test_events_nest_and_self_time_leaves_the_enclosed_out() -> None:
    with profile() as p:
        with record_function("outer"):
            with record_function("inner"):
                ccdl.ones(4).exp()
            ccdl.ones(4)
    events = p.events()
    names = [e.name for e in events]
    assert names == ["outer", "inner", "aten::ones", "aten::exp", "aten::ones"]
    outer, inner = events[0], events[1]
    assert outer.cpu_parent is None and inner.cpu_parent is outer and events[2].cpu_parent is inner
    assert [c.name for c in outer.cpu_children] == ["inner", "aten::ones"]
    assert outer.self_cpu_time_total == pytest.approx(
        outer.cpu_time_total - inner.cpu_time_total - events[4].cpu_time_total)
    assert events.self_cpu_time_total == pytest.approx(outer.cpu_time_total)
    assert events.total_average().count == 5


def test_a_thread_of_its_own_does_not_nest() -> None:
    def work() -> None:
        ccdl.ones(2).exp()

    with profile() as p:
        with record_function("main"):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    main, *others = p.events()
    assert main.name == "main" and len(others) == 2
    assert all(e.cpu_parent is None and e.thread != main.thread for e in others)


def test_table() -> None:
    with profile() as p:
        for _ in range(3):
            ccdl.ones(2).exp()
        ccdl.ones(2)
    averages = p.key_averages()
    lines = averages.table(sort_by="count", row_limit=1, time_unit="us").splitlines()
    assert lines[1].split() == "Name Self CPU % Self CPU CPU total % CPU total CPU time avg # of Calls".split()
    assert lines[3].split()[0] == "aten::ones" and lines[3].split()[-1] == "4"
    assert "aten::exp" not in "".join(lines) and lines[-1].startswith("Self CPU time total: ")
    assert averages.table(header="HEAD").splitlines()[1] == "HEAD"
    assert ccdl.profiler.profile().key_averages().table() == ""
    with pytest.raises(AttributeError):
        averages.table(sort_by="nothing")
    with pytest.raises(ValueError, match="time_unit"):
        averages.table(time_unit="h")


def test_older_form_has_function_events() -> None:
    with old_profiler.profile() as p:
        ccdl.ones(2).exp()
    assert [e.name for e in p.function_events] == ["aten::ones", "aten::exp"]
    assert p.self_cpu_time_total > 0 and p.total_average().count == 2
    assert "aten::exp" in p.table() and "aten::exp" in p.key_averages().table()
    with old_profiler.profile(enabled=False) as off:
        ccdl.ones(2)
    assert len(off.function_events) == 0


def test_schedule_and_trace(tmp_path: Path) -> None:
    traces = []
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=1),
                 on_trace_ready=lambda q: traces.append([e.name for e in q.events()])) as p:
        for step in range(4):
            with record_function(f"step {step}"):
                pass
            p.step()
    assert traces == [["step 2", "step 3"]]
    with profile() as q:
        ccdl.ones(2)
    q.add_metadata("note", "text")
    q.add_metadata_json("numbers", "[1, 2]")
    q.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["note"] == "text" and trace["numbers"] == [1, 2]
    assert [e["name"] for e in trace["traceEvents"]] == ["aten::ones"]
