"""Details of results that public code may lean on: dtype of out=, graphs of zeros, strides, classes of errors."""

import numpy as np
import pytest

import ccdl

MATRIX = [[0.1, 0.2], [0.3, 0.4]]


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: ccdl.abs(x, out=out),
        lambda x, out: ccdl.floor(x, out=out),
        lambda x, out: ccdl.mm(x, x, out=out),
        lambda x, out: ccdl.matmul(x, x, out=out),
        lambda x, out: ccdl.addmm(x, x, x, out=out),
        lambda x, out: ccdl.gather(x, 0, ccdl.zeros(2, 2, dtype=ccdl.int64), out=out),
        lambda x, out: ccdl.where(x > 0, x, x, out=out),
        lambda x, out: ccdl.softmax(x, 0, out=out),
        lambda x, out: ccdl.triu(x, out=out),
        lambda x, out: ccdl.index_select(x, 0, ccdl.tensor([0, 1]), out=out),
    ],
)
def test_out_of_another_dtype_is_an_error_where_nothing_promotes(call):
    x = ccdl.tensor(MATRIX)
    with pytest.raises(RuntimeError, match="Expected out tensor to have dtype float32, but got float64"):
        call(x, ccdl.empty(2, 2, dtype=ccdl.float64))
    assert call(x, ccdl.empty(2, 2)).dtype is ccdl.float32


def test_out_of_arithmetic_and_sums_may_be_another_floating_dtype():
    x = ccdl.tensor(MATRIX)
    for call in (ccdl.sum, ccdl.mean):
        assert call(x, 0, out=ccdl.empty(2, dtype=ccdl.float64)).dtype is ccdl.float64
    assert ccdl.add(x, 1, out=ccdl.empty(2, 2, dtype=ccdl.float64)).dtype is ccdl.float64


@pytest.mark.parametrize(
    "call",
    [
        ccdl.bernoulli,
        lambda x: ccdl.bernoulli(x, 0.5),
        lambda x: ccdl.normal(x, 1.0),
        lambda x: ccdl.normal(x, x),
    ],
)
def test_draws_carry_a_graph_of_zeros(call):
    x = ccdl.tensor(MATRIX, requires_grad=True)
    y = call(x)
    assert y.requires_grad
    (y * x.detach()).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with ccdl.no_grad():
        assert not call(x).requires_grad


def test_nextafter_moves_by_a_constant_step():
    for dtype in (ccdl.float32, ccdl.bfloat16):
        x = ccdl.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)
        y = ccdl.tensor([[2.0], [1.0]], dtype=dtype, requires_grad=True)
        ccdl.nextafter(x, y).sum().backward()
        assert x.grad.tolist() == [1.0, 1.0, 2.0]  # at 1 -> 1 and 2 -> 2 the result is y
        assert y.grad.tolist() == [[0.0], [0.0]]


def test_truth_of_single_bytes_is_one():
    x = ccdl.tensor([[5], [0]], dtype=ccdl.uint8)
    for f in (ccdl.all, ccdl.any):
        assert f(x, 1).tolist() == [1, 0] and f(x, 1).dtype is ccdl.uint8
        assert f(x.t(), 0, keepdim=True).tolist() == [[1, 0]]


def test_lerp_takes_a_single_weight_of_any_dtype():
    a, b = ccdl.zeros(2).half(), ccdl.ones(2).half()
    assert ccdl.lerp(a, b, ccdl.tensor(0.25)).dtype is ccdl.float16
    assert ccdl.lerp(a.float(), b.float(), ccdl.tensor(1)).tolist() == [1.0, 1.0]
    w = ccdl.tensor(0.25, dtype=ccdl.float64, requires_grad=True)
    ccdl.lerp(a.float(), b.float(), w).sum().backward()
    assert w.grad.dtype is ccdl.float64 and w.grad.item() == 2.0
    with pytest.raises(RuntimeError, match="weight"):
        ccdl.lerp(a.float(), b.float(), ccdl.ones(2).double())


def test_new_dims_of_size_one_lie_over_the_next():
    x = ccdl.ones(1, 5)
    assert x.expand(1, 1, 5).stride() == (5, 5, 1)
    assert x.expand(2, 1, 5).stride() == (0, 5, 1)
    assert ccdl.ones(()).expand(1).stride() == (1,)
    assert ccdl.ones(5).expand(1, 3, 5).stride() == (0, 0, 1)
    assert x.expand(1, 1, 5).is_contiguous()


def test_classes_of_errors():
    for weights in ({"fweights": ccdl.tensor([-1, 2, 2])}, {"aweights": ccdl.tensor([-1.0, 2.0, 2.0])}):
        with pytest.raises(RuntimeError, match="cannot be negative"):
            ccdl.cov(ccdl.ones(3), **weights)
    np.testing.assert_allclose(
        ccdl.cov(ccdl.tensor(MATRIX), aweights=ccdl.tensor([1.0, 2.0])).numpy(),
        np.cov(np.array(MATRIX, dtype="float32"), aweights=[1.0, 2.0]),
        rtol=1e-5,
    )
    assert ccdl.lu(ccdl.eye(2), get_infos=True).LU.shape == (2, 2)
