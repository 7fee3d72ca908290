"""The classic networks: published parameter counts, output shapes, equality with the same source run on PyTorch."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import ccdl
from ccdl import models

COUNTS = {
    "AlexNet2012": 60_965_224, "alexnet": 61_100_840,
    "vgg11": 132_863_336, "vgg13": 133_047_848, "vgg16": 138_357_544, "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840, "vgg13_bn": 133_053_736, "vgg16_bn": 138_365_992, "vgg19_bn": 143_678_248,
    "googlenet": 13_004_888,
    "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160,
    "resnet152": 60_192_808, "resnext50_32x4d": 25_028_904, "wide_resnet50_2": 68_883_240,
    "resnet20": 269_722, "resnet56": 853_018, "plain20": 269_722, "plain56": 853_018,
    "densenet121": 7_978_856, "densenet161": 28_681_000, "densenet169": 14_149_480, "densenet201": 20_013_928,
}
CIFAR = {"resnet18": 11_173_962, "resnet34": 21_282_122, "resnet50": 23_520_842, "resnet101": 42_512_970,
         "resnet152": 58_156_618}


def count(net) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.host
@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count(name):
    assert count(getattr(models, name)()) == COUNTS[name]


@pytest.mark.host
@pytest.mark.parametrize("name", CIFAR)
def test_parameter_count_of_the_cifar_form(name):
    assert count(getattr(models, name)(10, small_images=True)) == CIFAR[name]


@pytest.mark.host
def test_other_published_counts():
    assert count(models.AlexNet2012(groups=1)) == 62_378_344
    assert count(models.GoogLeNet(aux_logits=False)) == 6_624_904
    assert count(models.GoogLeNet(form="paper")) == 13_378_280
    assert count(models.GoogLeNet(form="paper", aux_logits=False)) == 6_998_552
    assert count(models.resnet20(shortcut="projection")) == 272_474
    assert count(models.resnet56(shortcut="projection")) == 855_770
    from ccdl.models.inception import PlainConv2d

    assert count(models.Inception(192, 64, 96, 128, 16, 32, 32, PlainConv2d, 5)) == 163_696
    assert count(models.Inception(192, 64, 0, 128, 0, 32, 0, PlainConv2d, 5)) == 387_296


@pytest.mark.host
@pytest.mark.parametrize("without, millions", [({7}, 16.8), ({6, 7}, 49.4), ({3, 4}, 1.7)])
def test_alexnet_without_layers(without, millions):
    """Note 004: what the ablated nets save, after the rest is wired together again."""
    saved = COUNTS["AlexNet2012"] - count(models.AlexNet2012(without=without))
    assert round(saved / 1e6, 1) == millions


def test_alexnet_without_most_layers_runs():
    net = models.AlexNet2012(3, without={3, 4, 6, 7})
    assert net(ccdl.zeros(1, 3, 67, 67)).shape == (1, 3)


@pytest.mark.host
def test_function_names_stay_functions():
    for module in ("alex", "inception"):
        importlib.import_module(f"ccdl.models.{module}")

    assert callable(models.alexnet) and callable(models.googlenet)
    assert set(models.__all__) >= {"resnet18", "GoogLeNet", "LeNet5"}


def test_errors():
    for call, words in [
        (lambda: models.VGG(12), "depth is 12"),
        (lambda: models.GoogLeNet(form="x"), "form is 'x'"),
        (lambda: models.SmallResNet(21), "depth is 21"),
        (lambda: models.SmallResNet(20, shortcut="x"), "shortcut is 'x'"),
        (lambda: models.AlexNet2012(without={5}), r"without is \[5\]"),
        (lambda: models.AlexNet2012(groups=3), "groups is 3"),
        (lambda: models.DeepPlainCNN(0), "depth is 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(ValueError, match="mixed6a"):
        models.GoogLeNet(3, form="paper", aux_logits=False).node("mixed6a")
    with pytest.raises(AttributeError, match="resnet19"):
        models.resnet19


def test_googlenet_returns_its_heads_in_training():
    net = models.GoogLeNet(4, form="paper")
    for name in ("mixed3a", "mixed3b", "mixed4a", "mixed4e", "mixed5b"):
        assert isinstance(net.node(name), models.Inception)
        assert name in dict(net.named_modules())
    out = net(ccdl.zeros(1, 3, 32, 32))
    assert [o.shape for o in out] == [(1, 4)] * 3 and out.logits is out[0]
    assert net.eval()(ccdl.zeros(1, 3, 32, 32)).shape == (1, 4)


def on_pytorch(file: str) -> types.ModuleType:
    """The very source of one of our model files, compiled against PyTorch."""
    path = Path(models.__file__).parent / file
    source = path.read_text()
    source = re.sub(r"^from \.\. import", "from torch import", source, flags=re.M)
    source = re.sub(r"^from \.\.nn import", "from torch.nn import", source, flags=re.M)
    source = re.sub(r"^from \.\._checks import", "from ccdl._checks import", source, flags=re.M)
    module = types.ModuleType("on_pytorch_" + path.stem)
    sys.modules[module.__name__] = module
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


SMALL = {
    "alex.py": ("AlexNet2012", {"num_classes": 3, "without": {6, 7}, "dropout": 0.0}, (1, 3, 67, 67)),
    "vgg.py": ("VGG", {"depth": 11, "num_classes": 3, "batch_norm": True, "dropout": 0.0}, (2, 3, 32, 32)),
    "inception.py": ("GoogLeNet", {"num_classes": 3, "dropout": 0.0, "dropout_aux": 0.0}, (2, 3, 64, 64)),
    "resnet.py": ("SmallResNet", {"depth": 14, "shortcut": "projection"}, (2, 3, 16, 16)),
    "densenet.py": ("DenseNet", {"growth_rate": 8, "block_config": (2, 3), "num_init_features": 16}, (2, 3, 32, 32)),
}


@pytest.mark.host
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("file", SMALL)
def test_same_source_same_results_as_pytorch(file):
    torch = pytest.importorskip("torch")
    name, options, shape = SMALL[file]
    ours, theirs = getattr(models, name)(**options), getattr(on_pytorch(file), name)(**options)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: ccdl.from_numpy(v.numpy().copy()) for k, v in state.items()})
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for mode in (True, False):
        a, b = ours.train(mode)(ccdl.from_numpy(x)), theirs.train(mode)(torch.from_numpy(x))
        for p, q in zip(a, b) if isinstance(a, tuple) else [(a, b)]:
            q = q.detach().numpy()
            np.testing.assert_allclose(p.detach().numpy(), q, rtol=1e-3, atol=2e-4 * max(1.0, float(np.abs(q).max())))


@pytest.mark.host
def test_thousand_plain_layers_keep_the_signal():
    """Delta-orthogonal initialisation: the gradient reaches the first of 1,000 layers neither dead nor exploded."""
    ccdl.manual_seed(0)
    net = models.DeepPlainCNN(1000, width=8, in_channels=1, stem_strides=(2,))
    x = 0.1 * ccdl.randn(4, 1, 8, 8)
    ccdl.nn.functional.cross_entropy(net(x), ccdl.tensor([0, 1, 2, 3])).backward()
    norms = [float(layer.weight.grad.norm()) for layer in (net.layers[0], net.layers[500], net.layers[999])]
    assert all(1e-4 < n < 1e2 for n in norms), norms
    for layer in net.layers:
        ccdl.nn.init.kaiming_normal_(layer.weight, nonlinearity="tanh")
        layer.weight.data.mul_(0.5)  # away from the critical point nothing arrives
    net.zero_grad()
    ccdl.nn.functional.cross_entropy(net(x), ccdl.tensor([0, 1, 2, 3])).backward()
    assert float(net.layers[0].weight.grad.norm()) < 1e-20


def test_deep_highway_net_trains_where_a_plain_one_does_not():
    """Thirty layers on scikit-learn's digits: the gated net learns, the same depth of plain layers stays at chance."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from ccdl import nn
    from ccdl.train.data import load_table

    x, y, _ = load_table("digits")
    x, y = x[:500] / 16 - 0.5, y[:500]
    loss_of = []
    for gated in (True, False):
        ccdl.manual_seed(0)
        if gated:
            net = models.HighwayNet(64, 10, width=32, depth=30, gate_bias=-3.0)
            assert sum(p.numel() for p in net.parameters()) == 64 * 32 + 32 + 30 * 2 * (32 * 32 + 32) + 32 * 10 + 10
        else:
            plain = [nn.Linear(64, 32), nn.ReLU()]
            for _ in range(30):
                plain += [nn.Linear(32, 32), nn.ReLU()]
            net = nn.Sequential(*plain, nn.Linear(32, 10))
        optimizer = ccdl.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
        for _ in range(60):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        loss_of.append(loss.item())
    assert loss_of[0] < 0.5 and loss_of[1] > 2.2, loss_of
    for bad in ({"in_features": 0}, {"in_features": 4, "width": 0}, {"in_features": 4, "depth": 0}):
        with pytest.raises(ValueError):
            models.HighwayNet(**bad)


