"""The engine inside a process: threads, fork, Ctrl-C, memory limits, random bits at any thread count."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import ccdl


def script(code: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout,
                          env=dict(os.environ, **environment))


def test_thread_count_is_settable() -> None:
    before = ccdl.get_num_threads()
    ccdl.set_num_threads(2)
    assert ccdl.get_num_threads() == 2
    with pytest.raises((ValueError, RuntimeError)):
        ccdl.set_num_threads(0)
    ccdl.set_num_threads(before)


def test_training_gives_the_same_bits_at_any_thread_count() -> None:
    code = """
import sys, hashlib, ccdl, ccdl.nn as nn, ccdl.nn.functional as F
ccdl.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else {n})
ccdl.manual_seed(5)
model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2),
                      nn.Flatten(), nn.Linear(8 * 64, 10))
step = ccdl.optim.Adam(model.parameters(), lr=1e-2)
for i in range(5):
    x, y = ccdl.randn(64, 1, 16, 16), ccdl.randint(0, 10, (64,))
    step.zero_grad()
    F.cross_entropy(model(x), y).backward()
    step.step()
h = hashlib.sha256()
for p in list(model.parameters()) + list(model.buffers()):
    h.update(p.detach().numpy().tobytes())
print(h.hexdigest())
"""
    seen = set()
    for n in (1, 2, 4):
        done = script(code.replace("{n}", str(n)))
        assert done.returncode == 0, done.stderr
        seen.add(done.stdout)
    assert len(seen) == 1


@pytest.mark.parametrize("shape, dims", [((300_001,), (0,)), ((200_003, 7), (0,)), ((3001, 701), (0,)), ((3001, 701), (1,)),
                                         ((64, 32, 28, 28), (0, 2, 3))])  # fmt: skip
def test_reductions_give_the_same_bits_at_any_thread_count(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    x = ccdl.randn(*shape)
    before = ccdl.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            ccdl.set_num_threads(threads)
            results.append([f(x, dims) for f in (ccdl.sum, ccdl.mean, ccdl.var, ccdl.logsumexp)])
    finally:
        ccdl.set_num_threads(before)
    for other in results[1:]:
        assert all(ccdl.equal(a, b) for a, b in zip(results[0], other))


def test_fork_after_the_pool_was_used() -> None:
    done = script("""
import os, ccdl
ccdl.set_num_threads(4)
a = ccdl.randn(300, 300)
want = (a @ a).sum().item()
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if (a @ a).sum().item() == want and ccdl.ones(1 << 20).sum().item() == 1 << 20 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert (a @ a).sum().item() == want
print("ok")
""")
    assert done.stdout.strip() == "ok", done.stderr


def test_fork_while_another_thread_computes() -> None:
    done = script("""
import os, threading, ccdl
ccdl.set_num_threads(4)
a = ccdl.randn(200, 200)
stop = False
def work():
    while not stop:
        a @ a
t = threading.Thread(target=work); t.start()
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        (a @ a).sum().item(); ccdl.empty(1000)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop = True; t.join()
print("ok")
""")
    assert done.stdout.strip() == "ok", done.stderr


@pytest.mark.parametrize("work", ["a @ a @ a", "a.exp().sin().exp().sin()", "F.conv2d(x, w, padding=2)", "a.sort()"])
def test_ctrl_c_inside_long_work(work: str) -> None:
    code = f"""
import sys, time, ccdl, ccdl.nn.functional as F
a = ccdl.randn(1500, 1500)
x, w = ccdl.randn(16, 32, 96, 96), ccdl.randn(32, 32, 5, 5)
print("ready", flush=True)
try:
    while True:
        {work}
except KeyboardInterrupt:
    stopped = time.time()
b = ccdl.ones(200, 200)
assert (b @ b)[0, 0].item() == 200.0
print(stopped, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline().strip() == "ready"
    time.sleep(0.4)
    sent = time.time()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert float(out) - sent < 1.0  # half a second on an idle machine


def test_ctrl_c_inside_one_long_op() -> None:
    code = """
import time, ccdl
a = ccdl.randn(6000, 6000)
print("ready", flush=True)
try:
    a @ a @ a @ a @ a @ a
    print("finished")
except KeyboardInterrupt:
    print(time.time(), flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline().strip() == "ready"
    time.sleep(0.5)
    sent = time.time()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0 and out.strip() != "finished", (out, err)
    assert float(out) - sent < 1.0


def test_memory_error_then_a_smaller_request() -> None:
    with pytest.raises(MemoryError):
        ccdl.empty(2**50)
    assert ccdl.ones(10).sum().item() == 10


def test_no_growth_over_many_steps() -> None:
    done = script("""
import resource, ccdl, ccdl.nn as nn, ccdl.nn.functional as F
ccdl.manual_seed(0)
model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
step = ccdl.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
x, y = ccdl.randn(64, 32), ccdl.randint(0, 10, (64,))
def run(n):
    for _ in range(n):
        step.zero_grad(); F.cross_entropy(model(x), y).backward(); step.step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
first = run(300)
last = run(1500)
print(last - first)
""")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1024, f"{done.stdout} KiB more after 1500 steps"


def test_python_threads_compute_at_once() -> None:
    results: list[float] = []

    def work(seed: int) -> None:
        g = ccdl.Generator().manual_seed(seed)
        a = ccdl.randn(80, 80, generator=g)
        results.append(sum((a @ a).sum().item() for _ in range(30)))

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 6 and len(set(results)) == 2


def test_random_bits_do_not_depend_on_threads_or_chunks() -> None:
    def draw(threads: int) -> list[bytes]:
        ccdl.set_num_threads(threads)
        ccdl.manual_seed(11)
        return [t.numpy().tobytes() for t in (ccdl.rand(100_003), ccdl.randn(100_003), ccdl.randperm(1000),
                                              ccdl.randint(0, 1000, (5, 7, 11)))]

    before = ccdl.get_num_threads()
    assert draw(1) == draw(2)
    ccdl.set_num_threads(before)


def test_isa_level_can_be_forced_and_a_bad_name_is_refused() -> None:
    done = script("import ccdl; ccdl.ones(3).exp(); print(ccdl._C._isa_level())", CCDL_ISA="generic")
    assert done.stdout.strip() == "generic", done.stderr
    done = script("import ccdl; ccdl.ones(3).exp()", CCDL_ISA="v9")
    assert done.returncode != 0 or "v9" in done.stderr


def test_random_numbers_are_equal_at_every_isa_level() -> None:
    code = """
import hashlib, ccdl
ccdl.manual_seed(1)
h = hashlib.sha256()
for t in (ccdl.rand(1001), ccdl.randn(1001), ccdl.bernoulli(ccdl.full((501,), 0.3)), ccdl.randperm(77)):
    h.update(t.numpy().tobytes())
h.update(ccdl.nn.functional.dropout(ccdl.ones(333), 0.4).numpy().tobytes())
print(h.hexdigest())
"""
    seen = {script(code, CCDL_ISA=level).stdout for level in ("generic", ccdl._C._isa_level())}
    assert len(seen) == 1 and seen != {""}
