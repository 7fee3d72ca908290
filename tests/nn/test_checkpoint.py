"""Activation checkpointing: equal gradients, repeated random numbers, nested inputs, double backward, memory."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential

KINDS = [pytest.param(True, id="reentrant"), pytest.param(False, id="recomputed")]


def net(dropout=0.0):
    ccdl.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Dropout(dropout), nn.Linear(12, 12), nn.GELU(), nn.Linear(12, 3)).double()


def gradients(run, model):
    ccdl.manual_seed(7)
    x = ccdl.randn(5, 6, dtype=ccdl.float64, requires_grad=True)
    model.zero_grad()
    out = run(x)
    out.square().sum().backward()
    return [out.tolist(), x.grad.tolist(), *(p.grad.tolist() for p in model.parameters()), ccdl.rand(1).item()]


@pytest.mark.parametrize("reentrant", KINDS)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_same_values_gradients_and_random_numbers(reentrant, dropout):
    model = net(dropout)
    plain = gradients(model, model)
    assert gradients(lambda x: checkpoint(model, x, use_reentrant=reentrant), model) == plain
    for segments in (1, 2, 3, 6):
        run = lambda x, n=segments: checkpoint_sequential(model, n, x, use_reentrant=reentrant)
        assert gradients(run, model) == plain, segments
    closure = lambda x: checkpoint(lambda v: model(v), x, use_reentrant=reentrant)
    assert gradients(closure, model) == plain


def test_without_preserved_random_numbers_masks_differ():
    model = net(0.5)
    plain = gradients(model, model)
    assert gradients(lambda x: checkpoint(model, x, use_reentrant=False, preserve_rng_state=False), model) != plain


@pytest.mark.parametrize("reentrant", KINDS)
def test_intermediate_results_are_not_kept(reentrant):
    """Peak memory of the forward pass: all 32 layers' outputs against one segment's of 4."""
    size, layers = 1 << 18, 32  # 1 MiB per output
    model = nn.Sequential(*(nn.Tanh() for _ in range(layers)))
    memory = ccdl.cuda if ccdl.ones(1).is_cuda else ccdl.cpu
    kept = []
    for run in (model, lambda x: checkpoint_sequential(model, 8, x, use_reentrant=reentrant)):
        x = ccdl.zeros(size, requires_grad=True)
        before = memory.memory_allocated()
        out = run(x)
        kept.append((memory.memory_allocated() - before) / (4 * size))
        out.sum().backward()
        assert x.grad[0].item() == 1.0
        del out
    assert kept[0] >= layers - 1 and kept[1] <= 8 + 4 + 1


def test_nested_arguments_results_and_keywords():
    w = nn.Parameter(ccdl.tensor([2.0, 3.0], dtype=ccdl.float64))
    x = ccdl.tensor([1.0, -1.0], dtype=ccdl.float64, requires_grad=True)
    y = ccdl.tensor([0.5, 4.0], dtype=ccdl.float64, requires_grad=True)

    def f(data, scale=1.0, *, extra):
        return {"a": data["x"] * w * scale, "b": [extra[0].exp(), "text", ccdl.arange(2)]}

    for run in (f, lambda *a, **k: checkpoint(f, *a, use_reentrant=False, **k)):
        for t in (w, x, y):
            t.grad = None
        out = run({"x": x}, scale=3.0, extra=(y,))
        (out["a"].sum() + (out["b"][0] * 2).sum()).backward()
        assert out["b"][1] == "text" and out["b"][2].tolist() == [0, 1]
        assert x.grad.tolist() == [6.0, 9.0] and w.grad.tolist() == [3.0, -3.0]
        np.testing.assert_allclose(y.grad.cpu().numpy(), 2 * np.exp([0.5, 4.0]))


def test_grad_of_chosen_inputs_and_second_derivatives():
    model = net()
    x = ccdl.randn(4, 6, dtype=ccdl.float64, requires_grad=True)
    results = []
    for run in (model, lambda v: checkpoint(model, v, use_reentrant=False), lambda v: checkpoint(lambda u: model(u), v, use_reentrant=False)):
        (g,) = ccdl.autograd.grad(run(x).pow(3).sum(), x, create_graph=True)
        second = ccdl.autograd.grad(g.square().sum(), [x, *model.parameters()], allow_unused=True)
        results.append([g.tolist(), *(None if s is None else s.tolist() for s in second)])
        (only,) = ccdl.autograd.grad(run(x).sum(), [model[0].weight])
        results[-1].append(only.tolist())
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_allclose(np.zeros(1) if a is None else a, np.zeros(1) if b is None or a is None else b, rtol=1e-9, atol=1e-12)
    assert ccdl.autograd.gradcheck(lambda v: checkpoint(ccdl.tanh, v * 2, use_reentrant=False), (x,))
    assert ccdl.autograd.gradgradcheck(lambda v: checkpoint(ccdl.tanh, v * 2, use_reentrant=False), (x,))


def test_nested_checkpoints():
    model = net(0.3)
    plain = gradients(model, model)

    def inner(x):
        return checkpoint(model[:3], x, use_reentrant=False)

    def outer(x):
        return model[3:](inner(x))

    assert gradients(lambda x: checkpoint(outer, x, use_reentrant=False), model) == plain


def test_inputs_that_depend_on_the_parameters():
    """A gradient that reaches a parameter directly and through an input is not counted twice."""
    w = nn.Parameter(ccdl.tensor([1.5], dtype=ccdl.float64))
    for create in (False, True):
        x = w * 2  # depends on w, which f uses as well
        out = checkpoint(lambda v: v * w, x, use_reentrant=False)  # 2 w^2
        (g,) = ccdl.autograd.grad(out.sum(), w, create_graph=create)
        assert g.item() == pytest.approx(6.0)
        if create:
            assert ccdl.autograd.grad(g, w)[0].item() == pytest.approx(4.0)


def test_tensors_that_no_module_lists():
    """Weights in a plain list, and a leaf and a result of the outer graph that a function just uses."""
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(3, 3).double()]  # not registered

        def forward(self, x):
            return self.layers[0](x)

    hidden, x = Hidden(), ccdl.ones(2, 3, dtype=ccdl.float64, requires_grad=True)
    checkpoint(hidden, x, use_reentrant=False).sum().backward()
    assert hidden.layers[0].weight.grad is not None
    leaf = ccdl.tensor([2.0], dtype=ccdl.float64, requires_grad=True)
    outer = leaf * 3
    out = checkpoint(lambda v: v * outer * leaf, x, use_reentrant=False)  # 3 leaf^2 x
    out.sum().backward()
    assert leaf.grad.item() == pytest.approx(6 * 6 * 2.0)


def test_no_gradient_wanted():
    model = net()
    with ccdl.no_grad():
        out = checkpoint(model, ccdl.ones(1, 6, dtype=ccdl.float64), use_reentrant=False)
    assert not out.requires_grad
    frozen = net().requires_grad_(False)
    assert not checkpoint(frozen, ccdl.ones(1, 6, dtype=ccdl.float64), use_reentrant=False).requires_grad
    out = checkpoint(model, ccdl.ones(1, 6, dtype=ccdl.float64), use_reentrant=False)  # parameters alone
    out.sum().backward()
    assert model[0].weight.grad is not None
    with pytest.warns(UserWarning, match="None of the inputs"):
        assert not checkpoint(model, ccdl.ones(1, 6, dtype=ccdl.float64), use_reentrant=True).requires_grad


def test_input_returned_as_it_is():
    x = ccdl.ones(3, requires_grad=True)
    out = checkpoint(lambda v: v, x, use_reentrant=False)
    (out * 2).sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_contexts_surround_both_computations():
    log = []

    class Note:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            log.append(self.name)

        def __exit__(self, *error):
            log.append("end " + self.name)

    x = ccdl.ones(2, requires_grad=True)
    out = checkpoint(ccdl.exp, x, use_reentrant=False, context_fn=lambda: (Note("first"), Note("second")))
    assert log == ["first", "end first"]
    out.sum().backward()
    assert log == ["first", "end first", "second", "end second"]


def test_a_function_that_changes_is_found():
    calls = []

    def f(x):
        calls.append(0)
        return x * 2 if len(calls) == 1 else x[:1] * 2

    x = ccdl.ones(3, requires_grad=True)
    out = checkpoint(f, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="other shapes"):
        out.sum().backward()


def test_changed_inputs_are_found():
    x = ccdl.ones(3, requires_grad=True)
    y = x * 2
    out = checkpoint(lambda v: v.exp(), y, use_reentrant=False)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified|version"):
        out.sum().backward()


def test_bad_arguments():
    x = ccdl.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="Unexpected keyword"):
        checkpoint(lambda v, k: v, x, k=1, use_reentrant=True)
    with pytest.raises(ValueError, match="context_fn"):
        checkpoint(lambda v: v, x, use_reentrant=True, context_fn=lambda: (None, None))
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(lambda v: v, x, use_reentrant=False, determinism_check="full")
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential([ccdl.exp], 2, x, use_reentrant=False)
    with pytest.raises(ValueError, match="Unexpected keyword"):
        checkpoint_sequential([ccdl.exp], 1, x, use_reentrant=False, other=1)
    with pytest.warns(UserWarning, match="use_reentrant"):
        checkpoint(ccdl.exp, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint(ccdl.exp, x, use_reentrant=True)
    with pytest.raises(RuntimeError, match="not necessary"):
        checkpoint(lambda v: v.detach() + 1, x, use_reentrant=True).sum().backward()


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch.utils.checkpoint as theirs

    weights = [p.tolist() for p in net().parameters()]
    ends = []
    for T, run in ((ccdl, checkpoint), (torch, theirs.checkpoint)):
        model = T.nn.Sequential(T.nn.Linear(6, 12), T.nn.Tanh(), T.nn.Linear(12, 12), T.nn.GELU(), T.nn.Linear(12, 3)).double()
        for p, w in zip(model.parameters(), weights):
            p.data.copy_(T.tensor(w, dtype=T.float64))
        x = T.linspace(-1, 1, 12, dtype=T.float64).reshape(2, 6).requires_grad_()
        out = run(model[:3], x, use_reentrant=False)
        out = run(model[3:], out, use_reentrant=True)
        out.sum().backward()
        ends.append([x.grad.tolist(), *(p.grad.tolist() for p in model.parameters())])
    for a, b in zip(*ends):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
