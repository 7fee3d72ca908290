"""Bad input met by kernels: typed, named after the op, raised at the next wait, once, with the device usable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import ccdl
import ccdl.nn.functional as F

pytestmark = pytest.mark.gpu


def long(*values):
    return ccdl.tensor(values, dtype=ccdl.int64, device="cuda")


def x5():
    return ccdl.arange(5, dtype=ccdl.float32, device="cuda")


FAULTS = {
    "gather": (lambda: ccdl.gather(x5(), 0, long(0, 7)), IndexError, r"gather: index 7 .* dimension 0 with size 5"),
    "index_select": (lambda: ccdl.index_select(x5(), 0, long(1, -2)), IndexError, r"index_select: index -2 .*size 5"),
    "index": (lambda: x5()[long(4, 5)], IndexError, r"index 5 is out of bounds for dimension 0 with size 5"),
    "index_put": (lambda: x5().__setitem__(long(9), 1.0), IndexError, r"index 9 .*size 5"),
    "scatter": (lambda: x5().scatter(0, long(6), ccdl.ones(1, device="cuda")), IndexError, r"scatter: index 6 .*size 5"),
    "scatter_add": (lambda: x5().scatter_add(0, long(6), ccdl.ones(1, device="cuda")), IndexError, r"scatter_add.*6"),
    "index_add": (lambda: x5().index_add(0, long(8), ccdl.ones(1, device="cuda")), IndexError, r"index_add.*8"),
    "take_along_dim": (lambda: ccdl.take_along_dim(x5(), long(11), 0), IndexError, r"11"),
    "embedding": (lambda: F.embedding(long(2, 3), ccdl.ones(3, 2, device="cuda")), IndexError, r"embedding: index 3"),
    "cross_entropy": (lambda: F.cross_entropy(ccdl.zeros(2, 3, device="cuda"), long(1, 3)), IndexError,
                      r"cross_entropy: Target 3 is out of bounds"),
    "nll_loss": (lambda: F.nll_loss(ccdl.zeros(2, 3, device="cuda"), long(-1, 0)), IndexError, r"nll_loss: Target -1"),
    "floor_divide": (lambda: long(3, 4) // long(1, 0), RuntimeError, r"ZeroDivisionError"),
    "bernoulli": (lambda: ccdl.bernoulli(ccdl.tensor([0.5, 1.5], device="cuda")), RuntimeError, r"bernoulli.*0.*1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_raised_once_at_the_next_wait(name):
    call, kind, message = FAULTS[name]
    with pytest.raises(kind, match=message):
        call()
        ccdl.cuda.synchronize()
    ccdl.cuda.synchronize()
    assert (x5() + 1).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("wait", [
    lambda y: y.cpu(), lambda y: y[0].item(), lambda y: y.tolist(), lambda y: bool((y > 0).any()), lambda y: str(y),
    lambda y: ccdl.cuda.synchronize(), lambda y: ccdl.cuda.current_stream().synchronize(),
    lambda y: ccdl.cuda.current_stream().record_event().synchronize(), lambda y: y.nonzero(),
], ids=["cpu", "item", "tolist", "bool", "str", "synchronize", "stream", "event", "nonzero"])
def test_every_kind_of_wait_raises(wait):
    bad = ccdl.gather(x5(), 0, long(0, 5))
    with pytest.raises(IndexError, match="gather: index 5"):
        wait(bad)
    assert x5().sum().item() == 10


def test_ops_after_the_fault_run_on_and_the_first_fault_is_the_one_named():
    y = ccdl.gather(x5(), 0, long(1, 100))
    z = ccdl.index_select(x5(), 0, long(200))
    total = x5().sum()
    with pytest.raises(IndexError, match="gather: index 100"):
        ccdl.cuda.synchronize()
    assert total.item() == 10
    assert y[0].item() == 1.0
    del z


def test_a_fault_in_backward():
    w = ccdl.zeros(2, 3, device="cuda", requires_grad=True)
    loss = F.cross_entropy(w, long(0, 17))
    loss.backward()
    with pytest.raises(IndexError, match="17"):
        ccdl.cuda.synchronize()
    w.grad = None
    F.cross_entropy(w, long(0, 1)).backward()
    assert ccdl.isfinite(w.grad).all().item()


def test_a_good_call_raises_nothing():
    assert ccdl.gather(x5(), 0, long(0, 4)).tolist() == [0.0, 4.0]
    assert F.cross_entropy(ccdl.zeros(2, 3, device="cuda"), long(0, -100)).item() == pytest.approx(1.0986123)


def test_ccdl_cuda_sync_raises_at_the_op():
    code = """
import ccdl
x = ccdl.arange(5, device="cuda")
try:
    ccdl.gather(x, 0, ccdl.tensor([8], device="cuda"))
except IndexError as error:
    print("raised", error)
print((x + 1).tolist())
"""
    env = dict(os.environ, CCDL_CUDA_SYNC="1")
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert run.stdout.startswith("raised gather: index 8"), run
    assert "[1, 2, 3, 4, 5]" in run.stdout


def test_mixed_devices_name_both():
    with pytest.raises(RuntimeError, match=r"cuda:0.*cpu|cpu.*cuda:0"):
        x5() + ccdl.ones(5, device="cpu")
    with pytest.raises(RuntimeError, match=r"cuda:0.*cpu|cpu.*cuda:0"):
        ccdl.ones(2, 2, device="cpu") @ ccdl.ones(2, 2, device="cuda")
