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


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_embedding_bag_names_bags_sizes_and_places_of_maxima(mode, padding):
    table, ids, starts = sample(5, 3), np.array([0, 1, 4, 2, 2, 3]), [0, 2, 2, 5]
    w = ccdl.tensor(table, requires_grad=True)
    y, bag, sizes, places = ccdl.embedding_bag(w, ccdl.tensor(ids), ccdl.tensor(starts), False, mode, padding_idx=padding)
    assert bag.tolist() == [0, 0, 2, 2, 2, 3]
    bags = [[i for i in part if i != padding] for part in (ids[:2], [], ids[2:5], ids[5:])]
    assert sizes.tolist() == [len(b) for b in bags]
    reduce = (np.sum, np.mean, np.max)[mode]
    want = [reduce(table[b], axis=0) if b else np.zeros(3) for b in bags]
    np.testing.assert_allclose(y.detach().numpy(), want, rtol=1e-6)
    rows = [[int(b[k]) for k in np.argmax(table[b], axis=0)] if b else [0] * 3 for b in bags]
    assert places.tolist() == (rows if mode == 2 else sizes.tolist())
    y.sum().backward()
    assert w.grad.shape == w.shape
    if mode == 0:
        assert w.grad[:, 0].tolist() == [1, 1, 0 if padding else 2, 1, 1]
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.embedding_bag(torch.tensor(table), torch.tensor(ids), torch.tensor(starts), False, mode, False, None, False, padding)
    np.testing.assert_allclose(y.detach().numpy(), theirs[0].numpy(), rtol=1e-6)
    if mode == 2:
        assert places.tolist() == theirs[3].tolist() and sizes.tolist() == theirs[2].tolist()


def test_embedding_bag_with_the_end_of_the_last_bag_and_wrong_calls():
    w, ids = ccdl.tensor(sample(4, 2)), ccdl.tensor([3, 1, 0])
    y, bag, sizes, _ = ccdl.embedding_bag(w, ids, ccdl.tensor([0, 1, 3]), False, 1, include_last_offset=True)
    assert y.shape == (2, 2) and bag.tolist() == [0, 1, 1] and sizes.tolist() == [1, 2]
    none = ccdl.embedding_bag(w, ids[:0], ccdl.tensor([0, 0]), False, 2)
    assert [t.tolist() for t in none] == [[[0.0, 0.0]] * 2, [], [0, 0], [[0, 0]] * 2]
    with pytest.raises(TypeError, match="mode"):
        ccdl.embedding_bag(w, ids, ccdl.tensor([0]), mode="sum")
    with pytest.raises(RuntimeError, match="mode is 3"):
        ccdl.embedding_bag(w, ids, ccdl.tensor([0]), mode=3)
    with pytest.raises(RuntimeError, match="1-d"):
        ccdl.embedding_bag(w, ids.reshape(1, 3), ccdl.tensor([0]))
    with pytest.raises(IndexError, match="4"):
        ccdl.embedding_bag(w, ids + 1, ccdl.tensor([0]), mode=2)


def test_trailing_settings_and_numbered_reductions():
    x = ccdl.tensor(sample(2, 4))
    F = ccdl.nn.functional
    assert ccdl.equal(ccdl.layer_norm(x, [4], None, None, 1e-5, False), F.layer_norm(x, [4]))
    assert ccdl.equal(ccdl.group_norm(x, 2, None, None, 1e-5, False), F.group_norm(x, 2))
    by_batch = ccdl.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False)
    assert ccdl.equal(by_batch, F.batch_norm(x, None, None, training=True))
    assert ccdl.equal(ccdl.embedding(x, ccdl.tensor([1]), -1, False, False), x[1:])
    p, q = x.sigmoid(), x.flip(0).sigmoid()
    for number, name in enumerate(("none", "mean", "sum")):
        got = ccdl.kl_div(p.log(), q, number)
        np.testing.assert_allclose(got.numpy(), F.kl_div(p.log(), q, reduction=name).numpy(), rtol=1e-6)
        got = ccdl.binary_cross_entropy_with_logits(x, q, None, None, number)
        np.testing.assert_allclose(got.numpy(), F.binary_cross_entropy_with_logits(x, q, reduction=name).numpy(), rtol=1e-6)
    assert ccdl.equal(ccdl.kl_div(p.log(), q), F.kl_div(p.log(), q, reduction="none"))  # unlike F.kl_div's mean
    assert ccdl.equal(ccdl.func.vmap(ccdl.kl_div)(p.log(), q), ccdl.kl_div(p.log(), q))
    with pytest.raises(RuntimeError, match="floating"):
        ccdl.kl_div(p.log(), q.long())
    for wrong, kind in ((3, ValueError), (-1, ValueError), (2**70, ValueError), ("x", ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(kind, match="reduction"):
            ccdl.kl_div(p.log(), q, wrong)


def test_no_channels_and_powers_in_place():
    assert ccdl.nn.functional.batch_norm(ccdl.ones(0), ccdl.zeros(0), ccdl.ones(0)).shape == (0,)
    with pytest.raises(ValueError, match="at least 2"):
        ccdl.nn.functional.batch_norm(ccdl.ones(3), ccdl.zeros(3), ccdl.ones(3))
    with pytest.raises(RuntimeError, match="float64"):
        ccdl.ones(2).float_power_(2)


def test_classes_of_errors_and_named_factors():
    F = ccdl.nn.functional
    with pytest.raises(ValueError, match="at least 3"):
        F.adaptive_avg_pool2d(ccdl.ones(2, 2), (2, 2))
    with pytest.raises(ValueError, match="at least 4"):
        F.adaptive_max_pool3d(ccdl.ones(2, 2, 2), (2, 2, 2))
    with pytest.raises(RuntimeError, match="lower"):
        F.rrelu(ccdl.ones(2), 0.5, 0.1)
    assert ccdl.lu(ccdl.eye(2), get_infos=True).LU.shape == (2, 2)
