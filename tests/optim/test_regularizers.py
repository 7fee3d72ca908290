"""Penalties in both conventions, weight decay as a penalty, and the max-norm constraint after each step."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl import optim
from ccdl.optim import regularizers


def weights():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((4, 3)), rng.standard_normal((2, 3, 2))]


@pytest.mark.parametrize("form", ["half", "sum"])
def test_values_and_gradients(form):
    """lambda / 2 ||W||^2 has gradient lambda W; lambda sum theta^2 has gradient 2 lambda theta."""
    arrays = weights()
    tensors = [ccdl.tensor(a).requires_grad_() for a in arrays]
    factor = 0.5 if form == "half" else 1.0
    loss = regularizers.l2_penalty(tensors, 0.3, form)
    assert loss.item() == pytest.approx(0.3 * factor * sum((a**2).sum() for a in arrays), rel=1e-12)
    loss.backward()
    for t, a in zip(tensors, arrays):
        np.testing.assert_allclose(t.grad.cpu().numpy(), 0.3 * 2 * factor * a, rtol=1e-12)
        t.grad = None
    loss = regularizers.l1_penalty(tensors, 0.3)
    assert loss.item() == pytest.approx(0.3 * sum(np.abs(a).sum() for a in arrays), rel=1e-12)
    loss.backward()
    for t, a in zip(tensors, arrays):
        np.testing.assert_allclose(t.grad.cpu().numpy(), 0.3 * np.sign(a), rtol=1e-12)
    both = regularizers.elastic_penalty(tensors, 0.2, 0.3, form)
    assert both.item() == pytest.approx(sum(0.2 * np.abs(a).sum() + 0.3 * factor * (a**2).sum() for a in arrays), rel=1e-12)
    for f in (regularizers.l1_penalty, regularizers.l2_penalty, regularizers.elastic_penalty):
        assert ccdl.autograd.gradcheck(f, (tensors[0].detach().requires_grad_(),))


def test_modules_leave_biases_out():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[0].weight.data.fill_(1.0)
    net[0].bias.data.fill_(5.0)
    assert regularizers.l2_penalty(net, 1.0, "sum").item() == 4.0
    assert regularizers.l2_penalty(net, 1.0, "sum", biases=True).item() == 4.0 + 50.0 + 2.0
    assert regularizers.l1_penalty(net).item() == 4.0


def test_weight_decay_is_the_half_penalty_under_sgd_and_not_under_adam():
    def run(make, penalty):
        w = nn.Parameter(ccdl.tensor([1.0, -2.0, 3.0], dtype=ccdl.float64))
        optimizer = make([w])
        for _ in range(10):
            optimizer.zero_grad()
            loss = ((w - 1) ** 4).sum() / 50
            (loss + regularizers.l2_penalty(w, 0.1) if penalty else loss).backward()
            optimizer.step()
        return w.detach().cpu().numpy()

    np.testing.assert_allclose(run(lambda p: optim.SGD(p, lr=0.1, momentum=0.5, weight_decay=0.1), False),
                               run(lambda p: optim.SGD(p, lr=0.1, momentum=0.5), True), rtol=1e-12)
    np.testing.assert_allclose(run(lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1), False),
                               run(lambda p: optim.Adam(p, lr=0.1), True), rtol=1e-9)
    decoupled = run(lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.1), False)
    assert np.abs(decoupled - run(lambda p: optim.Adam(p, lr=0.1), True)).max() > 1e-2


@pytest.mark.host  # a whole training
def test_l1_makes_weights_sparse():
    ccdl.manual_seed(0)
    x = ccdl.randn(200, 10)
    y = x[:, :2] @ ccdl.tensor([[2.0], [-3.0]])
    w = nn.Parameter(ccdl.zeros(10, 1))
    optimizer = optim.SGD([w], lr=0.01)
    for _ in range(600):
        optimizer.zero_grad()
        (((x @ w - y) ** 2).mean() + regularizers.l1_penalty(w, 0.3)).backward()
        optimizer.step()
    values = np.abs(w.detach().cpu().numpy().ravel())
    assert (values[2:] < 0.02).all() and (values[:2] > 1).all()


@pytest.mark.parametrize("dim", [0, 1])
def test_max_norm_clamps_every_units_vector(dim):
    rng = np.random.default_rng(1)
    for shape in ((6, 5), (4, 3, 2, 2)):
        array = rng.standard_normal(shape) * 3
        w = ccdl.tensor(array)
        regularizers.max_norm_(w, 3.0, dim)
        axes = tuple(a for a in range(len(shape)) if a != dim)
        length = np.sqrt((array**2).sum(axes, keepdims=True))
        assert (length > 3).any()
        np.testing.assert_allclose(w.cpu().numpy(), array * np.minimum(1.0, 3.0 / length), rtol=1e-12)
    assert regularizers.max_norm_(ccdl.zeros(2, 2)) is None  # zeros stay zeros, not NaN
    one = ccdl.tensor([[3.0, -5.0]])
    regularizers.max_norm_(one, 2.0, norm_type=1)
    np.testing.assert_allclose(one.cpu().numpy(), [[0.75, -1.25]])


def test_max_norm_after_each_step():
    ccdl.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = optim.SGD(net.parameters(), lr=5.0)
    constraint = regularizers.MaxNorm(optimizer, c=0.5)
    x = ccdl.randn(16, 5)
    for _ in range(5):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        for layer in (net[0], net[2]):
            assert layer.weight.norm(dim=1).max().item() <= 0.5 + 1e-6
    assert net[0].bias.norm().item() > 0  # biases are free
    constraint.remove()
    net[0].weight.data.fill_(3.0)
    optimizer.step()
    assert net[0].weight.norm(dim=1).max().item() > 0.5
    only = regularizers.MaxNorm(optimizer, c=0.1, parameters=net[2])
    optimizer.step()
    assert net[2].weight.norm().item() <= 0.1 + 1e-6 < net[0].weight.norm(dim=1).max().item()
    only.remove()


def test_bad_arguments():
    w = nn.Parameter(ccdl.ones(2, 2))
    for make, kind in ((lambda: regularizers.l2_penalty(w, 1.0, "double"), ValueError), (lambda: regularizers.l1_penalty([]), ValueError),
                       (lambda: regularizers.l1_penalty([3]), TypeError), (lambda: regularizers.max_norm_(w, 0.0), ValueError),
                       (lambda: regularizers.max_norm_(w, 1.0, dim=2), IndexError), (lambda: regularizers.max_norm_(ccdl.tensor(1.0)), IndexError),
                       (lambda: regularizers.MaxNorm(3), TypeError), (lambda: regularizers.MaxNorm(optim.SGD([w], lr=1.0), c=-1), ValueError)):
        with pytest.raises(kind):
            make()
