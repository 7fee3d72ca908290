"""Several devices: current device, copies between them, streams and faults of each, messages that name both. On the
emulator a second device is a setting; with one real GPU these tests have nothing to run on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import ccdl

pytestmark = pytest.mark.gpu

CHECKS = {
    "current_device": """
assert ccdl.ones(1, device="cuda").device.index == 0
with cuda.device(1):
    assert cuda.current_device() == 1 and ccdl.ones(1, device="cuda").device.index == 1
assert cuda.current_device() == 0
seen = []
def other():
    cuda.set_device(1)
    seen.append(ccdl.ones(1, device="cuda").device.index)
thread = threading.Thread(target=other)
thread.start()
thread.join()
assert seen == [1] and cuda.current_device() == 0
""",
    "copies_are_ordered_on_both_sides": """
for i in range(5):
    x = ccdl.full((3000,), float(i), device="cuda:0")
    y = (x * 2).to("cuda:1") + 1
    z = y.to("cuda:0")
    x.fill_(99.0)
    assert y.device.index == 1 and z.sum().item() == 3000 * (2.0 * i + 1)
""",
    "mixed_devices": """
try:
    ccdl.ones(2, device="cuda:0") + ccdl.ones(2, device="cuda:1")
except RuntimeError as error:
    assert "cuda:0" in str(error) and "cuda:1" in str(error), error
else:
    raise AssertionError
""",
    "streams_belong_to_a_device": """
s = cuda.Stream(1)
with cuda.stream(s):
    assert cuda.current_device() == 1 and cuda.current_stream() == s
    x = ccdl.ones(5, device="cuda") * 2
assert cuda.current_device() == 0 and cuda.current_stream(1) == cuda.default_stream(1)
s.synchronize()
assert x.tolist() == [2.0] * 5
event = s.record_event()
cuda.current_stream(0).wait_event(event)
try:
    event.record(cuda.current_stream(0))
except RuntimeError as error:
    assert "one event per device" in str(error), error
else:
    raise AssertionError
""",
    "memory_and_faults_are_per_device": """
before = cuda.memory_allocated(0)
x = ccdl.zeros(1000, device="cuda:1")
assert cuda.memory_allocated(0) == before and cuda.memory_allocated(1) >= 4000
ccdl.gather(x, 0, ccdl.tensor([1000], device="cuda:1"))
assert ccdl.ones(3, device="cuda:0").sum().item() == 3
cuda.synchronize(0)
try:
    cuda.synchronize(1)
except IndexError as error:
    assert "1000" in str(error)
else:
    raise AssertionError
""",
    "autograd_and_graphs_follow_the_device": """
w = ccdl.ones(4, device="cuda:1", requires_grad=True)
(w * 2).sum().backward()
assert w.grad.tolist() == [2.0] * 4 and w.grad.device.index == 1
g = cuda.CUDAGraph()
with cuda.device(1), cuda.graph(g):
    y = w.detach() * 5
g.replay()
assert y.tolist() == [5.0] * 4
""",
}


@pytest.mark.parametrize("name", CHECKS)
def test_two_devices(name):
    if not ccdl.cuda.is_emulated() and ccdl.cuda.device_count() < 2:
        pytest.skip("needs a CUDA device: a second one")
    code = "import threading\nimport ccdl\nfrom ccdl import cuda\nassert cuda.device_count() >= 2\n" + CHECKS[name]
    run = subprocess.run([sys.executable, "-c", code], env=dict(os.environ, CCDL_EMULATOR_DEVICES="2"),
                         capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
