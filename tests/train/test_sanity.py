"""Sanity checks pass on a sound set-up and fail, with advice, on the fault each is made for."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import ccdl
import ccdl.nn as nn
from ccdl import optim
from ccdl.train import sanity


def data(n=64, classes=3):
    ccdl.manual_seed(0)
    x = ccdl.randn(n, 6)
    return x, (x[:, :classes]).argmax(1)


def mlp(classes=3):
    ccdl.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, classes))


def test_a_sound_model_passes_everything_and_is_not_trained():
    model, batch = mlp(), data()
    before = [p.tolist() for p in model.parameters()]
    checks = sanity.run_checks(model, [batch])
    assert [c.name for c in checks] == ["initial loss", "overfit one batch", "input-independent baseline", "leak across the batch"]
    assert all(checks), "\n".join(map(str, checks))
    assert all(str(c).startswith("ok") for c in checks)
    assert [p.tolist() for p in model.parameters()] == before and model[0].weight.grad is None


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_initial_loss_is_ln_c(classes):
    ccdl.manual_seed(0)
    model = nn.Linear(8, classes)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    batch = ccdl.randn(32, 8), ccdl.arange(32) % classes
    check = sanity.check_initial_loss(model, batch, tolerance=1e-5)
    assert check and check.value == pytest.approx(math.log(classes), rel=1e-6)
    nn.init.normal_(model.weight, std=30.0)
    check = sanity.check_initial_loss(model, batch)
    assert not check and "too large" in check.advice and str(check).startswith("FAIL")
    seen = nn.Linear(8, classes)
    seen.weight.data.zero_()
    seen.bias.data.zero_()
    seen.bias.data[0] = 50.0
    assert not sanity.check_initial_loss(seen, (batch[0], ccdl.zeros(32, dtype=ccdl.int64)))  # far too low


def test_overfitting_fails_when_nothing_is_learnt():
    model, (x, y) = mlp(), data()
    check = sanity.check_overfit_batch(model, (x[:8], y[:8]))
    assert check and check.losses[-1] < 0.05 < check.losses[0]
    for p in model.parameters():
        p.requires_grad_(False)
    model[2].bias.requires_grad_(True)  # biases alone cannot tell the samples apart
    assert not sanity.check_overfit_batch(model, (x[:8], y[:8]))
    wild = sanity.check_overfit_batch(mlp(), (x[:8] * 100, y[:8]), optimizer=lambda p: optim.SGD(p, lr=1e3), steps=30)
    assert not wild and "learning rate" in wild.advice
    own = sanity.check_overfit_batch(nn.Linear(6, 1), (x[:4], x[:4, :1] * 2), nn.MSELoss(), steps=400)
    assert own


def test_input_dependence_fails_for_a_model_that_ignores_its_input():
    class Deaf(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(6, 3)

        def forward(self, x):
            return self.out(x * 0)

    batch = data()
    assert sanity.check_input_dependence(mlp(), [batch])
    check = sanity.check_input_dependence(Deaf(), [batch])
    assert not check and "do not help" in check.advice
    noise = ccdl.randn(16, 6), batch[1][:16] * 0 + ccdl.arange(16) % 3
    assert not sanity.check_input_dependence(nn.Linear(6, 3), [noise, (ccdl.randn(16, 6), noise[1])] , steps=2)


def test_leaks_are_found():
    class Mixed(nn.Module):
        def forward(self, x):
            return x.t().reshape(x.shape)  # a wrong reshape

    x = ccdl.randn(6, 4)
    for model in (nn.Linear(4, 2), nn.LayerNorm(4), nn.Sequential(nn.Linear(4, 4), nn.Softmax(dim=1))):
        assert sanity.check_batch_leak(model, x)
    for model in (Mixed(), nn.Softmax(dim=0)):
        check = sanity.check_batch_leak(model, x)
        assert not check and check.value > 0 and "mixed" in check.advice
    norm = nn.BatchNorm1d(4)
    assert sanity.check_batch_leak(norm, x) and not sanity.check_batch_leak(norm, x, training=True)
    assert int(norm.num_batches_tracked) == 0
    for bad in (ccdl.ones(1, 4), ccdl.ones(3, 4, dtype=ccdl.int64)):
        with pytest.raises(ValueError, match="at least two"):
            sanity.check_batch_leak(norm, bad)
    with pytest.raises(ValueError, match="first dimension"):
        sanity.check_batch_leak(nn.Flatten(0), x)


@pytest.mark.parametrize(("losses", "verdict"), [
    ([2.3, 5.0, 80.0, 1e6], "diverged"), ([2.3, 2.0, math.nan], "diverged"), ([2.3, 2.1, math.inf], "diverged"),
    ([2.3 + 0.01 * math.sin(i) for i in range(50)], "never falls"), ([2.3 * 0.9**i for i in range(40)], "falls"),
    ([2.3 * 0.8**i for i in range(20)] + [0.1 * i for i in range(1, 16)], "rises"),
    ([2.3 * 0.8**i for i in range(20)] + [0.034] * 25, "stalls"), ([1.0], "never falls"),
])
def test_advice(losses, verdict):
    found, advice = sanity.advise(losses)
    assert found == verdict and advice
    if verdict in ("diverged", "never falls"):
        assert "factor of 10" in advice


def test_real_curves():
    x, y = data()
    for lr, verdicts in ((1e-7, {"never falls"}), (0.1, {"falls", "stalls"}), (1e4, {"diverged", "rises", "never falls"})):
        model = mlp()
        optimizer, losses = optim.SGD(model.parameters(), lr=lr), []
        for _ in range(60):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert sanity.advise(losses)[0] in verdicts, (lr, losses[:3], losses[-3:])
    for bad in (lambda: sanity.advise([]), lambda: sanity.run_checks(mlp(), []), lambda: sanity.check_input_dependence(mlp(), [])):
        with pytest.raises(ValueError):
            bad()


def test_the_page_runs():
    page = (Path(__file__).resolve().parents[2] / "docs/checks.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(compile(block, "docs/checks.md", "exec"), names)
    assert names["target"][2].out_features == 5
