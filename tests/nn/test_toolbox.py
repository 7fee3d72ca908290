"""Layers, losses and initial values of the notes beyond PyTorch's, and PyTorch's rarer layers."""

from __future__ import annotations

import copy
import importlib
import itertools
import math

import numpy as np
import pytest
import scipy.stats as st

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl.autograd import gradcheck

try:
    torch = importlib.import_module("torch")
except ImportError:
    torch = None


def need_torch():
    if torch is None:
        pytest.skip("PyTorch is not installed")
    return torch


def t(x):
    return ccdl.tensor(np.asarray(x, dtype=np.float64))


def randn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def numpy(x):
    return x.detach().cpu().numpy()


# --- layers ---


@pytest.mark.host  # hundreds of launches per numerical gradient
@pytest.mark.parametrize("kernel,stride,padding,dilation", [(3, 1, 0, 1), ((2, 3), (2, 1), (1, 0), 1), (2, 1, 0, 2), (5, 1, 0, 1)])
def test_locally_connected_against_loops_and_convolution(kernel, stride, padding, dilation):
    layer = nn.LocallyConnected2d(2, 3, (5, 6), kernel, stride, padding, dilation, dtype=ccdl.float64)
    x = randn(2, 2, 5, 6)
    got = numpy(layer(t(x)))
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    height, width = layer.output_size
    w = numpy(layer.weight).reshape(height, width, 3, 2, kh, kw)
    want = np.zeros((2, 3, height, width))
    for i, j in itertools.product(range(height), range(width)):
        window = padded[:, :, i * sh:i * sh + dh * (kh - 1) + 1:dh, j * sw:j * sw + dw * (kw - 1) + 1:dw]
        want[:, :, i, j] = np.einsum("nckl,ockl->no", window, w[i, j]) + numpy(layer.bias)[:, i, j]
    np.testing.assert_allclose(got, want, atol=1e-12)
    shared = randn(3, 2, kh, kw, seed=1)
    with ccdl.no_grad():
        layer.weight.copy_(t(np.broadcast_to(shared.reshape(3, -1), layer.weight.shape)))
        layer.bias.zero_()
    np.testing.assert_allclose(numpy(layer(t(x))), numpy(F.conv2d(t(x), t(shared), None, stride, padding, dilation)), atol=1e-12)
    assert layer(t(x[0])).shape == (3, height, width)
    gradcheck(layer, (t(x).requires_grad_(),))
    with pytest.raises(RuntimeError, match="LocallyConnected2d"):
        layer(t(randn(2, 2, 5, 5)))


def test_locally_connected_1d_and_counts():
    layer = nn.LocallyConnected1d(2, 3, 10, 4, stride=2, dtype=ccdl.float64)
    x = randn(5, 2, 10)
    w = numpy(layer.weight).reshape(4, 3, 2, 4)
    want = np.stack([np.einsum("nck,ock->no", x[:, :, 2 * i:2 * i + 4], w[i]) for i in range(4)], 2) + numpy(layer.bias)
    np.testing.assert_allclose(numpy(layer(t(x))), want, atol=1e-12)
    out = layer(t(x)).sum()
    out.backward()
    np.testing.assert_allclose(numpy(layer.weight.grad), np.stack([np.broadcast_to(x[:, :, 2 * i:2 * i + 4].sum(0).reshape(-1), (3, 8)) for i in range(4)]), atol=1e-12)
    # 004: 10 x 10 windows, one unit per position of a 200 x 200 map, 10 maps: 40M weights, unlike 1,000 when shared
    assert 200 * 200 * 10 * 10 * 10 == 40_000_000 and nn.LocallyConnected2d(1, 2, 12, 3).weight.numel() == 10 * 10 * 2 * 9
    with pytest.raises(ValueError, match="does not fit"):
        nn.LocallyConnected1d(1, 1, 3, 4)


def test_causal_convolution_never_looks_ahead():
    layer = nn.CausalConv1d(2, 3, 4, dilation=2, dtype=ccdl.float64)
    x = t(randn(1, 2, 12)).requires_grad_()
    y = layer(x)
    assert y.shape == (1, 3, 12)
    for time in range(12):
        (g,) = ccdl.autograd.grad(y[0, :, time].sum(), x, retain_graph=True)
        assert (g[0, :, time + 1:] == 0).all() and (g[0, :, time] != 0).all()
    want = F.conv1d(F.pad(x, (6, 0)), layer.weight, layer.bias, dilation=2)
    np.testing.assert_array_equal(numpy(y), numpy(want))


def test_maxout_and_its_gradient():
    layer = nn.Maxout(4, 3, pieces=5, dtype=ccdl.float64)
    x = randn(6, 4)
    w, b = numpy(layer.linear.weight).reshape(3, 5, 4), numpy(layer.linear.bias).reshape(3, 5)
    np.testing.assert_allclose(numpy(layer(t(x))), (np.einsum("ni,jki->njk", x, w) + b).max(-1), atol=1e-12)
    gradcheck(layer, (t(x).requires_grad_(),))
    # |x| is a maxout of two pieces
    absolute = nn.Maxout(1, 1, 2, bias=False)
    with ccdl.no_grad():
        absolute.linear.weight.copy_(ccdl.tensor([[1.0], [-1.0]]))
    assert absolute(ccdl.tensor([[-3.0], [2.0]])).flatten().tolist() == [3.0, 2.0]


def test_swish_learns_beta_and_has_its_minimum():
    x = np.linspace(-4, 4, 41)
    layer = nn.Swish(init=1.3, dtype=ccdl.float64)
    np.testing.assert_allclose(numpy(layer(t(x))), x / (1 + np.exp(-1.3 * x)), rtol=1e-12)
    gradcheck(lambda v, b: v * ccdl.sigmoid(v * b), (t(x).requires_grad_(), t([1.3]).requires_grad_()))
    layer(t(x)).sum().backward()
    s = 1 / (1 + np.exp(-1.3 * x))
    np.testing.assert_allclose(numpy(layer.beta.grad), [(x**2 * s * (1 - s)).sum()], rtol=1e-10)
    grid = np.linspace(-1.4, -1.1, 30001)
    values = numpy(nn.Swish(dtype=ccdl.float64)(t(grid)))
    assert abs(values.min() + 0.278465) < 1e-6 and abs(grid[values.argmin()] + 1.2785) < 1e-4
    channels = nn.Swish(3)
    assert channels(ccdl.ones(2, 3, 4)).shape == (2, 3, 4)
    with pytest.raises(RuntimeError, match="channels"):
        channels(ccdl.ones(2, 4))
    # beta = 1.702 is the sigmoid form of GELU, off by at most .020335
    wide = np.linspace(-6, 6, 24001)
    error = np.abs(numpy(nn.Swish(init=1.702, dtype=ccdl.float64)(t(wide))) - wide * st.norm.cdf(wide)).max()
    assert abs(error - 0.020335) < 1e-5


def test_gelu_is_an_expectation_over_masks():
    """GELU(x) = E[x m], m ~ Bernoulli(Phi(x))."""
    ccdl.manual_seed(1)
    x = ccdl.linspace(-3, 3, 13, dtype=ccdl.float64)
    n = 40000
    mean = (x * ccdl.bernoulli(ccdl.special.ndtr(x).expand(n, 13))).mean(0)
    p = st.norm.cdf(numpy(x))
    deviation = np.abs(numpy(x)) * np.sqrt(p * (1 - p) / n)
    assert (np.abs(numpy(mean) - numpy(F.gelu(x))) <= 5 * deviation + 1e-12).all()


def test_plain_dropout_scales_at_test_and_dropconnect_drops_weights():
    ccdl.manual_seed(0)
    x = ccdl.ones(50000)
    plain, inverted = nn.PlainDropout(0.33), nn.Dropout(0.33)
    kept = plain(x)
    assert set(kept.tolist()) == {0.0, 1.0} and abs(kept.mean().item() - 0.67) < 0.01
    assert abs(inverted(x).max().item() - 1.492537) < 1e-5
    np.testing.assert_allclose(numpy(plain.eval()(ccdl.ones(3))), 0.67, rtol=1e-6)
    assert inverted.eval()(ccdl.ones(3)).tolist() == [1.0] * 3
    layer = nn.DropConnectLinear(200, 300, bias=False, p=0.4)
    with ccdl.no_grad():
        layer.weight.fill_(1.0)
    y = layer(ccdl.eye(200))  # row i: the weights of input i
    assert abs((y == 0).float().mean().item() - 0.4) < 0.01 and abs(y.max().item() - 1 / 0.6) < 1e-5
    assert (layer.eval()(ccdl.eye(200)) == 1).all()
    for bad in (lambda: nn.PlainDropout(1.5), lambda: nn.DropConnectLinear(2, 2, p=-1)):
        with pytest.raises(ValueError, match="probability"):
            bad()


def test_global_pools():
    x = randn(2, 3, 4, 5)
    np.testing.assert_allclose(numpy(nn.GlobalAvgPool()(t(x))), x.mean((2, 3)), rtol=1e-12)
    np.testing.assert_allclose(numpy(nn.GlobalMaxPool(keepdim=True)(t(x))), x.max((2, 3), keepdims=True))
    assert nn.GlobalMaxPool()(ccdl.ones(2, 3, 4)).shape == (2, 3)
    with pytest.raises(RuntimeError, match="GlobalAvgPool"):
        nn.GlobalAvgPool()(ccdl.ones(2, 3))


LAZY = [("LazyConv1d", (4, 3), (2, 3, 9)), ("LazyConv2d", (4, 3), (2, 3, 9, 8)), ("LazyConv3d", (4, 2), (2, 3, 5, 4, 3)), ("LazyConvTranspose1d", (4, 3), (2, 3, 9)),
        ("LazyConvTranspose2d", (4, 3), (2, 3, 9, 8)), ("LazyConvTranspose3d", (4, 2), (2, 3, 5, 4, 3)), ("LazyBatchNorm1d", (), (4, 3, 5)), ("LazyBatchNorm2d", (), (4, 3, 5, 2)),
        ("LazyBatchNorm3d", (), (4, 3, 5, 2, 2)), ("LazyInstanceNorm1d", (), (4, 3, 5)), ("LazyInstanceNorm2d", (), (4, 3, 5, 2)), ("LazyInstanceNorm3d", (), (4, 3, 5, 2, 2))]


@pytest.mark.parametrize("name,arguments,shape", LAZY, ids=[row[0] for row in LAZY])
def test_lazy_layers_become_ordinary_ones(name, arguments, shape):
    layer = getattr(nn, name)(*arguments)
    assert layer.has_uninitialized_params()
    x = ccdl.randn(*shape)
    y = layer(x)
    plain = getattr(nn, name[4:])
    assert type(layer) is plain and y.dim() == len(shape)
    again = plain(3, *arguments) if "Conv" in name else plain(3, affine=True, track_running_stats=True)
    again.load_state_dict(layer.state_dict())
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in layer.state_dict().items()}
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in layer.parameters())
    y.sum().backward()
    if torch is not None:
        theirs = getattr(torch.nn, name)(*arguments)
        theirs(torch.ones(*shape))
        assert {k: tuple(v.shape) for k, v in theirs.state_dict().items()} == {k: tuple(v.shape) for k, v in layer.state_dict().items()}


def test_lazy_layer_errors_and_loading():
    with pytest.raises(RuntimeError, match="LazyConv2d"):
        nn.LazyConv2d(3, 3)(ccdl.ones(4))
    with pytest.raises(ValueError, match="groups"):
        nn.LazyConv2d(4, 3, groups=2)(ccdl.ones(1, 3, 5, 5))
    grouped = nn.LazyConv2d(4, 3, groups=2)
    assert grouped(ccdl.ones(1, 6, 5, 5)).shape == (1, 4, 3, 3) and grouped.weight.shape == (4, 3, 3, 3)


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_max_pool_against_pytorch(n):
    torch = need_torch()
    ours, theirs = (getattr(lib.nn.functional, f"fractional_max_pool{n}d") for lib in (ccdl, torch))
    x = randn(2, 3, *([9, 11, 8][:n]))
    u = np.random.default_rng(1).random((2, 3, n))
    for kernel, size in ((2, [4, 5, 3][:n]), (3, [3, 3, 2][:n]), ([2, 3, 2][:n], [5, 1, 4][:n])):
        a = t(x).requires_grad_()
        b = torch.tensor(x, requires_grad=True)
        got = ours(a, kernel, output_size=size, return_indices=True, _random_samples=t(u))
        want = theirs(b, kernel, output_size=size, return_indices=True, _random_samples=torch.tensor(u))
        np.testing.assert_array_equal(numpy(got[0]), want[0].detach().numpy())
        np.testing.assert_array_equal(numpy(got[1]), want[1].numpy())
        (got[0] ** 2).sum().backward()
        (want[0] ** 2).sum().backward()
        np.testing.assert_allclose(numpy(a.grad), b.grad.numpy())
    layer = getattr(nn, f"FractionalMaxPool{n}d")(2, output_ratio=0.6)
    y = layer(t(x))
    assert tuple(y.shape[2:]) == tuple(int(s * 0.6) for s in x.shape[2:])
    assert bool(ccdl.isin(y, t(x)).all())
    for bad in (lambda: layer(ccdl.ones(2)), lambda: ours(t(x), 20, output_size=3), lambda: ours(t(x), 2), lambda: getattr(nn, f"FractionalMaxPool{n}d")(2),
                lambda: getattr(nn, f"FractionalMaxPool{n}d")(2, output_ratio=1.5)):
        with pytest.raises((ValueError, RuntimeError)):
            bad()


@pytest.mark.host  # many small products
def test_adaptive_softmax_is_a_distribution_and_equals_pytorch():
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=True, dtype=ccdl.float64)
    x, y = randn(6, 8), np.array([0, 3, 4, 9, 10, 19])
    log_p = layer.log_prob(t(x))
    np.testing.assert_allclose(np.exp(numpy(log_p)).sum(1), 1, rtol=1e-12)
    out, loss = layer(t(x), ccdl.tensor(y))
    np.testing.assert_allclose(numpy(out), numpy(log_p)[np.arange(6), y], rtol=1e-12)
    np.testing.assert_allclose(loss.item(), -numpy(out).mean(), rtol=1e-12)
    assert layer.predict(t(x)).tolist() == numpy(log_p).argmax(1).tolist()
    assert layer(t(x[0]), ccdl.tensor(4)).output.shape == ()
    gradcheck(lambda a: layer(a, ccdl.tensor(y)).loss, (t(x).requires_grad_(),))
    if torch is not None:
        theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=True, dtype=torch.float64)
        theirs.load_state_dict({k: torch.tensor(numpy(v)) for k, v in layer.state_dict().items()})
        np.testing.assert_allclose(numpy(log_p), theirs.log_prob(torch.tensor(x)).detach().numpy(), rtol=1e-10)
    for bad in (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [10, 4]), lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [20]), lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [])):
        with pytest.raises(ValueError, match="cutoffs"):
            bad()
    with pytest.raises(RuntimeError, match="Target values"):
        layer(t(x), ccdl.tensor(y) + 1)


def test_sync_batch_norm_of_one_process_is_batch_norm():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=False)))
    x = ccdl.randn(4, 3, 6, 6)
    other = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net))
    assert [type(m).__name__ for m in other.modules() if "Norm" in type(m).__name__] == ["SyncBatchNorm"] * 2
    assert list(other.state_dict()) == list(net.state_dict())
    np.testing.assert_array_equal(numpy(net(x)), numpy(other(x)))
    np.testing.assert_array_equal(numpy(net.eval()(x)), numpy(other.eval()(x)))
    with pytest.raises(ValueError, match="at least 2D"):
        nn.SyncBatchNorm(3)(ccdl.ones(3))
    with pytest.raises(RuntimeError, match="process_group"):
        nn.SyncBatchNorm(3, process_group=1)


