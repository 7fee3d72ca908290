"""Passes that are asked for some inputs only, callbacks at their end, and writes into views that must be refused."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import ccdl
from ccdl.autograd import Function, Variable


def test_backward_with_inputs_runs_their_nodes() -> None:
    log: list[str] = []

    def note(text: str, factor: float = 1.0) -> Any:
        def hook(grads: Any) -> Any:
            log.append(text)
            return tuple(g * factor for g in grads) if isinstance(grads, tuple) else grads * factor

        return hook

    a = ccdl.tensor(1.0, requires_grad=True)
    b = a.clone()
    b.grad_fn.register_prehook(note("node", 2))
    b.register_hook(note("tensor", 3))
    leaf = b.grad_fn.next_functions[0][0]
    leaf.register_prehook(note("leaf node", 5))
    a.register_hook(note("leaf"))
    a.register_post_accumulate_grad_hook(lambda p: log.append("after"))
    b.sum().backward(inputs=(b,), retain_graph=True)
    assert log == ["tensor", "node"] and b.grad.item() == 3 and a.grad is None
    log.clear()
    b.sum().backward(inputs=(a,), retain_graph=True)
    assert log == ["tensor", "node", "leaf", "leaf node", "after"] and a.grad.item() == 30
    log.clear()
    (g,) = ccdl.autograd.grad(b.sum(), a)
    assert log == ["tensor", "node", "leaf"] and g.item() == 6


def test_backward_with_inputs_leaves_the_rest_alone() -> None:
    a, c = ccdl.ones(2, requires_grad=True), ccdl.ones(2, requires_grad=True)
    b = a * 2
    (b * c).sum().backward(inputs=[b])
    assert ccdl.equal(b.grad, ccdl.ones(2)) and a.grad is None and c.grad is None
    with pytest.raises(RuntimeError, match="cannot be empty"):
        ccdl.autograd.backward(a.sum(), inputs=[])


def test_callbacks_run_at_the_end_of_the_pass() -> None:
    log: list[Any] = []
    queue = Variable._execution_engine.queue_callback
    x = ccdl.ones(2, requires_grad=True)

    def last() -> None:
        log.append(("last", x.grad is not None))

    def hook(grad: Any) -> None:
        def first() -> None:
            log.append("first")
            queue(last)

        queue(first)
        log.append("hook")

    y = x * 2
    y.register_hook(hook)
    y.sum().backward()
    assert log == ["hook", "first", ("last", True)]
    with pytest.raises(RuntimeError, match="only be installed during backward"):
        queue(last)


def test_a_post_accumulate_hook_returns_nothing() -> None:
    x = ccdl.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(lambda p: p.grad)
    with pytest.raises(RuntimeError, match="hooks should return None."):
        x.sum().backward()


def test_a_view_cannot_be_written_where_its_base_could_not() -> None:
    base = ccdl.ones(2, 3)
    view = base[0]
    view.add_(1)
    base.requires_grad_()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        view.add_(1)
    parameter = ccdl.ones(3, requires_grad=True)
    with ccdl.no_grad():
        blind = parameter[:2]
        blind.add_(1)
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode"):
        blind.zero_()
    assert parameter.tolist() == [2.0, 2.0, 1.0]


class First(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x[0]

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return ccdl.stack([grad, ccdl.zeros_like(grad)])


class Halves(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x[0], x[1]

    @staticmethod
    def backward(ctx: Any, a: Any, b: Any) -> Any:
        return ccdl.stack([a, b])


def test_views_that_functions_return_say_whose_they_are() -> None:
    x = ccdl.ones(2, 3, requires_grad=True) * 1
    one = First.apply(x)
    with pytest.raises(RuntimeError, match="Output 0 of FirstBackward is a view .* inside a custom Function"):
        one.add_(1)
    halves = Halves.apply(x)
    with pytest.raises(RuntimeError, match="Output 1 of HalvesBackward is a view .* returns multiple views"):
        halves[1].mul_(2)
    rows = x.unbind()
    with pytest.raises(RuntimeError, match=r"Output \d of \w+ is a view .* returns multiple views"):
        rows[1].mul_(2)
    (one.sum() + halves[1].sum()).backward()


def test_functions_are_classes_not_objects() -> None:
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        f = First()
    with pytest.raises(RuntimeError, match="non-static forward method is deprecated"):
        f(ccdl.ones(2))
    assert First.generate_vmap_rule is False


def test_messages_name_the_way_out() -> None:
    x = ccdl.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Specify retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="Set allow_unused=True"):
        ccdl.autograd.grad((x * 2).sum(), ccdl.ones(1, requires_grad=True))
    with pytest.raises(RuntimeError, match=r"grad_output\[0\] has a shape of .*and output\[0\] has a shape of"):
        ccdl.autograd.grad(x * 2, x, ccdl.ones(3))
    with pytest.raises(RuntimeError, match="If `is_grads_batched=True`, we interpret the first"):
        ccdl.autograd.grad(x * 2, x, ccdl.ones(2, 3), is_grads_batched=True)
    with pytest.raises(ValueError, match="Expected allow_unused to be True or not passed when"):
        ccdl.autograd.grad((x * 2).sum(), x, allow_unused=False, materialize_grads=True)
    with pytest.raises(RuntimeError, match="Deleting tensor's data is not allowed"):
        del x.data
    with ccdl.inference_mode():
        z = ccdl.ones(2)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode is not allowed"):
        z.add_(1)


def test_a_second_derivative_does_not_call_module_hooks_again() -> None:
    x, y = ccdl.rand(1, requires_grad=True), ccdl.rand(1)
    loss = ccdl.nn.MSELoss()
    calls = []
    loss.register_full_backward_hook(lambda module, gi, go: calls.append(1))
    (g,) = ccdl.autograd.grad(loss(x, y), x, create_graph=True)
    assert len(calls) == 1
    (h,) = ccdl.autograd.grad(g, x)
    assert len(calls) == 1 and h.item() == 2.0


def test_an_object_of_a_subclass_keeps_the_history() -> None:
    class Marked(ccdl.Tensor):
        pass

    x = ccdl.ones(2, requires_grad=True)
    y = (x * 3).as_subclass(Marked)
    assert type(y) is Marked and y.requires_grad and not y.is_leaf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y.sum().backward()
    assert ccdl.equal(x.grad, ccdl.full((2,), 3.0))


@pytest.mark.parametrize("write", [
    lambda y: y.zero_(), lambda y: y.fill_(2.0), lambda y: y.copy_(ccdl.zeros(3)), lambda y: y.copy_(ccdl.ones(3, requires_grad=True)),
    lambda y: y.__setitem__(slice(None), 1.0),
])  # fmt: skip
def test_what_was_overwritten_has_a_gradient_of_zeros(write: Any) -> None:
    x = ccdl.ones(3, requires_grad=True)
    y = x * 2
    write(y)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 0, 0]
    z = x.tanh()  # saves its result
    write(z)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    z = x.tanh()
    z.copy_(z)  # changes nothing
    z.sum().backward()
