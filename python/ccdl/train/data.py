"""scikit-learn's digits, the real images that are always at hand."""

from __future__ import annotations

from typing import Any

from .. import _C

__all__ = ["load_digits"]


def load_digits() -> tuple[Any, Any]:
    """scikit-learn's 1,797 real handwritten digits: images [N, 8, 8] in [0, 1] and labels [N].

    Raises:
        RuntimeError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise RuntimeError(
            "train: the digits come with scikit-learn, which is missing; pip install scikit-learn, or give "
            "images with --data"
        ) from error
    digits = load()
    images = _C.tensor(digits.images / 16.0, dtype=_C.float32)
    return images, _C.tensor(digits.target, dtype=_C.int64)
