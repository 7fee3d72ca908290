"""Subclasses of Tensor: results keep their class, ``__torch_function__`` sees calls, and may be switched off. The same program
runs in PyTorch where that is installed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import ccdl
import ccdl.nn.functional as F
from ccdl import nn


class Plain(ccdl.Tensor):
    pass


class Derived(Plain):
    pass


def make(cls: Any = Plain, **options: Any) -> Any:
    return ccdl.tensor([[1.0, -2.0], [3.0, 4.0]], **options).as_subclass(cls)


@pytest.mark.parametrize("call", [
    lambda x: x + 1, lambda x: 1 - x, lambda x: x * x, lambda x: 2 / x, lambda x: x // 2, lambda x: x % 2, lambda x: x**2, lambda x: 2**x,
    lambda x: x @ x, lambda x: -x, lambda x: abs(x), lambda x: x > 0, lambda x: x == x, lambda x: 1.5 < x, lambda x: x + ccdl.ones(2, 2),
    lambda x: ccdl.ones(2, 2) + x, lambda x: x[0], lambda x: x[:, 1], lambda x: x[x > 0], lambda x: x[[0, 1]], lambda x: next(iter(x)),
    lambda x: x.T, lambda x: x.mT, lambda x: x.data, lambda x: x.sum(), lambda x: x.view(4), lambda x: x.detach(), lambda x: x.clone(),
    lambda x: x.double(), lambda x: x.to("cpu"), lambda x: ccdl.exp(x), lambda x: ccdl.cat([x, ccdl.ones(2, 2)]), lambda x: ccdl.stack([ccdl.ones(2, 2), x]),
    lambda x: ccdl.where(x > 0, x, 0.0), lambda x: F.relu(x), lambda x: F.linear(x, ccdl.ones(3, 2)), lambda x: F.softmax(x, 1), lambda x: x.add_(1),
    lambda x: nn.Linear(2, 3)(x), lambda x: nn.LayerNorm(2)(x), lambda x: F.mse_loss(x, ccdl.ones(2, 2)), lambda x: ccdl.zeros_like(x),
    lambda x: x.requires_grad_(), lambda x: x.new_ones(2), copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)),
])  # fmt: skip
def test_results_are_of_the_class(call: Any) -> None:
    x = make()
    plain = x.as_subclass(ccdl.Tensor)
    assert type(plain) is ccdl.Tensor
    got = call(x)
    assert type(got) is Plain
    if call not in (copy.copy, copy.deepcopy):
        ccdl.manual_seed(0)
        first = call(make()).as_subclass(ccdl.Tensor)
        ccdl.manual_seed(0)
        assert ccdl.equal(first.float(), call(make().as_subclass(ccdl.Tensor)).float())


def test_what_is_no_tensor_stays() -> None:
    x = make()
    assert x.tolist() == [[1, -2], [3, 4]] and x.sum().item() == 6.0 and x.shape == (2, 2) and x.size() == ccdl.Size([2, 2])
    assert type(x.numpy()).__name__ == "ndarray" and float(x[0, 0]) == 1.0 and bool(x[0, 0]) and x.dim() == 2
    assert (x == None) is False and (x != "a") is True  # noqa: E711
    assert repr(x).startswith("Plain(") or "1." in repr(x)


def test_several_results_and_gradients() -> None:
    leaf = ccdl.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
    x = leaf.as_subclass(Plain)
    assert not x.is_leaf and x.requires_grad
    values, places = x.max(1)
    assert type(values) is Plain and type(places) is Plain
    pair = x.max(1)
    assert type(pair.values) is Plain and pair.indices.tolist() == [0, 1]
    assert all(type(part) is Plain for part in x.split(1))
    (x * x).sum().backward()
    assert leaf.grad.tolist() == [[2, -4], [6, 8]]
    w = ccdl.ones(2, requires_grad=True)
    (make() * w).sum().backward()
    assert w.grad.tolist() == [4, 2] and type(w.grad) is ccdl.Tensor


def test_the_most_derived_class_is_taken() -> None:
    a, b = make(Plain), make(Derived)
    assert type(a + b) is Derived and type(b + a) is Derived and type(ccdl.cat([a, b])) is Derived


def test_classes_see_calls() -> None:
    seen: list[tuple[str, int, tuple[type, ...]]] = []

    class Logged(ccdl.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append((func.__name__, len(args), tuple(types)))
            return super().__torch_function__(func, types, args, kwargs or {})

    x = make(Logged)
    assert type(ccdl.add(x, 1, alpha=2)) is Logged and type(x.mean()) is Logged and type(x - 1) is Logged
    assert seen == [("add", 2, (Logged,)), ("mean", 1, (Logged,)), ("sub", 2, (Logged,))]
    seen.clear()
    with ccdl._C.DisableTorchFunctionSubclass():
        assert type(x + 1) is ccdl.Tensor and type(ccdl.exp(x)) is ccdl.Tensor and type(x[0]) is ccdl.Tensor
    assert seen == [] and type(x + 1) is Logged and len(seen) == 1


def test_a_class_answers_itself() -> None:
    class Answer(ccdl.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is ccdl.exp:
                return "exp of mine"
            if func is ccdl.Tensor.add:
                return "sum of mine"
            return NotImplemented

    x = make(Answer)
    assert ccdl.exp(x) == "exp of mine" and x + 1 == "sum of mine" and x.add(1) == "sum of mine"
    with pytest.raises(TypeError, match="no implementation found for 'log'"):
        ccdl.log(x)
    with pytest.raises(TypeError, match="no implementation found"):
        _ = x * 2
    assert ccdl.exp(ccdl.zeros(1)).item() == 1.0

    class Raises(ccdl.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise KeyError("mine")

    for call in (lambda y: y + 1, lambda y: 1 + y, ccdl.exp, lambda y: y[0], lambda y: -y, lambda y: y == 1, lambda y: y @ y):
        with pytest.raises(KeyError, match="mine"):
            call(make(Raises))


def test_a_class_that_switches_itself_off() -> None:
    class Off(ccdl.Tensor):
        __torch_function__ = ccdl._C._disabled_torch_function_impl

    assert type(make(Off) + 1) is ccdl.Tensor and not ccdl.overrides.has_torch_function((make(Off),))
    assert ccdl.overrides.has_torch_function((make(),)) and not ccdl.overrides.has_torch_function((nn.Parameter(ccdl.ones(1)),))


def test_parameters_are_plain_tensors() -> None:
    class Named(nn.Parameter):
        pass

    p = Named(ccdl.ones(2))
    assert type(p + 1) is ccdl.Tensor and type(nn.Buffer(ccdl.ones(2)) * 2) is ccdl.Tensor
    net = nn.Linear(2, 2)
    assert type(net.weight @ net.weight) is ccdl.Tensor


def test_as_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    results = []
    for lib in (torch, ccdl):
        log: list[str] = []

        class Meta(lib.Tensor):
            @staticmethod
            def __new__(cls, data: Any, tag: str = "", **options: Any) -> Any:
                made = lib.as_tensor(data).as_subclass(cls)
                made.tag = tag
                return made

            @classmethod
            def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                tags = [a.tag for a in args if hasattr(a, "tag")]
                made = super().__torch_function__(func, types, args, kwargs or {})
                if isinstance(made, cls):
                    made.tag = "+".join(tags)
                    log.append(func.__name__)
                return made

        a, b = Meta([1.0, 2.0], "a"), Meta([3.0, 4.0], "b")
        c = (a * b).relu()
        d = lib.nn.Linear(2, 2)(a)
        results.append([(a + b).tag, (a + 1).tag, lib.maximum(a, b).tag, a.sum().tag, c.tag, type(d).__name__, lib.stack([a, b]).shape, a.tag, log[:4]])
    assert results[0] == results[1]
