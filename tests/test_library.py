"""Operators of one's own by name, numbers that come later, and the names of dtypes, layouts and tracers ccdl lacks."""

from __future__ import annotations

import copy
import pickle
import threading
import typing

import pytest

import ccdl
from ccdl import library

np = pytest.importorskip("numpy")


def test_an_operator_with_gradient():
    calls = []

    @library.custom_op("tests::scaled_exp", mutates_args=())
    def scaled_exp(x: ccdl.Tensor, scale: float = 2.0, *, shift: float = 0.0) -> ccdl.Tensor:
        calls.append((scale, shift))
        assert not ccdl.is_grad_enabled() or not x.requires_grad
        return scale * x.exp() + shift

    def setup(ctx, inputs, keyword_only_inputs, output):
        assert keyword_only_inputs["shift"] == (1.0 if len(calls) > 1 else 0.0)
        ctx.save_for_backward(inputs[0])
        ctx.scale = inputs[1]

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return ctx.scale * x.exp() * g, None

    library.register_autograd("tests::scaled_exp", backward, setup_context=setup)
    a = np.linspace(-1, 1, 5)
    for call, scale, shift in ((lambda x: scaled_exp(x), 2.0, 0.0), (lambda x: ccdl.ops.tests.scaled_exp(x, 3.0, shift=1.0), 3.0, 1.0),
                               (lambda x: ccdl.ops.tests.scaled_exp.default(x, scale=0.5, shift=1.0), 0.5, 1.0)):
        x = ccdl.tensor(a, requires_grad=True)
        y = call(x)
        np.testing.assert_allclose(y.detach().numpy(), scale * np.exp(a) + shift, rtol=1e-12)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), scale * np.exp(a), rtol=1e-12)
    assert len(calls) == 3 and not scaled_exp(ccdl.ones(1)).requires_grad
    for wrong in (lambda: scaled_exp(), lambda: scaled_exp(ccdl.ones(1), 1.0, 2.0), lambda: scaled_exp(ccdl.ones(1), other=2)):
        with pytest.raises(TypeError, match="scaled_exp"):
            wrong()


def test_an_operator_without_gradient_and_without_kernel():
    library.define("tests::floor_half", "(Tensor x, int by=2) -> Tensor")
    with pytest.raises(NotImplementedError, match="floor_half.*CPU"):
        ccdl.ops.tests.floor_half(ccdl.ones(1))

    @library.impl("tests::floor_half", "cpu")
    def floor_half(x, by):
        return (x / by).floor()

    @library.register_fake("tests::floor_half")
    def shape(x, by):
        raise AssertionError("never called")

    x = ccdl.tensor([3.0, 8.0], requires_grad=True)
    y = ccdl.ops.tests.floor_half(x)
    assert y.tolist() == [1.0, 4.0] and ccdl.ops.tests.floor_half(x, by=4).tolist() == [0.0, 2.0]
    with pytest.raises(RuntimeError, match="no autograd formula"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="does not exist"):
        library.impl("tests::nothing", "cpu", floor_half)
    with pytest.raises(ValueError, match="namespace::name"):
        library.define("nothing", "() -> ()")
    with pytest.raises(ValueError, match="dispatch key"):
        library.impl("tests::floor_half", "abacus", floor_half)


