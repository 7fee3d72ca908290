"""Forms of calls that PyTorch's parser takes: other names, lists of any length, numbers alone, out= of any shape."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ccdl


def test_lists_longer_than_a_shape_may_be() -> None:
    x = ccdl.arange(120.0)
    sizes = [1] * 40 + [2] * 40
    for pieces in (ccdl.split(x, sizes), x.split(sizes), x.split_with_sizes(sizes)):
        assert len(pieces) == 80 and pieces[-1].tolist() == [118.0, 119.0]
    borders = list(range(1, 100))
    for given in (borders, ccdl.tensor(borders)):
        want = np.array_split(x.numpy(), borders)
        got = ccdl.tensor_split(x, given)
        assert [g.tolist() for g in got] == [w.tolist() for w in want]
    with pytest.raises(ValueError, match=r"'size' has 65 entries; tensors have at most 16 dimensions"):
        ccdl.ones([1] * 65)


def test_other_names_of_arguments() -> None:
    a, b = ccdl.arange(6.0).reshape(2, 3), ccdl.ones(2, 3)
    assert ccdl.equal(ccdl.add(x1=a, x2=b), a + b)
    assert ccdl.equal(ccdl.sum(a=a, axis=0, keepdims=True), a.sum(0, keepdim=True))
    assert [p.tolist() for p in ccdl.tensor_split(a, indices=(1,), dim=1)] == [
        p.tolist() for p in ccdl.tensor_split(a, (1,), 1)
    ]
    assert len(ccdl.tensor_split(input=a, sections=2)) == 2
    square = ccdl.tensor([[4.0, 1.0], [1.0, 3.0]])
    assert ccdl.linalg.norm(input=square).item() == pytest.approx(27**0.5)
    assert ccdl.equal(ccdl.linalg.cholesky(input=square), ccdl.linalg.cholesky(square))
    assert ccdl.linalg.matrix_rank(input=square).item() == 2
    solution = ccdl.linalg.lstsq(input=square, b=ccdl.ones(2, 1), driver="gels")
    assert solution.rank.numel() == 0 and ccdl.allclose(square @ solution.solution, ccdl.ones(2, 1))
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        ccdl.linalg.norm(input=[1.0])
    assert ccdl.zeros(2).copy_(other=ccdl.ones(2)).tolist() == [1.0, 1.0]
    assert ccdl.zeros(4).resize_as_(the_template=ccdl.ones(2, 2)).shape == (2, 2)


def test_two_numbers() -> None:
    assert ccdl.add(2, 3).item() == 5 and ccdl.add(2, 3).dtype is ccdl.int64
    assert ccdl.sub(1.5, 1).item() == 0.5 and ccdl.mul(2, 1.5).dtype is ccdl.float32
    assert ccdl.true_divide(1, 2).item() == 0.5 and ccdl.floor_divide(5, 2).item() == 2
    assert ccdl.mul(2, ccdl.ones(2)).tolist() == [2.0, 2.0]


def test_floats_take_bools() -> None:
    assert ccdl.nn.functional.leaky_relu(ccdl.tensor([-2.0]), True).item() == -2
    assert ccdl.linspace(False, True, 3).tolist() == [0.0, 0.5, 1.0]


def test_subtracting_bools_is_refused() -> None:
    mask = ccdl.tensor([True, False])
    for call in (lambda: 1 - mask, lambda: mask - 1, lambda: ccdl.ones(2) - mask, lambda: mask - ccdl.ones(2)):
        with pytest.raises(RuntimeError, match="with a bool tensor is not supported"):
            call()
    with pytest.raises(RuntimeError, match="with two bool tensors"):
        mask - mask


def test_ranges_fill_an_out_of_any_shape() -> None:
    x = ccdl.zeros(2, 3)
    ccdl.linspace(0, 3, 4, out=x.narrow(1, 1, 2))
    assert x.tolist() == [[0.0, 0.0, 1.0], [0.0, 2.0, 3.0]]
    ccdl.arange(4, out=x.narrow(1, 1, 2).view(2, 2), dtype=ccdl.float32)
    assert x.tolist() == [[0.0, 0.0, 1.0], [0.0, 2.0, 3.0]]
    with pytest.raises(RuntimeError, match="dtype int32 does not match"):
        ccdl.zeros(2, dtype=ccdl.int32, out=ccdl.ones(2))
    assert ccdl.arange(3.0, out=ccdl.ones(3), requires_grad=True).requires_grad
    assert ccdl.asarray([1.0], requires_grad=True).requires_grad


def test_indices_go_to_int64() -> None:
    x = ccdl.tensor([[3.0, 1.0]])
    wrong = ccdl.empty(0)
    calls = (
        lambda: ccdl.sort(x, out=(ccdl.empty(0), wrong)),
        lambda: ccdl.max(x, 1, out=(ccdl.empty(0), wrong)),
        lambda: ccdl.argmax(x, 1, out=wrong),
        lambda: ccdl.nonzero(x, out=wrong),
    )
    for call in calls:
        with pytest.raises(RuntimeError, match="indices are int64"):
            call()


def test_large_integers_are_numbers() -> None:
    assert ccdl.tensor([2**70, -(2**65)], dtype=ccdl.float64).tolist() == [2.0**70, -(2.0**65)]
    assert ccdl.tensor(2**70, dtype=ccdl.bool).item() is True
    for call in (lambda: ccdl.tensor(2**70), lambda: ccdl.tensor([1, 2**70])):
        with pytest.raises(ValueError, match="int64"):
            call()
    with pytest.raises(OverflowError):
        ccdl.tensor(10**400, dtype=ccdl.float32)


def test_joining_empty_vectors_along_any_dimension() -> None:
    assert ccdl.cat([ccdl.empty(0), ccdl.empty(0)], dim=1).shape == (0,)
    assert ccdl.cat([ccdl.empty(0), ccdl.ones(2, 1)], dim=1).shape == (2, 1)


def test_set_to_a_storage() -> None:
    base = ccdl.arange(6.0)
    x = ccdl.empty(0).set_(base.storage(), 1, (2, 2), (2, 1))
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    x[0, 0] = 9
    assert base[1].item() == 9
    assert ccdl.empty(0).set_(base.untyped_storage(), 2, (2,)).tolist() == [2.0, 3.0]
    assert ccdl.ones(2).set_().shape == (0,)
    for bad in ((base.storage(), 5, (2, 2), (2, 1)), (base.storage(), 0, (2**62,), (1,))):
        with pytest.raises((RuntimeError, ValueError)):
            ccdl.empty(0).set_(*bad)
    with pytest.raises(TypeError, match="'source' must be Tensor or a storage"):
        ccdl.empty(0).set_([1.0])


def test_shallow_copy_reversed_and_subclass() -> None:
    x = ccdl.arange(3.0)
    twin = copy.copy(x)
    twin.fill_(1)
    assert x.tolist() == [1.0, 1.0, 1.0] and twin is not x
    p = ccdl.nn.Parameter(ccdl.ones(2))
    q = copy.copy(p)
    assert type(q) is ccdl.nn.Parameter and q.requires_grad and q.data_ptr() == p.data_ptr()
    assert [v.item() for v in reversed(ccdl.arange(3))] == [2, 1, 0]

    class Marked(ccdl.Tensor):
        pass

    marked = ccdl.ones(2).as_subclass(Marked)
    assert type(marked) is Marked and marked.tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="subclass of Tensor"):
        ccdl.ones(2).as_subclass(int)


def test_gradients_at_the_corner() -> None:
    x = ccdl.tensor([0.0, 1.0, -2.0], requires_grad=True)
    (x**0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    y = ccdl.zeros(2, requires_grad=True)
    ccdl.atan2(y, y).sum().backward()
    assert y.grad.tolist() == [0.0, 0.0]
    a, b = ccdl.tensor([1.0], requires_grad=True), ccdl.tensor([3.0], requires_grad=True)
    ccdl.atan2(a, b).backward()
    assert a.grad.item() == pytest.approx(0.3) and b.grad.item() == pytest.approx(-0.1)


def test_numerical_gradient_beside_infinities() -> None:
    values = [2.0, -2.0, np.inf, np.inf, -np.inf, 3.0, np.nan, 1.0]
    with np.errstate(invalid="ignore"):
        want = np.gradient(np.array(values))
    np.testing.assert_array_equal(ccdl.gradient(ccdl.tensor(values, dtype=ccdl.float64))[0].numpy(), want)


def test_large_zeros_cost_nothing_until_touched() -> None:
    room = ccdl.cpu.memory_limit() if hasattr(ccdl.cpu, "memory_limit") else 2**33
    count = min(2**31, room // 16)
    began = time.perf_counter()
    x = ccdl.ones(1).new_zeros(count)
    assert time.perf_counter() - began < 5
    x[5] = 3
    del x
    again = ccdl.zeros(count)  # perhaps the same block
    assert again[5].item() == 0 and again[-1].item() == 0


@pytest.mark.parametrize(
    ("name", "shape", "more"),
    [
        ("linear", (2, 3), (ccdl.ones(4, 3),)),
        ("gelu", (3,), ()),
        ("softplus", (3,), ()),
        ("softshrink", (3,), ()),
        ("hardshrink", (3,), ()),
        ("logsigmoid", (3,), ()),
        ("avg_pool2d", (1, 1, 4, 4), (2,)),
        ("avg_pool3d", (1, 1, 2, 2, 2), (2,)),
    ],
)
def test_functional_with_out(name, shape, more) -> None:
    function = getattr(ccdl.nn.functional, name)
    x, out = ccdl.randn(shape), ccdl.empty(0)
    got = function(x, *more, out=out)
    assert got is out and ccdl.equal(out, function(x, *more))
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        function(x.requires_grad_(), *more, out=out)
    with pytest.raises(TypeError, match="'out' must be Tensor"):
        function(x.detach(), *more, out=3)


def test_histogram_of_what_has_no_range() -> None:
    for values in ([np.nan, 1.0], [np.inf, 1.0]):
        with pytest.raises(RuntimeError, match="not finite"):
            ccdl.histogram(ccdl.tensor(values), 2)
    hist, edges = ccdl.histogram(ccdl.empty(0), 2)
    want = np.histogram(np.empty(0), 2)
    assert hist.tolist() == want[0].tolist() and edges.tolist() == want[1].tolist()


@pytest.mark.parametrize("call", [
    lambda x: ccdl.linalg.vector_norm(x, axis=0, keepdims=True),
    lambda x: ccdl.linalg.norm(x=x, axis=0),
    lambda x: ccdl.linalg.cholesky(a=x),
    lambda x: ccdl.linalg.matmul(x1=x, x2=x),
    lambda x: ccdl.linalg.vecdot(x, x, axis=0),
    lambda x: ccdl.fft.rfft(x, axis=0).real,
    lambda x: ccdl.fft.fftshift(x=x, axis=1),
    lambda x: ccdl.special.softmax(x, axis=0),
    lambda x: ccdl.special.xlog1py(x1=x, x2=x),
])  # fmt: skip
def test_numpy_names_of_arguments(call: Callable[[Any], Any]) -> None:
    x = ccdl.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 4.0]])
    assert ccdl.isfinite(call(x)).all()
    with pytest.raises(TypeError):
        ccdl.linalg.vector_norm(x, axes=0)


def test_sizes_changed_in_place_take_a_memory_format() -> None:
    x = ccdl.arange(120.0)
    assert x.resize_(2, 3, 4, 5, memory_format=ccdl.channels_last).stride() == (60, 1, 15, 3)
    assert x.resize_(2, 3, 4, 5).stride() == (60, 1, 15, 3)
    assert x.resize_(2, 3, 4, 5, memory_format=ccdl.contiguous_format).stride() == (60, 20, 5, 1)
    last = ccdl.zeros(2, 3, 4, 5).contiguous(memory_format=ccdl.channels_last)
    assert ccdl.zeros(120).resize_as_(last).stride() == (60, 20, 5, 1)
    assert ccdl.zeros(120).resize_as_(last, memory_format=ccdl.preserve_format).stride() == last.stride()
    with pytest.raises(RuntimeError, match="rank 4"):
        x.resize_(120, memory_format=ccdl.channels_last)


def test_asarray_that_must_not_copy() -> None:
    x = ccdl.ones(2)
    assert ccdl.asarray(x, copy=False) is x
    array = np.ones(2, np.float32)
    ccdl.asarray(array, copy=False)[0] = 5.0
    assert array[0] == 5.0
    for value, dtype in ((x, ccdl.int64), (array, ccdl.float64), ([1.0, 2.0], None)):
        with pytest.raises(ValueError, match="copy=False"):
            ccdl.asarray(value, dtype=dtype, copy=False)


def test_truths_written_into_tensors_of_another_dtype() -> None:
    x, y = np.array([True, True, False, False]), np.array([1.5, 0.0, -2.0, 0.0], np.float32)
    for name in ("logical_and", "logical_or", "logical_xor"):
        for dtype in (ccdl.float32, ccdl.int64, ccdl.bfloat16):
            got = getattr(ccdl.tensor(x), name + "_")(ccdl.tensor(y).to(dtype))
            wanted = getattr(np, name)(x, y.astype(np.int64) if dtype is ccdl.int64 else y)
            assert got.dtype is ccdl.bool and got.tolist() == wanted.tolist()
    for name, ufunc in (("eq", np.equal), ("gt", np.greater), ("le", np.less_equal)):
        assert getattr(ccdl.tensor(x), name + "_")(ccdl.tensor(y)).tolist() == ufunc(x, y).tolist()
        assert getattr(ccdl.tensor(x), name + "_")(0.5).tolist() == ufunc(x, 0.5).tolist()


def test_range_fills_what_has_as_many_elements() -> None:
    x = ccdl.zeros(2, 3)
    with pytest.warns(UserWarning, match="deprecated"):
        ccdl.range(0, 3, out=x.narrow(1, 1, 2))
    assert x.tolist() == [[0.0, 0.0, 1.0], [0.0, 2.0, 3.0]]
