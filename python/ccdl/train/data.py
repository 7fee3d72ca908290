"""Digit images for the recipes: scikit-learn's bundled set or MNIST IDX files, as [N, 32, 32] floats in [0,
1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import _C
from ..utils.data.split import stratified_split
from ..vision.datasets import read_idx

__all__ = ["load_digits", "load_idx", "read_idx", "resize", "stratified_split"]


def load_digits() -> Any:
    """scikit-learn's 1,797 real handwritten digits: images [N, 8, 8] in [0, 1] and labels [N]."""
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise RuntimeError(
            "train lenet: the digits come with scikit-learn, which is missing; pip install scikit-learn, "
            "or give "
            "MNIST IDX files with --data"
        ) from error
    digits = load()
    images = _C.tensor(digits.images / 16.0, dtype=_C.float32)
    return images, _C.tensor(digits.target, dtype=_C.int64)


def _idx_pair(folder, part):
    images = labels = None
    for file in sorted(Path(folder).iterdir()):
        name = file.name.lower()
        if name.startswith(part) and "idx3" in name:
            images = file
        elif name.startswith(part) and "idx1" in name:
            labels = file
    return images, labels


def load_idx(folder: Any) -> Any:
    """MNIST-style IDX files of a folder: (images, labels, test images, test labels); the test part may be
    None.

    Looks for train-images*idx3*, train-labels*idx1* and t10k-* of the same form, plain or gzip.
    """
    parts: list[Any] = []
    for part in ("train", "t10k"):
        images, labels = _idx_pair(folder, part)
        if images is None or labels is None:
            if part == "train":
                raise ValueError(f"load_idx: {folder} holds no train-images-idx3 and train-labels-idx1 files")
            parts += [None, None]
            continue
        x, y = read_idx(images), read_idx(labels)
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
            raise ValueError(
                f"load_idx: {images.name} {x.shape} and {labels.name} {y.shape} do not belong together"
            )
        parts += [_C.tensor(x.astype("float32") / 255.0), _C.tensor(y.astype("int64"))]
    return tuple(parts)


def _resize_matrix(size, wanted):
    """[wanted, size] weights of bilinear interpolation, pixel centres at half-integers, clamped at the
    border.
    """
    rows = []
    for i in range(wanted):
        position = min(max((i + 0.5) * size / wanted - 0.5, 0.0), size - 1.0)
        low = min(int(position), size - 1)
        share = position - low
        row = [0.0] * size
        row[low] += 1.0 - share
        row[min(low + 1, size - 1)] += share
        rows.append(row)
    return _C.tensor(rows)


def resize(images: Any, size: Any = 32) -> Any:
    """[N, H, W] -> [N, size, size]: bilinear, but 28x28 images are padded with two pixels instead (as LeNet
    has it).
    """
    n, h, w = images.shape
    if (h, w) == (size, size):
        return images
    if (h, w) == (size - 4, size - 4):
        result = _C.zeros(n, size, size)
        result[:, 2:-2, 2:-2] = images
        return result
    vertical, horizontal = _resize_matrix(h, size), _resize_matrix(w, size)
    return _C.matmul(_C.matmul(vertical, images), horizontal.t())
