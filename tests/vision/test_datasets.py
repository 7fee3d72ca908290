"""Image data sets from small files made here, whole and damaged."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tarfile

import numpy as np
import pytest

import ccdl
from ccdl.utils.data import DataLoader
from ccdl.utils.data.download import download, file_hash
from ccdl.vision import datasets as D
from ccdl.vision import transforms as T

RNG = np.random.default_rng(0)


def idx(array, kind=0x08):
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, n=7, labels=None, packed=False):
    images = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = RNG.integers(0, 10, n).astype(np.uint8) if labels is None else labels
    for part in ("train", "t10k"):
        for name, data in ((f"{part}-images-idx3-ubyte", idx(images)), (f"{part}-labels-idx1-ubyte", idx(labels))):
            if packed:
                (folder / (name + ".gz")).write_bytes(gzip.compress(data))
            else:
                (folder / name).write_bytes(data)
    return images, labels


@pytest.mark.parametrize("packed", [False, True])
def test_mnist(tmp_path, packed):
    images, labels = write_mnist(tmp_path, packed=packed)
    data = D.MNIST(tmp_path, transform=T.Normalize([0.5], [0.5]), target_transform=lambda y: y + 100)
    assert len(data) == 7 and "7 images" in repr(data)
    x, y = data[3]
    assert x.shape == (1, 28, 28) and int(y) == labels[3] + 100
    np.testing.assert_allclose(x.numpy()[0], (images[3] / 255 - 0.5) / 0.5, atol=1e-6)
    x, y = next(iter(DataLoader(D.FashionMNIST(tmp_path, train=False), batch_size=7)))
    assert x.shape == (7, 1, 28, 28) and y.tolist() == labels.tolist()


def test_emnist_is_transposed(tmp_path):
    images = RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    (tmp_path / "emnist-letters-train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "emnist-letters-train-labels-idx1-ubyte").write_bytes(idx(np.array([1, 26, 3], np.uint8)))
    data = D.EMNIST(tmp_path, "letters")
    np.testing.assert_allclose(data[1][0].numpy()[0], images[1].T / 255, atol=1e-6)


def test_damaged_idx_files(tmp_path):
    write_mnist(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    good = file.read_bytes()
    for data, words in [(good[:-1], "bytes of data"), (good[:10], "ends within"), (b"\1" + good, "does not start"), (b"", "does not start")]:
        file.write_bytes(data)
        with pytest.raises(ValueError, match=words):
            D.MNIST(tmp_path)
    file.write_bytes(idx(np.zeros((3, 28, 28), np.uint8)))
    with pytest.raises(ValueError, match="do not belong together"):
        D.MNIST(tmp_path)
    write_mnist(tmp_path, labels=np.full(7, 11, np.uint8))
    with pytest.raises(ValueError, match="labels from 11 to 11"):
        D.MNIST(tmp_path)
    with pytest.raises(ValueError, match="not in .* use download=True"):
        D.KMNIST(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="split is 'x'"):
        D.EMNIST(tmp_path, "x")
    cut = tmp_path / "x.gz"
    cut.write_bytes(gzip.compress(good)[:-20])
    with pytest.raises(ValueError, match="damaged gzip"):
        D.read_idx(cut)


def cifar_record(label_bytes, labels, pixels):
    return b"".join(bytes([0] * (label_bytes - 1) + [y]) + p.tobytes() for y, p in zip(labels, pixels))


def test_cifar(tmp_path):
    pixels = RNG.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(cifar_record(1, [i, 9], pixels[:2]))
    (folder / "test_batch.bin").write_bytes(cifar_record(1, [0, 1, 2, 3], pixels))
    train, test = D.CIFAR10(tmp_path), D.CIFAR10(folder, train=False)
    assert len(train) == 10 and train.targets.tolist() == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9] and len(test) == 4
    np.testing.assert_allclose(test[2][0].numpy(), pixels[2] / 255, atol=1e-6)
    (tmp_path / "train.bin").write_bytes(cifar_record(2, [99], pixels))
    assert D.CIFAR100(tmp_path).targets.tolist() == [99]
    for data, words in [(b"", "0 bytes"), (b"x" * 100, "no multiple"), (cifar_record(1, [3, 10], pixels), "record 1 has label 10")]:
        (folder / "test_batch.bin").write_bytes(data)
        with pytest.raises(ValueError, match=words):
            D.CIFAR10(tmp_path, train=False)
    with pytest.raises(ValueError, match="use download=True"):
        D.CIFAR10(tmp_path / "nowhere")


def test_cifar_download_unpacks_known_names_only(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    pixels = RNG.integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    (source / "test_batch.bin").write_bytes(cifar_record(1, [7], pixels))
    (source / "evil").write_bytes(b"x")
    archive = source / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source / "test_batch.bin", "../../test_batch.bin")
        tar.add(source / "evil", "../evil")
    monkeypatch.setattr(D.CIFAR10, "url", archive.as_uri())
    monkeypatch.setattr(D.CIFAR10, "md5", file_hash(archive, "md5"))
    root = tmp_path / "a" / "root"
    data = D.CIFAR10(root, train=False, download=True)
    assert data.targets.tolist() == [7]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file() and source not in p.parents) == [
        "cifar-10-binary.tar.gz", "test_batch.bin"]


def test_download(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"hello")
    right = hashlib.sha256(b"hello").hexdigest()
    target = tmp_path / "new" / "file"
    missing = (tmp_path / "missing").as_uri()
    assert download([missing, source.as_uri()], target, right).read_bytes() == b"hello"
    source.unlink()
    assert download(missing, target, right) == target  # there and right: nothing is fetched
    source.write_bytes(b"tampered")
    with pytest.raises(RuntimeError, match="sha256 is .*, expected"):
        download(source.as_uri(), tmp_path / "other", right)
    with pytest.raises(RuntimeError, match="put the file at"):
        download([missing, "http://127.0.0.1:9/x"], tmp_path / "other", right, timeout=2)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["file", "source"]


def test_image_folder(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="the extra package is not installed")
    for name, colour in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        (tmp_path / name / "deep").mkdir(parents=True)
        image.new("RGB", (4, 3), colour).save(tmp_path / name / "b.png")
        image.new("RGB", (4, 3), colour).save(tmp_path / name / "deep" / "a.png")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    data = D.ImageFolder(tmp_path, transform=T.Resize((2, 2)))
    assert data.classes == ["cat", "dog"] and data.targets == [0, 0, 1, 1] and len(data) == 4
    x, y = data[2]
    assert y == 1 and x.shape == (3, 2, 2) and x[:, 0, 0].tolist() == [0.0, 0.0, 1.0]
    (tmp_path / "dog" / "b.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(ValueError, match="b.png is not a readable image"):
        data[2]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no pictures"):
        D.ImageFolder(tmp_path)
    with pytest.raises(ValueError, match="holds no folders"):
        D.ImageFolder(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        D.read_image(tmp_path / "missing.png")


def test_cuda_and_cpu_see_the_same_bytes(tmp_path):
    write_mnist(tmp_path)
    data = D.MNIST(tmp_path)
    assert data.data.dtype == ccdl.uint8 and data.data.element_size() == 1  # a quarter of float32 in memory
