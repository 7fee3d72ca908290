"""Gradient diagnostics: the notes' 0.5 and 1.5 examples, Jacobians, dead units, the batch norm study."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl.train import diagnostics


def scaled_net(depth, factor, dtype=ccdl.float64, last=True):
    """W1 = ... = W(L-1) = factor I, W(L) = I, as in the notes."""
    net = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(depth))).to(dtype)
    for i, layer in enumerate(net):
        layer.weight.data.copy_(ccdl.eye(2, dtype=dtype) * (1.0 if last and i == depth - 1 else factor))
    return net


@pytest.mark.parametrize(("factor", "value"), [(0.5, 0.001953125), (1.5, 38.443359375)])
def test_depth_ten_of_the_notes(factor, value):
    """y = W(L) factor^(L-1) x with L = 10: 0.5^9 and 1.5^9; so do the gradients on their way back."""
    net = scaled_net(10, factor)
    x = ccdl.tensor([[1.0, 1.0]], dtype=ccdl.float64, requires_grad=True)
    y = net(x)
    assert y.tolist() == [[value, value]] == [[factor**9] * 2]
    y.sum().backward()
    assert x.grad.tolist() == [[value, value]]
    values = diagnostics.layer_singular_values(net, x)
    assert [v for v, _ in values.values()] == pytest.approx([factor] * 9 + [1.0])
    assert math.prod(v for v, _ in values.values()) == pytest.approx(value)
    assert diagnostics.jacobian_singular_values(net, x).tolist() == pytest.approx([value, value])


def test_half_to_the_150_underflows_in_float32():
    net = scaled_net(151, 0.5, ccdl.float32)
    x = ccdl.ones(1, 2, requires_grad=True)
    y = net(x)
    assert y.tolist() == [[0.0, 0.0]] and 0.5**150 > 0
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "vanishing"), (1.0, "healthy"), (1.5, "exploding")])
def test_report_on_the_notes_nets(factor, verdict):
    """L = 21: the gradient changes by factor per layer, factor^19 from the last hidden layer's output to the first's."""
    net = scaled_net(21, factor)
    flow = diagnostics.gradient_flow(net, lambda m: m(ccdl.ones(1, 2, dtype=ccdl.float64)).sum())
    assert flow.names == [str(i) for i in range(21)] and flow.verdict == verdict
    # from the last layer's output: W(L) = I passes it on, then factor for each of the L - 2 layers between
    assert flow.total == pytest.approx(factor**19, rel=1e-12) and flow.gradients[-2] == flow.gradients[-1]
    assert flow.factor == pytest.approx(factor ** (19 / 20), rel=1e-12)
    # the weights' gradients hide it: forward and backward factors make up for each other
    assert flow.weights[0] == pytest.approx(flow.weights[10], rel=1e-12)
    assert net[0].weight.grad is None and not net[0]._forward_hooks
    text = str(flow)
    assert verdict in text and len(text.splitlines()) == 23


def test_report_on_other_nets():
    ccdl.manual_seed(0)
    x = ccdl.randn(8, 16)
    deep = nn.Sequential(*(m for _ in range(20) for m in (nn.Linear(16, 16), nn.Sigmoid())), nn.Linear(16, 1))
    flow = diagnostics.gradient_flow(deep, lambda m: m(x).sum())
    assert flow.verdict == "vanishing" and flow.factor < 0.5 and "ReLU" in flow.advice

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(20))

        def forward(self, x):
            for layer in self.layers:
                x = x + ccdl.sigmoid(layer(x))
            return x

    # a shortcut carries the gradient past the same sigmoids
    assert diagnostics.gradient_flow(Residual(), lambda m: m(x).sum(), vanishing=1e-2).verdict == "healthy"
    deep[0].weight.requires_grad_(False)
    assert diagnostics.gradient_flow(deep, lambda m: (m(x) * math.inf).sum()).verdict == "not finite"
    zero = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    nn.init.zeros_(zero[2].weight)
    assert diagnostics.gradient_flow(zero, lambda m: m(ccdl.ones(1, 2)).sum()).total == 0.0
    with pytest.raises(ValueError, match="at least two"):
        diagnostics.gradient_flow(nn.Sequential(nn.Linear(2, 2)), lambda m: m(ccdl.ones(1, 2)).sum())


def test_gradient_norms_against_numpy():
    ccdl.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net[2].bias.requires_grad_(False)
    net(ccdl.randn(5, 3)).square().sum().backward()
    rows = diagnostics.gradient_norms(net)
    assert list(rows) == ["0.weight", "0.bias", "2.weight"]
    for name, p in net.named_parameters():
        if name in rows:
            g, w = np.linalg.norm(p.grad.numpy()), np.linalg.norm(p.detach().numpy())
            assert rows[name] == pytest.approx({"grad": g, "weight": w, "ratio": g / w}, rel=1e-5)


def test_jacobian_of_a_nonlinear_layer_against_numpy():
    ccdl.manual_seed(1)
    layer = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double()
    x = ccdl.randn(1, 4, dtype=ccdl.float64)
    w, y = layer[0].weight.detach().numpy(), layer(x).detach().numpy()
    want = np.linalg.svd((1 - y.ravel() ** 2)[:, None] * w, compute_uv=False)
    np.testing.assert_allclose(diagnostics.jacobian_singular_values(layer, x).numpy(), want, rtol=1e-9)


def test_dead_units_and_activation_statistics():
    ccdl.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())
    net[0].bias.data[:3] = -100.0  # three units that no input reaches
    data = [(ccdl.randn(16, 3), None) for _ in range(4)]
    found = diagnostics.dead_units(net, data)
    assert found["1"] == pytest.approx(3 / 8) and net.training
    with diagnostics.ActivationMonitor(net) as monitor:
        outs = [net(x) for x, _ in data]
        sum(o.sum() for o in outs).backward()
    row = monitor.report()["3"]
    values = np.concatenate([o.detach().numpy() for o in outs])
    assert row["mean"] == pytest.approx(values.mean(), rel=1e-5) and row["std"] == pytest.approx(values.std(), rel=1e-5)
    assert row["zeros"] == pytest.approx((values == 0).mean()) and row["dead"] == pytest.approx((values == 0).all(0).mean())
    assert row["grad"] == pytest.approx(1.0)  # of a sum
    assert not net[1]._forward_hooks
    conv = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    conv[0].weight.data.copy_(ccdl.tensor([[[[1.0]]], [[[-1.0]]]]))
    conv[0].bias.data.zero_()
    assert diagnostics.dead_units(conv, ccdl.ones(2, 1, 3, 3)) == {"1": 0.5}  # a channel


# --- the batch norm study --------------------------------------------------------------------------------------------


def test_shift_against_the_hand_calculation():
    """L = (w2 w1 x - y)^2 / 2: G2 = (w2 w1 x - y) w1 x, and G2' the same at w1 - lr G1."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    w1, w2, x, y, lr = 0.7, -1.3, 2.0, 0.5, 0.1
    net[0].weight.data.fill_(w1)
    net[1].weight.data.fill_(w2)

    def loss(model):
        return ((model(ccdl.full((1, 1), x, dtype=ccdl.float64)) - y) ** 2).sum() / 2

    rows = diagnostics.internal_covariate_shift(net, loss, lr)
    error = w2 * w1 * x - y
    moved = w1 - lr * error * w2 * x
    before, after = error * w1 * x, (w2 * moved * x - y) * moved * x
    assert [r.name for r in rows] == ["0.weight", "1.weight"]
    assert rows[0].distance == 0 and rows[0].cosine == pytest.approx(1)
    assert rows[1].distance == pytest.approx(abs(before - after), rel=1e-12)
    assert rows[1].relative == pytest.approx(abs(before - after) / abs(before)) and abs(rows[1].cosine) == pytest.approx(1)
    assert net[0].weight.item() == w1 and net[0].weight.grad is None  # the model is not touched


