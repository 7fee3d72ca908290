"""Image data sets from files: the MNIST family (IDX), CIFAR (binary version), folders of images.

Samples are (image, class). Images come as float32 tensors [C, H, W] in [0, 1]. Give ``root`` the folder
that holds the files; ``download=True`` fetches them, checks their hashes and fails politely without a
network.
"""

from __future__ import annotations

import gzip
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import _C
from ..utils.data import Dataset
from ..utils.data.download import download as fetch

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "EMNIST",
    "FashionMNIST",
    "ImageFolder",
    "KMNIST",
    "MNIST",
    "read_cifar",
    "read_idx",
    "read_image",
]

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Any) -> Any:
    """One IDX file (or .gz of it) as a numpy array.

    Raises:
        ValueError: not an IDX file, or its size is not what its header says.
    """
    import numpy as np

    path = Path(path)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"read_idx: {path} is a damaged gzip file: {error}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:
        raise ValueError(f"read_idx: {path} does not start like an IDX file")
    rank = data[3]
    start = 4 + 4 * rank
    if len(data) < start:
        raise ValueError(f"read_idx: {path} ends within its header")
    shape = struct.unpack(f">{rank}I", data[4:start])
    kind = np.dtype(_IDX_TYPES[data[2]])
    count = 1
    for size in shape:
        count *= size
    if len(data) - start != count * kind.itemsize:
        raise ValueError(
            f"read_idx: {path} has {len(data) - start} bytes of data, its header {shape} needs "
            f"{count * kind.itemsize}"
        )
    return np.frombuffer(data, kind, offset=start).reshape(shape)


def read_cifar(path: Any, label_bytes: int = 1, classes: int = 10) -> tuple[Any, Any]:
    """(images uint8 [N, 3, 32, 32], labels int64 [N]) of one file of CIFAR's binary version.

    Args:
        label_bytes: 1 for CIFAR-10, 2 for CIFAR-100 (the last one, the fine label, counts).
        classes: a label beyond them is an error.

    Raises:
        ValueError: the size is no multiple of a record, or a label is out of range.
    """
    import numpy as np

    data = np.frombuffer(Path(path).read_bytes(), np.uint8)
    record = label_bytes + 3 * 32 * 32
    if len(data) == 0 or len(data) % record:
        raise ValueError(f"read_cifar: {path} has {len(data)} bytes, no multiple of {record}-byte records")
    rows = data.reshape(-1, record)
    labels = rows[:, label_bytes - 1].astype(np.int64)
    if labels.max() >= classes:
        bad = int((labels >= classes).argmax())
        raise ValueError(
            f"read_cifar: {path}, record {bad} has label {int(labels[bad])}, must be below {classes}"
        )
    return _C.tensor(rows[:, label_bytes:].reshape(-1, 3, 32, 32).copy()), _C.tensor(labels)


def read_image(path: Any, mode: str = "RGB") -> Any:
    """An image file as a float tensor [C, H, W] in [0, 1], through Pillow.

    Args:
        path: the file.
        mode: 'RGB' or 'L' (gray).

    Raises:
        ValueError: Pillow cannot read it.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeError("read_image: image files are read by Pillow; pip install Pillow") from error
    from .transforms import ToTensor

    try:
        with Image.open(path) as image:
            return ToTensor()(image.convert(mode))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"read_image: {path} is not a readable image: {error}") from None


class _Images(Dataset):
    """Images in memory, with transforms of image and label."""

    classes: list[str] = []

    def __init__(
        self,
        images: Any,
        labels: Any,
        transform: Callable[..., Any] | None,
        target_transform: Callable[..., Any] | None,
    ) -> None:
        self.data, self.targets = images, labels
        self.transform, self.target_transform = transform, target_transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Any) -> Any:
        image, label = self.data[index], self.targets[index]
        if image.dtype == _C.uint8:
            image = image.float() / 255
        if self.transform is not None:
            image = self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)

    def __repr__(self) -> str:
        shape, classes = list(self.data.shape[1:]), len(self.classes)
        return f"{type(self).__name__}({len(self)} images {shape}, {classes} classes)"


class MNIST(_Images):
    """Handwritten digits, 28x28 gray: 60,000 to train, 10,000 to test (LeCun et al., 1998).

    Args:
        root: folder with the four IDX files, plain or .gz (also in root/MNIST/raw).
        train: the training set, else the test set.
        transform, target_transform: applied to image and label of each sample.
        download: fetch what is missing.

    Raises:
        ValueError: a file is missing, damaged, or its images and labels do not belong together.
    """

    mirrors: tuple[str, ...] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    md5 = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    classes = [str(i) for i in range(10)]
    part_names = ("train", "t10k")

    def __init__(
        self,
        root: Any,
        train: bool = True,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        part = self.part_names[0 if train else 1]
        images, labels = (
            self._find(root, f"{part}-{kind}-ubyte", download) for kind in ("images-idx3", "labels-idx1")
        )
        x, y = read_idx(images), read_idx(labels)
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
            raise ValueError(
                f"{type(self).__name__}: {images.name} {x.shape} and {labels.name} {y.shape} do not "
                "belong together"
            )
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(self.classes):
            raise ValueError(
                f"{type(self).__name__}: {labels.name} has labels from {y.min()} to {y.max()}, must lie "
                f"within 0 and {len(self.classes) - 1}"
            )
        super().__init__(
            _C.tensor(x.copy()).unsqueeze(1), _C.tensor(y.astype("int64")), transform, target_transform
        )

    def _find(self, root: Any, stem: str, get: bool) -> Path:
        folders = (Path(root), Path(root) / type(self).__name__ / "raw")
        for folder in folders:
            for name in (stem, stem + ".gz", stem.replace("-idx", ".idx")):
                if (folder / name).exists():
                    return folder / name
        name = stem + ".gz"
        if get and name in self.md5:
            return fetch([m + name for m in self.mirrors], folders[1] / name, self.md5[name], "md5")
        raise ValueError(
            f"{type(self).__name__}: {stem} (or .gz) is not in {root}; put it there, or use download=True"
        )


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's form (Xiao, Rasul, Vollgraf, 2017)."""

    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    md5 = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    classes = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]


