"""Backward between edges of the graph, whose tensors may be gone, and what grad_fn objects hold."""

import gc
import weakref

import pytest

import ccdl
from ccdl.autograd.graph import GradientEdge, get_gradient_edge


def test_gradient_at_an_edge_is_that_of_its_tensor():
    x = ccdl.tensor([1.0, 2.0], requires_grad=True)
    inner = x * x
    for tensor in (x, inner, ccdl.var_mean(inner.reshape(1, 2), dim=0, correction=0)[1]):
        out = (tensor * 3).sum()
        (by_tensor,) = ccdl.autograd.grad(out, tensor, retain_graph=True)
        (by_edge,) = ccdl.autograd.grad(out, get_gradient_edge(tensor))
        assert by_edge.tolist() == by_tensor.tolist() == [3.0, 3.0]


def test_edge_names_the_value_before_a_write():
    x = ccdl.ones(2, requires_grad=True).clone()
    before = GradientEdge(x.grad_fn, x.output_nr)
    x *= 2
    old, new = ccdl.autograd.grad(x.sum(), (before, x))
    assert old.tolist() == [2.0, 2.0] and new.tolist() == [1.0, 1.0]


def test_backward_in_two_steps_over_an_edge():
    x = ccdl.tensor([1.0, 2.0], requires_grad=True)
    middle = get_gradient_edge(x * x)
    grads = ccdl.tensor([5.0, 7.0])
    (g,) = ccdl.autograd.grad(middle, x, grad_outputs=grads, retain_graph=True)
    assert g.tolist() == [10.0, 28.0]
    ccdl.autograd.backward(middle, grads, inputs=(get_gradient_edge(x),))
    assert x.grad.tolist() == [10.0, 28.0]
    ccdl.autograd.backward(get_gradient_edge((x * 3).sum()))  # of one element: its gradient is 1
    assert x.grad.tolist() == [13.0, 31.0]


def test_backward_to_the_edge_of_one_leaf_leaves_the_other_alone():
    x, y = ccdl.ones(2, requires_grad=True), ccdl.ones(2, requires_grad=True)
    ccdl.autograd.backward((x * y).sum(), inputs=(get_gradient_edge(x), y.clone()))
    assert x.grad.tolist() == [1.0, 1.0] and y.grad is None


def test_refused_edges():
    x = ccdl.ones(2, requires_grad=True)
    out, edge = (x * 2).sum(), get_gradient_edge(x * 1)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        ccdl.autograd.grad(out, edge, retain_graph=True)
    assert ccdl.autograd.grad(out, edge, allow_unused=True, retain_graph=True) == (None,)
    with pytest.raises(RuntimeError, match="materialize_grads cannot be used"):
        ccdl.autograd.grad(out, (x, edge), allow_unused=True, materialize_grads=True, retain_graph=True)
    used = get_gradient_edge(x)
    assert ccdl.autograd.grad(out, used, materialize_grads=True, retain_graph=True)[0].tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="scalar outputs"):
        ccdl.autograd.grad(edge, x)
    with pytest.raises(RuntimeError, match="shape"):
        ccdl.autograd.grad(edge, x, ccdl.ones(3))
    with pytest.raises(RuntimeError, match="output 5"):
        ccdl.autograd.grad(GradientEdge(edge.node, 5), x, ccdl.ones(2))
    with pytest.raises(RuntimeError, match="non-empty"):
        ccdl.autograd.grad(out, [])


@pytest.mark.parametrize("on", ["tensor", "node", "before"])
def test_hook_that_holds_its_own_node_is_collected(on):
    class Sentinel:
        pass

    def scope():
        x, held, calls = ccdl.ones(2, requires_grad=True), Sentinel(), []
        b = x.exp()
        node = b.grad_fn

        def hook(*grads):
            calls.append((node, held))

        register = {"tensor": b.register_hook, "node": node.register_hook, "before": node.register_prehook}[on]
        register(hook)
        return b.sum(), weakref.ref(held), calls

    out, held, calls = scope()
    gc.collect()
    out.backward(retain_graph=True)
    assert len(calls) == 1 and held() is not None
    calls.clear()
    gc.collect()
    out.backward(retain_graph=True)  # collecting took nothing that is still in use
    assert len(calls) == 1
    calls.clear()
    del out
    gc.collect()
    assert held() is None


def test_defaults_of_forward_reach_setup_context():
    class Power(ccdl.autograd.Function):
        @staticmethod
        def forward(x, y=3):
            return x**y

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.y = inputs
            ctx.save_for_backward(x, None)

        @staticmethod
        def backward(ctx, grad):
            x, nothing = ctx.saved_tensors
            assert nothing is None
            return grad * ctx.y * x ** (ctx.y - 1), None

    x = ccdl.tensor(2.0, requires_grad=True)
    y = Power.apply(x)
    assert y.grad_fn.saved_tensors[0] is x and y.grad_fn.saved_tensors[1] is None
    y.backward()
    assert x.grad.item() == 12.0


def test_a_node_is_called_with_a_gradient_per_output():
    y = ccdl.ones(2, requires_grad=True) * 3
    assert y.grad_fn(ccdl.ones(2))[0].tolist() == [3.0, 3.0]
    for wrong in ((), (ccdl.ones(2), ccdl.ones(2))):
        with pytest.raises(TypeError, match="expected 1 arguments, got"):
            y.grad_fn(*wrong)
