"""Position encodings, additive and visual attention, shortcuts, the key-value cache: against NumPy and their laws."""

from __future__ import annotations

import math

import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl.autograd.estimators import score_function_loss

np = pytest.importorskip("numpy", reason="the extra package is not installed")


def numpy_of(t):
    return t.detach().cpu().numpy()


def double(*shape):
    return ccdl.randn(*shape, dtype=ccdl.float64)


@pytest.mark.parametrize("size", [6, 5, 1])
def test_sinusoidal_formula(size):
    layer = nn.SinusoidalPositionalEncoding(size, 50, base=100.0, dtype=ccdl.float64)
    want = np.zeros((50, size))
    for p in range(50):
        for j in range(size):
            angle = p / 100.0 ** ((j - j % 2) / size)
            want[p, j] = math.cos(angle) if j % 2 else math.sin(angle)
    np.testing.assert_allclose(numpy_of(layer.pe), want, rtol=1e-12, atol=1e-12)
    x = double(7, 2, size)
    np.testing.assert_allclose(numpy_of(layer(x, offset=3) - x), np.broadcast_to(want[3:10, None], (7, 2, size)), atol=1e-12)
    first = nn.SinusoidalPositionalEncoding(size, 50, base=100.0, batch_first=True, dtype=ccdl.float64)
    assert bool((first(x.transpose(0, 1)).transpose(0, 1) == layer(x)).all()) and bool((first(x[:, 0]) == layer(x)[:, 0]).all())
    assert not layer.state_dict()


def test_learned_positions():
    layer = nn.LearnedPositionalEncoding(4, 10)
    x = ccdl.zeros(3, 2, 4)
    assert bool((layer(x, 2)[:, 1] == layer.weight[2:5]).all())
    layer(x).sum().backward()
    assert layer.weight.grad.sum(1).tolist() == [8.0] * 3 + [0.0] * 7
    assert float(nn.LearnedPositionalEncoding(64, 200).weight.detach().std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("interleaved", [True, False])
def test_rotary_scores_depend_on_the_distance_alone(interleaved):
    ccdl.manual_seed(0)
    layer = nn.RotaryPositionalEncoding(8, 64, interleaved=interleaved, dtype=ccdl.float64)
    q, k = double(1, 8).expand(20, 8), double(1, 8).expand(20, 8)
    scores = numpy_of(layer(q) @ layer(k).T)
    for d in range(-19, 20):
        diagonal = np.diagonal(scores, d)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-12)
    assert abs(scores[0, 1] - scores[1, 0]) > 1e-6
    x = double(2, 3, 5, 8).requires_grad_()
    y = layer(x, offset=9)
    pairs = numpy_of(x).reshape(2, 3, 5, 4, 2) if interleaved else numpy_of(x).reshape(2, 3, 5, 2, 4).swapaxes(-1, -2)
    z = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * np.outer(np.arange(9, 14), 10000.0 ** (-np.arange(4) / 4)))
    want = np.stack([z.real, z.imag], -1)
    want = want.reshape(2, 3, 5, 8) if interleaved else want.swapaxes(-1, -2).reshape(2, 3, 5, 8)
    np.testing.assert_allclose(numpy_of(y), want, atol=1e-12)
    assert ccdl.autograd.gradcheck(layer, (x[0, 0].detach().requires_grad_(),))


def test_positions_bad_calls():
    for layer in (nn.SinusoidalPositionalEncoding(4, 8), nn.LearnedPositionalEncoding(4, 8)):
        for x, offset, text in ((ccdl.zeros(9, 1, 4), 0, "larger max_len"), (ccdl.zeros(2, 1, 4), 7, "positions 7 to 8"),
                                (ccdl.zeros(2, 1, 4), -1, "positions -1"), (ccdl.zeros(2, 1, 5), 0, "must be"),
                                (ccdl.zeros(4), 0, "must be")):
            with pytest.raises(RuntimeError, match=text):
                layer(x, offset)
        assert layer(ccdl.zeros(8, 1, 4)).shape == (8, 1, 4)
    with pytest.raises(ValueError, match="even"):
        nn.RotaryPositionalEncoding(5)
    with pytest.raises(RuntimeError, match="max_len"):
        nn.RotaryPositionalEncoding(4, 3)(ccdl.zeros(4, 4))
    with pytest.raises(ValueError, match="positive"):
        nn.SinusoidalPositionalEncoding(0)
    with pytest.raises(TypeError, match="max_len is float"):
        nn.LearnedPositionalEncoding(4, 8.0)
    with pytest.raises(ValueError, match="dropout"):
        nn.SinusoidalPositionalEncoding(4, dropout=2.0)


def test_additive_attention_against_numpy():
    ccdl.manual_seed(1)
    layer = nn.AdditiveAttention(3, 4, 5, dtype=ccdl.float64)
    query, keys = double(2, 6, 3).requires_grad_(), double(2, 7, 4).requires_grad_()
    mask = ccdl.tensor([[False] * 7, [False] * 4 + [True] * 3])
    w, v = numpy_of(layer.weight), numpy_of(layer.v)
    want, weights = np.zeros((2, 6, 4)), np.zeros((2, 6, 7))
    for n in range(2):
        seen = 7 if n == 0 else 4
        for t in range(6):
            e = [v @ np.tanh(w @ np.concatenate([numpy_of(query)[n, t], numpy_of(keys)[n, j]])) for j in range(seen)]
            a = np.exp(e) / np.sum(np.exp(e))
            weights[n, t, :seen] = a
            want[n, t] = a @ numpy_of(keys)[n, :seen]
    context, alpha = layer(query, keys, mask)
    np.testing.assert_allclose(numpy_of(context), want, atol=1e-12)
    np.testing.assert_allclose(numpy_of(alpha), weights, atol=1e-12)
    one, a = layer(query[:, 2], keys, mask, layer.project(keys))
    assert ccdl.allclose(one, context[:, 2], atol=1e-12) and ccdl.allclose(a, alpha[:, 2], atol=1e-12)
    context.sum().backward()
    assert ccdl.autograd.gradcheck(lambda q, k: layer(q, k, mask)[0], (query, keys))
    assert layer.weight.grad.abs().sum() > 0 and layer.v.grad is not None
    for call in (lambda: layer(query[..., :2], keys), lambda: layer(query, keys[0]), lambda: layer(query, keys, mask[:, :3]),
                 lambda: layer(query[:1], keys)):
        with pytest.raises(RuntimeError, match="AdditiveAttention"):
            call()


def test_soft_visual_attention():
    ccdl.manual_seed(2)
    layer = nn.SoftVisualAttention(3, 2, 4, dtype=ccdl.float64)
    x, s = double(2, 3, 4, 5), double(2, 2)
    y, a = layer(x, s)
    w, v = numpy_of(layer.attention.weight), numpy_of(layer.attention.v)
    e = np.array([[[v @ np.tanh(w @ np.concatenate([numpy_of(s)[n], numpy_of(x)[n, :, i, j]])) for j in range(5)]
                   for i in range(4)] for n in range(2)])
    want = np.exp(e) / np.exp(e).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(numpy_of(a), want, atol=1e-12)
    np.testing.assert_allclose(numpy_of(y), want[:, None] * numpy_of(x), atol=1e-12)
    with pytest.raises(RuntimeError, match="must be"):
        layer(x[0], s)


def test_glimpse_cuts_what_it_says():
    images = ccdl.randn(3, 2, 9, 7)
    layer = nn.HardGlimpse(3, scales=2).eval()
    mean = ccdl.tensor([[0.0, 0.0], [-1.0, 1.0], [40.0, float("nan")]])
    patch, where, _ = layer(images, mean)
    assert patch.shape == (3, 4, 3, 3) and bool((where[:2] == mean[:2]).all())
    assert bool((patch[0, :2] == images[0, :, 3:6, 2:5]).all())
    framed = np.pad(numpy_of(images), ((0, 0), (0, 0), (9, 9), (9, 9)))
    np.testing.assert_array_equal(numpy_of(patch)[1, :2], framed[1, :, 9 - 1 : 9 + 2, 9 + 5 : 9 + 8])
    wide = framed[0, :, 9 + 4 - 2 : 9 + 4 + 4, 9 + 3 - 2 : 9 + 3 + 4].reshape(2, 3, 2, 3, 2).mean((2, 4))
    np.testing.assert_allclose(numpy_of(patch)[0, 2:], wide, atol=1e-6)
    assert bool((patch[2, :2] == 0).all())
    for bad in (lambda: nn.HardGlimpse(0), lambda: nn.HardGlimpse(2, std=0.0), lambda: nn.HardGlimpse(2, scales=0)):
        with pytest.raises(ValueError, match="HardGlimpse"):
            bad()
    with pytest.raises(RuntimeError, match="mean is"):
        layer(images, mean[:2])


@pytest.mark.host
def test_glimpse_position_learns_by_reinforce():
    """A bright spot stands where a net cannot see it unless it looks there; the reward is the glimpse's brightness."""
    ccdl.manual_seed(3)
    spots = ((3.0, 12.0), (11.0, 5.0))
    row, column = ccdl.arange(16.0).unsqueeze(1), ccdl.arange(16.0)
    images = ccdl.stack([(-((row - r) ** 2 + (column - c) ** 2) / 18).exp() for r, c in spots]).unsqueeze(1).repeat(32, 1, 1, 1)
    cue = ccdl.eye(2).repeat(32, 1)
    policy = nn.Linear(2, 2)
    layer = nn.HardGlimpse(3, std=0.2)
    optimizer = ccdl.optim.Adam(policy.parameters(), lr=0.03)
    best = float(images[0, 0, 2:5, 11:14].sum())
    first = None
    for _ in range(200):
        patch, _, log_prob = layer(images, policy(cue).tanh())
        reward = patch.sum((1, 2, 3))
        baseline = reward.reshape(32, 2).mean(0).repeat(32)
        first = float(reward.mean()) if first is None else first
        optimizer.zero_grad()
        score_function_loss(log_prob, reward, baseline).backward()
        optimizer.step()
    assert first < 0.6 * best
    assert float(layer.eval()(images, policy(cue).tanh())[0].sum((1, 2, 3)).mean()) > 0.95 * best


