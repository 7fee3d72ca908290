"""Exchanging what two tensor objects are."""

from __future__ import annotations

import weakref

import pytest

import ccdl
from ccdl import nn
from ccdl.utils import swap_tensors


def test_values_attributes_and_class_change_places() -> None:
    module = nn.Linear(2, 2)
    p, x = module.weight, ccdl.zeros(3)
    before = p.detach().clone()
    p.grad = ccdl.ones(2, 2)
    p.note = "of p"
    x.other = "of x"
    swap_tensors(p, x)
    assert module.weight is p and type(p) is ccdl.Tensor and p.shape == (3,) and p.other == "of x"
    assert p.grad is None and not hasattr(p, "note")
    assert isinstance(x, nn.Parameter) and x.note == "of p" and ccdl.equal(x.detach(), before)
    assert ccdl.equal(x.grad, ccdl.ones(2, 2)) and x.requires_grad
    (x * 3).sum().backward()
    assert ccdl.equal(x.grad, ccdl.full((2, 2), 4.0))
    swap_tensors(x, p)
    assert type(x) is ccdl.Tensor and p.shape == (2, 2) and isinstance(p, nn.Parameter)


def test_slots_change_places() -> None:
    class Slotted(ccdl.Tensor):
        __slots__ = ("a", "b")

    s, t = ccdl.ones(1).as_subclass(Slotted), ccdl.ones(2).as_subclass(Slotted)
    s.a, t.b = 1, 2
    swap_tensors(s, t)
    assert t.a == 1 and s.b == 2 and not hasattr(s, "a") and not hasattr(t, "b")
    with pytest.raises(RuntimeError, match="different slots"):
        swap_tensors(s, ccdl.ones(1))


def test_what_holds_a_tensor_forbids_it() -> None:
    a, b = ccdl.ones(2, requires_grad=True), ccdl.zeros(2)
    ref = weakref.ref(b)
    with pytest.raises(RuntimeError, match="weakref"):
        swap_tensors(a, b)
    del ref
    y = a * 2
    z = y * y
    with pytest.raises(RuntimeError, match="use_count"):
        swap_tensors(y, b)
    with pytest.raises(TypeError, match="t2"):
        swap_tensors(b, 1)
    swap_tensors(a, b)
    with pytest.raises(RuntimeError, match="swap_tensors"):
        z.sum().backward()
    assert ccdl.equal(a, ccdl.zeros(2)) and b.requires_grad