class KMNIST(MNIST):
    """Cursive Japanese characters in MNIST's form (Clanuwat et al., 2018); the files are not fetched."""

    md5 = {}
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


class EMNIST(MNIST):
    """Letters and digits in MNIST's form (Cohen et al., 2017), images stored transposed; files are not
    fetched.

    Args:
        split: 'letters', 'digits', 'balanced', 'byclass', 'bymerge' or 'mnist'; part of the files' names.
    """

    md5 = {}
    _SIZES = {"letters": 27, "digits": 10, "balanced": 47, "byclass": 62, "bymerge": 47, "mnist": 10}

    def __init__(self, root: Any, split: str = "balanced", **options: Any) -> None:
        if split not in self._SIZES:
            raise ValueError(f"EMNIST: split is {split!r}, must be one of {sorted(self._SIZES)}")
        self.part_names = (f"emnist-{split}-train", f"emnist-{split}-test")
        self.classes = [str(i) for i in range(self._SIZES[split])]
        super().__init__(root, **options)
        self.data = self.data.transpose(2, 3)


class CIFAR10(_Images):
    """Small colour pictures 32x32: 50,000 to train, 10,000 to test (Krizhevsky, 2009), binary version.

    Arguments as of :class:`MNIST`; ``root`` (or a folder of the archive's name in it) holds the .bin files.
    """

    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    folder = "cifar-10-batches-bin"
    files = ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"])
    label_bytes = 1

    def __init__(
        self,
        root: Any,
        train: bool = True,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        names = self.files[0 if train else 1]
        where = next(
            (f for f in (Path(root), Path(root) / self.folder) if all((f / n).exists() for n in names)), None
        )
        if where is None and download:
            archive = fetch(self.url, Path(root) / Path(self.url).name, self.md5, "md5")
            where = self._unpack(archive, Path(root))
        if where is None:
            raise ValueError(
                f"{type(self).__name__}: {', '.join(names)} are not in {root} or {Path(root) / self.folder}; "
                "put them there, or use download=True"
            )
        parts = [read_cifar(where / n, self.label_bytes, len(self.classes)) for n in names]
        images, labels = (_C.cat(list(p)) for p in zip(*parts))
        super().__init__(images, labels, transform, target_transform)

    def _unpack(self, archive: Path, root: Path) -> Path:
        """Writes only the plain files we know, under names of our own choosing."""
        target = root / self.folder
        target.mkdir(parents=True, exist_ok=True)
        wanted = set(self.files[0]) | set(self.files[1])
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = Path(member.name).name
                data = tar.extractfile(member) if member.isfile() and name in wanted else None
                if data is not None:
                    (target / name).write_bytes(data.read())
        return target


class CIFAR100(CIFAR10):
    """CIFAR with 100 classes, numbered (fine labels)."""

    classes = [str(i) for i in range(100)]
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    md5 = "03b5dce01913d631647c71ecec9e9cb8"
    folder = "cifar-100-binary"
    files = (["train.bin"], ["test.bin"])
    label_bytes = 2


class ImageFolder(Dataset):
    """root/CLASS/picture.png: one folder per class, in name order.

    Args:
        root: the folder.
        transform: of the image tensor [3, H, W]; pictures must have one size to be batched, see Resize.
        target_transform: of the class number.
        loader: ``loader(path)`` instead of :func:`read_image`.

    Attributes: ``classes``, ``class_to_idx``, ``samples`` [(path, class)], ``targets``.

    Raises:
        ValueError: no class folders, or a class without pictures; at access: an unreadable picture.
    """

    extensions = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")

    def __init__(
        self,
        root: Any,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        loader: Callable[..., Any] = read_image,
    ) -> None:
        root = Path(root)
        self.classes = sorted(p.name for p in root.iterdir() if p.is_dir())
        if not self.classes:
            raise ValueError(f"ImageFolder: {root} holds no folders; pictures belong into root/CLASS/")
        self.class_to_idx = {c: i for i, c in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for c, i in self.class_to_idx.items():
            found = sorted(p for p in (root / c).rglob("*") if p.suffix.lower() in self.extensions)
            if not found:
                raise ValueError(
                    f"ImageFolder: class folder {root / c} holds no pictures ({', '.join(self.extensions)})"
                )
            self.samples += [(str(p), i) for p in found]
        self.imgs, self.targets = self.samples, [i for _, i in self.samples]
        self.transform, self.target_transform, self.loader = transform, target_transform, loader

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        path, label = self.samples[index]
        image = self.loader(path)
        if self.transform is not None:
            image = self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)
