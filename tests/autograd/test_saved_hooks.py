"""Hooks on what operations keep for backward, on several gradients at once, and edges of the graph."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl.autograd import Function, grad, graph
from ccdl.autograd.graph import saved_tensors_hooks


def leaf(*values: float) -> ccdl.Tensor:
    return ccdl.tensor(list(values), dtype=ccdl.float64, requires_grad=True)


def net() -> tuple[nn.Module, ccdl.Tensor]:
    ccdl.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(64, 5), nn.LogSoftmax(1))
    return model, ccdl.randn(3, 2, 8, 8)


def gradients(model: nn.Module, x: ccdl.Tensor) -> list[ccdl.Tensor]:
    model.zero_grad()
    F.nll_loss(model(x), ccdl.tensor([0, 3, 4])).backward()
    return [p.grad.clone() for p in model.parameters()]


def test_every_kept_tensor_goes_through_the_pair() -> None:
    model, x = net()
    want = gradients(model, x)
    packed: dict[int, np.ndarray] = {}

    def pack(t: ccdl.Tensor) -> int:
        assert not t.requires_grad and t.is_leaf
        packed[len(packed)] = t.cpu().numpy().copy()
        return len(packed) - 1

    used = []

    def unpack(key: int) -> ccdl.Tensor:
        used.append(key)
        return ccdl.from_numpy(packed[key]).to(x.device)

    with saved_tensors_hooks(pack, unpack):
        got = gradients(model, x)
    assert len(packed) >= 6 and set(used) == set(packed)
    assert all(ccdl.equal(a, b) for a, b in zip(got, want))


def test_the_documented_order_of_calls() -> None:
    log = []
    a, b = leaf(2.0), leaf(5.0)
    with saved_tensors_hooks(lambda t: log.append(("pack", t.item())) or t, lambda t: log.append(("unpack", t.item())) or t):
        y = a * b
    assert log == [("pack", 2.0), ("pack", 5.0)] or log == [("pack", 5.0), ("pack", 2.0)]
    y.sum().backward()
    assert sorted(log[2:]) == [("unpack", 2.0), ("unpack", 5.0)]
    assert a.grad.item() == 5.0 and b.grad.item() == 2.0


def test_unpacked_values_are_what_the_gradient_uses() -> None:
    x = leaf(3.0)
    with saved_tensors_hooks(lambda t: t, lambda t: t * 10):
        y = x.exp()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.item(), 10 * np.exp(3.0), rtol=1e-15)


@pytest.mark.parametrize("f", [lambda x: x.exp(), lambda x: x * x * x, lambda x: x.tanh(), lambda x: x.softmax(0),
                               lambda x: (x.reshape(2, 1) @ x.reshape(1, 2)).sum(1)], ids=["exp", "mul", "tanh", "softmax", "matmul"])
def test_higher_derivatives_keep_their_history(f) -> None:
    def second(x: ccdl.Tensor) -> ccdl.Tensor:
        first, = grad(f(x).square().sum(), x, create_graph=True)
        return grad((first * first).sum(), x)[0]

    want = second(leaf(0.3, -0.8))
    with saved_tensors_hooks(lambda t: t.clone(), lambda t: t.clone()):
        got = second(leaf(0.3, -0.8))
    assert ccdl.equal(got, want)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        assert ccdl.autograd.gradgradcheck(f, leaf(0.3, -0.8))


def test_pairs_nest_and_the_innermost_applies() -> None:
    log = []
    pair = lambda name: saved_tensors_hooks(lambda t: log.append(name) or t, lambda t: t)
    x = leaf(1.0)
    with pair("outer"):
        x.exp()
        with pair("inner"):
            x.exp()
        x.exp()
    x.exp()
    assert log == ["outer", "inner", "outer"]

    @pair("decorated")
    def f() -> ccdl.Tensor:
        return x.exp()

    f()
    assert log[-1] == "decorated"
    with ccdl.no_grad(), pair("unused"):
        x.exp()
    assert "unused" not in log


def test_the_state_is_the_threads_own() -> None:
    log = []
    x = leaf(1.0)
    with saved_tensors_hooks(lambda t: log.append(1) or t, lambda t: t):
        other = threading.Thread(target=lambda: x.exp())
        other.start()
        other.join()
    assert log == []


def test_functions_of_ones_own_and_checkpoints() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            x, = ctx.saved_tensors
            return 2 * x * g

    log = []
    x = leaf(3.0)
    with saved_tensors_hooks(lambda t: log.append(t.item()) or t.item(), lambda v: ccdl.tensor([v], dtype=ccdl.float64)):
        y = Square.apply(x)
    y.sum().backward()
    assert 3.0 in log and x.grad.item() == 6.0
    from ccdl.utils.checkpoint import checkpoint
    x.grad = None
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        z = checkpoint(lambda v: v.exp().sin(), x, use_reentrant=False)
    z.sum().backward()
    np.testing.assert_allclose(x.grad.item(), np.cos(np.exp(3.0)) * np.exp(3.0), rtol=1e-12)


def test_strides_come_back_as_they_were() -> None:
    ccdl.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3, bias=False).double()
    x = ccdl.randn(2, 3, 6, 6, dtype=ccdl.float64).to(memory_format=ccdl.channels_last).requires_grad_()
    w = ccdl.randn(4, 3, dtype=ccdl.float64)[::2].t().requires_grad_()

    def run() -> list[ccdl.Tensor]:
        return list(grad(conv(x).square().sum() + (x.mean((2, 3)) @ w).exp().sum(), [x, w, conv.weight]))

    want = run()
    with saved_tensors_hooks(lambda t: t.contiguous().clone(), lambda t: t):
        got = run()
    assert all(ccdl.allclose(a, b, rtol=1e-12) for a, b in zip(got, want))


def test_memory_is_free_when_hooks_keep_nothing() -> None:
    x = leaf(*range(8))
    seen = []
    with saved_tensors_hooks(lambda t: seen.append(weakref.ref(t)) or None, lambda _: ccdl.zeros(8, dtype=ccdl.float64)):
        y = x.exp().sin()
    gc.collect()
    assert all(ref() is None for ref in seen)
    y.sum().backward()
    assert x.grad.tolist() == [0.0] * 8


def test_retained_and_freed_graphs() -> None:
    x = leaf(2.0)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y = x * x
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_misuse() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match="pack_hook is int"):
        saved_tensors_hooks(3, lambda t: t)
    with pytest.raises(TypeError, match="unpack_hook is NoneType"):
        saved_tensors_hooks(lambda t: t, None)
    for bad in (lambda t: t.add_(1), lambda t: t.zero_()):
        with saved_tensors_hooks(bad, lambda t: t), pytest.raises(RuntimeError, match="modifying its input in place"):
            x.detach().clone().requires_grad_().exp()
    for give, kind, text in ((3, TypeError, "result of type int"), (None, TypeError, "NoneType"),
                             (ccdl.zeros(3), RuntimeError, r"\[3\].*must return what was packed: float64 \[2\]"),
                             (ccdl.zeros(2), RuntimeError, "float32.*float64")):
        with saved_tensors_hooks(lambda t: t, lambda t, give=give: give):
            y = x.exp().sum()
        with pytest.raises(kind, match=text):
            y.backward()

    def broken(t: ccdl.Tensor) -> None:
        raise KeyError("from the hook")

    with saved_tensors_hooks(broken, lambda t: t), pytest.raises(KeyError, match="from the hook"):
        x.exp()
    with saved_tensors_hooks(lambda t: t, broken):
        y = x.exp().sum()
    with pytest.raises(KeyError, match="from the hook"):
        y.backward()
    assert grad(x.exp().sum(), x)[0].shape == (2,)  # still fine


def test_disabled() -> None:
    with graph.disable_saved_tensors_hooks("not inside a transform"):
        with pytest.raises(RuntimeError, match="not inside a transform"), saved_tensors_hooks(lambda t: t, lambda t: t):
            pass
        with pytest.raises(RuntimeError, match="not inside a transform"), graph.save_on_cpu():
            pass
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        with pytest.raises(RuntimeError, match="too late"), graph.disable_saved_tensors_hooks("too late"):
            pass
    with pytest.raises(TypeError, match="error_message"), graph.disable_saved_tensors_hooks(3):
        pass


@pytest.mark.parametrize("pin", [False, True])
def test_save_on_cpu(pin: bool) -> None:
    model, x = net()
    want = gradients(model, x)
    with graph.save_on_cpu(pin_memory=pin):
        got = gradients(model, x)
    assert all(ccdl.equal(a, b) for a, b in zip(got, want))
    with pytest.raises(RuntimeError, match="device_type"):
        graph.save_on_cpu(device_type="tpu")


def test_several_gradients_at_once() -> None:
    a, b, c, unused = leaf(1.0), leaf(2.0), leaf(3.0), leaf(4.0)
    inner = a * b
    log = []
    handle = graph.register_multi_grad_hook([a, inner, c, unused], lambda gs: log.append([None if g is None else g.item() for g in gs]))
    loss = (inner * c).sum()
    loss.backward(retain_graph=True)
    assert log == [[6.0, 3.0, 2.0, None]]
    loss.backward(retain_graph=True)
    assert len(log) == 2
    grad(loss, [c], retain_graph=True)  # only what runs is waited for
    assert log[2] == [None, 3.0, 2.0, None] or log[2] == [None, None, 2.0, None]
    handle.remove()
    loss.backward(retain_graph=True)
    assert len(log) == 3
    first = []
    with graph.register_multi_grad_hook((a, c), lambda g: first.append(g.item()), mode="any"):
        loss.backward(retain_graph=True)
        loss.backward()
    assert len(first) == 2
    with pytest.raises(ValueError, match="'all', 'any'"):
        graph.register_multi_grad_hook([a], print, mode="some")
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.register_multi_grad_hook([a.detach()], print)
    with pytest.raises(TypeError, match="callable"):
        graph.register_multi_grad_hook([a], 3)


def test_edges_and_versions() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    edge = graph.get_gradient_edge(x)
    assert edge.node.variable is x and edge.output_nr == 0
    assert graph.get_gradient_edge(y)[:2] == (y.grad_fn, 0) and isinstance(y.grad_fn, graph.Node)
    parts = y.split(1)
    assert graph.get_gradient_edge(parts[1]).output_nr == parts[1].output_nr
    for bad, kind in ((y.detach(), RuntimeError), (3, TypeError)):
        with pytest.raises(kind):
            graph.get_gradient_edge(bad)
    with ccdl.no_grad():
        assert graph.get_gradient_edge(x).node.variable is x
    z = y.exp().square()
    graph.increment_version([y, y.detach()])
    assert y._version == 2
    w = y.sin()
    graph.increment_version(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w.sum().backward()
    z.sum().backward()
    with pytest.raises(TypeError, match="increment_version: got int"):
        graph.increment_version([3])


def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def run(lib):
        log = []
        x = lib.tensor([0.5, -1.0], dtype=lib.float64, requires_grad=True)
        w = lib.tensor([[2.0, 1.0], [0.5, 3.0]], dtype=lib.float64, requires_grad=True)
        hooks = lib.autograd.graph.saved_tensors_hooks(lambda t: log.append(tuple(t.shape)) or t, lambda t: log.append("u") or t)
        with hooks:
            y = lib.tanh(w @ x).exp().sum()
        y.backward()
        seen = []
        handle = lib.autograd.graph.register_multi_grad_hook([x, w], lambda gs: seen.append([tuple(g.shape) for g in gs]))
        (w @ x).sum().backward()
        handle.remove()
        return sorted(map(str, log)), seen, x.grad.tolist(), w.grad.tolist()

    ours, theirs = run(ccdl), run(torch)
    assert ours[1] == theirs[1] and len(ours[0]) == len(theirs[0])
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-12)
    np.testing.assert_allclose(ours[3], theirs[3], rtol=1e-12)
