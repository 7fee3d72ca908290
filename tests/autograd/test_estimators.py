"""Custom-gradient tools: chosen gradients exactly, stochastic ones against the closed form of a Gaussian."""

from __future__ import annotations

import pytest

import ccdl
from ccdl.autograd.estimators import (
    guided_relu,
    pathwise_normal,
    score_function_loss,
    straight_through,
    straight_through_round,
    straight_through_sign,
    straight_through_threshold,
)


def test_guided_relu():
    x = ccdl.tensor([-1.0, -1.0, 2.0, 2.0], requires_grad=True)
    y = guided_relu(x)
    assert y.tolist() == [0, 0, 2, 2]
    y.backward(ccdl.tensor([1.0, -1.0, 3.0, -3.0]))
    assert x.grad.tolist() == [0, 0, 3, 0]


def test_straight_through():
    x = ccdl.tensor([-1.6, 0.2, 0.8], requires_grad=True)
    for f, want, grad in ((straight_through_round, [-2, 0, 1], [1, 2, 3]), (straight_through_sign, [-1, 1, 1], [0, 2, 3]),
                          (straight_through_threshold, [0, 1, 1], [1, 2, 3])):
        x.grad = None
        y = f(x)
        assert y.tolist() == want
        y.backward(ccdl.tensor([1.0, 2.0, 3.0]))
        assert x.grad.tolist() == grad
    value = ccdl.ones(3)
    assert straight_through(x, value) is not value
    with pytest.raises(RuntimeError, match=r"straight_through: value is \[2\]"):
        straight_through(x, ccdl.ones(2))


def test_pathwise_and_score_function_agree_with_the_closed_form():
    """E[x^2] of x ~ N(m, s) is m^2 + s^2: its gradients are 2 m and 2 s. The pathwise estimate varies less."""
    ccdl.manual_seed(1)
    n, m, s = 40000, 0.7, 1.3
    mean = ccdl.tensor(m, dtype=ccdl.float64, requires_grad=True)
    std = ccdl.tensor(s, dtype=ccdl.float64, requires_grad=True)
    (pathwise_normal(mean.expand(n), std.expand(n)) ** 2).mean().backward()
    assert mean.grad.item() == pytest.approx(2 * m, abs=0.05) and std.grad.item() == pytest.approx(2 * s, abs=0.05)
    for baseline in (None, "mean", m * m + s * s):
        mean.grad = None
        x = pathwise_normal(mean.expand(n), std.expand(n)).detach()
        log_prob = -((x - mean) ** 2) / (2 * s * s)
        score_function_loss(log_prob, x**2, baseline).backward()
        assert -mean.grad.item() == pytest.approx(2 * m, abs=0.15)


def test_policy_gradient_learns_the_better_arm():
    ccdl.manual_seed(0)
    logits = ccdl.zeros(3, requires_grad=True)
    optimizer = ccdl.optim.SGD([logits], lr=0.5)
    reward = ccdl.tensor([0.1, 0.9, 0.4])
    for _ in range(100):
        arms = ccdl.multinomial(ccdl.softmax(logits.detach(), 0), 16, replacement=True)
        loss = score_function_loss(ccdl.log_softmax(logits, 0)[arms], reward[arms], "mean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ccdl.softmax(logits.detach(), 0)[1].item() > 0.8


def test_bad_arguments():
    with pytest.raises(RuntimeError, match="reward is"):
        score_function_loss(ccdl.zeros(3), ccdl.zeros(2))
    with pytest.raises(ValueError, match="baseline"):
        score_function_loss(ccdl.zeros(3), ccdl.zeros(3), "median")
