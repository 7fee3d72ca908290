"""Loss scaling on the device: steps that wait for nothing, and captured steps that skip by themselves."""

from __future__ import annotations

import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F

pytestmark = pytest.mark.gpu

OPTIMIZERS = {
    "sgd": lambda p: ccdl.optim.SGD(p, lr=0.1),
    "momentum": lambda p: ccdl.optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.25),
    "adam": lambda p: ccdl.optim.Adam(p, lr=0.02),
    "adamw_amsgrad": lambda p: ccdl.optim.AdamW(p, lr=0.02, weight_decay=0.1, amsgrad=True),
    "lamb": lambda p: ccdl.optim.LAMB(p, lr=0.05, weight_decay=0.1),
    "radam": lambda p: ccdl.optim.RAdam(p, lr=0.02, betas=(0.8, 0.9)),
    "rmsprop": lambda p: ccdl.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "lion": lambda p: ccdl.optim.Lion(p, lr=0.01),
}


def curve(name, graphed, overflows=(3, 6), steps=10):
    ccdl.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = OPTIMIZERS[name](model.parameters())
    scaler = ccdl.amp.GradScaler("cuda", init_scale=1024.0, growth_interval=3)

    def step(x, y):
        optimizer.zero_grad()
        with ccdl.autocast("cuda"):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        return loss

    run = ccdl.cuda.graph(step, warmup=2) if graphed else step
    rows = []
    for i in range(steps):
        x = ccdl.randn(4, 6)
        if i in overflows:
            x[0, 0] = float("inf")  # tanh bounds the loss, not the gradient
        loss = run(x, ccdl.randint(0, 3, (4,)))
        rows.append((loss.isfinite().item(), scaler.get_scale(), [p.detach().sum().item() for p in model.parameters()]))
    counts = [s["step"].item() for s in optimizer.state_dict()["state"].values() if "step" in s]
    return rows, counts


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_captured_steps_with_scaling_are_the_plain_ones(name):
    plain, counts = curve(name, graphed=False)
    captured, captured_counts = curve(name, graphed=True)
    assert plain == captured and counts == captured_counts
    assert all(row[0] for row in plain)
    for i in (3, 6):
        assert plain[i][2] == plain[i - 1][2], "an overflow leaves the weights"
        assert plain[i][1] == plain[i - 1][1] / 2
    assert plain[4][2] != plain[3][2] and all(c == 8 for c in counts)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_scaled_step_waits_for_nothing(name):
    model = nn.Linear(6, 3)
    optimizer, scaler = OPTIMIZERS[name](model.parameters()), ccdl.amp.GradScaler("cuda")
    x = ccdl.randn(4, 6)
    for i in range(3):
        before = ccdl.cuda._sync_count()
        optimizer.zero_grad()
        scaler.scale(model(x).square().mean()).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        if i:  # the first one may make momentum buffers
            assert ccdl.cuda._sync_count() == before


def test_the_counter_cannot_be_made_by_a_capture():
    w = ccdl.ones(3, requires_grad=True)
    optimizer, scaler = ccdl.optim.Adam([w], lr=0.1), ccdl.amp.GradScaler("cuda")
    scaler.scale((w * 2).sum()).backward()
    optimizer.step()  # state, but no counter
    with pytest.raises(RuntimeError, match="before the capture"), ccdl.cuda.graph(ccdl.cuda.CUDAGraph()):
        scaler.step(optimizer)
    assert not ccdl.cuda.is_current_stream_capturing()


def test_other_optimizers_cannot_ask_inside_a_capture():
    w = ccdl.ones(3, requires_grad=True)
    optimizer, scaler = ccdl.optim.NAdam([w], lr=0.1), ccdl.amp.GradScaler("cuda")
    for _ in range(2):
        scaler.scale((w * 2).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    with pytest.raises(RuntimeError, match="captured"), ccdl.cuda.graph(ccdl.cuda.CUDAGraph()):
        scaler.step(optimizer)
