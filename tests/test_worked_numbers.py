"""The worked numbers of the lecture notes that concern this engine: hand calculations, output sizes, parameter counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F


def close(got: object, want: object, tol: float = 1e-14) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=tol, atol=tol)


def leaf(value: float) -> ccdl.Tensor:
    return ccdl.tensor(value, dtype=ccdl.float64, requires_grad=True)


def test_sigmoid_graph_every_intermediate_and_gradient() -> None:
    """f(w, x) = 1 / (1 + exp(-(w0 x0 + w1 x1 + w2))) with w = [0, -3, -3], x = [-1, -2]."""
    w0, w1, w2, x0, x1 = leaf(0), leaf(-3), leaf(-3), leaf(-1), leaf(-2)
    t0, t1 = w0 * x0, w1 * x1
    t01 = t0 + t1
    t012 = t01 + w2
    n = -t012
    e = n.exp()
    denom = 1 + e
    f = 1 / denom
    nodes = dict(t0=t0, t1=t1, t01=t01, t012=t012, n=n, e=e, denom=denom)
    for t in nodes.values():
        t.retain_grad()
    f.backward()
    for t, want in ((t0, 0), (t1, 6), (t01, 6), (t012, 3), (n, -3), (e, 0.049787068367863944),
                    (denom, 1.0497870683678638), (f, 0.95257412682243336)):
        close(t.item(), want)
    close(denom.grad.item(), -0.90739746709152136)
    close(e.grad.item(), -0.90739746709152136)
    close(n.grad.item(), -0.045176659730912144)
    for t in (t012, w2, t01, t0, t1):
        close(t.grad.item(), 0.045176659730912144)
    close(w1.grad.item(), -0.090353319461824289)
    close(x1.grad.item(), -0.13552997919273643)
    close(w0.grad.item(), -0.045176659730912144)
    close(x0.grad.item(), 0.0)


def test_sigmoid_graph_second_weights() -> None:
    w = ccdl.tensor([2.0, -3.0, -3.0], dtype=ccdl.float64, requires_grad=True)
    x = ccdl.tensor([-1.0, -2.0], dtype=ccdl.float64, requires_grad=True)
    f = ccdl.sigmoid((w[:2] * x).sum() + w[2])
    f.backward()
    close(f.item(), 0.7310585786300049)
    close(w.grad.cpu().numpy(), [-0.19661193324148188, -0.39322386648296376, 0.19661193324148188])
    close(x.grad.cpu().numpy(), [0.39322386648296376, -0.58983579972444566])


def test_second_order_taylor_expansion() -> None:
    """f(x + d) = f + g d + d H d / 2 + O(|d|^3) with the gradient and the Hessian from autograd."""
    def f(x: ccdl.Tensor) -> ccdl.Tensor:
        return (x[0] * x[1]).sin() + (x[1] * x[2]).exp() + x[0] ** 3

    x = ccdl.tensor([0.3, -0.4, 0.5], dtype=ccdl.float64)
    d = ccdl.tensor([0.6, 0.1, -0.3], dtype=ccdl.float64)
    g = ccdl.autograd.functional.jacobian(f, x)
    h = ccdl.autograd.functional.hessian(f, x)
    errors = []
    for scale in (1e-2, 5e-3):
        s = d * scale
        errors.append(abs((f(x + s) - f(x) - g @ s - 0.5 * (s @ (h @ s))).item()))
    assert errors[1] > 0 and 7 < errors[0] / errors[1] < 9  # halving the step divides the rest by eight


def test_linear_layer() -> None:
    w = ccdl.tensor([[2.0, 4, 2], [1, 3, 7], [0, 7, 3]])
    y = F.linear(ccdl.tensor([1.0, 3, 2]), w, ccdl.tensor([-3.0, 0, 2]))
    assert y.tolist() == [15.0, 24.0, 29.0]


@pytest.mark.parametrize(("size", "kernel", "padding", "stride", "want"), [
    (7, 3, 1, 3, 3), (5, 3, 1, 1, 5), (32, 3, 1, 1, 32), (5, 3, 1, 2, 3), (6, 3, 1, 2, 3), (7, 3, 1, 2, 4),
    (28, 3, 1, 2, 14), (32, 3, 1, 2, 16)])
def test_convolution_output_sizes(size: int, kernel: int, padding: int, stride: int, want: int) -> None:
    x = ccdl.zeros(1, 1, size, size)
    y = F.conv2d(x, ccdl.zeros(1, 1, kernel, kernel), stride=stride, padding=padding)
    assert tuple(y.shape) == (1, 1, want, want)


def test_convolution_parameter_counts() -> None:
    def count(m: nn.Module) -> list[int]:
        return [p.numel() for p in m.parameters()]

    assert count(nn.Conv2d(1, 5, 3)) == [45, 5]
    assert count(nn.Conv2d(3, 5, 3)) == [135, 5]
    poll = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 1))
    assert sum(count(poll)) == 41 and sum(p.numel() for p in poll.parameters() if p.dim() == 2) == 32


def test_cross_correlation_and_true_convolution() -> None:
    patch = ccdl.tensor([[2.0, 3, 1], [5, 6, 3], [8, 9, 8]]).reshape(1, 1, 3, 3)
    kernel = ccdl.tensor([[0.0, 1, -1], [1, 0, 1], [1, 2, 0]]).reshape(1, 1, 3, 3)
    assert F.conv2d(patch, kernel).item() == 36.0
    assert F.conv2d(patch, kernel.flip(2, 3)).item() == 16.0


def test_the_x_filter() -> None:
    image = ccdl.tensor([[1.0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]])
    x = ccdl.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    y = F.conv2d(image.reshape(1, 1, 5, 5), x.reshape(1, 1, 3, 3))
    assert y[0, 0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_pooling() -> None:
    x = ccdl.arange(1, 10, dtype=ccdl.float32).reshape(1, 1, 3, 3)
    assert F.max_pool2d(x, 3).item() == 9 and F.avg_pool2d(x, 3).item() == 5
    x = ccdl.tensor([[5.0, 2, 1], [5, 7, 1], [9, 5, 12]], dtype=ccdl.float64).reshape(1, 1, 3, 3)
    assert F.max_pool2d(x, 3).item() == 12
    close(F.avg_pool2d(x, 3).item(), 47 / 9)


def test_cross_entropy_may_fall_while_the_answer_turns_wrong() -> None:
    right = ccdl.tensor([[0.4, 0.3, 0.3]], dtype=ccdl.float64)
    wrong = ccdl.tensor([[0.45, 0.5, 0.05]], dtype=ccdl.float64)
    target = ccdl.tensor([0])
    a, b = F.nll_loss(right.log(), target).item(), F.nll_loss(wrong.log(), target).item()
    close([a, b], [0.916291, 0.798508], 1e-6)
    assert b < a and right.argmax(1).item() == 0 and wrong.argmax(1).item() != 0
    close(F.cross_entropy(right.log(), target).item(), a, 1e-12)


def test_cross_entropy_is_entropy_plus_divergence() -> None:
    p = ccdl.tensor([[0.2, 0.5, 0.3]], dtype=ccdl.float64)
    logits = ccdl.tensor([[0.3, -1.0, 0.8]], dtype=ccdl.float64)
    log_q = F.log_softmax(logits, 1)
    entropy = -(p * p.log()).sum().item()
    divergence = F.kl_div(log_q, p, reduction="sum").item()
    close(F.cross_entropy(logits, p).item(), entropy + divergence, 1e-12)


def test_initial_loss_is_log_of_the_classes() -> None:
    close(F.cross_entropy(ccdl.zeros(4, 10, dtype=ccdl.float64), ccdl.tensor([0, 3, 5, 9])).item(), math.log(10), 1e-12)


def test_smooth_l1_meets_at_one() -> None:
    x = ccdl.tensor([1.0, -1.0, 1.0 - 1e-9], dtype=ccdl.float64)
    close(F.smooth_l1_loss(x, ccdl.zeros(3, dtype=ccdl.float64), reduction="none").cpu().numpy(), [0.5, 0.5, 0.5], 1e-8)


def test_dropout_scales_in_training() -> None:
    y = F.dropout(ccdl.ones(1000, dtype=ccdl.float64), 0.33)
    kept = y[y != 0]
    close(kept.cpu().numpy(), np.full(kept.numel(), 1.492537), 1e-6)
    assert 560 < kept.numel() < 780
    assert F.dropout(ccdl.ones(5), 0.33, training=False).tolist() == [1.0] * 5


def test_gelu_approximations() -> None:
    x = ccdl.linspace(-6, 6, 200001, dtype=ccdl.float64)
    exact = F.gelu(x)
    close((exact - x * ccdl.sigmoid(1.702 * x)).abs().max().item(), 0.020335, 1e-6)
    close((exact - F.gelu(x, approximate="tanh")).abs().max().item(), 0.000473, 1e-6)


def test_swish_is_not_non_negative() -> None:
    x = ccdl.linspace(-2, 0, 200001, dtype=ccdl.float64)
    y = F.silu(x)
    close(y.min().item(), -0.278465, 1e-6)
    close(x[y.argmin()].item(), -1.2785, 1e-4)


def test_one_hot_distances() -> None:
    """Apple, bird, cat: all equally far from each other as one-hot vectors, not so as the dense ones of the note."""
    v = F.one_hot(ccdl.tensor([0, 1, 2]), 3).double()
    for i in range(3):
        for j in range(i):
            close(ccdl.norm(v[i] - v[j]).item(), math.sqrt(2))
    table = ccdl.tensor([[2.3, 1.2], [-1.0, 2.4], [-3.0, 4.0]], dtype=ccdl.float64)
    dense = nn.Embedding.from_pretrained(table)(ccdl.tensor([0, 1, 2]))
    close(ccdl.norm(dense[0] - dense[1]).item(), 3.511410, 1e-6)
    close(ccdl.norm(dense[1] - dense[2]).item(), 2.561250, 1e-6)
    assert ccdl.equal(v @ table, dense)  # the layer is a product with the one-hot vector


def test_dense_and_local_parameters_of_a_200_by_200_image() -> None:
    """400,000 hidden units: 16 billion weights when dense, 40 million with a field of 10 x 10 each."""
    assert ccdl.zeros(1).expand(400_000, 200 * 200).numel() == 16_000_000_000
    local = nn.LocallyConnected2d(1, 10, (209, 209), 10, bias=False, dtype=ccdl.float16)
    units = local.out_channels * 200 * 200
    assert units == 400_000 and sum(p.numel() for p in local.parameters()) == 40_000_000


def test_vanishing_and_exploding_products() -> None:
    half, three_halves = ccdl.tensor(0.5, dtype=ccdl.float64), ccdl.tensor(1.5, dtype=ccdl.float64)
    assert (half ** 9).item() == 0.001953125 and (three_halves ** 9).item() == 38.443359375
    p = ccdl.tensor(1.0)
    for _ in range(150):
        p = p * 0.5
    assert p.item() == 0.0  # underflows float32


def test_dense_parameter_counts() -> None:
    assert nn.Linear(200 * 200, 1000, bias=False).weight.numel() == 40_000_000
    assert nn.Linear(200 * 200 * 3, 100, bias=False).weight.numel() == 12_000_000


def test_lenet_has_61706_parameters() -> None:
    from ccdl.models import LeNet5
    assert sum(p.numel() for p in LeNet5().parameters()) == 61706


def test_adam_against_the_notes_pseudocode() -> None:
    """Gradients 1, .1, .5, -.3 from theta = 1 at lr = .1: the pseudo-code of the notes, written out in NumPy."""
    theta, m, v = 1.0, 0.0, 0.0
    p = ccdl.tensor(1.0, dtype=ccdl.float64, requires_grad=True)
    adam = ccdl.optim.Adam([p], lr=0.1, betas=(0.9, 0.9), eps=1e-8)
    for t, g in enumerate([1.0, 0.1, 0.5, -0.3], 1):
        m, v = 0.9 * m + 0.1 * g, 0.9 * v + 0.1 * g * g
        theta -= 0.1 * (m / (1 - 0.9 ** t)) / (math.sqrt(v / (1 - 0.9 ** t)) + 1e-8)
        p.grad = ccdl.tensor(g, dtype=ccdl.float64)
        adam.step()
        close(p.item(), theta, 1e-12)


def test_amsgrad_keeps_the_raw_maximum() -> None:
    p = ccdl.tensor(1.0, dtype=ccdl.float64, requires_grad=True)
    adam = ccdl.optim.Adam([p], lr=0.1, betas=(0.9, 0.9), eps=1e-8, amsgrad=True)
    seen = []
    for g in (1.0, 0.1, 0.5, -0.3):
        p.grad = ccdl.tensor(g, dtype=ccdl.float64)
        adam.step()
        seen.append(p.item())
    close(seen, [0.900000, 0.827452, 0.745199, 0.695130], 1e-6)


@pytest.mark.parametrize(("dampening", "want"), [(0.9, [0.9, 0.809, 0.7221, 0.64689])])
def test_momentum_first_step_sets_the_buffer(dampening: float, want: list[float]) -> None:
    p = ccdl.tensor(1.0, dtype=ccdl.float64, requires_grad=True)
    sgd = ccdl.optim.SGD([p], lr=0.1, momentum=0.9, dampening=dampening)
    seen = []
    for g in (1.0, 0.1, 0.5, -0.3):
        p.grad = ccdl.tensor(g, dtype=ccdl.float64)
        sgd.step()
        seen.append(p.item())
    close(seen, want, 1e-12)


def test_nesterov_look_ahead() -> None:
    """On L = 1.5 w^2 the look-ahead weight of the notes equals w after each step."""
    w = ccdl.tensor(1.0, dtype=ccdl.float64, requires_grad=True)
    sgd = ccdl.optim.SGD([w], lr=0.1, momentum=0.9, nesterov=True)
    seen = []
    for _ in range(4):
        sgd.zero_grad()
        (1.5 * w * w).backward()
        sgd.step()
        seen.append(w.item())
    close(seen, [0.43, -0.0581, -0.348173, -0.426467], 1e-6)


def test_truncated_sum_of_squares_conventions() -> None:
    x, y = ccdl.tensor([1.0, 2.0, 4.0]), ccdl.tensor([0.0, 0.0, 0.0])
    assert F.mse_loss(x, y, reduction="sum").item() / 2 == 10.5  # the notes' 1/2 sum
    assert F.mse_loss(x, y).item() == 7.0                        # the mean is the default


def test_xor_needs_a_hidden_layer() -> None:
    x = ccdl.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    y = ccdl.tensor([[0.0], [1], [1], [0]])

    def train(model: nn.Module, steps: int) -> float:
        step = ccdl.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(steps):
            step.zero_grad()
            F.binary_cross_entropy_with_logits(model(x), y).backward()
            step.step()
        return ((model(x) > 0).float() == y).float().mean().item()

    ccdl.manual_seed(3)
    assert train(nn.Linear(2, 1), 300) < 1.0
    assert train(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), 300) == 1.0
    # XOR out of AND and OR, as threshold units
    step = lambda t: (t > 0).float()
    both = step(x @ ccdl.tensor([[1.0], [1.0]]) - 1.5)
    either = step(x @ ccdl.tensor([[1.0], [1.0]]) - 0.5)
    assert step(either - both - 0.5).tolist() == y.tolist()


def test_zero_initialisation_does_not_break_symmetry() -> None:
    ccdl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    for p in model.parameters():
        nn.init.constant_(p, 0.5)
    for _ in range(20):
        model.zero_grad()
        model(ccdl.randn(8, 3)).square().mean().backward()
        with ccdl.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
    w = model[0].weight.detach().cpu().numpy()
    assert np.all(w == w[0])  # every unit still computes the same


def test_binary_cross_entropy_is_lowest_where_the_output_matches() -> None:
    """-(t ln y + (1 - t) ln(1 - y)): the leading minus makes it a loss, least at y = t, where it is the entropy of t."""
    y = ccdl.linspace(0.001, 0.999, 999, dtype=ccdl.float64)
    for t in (0.0, 0.25, 0.5, 1.0):
        loss = F.binary_cross_entropy(y, ccdl.full_like(y, t), reduction="none")
        assert (loss >= 0).all() and abs(y[loss.argmin()].item() - t) < 2e-3
        want = -(t * np.log(y.cpu().numpy()) + (1 - t) * np.log1p(-y.cpu().numpy()))
        close(loss.cpu().numpy(), want, 1e-12)
    quarter = F.binary_cross_entropy(ccdl.tensor([0.25], dtype=ccdl.float64), ccdl.tensor([0.25], dtype=ccdl.float64)).item()
    close(quarter, -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)), 1e-12)


def test_kaiming_keeps_the_second_moment_not_the_variance() -> None:
    """Behind a ReLU the mean is not 0: what enters Var(y) = n Var(w) E[x^2] is E[x^2], twice which He's 2 / n undoes."""
    ccdl.manual_seed(5)
    x = ccdl.randn(2000, 400, dtype=ccdl.float64).relu()
    w = nn.init.kaiming_normal_(ccdl.empty(300, 400, dtype=ccdl.float64), nonlinearity="relu")
    y = x @ w.T
    second, variance = x.square().mean().item(), x.var().item()
    close([second, variance], [0.5, 0.5 - 1 / (2 * math.pi)], 0.01)
    assert abs(y.var().item() - 400 * (2 / 400) * second) < 0.05 < abs(y.var().item() - 2 * variance)
    close(y.relu().square().mean().item(), second, 0.05)  # the same for the next layer


def test_forms_of_the_notes_are_halves_and_doubles_of_each_other() -> None:
    """1/2 sum of squares; lambda / 2 |w|^2 with gradient lambda w; sum theta^2 with gradient 2 theta."""
    from ccdl.optim.regularizers import l2_penalty

    w = ccdl.tensor([1.0, -2.0, 3.0], dtype=ccdl.float64, requires_grad=True)
    for form, factor in (("half", 1.0), ("sum", 2.0)):
        (g,) = ccdl.autograd.grad(l2_penalty(w, 0.1, form=form), w)
        close(g.cpu().numpy(), 0.1 * factor * w.detach().cpu().numpy(), 1e-14)
    half = F.half_sum_squares_loss(w, ccdl.zeros_like(w))
    assert half.item() == 7.0 and ccdl.equal(ccdl.autograd.grad(half, w)[0], w.detach())
    weight = nn.init.lecun_normal_(ccdl.empty(500, 400, dtype=ccdl.float64))  # 1 / n: n is the fan-in
    close(weight.var().item(), 1 / 400, 2e-4)