# --- losses ---


def test_half_sum_of_squares_and_entropy():
    x = t([1.0, 2.0, -1.0]).requires_grad_()
    target = t([0.5, 1.0, 1.0])
    loss = F.half_sum_squares_loss(x, target)
    assert loss.item() == 0.5 * (0.25 + 1 + 4)
    loss.backward()
    np.testing.assert_array_equal(numpy(x.grad), [0.5, 1.0, -2.0])
    assert nn.HalfSumSquaresLoss()(x, target).item() == loss.item()
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.1, 0.5])
    np.testing.assert_allclose(F.entropy(t(p)).item(), st.entropy(p), rtol=1e-12)
    # CE(p, q) = H(p) + KL(p, q)
    cross = -(p * np.log(q)).sum()
    np.testing.assert_allclose(cross, F.entropy(t(p)).item() + F.kl_div(t(np.log(q)), t(p), reduction="sum").item(), rtol=1e-12)
    assert F.entropy(t([0.0, 1.0])).item() == 0


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_quantile_loss_finds_the_quantile(q):
    sample = np.sort(randn(501))
    x = np.linspace(-3, 3, 1201)
    losses = numpy(F.quantile_loss(t(x)[:, None], t(sample)[None, :], q, reduction="none").mean(1))
    assert abs(x[losses.argmin()] - np.quantile(sample, q)) < 0.02
    np.testing.assert_allclose(nn.QuantileLoss(0.5)(t(x), t(x * 0)).item(), 0.5 * np.abs(x).mean())
    gradcheck(lambda a: F.quantile_loss(a, t(sample[:5]), q), (t(randn(5, seed=2)).requires_grad_(),))
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.quantile_loss(t(x), t(x), 1.5)
    many = F.quantile_loss(t(randn(4, 3)), t(randn(4, 1, seed=1)), t([0.1, 0.5, 0.9]), reduction="none")
    assert many.shape == (4, 3)


def test_asymmetric_huber():
    x = np.linspace(-4, 4, 81)
    want = np.where(x < 0, np.where(-x <= 0.5, x**2 / 2, 0.5 * (-x - 0.25)), np.where(x <= 2, x**2 / 2, 2 * (x - 1)))
    np.testing.assert_allclose(numpy(F.asymmetric_huber_loss(t(x), t(0 * x), 0.5, 2.0, reduction="none")), want)
    np.testing.assert_allclose(nn.AsymmetricHuberLoss(1.5, 1.5)(t(x), t(0 * x)).item(), F.huber_loss(t(x), t(0 * x), delta=1.5).item())
    gradcheck(lambda a: F.asymmetric_huber_loss(a, t(0 * x[:9]), 0.5, 2.0), (t(randn(9)).requires_grad_(),))
    with pytest.raises(ValueError, match="positive"):
        F.asymmetric_huber_loss(t(x), t(x), 0, 1)


def test_squared_earth_mover():
    """The worked numbers: [.4, .3, .3] and [.45, .5, .05], class 0 right: .45 and .305, while the errors disagree."""
    assert abs(F.squared_emd_loss(t([0.4, 0.3, 0.3]), ccdl.tensor(0)).item() - 0.45) < 1e-12
    assert abs(F.squared_emd_loss(t([0.45, 0.5, 0.05]), ccdl.tensor(0)).item() - 0.305) < 1e-12
    p, q = np.random.default_rng(0).dirichlet(np.ones(5), 4), np.random.default_rng(1).dirichlet(np.ones(5), 4)
    np.testing.assert_allclose(nn.SquaredEMDLoss()(t(p), t(q)).item(), ((p.cumsum(1) - q.cumsum(1)) ** 2).sum(1).mean(), rtol=1e-12)
    near, far = (F.squared_emd_loss(t(np.eye(4)[k]), ccdl.tensor(0)).item() for k in (1, 3))
    assert near == 1 and far == 3
    gradcheck(lambda a: F.squared_emd_loss(a.softmax(-1), ccdl.tensor([0, 3])), (t(randn(2, 4)).requires_grad_(),))
    for bad in (lambda: F.squared_emd_loss(t(p), t(q[:2])), lambda: F.squared_emd_loss(t(p), ccdl.tensor([0]))):
        with pytest.raises(RuntimeError, match="squared_emd_loss"):
            bad()


