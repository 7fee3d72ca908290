"""Arrays and tensors in one expression: what comes out is a tensor."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import ccdl

t, a = ccdl.tensor([1.0, 2.0]), np.array([3.0, 4.0])
OPERATORS = "add sub mul truediv floordiv mod pow matmul".split()


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    op = getattr(operator, name)
    found = op(t, a)
    assert isinstance(found, ccdl.Tensor) and found.dtype is ccdl.float64
    np.testing.assert_array_equal(found.numpy(), op(t.numpy(), a))


@pytest.mark.parametrize("kind", ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64"))
def test_dtypes(kind: str) -> None:
    found = ccdl.ones(2, dtype=ccdl.int32) + np.ones(2, kind)
    wanted = np.ones(2, "int32") + np.ones(2, kind)
    assert isinstance(found, ccdl.Tensor) and found.numpy().dtype == wanted.dtype
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_universal_functions() -> None:
    for found in (np.add(t, 1), np.exp(t), np.sqrt(t), np.add(a, t), np.maximum(t, 1), np.power(t, a), np.exp(t[0]), np.add.reduce(t)):
        assert isinstance(found, ccdl.Tensor)
    np.testing.assert_array_equal(np.exp(t).numpy(), np.exp(t.numpy()))
    assert np.isnan(t).dtype is ccdl.uint8  # PyTorch's answer
    assert all(isinstance(part, ccdl.Tensor) for part in np.modf(t))
    assert isinstance(np.exp(ccdl.tensor([1 + 2j])), ccdl.Tensor)
    assert isinstance(np.asarray(t), np.ndarray) and isinstance(np.concatenate([t, t]), np.ndarray)
    with pytest.raises(RuntimeError, match="requires grad"):
        np.exp(t.clone().requires_grad_())


def test_comparisons() -> None:
    same = np.array([1.0, 5.0])
    for found, wanted in ((t == same, [True, False]), (same == t, [True, False]), (t != same, [False, True]), (same != t, [False, True])):
        assert isinstance(found, ccdl.Tensor) and found.tolist() == wanted
    assert (t == np.array(["a", "b"])) is False and (t != "a") is True
    assert (t == np.float32(1)).tolist() == [True, False]


def test_in_place_makes_a_tensor() -> None:
    x = ccdl.tensor([1.0, 2.0])
    x += a
    assert isinstance(x, ccdl.Tensor) and x.tolist() == [4.0, 6.0]


def test_dtypes_that_do_not_go_together() -> None:
    x, y = ccdl.tensor([-1.0, 0.0, 2.0]), ccdl.tensor([1, 2, 3])
    for call in (lambda: ccdl.heaviside(x, y), lambda: x.heaviside(y), lambda: x.clone().heaviside_(y)):
        with pytest.raises(RuntimeError, match="different dtypes"):
            call()
    assert ccdl.heaviside(x, y.float()).tolist() == [0.0, 2.0, 1.0]


@pytest.mark.parametrize("dtype", (ccdl.float16, ccdl.bfloat16))
def test_numbers_beside_halves(dtype: ccdl.dtype) -> None:
    start, end = ccdl.zeros(4, dtype=dtype), ccdl.full((4,), 0.1, dtype=dtype)
    wanted = (end.float() * 70000).to(dtype)
    assert ccdl.equal(ccdl.lerp(start, end, 70000), wanted) and ccdl.equal(start.clone().lerp_(end, 70000), wanted)
    bound = ccdl.tensor([1.0, 0.3, -0.3, 0.31], dtype=dtype)
    assert bound.hardshrink(0.3).tolist() == [bound[0].item(), 0.0, 0.0, bound[3].item()]


def test_scale_factors() -> None:
    x = ccdl.tensor([1], dtype=ccdl.int8)
    for call in (lambda: ccdl.add(x, x, alpha=True), lambda: ccdl.sub(x, x, alpha=True), lambda: x.clone().add_(x, alpha=True)):
        with pytest.raises(RuntimeError, match="Boolean alpha"):
            call()
    assert ccdl.add(x.bool(), x.bool(), alpha=True).item() is True
    rows, index = ccdl.zeros(2, 2, dtype=ccdl.uint8), ccdl.tensor([1])
    assert rows.index_add(0, index, ccdl.ones(1, 2, dtype=ccdl.uint8), alpha=2.0).tolist() == [[0, 0], [2, 2]]
    with pytest.raises(ValueError, match="alpha must be an integer"):
        rows.index_add(0, index, ccdl.ones(1, 2, dtype=ccdl.uint8), alpha=2.5)


@pytest.mark.parametrize("dtype", (ccdl.bool, ccdl.uint8, ccdl.int16, ccdl.int64, ccdl.float64))
def test_what_out_may_be(dtype: ccdl.dtype) -> None:
    out = ccdl.full((3,), 5).to(dtype)
    assert ccdl.bernoulli(ccdl.tensor([0.0, 1.0, 1.0]), out=out) is out and out.tolist() == [0, 1, 1]
    truth = ccdl.ones(2, dtype=dtype)
    for call in (ccdl.any, ccdl.all):
        if dtype in (ccdl.bool, ccdl.uint8):
            assert call(ccdl.ones(2, 3), 1, out=truth).tolist() == [1, 1]
        else:
            with pytest.raises(RuntimeError, match="only supports bool tensor"):
                call(ccdl.ones(2, 3), 1, out=truth)


def test_no_tensors() -> None:
    assert ccdl.block_diag().shape == (1, 0)
    with pytest.raises(RuntimeError, match="non-empty"):
        ccdl.meshgrid()


def test_elements_of_three_tensors() -> None:
    x = ccdl.tensor([1.0, 2.0])
    assert x.map2_(ccdl.tensor([3.0, 4.0]), ccdl.tensor(2.0), lambda p, q, r: p + q * r) is x and x.tolist() == [7.0, 10.0]
    with pytest.raises(RuntimeError, match="map2_"):
        x.map2_(x, x.clone().requires_grad_(), lambda p, q, r: p)
