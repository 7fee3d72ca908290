"""``ccdl train lenet`` on the device under test: a small set of images, the losses of the host."""

from __future__ import annotations

import struct

import pytest

import ccdl
from ccdl.train.images import train

pytest.importorskip("sklearn", reason="the extra package is not installed")


def idx(path, shape, data):
    path.write_bytes(bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data)


def images(folder, n=32, side=12):
    """Bright left or right halves with some texture: the label is the side."""
    labels = bytes(i % 2 for i in range(n))
    pixel = lambda i, r, c: (200 if (c < side // 2) == (i % 2 == 0) else 20) + (7 * i + 3 * r + c) % 30
    idx(folder / "train-images-idx3-ubyte", (n, side, side), bytes(pixel(i, r, c) for i in range(n) for r in range(side) for c in range(side)))
    idx(folder / "train-labels-idx1-ubyte", (n,), labels)
    return str(folder)


def test_training_follows_the_host(tmp_path, device):
    (tmp_path / "data").mkdir()
    options = dict(data=images(tmp_path / "data"), epochs=1, batch_size=16, augment=False, quiet=True, say=lambda line: None)
    with ccdl.device("cpu"):
        here = train("lenet", out=str(tmp_path / "host"), **options)
        there = train("lenet", out=str(tmp_path / "device"), device=device, **options)
    assert there["finished"] and next(there["model"].parameters()).device.type == device
    for a, b in zip(here["history"], there["history"]):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-3)
    assert there["test_accuracy"] == pytest.approx(here["test_accuracy"], abs=0.15)
