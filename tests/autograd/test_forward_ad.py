"""Dual tensors, and writes to tensors kept for backward."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import ccdl
import ccdl.autograd.forward_ad as fw
import ccdl.nn as nn
from ccdl.autograd import graph


def leaf(*values: float) -> ccdl.Tensor:
    return ccdl.tensor(list(values), dtype=ccdl.float64, requires_grad=True)


# ---- dual tensors ----


def test_tangents_follow_the_chain_rule() -> None:
    x, t = np.array([0.3, -1.2, 2.0]), np.array([1.0, -2.0, 0.5])
    with fw.dual_level():
        dual = fw.make_dual(ccdl.tensor(x), ccdl.tensor(t))
        assert fw.unpack_dual(dual).tangent.tolist() == t.tolist()
        y = (dual.sin() * dual).exp()
        primal, tangent = fw.unpack_dual(y)
        assert not primal.requires_grad and not tangent.requires_grad
        np.testing.assert_allclose(primal.cpu().numpy(), np.exp(np.sin(x) * x), rtol=1e-14)
        np.testing.assert_allclose(tangent.cpu().numpy(), np.exp(np.sin(x) * x) * (np.cos(x) * x + np.sin(x)) * t, rtol=1e-13)
        assert fw.unpack_dual(y).tangent is not None, "unpacking twice works"
        assert fw.unpack_dual(ccdl.ones(2)).tangent is None
        assert fw.unpack_dual(dual > 0).tangent is None


def test_two_duals_and_a_constant() -> None:
    with fw.dual_level():
        a = fw.make_dual(ccdl.tensor(3.0), ccdl.tensor(2.0))
        b = fw.make_dual(ccdl.tensor(5.0), ccdl.tensor(7.0))
        assert fw.unpack_dual(a * b).tangent.item() == 2 * 5 + 3 * 7
        assert fw.unpack_dual(a * 0 + 1).tangent.item() == 0
        assert fw.unpack_dual(a + 4).tangent.item() == 2


def test_modules_and_reverse_over_forward() -> None:
    ccdl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, t = ccdl.randn(3, 4, dtype=ccdl.float64), ccdl.randn(3, 4, dtype=ccdl.float64)
    with fw.dual_level():
        primal, tangent = fw.unpack_dual(model(fw.make_dual(x, t)))
        assert primal.requires_grad and tangent.requires_grad
        tangent.pow(2).sum().backward()
    eps = 1e-6
    with ccdl.no_grad():
        want = (model(x + eps * t) - model(x - eps * t)) / (2 * eps)
        assert ccdl.allclose(tangent, want, atol=1e-8)
        w = model[0].weight
        w[1, 2] += eps
        high = ((model(x + eps * t) - model(x - eps * t)) / (2 * eps)).pow(2).sum()
        w[1, 2] -= 2 * eps
        low = ((model(x + eps * t) - model(x - eps * t)) / (2 * eps)).pow(2).sum()
    assert abs(w.grad[1, 2].item() - ((high - low) / (2 * eps)).item()) < 1e-3


def test_no_grad_hides_the_history_and_not_the_tangent() -> None:
    layer = nn.Linear(2, 1, bias=False).double()
    x, t = ccdl.tensor([1.0, 2.0], dtype=ccdl.float64), ccdl.tensor([1.0, -1.0], dtype=ccdl.float64)

    def along() -> tuple[ccdl.Tensor, ccdl.Tensor]:
        return fw.unpack_dual((layer(fw.make_dual(x, t)) ** 2).sum())

    with fw.dual_level():
        free = along()
        assert free[0].requires_grad and free[1].requires_grad and fw._current_level == 0
        with ccdl.no_grad():
            inside = along()
        with ccdl.set_grad_enabled(False), ccdl.enable_grad(), ccdl.no_grad():
            nested = along()
        assert ccdl.no_grad()(along)()[1].requires_grad is False
        assert along()[1].requires_grad, "the switch was put back"
    with ccdl.no_grad():
        with fw.dual_level():
            outside = along()
        assert not (layer.weight * 2).requires_grad
    assert ccdl.is_grad_enabled() and fw._current_level == -1
    for primal, tangent in (inside, nested, outside):
        assert not primal.requires_grad and not tangent.requires_grad
        assert ccdl.equal(primal, free[0].detach()) and ccdl.equal(tangent, free[1].detach())


def test_levels() -> None:
    one = ccdl.ones(1)
    with pytest.raises(RuntimeError, match="no level"):
        fw.make_dual(one, one)
    assert fw.unpack_dual(one) == (one, None)
    with pytest.raises(RuntimeError, match="last one"):
        fw.exit_dual_level()
    with fw.dual_level() as level:
        assert level == 0
        with pytest.raises(RuntimeError, match="Nested"):
            fw.enter_dual_level()
        with pytest.raises(ValueError, match="Expected primal to be floating"):
            fw.make_dual(ccdl.ones(1, dtype=ccdl.int64), one)
        with pytest.raises(ValueError, match="Expected tangent to be floating"):
            fw.make_dual(one, ccdl.ones(1, dtype=ccdl.int64))
        with pytest.raises(RuntimeError, match="different size"):
            fw.make_dual(one, ccdl.ones(2))
        for bad in (None, 1.0):
            with pytest.raises(TypeError, match="make_dual: tangent"):
                fw.make_dual(one, bad)  # type: ignore[arg-type]
        assert fw.make_dual(one, one, level=0) is not one

    @fw.dual_level()
    def derivative(v: float) -> float:
        return fw.unpack_dual(fw.make_dual(ccdl.tensor(v), ccdl.tensor(1.0)) ** 2).tangent.item()

    assert derivative(3.0) == 6.0 and derivative(4.0) == 8.0


def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, t = np.random.default_rng(0).normal(size=(2, 3, 4))

    def run(lib: object, dual_module: object) -> tuple[np.ndarray, np.ndarray]:
        with dual_module.dual_level():
            d = dual_module.make_dual(lib.tensor(x), lib.tensor(t))
            y = lib.softmax(d @ d.t() + d.mean(), 1).cumsum(0)[:, 1:]
            out = dual_module.unpack_dual(y)
            return out.primal.cpu().numpy(), out.tangent.cpu().numpy()

    import torch.autograd.forward_ad as reference

    for got, want in zip(run(ccdl, fw), run(torch, reference)):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


# ---- writes to what backward keeps ----


def test_backward_sees_the_values_from_before_the_write() -> None:
    a = leaf(0.5, 1.0, 2.0)
    with graph.allow_mutation_on_saved_tensors() as context:
        b = a.clone()
        out = (b**2).sum()
        assert len(context.original) >= 1 and len(context.cloned) == 0
        b.sin_()
        assert len(context.cloned) == 1
        b.mul_(3)
        assert len(context.cloned) == 1
        out.backward()
    assert a.grad.tolist() == [1.0, 2.0, 4.0]
    assert len(context.original) == len(context.cloned) == 0


@pytest.mark.parametrize("write", [
    lambda b: b.zero_(), lambda b: b.fill_(3), lambda b: b.copy_(ccdl.zeros(4, dtype=ccdl.float64)), lambda b: b[1:3].add_(1),
    lambda b: b.__setitem__(0, 7.0), lambda b: b.view(2, 2).t().mul_(2), lambda b: b.uniform_(), lambda b: b.detach().exp_(),
    lambda b: b.masked_fill_(b > 0, 9), lambda b: b.index_add_(0, ccdl.tensor([1]), ccdl.ones(1, dtype=ccdl.float64)),
    lambda b: b.scatter_(0, ccdl.tensor([2]), 5.0), lambda b: ccdl.add(b.detach(), 1, out=b.detach()), lambda b: b.data.add_(1),
    lambda b: ccdl._foreach_mul_([b.detach()], 2.0), lambda b: b.clamp_(0, 1), lambda b: b.addcmul_(b, b),
    lambda b: ccdl.exp(b.detach(), out=b.detach()), lambda b: ccdl.sum(ccdl.ones(4, 2, dtype=ccdl.float64), 1, out=b.detach()),
])  # fmt: skip
def test_every_kind_of_write_is_seen(write: object) -> None:
    a = leaf(1.0, 2.0, 3.0, 4.0)
    with graph.allow_mutation_on_saved_tensors():
        b = a * 1
        out = (b * b * b).sum()
        before = b.tolist()
        write(b)
        assert b.tolist() != before
        out.backward()
    assert a.grad.tolist() == [3.0, 12.0, 27.0, 48.0]


def test_an_optimiser_may_step_before_backward() -> None:
    for make in (ccdl.optim.SGD, ccdl.optim.Adam, ccdl.optim.Adafactor):
        w, x = leaf(1.0, 2.0), leaf(3.0, 4.0)
        optimizer = make([w], lr=0.5)
        w.grad = ccdl.ones(2, dtype=ccdl.float64)
        with graph.allow_mutation_on_saved_tensors():
            out = (w * x).sum()
            optimizer.step()
            assert w.tolist() != [1.0, 2.0]
            out.backward()
        assert x.grad.tolist() == [1.0, 2.0]


def test_without_a_write_nothing_is_cloned_and_graphs_let_go() -> None:
    a = leaf(1.0, 2.0)
    with graph.allow_mutation_on_saved_tensors() as context:
        b, c = a.exp(), a + 1
        out = (c * c).sum()
        assert len(context.original) == 2
        del out
        gc.collect()
        assert len(context.original) == 1
        c.add_(1)
        assert len(context.cloned) == 0
        b.sum().backward()
        assert len(context.original) == len(context.cloned) == 0
    np.testing.assert_allclose(a.grad.cpu().numpy(), np.exp([1.0, 2.0]), rtol=1e-15)


def test_the_limits_of_the_context() -> None:
    a = leaf(1.0)
    with graph.allow_mutation_on_saved_tensors():
        with pytest.raises(RuntimeError, match="cannot be nested"):
            with graph.allow_mutation_on_saved_tensors():
                pass
        b = a * 1
        out = (b * b).sum()
        b.add_(1)
        with pytest.raises(RuntimeError, match="leaf"):
            a.add_(1)
    with pytest.raises(AssertionError, match="outside of the 'allow_mutation"):
        out.backward()
    c = a * 1
    out = (c * c).sum()
    c.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        out.backward()


# ---- switches ----


def test_switches_without_effect_keep_their_state() -> None:
    assert ccdl.autograd.is_multithreading_enabled()
    with ccdl.autograd.set_multithreading_enabled(False) as nothing:
        assert nothing is None and not ccdl.autograd.is_multithreading_enabled()
    assert ccdl.autograd.is_multithreading_enabled()

    @ccdl.autograd.set_multithreading_enabled(False)
    def inside() -> bool:
        return ccdl.autograd.is_multithreading_enabled()

    assert ccdl.autograd.is_multithreading_enabled() and not inside()
    with ccdl.autograd.enforce_grad_layout_policy(False):
        (leaf(1.0) * 2).sum().backward()
    with ccdl.no_grad().clone():
        assert not ccdl.is_grad_enabled()


class Cube(ccdl.autograd.Function):
    """Its tangents come from a jvp of its own: there is no backward."""

    @staticmethod
    def forward(ctx: object, x: ccdl.Tensor, scale: float) -> ccdl.Tensor:
        ctx.save_for_forward(x)  # type: ignore[attr-defined]
        ctx.scale = scale  # type: ignore[attr-defined]
        return scale * x**3

    @staticmethod
    def jvp(ctx: object, tangent: ccdl.Tensor, nothing: None) -> ccdl.Tensor:
        assert nothing is None
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return 3 * ctx.scale * x**2 * tangent  # type: ignore[attr-defined]


def test_a_function_with_jvp_needs_no_backward() -> None:
    with fw.dual_level():
        x = fw.make_dual(ccdl.tensor([2.0, 3.0]), ccdl.tensor([1.0, 10.0]))
        y = (Cube.apply(x * 2, 0.5) * 2).sum()  # (2 x)^3
        primal, tangent = fw.unpack_dual(y)
    assert primal.item() == 64 + 216 and tangent.item() == 24 * 4 + 24 * 9 * 10


def test_a_jvp_that_returns_the_wrong_number_is_refused() -> None:
    class Two(Cube):
        @staticmethod
        def jvp(ctx: object, tangent: ccdl.Tensor, nothing: None) -> tuple[ccdl.Tensor, ccdl.Tensor]:
            return tangent, tangent

    with fw.dual_level():
        x = fw.make_dual(ccdl.ones(1), ccdl.ones(1))
        with pytest.raises(RuntimeError, match="expected 1, got 2"):
            Two.apply(x, 1.0)


def test_a_dual_may_be_written_in_place() -> None:
    primal = ccdl.tensor([2.0, 3.0])
    with fw.dual_level():
        x = fw.make_dual(primal, ccdl.tensor([1.0, 10.0]))
        x += 1
        value, tangent = fw.unpack_dual(x)
        assert value.tolist() == [3.0, 4.0] == primal.tolist() and tangent.tolist() == [1.0, 10.0]
        x.mul_(ccdl.tensor([2.0, 3.0]))
        assert fw.unpack_dual(x).tangent.tolist() == [2.0, 30.0]
        with pytest.raises(RuntimeError, match="already has a forward gradient"):
            fw.make_dual(ccdl.ones(2), x)


def test_duals_of_a_level_that_ended_have_no_tangent_in_the_next() -> None:
    with fw.dual_level():
        old = fw.make_dual(ccdl.ones(2), ccdl.ones(2))
    with fw.dual_level():
        fw.make_dual(ccdl.ones(2), ccdl.ones(2))
        assert fw.unpack_dual(old).tangent is None