# What a file of torchvision's weights holds: the number of entries, and some names with their shapes.
KEYS = {
    "alexnet": (16, {"features.0.weight": (64, 3, 11, 11), "features.10.bias": (256,), "classifier.1.weight": (4096, 9216), "classifier.6.bias": (1000,)}),
    "vgg16": (32, {"features.0.weight": (64, 3, 3, 3), "features.28.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088),
                   "classifier.6.weight": (1000, 4096)}),
    "vgg16_bn": (97, {"features.1.running_mean": (64,), "features.40.weight": (512, 512, 3, 3), "features.41.num_batches_tracked": ()}),
    "resnet18": (122, {"conv1.weight": (64, 3, 7, 7), "bn1.running_var": (64,), "layer1.0.conv1.weight": (64, 64, 3, 3),
                       "layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer2.0.downsample.1.num_batches_tracked": (), "fc.bias": (1000,)}),
    "resnet50": (320, {"layer1.0.downsample.0.weight": (256, 64, 1, 1), "layer3.5.conv3.weight": (1024, 256, 1, 1), "fc.weight": (1000, 2048)}),
    "resnext50_32x4d": (320, {"layer1.0.conv2.weight": (128, 4, 3, 3)}),
    "densenet121": (727, {"features.conv0.weight": (64, 3, 7, 7), "features.norm0.weight": (64,), "features.denseblock1.denselayer1.norm1.weight": (64,),
                          "features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3), "features.transition1.conv.weight": (128, 256, 1, 1),
                          "features.norm5.running_var": (1024,), "classifier.weight": (1000, 1024)}),
    "googlenet": (None, {"conv1.conv.weight": (64, 3, 7, 7), "conv1.bn.weight": (64,), "inception3a.branch1.conv.weight": (64, 192, 1, 1),
                         "inception3a.branch2.0.conv.weight": (96, 192, 1, 1), "inception3a.branch2.1.conv.weight": (128, 96, 3, 3),
                         "inception3a.branch3.1.bn.bias": (32,), "inception3a.branch4.1.conv.weight": (32, 192, 1, 1),
                         "aux1.conv.conv.weight": (128, 512, 1, 1), "aux1.fc1.weight": (1024, 2048), "aux2.fc2.bias": (1000,), "fc.weight": (1000, 1024)}),
}  # fmt: skip


@pytest.mark.host
@pytest.mark.parametrize("name", KEYS)
def test_state_dict_has_the_names_of_torchvisions_files(name):
    entries, shapes = KEYS[name]
    state = getattr(models, name)().state_dict()
    assert entries is None or len(state) == entries
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
