"""Parameter counts and small truths of the ready models."""

from __future__ import annotations

import pytest

import ccdl
from ccdl import models, nn

GATES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "nand": [1, 1, 1, 0], "nor": [1, 0, 0, 0], "xor": [0, 1, 1, 0]}


def corners():
    return ccdl.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_lenet5():
    net = models.LeNet5()
    assert count(net) == 61706
    assert net(ccdl.zeros(3, 1, 32, 32)).shape == (3, 10)
    assert [p.numel() for p in net.parameters()] == [150, 6, 2400, 16, 48000, 120, 10080, 84, 840, 10]
    for options in ({"activation": "tanh", "pool": "avg"}, {"dropout": 0.5}):
        assert count(models.LeNet5(**options)) == 61706
    with pytest.raises(ValueError, match="activation"):
        models.LeNet5(activation="none")


def test_mlp_counts():
    poll = models.MLP((3, 4, 4, 1))
    assert count(poll) == 41
    assert sum(p.numel() for n, p in poll.named_parameters() if "weight" in n) == 32
    assert isinstance(models.MLP((4, 3)), nn.Sequential) and len(models.MLP((4, 3))) == 1
    assert models.MLP((12, 5), flatten=True)(ccdl.ones(2, 3, 4)).shape == (2, 5)


@pytest.mark.parametrize("gate", GATES)
def test_perceptron_rule_learns_what_is_separable(gate):
    targets = ccdl.tensor([float(v) for v in GATES[gate]])
    unit = models.Perceptron(2)
    learnt = unit.fit(corners(), targets)
    assert learnt is (gate != "xor")
    if learnt:
        assert unit(corners()).tolist() == targets.tolist()


def test_xor_from_and_or():
    assert models.xor_from_and_or()(corners()).tolist() == GATES["xor"]


def test_mlp_learns_xor():
    ccdl.manual_seed(0)
    net = models.MLP((2, 8, 1), activation=nn.Tanh)
    optimizer = ccdl.optim.Adam(net.parameters(), lr=0.05)
    target = ccdl.tensor([[float(v)] for v in GATES["xor"]])
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(corners()), target).backward()
        optimizer.step()
    assert (net(corners()) > 0).flatten().tolist() == [bool(v) for v in GATES["xor"]]


def test_one_hidden_layer_approximates_a_function():
    ccdl.manual_seed(0)
    x = ccdl.linspace(-1, 1, 64).unsqueeze(1)
    y = (3 * x).sin()
    net = models.MLP((1, 32, 1), activation=nn.Tanh)
    optimizer = ccdl.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(500):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    assert float(loss) < 1e-3


def test_conv_pattern():
    net = models.conv_pattern((1, 28, 28), 10, n=2, m=2, k=1)
    kinds = [type(m).__name__ for m in net]
    block = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert kinds == block * 2 + ["Flatten", "Linear", "ReLU", "Linear"]
    assert net(ccdl.zeros(1, 1, 28, 28)).shape == (1, 10)
    lenet = models.conv_pattern((1, 32, 32), 10, n=1, m=2, k=2, channels=(6, 16), hidden=(120, 84), kernel_size=5,
                                padding="valid")
    assert count(lenet) == 61706
    assert len(models.conv_pattern((3, 4, 4), 5, m=0, k=0)) == 2
    with pytest.raises(ValueError, match="nothing is left"):
        models.conv_pattern((1, 4, 4), 10, m=3)
    with pytest.raises(ValueError, match="non-negative"):
        models.conv_pattern((1, 4, 4), 10, n=-1)