def test_smoothness_of_a_quadratic_is_its_curvature():
    w = nn.Linear(3, 1, bias=False).double()
    a = ccdl.tensor([1.0, 4.0, 9.0], dtype=ccdl.float64)
    w.weight.data.copy_(ccdl.tensor([[0.0, 0.0, 2.0]]))  # the gradient points along the last axis
    found = diagnostics.gradient_smoothness(w, lambda m: 0.5 * (a * m.weight**2).sum(), steps=(0.1, 0.2))
    assert found["smoothness"] == pytest.approx(9.0, rel=1e-9)
    assert found["loss"] == pytest.approx([0.5 * 9 * (2 - t * 18) ** 2 for t in (0.1, 0.2)])
    with pytest.raises(ValueError, match="positive"):
        diagnostics.gradient_smoothness(w, lambda m: m.weight.sum(), steps=(0.0,))


def test_batch_norm_smooths_and_does_not_reduce_the_shift():
    """The study's two findings on a small net of badly scaled layers, averaged over seeds: along the gradient the loss
    surface is smoother with batch norm, and the gradients of later layers still change when earlier layers move."""
    smooth, shift = {False: [], True: []}, {False: [], True: []}
    for seed in range(6):
        for norm in (False, True):
            ccdl.manual_seed(seed)
            layers = []
            for i in range(5):
                linear = nn.Linear(12, 12)
                linear.weight.data.mul_(4.0)
                layers += [linear, nn.BatchNorm1d(12), nn.ReLU()] if norm else [linear, nn.ReLU()]
            net = nn.Sequential(*layers, nn.Linear(12, 3)).double()
            x, y = ccdl.randn(64, 12, dtype=ccdl.float64), ccdl.arange(64) % 3

            def loss(model, x=x, y=y):
                return nn.functional.cross_entropy(model(x), y)

            size = math.sqrt(sum(v["grad"] ** 2 for v in gradient_of(net, loss).values()))
            steps = tuple(0.1 * k / size for k in (1, 2, 4))  # equal lengths of step in both nets
            smooth[norm].append(diagnostics.gradient_smoothness(net, loss, steps)["smoothness"])
            rows = diagnostics.internal_covariate_shift(net, loss, 0.1 / size, [n for n, p in net.named_parameters() if p.dim() > 1])
            shift[norm].append(np.mean([r.relative for r in rows[1:]]))
    assert np.median(smooth[True]) < 0.2 * np.median(smooth[False])
    assert np.median(shift[True]) > 0.01


def gradient_of(net, loss):
    loss(net).backward()
    found = diagnostics.gradient_norms(net)
    net.zero_grad()
    return found
