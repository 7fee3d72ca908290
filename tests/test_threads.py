"""Several Python threads at once, and thread counts that change under way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F


def train(seed: int) -> str:
    """A small training whose randomness is all its own; the hash of what it learnt."""
    ccdl._C._set_thread_generator(ccdl.Generator().manual_seed(seed))
    try:
        model = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 5))
        step = ccdl.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for _ in range(10):
            x, y = ccdl.randn(128, 40), ccdl.randint(0, 5, (128,))
            step.zero_grad()
            F.cross_entropy(model(x), y).backward()
            step.step()
        digest = hashlib.sha256()
        for p in model.parameters():
            digest.update(p.detach().numpy().tobytes())
        return digest.hexdigest()
    finally:
        ccdl._C._set_thread_generator(None)


def in_threads(n: int, work: object) -> list[object]:
    results: list[object] = [None] * n
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            results[i] = work(i)  # type: ignore[operator]
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors
    return results


def test_trainings_in_threads_give_what_they_give_alone() -> None:
    alone = [train(i) for i in range(4)]
    assert in_threads(8, lambda i: train(i % 4)) == alone + alone
    assert len(set(alone)) == 4


def test_thread_count_changes_while_others_compute() -> None:
    before = ccdl.get_num_threads()
    a = ccdl.randn(200, 200, generator=ccdl.Generator().manual_seed(0))
    want = (a @ a).sum().item()
    stop = threading.Event()

    def work(i: int) -> bool:
        if i == 0:
            for k in range(60):
                ccdl.set_num_threads(1 + k % 4)
            stop.set()
            return True
        good = True
        while not stop.is_set():
            good = good and (a @ a).sum().item() == want
        return good

    try:
        assert in_threads(4, work) == [True] * 4
    finally:
        ccdl.set_num_threads(before)


def test_tensors_die_in_other_threads_than_they_were_born() -> None:
    ccdl.cpu.empty_cache()
    before = ccdl.cpu.memory_allocated()
    made: list[ccdl.Tensor] = []
    lock = threading.Lock()

    def work(i: int) -> None:
        for k in range(300):
            x = ccdl.full((1 + (k * 37) % 5000,), float(k))
            with lock:
                made.append(x)
                old = made.pop(0) if len(made) > 20 else None
            assert old is None or old[0] == old[-1]

    in_threads(4, work)
    made.clear()
    assert abs(ccdl.cpu.memory_allocated() - before) < 1 << 16


def test_an_error_in_one_thread_leaves_the_others_alone() -> None:
    def work(i: int) -> int:
        failed = 0
        for _ in range(50):
            try:
                if i % 2:
                    ccdl.randn(300, 300) @ ccdl.randn(200, 300)
                else:
                    assert ccdl.ones(300_000).sum().item() == 300_000
            except RuntimeError:
                failed += 1
        return failed

    assert in_threads(4, work) == [0, 50, 0, 50]


def test_a_thread_that_runs_alone() -> None:
    def work(i: int) -> float:
        assert ccdl._C._set_thread_serial(True) is False
        return ccdl.ones(1 << 20).sum().item()

    assert in_threads(2, work) == [float(1 << 20)] * 2


def test_environment_variables_decide_the_count() -> None:
    def count(**environment: str) -> str:
        clean = {k: v for k, v in os.environ.items() if k not in ("CCDL_NUM_THREADS", "OMP_NUM_THREADS")}
        done = subprocess.run([sys.executable, "-c", "import ccdl; print(ccdl.get_num_threads())"], capture_output=True,
                              text=True, env={**clean, **environment})
        return done.stdout.strip() or done.stderr

    assert count(CCDL_NUM_THREADS="3") == "3"
    assert count(OMP_NUM_THREADS="5,2") == "5"
    assert count(CCDL_NUM_THREADS="2", OMP_NUM_THREADS="7") == "2"
    assert int(count()) == ccdl._C._usable_cpus()
    assert "CCDL_NUM_THREADS" in count(CCDL_NUM_THREADS="many")


def test_import_starts_no_thread() -> None:
    code = "import ccdl, os; x = ccdl.ones(10).sum(); print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr
