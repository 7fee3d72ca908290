"""Operators of layers on whole numbers: exact results, modulo the dtype's range, as PyTorch's CPU gives them."""

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F


def windows(x, kernel, stride, dilation):
    """[N, C, out..., kernel...] of padded x."""
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    w = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(2, x.ndim)))
    n = len(kernel)
    w = w[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    return w[(..., *(slice(None, None, d) for d in dilation))] if n else w


def convolved(x, w, bias, stride, padding, dilation, groups):
    n = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in padding])
    v = windows(x, w.shape[2:], stride, dilation)
    c, k = x.shape[1] // groups, w.shape[0] // groups
    parts = []
    for g in range(groups):
        part = v[:, g * c : (g + 1) * c]
        axes = [1, *range(2 + n, 2 + 2 * n)]
        y = np.tensordot(part, w[g * k : (g + 1) * k], (axes, [1, *range(2, 2 + n)]))
        parts.append(np.moveaxis(y, -1, 1))
    y = np.concatenate(parts, 1).astype(x.dtype)
    return y if bias is None else y + bias.reshape(-1, *[1] * n)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8", "int8"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 1), (2, 2, 2, 2), (1, 1, 1, 4)])
def test_convolution_of_whole_numbers(dtype, dims, stride, padding, dilation, groups):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, (2, 4, *[7] * dims)).astype(dtype)
    w = rng.integers(0, 100, (8, 4 // groups, *[2] * dims)).astype(dtype)
    b = rng.integers(0, 9, 8).astype(dtype)
    full = [[v] * dims for v in (stride, padding, dilation)]
    function = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    y = function(ccdl.tensor(x), ccdl.tensor(w), ccdl.tensor(b), stride, padding, dilation, groups)
    assert y.dtype is ccdl.tensor(x).dtype
    np.testing.assert_array_equal(y.numpy(), convolved(x, w, b, *full, groups))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding", "extra", "dilation", "groups"), [(1, 0, 0, 1, 1), (2, 1, 1, 1, 2), (3, 2, 0, 2, 1)])
def test_transposed_convolution_of_whole_numbers_is_that_of_floats(dims, stride, padding, extra, dilation, groups):
    rng = np.random.default_rng(1)
    x = ccdl.tensor(rng.integers(-50, 50, (2, 4, *[5] * dims)))
    w = ccdl.tensor(rng.integers(-50, 50, (4, 3, *[3] * dims)))
    b = ccdl.tensor(rng.integers(-50, 50, 3 * groups))
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
    y = function(x, w, b, stride, padding, extra, groups, dilation)
    z = function(x.double(), w.double(), b.double(), stride, padding, extra, groups, dilation)
    assert y.dtype is ccdl.int64
    np.testing.assert_array_equal(y.numpy(), z.numpy())


def test_convolution_without_batch_same_padding_and_beyond_53_bits():
    x = ccdl.tensor([[2**60 + 1, 1, 2]])
    w = ccdl.tensor([[[1, 1]]])
    assert F.conv1d(x, w, padding="same").tolist() == [[2**60 + 2, 3, 2]]
    assert F.conv_transpose1d(x, w).tolist() == [[2**60 + 1, 2**60 + 2, 3, 2]]
    assert F.conv1d(ccdl.zeros(0, 1, 3, dtype=ccdl.int64), w).shape == (0, 1, 2)
    with pytest.raises(RuntimeError, match="bool"):
        F.conv1d(x.bool(), w.bool())
    with pytest.raises(RuntimeError, match="should be the same"):
        F.conv1d(x, w.float())


def test_average_of_whole_numbers_is_cut_towards_zero():
    x = np.random.default_rng(2).integers(-20, 20, (2, 3, 8))
    y = F.avg_pool1d(ccdl.tensor(x), 3, stride=2)
    sums = np.lib.stride_tricks.sliding_window_view(x, 3, 2)[:, :, ::2].sum(-1)
    np.testing.assert_array_equal(y.numpy(), np.trunc(sums / 3).astype("int64"))
    assert F.avg_pool2d(ccdl.arange(16).reshape(1, 1, 4, 4), 2).tolist() == [[[[2, 4], [10, 12]]]]
    assert F.avg_pool3d(ccdl.arange(8).reshape(1, 1, 2, 2, 2), 2).tolist() == [[[[[3]]]]]
    z = F.local_response_norm(ccdl.arange(12).reshape(1, 3, 4), 2)
    np.testing.assert_allclose(
        z.numpy(), F.local_response_norm(ccdl.arange(12).reshape(1, 3, 4).double(), 2).numpy(), rtol=1e-3
    )


def test_factors_of_whole_matrices_lose_their_fraction():
    a = ccdl.tensor([[1, 2], [3, 4]])
    m = a.numpy()
    assert ccdl.addmm(a, a, a, beta=2.5, alpha=-1.7).tolist() == (2 * m - m @ m).tolist()
    assert ccdl.addmv(a[0], a, a[0], alpha=1.5).tolist() == (m[0] + m @ m[0]).tolist()
    batch = a.reshape(1, 2, 2)
    assert ccdl.baddbmm(batch, batch, batch, beta=0.5)[0].tolist() == (m @ m).tolist()
    assert ccdl.addbmm(a, batch, batch, beta=2.5).tolist() == (2 * m + m @ m).tolist()
    assert ccdl.addcmul(a, a, a, value=2.5).tolist() == (m + 2 * m * m).tolist()
    with pytest.raises(RuntimeError, match="alpha"):
        ccdl.addmm(a, a, a, alpha=float("inf"))
    truth = ccdl.tensor([True, False])
    assert ccdl.addr(ccdl.ones(2, 2, dtype=ccdl.bool), truth, truth, alpha=2).dtype is ccdl.bool
    with pytest.raises(RuntimeError, match="must not be a floating point number"):
        ccdl.addr(a, a[0], a[0], alpha=2.5)


def test_sums_of_one_operand_widen():
    assert ccdl.einsum("ij->", ccdl.full((20, 20), 100, dtype=ccdl.uint8)).item() == 40000
    assert ccdl.einsum("ij->i", ccdl.ones(2, 3, dtype=ccdl.bool)).tolist() == [3, 3]
    assert ccdl.einsum("ii->i", ccdl.ones(2, 2, dtype=ccdl.int32)).dtype is ccdl.int32
    assert ccdl.ones((), dtype=ccdl.int32).sum_to_size(()).dtype is ccdl.int64
