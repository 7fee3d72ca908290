"""Devices, streams and events."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import ccdl

pytestmark = pytest.mark.gpu


def test_device_queries():
    assert ccdl.cuda.is_available()
    assert ccdl.cuda.device_count() >= 1
    assert ccdl.cuda.current_device() == 0
    ccdl.cuda.set_device("cuda:0")
    major, minor = ccdl.cuda.get_device_capability()
    assert major >= 8
    assert minor >= 0
    p = ccdl.cuda.get_device_properties(0)
    assert p.multi_processor_count >= 1
    assert p.total_memory == ccdl.cuda.mem_get_info()[1] or p.total_memory > 0
    assert (ccdl.cuda.get_device_name() == "emulated") == ccdl.cuda.is_emulated()
    assert ccdl.cuda.get_arch_list()
    with ccdl.cuda.device(0):
        assert ccdl.cuda.current_device() == 0
    with ccdl.cuda.device(None):
        assert ccdl.cuda.current_device() == 0


def test_devices_that_do_not_exist():
    n = ccdl.cuda.device_count()
    for call in (lambda: ccdl.cuda.set_device(n), lambda: ccdl.ones(1, device=f"cuda:{n}"),
                 lambda: ccdl.cuda.synchronize(f"cuda:{n}"), lambda: ccdl.cuda.Stream(n),
                 lambda: ccdl.cuda.get_device_name(n + 5)):
        with pytest.raises(RuntimeError, match="exist"):
            call()
    with pytest.raises(ValueError, match="CUDA device"):
        ccdl.cuda.synchronize("cpu")
    with pytest.raises(TypeError):
        ccdl.cuda.set_device(1.5)
    assert ccdl.ones(1, device="cuda").item() == 1


def test_current_stream_is_per_thread_and_restored():
    default = ccdl.cuda.default_stream()
    side = ccdl.cuda.Stream()
    assert ccdl.cuda.current_stream() == default
    seen = []
    with ccdl.cuda.stream(side):
        assert ccdl.cuda.current_stream() == side
        thread = threading.Thread(target=lambda: seen.append(ccdl.cuda.current_stream()))
        thread.start()
        thread.join()
        with ccdl.cuda.stream(None):
            assert ccdl.cuda.current_stream() == side
    assert seen == [default]
    assert ccdl.cuda.current_stream() == default
    with pytest.raises(KeyError), ccdl.cuda.stream(side):
        raise KeyError
    assert ccdl.cuda.current_stream() == default
    assert side != default
    assert side == side
    assert len({side, default, ccdl.cuda.default_stream()}) == 2
    assert "cuda:0" in repr(side)


def test_streams_are_ordered_by_events():
    first, second = ccdl.cuda.Stream(), ccdl.cuda.Stream(priority=-1)
    x = ccdl.zeros(3000, device="cuda")
    first.wait_stream(ccdl.cuda.current_stream())
    for i in range(5):
        with ccdl.cuda.stream(first):
            x.add_(1)
            event = first.record_event()
        second.wait_event(event)
        with ccdl.cuda.stream(second):
            x.mul_(2)
        first.wait_stream(second)
    ccdl.cuda.current_stream().wait_stream(first)
    assert x[0].item() == 62.0
    assert x.sum().item() == 62.0 * 3000


MISSING_WAIT = """
import ccdl
side, wrong = ccdl.cuda.Stream(), 0
for i in range(20):
    x = ccdl.zeros(64, device="cuda")
    ccdl.cuda.synchronize()
    with ccdl.cuda.stream(side):
        x.add_(1)
    wrong += (x * 1).tolist() != [1.0] * 64
    ccdl.cuda.synchronize()
print(wrong)
"""


def test_a_missing_wait_shows_on_the_emulator():
    """Seed 1 runs the current stream before the side stream; the default seed keeps the order of the program."""
    if not ccdl.cuda.is_emulated():
        pytest.skip("says nothing about a device")
    run = subprocess.run([sys.executable, "-c", MISSING_WAIT], env=dict(os.environ, CCDL_EMULATOR_SEED="1"),
                         capture_output=True, text=True, timeout=120)
    assert int(run.stdout) > 0, run


def test_queries_and_waits():
    side = ccdl.cuda.Stream()
    event = ccdl.cuda.Event()
    assert event.query()  # never recorded
    event.synchronize()
    with ccdl.cuda.stream(side):
        y = ccdl.ones(100, device="cuda") + 1
        event.record()
    event.synchronize()
    assert event.query()
    side.synchronize()
    assert side.query()
    assert y.tolist() == [2.0] * 100


def test_elapsed_time():
    start, end = ccdl.cuda.Event(enable_timing=True), ccdl.cuda.Event(enable_timing=True)
    with pytest.raises(ValueError, match="recorded"):
        start.elapsed_time(end)
    start.record()
    x = ccdl.ones(1000, device="cuda") + 1
    end.record()
    end.synchronize()
    assert 0 <= start.elapsed_time(end) < 60_000
    plain = ccdl.cuda.Event()
    plain.record()
    with pytest.raises(ValueError, match="enable_timing"):
        start.elapsed_time(plain)
    assert x[0].item() == 2


def test_autograd_runs_on_the_callers_stream():
    side = ccdl.cuda.Stream()
    w = ccdl.ones(50, device="cuda", requires_grad=True)
    side.wait_stream(ccdl.cuda.current_stream())
    with ccdl.cuda.stream(side):
        (w * 3).sum().backward()
        grad = w.grad.tolist()
    assert grad == [3.0] * 50


def test_no_wait_in_a_chain_of_ops():
    x = ccdl.ones(1000, device="cuda", requires_grad=True)
    ccdl.cuda.synchronize()
    waits, launches = ccdl.cuda._sync_count(), ccdl.cuda._launch_count()
    ((x * 2 + 1).relu().sum() / 3).backward()
    assert ccdl.cuda._sync_count() == waits
    assert ccdl.cuda._launch_count() > launches
    assert x.grad[0].item() == pytest.approx(2 / 3)
