"""Gradients and values that a call could lose or change without a word: views whose base was written after they were
made, tensors given as numbers, bounds that are met exactly, numbers that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ccdl
import ccdl.nn.functional as F

np = pytest.importorskip("numpy")


@pytest.mark.parametrize("make", [
    lambda z: z.unbind(0)[0], lambda z: z.split(1)[1], lambda z: z.chunk(3)[0], lambda z: z.unbind(0)[0][:1], lambda z: z.chunk(3)[1].view(-1),
])  # fmt: skip
def test_one_of_several_views_does_not_outlive_a_write_to_its_base(make: Callable[[Any], Any]) -> None:
    w = ccdl.ones(3, 2, requires_grad=True)
    z = w * 1
    piece = make(z)
    z.mul_(2)
    for use in (lambda: piece * 2, lambda: piece.grad_fn, lambda: piece.sum().backward()):
        with pytest.raises(RuntimeError, match="modified inplace"):
            use()
    assert piece.requires_grad and "Invalid" in repr(piece)
    assert piece.detach().sum().item() == 2 * piece.numel()
    with ccdl.no_grad():
        assert (piece * 2).max().item() == 4
    z.sum().backward()
    assert w.grad.tolist() == [[2.0, 2.0]] * 3


def test_a_view_without_history_of_a_base_that_got_one() -> None:
    w = ccdl.ones(3, 2, requires_grad=True)
    x = ccdl.ones(3, 2)
    several, x_one = x.unbind(0)[0], x[1]
    with ccdl.no_grad():
        unrecorded = x[2]
    x.mul_(w)
    for view in (several, unrecorded):
        assert view.requires_grad
        with pytest.raises(RuntimeError, match="modified inplace"):
            (view * 2).sum().backward()
    (x_one * 2).sum().backward()
    assert w.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]


def test_fill_with_a_tensor_passes_its_gradient() -> None:
    w, t = ccdl.ones(3, requires_grad=True), ccdl.tensor(2.0, requires_grad=True)
    z = w * 1
    z.fill_(t)
    (z * ccdl.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert z.tolist() == [2.0] * 3 and w.grad.tolist() == [0.0] * 3 and t.grad.item() == 6
    y, t.grad = ccdl.ones(4), None
    y[1:3].fill_(t)
    y.sum().backward()
    assert y.tolist() == [1.0, 2.0, 2.0, 1.0] and t.grad.item() == 2
    with pytest.raises(RuntimeError, match="0-dimension"):
        ccdl.ones(3).fill_(ccdl.ones(1))
    assert ccdl.ones(2, dtype=ccdl.int64).fill_(ccdl.tensor(2.5)).tolist() == [2, 2]


@pytest.mark.parametrize("call", [
    lambda t: ccdl.full((2,), t), lambda t: ccdl.full_like(ccdl.ones(2), t), lambda t: ccdl.ones(2).new_full((2,), t), lambda t: F.pad(ccdl.ones(2), (1, 1), value=t),
    lambda t: ccdl.ones(2, 2).fill_diagonal_(t), lambda t: ccdl.addcmul(ccdl.ones(2), ccdl.ones(2), ccdl.ones(2), value=t), lambda t: F.leaky_relu(ccdl.ones(2), t),
    lambda t: F.layer_norm(ccdl.ones(2), (2,), eps=t), lambda t: ccdl.add(ccdl.ones(2), 1, alpha=t), lambda t: F.dropout(ccdl.ones(2), t),
])  # fmt: skip
def test_a_tensor_with_a_gradient_is_no_number(call: Callable[[Any], Any]) -> None:
    t = ccdl.tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError):
        call(t)
    call(t.detach())


def test_bounds_given_as_tensors_pass_the_gradient_of_a_value_that_meets_them() -> None:
    """dx = dy where low <= x <= high; the bound gets it where it replaces the value."""
    x = ccdl.tensor([-1.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    low, high = ccdl.zeros(5, requires_grad=True), ccdl.ones(5, requires_grad=True)
    y = ccdl.clamp(x, low, high)
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert low.grad.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0] and high.grad.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    for call, want in ((lambda v: ccdl.clamp_min(v, ccdl.zeros(5)), [0.0, 1.0, 1.0, 1.0, 1.0]), (lambda v: ccdl.clamp_max(v, ccdl.zeros(5)), [1.0, 1.0, 0.0, 0.0, 0.0]),
                       (lambda v: v.clone().clamp_min_(ccdl.zeros(5)), [0.0, 1.0, 1.0, 1.0, 1.0]), (lambda v: v.clone().clamp_(max=ccdl.zeros(1)), [1.0, 1.0, 0.0, 0.0, 0.0])):
        assert ccdl.autograd.grad(call(x).sum(), x)[0].tolist() == want


def test_the_slope_of_rrelu_at_zero_is_the_one_below() -> None:
    x = ccdl.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    for training in (False, True):
        (slope,) = ccdl.autograd.grad(F.rrelu(x, 0.25, 0.25, training).sum(), x)
        assert slope.tolist() == [0.25, 0.25, 1.0]


def test_truncated_quotients_of_narrow_integers_wrap_the_divisor_first() -> None:
    x = np.array([7, 6, 8, 255], np.uint8)
    want = (x // np.uint8(253)).tolist()
    assert ccdl.tensor(x).div(-3, rounding_mode="trunc").tolist() == want
    assert ccdl.tensor(x).clone().div_(-3, rounding_mode="trunc").tolist() == want


@pytest.mark.parametrize(("size", "scale", "mode"), [((4,), 1.2, "linear"), ((3, 4), (1.3, 1.2), "bilinear"), ((3, 2, 4), (1.2, 1.4, 1.2), "trilinear")])
def test_an_axis_that_keeps_its_size_keeps_its_pixels(size: tuple[int, ...], scale: Any, mode: str) -> None:
    x = ccdl.tensor(np.random.RandomState(0).randn(1, 2, *size))
    assert (F.interpolate(x, scale_factor=scale, mode=mode) == x).all()


def test_ldexp_keeps_the_type_of_the_number_scaled() -> None:
    for dtype in (ccdl.float16, ccdl.bfloat16, ccdl.float32, ccdl.float64):
        y = ccdl.ldexp(ccdl.tensor([0.5, 1.5], dtype=dtype), ccdl.tensor([3, -2]))
        assert y.dtype == dtype and y.tolist() == [4.0, 0.375]
    assert ccdl.ldexp(ccdl.tensor([3]), ccdl.tensor([40])).dtype == ccdl.float32


def test_types_and_counts_of_results_of_sizes_zero() -> None:
    assert ccdl.block_diag(ccdl.tensor(1.0, dtype=ccdl.float64), ccdl.ones(2, 3)).dtype == ccdl.float32
    for split, sections in ((ccdl.hsplit, 2), (ccdl.vsplit, 3), (ccdl.dsplit, 5)):
        assert [tuple(t.shape) for t in split(ccdl.empty(0, 0, 0), sections)] == [(0, 0, 0)] * sections
    x = ccdl.tensor(2.0)
    assert x.mT.item() == 2 and x.adjoint().dim() == 0
    with pytest.raises(IndexError, match="dimension 2 with size 0"):
        ccdl.empty(0, 3, 0)[..., ccdl.tensor([[0], [0]])]
    assert ccdl.empty(0, 3, 0)[..., ccdl.tensor([], dtype=ccdl.int64)].shape == (0, 3, 0)
