"""segment_reduce, geqrf and ormqr against NumPy and SciPy."""

import numpy as np
import pytest

import ccdl
from ccdl.autograd import gradcheck, gradgradcheck

ONE = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "max": np.max, "min": np.min}
EMPTY = {"sum": 0.0, "mean": np.nan, "prod": 1.0, "max": -np.inf, "min": np.inf}


def reference(data, reduce, lengths, initial):
    """Along axis 0."""
    rows, at = [], 0
    for n in lengths:
        part, at = data[at : at + n], at + n
        if initial is not None and reduce != "mean":
            part = np.concatenate([np.full((1, *data.shape[1:]), initial), part])
        if len(part):
            rows.append(ONE[reduce](part, 0) + (initial / n if reduce == "mean" and initial is not None else 0))
        else:
            rows.append(np.full(data.shape[1:], EMPTY[reduce] if initial is None else initial))
    return np.stack(rows)


@pytest.mark.parametrize("initial", [None, 0.5])
@pytest.mark.parametrize("reduce", sorted(ONE))
@pytest.mark.parametrize("shape", [(9,), (9, 3), (9, 2, 4)])
def test_segments(reduce, shape, initial):
    data = np.random.default_rng(0).standard_normal(shape)
    lengths = [2, 0, 4, 1, 2]
    want = reference(data, reduce, lengths, initial)
    x = ccdl.tensor(data, requires_grad=True)
    got = ccdl.segment_reduce(x, reduce, lengths=ccdl.tensor(lengths), initial=initial)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12)
    offsets = ccdl.tensor(np.cumsum([0, *lengths]).astype(np.int32))
    same = ccdl.segment_reduce(x, reduce, offsets=offsets, initial=initial)
    np.testing.assert_array_equal(same.detach().numpy(), got.detach().numpy())
    batch = ccdl.tensor(np.stack([data, data[::-1]]))
    both = ccdl.segment_reduce(batch, reduce, lengths=ccdl.tensor([lengths, lengths[::-1]]), axis=1, initial=initial)
    np.testing.assert_allclose(both[0].numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(both[1].numpy(), reference(data[::-1], reduce, lengths[::-1], initial), rtol=1e-12)
    filled = ccdl.tensor([2, 1, 4, 1, 1])
    assert gradcheck(lambda a: ccdl.segment_reduce(a, reduce, lengths=filled, initial=initial), (x,))


def test_segments_share_the_gradient_of_equal_extremes_and_leave_out_the_rest():
    x = ccdl.tensor([1.0, 3.0, 3.0, 2.0, 9.0], requires_grad=True)
    ccdl.segment_reduce(x, "max", lengths=ccdl.tensor([3, 1]), unsafe=True).sum().backward()
    assert x.grad.tolist() == [0.0, 0.5, 0.5, 1.0, 0.0]
    tail = ccdl.segment_reduce(x, "sum", offsets=ccdl.tensor([1, 3]), unsafe=True)
    assert tail.tolist() == [6.0]


@pytest.mark.parametrize("call, kind, text", [
    ({}, RuntimeError, "Either lengths or offsets"),
    ({"reduce": "median", "lengths": [4]}, RuntimeError, "reduce argument must be"),
    ({"lengths": [3]}, RuntimeError, "sum to data.size"),
    ({"lengths": [-1, 5]}, RuntimeError, "negative"),
    ({"lengths": [4], "axis": 1}, RuntimeError, "last dimension of lengths"),
    ({"lengths": [[4]]}, RuntimeError, "last dimension of lengths"),
    ({"lengths": [4.0]}, NotImplementedError, "int64 or int32"),
    ({"offsets": [0, 5]}, RuntimeError, "ascend within"),
    ({"offsets": [3, 1]}, RuntimeError, "ascend within"),
    ({"lengths": [4], "axis": 7}, IndexError, "axis 7 is out of range"),
])
def test_segments_refuse(call, kind, text):
    arguments = {k: ccdl.tensor(v) if isinstance(v, list) else v for k, v in call.items()}
    with pytest.raises(kind, match=text):
        ccdl.segment_reduce(ccdl.ones(4, 2), arguments.pop("reduce", "sum"), **arguments)


@pytest.mark.parametrize("shape", [(4, 4), (7, 3), (3, 6), (2, 5, 4), (70, 65), (0, 3, 2)])
def test_geqrf_and_ormqr(shape):
    rng = np.random.default_rng(1)
    a = rng.standard_normal(shape)
    packed, tau = ccdl.geqrf(ccdl.tensor(a))
    k = min(shape[-2:])
    assert packed.shape == shape and tau.shape == (*shape[:-2], k)
    for i in np.ndindex(shape[:-2]):
        want, r = np.linalg.qr(a[i], mode="complete")
        np.testing.assert_allclose(packed[i].triu().numpy(), np.triu(r), atol=1e-12)
        np.testing.assert_allclose(ccdl.ormqr(packed[i], tau[i], ccdl.eye(shape[-2]).double()).numpy(), want, atol=1e-12)
    q = np.linalg.qr(a, mode="complete")[0]
    o = rng.standard_normal((*shape[:-1], 3))
    row = np.swapaxes(o, -1, -2)
    t = ccdl.tensor(o), ccdl.tensor(row)
    np.testing.assert_allclose(ccdl.ormqr(packed, tau, t[0]).numpy(), q @ o, atol=1e-12)
    np.testing.assert_allclose(ccdl.ormqr(packed, tau, t[0], transpose=True).numpy(), np.swapaxes(q, -1, -2) @ o, atol=1e-12)
    np.testing.assert_allclose(ccdl.ormqr(packed, tau, t[1], left=False).numpy(), row @ q, atol=1e-12)
    np.testing.assert_allclose(ccdl.ormqr(packed, tau, t[1], False, True).numpy(), row @ np.swapaxes(q, -1, -2), atol=1e-12)


def test_gradients_of_ormqr():
    a, tau = (x.requires_grad_() for x in ccdl.geqrf(ccdl.randn(5, 3, dtype=ccdl.float64)))
    o = ccdl.randn(5, 2, dtype=ccdl.float64, requires_grad=True)
    for transpose in (False, True):
        assert gradcheck(lambda *x: ccdl.ormqr(*x, transpose=transpose), (a, tau, o))
        assert gradgradcheck(lambda *x: ccdl.ormqr(*x, transpose=transpose), (a, tau, o))
    with pytest.raises(RuntimeError, match="geqrf: the derivative is not implemented"):
        ccdl.geqrf(ccdl.ones(2, 2, requires_grad=True))
    with pytest.raises(RuntimeError, match="must be equal to input.shape"):
        ccdl.ormqr(a, tau, o[:4])
    with pytest.raises(RuntimeError, match="dtype of input"):
        ccdl.ormqr(a, tau, o.float())
    with pytest.raises(RuntimeError, match="less than or equal"):
        ccdl.ormqr(a, ccdl.ones(4).double(), o)
