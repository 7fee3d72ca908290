"""The real data sets that ship with scikit-learn and so are always at hand: digits, and tables."""

from __future__ import annotations

from typing import Any

from .. import _C

__all__ = ["TABLES", "load_digits", "load_table"]

# name: whether the targets are classes
TABLES = {
    "breast_cancer": True,
    "diabetes": False,
    "digits": True,
    "iris": True,
    "linnerud": False,
    "wine": True,
}


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


def load_table(name: str) -> tuple[Any, Any, list[str]]:
    """One of scikit-learn's tables by name: features float32 [N, F], targets, names of the features.

    Targets are int64 [N] where they are classes (breast_cancer, digits, iris, wine), else float32: [N]
    (diabetes) or [N, 3] (linnerud).

    Raises:
        ValueError: an unknown name.
        RuntimeError: scikit-learn is not installed.

    >>> from ccdl.train.data import load_table
    >>> x, y, names = load_table("iris")
    >>> x.shape, y.shape, names[0]
    (ccdl.Size([150, 4]), ccdl.Size([150]), 'sepal length (cm)')
    """
    if name not in TABLES:
        raise ValueError(f"load_table: name is {name!r}, must be one of {sorted(TABLES)}")
    try:
        from sklearn import datasets
    except ImportError as error:
        raise RuntimeError(
            f"load_table: {name} comes with scikit-learn, which is missing; pip install scikit-learn"
        ) from error
    table = getattr(datasets, f"load_{name}")()
    targets = _C.tensor(table.target, dtype=_C.int64 if TABLES[name] else _C.float32)
    return _C.tensor(table.data, dtype=_C.float32), targets, [str(n) for n in table.feature_names]
