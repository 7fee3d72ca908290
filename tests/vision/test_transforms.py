"""Image transforms against plain NumPy, their statistics, and where their randomness comes from."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ccdl
from ccdl.utils.data import DataLoader, Dataset
from ccdl.vision import transforms as T

RNG = np.random.default_rng(0)


def images(n=4, c=3, h=8, w=10):
    return ccdl.tensor(RNG.random((n, c, h, w)), dtype=ccdl.float32)


RANDOM = {
    "crop": lambda **k: T.RandomCrop(6, padding=1, **k), "hflip": lambda **k: T.RandomHorizontalFlip(**k),
    "vflip": lambda **k: T.RandomVerticalFlip(**k), "erase": lambda **k: T.RandomErasing(1.0, **k),
    "affine": lambda **k: T.RandomAffine(20, (0.2, 0.2), (0.8, 1.2), 10, **k), "rotate": lambda **k: T.RandomRotation(30, **k),
    "resized": lambda **k: T.RandomResizedCrop(5, **k), "jitter": lambda **k: T.ColorJitter(0.4, 0.4, 0.4, 0.2, **k),
    "gray": lambda **k: T.RandomGrayscale(0.5, **k), "blur": lambda **k: T.GaussianBlur(3, **k),
    "pca": lambda **k: T.PCAColorShift(0.5, **k).fit(images(8)), "apply": lambda **k: T.RandomApply([T.GaussianBlur(3, **k)], 0.5, **k),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_sample_depends_on_seed_epoch_and_index_alone(name):
    x = images(6)
    t = RANDOM[name](seed=3)
    index = ccdl.tensor([5, 2000, 9, 0, 1, 7])
    whole = t(x, index=index)
    assert whole.shape[0] == 6 and (whole.shape[2:] == x.shape[2:] or name in ("crop", "resized"))
    order = [3, 0, 5, 2, 1, 4]
    ccdl.manual_seed(99)  # the global generator plays no part
    again = RANDOM[name](seed=3)
    if name == "pca":
        again.eigenvalues, again.eigenvectors = t.eigenvalues, t.eigenvectors
    parts = ccdl.cat([again(x[[i]], index=index[[i]]) for i in order])
    assert ccdl.allclose(parts, whole[order], atol=1e-6)
    t.set_epoch(1)
    other = t(x, index=index)
    assert not ccdl.equal(other, whole)
    t.set_epoch(0)
    assert ccdl.equal(t(x, index=index), whole)


@pytest.mark.parametrize("name", RANDOM)
def test_single_images_and_the_global_generator(name):
    t, x = RANDOM[name](), images(1)[0]
    ccdl.manual_seed(5)
    a = t(x)
    ccdl.manual_seed(5)
    assert ccdl.equal(a, t(x)) and a.dim() == 3


def test_in_a_loader_the_sample_decides():
    class Set(Dataset):
        def __init__(self):
            self.data, self.flow = images(12), T.Compose([T.RandomCrop(6), T.RandomHorizontalFlip()])

        def __len__(self):
            return 12

        def __getitem__(self, i):
            return self.flow(self.data[i])

    data = Set()
    found = []
    for workers in (0, 2):
        ccdl.manual_seed(1)
        found.append(ccdl.cat(list(DataLoader(data, batch_size=4, num_workers=workers))))
    assert ccdl.equal(*found)


def test_crop_takes_windows_of_the_padded_image():
    x = images(40, 1, 5, 6)
    found = T.RandomCrop((4, 3), padding=2, fill=0.5)(x).numpy()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=0.5)
    places = set()
    for i in range(40):
        hits = [(r, c) for r in range(6) for c in range(8) if np.array_equal(padded[i, :, r:r + 4, c:c + 3], found[i])]
        assert hits
        places.update(hits)
    assert len(places) > 15


def test_flips():
    x = images(400, 1, 2, 3)
    for t, axis in ((T.RandomHorizontalFlip(0.3), 3), (T.RandomVerticalFlip(0.3), 2)):
        ccdl.manual_seed(0)
        found, mirrored = t(x).numpy(), np.flip(x.numpy(), axis)
        flipped = [np.array_equal(f, m) for f, m in zip(found, mirrored)]
        assert all(f or np.array_equal(a, b) for f, a, b in zip(flipped, found, x.numpy()))
        assert abs(np.mean(flipped) - 0.3) < 0.08
    assert ccdl.equal(T.RandomHorizontalFlip(1.0)(x), x.flip(-1)) and ccdl.equal(T.RandomHorizontalFlip(0.0)(x), x)


def test_affine_known_cases():
    x = images(1, 1, 5, 5)
    for degrees, turns in ((90, 1), (180, 2), (-90, -1)):
        found = T.RandomRotation((degrees, degrees))(x).numpy()[0, 0]
        np.testing.assert_allclose(found, np.rot90(x.numpy()[0, 0], turns), atol=1e-5)
    big = T.RandomAffine(0, scale=(2, 2))(x).numpy()[0, 0]
    assert big[2, 2] == pytest.approx(float(x[0, 0, 2, 2]), abs=1e-5)
    assert big[2, 4] == pytest.approx(float(x[0, 0, 2, 3]), abs=1e-5)
    t = T.RandomAffine(0, translate=(0.4, 0.0))
    ccdl.manual_seed(1)
    found = t(images(1, 1, 1, 5)[0] * 0 + ccdl.tensor([0.0, 0.0, 1.0, 0.0, 0.0])).numpy().ravel()
    assert found.sum() == pytest.approx(1.0, abs=1e-5) and found.max() == pytest.approx(1.0, abs=1e-5)


def test_resized_crop_of_everything_is_the_image():
    x = images(2, 3, 8, 8)
    assert ccdl.allclose(T.RandomResizedCrop(8, scale=(1, 1), ratio=(1, 1))(x), x, atol=1e-5)
    constant = ccdl.full((3, 1, 9, 7), 0.25)
    assert ccdl.allclose(T.RandomResizedCrop((4, 5))(constant), ccdl.full((3, 1, 4, 5), 0.25), atol=1e-6)


def test_erasing_covers_the_asked_area():
    x = ccdl.ones(500, 1, 20, 20)
    found = T.RandomErasing(1.0, scale=(0.1, 0.3), ratio=(0.5, 2.0), value=7.0)(x)
    share = (found == 7).double().mean((1, 2, 3))
    assert float(share.min()) > 0.07 and float(share.max()) < 0.34
    assert float(share.mean()) == pytest.approx(0.2, abs=0.02)
    mask = (found[0, 0] == 7).numpy()
    rows, columns = np.where(mask.any(1))[0], np.where(mask.any(0))[0]
    assert mask[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].all()
    assert float((T.RandomErasing(0.25)(x) == 0).any(-1).any(-1).double().mean()) == pytest.approx(0.25, abs=0.07)


def test_colour_jitter_against_formulas():
    x = images(3)
    a = x.numpy().astype(np.float64)
    luma = np.tensordot([0.299, 0.587, 0.114], a, (0, 1))[:, None]
    np.testing.assert_allclose(T.ColorJitter(brightness=(1.5, 1.5))(x).numpy(), np.clip(1.5 * a, 0, 1), atol=1e-6)
    mean = luma.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(T.ColorJitter(contrast=(0.5, 0.5))(x).numpy(), 0.5 * a + 0.5 * mean, atol=1e-6)
    np.testing.assert_allclose(T.ColorJitter(saturation=(0, 0))(x).numpy(), np.repeat(luma, 3, 1), atol=1e-6)
    np.testing.assert_allclose(T.Grayscale(3)(x).numpy(), np.repeat(luma, 3, 1), atol=1e-6)
    import colorsys

    turned = T.ColorJitter(hue=(0.2, 0.2))(x).numpy()
    for i, r, c in [(0, 0, 0), (1, 3, 4), (2, 7, 9)]:
        h, s, v = colorsys.rgb_to_hsv(*a[i, :, r, c])
        np.testing.assert_allclose(turned[i, :, r, c], colorsys.hsv_to_rgb((h + 0.2) % 1, s, v), atol=1e-5)
    gray = ccdl.full((1, 3, 2, 2), 0.5)
    assert ccdl.allclose(T.ColorJitter(hue=0.5)(gray), gray)


def test_blur_against_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = images(2)
    found = T.GaussianBlur(7, sigma=1.3)(x).numpy()
    wanted = ndimage.gaussian_filter(x.numpy().astype(np.float64), (0, 0, 1.3, 1.3), mode="mirror", radius=3)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_pca_colour_shift_moves_along_the_principal_axes():
    rng = np.random.default_rng(1)
    mixing = np.array([[1.0, 0.2, 0.0], [0.9, -0.1, 0.1], [0.8, 0.0, -0.2]])
    data = ccdl.tensor(np.einsum("ij,njhw->nihw", mixing, rng.standard_normal((64, 3, 6, 6))))
    shift = T.PCAColorShift(0.1).fit(data)
    values, vectors = np.linalg.eigh(np.cov(data.numpy().transpose(1, 0, 2, 3).reshape(3, -1), bias=True))
    ccdl.manual_seed(0)
    x = ccdl.zeros(4000, 3, 1, 1, dtype=ccdl.float64)
    moved = shift(x).numpy()[:, :, 0, 0] @ vectors
    np.testing.assert_allclose(moved.std(0), 0.1 * values, rtol=0.06)
    same = shift(ccdl.zeros(1, 3, 4, 4)).numpy()
    assert np.ptp(same, axis=(2, 3)).max() == 0


def test_five_and_ten_crops():
    x = images(2, 1, 4, 4)
    five, ten = T.FiveCrop(2)(x), T.TenCrop(2)(x)
    assert five.shape == (2, 5, 1, 2, 2) and ten.shape == (2, 10, 1, 2, 2)
    assert ccdl.equal(five[:, 0], x[..., :2, :2]) and ccdl.equal(five[:, 4], x[..., 1:3, 1:3])
    assert ccdl.equal(ten[:, :5], five) and ccdl.equal(ten[:, 5], x.flip(-1)[..., :2, :2])
    net = ccdl.nn.Sequential(ccdl.nn.Flatten(), ccdl.nn.Linear(4, 3))
    wanted = ccdl.stack([ccdl.softmax(net(ten[:, i]), 1) for i in range(10)]).mean(0)
    assert ccdl.allclose(T.ten_crop_predict(net, x, 2), wanted, atol=1e-6)


def test_mixup_and_cutmix():
    x, y = images(4), ccdl.tensor([0, 1, 2, 1])
    ccdl.manual_seed(0)
    mixed, soft = T.MixUp(1.0, 3)(x, y)
    weight = float(soft[0].max()) if float(soft[0, 0]) >= 0.5 else float(soft[0, 0])
    weight = float(soft[0, 0])  # sample 0 is of class 0, its neighbour of class 1
    assert ccdl.allclose(mixed, weight * x + (1 - weight) * x.roll(1, 0), atol=1e-6)
    assert ccdl.allclose(soft.sum(1), ccdl.ones(4))
    ccdl.manual_seed(3)
    mixed, soft = T.CutMix(1.0, 3)(x, y)
    kept = (mixed == x).all(1).double().mean((1, 2))
    assert float(kept[0]) == pytest.approx(float(soft[0, 0]), abs=1e-6)
    assert ((mixed == x) | (mixed == x.roll(1, 0))).all()


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 5.0])
def test_mixing_weights_follow_the_beta_distribution(alpha):
    stats = pytest.importorskip("scipy.stats")
    ccdl.manual_seed(0)
    mix = T.MixUp(alpha, 2)
    weights = [mix._weight() for _ in range(400)]
    assert stats.kstest(weights, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_small_ones():
    x = images(2, 3, 8, 12)
    assert T.Resize(4)(x).shape == (2, 3, 4, 6) and T.Resize((5, 7), "nearest")(x).shape == (2, 3, 5, 7)
    assert ccdl.allclose(T.Resize(8)(x), x, atol=1e-6)
    assert ccdl.equal(T.CenterCrop(4)(x), x[:, :, 2:6, 4:8])
    assert T.Pad((1, 2))(x).shape == (2, 3, 12, 14) and T.Pad((0, 1, 2, 3), padding_mode="reflect")(x).shape == (2, 3, 12, 14)
    n = T.Normalize([0.1, 0.2, 0.3], [1.0, 2.0, 4.0])(x)
    assert ccdl.allclose(n[:, 2], (x[:, 2] - 0.3) / 4, atol=1e-6)
    assert T.Lambda(lambda v: v + 1)(x).shape == x.shape
    array = RNG.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    np.testing.assert_allclose(T.ToTensor()(array).numpy(), array.transpose(2, 0, 1) / 255.0, atol=1e-7)
    assert "padding" not in repr(T.Compose([T.RandomHorizontalFlip()])) and "p=0.5" in repr(T.RandomHorizontalFlip())
    image = pytest.importorskip("PIL.Image", reason="the extra package is not installed")
    assert T.ToTensor()(image.new("L", (5, 4))).shape == (1, 4, 5)


def test_half_precision_and_gradients_pass_through():
    x = images(2).requires_grad_()
    T.RandomAffine(10)(x).sum().backward()
    assert x.grad is not None and math.isfinite(float(x.grad.sum()))
    assert T.RandomErasing(1.0)(images(2).half()).dtype == ccdl.float16


def test_errors():
    x = images(2)
    for call, words in [
        (lambda: T.RandomCrop(20)(x), "does not fit"),
        (lambda: T.RandomCrop(0), "size is 0"),
        (lambda: T.Pad(-1), "padding is -1"),
        (lambda: T.Pad(1, padding_mode="x"), "padding_mode is 'x'"),
        (lambda: T.RandomHorizontalFlip(1.5), "p is 1.5"),
        (lambda: T.RandomHorizontalFlip()(x, index=[1]), "index must name the 2 samples"),
        (lambda: T.RandomHorizontalFlip()(ccdl.ones(2, 2)), r"got \[2, 2\]"),
        (lambda: T.RandomErasing(scale=(0.5, 0.2)), "scale is"),
        (lambda: T.RandomResizedCrop(4, ratio=(0, 1)), "ratio is"),
        (lambda: T.RandomAffine(-5), "degrees is -5"),
        (lambda: T.RandomAffine(5, translate=(2, 0)), "translate is"),
        (lambda: T.ColorJitter(hue=0.9), "hue is 0.9"),
        (lambda: T.GaussianBlur(4), "kernel_size is 4"),
        (lambda: T.GaussianBlur(3, sigma=0), "sigma is 0"),
        (lambda: T.Normalize([0.0], [0.0]), "std positive"),
        (lambda: T.Normalize([0.0, 0.0], [1.0, 1.0])(x), "2 channels expected"),
        (lambda: T.MixUp(0), "alpha is 0"),
        (lambda: T.MixUp(1.0)(x, ccdl.tensor([0, 1])), "need num_classes"),
        (lambda: T.CutMix(1.0, 2)(x[0], ccdl.tensor([0])), "needs a batch"),
        (lambda: T.Grayscale(2), "num_output_channels is 2"),
        (lambda: T.RandomApply([T.RandomCrop(2)], 0.5)(x), "the shape must stay"),
        (lambda: T.ToTensor()(np.zeros(3)), r"got shape \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(RuntimeError, match="call fit"):
        T.PCAColorShift()(x)
