"""make_graphed_callables: parts of an eager step as replays, bitwise the eager ones."""

from __future__ import annotations

import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F

pytestmark = pytest.mark.gpu


def curve(graphed):
    ccdl.manual_seed(1)
    first, second = nn.Sequential(nn.Linear(5, 8), nn.Tanh()), nn.Linear(8, 3)
    optimizer = ccdl.optim.SGD([*first.parameters(), *second.parameters()], lr=0.2, momentum=0.9)
    if graphed:
        x, h = ccdl.randn(4, 5), ccdl.randn(4, 8, requires_grad=True)
        first, second = ccdl.cuda.make_graphed_callables((first, second), ((x,), (h,)))
    generator = ccdl.Generator(device="cuda").manual_seed(5)
    losses = []
    for _ in range(5):
        x, y = ccdl.randn(4, 5, generator=generator), ccdl.randint(0, 3, (4,), generator=generator)
        optimizer.zero_grad()
        loss = F.cross_entropy(second(first(x)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_modules_train_as_before():
    assert curve(True) == curve(False)


def test_functions_and_structured_results():
    x = ccdl.ones(3, requires_grad=True)
    f = ccdl.cuda.make_graphed_callables(lambda a, b: {"sum": a + b, "product": (a * b,)}, (x, ccdl.ones(3)))
    a, b = ccdl.tensor([1.0, 2.0, 3.0], requires_grad=True), ccdl.tensor([4.0, 5.0, 6.0])
    out = f(a, b)
    assert out["sum"].tolist() == [5.0, 7.0, 9.0] and out["product"][0].tolist() == [4.0, 10.0, 18.0]
    (out["sum"].sum() + 2 * out["product"][0].sum()).backward()
    assert a.grad.tolist() == [9.0, 11.0, 13.0] and b.grad is None


def test_the_other_mode_runs_as_before():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    net = ccdl.cuda.make_graphed_callables(net, (ccdl.ones(4, 2),))
    count = ccdl.cuda._launch_count()
    net(ccdl.ones(4, 2))
    assert ccdl.cuda._launch_count() - count <= 3, "one replay and the copy of the input"
    net.eval()
    assert ccdl.equal(net(ccdl.ones(4, 2)), F.linear(ccdl.ones(4, 2), net[0].weight, net[0].bias))
    assert net(ccdl.ones(7, 2)).shape == (7, 2)


def test_misuse():
    net = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="sample_args"):
        ccdl.cuda.make_graphed_callables(net, [ccdl.ones(1, 2)])
    with pytest.raises(TypeError, match="CUDA"):
        ccdl.cuda.make_graphed_callables(net, (ccdl.ones(1, 2, device="cpu"),))
    with pytest.raises(ValueError, match="sample_args"):
        ccdl.cuda.make_graphed_callables((net, net), ((ccdl.ones(1, 2),),))
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda *a: None)
    with pytest.raises(RuntimeError, match="hooks"):
        ccdl.cuda.make_graphed_callables(hooked, (ccdl.ones(1, 2),))
    good = ccdl.cuda.make_graphed_callables(net, (ccdl.ones(1, 2),))
    with pytest.raises(ValueError, match="recorded for"):
        good(ccdl.ones(3, 2))
    with pytest.raises(TypeError, match="arguments"):
        good(ccdl.ones(1, 2), ccdl.ones(1, 2))
    assert good(ccdl.ones(1, 2)).shape == (1, 2)
