"""Details of the graph that model code and tools rely on: anomaly mode, Variable, layouts of gradients, order of
hooks, retained gradients of views, batched and materialised gradients, names of nodes."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import ccdl
from ccdl.autograd import Function, Variable, grad


class Doubled(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * float("nan")


def test_anomaly_mode_names_the_node_that_returned_nan():
    x = ccdl.zeros(2, requires_grad=True)
    (x.sqrt() * 0).sum().backward()
    assert bool(x.grad.isnan().all())
    assert not ccdl.is_anomaly_enabled()
    with ccdl.autograd.detect_anomaly():
        assert ccdl.is_anomaly_enabled() and ccdl.is_anomaly_check_nan_enabled()
        with pytest.raises(RuntimeError, match="SqrtBackward.*nan values in its 0th output"):
            (x.sqrt() * 0).sum().backward()
        with pytest.raises(RuntimeError, match="DoubledBackward"):
            Doubled.apply(x).sum().backward()
        with pytest.raises(RuntimeError, match="DivBackward.*1th output"):
            grad((ccdl.zeros(2) / x * 0).sum(), x)
        (x * 2).sum().backward()
    assert not ccdl.is_anomaly_enabled()
    with ccdl.autograd.detect_anomaly(check_nan=False):
        (x.sqrt() * 0).sum().backward()
    ccdl.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match="nan"):
            (x.sqrt() * 0).sum().backward()
        with ccdl.autograd.set_detect_anomaly(False):
            (x.sqrt() * 0).sum().backward()
        assert ccdl.is_anomaly_enabled()
    finally:
        ccdl.autograd.set_detect_anomaly(False)


def test_variable_is_a_fresh_leaf_over_the_same_memory():
    x = ccdl.ones(2)
    v = Variable(x, requires_grad=True)
    assert v.requires_grad and not x.requires_grad and v.data_ptr() == x.data_ptr()
    assert isinstance(x, Variable) and not isinstance(1.0, Variable) and issubclass(ccdl.Tensor, Variable)
    y = Variable(v * 3)
    assert y.is_leaf and not y.requires_grad
    assert type(Variable(ccdl.nn.Parameter(x))) is ccdl.Tensor and Variable().numel() == 0
    with pytest.raises(TypeError, match="list"):
        Variable([1.0])
    with pytest.raises(RuntimeError, match="floating"):
        Variable(ccdl.ones(2, dtype=ccdl.int64), requires_grad=True)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_is_laid_out_as_its_leaf(create_graph):
    w = ccdl.randn(3, 4).requires_grad_()
    (ccdl.ones(2, 4) @ w.t()).sum().backward(create_graph=create_graph)
    assert w.grad.stride() == w.stride()
    assert w.grad.view(-1).detach().tolist() == [2.0] * 12
    a = ccdl.randn(2, 3, 4, 5).to(memory_format=ccdl.channels_last).requires_grad_()
    b = ccdl.randn(2, 3, 4, 5).requires_grad_()
    (a * b).sum().backward(create_graph=create_graph)
    assert b.grad.stride() == b.stride()
    np.testing.assert_array_equal(b.grad.detach().cpu().numpy(), a.detach().cpu().numpy())
    if not create_graph:
        assert a.grad.stride() == a.stride()
    c = ccdl.empty_strided((2, 2), (4, 2)).fill_(1).requires_grad_()
    (c * ccdl.ones(2, 2)).sum().backward()
    assert c.grad.stride() == (2, 1)


def test_hooks_run_in_order_and_only_where_the_node_runs():
    log = []

    def tensor_hook(g):
        log.append("tensor")
        return g * 3

    def node_hook(grads):
        log.append("node")
        return tuple(g * 2 for g in grads)

    a = ccdl.tensor(1.0, requires_grad=True)
    b = a.clone()
    b.grad_fn.register_prehook(node_hook)
    b.register_hook(tensor_hook)
    leaf = b.grad_fn.next_functions[0][0]
    leaf.register_prehook(node_hook)
    a.register_hook(tensor_hook)
    after = []
    leaf.register_hook(lambda inputs, outputs: after.append(outputs))
    b.backward(retain_graph=True)
    assert log == ["tensor", "node", "tensor", "node"] and a.grad.item() == 36.0
    assert after[0][0].item() == 36.0
    log.clear()
    assert grad(b, a, retain_graph=True)[0].item() == 18.0 and log == ["tensor", "node", "tensor"]
    log.clear()
    assert grad(b * 1, b)[0].item() == 3.0 and log == ["tensor"]


def test_backward_with_inputs_runs_the_hooks_after_accumulation():
    x, seen = ccdl.ones(2, requires_grad=True), []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (x * 3).sum().backward(inputs=[x])
    assert seen == [[3.0, 3.0]]


def test_retained_gradients_follow_a_view_through_writes():
    base = ccdl.tensor([1.0], requires_grad=True).clone()
    view, other = base[:], base[:]
    view.retain_grad()
    other.retain_grad()
    view.mul_(2)
    (view + other).sum().backward()
    assert view.grad.tolist() == [1.0] and other.grad.tolist() == [1.0]
    a = ccdl.ones(2, requires_grad=True)
    b = a * 1
    first = b[:1]
    first.retain_grad()
    b.mul_(3)
    (first * 2).sum().backward()
    assert first.grad.tolist() == [2.0] and a.grad.tolist() == [6.0, 0.0]


def test_batched_gradients_are_the_rows_of_a_jacobian():
    x = ccdl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    unused = ccdl.ones(2, requires_grad=True)
    g, none = grad(x ** 3, (x, unused), ccdl.eye(3), is_grads_batched=True, create_graph=True, allow_unused=True)
    np.testing.assert_allclose(g.detach().cpu().numpy(), np.diag([3.0, 12.0, 27.0]), rtol=1e-6)
    assert none is None
    (second,) = grad(g.sum(), x)
    np.testing.assert_allclose(second.cpu().numpy(), [6.0, 12.0, 18.0], rtol=1e-6)
    with pytest.raises(RuntimeError, match="first dimension"):
        grad(x.sum(), x, ccdl.tensor(1.0), is_grads_batched=True)


def test_materialised_gradients_can_be_differentiated_again():
    x, a = ccdl.tensor(0.5, requires_grad=True), ccdl.tensor(1.0, requires_grad=True)
    first = grad(x * a, x, create_graph=True)
    second = grad(first, x, create_graph=True, materialize_grads=True)
    assert second[0].item() == 0 and second[0].requires_grad
    assert grad(second, x, materialize_grads=True)[0].item() == 0


def test_an_output_without_gradient_gives_backward_zeros():
    seen = []

    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            index = x.argmax()
            constant, value = x + 1, x * 2
            ctx.mark_non_differentiable(constant)
            return constant, value, index

        @staticmethod
        def backward(ctx, g_constant, g_value, g_index):
            seen.append((g_constant, g_index))
            return g_value * 2

    x = ccdl.ones(3, requires_grad=True)
    constant, value, index = Split.apply(x)
    assert not constant.requires_grad and not index.requires_grad
    value.sum().backward()
    assert seen[0][0].tolist() == [0, 0, 0] and seen[0][1].item() == 0 and x.grad.tolist() == [2, 2, 2]


def test_backward_and_vjp_together_are_refused():
    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

        @staticmethod
        def vjp(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="Both.*'backward' and 'vjp'"):
        Both.apply(ccdl.ones(2, requires_grad=True)).sum().backward()


def test_the_type_of_a_node_is_named_after_its_op():
    x = ccdl.ones(2, requires_grad=True)
    node = (x * 2).grad_fn
    assert type(node).__name__ == "MulBackward" == node.name()
    assert isinstance(node, ccdl.autograd.graph.Node) and type((x * 3).grad_fn) is type(node)
    assert type(node.next_functions[0][0]).__name__ == "AccumulateGrad"
    assert type(Doubled.apply(x).grad_fn).__name__ == "DoubledBackward"
    del node
    gc.collect()
    assert type((x * 2).grad_fn).__name__ == "MulBackward"


def test_grad_modes_reach_closed_generators_and_decorate_classes():
    seen = []

    @ccdl.no_grad()
    def numbers():
        try:
            while True:
                yield ccdl.is_grad_enabled()
        except GeneratorExit:
            seen.append(ccdl.is_grad_enabled())
            raise

    run = numbers()
    assert next(run) is False
    run.close()
    assert seen == [False] and ccdl.is_grad_enabled()
    with pytest.warns(FutureWarning, match="__init__"):
        @ccdl.no_grad()
        class Model:
            def __init__(self):
                self.during = ccdl.is_grad_enabled()

            def call(self):
                return ccdl.is_grad_enabled()

    assert Model().during is False and Model().call() is True


def test_an_inference_tensor_cannot_require_grad_outside():
    with ccdl.inference_mode():
        x = ccdl.ones(2)
    with pytest.raises(RuntimeError, match="inference tensor"):
        x.requires_grad_()
    with pytest.raises(RuntimeError, match="inference tensor"):
        x.requires_grad = True
    assert x.clone().requires_grad_().requires_grad


def test_resizing_to_the_same_sizes_is_no_write():
    x = ccdl.ones(2, 3).t()
    version, stride = x._version, x.stride()
    x.resize_(3, 2)
    assert x._version == version and x.stride() == stride
    x.resize_(6)
    assert x._version == version + 1


def test_conditions():
    ccdl._check(True)
    ccdl._check_tensor_all(ccdl.ones(2) > 0)
    for check, error in [(ccdl._check, RuntimeError), (ccdl._check_value, ValueError), (ccdl._check_index, IndexError),
                         (ccdl._check_type, TypeError), (ccdl._check_not_implemented, NotImplementedError)]:
        with pytest.raises(error, match="expected 3"):
            check(False, lambda: "expected 3")
        with pytest.raises(TypeError, match="bool"):
            check(ccdl.tensor(True))
    with pytest.raises(RuntimeError):
        ccdl._check_tensor_all(ccdl.tensor([True, False]))
    with pytest.raises(RuntimeError):
        ccdl._check_is_size(-1)
    assert not isinstance(1, (ccdl.SymInt, ccdl.SymFloat, ccdl.SymBool))
