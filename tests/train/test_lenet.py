"""``ccdl train lenet``: accuracy, the same bits at any thread count, exact resume, its files, and bad data."""

from __future__ import annotations

import csv
import gzip
import os
import signal
import statistics
import struct
import subprocess
import sys
import time

import pytest

import ccdl
from ccdl.train import images
from ccdl.train.report import confusion_text
from ccdl.utils.data import stratified_split
from ccdl.vision.datasets import read_idx

pytest.importorskip("sklearn", reason="the extra package is not installed")


def weights(folder, name="last"):
    state = ccdl.load(os.path.join(folder, name + ".safetensors"))
    return (state["model"], state["history"]) if name == "last" else state


def equal(a, b):
    return a.keys() == b.keys() and all(bool((a[k] == b[k]).all()) for k in a)


def train(**options):
    return images.train("lenet", **options)


def quiet(**options):
    return train(quiet=True, say=lambda line: None, **options)


def command(*arguments):
    return [sys.executable, "-m", "ccdl", "train", "lenet", *map(str, arguments)]


@pytest.mark.slow
def test_five_seeds_reach_the_accuracy(tmp_path):
    found, seconds = [], []
    for seed in range(5):
        begin = time.perf_counter()
        found.append(quiet(out=str(tmp_path / str(seed)), seed=seed)["test_accuracy"])
        seconds.append(time.perf_counter() - begin)
    print("test accuracies", found, "seconds", seconds)
    assert statistics.median(found) >= 0.985 and min(found) >= 0.975
    assert statistics.median(seconds) < 60


def test_files_and_report(tmp_path):
    lines = []
    result = train(out=str(tmp_path), epochs=2, say=lines.append)
    with open(tmp_path / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    assert [r["epoch"] for r in rows] == ["1", "2"] and float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    assert sum(map(sum, result["confusion"])) == 360
    assert any("61706 parameters" in line for line in lines) and any("test accuracy" in line for line in lines)
    best = weights(tmp_path, "best")
    net = result["model"]
    assert equal(best, net.state_dict())
    for name in ("curves.png", "confusion.png", "confusion.csv"):
        assert (tmp_path / name).exists() or not name.endswith("png")


def test_same_seed_same_bits_at_any_thread_count(tmp_path):
    before = ccdl.get_num_threads()
    try:
        for threads in (1, 3):
            ccdl.set_num_threads(threads)
            quiet(out=str(tmp_path / str(threads)), epochs=2, workers=threads - 1)
    finally:
        ccdl.set_num_threads(before)
    a, b = weights(tmp_path / "1"), weights(tmp_path / "3")
    assert equal(a[0], b[0]) and a[1] == b[1]
    quiet(out=str(tmp_path / "other"), epochs=2, seed=1)
    assert not equal(a[0], weights(tmp_path / "other")[0])


def test_resume_is_exact(tmp_path):
    quiet(out=str(tmp_path / "whole"), epochs=4)
    part = str(tmp_path / "part")
    assert not quiet(out=part, epochs=4, stop_after=2)["finished"]
    lines = []
    train(out=part, epochs=4, resume=True, quiet=True, say=lines.append)
    assert "resumed after epoch 2" in lines
    (a, history_a), (b, history_b) = weights(tmp_path / "whole"), weights(part)
    assert equal(a, b) and history_a == history_b
    with pytest.raises(ValueError, match="other options|asked for"):
        quiet(out=part, epochs=5, resume=True)


def test_resume_after_kill_in_a_new_process_with_other_threads(tmp_path):
    quiet(out=str(tmp_path / "whole"), epochs=4)
    part = tmp_path / "part"
    child = subprocess.Popen(command("--out", part, "--epochs", 4, "--threads", 1), stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if line.startswith("epoch   2"):
            time.sleep(0.05)
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    done = subprocess.run(command("--out", part, "--epochs", 4, "--threads", 2, "--resume"), capture_output=True, text=True)
    assert done.returncode == 0 and "test accuracy" in done.stdout, done.stderr
    (a, history_a), (b, history_b) = weights(tmp_path / "whole"), weights(part)
    assert equal(a, b) and history_a == history_b


def idx(path, array_shape, kind, data):
    content = bytes([0, 0, kind, len(array_shape)]) + struct.pack(f">{len(array_shape)}I", *array_shape) + data
    with gzip.open(path, "wb") if str(path).endswith(".gz") else open(path, "wb") as file:
        file.write(content)


def test_idx_files(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    pixels = bytes((i * 7 + j) % 256 for i in range(40) for j in range(784))
    labels = bytes(i % 10 for i in range(40))
    idx(folder / "train-images-idx3-ubyte.gz", (40, 28, 28), 8, pixels)
    idx(folder / "train-labels-idx1-ubyte", (40,), 8, labels)
    x, y, tx, ty = images.load_images(str(folder))
    assert x.shape == (40, 1, 28, 28) and y.tolist()[:3] == [0, 1, 2] and tx is None and ty is None
    framed = images._prepare(x, 32, 1)
    assert float(x.max()) <= 1.0 and framed.shape == (40, 1, 32, 32) and ccdl.equal(framed[:, :, 2:-2, 2:-2], x)
    result = quiet(data=str(folder), out=str(tmp_path / "run"), epochs=1)
    assert result["finished"]
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 50) + labels)
    with pytest.raises(ValueError, match="40 bytes of data"):
        read_idx(folder / "train-labels-idx1-ubyte")
    (folder / "junk").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="does not start like an IDX file"):
        read_idx(folder / "junk")
    with pytest.raises(ValueError, match="no folders|no pictures"):
        images.load_images(str(tmp_path / "mnist" / ".."))


def test_command_reports_errors_in_one_line(tmp_path):
    done = subprocess.run(command("--data", tmp_path, "--out", tmp_path / "x"), capture_output=True, text=True)
    assert done.returncode == 1 and "holds no folders" in done.stderr and "Traceback" not in done.stderr


def test_stratified_split():
    labels = ccdl.tensor([0] * 50 + [1] * 30 + [2] * 20)
    rest, part = stratified_split(labels, 0.2, 5)
    assert sorted(rest.tolist() + part.tolist()) == list(range(100))
    assert ccdl.bincount(labels.index_select(0, part)).tolist() == [10, 6, 4]
    assert stratified_split(labels, 0.2, 5)[1].tolist() == part.tolist() != stratified_split(labels, 0.2, 6)[1].tolist()


def test_confusion_text():
    assert confusion_text([[1, 0, 0], [0, 1, 1], [0, 0, 1]]).splitlines()[2].split() == ["1", "0", "1", "1"]
