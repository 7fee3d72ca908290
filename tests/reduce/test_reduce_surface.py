"""What the OpCases of reductions, scans and sorting cannot say: named results, ties, aliases, out= pairs, NaN order."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl


def test_named_results_are_tuples():
    x = ccdl.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    r = x.max(1)
    values, indices = r
    assert r.values is r[0] and r.indices is r[1]
    assert values.tolist() == [3.0, 6.0] and indices.tolist() == [1, 2]
    assert type(r).__name__ == "max"
    for r in (x.sort(1), x.topk(2), x.kthvalue(1), x.median(1), x.mode(1), x.cummax(0), x.min(0), x.nanmedian(1)):
        assert isinstance(r, tuple) and r.indices.dtype is ccdl.int64 and r.values.shape == r.indices.shape
    r = ccdl.aminmax(x)
    assert (r.min.item(), r.max.item()) == (1.0, 6.0)


def test_axis_and_dims():
    x = ccdl.ones(2, 3, 4)
    assert x.sum(axis=1).shape == (2, 4)
    assert x.sum(-1, keepdim=True).shape == (2, 3, 1)
    assert x.sum(dim=()).shape == () and x.sum(dim=None).shape == ()
    assert x.mean((0, -1)).shape == (3,)
    assert x.all(dim=()).shape == (2, 3, 4) and x.all(dim=None).shape == ()  # unlike sum: no dims, no reduction
    assert ccdl.tensor(2.0).sum(0).item() == 2.0
    assert ccdl.tensor(2.0).max(0).indices.item() == 0


def test_max_overloads():
    a, b = ccdl.tensor([1.0, 5.0]), ccdl.tensor([3.0, 2.0])
    assert ccdl.max(a, b).tolist() == [3.0, 5.0]
    assert a.max(0).indices.item() == 1
    assert a.max().item() == 5.0
    assert ccdl.min(a, b).tolist() == [1.0, 2.0]


def test_out_pair():
    x = ccdl.tensor([[2.0, 1.0], [3.0, 4.0]])
    values, indices = ccdl.empty(0), ccdl.empty(0, dtype=ccdl.int64)
    r = ccdl.max(x, 1, out=(values, indices))
    assert values.tolist() == [2.0, 4.0] and indices.tolist() == [0, 1] and r.values is values


def grad_of(f, data):
    x = ccdl.tensor(data, requires_grad=True)
    f(x).backward()
    return x.grad.tolist()


def test_gradient_at_ties():
    data = [1.0, 3.0, 3.0, -1.0, 3.0, 3.0]
    quarter = [0.0, 0.25, 0.25, 0.0, 0.25, 0.25]
    assert grad_of(lambda x: x.max(), data) == quarter
    assert grad_of(lambda x: x.amax(0), data) == quarter
    assert grad_of(lambda x: x.max(0).values, data) == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert grad_of(lambda x: x.norm(float("inf")), data) == quarter
    assert grad_of(lambda x: x.median(), data) == quarter


def test_gradient_at_zero_norm():
    for p in (1, 2, 3, 1.5, 0.5, float("inf")):
        assert grad_of(lambda x, p=p: x.norm(p), [0.0, 0.0]) == [0.0, 0.0]
    assert grad_of(lambda x: x.std(), [2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]


def test_prod_and_cumprod_with_zeros():
    assert grad_of(lambda x: x.prod(), [2.0, 0.0, 3.0]) == [0.0, 6.0, 0.0]
    assert grad_of(lambda x: x.prod(), [0.0, 0.0, 3.0]) == [0.0, 0.0, 0.0]
    assert grad_of(lambda x: x.cumprod(0).sum(), [2.0, 0.0, 3.0]) == [1.0, 8.0, 0.0]


def test_empty():
    assert ccdl.empty(0).sum().item() == 0 and ccdl.empty(0).prod().item() == 1
    assert np.isnan(ccdl.empty(0).mean().item()) and np.isnan(ccdl.empty(0).median().item())
    assert ccdl.empty(0).all().item() and not ccdl.empty(0).any().item()
    assert ccdl.empty(0, 3).sum(0).tolist() == [0.0, 0.0, 0.0]
    assert ccdl.empty(3, 0).amax(0).shape == (0,)
    assert ccdl.unique(ccdl.empty(0)).shape == (0,)
    with pytest.raises(RuntimeError, match="Expected reduction dim to be specified"):
        ccdl.empty(0, 2).amax()


def test_nan_sorts_last():
    nan = float("nan")
    x = ccdl.tensor([nan, 1.0, float("inf"), -1.0, nan])
    assert x.argsort().tolist() == [3, 1, 2, 0, 4]
    assert x.argsort(descending=True).tolist() == [0, 4, 2, 1, 3]
    assert x.topk(2).indices.tolist() == [0, 1 + 3]
    assert x.argmax().item() == 0 and x.argmin().item() == 0
    assert np.isnan(x.median().item()) and x.nanmedian().item() == 1.0
    assert x.cummax(0).indices.tolist() == [0, 0, 0, 0, 4]


def test_signed_zeros_are_equal():
    x = ccdl.tensor([0.0, -0.0, 0.0])
    assert x.argsort(descending=True).tolist() == [0, 1, 2]
    assert np.signbit(x.sort().values.cpu().numpy()).tolist() == [False, True, False]
    assert ccdl.unique(x).shape == (1,)


def test_integer_results():
    x = ccdl.tensor([200, 100], dtype=ccdl.uint8)
    assert x.sum().item() == 300 and x.sum().dtype is ccdl.int64
    assert x.sum(dtype=ccdl.uint8).item() == 44
    assert x.cumsum(0).tolist() == [200, 300]
    assert ccdl.tensor([True, True]).sum().item() == 2
    big = ccdl.tensor([2**62, 2**62 - 1 + 2**61], dtype=ccdl.int64)
    assert big.max().item() == 2**62 - 1 + 2**61 and big.argmax().item() == 1


def test_large_float_sum_is_accurate():
    x = ccdl.full((1 << 22,), 0.1)
    exact = float(np.float32(0.1)) * (1 << 22)
    assert abs(x.sum().item() - exact) <= 3e-7 * exact
    assert abs(x.view(1 << 11, 1 << 11).sum(0).double().sum().item() - exact) <= 3e-7 * exact
    y = ccdl.full((1 << 20,), 1e4) + ccdl.arange(1 << 20) % 2
    assert abs(y.var().item() - 0.25) < 1e-5


def test_unique_forms():
    x = ccdl.tensor([3, 1, 3, 2])
    assert ccdl.unique(x).tolist() == [1, 2, 3]
    values, inverse = ccdl.unique(x, return_inverse=True)
    assert values[inverse].tolist() == x.tolist()
    values, counts = x.unique(return_counts=True)
    assert counts.tolist() == [1, 1, 2]


def test_norm_orders_by_name():
    x = ccdl.tensor([[3.0, 0.0], [0.0, -4.0]])
    assert ccdl.norm(x).item() == 5.0 and x.norm("fro", dim=(0, 1)).item() == 5.0
    assert x.norm(p=1, dim=1).tolist() == [3.0, 4.0]
    assert ccdl.linalg.matrix_norm(x, "nuc").item() == pytest.approx(7.0)


@pytest.mark.parametrize("dtype", [ccdl.float32, ccdl.float64])
@pytest.mark.parametrize("n", [2, 5, 76])
def test_norms_of_negative_order_take_zeros_of_either_sign(dtype, n):
    x = ccdl.ones(n, dtype=dtype)
    x[0], x[-1] = 0.0, -0.0
    wide = x.view(n, 1).expand(n, 20).contiguous()
    for order in (-1, -3, -2.5):
        assert ccdl.linalg.vector_norm(x, order).item() == 0.0
        assert ccdl.linalg.vector_norm(wide, order, dim=0).tolist() == [0.0] * 20
        assert ccdl.linalg.vector_norm(-x[:1], order).item() == 0.0


def test_none_of_a_single_number_is_that_number():
    for x in (ccdl.tensor(3.5), ccdl.tensor(-7)):
        values, indices = ccdl.topk(x, 0)
        assert values.shape == indices.shape == () and values.item() == x.item() and indices.item() == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_chunked_reductions_agree(threads):
    before = ccdl.get_num_threads()
    ccdl.set_num_threads(threads)
    try:
        x = np.random.default_rng(0).standard_normal((3, 100_003)).astype(np.float32)
        t = ccdl.tensor(x)
        np.testing.assert_allclose(t.sum(1).cpu().numpy(), x.astype(np.float64).sum(1), rtol=1e-5)
        np.testing.assert_array_equal(t.argmax(1).cpu().numpy(), x.argmax(1))
        np.testing.assert_array_equal(t.amin().cpu().numpy(), x.min())
        np.testing.assert_array_equal(t.t().contiguous().argmin(0).cpu().numpy(), x.argmin(1))
    finally:
        ccdl.set_num_threads(before)
