"""The model size report: lecture note 001's counts, known operation counts and receptive fields."""

from __future__ import annotations

import pytest

import ccdl
from ccdl import models, nn
from ccdl.train.summary import receptive_field, summary


def test_the_26_parameter_network_of_note_001():
    report = summary(models.MLP((3, 4, 2)), (3,))
    assert (report.neurons, report.weights, report.biases, report.total_parameters) == (6, 20, 6, 26)


def test_the_poll_of_note_001():
    report = summary(models.MLP((3, 4, 4, 1)), (3,))
    assert (report.weights, report.biases, report.total_parameters) == (32, 9, 41)


def test_dense_layers_of_the_notes():
    """000: dense from 200x200 to 1000 is 40M weights; 200x200x3 to 100 is 12M."""
    report = summary(nn.Sequential(nn.Flatten(), nn.Linear(200 * 200, 1000, bias=False)), (1, 200, 200))
    assert report.weights == 40_000_000 and report.flops == 2 * 40_000_000 - 1000
    assert summary(nn.Sequential(nn.Flatten(), nn.Linear(120_000, 100)), (3, 200, 200)).weights == 12_000_000


def test_five_filters_of_note_002():
    for channels, weights in ((1, 45), (3, 135)):
        report = summary(nn.Conv2d(channels, 5, 3, padding=1), (channels, 8, 8))
        assert (report.weights, report.biases, report.neurons) == (weights, 5, 5 * 64)


def test_lenet_rows():
    report = summary(models.LeNet5(), (1, 32, 32), batch_size=2)
    rows = {r.name: r for r in report}
    assert rows["features.3"].output_shape == (2, 16, 10, 10) and rows["features.3"].weights == 2400
    assert rows["features.3"].receptive_field == (14, 14) and rows["features.5"].receptive_field == (16, 16)
    assert rows["features.3"].flops == 2 * 2400 * 100
    assert "61,706" in str(report) and "features.3 (Conv2d)" in str(report)


def test_known_receptive_fields_and_operations():
    assert receptive_field(models.AlexNet(4).features, (3, 224, 224)) == (195, 195)
    features = models.VGG(11, 4, init_weights=False).features
    assert receptive_field(features, (3, 224, 224)) == (150, 150)
    net = models.resnet18(10, small_images=True)
    assert abs(summary(net, (3, 32, 32)).flops - 1.11e9) < 0.01e9
    assert receptive_field(nn.Sequential(nn.Conv1d(1, 1, 3, dilation=4), nn.Conv1d(1, 1, 2, stride=2)), (1, 40)) == (10,)


def test_shared_and_frozen_parameters_count_once():
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    net[0].bias.requires_grad_(False)
    report = summary(net, (4,))
    assert (report.total_parameters, report.trainable_parameters, report.weights, report.biases) == (20, 16, 16, 4)
    assert report.neurons == 8


def test_the_model_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    net[2].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    summary(net, (1, 8, 8))
    assert net.training and net[1].training and not net[2].training
    assert all((v == net.state_dict()[k]).all() for k, v in before.items())
    assert not net[0]._forward_hooks


def test_a_failing_model_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2))
    with pytest.raises(RuntimeError):
        summary(net, (3,))
    assert net.training and not net[0]._forward_hooks


def test_several_inputs_and_given_data():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Bilinear(2, 3, 4)

        def forward(self, a, b):
            return self.layer(a, b)

    assert summary(Two(), [(2,), (3,)]).total_parameters == 4 * 2 * 3 + 4
    data = ccdl.tensor([[1, 2, 3]])
    assert [r.output_shape for r in summary(nn.Embedding(5, 2), input_data=data)] == [(1, 3, 2)]


def test_errors():
    with pytest.raises(ValueError, match="either input_size or input_data"):
        summary(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="either input_size or input_data"):
        summary(nn.Linear(1, 1), (1,), ccdl.ones(1, 1))
    with pytest.raises(ValueError, match="no layer of Linear moves over space"):
        receptive_field(nn.Linear(2, 2), (2,))
