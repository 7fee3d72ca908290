"""Data sets from CSV, text and audio files, and windows of series."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import _C
from .dataset import Dataset, TensorDataset

__all__ = ["SeriesWindows", "load_csv", "load_wav", "read_lines"]


def load_csv(
    path: Any,
    target: str | int | None = None,
    header: bool = True,
    delimiter: str = ",",
    classes: Sequence[str] | None = None,
) -> TensorDataset:
    """A CSV file of numbers as a data set of (features float32 [F], target) or (features,).

    Args:
        path: the file, UTF-8.
        target: name or position of the target column; None: every column is a feature.
        header: the first line holds names.
        delimiter: between the fields.
        classes: the target's possible texts; it then becomes their position (int64). Without, a target whose
            every field is a whole number becomes int64, any other number float32.

    The data set has ``columns`` (names of the features). Empty fields become NaN.

    Raises:
        ValueError: no rows, rows of unequal length, a field that is no number, an unknown class or column;
            the message gives the line.
    """
    with open(path, newline="", encoding="utf-8") as file:
        lines = [row for row in csv.reader(file, delimiter=delimiter) if row]
    if not lines or (header and len(lines) == 1):
        raise ValueError(f"load_csv: {path} has no rows")
    names = lines[0] if header else [str(i) for i in range(len(lines[0]))]
    rows = lines[1:] if header else lines
    column = None
    if target is not None:
        if isinstance(target, str) and target not in names:
            raise ValueError(f"load_csv: {path} has no column {target!r}; there are {names}")
        column = names.index(target) if isinstance(target, str) else target
        if not -len(names) <= column < len(names):
            raise ValueError(f"load_csv: target is {target}, {path} has {len(names)} columns")
        column %= len(names)
    features: list[list[float]] = []
    targets: list[str] = []
    for number, row in enumerate(rows, 1 + header):
        if len(row) != len(names):
            raise ValueError(f"load_csv: {path}, row {number} has {len(row)} fields, expected {len(names)}")
        values = []
        for i, field in enumerate(row):
            if i == column:
                targets.append(field.strip())
                continue
            try:
                values.append(float(field) if field.strip() else math.nan)
            except ValueError:
                raise ValueError(
                    f"load_csv: {path}, row {number}, column {names[i]!r}: {field!r} is not a number"
                ) from None
        features.append(values)
    tensors = [_C.tensor(features, dtype=_C.float32)]
    if column is not None:
        tensors.append(_targets(path, targets, classes, 1 + header))
    found = TensorDataset(*tensors)
    found.columns = [n for i, n in enumerate(names) if i != column]  # type: ignore[attr-defined]
    return found


def _targets(path: Any, texts: list[str], classes: Sequence[str] | None, first: int) -> Any:
    if classes is not None:
        where = {c: i for i, c in enumerate(classes)}
        for number, text in enumerate(texts, first):
            if text not in where:
                raise ValueError(
                    f"load_csv: {path}, row {number}: class {text!r} is not one of {list(classes)}"
                )
        return _C.tensor([where[t] for t in texts], dtype=_C.int64)
    try:
        numbers = [float(t) for t in texts]
    except ValueError:
        raise ValueError(f"load_csv: {path}: the target column holds texts; name its classes=") from None
    if all(v.is_integer() for v in numbers):
        return _C.tensor([int(v) for v in numbers], dtype=_C.int64)
    return _C.tensor(numbers, dtype=_C.float32)


def read_lines(path: Any, encoding: str = "utf-8", keep_empty: bool = False) -> list[str]:
    """The lines of a text file without their ends; a folder gives those of all its .txt files in name order.

    Raises:
        ValueError: not text in this encoding, or a folder without .txt files.
    """
    path = Path(path)
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"read_lines: {path} holds no .txt files")
    found: list[str] = []
    for file in files:
        try:
            text = file.read_text(encoding=encoding)
        except UnicodeDecodeError as error:
            raise ValueError(f"read_lines: {file} is not {encoding} text: {error}") from None
        found += [line for line in text.splitlines() if keep_empty or line.strip()]
    return found


def load_wav(path: Any) -> tuple[Any, int]:
    """(samples float32 [channels, time] in [-1, 1), rate in Hz) of an uncompressed WAV file of 8, 16, 24 or
    32 bits.

    Raises:
        ValueError: not such a file, or shorter than its header says.
    """
    import wave

    import numpy as np

    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate, count = (
                file.getsampwidth(),
                file.getnchannels(),
                file.getframerate(),
                file.getnframes(),
            )
            data = file.readframes(count)
    except (wave.Error, EOFError) as error:
        raise ValueError(f"load_wav: {path} is not an uncompressed WAV file: {error}") from None
    if len(data) != count * width * channels:
        raise ValueError(
            f"load_wav: {path} has {len(data)} bytes of samples, its header says {count * width * channels}"
        )
    if width == 1:
        values = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    elif width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        joined = (parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24) >> 8
        values = joined.astype(np.float32) / 2**23
    else:
        values = np.frombuffer(data, f"<i{width}").astype(np.float32) / 2 ** (8 * width - 1)
    return _C.tensor(np.ascontiguousarray(values.reshape(-1, channels).T)), rate


class SeriesWindows(Dataset):
    """Windows of a series: sample i is (x[i s : i s + length], what follows).

    Args:
        series: [T] or [T, features].
        length: of a window.
        horizon: how many following values are the target; 0: the windows alone.
        step: s, between the starts of windows.
        labels: [T]: the target is the label at the window's last place instead.

    >>> import ccdl
    >>> data = SeriesWindows(ccdl.arange(6.0), length=3, horizon=1)
    >>> len(data), data[1]
    (3, (tensor([1., 2., 3.]), tensor([4.])))
    """

    def __init__(self, series: Any, length: int, horizon: int = 1, step: int = 1, labels: Any = None) -> None:
        if length < 1 or horizon < 0 or step < 1:
            raise ValueError(
                f"SeriesWindows: length {length} and step {step} must be at least 1, horizon {horizon} not "
                "negative"
            )
        if series.dim() not in (1, 2):
            raise ValueError(f"SeriesWindows: series must be [T] or [T, features], got {list(series.shape)}")
        if labels is not None and labels.shape != series.shape[:1]:
            raise ValueError(
                f"SeriesWindows: labels must be [{series.shape[0]}] like the series, got {list(labels.shape)}"
            )
        self.series, self.length, self.step, self.labels = series, length, step, labels
        self.horizon = 0 if labels is not None else horizon
        if series.shape[0] < length + self.horizon:
            raise ValueError(
                f"SeriesWindows: a series of {series.shape[0]} is too short for windows of {length} + "
                f"{self.horizon}"
            )

    def __len__(self) -> int:
        return (self.series.shape[0] - self.length - self.horizon) // self.step + 1

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"SeriesWindows: index {index} is out of range for {len(self)} windows")
        start = index % len(self) * self.step
        end = start + self.length
        window = self.series[start:end]
        if self.labels is not None:
            return window, self.labels[end - 1]
        return (window, self.series[end : end + self.horizon]) if self.horizon else window
