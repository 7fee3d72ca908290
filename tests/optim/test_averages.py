"""Weight averages: equal, exponential, buffers, batch norm statistics, SWALR; gradient accumulation."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl import optim
from ccdl.optim import swa_utils


def models(count=5):
    ccdl.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    rng = np.random.default_rng(0)
    values = [[rng.standard_normal(tuple(p.shape)).astype(np.float32) for p in net.parameters()] for _ in range(count)]
    for row in values:
        with ccdl.no_grad():
            for p, v in zip(net.parameters(), row):
                p.copy_(ccdl.tensor(v))
            net[1].running_mean.add_(1.0)
        yield net, row


@pytest.mark.parametrize("kind", ["default", "avg_fn", "multi_avg_fn"])
def test_equal_average(kind):
    options = {"default": {}, "avg_fn": {"avg_fn": swa_utils.get_swa_avg_fn()},
               "multi_avg_fn": {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}}[kind]
    average, rows = None, []
    for net, row in models():
        average = average or swa_utils.AveragedModel(net, **options)
        average.update_parameters(net)
        rows.append(row)
    assert int(average.n_averaged) == 5
    for i, p in enumerate(average.module.parameters()):
        np.testing.assert_allclose(p.detach().cpu().numpy(), np.mean([r[i] for r in rows], 0), rtol=1e-5, atol=1e-6)
    assert average.module[1].running_mean.tolist() == [5.0] * 4  # copied, not averaged
    assert set(average.state_dict()) == {"n_averaged", *("module." + k for k in net.state_dict())}


@pytest.mark.parametrize("kind", ["avg_fn", "multi_avg_fn"])
def test_exponential_average(kind):
    function = swa_utils.get_ema_avg_fn(0.8) if kind == "avg_fn" else swa_utils.get_ema_multi_avg_fn(0.8)
    average, want, buffer = None, None, None
    for net, row in models():
        average = average or swa_utils.AveragedModel(net, use_buffers=True, **{kind: function})
        average.update_parameters(net)
        mean = float(net[1].running_mean[0])
        want = row if want is None else [0.8 * w + 0.2 * r for w, r in zip(want, row)]
        buffer = mean if buffer is None else 0.8 * buffer + 0.2 * mean
    for p, w in zip(average.module.parameters(), want):
        np.testing.assert_allclose(p.detach().cpu().numpy(), w, rtol=1e-5, atol=1e-6)
    assert average.module[1].running_mean[0].item() == pytest.approx(buffer, rel=1e-6)


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.nn.Linear(3, 2).double()
    ours = nn.Linear(3, 2).double()
    a, b = swa_utils.AveragedModel(ours), torch.optim.swa_utils.AveragedModel(theirs)
    c = swa_utils.AveragedModel(ours, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
    d = torch.optim.swa_utils.AveragedModel(theirs, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    rng = np.random.default_rng(1)
    for _ in range(6):
        for p, q in zip(ours.parameters(), theirs.parameters()):
            value = rng.standard_normal(tuple(p.shape))
            p.data.copy_(ccdl.tensor(value))
            q.data.copy_(torch.tensor(value))
        for average, model in ((a, ours), (b, theirs), (c, ours), (d, theirs)):
            average.update_parameters(model)
    for x, y in ((a, b), (c, d)):
        for p, q in zip(x.parameters(), y.parameters()):
            np.testing.assert_allclose(p.detach().cpu().numpy(), q.detach().numpy(), rtol=1e-12)
        assert list(x.state_dict()) == list(y.state_dict())


def test_average_is_a_copy_and_bad_decays():
    net = nn.Linear(2, 2)
    average = swa_utils.AveragedModel(net)
    before = average(ccdl.ones(1, 2)).tolist()
    net.weight.data.fill_(9.0)
    assert average(ccdl.ones(1, 2)).tolist() == before
    for make in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn, lambda d: swa_utils.EMA(net.parameters(), d)):
        for bad in (-0.1, 1.1):
            with pytest.raises(ValueError, match="decay"):
                make(bad)
    with pytest.raises(AssertionError, match="Only one"):
        swa_utils.AveragedModel(net, avg_fn=lambda a, b, n: a, multi_avg_fn=lambda a, b, n: None)


def test_ema_of_parameters():
    w = nn.Parameter(ccdl.zeros(3, dtype=ccdl.float64))
    ema, want = swa_utils.EMA([w], 0.9), np.zeros(3)
    for t in range(1, 20):
        w.data.copy_(ccdl.tensor([t, t * t, 1.0 / t], dtype=ccdl.float64))
        ema.update()
        want = 0.9 * want + 0.1 * w.detach().cpu().numpy()
    present = w.tolist()
    with ema.average_parameters():
        np.testing.assert_allclose(w.detach().cpu().numpy(), want, rtol=1e-12)
    assert w.tolist() == present
    again = swa_utils.EMA([nn.Parameter(ccdl.zeros(3, dtype=ccdl.float64))], 0.5)
    again.load_state_dict(ema.state_dict())
    assert again.decay == 0.9 and again.updates == 19
    again.copy_to()
    np.testing.assert_allclose(again.parameters[0].detach().cpu().numpy(), want, rtol=1e-12)
    warm = swa_utils.EMA([w], 0.999, warmup=True)
    w.data.fill_(1.0)
    first = warm.averages[0][0].item()
    warm.update()
    assert warm.averages[0][0].item() == pytest.approx(first + (1 - 2 / 11) * (1 - first))
    with pytest.raises(ValueError, match="copy_to"):
        ema.copy_to([])
    with pytest.raises(ValueError, match="load_state_dict"):
        ema.load_state_dict({"updates": 0, "decay": 0.1, "averages": []})


def test_update_bn_gives_exact_statistics_of_the_whole_set():
    """Mean and the mean of the batches' variances, whatever the momentum was, as test statistics."""
    ccdl.manual_seed(2)
    data = ccdl.randn(40, 3) * 2 + 1
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, momentum=0.3))
    net(data)
    net.eval()
    batches = [(data[i : i + 8], None) for i in range(0, 40, 8)]
    swa_utils.update_bn(batches, net)
    with ccdl.no_grad():
        hidden = net[0](data)
    np.testing.assert_allclose(net[1].running_mean.cpu().numpy(), hidden.mean(0).cpu().numpy(), rtol=1e-4, atol=1e-6)
    variances = np.stack([hidden[i : i + 8].cpu().numpy().var(0, ddof=1) for i in range(0, 40, 8)])
    np.testing.assert_allclose(net[1].running_var.cpu().numpy(), variances.mean(0), rtol=1e-4)
    assert net[1].momentum == 0.3 and not net.training
    swa_utils.update_bn([ccdl.ones(1)], nn.Identity())


