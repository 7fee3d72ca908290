"""Arguments that are Python objects made to mislead: lists that hold themselves, objects that change the list they
stand in, text without a UTF-8 form, tensors with more elements than memory has bytes. Each call ends in an error of
Python's kinds, and the next call works."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

import ccdl
import ccdl.nn.functional as F
from ccdl import nn


def loop() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize("name", ["cat", "stack", "zeros", "block_diag", "meshgrid", "broadcast_tensors", "tensor", "as_tensor"])
def test_a_list_that_holds_itself(name: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        getattr(ccdl, name)(loop())


@pytest.mark.parametrize("call", [
    lambda x, l: x.sum(l), lambda x, l: x.view(l), lambda x, l: x.repeat(l), lambda x, l: x.permute(l), lambda x, l: x.to(l),
    lambda x, l: x.split(l), lambda x, l: x.tensor_split(l), lambda x, l: F.pad(x, l), lambda x, l: ccdl.quantile(x, l),
    lambda x, l: ccdl.where(l, 1, 2), lambda x, l: ccdl.index_put(x, l, x), lambda x, l: ccdl.randint(0, 2, l),
    lambda x, l: ccdl.linalg.multi_dot(l), lambda x, l: ccdl.stack((l, x)), lambda x, l: nn.Linear(3, 1)(l),
    lambda x, l: ccdl.autograd.grad(l, l), lambda x, l: x + l, lambda x, l: x[l],
])  # fmt: skip
def test_a_list_that_holds_itself_as_an_option(call: Any) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError, IndexError)):
        call(ccdl.ones(3), loop())
    assert ccdl.ones(3).sum().item() == 3


class Clears:
    """A number whose reading empties the list it stands in."""

    def __init__(self, home: list[Any]) -> None:
        self.home = home

    def __index__(self) -> int:
        self.home.clear()
        return 1

    def __float__(self) -> float:
        return float(self.__index__())


@pytest.mark.parametrize("call", [
    ccdl.zeros, ccdl.tensor, lambda l: ccdl.ones(6).view(l), lambda l: ccdl.ones(1).expand(l), lambda l: ccdl.ones(3, 3, 3)[l],
    lambda l: ccdl.ones(3, 3, 3).sum(l), lambda l: ccdl.ones(3, 3, 3).permute(l), lambda l: F.interpolate(ccdl.ones(1, 1, 3, 3, 3), scale_factor=l),
    lambda l: ccdl.normal(0.0, 1.0, l), lambda l: ccdl.ones(3).repeat(l), lambda l: F.pad(ccdl.ones(3, 3), l), lambda l: ccdl.split(ccdl.ones(9), l),
])  # fmt: skip
@pytest.mark.parametrize("place", [0, 1])
def test_an_entry_that_empties_its_list(call: Any, place: int) -> None:
    home: list[Any] = []
    home.extend([7, 8, 9])
    home[place] = Clears(home)
    with contextlib.suppress(RuntimeError, TypeError, ValueError, IndexError):  # or what the call means for an empty list
        call(home)
    assert home == [] and ccdl.ones(3).sum().item() == 3


def test_a_nested_entry_that_empties_its_list() -> None:
    home: list[Any] = []
    home.extend([[1.0, 2.0], [Clears(home), 3.0], [4.0, 5.0]])
    with pytest.raises(RuntimeError, match="changed its size"):
        ccdl.tensor(home)


def test_a_sequence_longer_than_memory() -> None:
    for data in (range(10**18), [range(10**18)]):
        with pytest.raises((MemoryError, ValueError)):
            ccdl.tensor(data)


def test_text_without_a_utf8_form() -> None:
    for call in (lambda s: ccdl.arange(3, device=s), lambda s: ccdl.device(s), lambda s: F.mse_loss(ccdl.ones(2), ccdl.ones(2), reduction=s),
                 lambda s: ccdl.ones(3).sum(**{s: 1}), lambda s: ccdl.ones(3).norm(s), lambda s: ccdl.einsum(s, ccdl.ones(2))):
        with pytest.raises((ValueError, RuntimeError, TypeError)):
            call("\ud800")


def test_text_is_not_cut_at_a_nul() -> None:
    with pytest.raises(ValueError, match="reduction"):
        F.mse_loss(ccdl.ones(2), ccdl.ones(2), reduction="mean\0")
    for name in ("cpu\0", "cuda:0\0", "cuda:+1", "cuda: 1"):
        with pytest.raises(RuntimeError, match="device"):
            ccdl.device(name)


@pytest.mark.parametrize("name", ["abs", "exp", "clone", "cumsum", "sort", "neg", "contiguous", "bool", "double", "int", "flip", "median", "unique", "argsort", "nonzero"])
def test_more_elements_than_an_address_can_name(name: str) -> None:
    """2^62 elements from one: their bytes overflow 64 bits."""
    x = ccdl.ones(1, 1).expand(2**31, 2**31)
    with pytest.raises((ValueError, MemoryError, RuntimeError)):
        getattr(x, name)(*{"cumsum": (0,), "flip": (0,)}.get(name, ()))


@pytest.mark.parametrize("shape", [(0, 2**40), (2**40, 0), (2**40, 3, 0), (0, 3, 2**40), (3, 0, 2**40)])
@pytest.mark.parametrize("call", [
    lambda x: x.sort(0), lambda x: x.sort(-1), lambda x: x.argsort(0), lambda x: x.msort(), lambda x: x.triu(), lambda x: x.clone().tril_(),
    ccdl.linalg.svdvals, ccdl.linalg.matrix_rank, lambda x: ccdl.linalg.qr(x, mode="r"), lambda x: x.cumsum(0), lambda x: x.softmax(-1),
    lambda x: F.conv1d(x, x), lambda x: x.topk(0, 0), lambda x: x.flip(0), lambda x: x.roll(1, 0), lambda x: x + x, lambda x: x.sum(),
])  # fmt: skip
def test_no_elements_beside_a_huge_size(call: Any, shape: tuple[int, ...]) -> None:
    """Time goes with the elements, not with the sizes: 2^40 rows of none take none."""
    begin = time.process_time()
    with contextlib.suppress(RuntimeError, ValueError, MemoryError, IndexError):
        call(ccdl.empty(shape))
    assert time.process_time() - begin < 2


def test_iterators_without_an_end() -> None:
    def endless() -> Any:
        while True:
            yield 1

    image = ccdl.zeros(1, 1, 8, 8)
    for call in (lambda g: F.adaptive_avg_pool2d(image, g), lambda g: F.adaptive_max_pool2d(image, g), lambda g: F.layer_norm(image, g),
                 lambda g: F.rms_norm(image, g), lambda g: nn.Conv2d(1, 1, g), lambda g: nn.LayerNorm(g),
                 lambda g: F.fractional_max_pool2d(image, 2, output_size=g), lambda g: F.max_unpool2d(image, image.long(), 2, output_size=g),
                 lambda g: F.affine_grid(ccdl.zeros(1, 2, 3), g), lambda g: nn.ConvTranspose2d(1, 1, 3)(image, g),
                 lambda g: ccdl.gradient(image, dim=g), lambda g: ccdl.as_strided_scatter(image, image, g, (1,))):
        with pytest.raises(TypeError):
            call(endless())


def test_inputs_of_backward_are_tensors() -> None:
    w = ccdl.ones(2, requires_grad=True)
    for bad in ([w, 3], [w, None]):
        with pytest.raises((RuntimeError, TypeError), match="inputs"):
            (w * 2).sum().backward(inputs=bad)
    assert w.grad is None
    with pytest.raises(TypeError, match="tuple of Tensor and int"):
        ccdl.autograd.backward((w * 2).sum(), inputs=[w, 3])


@pytest.mark.parametrize("given", [ccdl.ones(3, 4).double(), ccdl.ones(3, 4).int(), ccdl.ones(2), ccdl.ones(0)])
def test_a_hook_returns_a_gradient_like_the_one_that_came(given: ccdl.Tensor) -> None:
    def mine(grad: ccdl.Tensor) -> ccdl.Tensor:
        return given

    for leaf in (True, False):
        w = ccdl.ones(3, 4, requires_grad=True)
        y = w * 2
        (w if leaf else y).register_hook(mine)
        with pytest.raises(RuntimeError, match="hook 'mine' has changed the (size|type) of value"):
            y.sum().backward()
        assert w.grad is None


@pytest.mark.parametrize("given", [3, "x", [1], {}])
def test_a_hook_of_a_node_returns_gradients(given: object) -> None:
    for name in ("register_hook", "register_prehook"):
        y = ccdl.ones(3, requires_grad=True) * 2
        getattr(y.grad_fn, name)(lambda *grads: given)
        with pytest.raises(TypeError, match="expected tuple, but hook returned"):
            y.sum().backward()


@pytest.mark.parametrize("given", ["x", 3, {}, None, [1], object()])
def test_checkers_refuse_what_is_no_tensor(given: object) -> None:
    x = ccdl.ones(3, dtype=ccdl.float64, requires_grad=True)
    with pytest.raises(TypeError, match="Tensor"):
        ccdl.autograd.gradcheck(lambda x: given, (x,))
    with pytest.raises(TypeError, match="Tensor"):
        ccdl.autograd.functional.jacobian(lambda x: given, x)


def test_one_value_may_fill_a_place_that_stands_for_many() -> None:
    x = ccdl.ones(1).expand(3)
    assert x.fill_(2).tolist() == [2, 2, 2] and x.zero_().tolist() == [0, 0, 0]
    w = ccdl.ones(3, requires_grad=True)
    y = w * w
    y.register_hook(lambda grad: grad.zero_())  # the gradient of a sum is one number, expanded
    y.sum().backward()
    assert w.grad.tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="more than one element"):
        x.add_(1)
