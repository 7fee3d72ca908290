"""The engine: accumulation, versions, in-place through views, freeing, reentrancy, deep graphs, threads."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import ccdl
from ccdl.autograd import Function, grad


def leaf(*values: float) -> ccdl.Tensor:
    return ccdl.tensor(list(values), dtype=ccdl.float64, requires_grad=True)


def test_gradient_adds_at_forks_and_over_calls() -> None:
    x = leaf(1.0, 2.0)
    (x * x + 3 * x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    kept = x.grad
    x.sum().backward()
    assert x.grad.tolist() == [6.0, 8.0] and x.grad is kept


def test_shared_weights_accumulate() -> None:
    w = leaf(2.0)
    y = w
    for _ in range(3):
        y = y * w
    y.backward()
    assert w.grad.tolist() == [32.0]  # d w^4 = 4 w^3


def test_grad_leaves_grad_alone_and_knows_unused() -> None:
    x, unused = leaf(1.0), leaf(1.0)
    (g,) = grad((x * 2).sum(), x)
    assert g.tolist() == [2.0] and x.grad is None
    with pytest.raises(RuntimeError):
        grad((x * 2).sum(), [x, unused])
    assert grad((x * 2).sum(), [x, unused], allow_unused=True)[1] is None
    assert grad((x * 2).sum(), [x, unused], allow_unused=True, materialize_grads=True)[1].tolist() == [0.0]


def test_gradients_nobody_asked_for_are_not_made() -> None:
    """zeta has no derivative in its first argument: asking for the second alone must not try it."""
    x, q = ccdl.tensor([2.0, 3.0], requires_grad=True), ccdl.tensor([1.5, 2.5], requires_grad=True)
    y = ccdl.special.zeta(x * 1.0, q * 1.0).sum()
    (dq,) = ccdl.autograd.grad(y, q, retain_graph=True)
    np.testing.assert_allclose(dq.tolist(), (-x * ccdl.special.zeta(x + 1, q)).tolist(), rtol=1e-6)
    y.backward(inputs=[q], retain_graph=True)
    assert x.grad is None and q.grad.tolist() == dq.tolist()
    for ask in (lambda: ccdl.autograd.grad(y, [q, x], retain_graph=True), lambda: y.backward(retain_graph=True)):
        with pytest.raises(NotImplementedError, match="zeta"):
            ask()
    (again,) = ccdl.autograd.grad(y, q, create_graph=True)  # and of what was asked for, gradients can be taken
    assert again.requires_grad and again.tolist() == dq.tolist()


def test_grad_of_an_intermediate() -> None:
    x = leaf(3.0)
    h = x * x
    (g,) = grad(h.exp().sum(), h)
    np.testing.assert_allclose(g.cpu().numpy(), np.exp([9.0]))


def test_backward_into_chosen_inputs_only() -> None:
    a, b = leaf(2.0), leaf(3.0)
    (a * b).sum().backward(inputs=[a])
    assert a.grad.tolist() == [3.0] and b.grad is None


def test_second_backward_needs_retain_graph() -> None:
    x = leaf(1.0)
    y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), 2 * np.exp([1.0]))
    with pytest.raises(RuntimeError, match="second time|already|freed"):
        y.backward()
    assert x.exp().sum().item() > 0


def test_non_scalar_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="scalar"):
        (x * 2).backward()
    (x * 2).backward(ccdl.tensor([1.0, 10.0], dtype=ccdl.float64))
    assert x.grad.tolist() == [2.0, 20.0]


def test_saved_tensor_modified_in_place_is_found() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    z = y.exp()
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified"):
        z.sum().backward()
    y = x * 1
    w = (y * y).sum()
    with ccdl.no_grad():
        y.add_(1)  # a write under no_grad counts as well
    with pytest.raises(RuntimeError, match="modified"):
        w.backward()


def test_version_belongs_to_the_base() -> None:
    x = ccdl.zeros(4)
    view, alias = x[1:3], x.detach()
    before = x._version
    view.add_(1)
    assert x._version == view._version == alias._version == before + 1


def test_in_place_on_a_leaf_raises() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="leaf"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 2.0
    with ccdl.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0]


def test_write_through_a_view_rebases_the_base() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = x * 1
    y[1:3].mul_(10)
    assert y.tolist() == [1.0, 20.0, 30.0, 4.0]
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 400.0, 600.0, 8.0]


def test_write_to_the_base_shows_in_the_view() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    view = y[0]
    y.mul_(3)
    (g,) = grad(view, x)
    assert g.tolist() == [3.0, 0.0]


def test_chain_of_views_and_writes() -> None:
    x = leaf(*range(1, 7))
    y = (x * 1).reshape(2, 3)
    column = y.t()[1]
    column.add_(column.detach() * 0 + 5)
    column.mul_(2)
    y.select(0, 0).neg_()
    weights = ccdl.tensor([[1.0, 2, 3], [4, 5, 6]], dtype=ccdl.float64)
    (y * weights).sum().backward()
    assert x.grad.tolist() == [-1.0, -4.0, -3.0, 4.0, 10.0, 6.0]


def test_assignment_routes_gradients() -> None:
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 1
    y[1] = v[0] * 2
    (y * ccdl.tensor([1.0, 5.0, 7.0], dtype=ccdl.float64)).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 7.0] and v.grad.tolist() == [10.0]


def test_multi_output_views_refuse_writes() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = (x * 1).split(2)
    with pytest.raises(RuntimeError, match="view"):
        a.mul_(2)
    (a * b).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0, 1.0, 2.0]


def test_detach_cuts_and_shares() -> None:
    x = leaf(1.0)
    d = (x * 2).detach()
    assert not d.requires_grad and d.is_leaf and d.grad_fn is None
    y = x * 1
    assert y.detach().data_ptr() == y.data_ptr()


def test_grad_modes() -> None:
    x = leaf(1.0)
    with ccdl.no_grad():
        assert not (x * 2).requires_grad and not ccdl.is_grad_enabled()
        with ccdl.enable_grad():
            assert (x * 2).requires_grad
    with ccdl.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    with ccdl.inference_mode():
        y = x * 2
    assert not y.requires_grad
    with pytest.raises(RuntimeError):
        (y * x).sum().backward()

    @ccdl.no_grad()
    def f(t: ccdl.Tensor) -> ccdl.Tensor:
        return t * 2

    assert not f(x).requires_grad and ccdl.is_grad_enabled()


def test_grad_mode_is_per_thread() -> None:
    seen = []
    with ccdl.no_grad():
        t = threading.Thread(target=lambda: seen.append(ccdl.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_only_floats_require_grad() -> None:
    with pytest.raises(RuntimeError, match="float"):
        ccdl.ones(2, dtype=ccdl.int64, requires_grad=True)
    with pytest.raises(RuntimeError):
        (leaf(1.0) * 2).requires_grad_(False)


def test_grad_assignment_is_checked() -> None:
    x = leaf(1.0, 2.0)
    x.grad = ccdl.ones(2, dtype=ccdl.float64)
    with pytest.raises(RuntimeError):
        x.grad = ccdl.ones(3, dtype=ccdl.float64)
    with pytest.raises((RuntimeError, TypeError)):
        x.grad = 3.0
    x.grad = None
    assert x.grad is None


def test_create_graph_to_the_third_order() -> None:
    x = leaf(0.7)
    y = x.sin()
    for want in (np.cos(0.7), -np.sin(0.7), -np.cos(0.7)):
        (y,) = grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.item(), want, rtol=1e-12)


@pytest.mark.host
def test_long_chain_backward_and_destruction() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.tolist() == [1.0]
    y = x
    for _ in range(100_000):
        y = y * 1.0
    del y  # 100,000 nodes die without recursion


def test_graph_is_freed() -> None:
    x = leaf(*[1.0] * 10)
    h = x.exp()
    alive = weakref.ref(h)
    y = (h * h).sum()
    del h
    y.backward()
    del y
    gc.collect()
    assert alive() is None


def test_reentrant_backward() -> None:
    """Activation checkpointing in miniature: backward calls backward."""

    class Checkpoint(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            with ccdl.no_grad():
                return x.exp().sin()

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            inner = x.detach().requires_grad_()
            with ccdl.enable_grad():
                y = inner.exp().sin()
            y.backward(dy)
            return inner.grad

    x = leaf(0.3, 0.5)
    y = x
    for _ in range(50):
        y = Checkpoint.apply(y)
    (g,) = grad(y.sum(), x)
    z = x
    for _ in range(50):
        z = z.exp().sin()
    (want,) = grad(z.sum(), x)
    np.testing.assert_allclose(g.cpu().numpy(), want.cpu().numpy(), rtol=1e-12)


def test_several_threads_train_at_once() -> None:
    shared = ccdl.ones(8, dtype=ccdl.float64, requires_grad=True)
    errors = []

    def work(scale: float) -> None:
        try:
            for _ in range(50):
                (shared * scale).sum().backward()
                own = ccdl.ones(3, requires_grad=True)
                (own * own).sum().backward()
                assert own.grad.tolist() == [2.0] * 3
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(s,)) for s in (1.0, 2.0, 4.0, 8.0)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors and shared.grad.tolist() == [750.0] * 8


def test_backward_of_one_graph_from_two_threads_after_retain() -> None:
    x = leaf(*[1.0] * 100)
    y = x.exp().sum()
    y.backward(retain_graph=True)
    threads = [threading.Thread(target=lambda: y.backward(retain_graph=True)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_allclose(x.grad.cpu().numpy(), np.full(100, 5 * np.e))


def test_broadcast_gradients_are_summed() -> None:
    a, b = ccdl.ones(3, 1, dtype=ccdl.float64, requires_grad=True), ccdl.ones(4, dtype=ccdl.float64, requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.shape == (3, 1) and a.grad.flatten().tolist() == [4.0] * 3 and b.grad.tolist() == [3.0] * 4


def test_mixed_dtypes_bring_gradients_back() -> None:
    a = ccdl.ones(2, dtype=ccdl.float32, requires_grad=True)
    b = ccdl.ones(2, dtype=ccdl.float64, requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.dtype == ccdl.float32 and b.grad.dtype == ccdl.float64


def test_expand_and_index_gradients() -> None:
    x = leaf(1.0, 2.0, 3.0)
    (x.expand(4, 3)[:, [0, 0, 2]]).sum().backward()
    assert x.grad.tolist() == [8.0, 0.0, 4.0]


def test_unused_leaf_inputs_do_not_receive_the_gradient_of_others():
    x, unused, other = (ccdl.ones(2, requires_grad=True) for _ in range(3))
    got = ccdl.autograd.grad([x], [unused, other, x], [ccdl.full((2,), 3.0)], allow_unused=True)
    assert got[0] is None and got[1] is None
    assert got[2].tolist() == [3.0, 3.0]
    got = ccdl.autograd.grad([x], [x, unused], [ccdl.full((2,), 3.0)], allow_unused=True)
    assert got[0].tolist() == [3.0, 3.0] and got[1] is None