def test_nt_xent_against_loops():
    a, b, temperature = randn(4, 6), randn(4, 6, seed=1), 0.3
    z = np.concatenate([a, b])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    s = z @ z.T / temperature
    want = [-s[i, (i + 4) % 8] + np.log(sum(np.exp(s[i, k]) for k in range(8) if k != i)) for i in range(8)]
    np.testing.assert_allclose(numpy(F.nt_xent_loss(t(a), t(b), temperature, reduction="none")), want, rtol=1e-10)
    np.testing.assert_allclose(nn.NTXentLoss(temperature)(t(a), t(b)).item(), np.mean(want), rtol=1e-10)
    gradcheck(lambda u, v: F.nt_xent_loss(u, v, temperature), (t(a).requires_grad_(), t(b).requires_grad_()))
    for bad in (lambda: F.nt_xent_loss(t(a), t(b[:3])), lambda: F.nt_xent_loss(t(a), t(b), 0.0)):
        with pytest.raises((RuntimeError, ValueError), match="nt_xent_loss"):
            bad()


def brute_force_ctc(log_probs, target, blank=0):
    """The sum over all label paths that collapse to the target."""
    steps, classes = log_probs.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        collapsed = [k for k, _ in itertools.groupby(path)]
        if [k for k in collapsed if k != blank] == list(target):
            total += math.exp(sum(log_probs[i, k] for i, k in enumerate(path)))
    return -math.log(total) if total > 0 else math.inf


def test_ctc_against_all_paths():
    rng = np.random.default_rng(4)
    logits = rng.standard_normal((5, 3, 4))
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets, lengths, sizes = [[1, 2, 1], [2, 2, 0], [3, 0, 0]], [5, 4, 5], [3, 2, 1]
    want = [brute_force_ctc(log_probs[:n, i], targets[i][:s]) for i, (n, s) in enumerate(zip(lengths, sizes))]
    x = t(log_probs).requires_grad_()
    got = F.ctc_loss(x, ccdl.tensor(targets), ccdl.tensor(lengths), ccdl.tensor(sizes), reduction="none")
    np.testing.assert_allclose(numpy(got), want, rtol=1e-10)
    flat = F.ctc_loss(x, ccdl.tensor([1, 2, 1, 2, 2, 3]), lengths, sizes, reduction="mean")
    np.testing.assert_allclose(flat.item(), np.mean(np.array(want) / sizes), rtol=1e-10)
    np.testing.assert_allclose(F.ctc_loss(x[:, 0], ccdl.tensor([1, 2, 1]), ccdl.tensor(5), ccdl.tensor(3), reduction="sum").item(), want[0], rtol=1e-10)
    gradcheck(lambda a: F.ctc_loss(a.log_softmax(-1), ccdl.tensor(targets), lengths, sizes), (t(logits).requires_grad_(),))
    # too short for its target: infinite, or 0 with zero gradient
    short = F.ctc_loss(x[:2, :1], ccdl.tensor([[1, 1]]), [2], [2], reduction="none")
    assert math.isinf(short.item()) and math.isinf(brute_force_ctc(log_probs[:2, 0], [1, 1]))
    fixed = F.ctc_loss(x[:2, :1], ccdl.tensor([[1, 1]]), [2], [2], reduction="none", zero_infinity=True)
    (g,) = ccdl.autograd.grad(fixed.sum(), x)
    assert fixed.item() == 0 and (g == 0).all()


# --- initial values ---


