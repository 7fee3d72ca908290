"""The trainer: learning, metrics, callbacks, gradient accumulation, exact resume after kill -9."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import ccdl
from ccdl import nn
from ccdl.train import Trainer
from ccdl.train import callbacks as cb
from ccdl.train.scores import (
    Accuracy,
    ConfusionMatrix,
    MeanAbsoluteError,
    accuracy,
    confusion_counts,
    precision_recall_f1,
    top_k_accuracy,
)
from ccdl.utils.data import DataLoader, TensorDataset


def blobs(n=192, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 2)) * 0.4 + np.array([[0, 1], [1, -1], [-1, -1]])[y]
    return ccdl.tensor(x, dtype=ccdl.float32), ccdl.tensor(y)


def loader(batch_size=16, shuffle=True, **options):
    generator = ccdl.Generator() if shuffle else None
    return DataLoader(TensorDataset(*blobs(**options)), batch_size=batch_size, shuffle=shuffle, generator=generator)


def make(callbacks=(), seed=0, **options):
    ccdl.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 3))
    optimizer = ccdl.optim.Adam(net.parameters(), lr=0.02)
    return Trainer(net, optimizer, nn.CrossEntropyLoss(), metrics={"accuracy": Accuracy()}, callbacks=callbacks,
                   seed=seed, **options)


def test_it_learns_and_keeps_a_history():
    trainer = make()
    history = trainer.fit(loader(), loader(shuffle=False, seed=1), epochs=12)
    assert [r["epoch"] for r in history] == list(range(1, 13))
    assert history[-1]["val_accuracy"] > 0.9 and history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert set(history[0]) == {"epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    x, y = blobs(seed=1)
    scores = trainer.predict(x)
    assert abs(accuracy(scores, y) - history[-1]["val_accuracy"]) < 1e-12
    batches = DataLoader(x, batch_size=50)
    assert ccdl.equal(trainer.predict(batches), scores) or ccdl.allclose(trainer.predict(batches), scores, atol=1e-6)


def test_the_mean_loss_weighs_batches_by_size():
    trainer = make()
    found = trainer.evaluate(loader(batch_size=100, shuffle=False))
    x, y = blobs()
    trainer.model.eval()
    whole = float(nn.functional.cross_entropy(trainer.model(x), y))
    assert abs(found["loss"] - whole) < 1e-6


def weights(trainer):
    return {k: v.clone() for k, v in trainer.model.state_dict().items()}


def same(a, b):
    return all(ccdl.equal(v, b[k]) for k, v in a.items())


def test_accumulation_equals_larger_batches():
    found = []
    for size, accumulate in ((32, 1), (16, 2)):
        trainer = make(accumulate=accumulate)
        trainer.model[2].p = 0.0
        trainer.fit(loader(size), epochs=2)
        found.append((trainer.steps, weights(trainer)))
    assert found[0][0] == found[1][0] == 12
    assert all(ccdl.allclose(v, found[1][1][k], atol=1e-5) for k, v in found[0][1].items())


def test_the_last_incomplete_group_steps_too():
    trainer = make(accumulate=5)
    trainer.fit(loader(16), epochs=1)
    assert trainer.steps == 3


def test_clipping_bounds_the_step():
    trainer = make(clip_norm=1e-3)
    trainer.optimizer = ccdl.optim.SGD(trainer.model.parameters(), lr=1.0)
    before = weights(trainer)
    trainer.fit(loader(192), epochs=1)
    moved = sum(float(((v - before[k]) ** 2).sum()) for k, v in weights(trainer).items()) ** 0.5
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_schedules_per_epoch_step_and_plateau():
    trainer = make()
    trainer.scheduler = ccdl.optim.lr_scheduler.StepLR(trainer.optimizer, 1, gamma=0.5)
    assert [r["lr"] for r in trainer.fit(loader(), epochs=3)] == [0.02, 0.01, 0.005]
    trainer = make(schedule_every="step")
    trainer.scheduler = ccdl.optim.lr_scheduler.ExponentialLR(trainer.optimizer, 0.9)
    trainer.fit(loader(96), epochs=2)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.02 * 0.9**4)
    trainer = make(monitor="train_loss")
    trainer.scheduler = ccdl.optim.lr_scheduler.ReduceLROnPlateau(trainer.optimizer, patience=0, threshold=1e9, mode="min")
    assert trainer.fit(loader(), epochs=3)[-1]["lr"] < 0.02
    trainer.monitor = "val_f1"
    with pytest.raises(ValueError, match="val_f1"):
        trainer.fit(loader(), epochs=4)


def test_logs_and_curves(tmp_path):
    trainer = make([cb.CSVLogger(str(tmp_path / "log.csv")), cb.JSONLogger(str(tmp_path / "log.jsonl")),
                    cb.Curves(str(tmp_path / "curves")), cb.Progress()])
    lines = []
    trainer.callbacks.items.append(cb.PrintRows(lines.append))
    history = trainer.fit(loader(), loader(shuffle=False), epochs=2)
    rows = list(csv.DictReader(open(tmp_path / "log.csv")))
    assert [float(r["val_loss"]) for r in rows] == [r["val_loss"] for r in history]
    assert [json.loads(line) for line in open(tmp_path / "log.jsonl")] == history
    assert (tmp_path / "curves" / "curves.csv").exists()
    assert len(lines) == 2 and "epoch   2/2" in lines[1] and "val_accuracy" in lines[1]


def test_tensorboard_files_hold_the_numbers(tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra package is not installed")
    trainer = make([cb.TensorBoard(str(tmp_path), every_batch=True)])
    trainer.fit(loader(), epochs=1)
    data = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"batch/loss" in data and b"train/accuracy" in data
    from ccdl.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "more")) as writer:
        writer.add_scalar("x", ccdl.tensor(1.5), 0)
        writer.add_histogram("h", ccdl.ones(5, dtype=ccdl.bfloat16), 0)
        writer.add_embedding(ccdl.eye(3), metadata=["a", "b", "c"])
    found = [p.name for p in (tmp_path / "more").rglob("*")]
    assert "projector_config.pbtxt" in found and "tensors.tsv" in found


def test_best_checkpoint_and_early_stopping(tmp_path):
    path = str(tmp_path / "best.safetensors")
    best, stop = cb.BestCheckpoint(path, "val_accuracy"), cb.EarlyStopping("val_loss", patience=1, min_delta=1e9)
    trainer = make([best, stop])
    history = trainer.fit(loader(), loader(shuffle=False), epochs=10)
    assert len(history) == 3  # the first is an improvement on nothing, then patience 1 is used up
    assert best.best == max(r["val_accuracy"] for r in history)
    fresh = make()
    fresh.model.load_state_dict(ccdl.load(path))
    assert fresh.evaluate(loader(shuffle=False))["accuracy"] == best.best


def test_exponential_average():
    average = cb.ExponentialAverage(0.5)
    trainer = make([average])
    start = weights(trainer)
    trainer.fit(loader(192), epochs=1)
    for key, value in weights(trainer).items():
        assert ccdl.allclose(average.average[key], 0.5 * start[key] + 0.5 * value, atol=1e-6)
    before = weights(trainer)
    trainer.evaluate(loader(shuffle=False))
    assert same(before, weights(trainer))


def test_nan_watch_names_the_layer():
    class Broken(nn.Module):
        def forward(self, x):
            return x / 0.0 * 0.0

    ccdl.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), Broken(), nn.Linear(4, 3))
    trainer = Trainer(net, ccdl.optim.SGD(net.parameters(), lr=0.1), nn.CrossEntropyLoss(), callbacks=[cb.NaNWatch()])
    with pytest.raises(FloatingPointError, match=r"layer '1' \(Broken\) is the first .* its input is finite"):
        trainer.fit(loader(), epochs=1)
    net = nn.Sequential(nn.Linear(2, 3))
    trainer = Trainer(net, ccdl.optim.SGD(net.parameters(), lr=float("inf")), nn.CrossEntropyLoss(), callbacks=[cb.NaNWatch()])
    with pytest.raises(FloatingPointError, match="parameter '0.weight' holds NaN or inf"):
        trainer.fit(loader(), epochs=1)


def test_a_callbacks_error_reaches_the_user():
    class Bad(cb.Callback):
        def on_batch_end(self, trainer, batch, loss):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        make([Bad()]).fit(loader(), epochs=1)


def test_custom_forward():
    def forward(model, batch):
        x, y = batch
        logits = model(x)
        return nn.functional.cross_entropy(logits, y, label_smoothing=0.1), logits, y, len(y)

    trainer = make()
    trainer._forward, trainer.loss = forward, None
    assert trainer.fit(loader(), epochs=1)[0]["train_loss"] > 0


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import ccdl
ccdl.set_num_threads({threads})
from train_case import loader, make
from ccdl.train import callbacks as cb

class Die(cb.Callback):
    def on_batch_end(self, trainer, batch, loss):
        if trainer.epoch == 1 and trainer.batch == 7:
            os.kill(os.getpid(), signal.SIGKILL)

def build(kill):
    trainer = make([cb.EarlyStopping("val_loss", patience=9), cb.ExponentialAverage(0.9), *([Die()] if kill else [])])
    trainer.scheduler = ccdl.optim.lr_scheduler.CosineAnnealingLR(trainer.optimizer, 4)
    return trainer

trainer = build({kill})
trainer.fit(loader(), loader(shuffle=False, seed=1), epochs=4, checkpoint={path!r}, checkpoint_every=3, resume=True)
ccdl.save({{"history": trainer.history, "model": trainer.model.state_dict(), "average": trainer.callbacks.items[1].average,
           "waited": trainer.callbacks.items[0].waited}}, {out!r})
"""


