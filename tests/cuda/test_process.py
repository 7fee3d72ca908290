"""Processes: import makes no context, fork is refused with the fix, spawned children work, no driver is no crash."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import ccdl

pytestmark = pytest.mark.gpu


def run(code, **env):
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ, **env), capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_and_queries_make_no_context():
    out = run("import ccdl, threading\n"
              "print(threading.active_count(), ccdl.cuda.is_initialized())\n"
              "ccdl.ones(3).sum(); ccdl.cuda.device_count(); ccdl.cuda.memory_allocated(); ccdl.cuda.manual_seed(1)\n"
              "ccdl.cuda.empty_cache(); ccdl.cuda.get_device_name()\n"
              "print(ccdl.cuda.is_initialized())\n"
              "ccdl.ones(3, device='cuda')\n"
              "print(ccdl.cuda.is_initialized())")
    assert out.split() == ["1", "False", "False", "True"]


FORK = """
import os, ccdl
x = ccdl.ones(3, device="cuda")
child = os.fork()
if child == 0:
    code = 1
    try:
        ccdl.ones(3, device="cuda")
    except RuntimeError as error:
        code = 0 if "spawn" in str(error) and "fork" in str(error) else 2
    del x                                            # the parent's block: nothing happens
    code += 0 if (ccdl.ones(4) + 1).sum().item() == 8 else 4   # the CPU goes on
    os._exit(code)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), (x + 1).tolist())
"""


def test_fork_after_use_is_a_clear_error_in_the_child():
    assert run(FORK).split("\n")[0] == "0 [2.0, 2.0, 2.0]"


def test_fork_before_use_leaves_the_child_free():
    out = run("import os, ccdl\n"
              "child = os.fork()\n"
              "if child == 0:\n"
              "    os._exit(int((ccdl.ones(3, device='cuda') + 1).sum().item()))\n"
              "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))")
    assert out.strip() == "6"


def test_workers_that_fork_may_use_the_cpu():
    out = run("import ccdl\n"
              "from ccdl.utils.data import DataLoader, TensorDataset\n"
              "x = ccdl.ones(1, device='cuda')\n"
              "if __name__ == '__main__':\n"
              "    data = TensorDataset(ccdl.arange(6, device='cpu'))\n"
              "    print(sum(b[0].to('cuda').sum().item() for b in DataLoader(data, 2, num_workers=2)))")
    assert out.strip() == "15"


def test_exit_with_live_tensors_streams_and_graphs():
    out = run("import ccdl\n"
              "s = ccdl.cuda.Stream(); e = ccdl.cuda.Event(); e.record(s)\n"
              "x = ccdl.ones(3, device='cuda')\n"
              "g = ccdl.cuda.CUDAGraph()\n"
              "with ccdl.cuda.graph(g): y = x + 1\n"
              "g.replay(); print(y.tolist())")
    assert out.strip() == "[2.0, 2.0, 2.0]"


def test_no_visible_device_leaves_the_cpu():
    if ccdl.cuda.is_emulated():
        pytest.skip("needs a CUDA device")
    out = run("import ccdl\n"
              "print(ccdl.cuda.is_available(), (ccdl.ones(2) + 1).tolist())\n"
              "try:\n"
              "    ccdl.ones(2, device='cuda')\n"
              "except RuntimeError as error:\n"
              "    print(error)", CUDA_VISIBLE_DEVICES="")
    assert out.startswith("False [2.0, 2.0]")
    assert "GPU" in out