@pytest.mark.host  # large orthogonal factors
@pytest.mark.parametrize("channels,size,circular", [(3, 5, True), (2, 4, True)])
def test_delta_orthogonal_convolution_is_an_isometry(channels, size, circular):
    """002: all singular values of the convolution as a linear operator are 1."""
    weight = nn.init.delta_orthogonal_(ccdl.empty(channels, channels, 3, 3, dtype=ccdl.float64))
    basis = ccdl.eye(channels * size * size, dtype=ccdl.float64).reshape(-1, channels, size, size)
    operator = F.conv2d(F.pad(basis, (1, 1, 1, 1), mode="circular"), weight).reshape(len(basis), -1)
    np.testing.assert_allclose(numpy(ccdl.linalg.svdvals(operator)), 1, rtol=1e-10)
    zero_padded = F.conv2d(basis, weight, padding=1).reshape(len(basis), -1)
    np.testing.assert_allclose(numpy(ccdl.linalg.svdvals(zero_padded)), 1, rtol=1e-10)
    gaussian = nn.init.kaiming_normal_(ccdl.empty(channels, channels, 3, 3, dtype=ccdl.float64))
    spread = numpy(ccdl.linalg.svdvals(F.conv2d(basis, gaussian, padding=1).reshape(len(basis), -1)))
    assert spread.max() / spread.min() > 3


def test_lsuv_gives_every_layer_unit_variance():
    ccdl.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 16, 20), nn.ReLU(), nn.Linear(20, 5))
    x = ccdl.randn(64, 3, 8, 8) * 3
    reached = nn.init.lsuv_(net, x)
    assert sorted(reached) == ["0", "2", "5", "7"] and all(abs(v - 1) < 0.1 for v in reached.values())
    y = x
    for layer in net:
        y = layer(y)
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            assert abs(y.var(correction=0).item() - 1) < 0.1 and (layer.bias == 0).all()
    with pytest.raises(ValueError, match="no Linear"):
        nn.init.lsuv_(nn.ReLU(), x)
    with pytest.raises(ValueError, match="variance"):
        nn.init.lsuv_(nn.Linear(4, 2), ccdl.zeros(3, 4))


@pytest.mark.parametrize("fill,distribution", [
    (nn.init.notes_uniform_, st.uniform(-0.25, 0.5)), (nn.init.xavier_normal_, st.norm(0, math.sqrt(2 / 350))),
    (nn.init.lecun_normal_, st.norm(0, math.sqrt(1 / 150))), (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), st.norm(0, math.sqrt(2 / 150))),
    (lambda w: nn.init.trunc_normal_(w, 0.5, 2.0, -1.0, 3.0), st.truncnorm(-0.75, 1.25, 0.5, 2.0))], ids="notes xavier lecun he truncated".split())
def test_initial_values_follow_their_distribution(fill, distribution):
    ccdl.manual_seed(3)
    values = numpy(fill(ccdl.empty(200, 150))).ravel()
    assert st.kstest(values[:5000], distribution.cdf).pvalue > 1e-3
    np.testing.assert_allclose([values.mean(), values.var()], [distribution.mean(), distribution.var()], rtol=0.03, atol=0.01 * distribution.std())


def test_orthogonal_needs_no_numpy_and_is_uniform():
    ccdl.manual_seed(0)
    for shape in ((6, 4), (4, 6), (5, 5)):
        w = nn.init.orthogonal_(ccdl.empty(*shape, dtype=ccdl.float64))
        small = w if shape[0] >= shape[1] else w.T
        np.testing.assert_allclose(numpy(small.T @ small), np.eye(min(shape)), atol=1e-12)
    signs = [nn.init.orthogonal_(ccdl.empty(2, 2))[0, 0].item() for _ in range(400)]
    # the first entry of a random rotation or reflection of the plane is the cosine of a uniform angle
    assert st.kstest(np.arccos(signs) / math.pi, "uniform").pvalue > 1e-3


def test_group_norm_of_single_values():
    with pytest.raises(ValueError, match="more than 1 value per group"):
        F.group_norm(ccdl.ones(1, 4), 4)
    with pytest.raises(ValueError, match="more than 1 value per group"):
        nn.GroupNorm(4, 4)(ccdl.ones(1, 4, 1))
    assert F.group_norm(ccdl.ones(2, 4), 4).tolist() == [[0.0] * 4] * 2
