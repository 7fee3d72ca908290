"""Initialisers: moments, distributions (Kolmogorov-Smirnov) and exact structure."""

from __future__ import annotations

import math

import pytest

import ccdl
import ccdl.nn as nn

init = nn.init
stats = pytest.importorskip("scipy.stats", reason="the extra package is not installed")
SHAPE = (200, 150)


@pytest.fixture(autouse=True)
def seed():
    ccdl.manual_seed(1)


def fits(tensor, distribution):
    return stats.kstest(tensor.detach().reshape(-1).cpu().numpy(), distribution.cdf).pvalue > 1e-3


def uniform(bound):
    return stats.uniform(-bound, 2 * bound)


def test_uniform_normal_constant():
    w = ccdl.empty(*SHAPE)
    assert init.uniform_(w, -0.25, 0.25) is w and fits(w, uniform(0.25))
    assert fits(init.normal_(w, 1.0, 2.0), stats.norm(1, 2))
    assert set(init.constant_(w, 0.3).reshape(-1).tolist()) == {w[0, 0].item()}
    assert float(init.ones_(w).sum()) == w.numel() and float(init.zeros_(w).sum()) == 0


@pytest.mark.parametrize("shape", [SHAPE, (40, 30, 5, 5)])
def test_variance_rules(shape):
    w = ccdl.empty(*shape)
    field = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * field, shape[0] * field
    assert fits(init.xavier_uniform_(w, 2.0), uniform(2 * math.sqrt(6 / (fan_in + fan_out))))
    assert fits(init.xavier_normal_(w), stats.norm(0, math.sqrt(2 / (fan_in + fan_out))))
    assert fits(init.lecun_normal_(w), stats.norm(0, math.sqrt(1 / fan_in)))
    assert fits(init.kaiming_normal_(w, nonlinearity="relu"), stats.norm(0, math.sqrt(2 / fan_in)))
    assert fits(init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), stats.norm(0, math.sqrt(2 / fan_out)))
    assert fits(init.kaiming_uniform_(w, a=math.sqrt(5)), uniform(1 / math.sqrt(fan_in)))


def test_truncated_normal():
    w = init.trunc_normal_(ccdl.empty(*SHAPE), 0.5, 2.0, -1.0, 1.5)
    assert -1.0 <= float(w.min()) and float(w.max()) <= 1.5
    assert fits(w, stats.truncnorm(-0.75, 0.5, 0.5, 2.0))


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (8, 3, 3, 3)])
def test_orthogonal(shape):
    w = init.orthogonal_(ccdl.empty(*shape, dtype=ccdl.float64), gain=2.0)
    flat = w.reshape(shape[0], -1) / 2
    small = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    assert ccdl.allclose(small, ccdl.eye(small.shape[0], dtype=ccdl.float64), atol=1e-12)


def test_delta_orthogonal_keeps_norms():
    """All singular values of the convolution with circular border are 1: the norm of any input is kept."""
    w = init.delta_orthogonal_(ccdl.empty(6, 4, 3, 3, dtype=ccdl.float64))
    beside = w.clone()
    beside[:, :, 1, 1] = 0
    assert not beside.any()
    x = ccdl.randn(2, 4, 5, 5, dtype=ccdl.float64)
    y = nn.functional.conv2d(x, w, padding=1)
    assert float(y.norm()) == pytest.approx(float(x.norm()), rel=1e-12)
    with pytest.raises(ValueError, match="must not exceed"):
        init.delta_orthogonal_(ccdl.empty(3, 4, 3, 3))


def test_eye_dirac_sparse():
    assert init.eye_(ccdl.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    w = init.dirac_(ccdl.empty(4, 2, 3, 3), groups=2)
    x = ccdl.randn(1, 4, 5, 5)
    assert ccdl.allclose(nn.functional.conv2d(x, w, padding=1, groups=2), x)
    s = init.sparse_(ccdl.empty(50, 20), 0.3, std=1.0)
    assert (s == 0).sum(0).tolist() == [15] * 20


def test_gains():
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 1) == 1.0
    assert init.calculate_gain("tanh") == 5 / 3
    with pytest.raises(ValueError, match="nonlinearity"):
        init.calculate_gain("nothing")


def test_generator_and_no_recording():
    p = nn.Parameter(ccdl.empty(3))
    g = ccdl.Generator()
    g.manual_seed(7)
    first = init.normal_(p, generator=g).tolist()
    g.manual_seed(7)
    assert init.normal_(p, generator=g).tolist() == first and p.is_leaf and p.requires_grad


def test_bad_ranks():
    for call in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_, init.eye_):
        with pytest.raises(ValueError):
            call(ccdl.empty(3))
    with pytest.raises(ValueError, match="Mode"):
        init.kaiming_uniform_(ccdl.empty(3, 3), mode="fan")


def test_zero_weights_do_not_break_symmetry():
    """All hidden units stay equal for ever when they start equal."""
    hidden, out = nn.Linear(2, 4), nn.Linear(4, 1)
    for layer in (hidden, out):
        init.constant_(layer.weight, 0.5)
        init.zeros_(layer.bias)
    optimizer = ccdl.optim.SGD([*hidden.parameters(), *out.parameters()], lr=0.1)
    x = ccdl.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.mse_loss(out(hidden(x).tanh()), ccdl.tensor([[1.0], [0.0], [2.0]])).backward()
        optimizer.step()
    rows = hidden.weight.tolist()
    assert all(row == rows[0] for row in rows)