def run(folder, kill, threads, out):
    case = folder / "train_case.py"
    if not case.exists():
        source = open(__file__).read()
        case.write_text(source[:source.index("def test_it_learns")])
    text = textwrap.dedent(SCRIPT).format(tests=str(folder), threads=threads, kill=kill, path=str(folder / f"{out}.ckpt"), out=str(folder / out))
    return subprocess.run([sys.executable, "-c", text], env=dict(os.environ), capture_output=True, text=True)


def test_resume_after_kill_in_mid_epoch_gives_the_same_bits(tmp_path):
    whole = run(tmp_path, False, 1, "whole.safetensors")
    assert whole.returncode == 0, whole.stderr
    killed = run(tmp_path, True, 1, "resumed.safetensors")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = ccdl.load(str(tmp_path / "resumed.safetensors.ckpt"))
    assert (state["epoch"], state["batch"]) == (1, 6)
    again = run(tmp_path, False, 2, "resumed.safetensors")
    assert again.returncode == 0, again.stderr
    a, b = (ccdl.load(str(tmp_path / name)) for name in ("whole.safetensors", "resumed.safetensors"))
    assert a["history"] == b["history"] and len(a["history"]) == 4 and a["waited"] == b["waited"]
    assert same(a["model"], b["model"]) and same(a["average"], b["average"])