def test_a_library_of_operators():
    lib = library.Library("tests_lib", "DEF")
    assert lib.define("twice(Tensor x) -> Tensor") == "twice"
    lib.define("twice.scalar(float x) -> float")
    lib.impl("twice", lambda x: x * 2, "CompositeImplicitAutograd")
    lib.impl("twice.scalar", lambda x: x * 2, "CPU")
    x = ccdl.ones(2, requires_grad=True)
    assert ccdl.ops.tests_lib.twice(x.detach()).tolist() == [2.0, 2.0] and ccdl.ops.tests_lib.twice.scalar(4.0) == 8.0
    assert sorted(ccdl.ops.tests_lib.twice.overloads()) == ["default", "scalar"]
    lib.impl("twice", lambda x: x * 3, "Autograd")
    ccdl.ops.tests_lib.twice(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    for ns, kind in (("tests_lib", "OTHER"), ("aten", "DEF")):
        with pytest.raises(ValueError):
            library.Library(ns, kind)
    with pytest.raises(AttributeError, match="no overload name 'other'"):
        _ = ccdl.ops.tests_lib.twice.other
    with pytest.raises(AttributeError, match="'tests_lib'.*'thrice'"):
        _ = ccdl.ops.tests_lib.thrice


@pytest.mark.parametrize("function,schema", [
    ((lambda: None), None),
    ("x: Tensor, n: int = 3, *, eps: float = 1e-05", "(Tensor x, SymInt n=3, *, float eps=1e-05) -> Tensor"),
    ("x: Optional[Tensor], sizes: List[int], flag: bool = True", "(Tensor? x, SymInt[] sizes, bool flag=True) -> Tensor"),
])
def test_schemas_of_functions(function, schema):
    if schema is None:
        with pytest.raises(ValueError, match="return type"):
            library.infer_schema(function, mutates_args=())
        return
    scope = {"Tensor": ccdl.Tensor, "Optional": typing.Optional, "List": list}
    exec(f"def f({function}) -> Tensor: ...", scope)
    assert library.infer_schema(scope["f"], mutates_args=()) == schema
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = {"Tensor": torch.Tensor, "Optional": typing.Optional, "List": list}
    exec(f"def f({function}) -> Tensor: ...", theirs)
    assert torch.library.infer_schema(theirs["f"], mutates_args=()) == schema


def test_own_operators_by_pytorchs_internal_names():
    x = ccdl.tensor([-1.0, 2.0])
    assert ccdl.ops.aten.relu(x).tolist() == ccdl.ops.aten.relu.default(x).tolist() == [0.0, 2.0]
    assert ccdl.ops.aten.add.Tensor(x, x, alpha=2).tolist() == [-3.0, 6.0] and ccdl.ops.aten.sym_size.int(x, 0) == 2
    with pytest.raises(AttributeError, match="no_such_operator"):
        _ = ccdl.ops.aten.no_such_operator
    with pytest.raises(OSError, match="cannot be loaded"):
        ccdl.ops.load_library("anything.so")


def test_foreign_dtypes_and_layouts_are_names_only():
    for name, size, floating in (("uint16", 2, False), ("uint64", 8, False), ("float8_e4m3fn", 1, True), ("qint8", 1, False)):
        kind = getattr(ccdl, name)
        assert kind.itemsize == size and kind.is_floating_point is floating and repr(kind) == f"ccdl.{name}"
        assert pickle.loads(pickle.dumps(kind)) is kind and copy.deepcopy(kind) is kind and ccdl.ones(1).dtype != kind
        for call in (lambda k=kind: ccdl.zeros(1, dtype=k), lambda k=kind: ccdl.ones(1).to(k), lambda k=kind: ccdl.promote_types(k, ccdl.int8)):
            with pytest.raises(TypeError, match=f"{name} is not supported"):
                call()
    assert ccdl.complex32.is_complex and not ccdl.uint32.is_signed and ccdl.legacy_contiguous_format is ccdl.contiguous_format
    assert ccdl.finfo(ccdl.float8_e4m3fn).max == 448 and ccdl.iinfo(ccdl.uint16).max == 65535
    with pytest.raises(NotImplementedError, match="sparse_csr"):
        ccdl.zeros(1, layout=ccdl.sparse_csr)
    assert ccdl.ones(1).layout is ccdl.strided and ccdl.strided != ccdl.sparse_coo != ccdl.jagged


@pytest.mark.parametrize("check,error", [("_check", RuntimeError), ("_check_index", IndexError), ("_check_value", ValueError),
                                         ("_check_type", TypeError), ("_check_not_implemented", NotImplementedError)])  # fmt: skip
def test_checks_of_conditions(check, error):
    check = getattr(ccdl, check)
    assert check(True) is None and check(True, lambda: 1 / 0) is None
    with pytest.raises(error, match="seven"):
        check(False, lambda: "seven")
    with pytest.raises(error, match="Expected cond"):
        check(False)
    with pytest.raises(TypeError, match="bool"):
        check(ccdl.tensor(True))


def test_symbolic_numbers_are_plain():
    assert ccdl.sym_int(2.7) == 2 and ccdl.sym_float(3) == 3.0 and ccdl.sym_max(2, 1.0) == 2.0 and isinstance(ccdl.sym_max(2, 1.0), float)
    assert ccdl.sym_min(2, 1) == 1 and ccdl.sym_not(0) and ccdl.sym_ite(True, 1, 2) == 1 and not isinstance(3, ccdl.SymInt)
    ccdl._check_is_size(3, max=3)
    with pytest.raises(RuntimeError):
        ccdl._check_is_size(-1)
    ccdl._assert_async(ccdl.tensor(True))
    with pytest.raises(RuntimeError, match="why"):
        ccdl._assert_async(ccdl.tensor(0.0), "why")
    from ccdl.fx.experimental import symbolic_shapes

    assert symbolic_shapes.guard_or_false(1 == 1) and not symbolic_shapes.free_symbols(3)


def test_futures():
    futures = [ccdl.futures.Future() for _ in range(3)]
    together = ccdl.futures.collect_all(futures)
    failing = futures[1].then(lambda done: 1 / 0)
    threads = [threading.Thread(target=f.set_result, args=(i,)) for i, f in enumerate(futures)]
    assert not together.done()
    with pytest.raises(RuntimeError, match="not done"):
        futures[0].value()
    for thread in threads:
        thread.start()
    assert ccdl.futures.wait_all(futures) == [0, 1, 2] and together.wait() == futures
    for thread in threads:
        thread.join()
    with pytest.raises(ZeroDivisionError):
        failing.wait()
    with pytest.raises(RuntimeError, match="once"):
        futures[0].set_result(1)
    with pytest.raises(TypeError):
        ccdl.futures.Future().set_exception("text")
    seen = []
    futures[2].add_done_callback(lambda f: seen.append(f.value()))
    assert seen == [2] and ccdl.futures.collect_all([]).wait() == []
