"""Hooks, retained gradients, user-defined Functions, object identity, gradcheck, autograd.functional."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl.autograd import Function, functional, grad, gradcheck, gradgradcheck


def leaf(*values: float) -> ccdl.Tensor:
    return ccdl.tensor(list(values), dtype=ccdl.float64, requires_grad=True)


def test_tensor_hooks_see_and_replace() -> None:
    x = leaf(1.0, 2.0)
    h = x * 3
    seen = []
    h.register_hook(lambda g: seen.append(g.tolist()))
    handle = h.register_hook(lambda g: g * 10)
    (h * h).sum().backward(retain_graph=True)
    assert seen == [[6.0, 12.0]] and x.grad.tolist() == [180.0, 360.0]
    handle.remove()
    x.grad = None
    (h * 1).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_leaf_hook_runs_before_accumulation() -> None:
    x = leaf(1.0)
    x.register_hook(lambda g: g + 100)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [102.0]


def test_retain_grad() -> None:
    x = leaf(2.0)
    h = x * x
    h.retain_grad()
    (h * 5).sum().backward()
    assert h.grad.tolist() == [5.0] and x.grad.tolist() == [20.0]


def test_hook_that_raises_leaves_the_engine_usable() -> None:
    x = leaf(1.0)
    y = x * 2

    def bad(g):
        raise ValueError("from the hook")

    y.register_hook(bad)
    with pytest.raises(ValueError, match="from the hook"):
        y.sum().backward()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0]


class Cube(Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x ** 3 * scale

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * 3 * x * x * ctx.scale, None


def test_function_first_and_second_order() -> None:
    x = leaf(0.5, -1.5)
    assert gradcheck(lambda t: Cube.apply(t, 2.0), (x,))
    assert gradgradcheck(lambda t: Cube.apply(t, 2.0), (x,))
    y = Cube.apply(x, 2.0)
    assert "Cube" in type(y.grad_fn).__name__ or "Cube" in y.grad_fn.name()


def test_function_with_several_outputs_and_unused_ones() -> None:
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, da, db):
            return da * 2 + db * 3

    x = leaf(1.0)
    a, b = Split.apply(x)
    a.sum().backward()
    assert x.grad.tolist() == [2.0]


def test_function_needs_input_grad_and_non_differentiable() -> None:
    class Pick(Function):
        @staticmethod
        def forward(ctx, x, y):
            out = x.argmax()
            ctx.mark_non_differentiable(out)
            return x + y, out

        @staticmethod
        def backward(ctx, dy, _):
            assert ctx.needs_input_grad == (True, False)
            return dy, None

    x = leaf(1.0, 5.0)
    value, index = Pick.apply(x, ccdl.ones(2, dtype=ccdl.float64))
    assert index.item() == 1 and not index.requires_grad
    value.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_straight_through_and_guided_relu() -> None:
    class Round(Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, dy):
            return dy

    class GuidedReLU(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return dy * (x > 0) * (dy > 0)

    x = leaf(0.4, 1.6)
    Round.apply(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    x = leaf(1.0, -1.0, 2.0)
    GuidedReLU.apply(x).backward(ccdl.tensor([1.0, 1.0, -1.0], dtype=ccdl.float64))
    assert x.grad.tolist() == [1.0, 0.0, 0.0]


def test_function_that_raises_or_returns_nonsense() -> None:
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return dy, dy  # one input, two gradients

    with pytest.raises(RuntimeError):
        Bad.apply(leaf(1.0)).sum().backward()

    class Shape(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return ccdl.ones(7, dtype=ccdl.float64)

    with pytest.raises(RuntimeError):
        Shape.apply(leaf(1.0, 2.0)).sum().backward()


def test_the_same_tensor_is_the_same_object() -> None:
    p = nn.Parameter(ccdl.ones(2))
    (p * p).sum().backward()
    assert p.grad is p.grad
    grad_fn = (p * 2).grad_fn
    assert grad_fn is not None

    class Keep(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            assert ctx.saved_tensors[0] is p  # a Parameter survives being saved
            return dy

    Keep.apply(p).sum().backward()


def test_python_state_survives_while_the_tensor_lives_in_the_graph() -> None:
    x = leaf(1.0)
    h = x * 2
    h.note = "kept"
    y = h.exp()
    h.retain_grad()
    alive = weakref.ref(h)
    del h
    gc.collect()
    y.sum().backward()
    assert alive() is None or alive().note == "kept"


def test_attributes_weakrefs_and_cycles() -> None:
    x = ccdl.ones(2)
    x.self = x
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None


def test_deepcopy_keeps_leaves_and_refuses_graphs() -> None:
    x = leaf(1.0, 2.0)
    y = copy.deepcopy(x)
    assert y.requires_grad and y.is_leaf and y.tolist() == x.tolist() and y.data_ptr() != x.data_ptr()
    with pytest.raises(RuntimeError):
        copy.deepcopy(x * 2)


def test_gradcheck_finds_a_wrong_gradient() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            return dy * 2.1

    x = leaf(0.5)
    with pytest.raises(RuntimeError):
        gradcheck(Wrong.apply, (x,))
    assert gradcheck(Wrong.apply, (x,), raise_exception=False) is False


def test_jacobian_hessian_vjp_jvp_hvp() -> None:
    a = ccdl.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=ccdl.float64)
    x = ccdl.tensor([0.5, -1.0], dtype=ccdl.float64)

    def f(t):
        return (a @ t).sin()

    def g(t):
        return (t ** 2 * ccdl.tensor([1.0, 3.0], dtype=ccdl.float64)).sum() + t[0] * t[1]

    want = np.cos(a.cpu().numpy() @ x.cpu().numpy())[:, None] * a.cpu().numpy()
    np.testing.assert_allclose(functional.jacobian(f, x).cpu().numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(functional.hessian(g, x).cpu().numpy(), [[2.0, 1.0], [1.0, 6.0]], rtol=1e-12)
    v = ccdl.tensor([1.0, -2.0], dtype=ccdl.float64)
    np.testing.assert_allclose(functional.vjp(f, x, v)[1].cpu().numpy(), v.cpu().numpy() @ want, rtol=1e-12)
    np.testing.assert_allclose(functional.jvp(f, x, v)[1].cpu().numpy(), want @ v.cpu().numpy(), rtol=1e-12)
    np.testing.assert_allclose(functional.hvp(g, x, v)[1].cpu().numpy(), [0.0, -11.0], rtol=1e-12, atol=1e-12)


def test_several_inputs_to_functional() -> None:
    x, y = ccdl.tensor([1.0, 2.0], dtype=ccdl.float64), ccdl.tensor([3.0], dtype=ccdl.float64)
    jx, jy = functional.jacobian(lambda a, b: a * b, (x, y))
    assert jx.tolist() == [[3.0, 0.0], [0.0, 3.0]] and jy.tolist() == [[1.0], [2.0]]


def test_grad_of_grad_penalty() -> None:
    """A gradient penalty, as used to regularise critics: the gradient's norm is itself trained."""
    ccdl.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = ccdl.randn(5, 3, dtype=ccdl.float64).requires_grad_()
    (g,) = grad(model(x).sum(), x, create_graph=True)
    penalty = ((g.square().sum(1).sqrt() - 1) ** 2).mean()
    penalty.backward()
    w = model[0].weight
    eps, delta = 1e-5, ccdl.zeros_like(w)
    delta[1, 2] = eps

    def value(shift):
        with ccdl.no_grad():
            w.add_(shift)
        (g,) = grad(model(x).sum(), x)
        with ccdl.no_grad():
            w.sub_(shift)
        return ((g.square().sum(1).sqrt() - 1) ** 2).mean().item()

    numeric = (value(delta) - value(-delta)) / (2 * eps)
    np.testing.assert_allclose(w.grad[1, 2].item(), numeric, rtol=1e-6)


def test_inference_mode_switched_off_inside_records_again():
    x = ccdl.ones(2, requires_grad=True)
    with ccdl.inference_mode():
        with ccdl.inference_mode(False):
            y = x * 2
        z = x * 2
    assert y.requires_grad and y.grad_fn is not None and not z.requires_grad


def test_saved_variables_is_the_older_name_of_saved_tensors():
    class Square(ccdl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            with pytest.warns(DeprecationWarning, match="saved_variables"):
                return 2 * ctx.saved_variables[0] * g

    x = ccdl.tensor([3.0, -1.0], requires_grad=True)
    Square.apply(x).sum().backward()
    assert x.grad.tolist() == [6.0, -2.0]
