"""Recipes of the image networks at small size: they learn, resume to the same bits, read every kind of folder."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import ccdl
from ccdl.train import RECIPES, degradation, images, recipe

pytest.importorskip("sklearn", reason="the extra package is not installed")


def quiet(network="resnet20", **options):
    options = {"limit": 120, "size": 8, "epochs": 2, "quiet": True, "say": lambda line: None, "augment": False, **options}
    return images.train(network, **options)


def equal(a, b):
    return a.keys() == b.keys() and all(ccdl.equal(a[k], b[k]) for k in a)


def test_it_learns_and_writes(tmp_path):
    lines = []
    result = images.train("resnet20", out=str(tmp_path), limit=300, size=8, epochs=6, batch_size=16, augment=False, say=lines.append)
    history = result["history"]
    assert history[-1]["train_loss"] < 0.6 * history[0]["train_loss"] and result["test_accuracy"] > 0.5
    for name in ("curves.csv", "confusion.csv", "best.safetensors", "last.safetensors"):
        assert (tmp_path / name).exists()
    assert "resnet20: 216 training, 24 validation, 60 test images 8x8, 10 classes; 269722 parameters" in lines
    assert sum(map(sum, result["confusion"])) == 60


def test_resume_is_exact(tmp_path):
    whole = quiet(out=str(tmp_path / "whole"), augment=True)
    part = str(tmp_path / "part")
    assert not quiet(out=part, stop_after=1, augment=True)["finished"]
    rest = quiet(out=part, resume=True, augment=True)
    assert whole["history"] == rest["history"] and equal(whole["model"].state_dict(), rest["model"].state_dict())
    with pytest.raises(ValueError, match="options"):
        quiet(out=part, resume=True, augment=True, lr=1.0)


def test_the_degradation_experiment_writes_its_comparison(tmp_path):
    lines = []
    result = degradation.train(out=str(tmp_path), limit=60, size=8, epochs=1, quiet=True, say=lines.append)
    assert set(json.loads((tmp_path / "degradation.json").read_text())) == set(degradation.NETWORKS) == set(result["loss"])
    assert (tmp_path / "degradation.csv").read_text().count("\n") == 2
    assert [line.split()[0] for line in lines[-5:-1]] == list(degradation.NETWORKS)


@pytest.mark.slow
def test_deeper_plain_networks_train_worse_and_residual_ones_do_not(tmp_path):
    """Note 004: 56 plain layers end with a larger training error than 20; with shortcuts they do not."""
    loss = degradation.train(out=str(tmp_path), limit=400, epochs=3, quiet=True, say=lambda line: None)["loss"]
    assert loss["plain56"] > loss["plain20"] and loss["resnet56"] < loss["plain56"] and loss["resnet20"] < loss["plain20"]


def test_every_network_has_a_recipe():
    assert set(images.NETWORKS) < set(RECIPES)
    for name in images.NETWORKS:
        assert recipe(name) is images
    for name, network in images.NETWORKS.items():
        if name not in ("alexnet", "googlenet", "lenet"):
            net = network.build(7).eval()
            assert net(ccdl.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_folders(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="the extra package is not installed")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for c, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
            (tmp_path / part / c).mkdir(parents=True)
            for i in range(20 if part == "train" else 4):
                noise = rng.integers(0, 50, (9, 11, 3)) + np.array(colour)
                image.fromarray(noise.astype(np.uint8)).save(tmp_path / part / c / f"{i}.png")
    x, y, tx, ty = images.load_images(str(tmp_path), 8)
    assert x.shape == (40, 3, 8, 8) and tx.shape == (8, 3, 8, 8) and ty.tolist() == [0] * 4 + [1] * 4
    assert images.load_images(str(tmp_path / "train"))[0].shape == (40, 3, 9, 11)
    result = quiet(data=str(tmp_path), out=str(tmp_path / "run"), limit=None, epochs=4, batch_size=8)
    assert result["test_accuracy"] == 1.0
    with pytest.raises(ValueError, match="is not a folder"):
        images.load_images(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="network is 'resnet'"):
        quiet("resnet")


def test_an_unknown_network_lists_the_known_ones():
    with pytest.raises(ValueError, match="alexnett.*alexnet.*resnet20"):
        images.train("alexnett")


def test_the_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "ccdl", "train", "plain20", "--limit", "60", "--size", "8", "--epochs", "1",
                           "--out", str(tmp_path), "--threads", "1"], capture_output=True, text=True)
    assert done.returncode == 0 and "test accuracy" in done.stdout, done.stderr
    done = subprocess.run([sys.executable, "-m", "ccdl", "train", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2 and "resnet20" in done.stderr