@pytest.mark.parametrize("options", [{}, {"anneal_strategy": "linear", "anneal_epochs": 4}, {"anneal_epochs": 0}])
def test_swalr_against_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    seen = []
    for T in (ccdl, torch):
        optimizer = T.optim.SGD([T.nn.Parameter(T.ones(1))], lr=1.0)
        decay = T.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        swa, row = T.optim.swa_utils.SWALR(optimizer, swa_lr=0.05, **options), []
        for epoch in range(20):
            optimizer.step()
            (decay if epoch < 5 else swa).step()
            row.append(optimizer.param_groups[0]["lr"])
        seen.append(row)
    assert seen[0] == pytest.approx(seen[1], rel=1e-12)
    for bad in ({"anneal_strategy": "cubic"}, {"anneal_epochs": -1}, {"swa_lr": [1.0, 2.0]}):
        with pytest.raises(ValueError):
            swa_utils.SWALR(optim.SGD([nn.Parameter(ccdl.ones(1))], lr=1.0), **{"swa_lr": 0.1, **bad})


@pytest.mark.host  # a whole training
def test_averaging_helps_on_a_noisy_quadratic():
    """The average of SGD's iterates around a minimum is nearer to it than the last iterate."""
    ccdl.manual_seed(0)
    w = nn.Parameter(ccdl.full((50,), 3.0))
    net = nn.ParameterList([w])
    average = swa_utils.AveragedModel(net)
    optimizer = optim.SGD([w], lr=0.3)
    for step in range(300):
        w.grad = w.detach() + ccdl.randn(50)
        optimizer.step()
        if step >= 50:
            average.update_parameters(net)
    assert float(average.module[0].norm()) < 0.3 * float(w.norm())


def test_accumulated_gradients_are_those_of_the_whole_batch():
    """Four quarters, each loss divided by four, give the whole batch's step: same gradients, same optimiser state."""
    ccdl.manual_seed(4)
    x, y = ccdl.randn(32, 5, dtype=ccdl.float64), ccdl.randn(32, 2, dtype=ccdl.float64)
    whole = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    parts = copy.deepcopy(whole)
    optimizers = [optim.AdamW(m.parameters(), lr=0.05) for m in (whole, parts)]
    for _ in range(5):
        optimizers[0].zero_grad()
        F.mse_loss(whole(x), y).backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        for i in range(0, 32, 8):
            (F.mse_loss(parts(x[i : i + 8]), y[i : i + 8]) / 4).backward()
        optimizers[1].step()
    for p, q in zip(whole.parameters(), parts.parameters()):
        np.testing.assert_allclose(p.detach().cpu().numpy(), q.detach().cpu().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(p.grad.cpu().numpy(), q.grad.cpu().numpy(), rtol=1e-10, atol=1e-12)
