"""Tensors of the host and the device in one graph or call: what mixes, what is refused, where gradients land."""

from __future__ import annotations

import pytest

import ccdl

pytestmark = pytest.mark.gpu


def test_gradients_return_to_the_device_of_their_leaf() -> None:
    x = ccdl.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    w = ccdl.tensor(3.0, device="cpu", requires_grad=True)
    on_device = ccdl.tensor([4.0, 5.0], device="cuda", requires_grad=True)
    ((x * x).cuda() * on_device * w).sum().backward()
    assert x.grad.device.type == w.grad.device.type == "cpu" and on_device.grad.is_cuda
    assert x.grad.tolist() == [24.0, 60.0] and w.grad.item() == 24.0 and on_device.grad.tolist() == [3.0, 12.0]


def test_in_place_on_a_host_number_refuses_the_device() -> None:
    total = ccdl.tensor(0.0, device="cpu")
    with pytest.raises(RuntimeError, match="same device"):
        total += ccdl.tensor(1.0, device="cuda")
    assert total.item() == 0.0
    on_device = ccdl.ones(2, device="cuda")
    on_device += total + 2
    assert on_device.tolist() == [3.0, 3.0]


def test_host_numbers_join_searches_and_choices() -> None:
    x = ccdl.tensor([1.0, 2.0, 3.0], device="cuda")
    three = ccdl.tensor(3.0, device="cpu")
    assert ccdl.isin(x, three).tolist() == [False, False, True]
    assert ccdl.searchsorted(x, three).item() == 2
    assert ccdl.where(x > 1, x, ccdl.tensor(0.0, device="cpu")).tolist() == [0.0, 2.0, 3.0]
    assert ccdl.quantile(x, ccdl.tensor(0.5, device="cpu")).item() == 2.0
    leaf = x.clone().requires_grad_(True)
    (leaf ** ccdl.tensor(2.0, device="cpu")).sum().backward()
    assert leaf.grad.tolist() == [2.0, 4.0, 6.0]
    leaf.grad = None
    ccdl.xlogy(leaf, 2.0).sum().backward()
    assert leaf.grad.is_cuda


def test_one_optimiser_over_host_and_device() -> None:
    here = ccdl.nn.Parameter(ccdl.ones(3, device="cpu"))
    there = ccdl.nn.Parameter(ccdl.ones(3, device="cuda"))
    for kind in (ccdl.optim.SGD, ccdl.optim.Adam):
        step = kind([here, there], lr=0.5)
        (here.cuda() * there).sum().backward()
        step.step()
        step.zero_grad()
        assert here.tolist() == there.tolist()


def test_a_recorded_step_refuses_host_tensors() -> None:
    step = ccdl.cuda.graph(lambda x, scale: x * scale)
    with pytest.raises(TypeError, match="CPU"):
        step(ccdl.ones(2, device="cuda"), ccdl.tensor(2.0, device="cpu"))
