"""Transfer learning: freezing, new heads, rates per group with warm-up, partial loading, embeddings."""

from __future__ import annotations

import copy

import pytest

import ccdl
import ccdl.nn as nn
from ccdl import optim
from ccdl.optim import lr_scheduler
from ccdl.train import transfer


def net():
    ccdl.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 8), nn.ReLU(), nn.Linear(8, 10))


def train_step(model, optimizer):
    optimizer.zero_grad()
    model(ccdl.randn(4, 1, 6, 6)).square().sum().backward()
    optimizer.step()


def test_frozen_parts_do_not_move():
    model = net()
    assert transfer.freeze(model, ["0", "1"]) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert transfer.frozen_parameters(model) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    model.train()
    before = copy.deepcopy(model.state_dict())
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    train_step(model, optimizer)
    after = model.state_dict()
    same = {k for k in before if bool((before[k] == after[k]).all())}
    assert {k for k in same if k[0] in "01"} == {k for k in before if k[0] in "01"}  # running statistics too
    assert {"4.weight", "6.weight"}.isdisjoint(same)
    assert transfer.unfreeze(model, "1") == ["1.weight", "1.bias"]
    train_step(model, optimizer)
    assert model[1].running_mean.tolist() != [0.0] * 4
    assert transfer.freeze(model, "*.bias") == ["1.bias", "4.bias", "6.bias"]
    copy.deepcopy(model)
    for f in (transfer.freeze, transfer.unfreeze):
        with pytest.raises(ValueError, match="no parameter is called"):
            f(model, "head")
    assert len(transfer.unfreeze(model)) == 5 and transfer.frozen_parameters(model) == []


def test_running_statistics_move_again_after_unfreezing_and_may_move_while_frozen():
    model = net()
    transfer.freeze(model, "1", batch_norm=False)
    model.train()
    model(ccdl.randn(4, 1, 6, 6))
    assert int(model[1].num_batches_tracked) == 1
    transfer.freeze(model)
    transfer.unfreeze(model)
    model(ccdl.randn(4, 1, 6, 6))
    assert int(model[1].num_batches_tracked) == 2


def test_replace_head():
    model = net()
    body = model[4].weight
    new = transfer.replace_head(model, 3, freeze_rest=True)
    assert model[6] is new and new.out_features == 3 and new.weight.shape == (3, 8) and new.bias.shape == (3,)
    assert model(ccdl.randn(2, 1, 6, 6)).shape == (2, 3) and model[4].weight is body
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["6.weight", "6.bias"]

    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 7, 1, bias=False))

        def forward(self, x):
            return self.body(x)

    conv = Conv()
    assert transfer.replace_head(conv, 5).weight.shape == (5, 2, 1, 1) and conv(ccdl.ones(1, 1, 4, 4)).shape == (1, 5, 2, 2)
    assert transfer.replace_head(conv, 4, "body.0").out_channels == 4
    for bad in (lambda: transfer.replace_head(nn.ReLU(), 3), lambda: transfer.replace_head(model, 0), lambda: transfer.replace_head(model, 3, "head")):
        with pytest.raises(ValueError, match="replace_head"):
            bad()


def test_rates_per_group_with_warm_up():
    model = net()
    transfer.freeze(model, "0")
    groups = transfer.parameter_groups(model, {"6": 1e-1, "4": 1e-2}, default=1e-3, weight_decay=0.1)
    assert [(g["lr"], len(g["params"]), g["weight_decay"]) for g in groups] == [(1e-1, 2, 0.1), (1e-2, 2, 0.1), (1e-3, 2, 0.1)]
    optimizer = optim.SGD(groups, lr=1.0)
    warm = lr_scheduler.WarmupLR(optimizer, 4, 0.2)
    seen = [warm.get_last_lr()]
    for _ in range(4):
        train_step(model, optimizer)
        warm.step()
        seen.append(warm.get_last_lr())
    assert seen[0] == pytest.approx([2e-2, 2e-3, 2e-4]) and seen[-1] == pytest.approx([1e-1, 1e-2, 1e-3])
    assert seen[2] == pytest.approx([6e-2, 6e-3, 6e-4])
    rates = [g["lr"] for g in transfer.layerwise_groups(net(), 1.0, 0.5)]
    assert rates == [0.125, 0.25, 0.5, 1.0]
    with pytest.raises(ValueError, match="decay"):
        transfer.layerwise_groups(net(), 1.0, 0.0)


def test_gradual_unfreezing():
    model = net()
    optimizer = optim.SGD([model[6].weight, model[6].bias], lr=0.1)
    stages = transfer.GradualUnfreezing(model, every=2, optimizer=optimizer, lr=0.01)
    seen = [stages.step() for _ in range(8)]
    assert [s[:1] for s in seen] == [["6.weight"], [], ["4.weight"], [], ["1.weight"], [], ["0.weight"], []]
    assert [(len(g["params"]), g["lr"]) for g in optimizer.param_groups] == [(2, 0.1), (2, 0.01), (2, 0.01), (2, 0.01)]
    train_step(model, optimizer)
    with pytest.raises(ValueError, match="every"):
        transfer.GradualUnfreezing(model, every=0)


def test_loading_what_fits():
    source, target = net(), net()
    for p in source.parameters():
        p.data.fill_(0.25)
    transfer.replace_head(target, 3)
    state = {**source.state_dict(), "extra": ccdl.ones(1)}
    del state["4.bias"]
    found = transfer.load_matching(target, state)
    assert found["mismatched"] == ["6.weight", "6.bias"] and found["unexpected"] == ["extra"] and found["missing"] == ["4.bias"]
    assert bool((target[4].weight == 0.25).all()) and not bool((target[6].weight == 0.25).any())
    wrapped = nn.ModuleDict({"body": net()})
    assert len(transfer.load_matching(wrapped, source, prefix="body.")["loaded"]) == len(source.state_dict())
    with pytest.raises(ValueError, match="none of"):
        transfer.load_matching(nn.Linear(1, 1), source)


def test_fine_tuning_is_faster_than_starting_anew():
    """A body trained on one task helps on a related one: after the same few steps the loss is lower."""
    ccdl.manual_seed(0)
    x = ccdl.randn(256, 10)
    hidden = ccdl.tanh(x @ ccdl.randn(10, 6))
    first, second = hidden @ ccdl.randn(6, 4), hidden @ ccdl.randn(6, 3)

    def body(outputs):
        return nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, outputs))

    def fit(model, y, steps):
        optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
        return loss.item()

    trained = body(4)
    fit(trained, first, 600)
    fresh = fit(body(3), second, 60)
    transfer.replace_head(trained, 3)
    assert fit(trained, second, 60) < 0.6 * fresh


def test_embeddings_of_another_task():
    old, new = nn.Embedding(6, 3), nn.Embedding(4, 3)
    kept = new.weight[1].tolist()
    assert transfer.reuse_embedding(new, old, [(0, 5), (2, 0), (3, 1)]) == 3
    assert new.weight[0].tolist() == old.weight[5].tolist() and new.weight[1].tolist() == kept
    assert not new.weight.requires_grad
    same = nn.Embedding(6, 3)
    transfer.reuse_embedding(same, old.weight, train=True)
    assert bool((same.weight == old.weight).all()) and same.weight.requires_grad
    for bad in (lambda: transfer.reuse_embedding(new, nn.Embedding(4, 2)), lambda: transfer.reuse_embedding(new, old),
                lambda: transfer.reuse_embedding(new, old, [(4, 0)]), lambda: transfer.reuse_embedding(new, old, [(0, -1)])):
        with pytest.raises(ValueError, match="reuse_embedding"):
            bad()
