"""Ctrl-C at random times: KeyboardInterrupt soon, nothing half done is seen, the next call is right."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

WORK = {
    "training": """
import ccdl.nn as nn, ccdl.nn.functional as F
model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 169, 10))
step = ccdl.optim.Adam(model.parameters())
x, y = ccdl.randn(64, 1, 28, 28), ccdl.randint(0, 10, (64,))
def work():
    step.zero_grad(); F.cross_entropy(model(x), y).backward(); step.step()
""",
    "random numbers": """
def work():
    ccdl.randn(40_000_000)
""",
    "saving": """
import os, tempfile
folder = tempfile.mkdtemp()
path = os.path.join(folder, "model")
x = ccdl.randn(4_000_000)
def work():
    ccdl._C._safetensors_save(path, {"x": x})
def after():
    assert all("tmp" not in name for name in os.listdir(folder))
    if os.path.exists(path):
        assert ccdl.equal(ccdl._C._safetensors_load(path)[0]["x"], x)
        os.unlink(path)
    os.rmdir(folder)
""",
}

LOOP = """
import signal, sys, time, ccdl
ccdl.set_num_threads(2)
after = lambda: None
{work}
stopped = 0
print("ready", flush=True)
while True:
    try:
        while True:
            work()
    except KeyboardInterrupt:
        now = time.time()
        a = ccdl.ones(100, 100)
        assert (a @ a).sum().item() == 1e6
        stopped += 1
        print(now, flush=True)
    if stopped == {times}:
        break
after()
"""


@pytest.mark.parametrize("name", list(WORK))
def test_ctrl_c_at_random_times(name: str) -> None:
    times = 6
    code = LOOP.format(work=WORK[name], times=times)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline().strip() == "ready"
    chance = random.Random(name)
    for _ in range(times):
        time.sleep(0.1 + 0.2 * chance.random())
        sent = time.time()
        child.send_signal(signal.SIGINT)
        line = child.stdout.readline()
        assert line, child.communicate()[1]
        assert float(line) - sent < 1.0  # half a second on an idle machine
    assert child.wait(30) == 0, child.communicate()[1]


def test_a_handler_may_raise_its_own_exception() -> None:
    code = """
import signal, threading, time, os, ccdl
class Stop(Exception): pass
def handler(number, frame): raise Stop("from the handler")
signal.signal(signal.SIGUSR1, handler)
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
try:
    for _ in range(1000):
        ccdl.randn(30_000_000)
except Stop as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "from the handler", done.stderr


def test_a_handler_that_returns_lets_the_work_go_on() -> None:
    code = """
import signal, threading, time, os, ccdl
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
for i in range(3):
    threading.Timer(0.05 + 0.1 * i, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
ccdl.manual_seed(0)
x = [ccdl.randn(20_000_000)[:5].tolist() for _ in range(10)]
time.sleep(0.3)
ccdl.manual_seed(0)
assert x[0] == ccdl.randn(20_000_000)[:5].tolist()
print(len(seen))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "3", done.stderr


def test_only_the_main_thread_is_interrupted() -> None:
    code = """
import threading, time, os, signal, ccdl
done = []
def work():
    for _ in range(20):
        ccdl.randn(5_000_000)
    done.append(True)
t = threading.Thread(target=work)
t.start()
time.sleep(0.05)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    pass
t.join()
print(done)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[True]", done.stderr