def test_resume_refuses_another_seed(tmp_path):
    path = str(tmp_path / "c.safetensors")
    make().fit(loader(), epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint has seed 0, this run 1"):
        make(seed=1).fit(loader(), epochs=2, checkpoint=path, resume=True)


def test_errors():
    net = nn.Linear(2, 2)
    optimizer = ccdl.optim.SGD(net.parameters(), lr=0.1)
    for call, words in [
        (lambda: Trainer(net, optimizer), "give a loss function"),
        (lambda: make(schedule_every="day"), "schedule_every is 'day'"),
        (lambda: make(accumulate=0), "accumulate is 0"),
        (lambda: make().fit(loader(), epochs=-1), "epochs is -1"),
        (lambda: make(accumulate=2).fit(loader(), checkpoint_every=3), "checkpoint_every is 3"),
        (lambda: make().fit([ccdl.ones(2, 2)], epochs=1), "a batch is"),
        (lambda: make([cb.EarlyStopping("val_loss")]).fit(loader(), epochs=1), "no 'val_loss' in the history"),
        (lambda: cb.EarlyStopping(patience=-1), "patience is -1"),
        (lambda: cb.EarlyStopping(mode="up"), "mode is 'up'"),
        (lambda: cb.ExponentialAverage(1.0), "decay is 1.0"),
        (lambda: cb.NaNWatch(0), "every is 0"),
        (lambda: make().predict([]), "gave no batch"),
        (lambda: Accuracy(0), "k is 0"),
        (lambda: accuracy(ccdl.ones(3), ccdl.tensor([1])), "output must be scores"),
        (lambda: confusion_counts(ccdl.tensor([1]), ccdl.tensor([1, 0])), r"\[1\] predictions"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def test_scores_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="the extra package is not installed")
    rng = np.random.default_rng(3)
    scores, y = rng.standard_normal((200, 5)), rng.integers(0, 5, 200)
    out, target = ccdl.tensor(scores), ccdl.tensor(y)
    guess = scores.argmax(1)
    assert accuracy(out, target) == pytest.approx(metrics.accuracy_score(y, guess))
    assert top_k_accuracy(out, target, 3) == pytest.approx(metrics.top_k_accuracy_score(y, scores, k=3))
    counts = confusion_counts(out, target)
    assert counts.tolist() == metrics.confusion_matrix(y, guess).tolist()
    matrix = ConfusionMatrix(5)
    for part in (slice(0, 70), slice(70, 200)):
        matrix.update(out[part], target[part])
    assert matrix.compute() == counts.tolist()
    found = precision_recall_f1(counts)
    wanted = metrics.precision_recall_fscore_support(y, guess, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), wanted):
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-12)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(y, guess, average="macro"))
    error = MeanAbsoluteError()
    error.update(ccdl.tensor([1.0, 2.0]), ccdl.tensor([0.0, 4.0]))
    assert error.compute() == 1.5 and ConfusionMatrix(2).compute() == [[0, 0], [0, 0]]


def test_of_equally_good_epochs_the_smallest_loss_is_kept(tmp_path):
    path = str(tmp_path / "best.safetensors")
    best = cb.BestCheckpoint(path, "val_accuracy")
    trainer = make()
    kept = []
    for epoch, (accuracy_, loss) in enumerate([(0.5, 1.0), (0.9, 0.8), (0.9, 0.6), (0.9, 0.7), (0.8, 0.1)], 1):
        trainer.model[0].bias.data.fill_(float(epoch))
        best.on_epoch_end(trainer, {"epoch": epoch, "val_accuracy": accuracy_, "val_loss": loss})
        kept.append(int(ccdl.load(path)["0.bias"][0]))
    assert kept == [1, 2, 3, 3, 3] and best.best_epoch == 3
    again = cb.BestCheckpoint(path, "val_accuracy")
    again.load_state_dict(best.state_dict())
    assert (again.best, again.best_epoch, again.loss) == (0.9, 3, 0.6)
