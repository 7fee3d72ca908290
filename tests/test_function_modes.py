"""``overrides.TorchFunctionMode``: contexts that see every call. The programs run in PyTorch as well, where that is installed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import ccdl


def both() -> Any:
    try:
        import torch
    except ImportError:
        return [ccdl]
    return [ccdl, torch]


@pytest.fixture(params=both(), ids=lambda m: m.__name__)
def lib(request: pytest.FixtureRequest) -> Any:
    return request.param


def recorder(lib: Any) -> Any:
    class Recorder(lib.overrides.TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Any] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen.append(func)
            return func(*args, **(kwargs or {}))

    return Recorder()


def test_calls_are_seen_in_every_form(lib: Any) -> None:
    x, T = lib.ones(2, 2), lib.Tensor
    with recorder(lib) as mode:
        y = lib.exp(x)
        y = y.add(1)
        y = y * 2 + x
        y = -y
        y += 1
        y -= x
        y = y @ x
        lib.zeros(2)
        lib.cat([x, x])
        z = x[0]
        y[0] = 5.0
        y = 1 / y
        y > 2  # noqa: B015
    assert mode.seen[:5] == [lib.exp, T.add, T.mul, T.add, T.neg]
    names = [f.__name__ for f in mode.seen]
    assert names[5:10] in (["add_", "sub_", "matmul", "zeros", "cat"], ["__iadd__", "__isub__", "matmul", "zeros", "cat"])
    assert T.__getitem__ in mode.seen and T.__setitem__ in mode.seen
    assert len(names) == 14 and z.tolist() == [1.0, 1.0]
    lib.exp(x)
    x += 1
    assert len(mode.seen) == 14


def test_the_inner_mode_sees_first_and_is_left_meanwhile(lib: Any) -> None:
    with recorder(lib) as outer, recorder(lib) as inner:
        lib.add(lib.ones(1), 1)
    assert [f.__name__ for f in inner.seen] == [f.__name__ for f in outer.seen] == ["ones", "add"]


def test_answers_are_results_and_modes_come_before_classes(lib: Any) -> None:
    class Own(lib.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return "class"

    class Mode(lib.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return NotImplemented if func is lib.sin else ("mode", types)

    plain = lib.ones(2)
    x = plain.as_subclass(Own)
    with Mode():
        kind, types = lib.exp(x)
        assert kind == "mode" and list(types) == [Own]
        assert (x + 1)[0] == "mode" and lib.sin(x) == "class"
        with pytest.raises(TypeError, match="no implementation found|returned NotImplemented"):
            lib.sin(plain)
    assert lib.exp(x) == "class"


def test_errors_leave_the_mode(lib: Any) -> None:
    class Raises(lib.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise KeyError("seen")

    x = lib.ones(2)
    with pytest.raises(KeyError, match="seen"), Raises():
        x + 1
    with Raises():
        for call in (lambda: x.exp(), lambda: x[0], lambda: lib.ones(1)):
            with pytest.raises(KeyError):
                call()
        with pytest.raises(KeyError):
            x[0] = 1
    assert (x + 1).tolist() == [2.0, 2.0]


def test_modes_belong_to_their_thread(lib: Any) -> None:
    seen: list[Any] = []
    with recorder(lib) as mode:
        thread = threading.Thread(target=lambda: seen.append((lib.ones(2) + 1).tolist()))
        thread.start()
        thread.join()
        assert not mode.seen
    assert seen == [[2.0, 2.0]]


def test_training_under_a_mode_changes_nothing() -> None:
    net = ccdl.nn.Sequential(ccdl.nn.Linear(3, 4), ccdl.nn.ReLU(), ccdl.nn.Linear(4, 1))
    x = ccdl.randn(5, 3)
    plain = net(x).sum()
    plain.backward()
    wanted = [p.grad.tolist() for p in net.parameters()]
    net.zero_grad()
    with recorder(ccdl) as mode:
        net(x).sum().backward()
    assert [p.grad.tolist() for p in net.parameters()] == wanted
    assert {"linear", "relu", "sum"} <= {f.__name__ for f in mode.seen}


class Seen(ccdl.Tensor):
    calls: list[str] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.calls.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


def test_classes_see_operators_in_place_and_assignments() -> None:
    x = same = ccdl.tensor([1.0, 2.0]).as_subclass(Seen)
    Seen.calls.clear()
    x += 1
    x *= ccdl.tensor([2.0, 2.0])
    x **= 2
    x[0] = 3
    plain = ccdl.ones(2)
    plain += x
    assert Seen.calls == ["add_", "mul_", "pow_", "__setitem__", "add_"]
    assert x is same and x.as_subclass(ccdl.Tensor).tolist() == [3.0, 36.0]
    assert plain.as_subclass(ccdl.Tensor).tolist() == [4.0, 37.0]


def test_what_is_in_force_may_be_asked() -> None:
    o = ccdl.overrides
    assert o._get_current_function_mode() is None
    with o.BaseTorchFunctionMode() as mode:
        assert o._get_current_function_mode_stack() == [mode]
        assert (ccdl.ones(1) + 1).item() == 2.0
    with pytest.raises(NotImplementedError, match="a mode says"), o.TorchFunctionMode():
        ccdl.ones(1)
    assert not o._get_current_function_mode_stack()
