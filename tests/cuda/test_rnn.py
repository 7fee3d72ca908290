"""Recurrent layers on the device: every way of running a sequence gives what the others and the CPU give, the same bits
each time, in a number of launches that does not grow with the sequence, and inside a captured training step."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn

pytestmark = pytest.mark.gpu

PATHS = ("step", "block", "grid")
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
TOLERANCE = {"float32": 2e-5, "float16": 1e-2, "bfloat16": 6e-2}


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def layer(cell, dtype, device, inputs=5, hidden=20, **how):
    """The same weights on every device."""
    net = CELLS[cell](inputs, hidden, device=device, **how)
    for k, p in enumerate(net.parameters()):
        with ccdl.no_grad():
            p.copy_(ccdl.tensor(data(*p.shape, seed=k) * 0.3, device=device))
    return net.to(getattr(ccdl, dtype))


def run(cell, dtype, device="cuda", steps=4, batch=18, lengths=None, **how):
    """Output, last states and all gradients as float64 arrays."""
    net = layer(cell, dtype, device, **how)
    x = ccdl.tensor(data(steps, batch, 5, seed=50), device=device).to(getattr(ccdl, dtype)).requires_grad_()
    given = x if lengths is None else nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    y, last = net(given)
    y = y if lengths is None else y.data
    parts = [y, *(last if isinstance(last, tuple) else (last,))]
    total = sum((p.float() * ccdl.tensor(data(*p.shape, seed=60 + k), device=device)).sum() for k, p in enumerate(parts))
    total.backward()
    return [t.detach().float().cpu().numpy() for t in [*parts, x.grad, *(p.grad for p in net.parameters())]]


def close(got, want, tolerance):
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.shape == b.shape
        error = np.abs(a - b).max() / max(1.0, np.abs(b).max())
        assert error <= tolerance, f"result {k}: {error}"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("cell", CELLS)
def test_paths_agree_with_the_cpu(cell, dtype, monkeypatch):
    exact = dtype == "float32"
    cases = [dict(steps=3, batch=18 if exact else 9, bidirectional=True), dict(lengths=[2, 4, 1, 4, 3, 2], batch=6, bidirectional=True)]
    if exact and cell == "lstm":
        cases.append(dict(steps=2, batch=3, num_layers=2, bidirectional=True))
    for case in cases:
        want = run(cell, dtype, "cpu", **case)
        for path in (None, *PATHS) if exact else PATHS:
            monkeypatch.delenv("CCDL_RNN_PATH", raising=False)
            if path:
                monkeypatch.setenv("CCDL_RNN_PATH", path)
            close(run(cell, dtype, **case), want, TOLERANCE[dtype])


@pytest.mark.parametrize("path", PATHS)
def test_same_bits_every_time(path, monkeypatch):
    monkeypatch.setenv("CCDL_RNN_PATH", path)
    for cell, dtype in (("lstm", "float32"), ("gru", "bfloat16")):
        first = run(cell, dtype, lengths=[3, 4, 2], batch=3)
        for _ in range(2):
            again = run(cell, dtype, lengths=[3, 4, 2], batch=3)
            assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def launches(steps, dtype="float32", cell="lstm"):
    before = ccdl.cuda._launch_count()
    run(cell, dtype, steps=steps, batch=3)
    return ccdl.cuda._launch_count() - before


@pytest.mark.parametrize("path", PATHS)
def test_launches(path, monkeypatch):
    """One kernel for the whole sequence, however long; step by step a product and one pointwise kernel per step."""
    monkeypatch.setenv("CCDL_RNN_PATH", path)
    short, long = launches(2), launches(5)
    assert long - short == (2 * 2 * (5 - 2) if path == "step" else 0)


def test_small_layers_need_no_asking():
    assert launches(3) == launches(6)
    assert launches(3, "bfloat16", "gru") == launches(6, "bfloat16", "gru")


def curve(graphed):
    ccdl.manual_seed(3)
    net = nn.LSTM(4, 9, num_layers=2, dropout=0.25).to("cuda")
    head = nn.Linear(9, 3).to("cuda")
    optimizer = ccdl.optim.Adam([*net.parameters(), *head.parameters()], lr=0.01)

    def step(x, t):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(net(x)[0][-1]), t)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    call = ccdl.cuda.graph(step) if graphed else step
    losses = []
    for k in range(5):
        x = ccdl.tensor(data(3, 7, 4, seed=k), device="cuda")
        t = ccdl.tensor(np.arange(7) % 3, device="cuda")
        losses.append(call(x, t).item())
    return losses, [p.detach().cpu().numpy() for p in net.parameters()]


@pytest.mark.parametrize("path", PATHS)
def test_captured_training_step_has_the_bits_of_the_plain_one(path, monkeypatch):
    monkeypatch.setenv("CCDL_RNN_PATH", path)
    plain, graphed = curve(False), curve(True)
    assert plain[0] == graphed[0]
    assert all(np.array_equal(a, b) for a, b in zip(plain[1], graphed[1], strict=True))