def test_glimpse_log_probability():
    ccdl.manual_seed(4)
    layer = nn.HardGlimpse(1, std=0.2)
    mean = ccdl.zeros(5, 2, requires_grad=True)
    _, where, log_prob = layer(ccdl.ones(5, 1, 4, 4), mean)
    w = numpy_of(where).astype(float)
    np.testing.assert_allclose(numpy_of(log_prob), -(w**2).sum(1) / 0.08 - math.log(2 * math.pi * 0.04), rtol=1e-5)
    log_prob.sum().backward()
    np.testing.assert_allclose(numpy_of(mean.grad), w / 0.04, rtol=1e-5)


def test_residual():
    ccdl.manual_seed(5)
    f = nn.Linear(4, 4)
    x = ccdl.randn(3, 4)
    assert bool((nn.Residual(f)(x) == f(x) + x).all())
    block = nn.Residual(nn.Linear(4, 6), nn.ReLU(), shortcut=nn.Linear(4, 6, bias=False), activation=F.relu)
    want = F.relu(F.relu(block.function[0](x)) + block.shortcut(x))
    assert bool((block(x) == want).all())
    with pytest.raises(RuntimeError, match="Residual: f"):
        nn.Residual(nn.Linear(4, 6))(x)
    with pytest.raises(ValueError, match="at least one"):
        nn.Residual()


def test_highway_against_numpy():
    ccdl.manual_seed(6)
    layer = nn.Highway(4, 2, activation=ccdl.tanh, dtype=ccdl.float64)
    x = double(3, 4).requires_grad_()
    want = numpy_of(x)
    for h, t in zip(layer.transform, layer.gate):
        gate = 1 / (1 + np.exp(-(want @ numpy_of(t.weight).T + numpy_of(t.bias))))
        want = gate * np.tanh(want @ numpy_of(h.weight).T + numpy_of(h.bias)) + (1 - gate) * want
    np.testing.assert_allclose(numpy_of(layer(x)), want, atol=1e-12)
    assert ccdl.autograd.gradcheck(layer, (x,))
    assert layer.gate[0].bias.tolist() == [-1.0] * 4
    closed = nn.Highway(4, 30, gate_bias=-50.0)
    assert ccdl.allclose(closed(x.float()), x.float(), atol=1e-5)


def test_dense_concatenation():
    ccdl.manual_seed(7)
    block = nn.DenseConcat(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(5, 1, 1))
    x = ccdl.randn(2, 2, 4, 4)
    y = block(x)
    first = block.layers[0](x)
    assert y.shape == (2, 6, 4, 4) and bool((y[:, :2] == x).all()) and bool((y[:, 2:5] == first).all())
    assert ccdl.allclose(y[:, 5:], block.layers[1](ccdl.cat([x, first], 1)), atol=1e-6)
    assert bool((nn.DenseConcat()(x) == x).all())


def test_cache():
    cache = nn.KVCache(6)
    k, v = ccdl.randn(2, 3, 4, 5), ccdl.randn(2, 3, 4, 7)
    cache.append(k[:, :, :3], v[:, :, :3])
    a, b = cache.append(k[:, :, 3:], v[:, :, 3:])
    assert bool((a == k).all()) and bool((b == v).all()) and len(cache) == 4 and bool(cache)
    with pytest.raises(RuntimeError, match="3 more positions do not fit, 4 of max_length 6"):
        cache.append(k[:, :, :3], v[:, :, :3])
    assert len(cache) == 4
    cache.reorder(ccdl.tensor([1, 1]))
    cache.truncate(3)
    a, b = cache.append(k[:, :, 3:], v[:, :, 3:])
    assert bool((a[0, :, :3] == k[1, :, :3]).all()) and bool((b[0, :, 3:] == v[0, :, 3:]).all())
    for bad, error, text in ((lambda: cache.append(k[:1, :, :1], v[:1, :, :1]), RuntimeError, "the cache holds"),
                             (lambda: cache.append(k[:, :, :1], v), RuntimeError, "as keys"),
                             (lambda: cache.append(k.clone().requires_grad_(), v), RuntimeError, "no_grad"),
                             (lambda: cache.append(None, v), TypeError, "keys is NoneType"),
                             (lambda: cache.truncate(9), ValueError, "from 0 to 4"),
                             (lambda: nn.KVCache(0), ValueError, "positive"), (lambda: nn.KVCache("a"), TypeError, "int")):
        with pytest.raises(error, match=text):
            bad()
    cache.reset()
    assert len(cache) == 0 and cache.append(k[:1], v[:1])[0].shape == (1, 3, 4, 5)
