"""The parts of layers that PyTorch exports by name, against NumPy."""

import numpy as np
import pytest

import ccdl


def sample(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_normalisations_return_their_statistics():
    x = sample(3, 4, 5)
    y, mean, rstd = ccdl.native_layer_norm(ccdl.tensor(x), (4, 5), None, None, 1e-5)
    m, v = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    np.testing.assert_allclose(mean.numpy(), m, rtol=1e-12)
    np.testing.assert_allclose(rstd.numpy(), 1 / np.sqrt(v + 1e-5), rtol=1e-12)
    np.testing.assert_allclose(y.numpy(), (x - m) / np.sqrt(v + 1e-5), rtol=1e-9, atol=1e-12)
    y, mean, rstd = ccdl.native_group_norm(ccdl.tensor(x), None, None, 3, 4, 5, 2, 1e-5)
    grouped = x.reshape(3, 2, 10)
    np.testing.assert_allclose(mean.numpy(), grouped.mean(2), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(rstd.numpy(), 1 / np.sqrt(grouped.var(2) + 1e-5), rtol=1e-12)
    w, b = ccdl.tensor(sample(4)), ccdl.tensor(sample(4, seed=1))
    y, mean, rstd = ccdl.native_batch_norm(ccdl.tensor(x), w, b, None, None, True, 0.1, 1e-5)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 2)), rtol=1e-12, atol=1e-15)
    n = (x - x.mean((0, 2), keepdims=True)) / np.sqrt(x.var((0, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(y.numpy(), n * w.numpy()[:, None] + b.numpy()[:, None], rtol=1e-9, atol=1e-12)
    still = ccdl.native_batch_norm(ccdl.tensor(x), w, b, ccdl.zeros(4).double(), ccdl.ones(4).double(), False, 0.1, 0.0)
    assert [t.numel() for t in still] == [60, 0, 0]
    with pytest.raises(RuntimeError, match="native_group_norm"):
        ccdl.native_group_norm(ccdl.tensor(x), None, None, 3, 4, 5, 3, 1e-5)


def test_statistics_without_gradient_and_of_no_images():
    x = ccdl.ones(2, 4, 3, requires_grad=True)
    assert all(t.requires_grad for t in ccdl.native_group_norm(x, None, None, 2, 4, 3, 2, 1e-5))
    for _, mean, rstd in (
        ccdl.native_layer_norm(x, [3], None, None, 1e-5),
        ccdl.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5),
    ):
        assert not mean.requires_grad and not rstd.requires_grad
    y, mean, rstd = ccdl.native_group_norm(ccdl.ones(0, 4, 3), None, None, 0, 4, 3, 2, 1e-5)
    assert y.shape == (0, 4, 3) and mean.shape == rstd.shape == (0, 2)
    assert ccdl.native_batch_norm(x.half(), None, None, None, None, True, 0.1, 1e-5)[1].dtype is ccdl.float16


def test_dropout_with_its_mask():
    x = ccdl.ones(1000, requires_grad=True)
    y, mask = ccdl.native_dropout(x, 0.25, True)
    assert mask.dtype is ccdl.bool and 600 < int(mask.sum()) < 900
    np.testing.assert_allclose(y.detach().numpy(), mask.numpy() / 0.75, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), mask.numpy() / 0.75, rtol=1e-6)
    y, mask = ccdl.native_dropout(x, 0.25, False)
    assert bool(mask.all()) and bool((y == x).all())
    assert float(ccdl.native_dropout(x, 1.0, True)[0].abs().sum()) == 0
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        ccdl.native_dropout(x, 1.5, True)


def test_other_native_names():
    image, grid = ccdl.tensor(sample(1, 2, 3, 3)), ccdl.tensor(sample(1, 2, 2, 2) / 3)
    same = ccdl.nn.functional.grid_sample(image, grid, align_corners=False)
    assert ccdl.equal(ccdl.grid_sampler_2d(image, grid, 0, 0, False), same)
    volume, places = ccdl.tensor(sample(1, 1, 3, 3, 3)), ccdl.tensor(sample(1, 1, 2, 2, 3) / 3)
    same = ccdl.nn.functional.grid_sample(volume, places, align_corners=True)
    assert ccdl.equal(ccdl.grid_sampler_3d(volume, places, 0, 0, True), same)
    assert ccdl.native_channel_shuffle(ccdl.arange(4).reshape(1, 4, 1, 1), 2).flatten().tolist() == [0, 2, 1, 3]
    assert ccdl.is_vulkan_available() is False


def test_classes_of_errors_and_named_factors():
    F = ccdl.nn.functional
    with pytest.raises(ValueError, match="at least 3"):
        F.adaptive_avg_pool2d(ccdl.ones(2, 2), (2, 2))
    with pytest.raises(ValueError, match="at least 4"):
        F.adaptive_max_pool3d(ccdl.ones(2, 2, 2), (2, 2, 2))
    with pytest.raises(RuntimeError, match="lower"):
        F.rrelu(ccdl.ones(2), 0.5, 0.1)
    assert ccdl.lu(ccdl.eye(2), get_infos=True).LU.shape == (2, 2)
