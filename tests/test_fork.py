"""Processes started by every method after the pool was used: the child computes, the parent goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest

import ccdl


def compute(seed: int) -> float:
    ccdl.set_num_threads(2)
    a = ccdl.randn(400, 400, generator=ccdl.Generator().manual_seed(seed))
    x = ccdl.ones(300_000, requires_grad=True)
    (x * 2).sum().backward()
    return (a @ a).sum().item() + x.grad.sum().item()


def test_children_of_every_start_method() -> None:
    # In a script of its own: this process has threads of the test runner, and the methods differ in what they inherit.
    code = """
import multiprocessing, ccdl
def compute(seed):
    ccdl.set_num_threads(2)
    a = ccdl.randn(400, 400, generator=ccdl.Generator().manual_seed(seed))
    return (a @ a).sum().item()
if __name__ == "__main__":
    want = [compute(i) for i in range(4)]
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(compute, range(4)) == want, method
        assert [compute(i) for i in range(4)] == want
    print("ok")
"""
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"ccdl_start_methods_{os.getpid()}.py")
    with open(path, "w") as f:
        f.write(code)
    try:
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120)
    finally:
        os.unlink(path)
    assert done.stdout.strip() == "ok", done.stderr


def test_fork_again_and_again() -> None:
    want = compute(1)
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if compute(1) == want else 1)
        assert os.waitpid(pid, 0)[1] == 0
    assert compute(1) == want


def test_grandchildren() -> None:
    want = compute(2)
    pid = os.fork()
    if pid == 0:
        good = compute(2) == want
        inner = os.fork()
        if inner == 0:
            os._exit(0 if compute(2) == want else 1)
        os._exit(0 if good and os.waitpid(inner, 0)[1] == 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_fork_while_threads_allocate_draw_and_compute() -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            ccdl.rand(100_000).sum()
            ccdl.empty(1 << 21)

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)  # a lock left behind would hang the child
                ccdl.manual_seed(0)
                ok = ccdl.rand(300_000).sum().item() > 0 and ccdl.empty(1 << 21).numel() == 1 << 21
                os._exit(0 if ok else 1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        for t in threads:
            t.join()


def test_random_state_of_a_child_is_its_own() -> None:
    ccdl.manual_seed(7)
    ccdl.rand(3)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, ccdl.rand(4).numpy().tobytes())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 16) == ccdl.rand(4).numpy().tobytes()
    os.close(read)
    os.close(write)


def test_a_daemon_process_may_be_killed() -> None:
    child = multiprocessing.get_context("fork").Process(target=compute, args=(3,), daemon=True)
    child.start()
    child.kill()
    child.join(10)
    assert child.exitcode is not None
    assert compute(3) == pytest.approx(compute(3), abs=0)
