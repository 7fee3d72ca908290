"""Attention on the device: errors beside those of a composite in the same dtype, bits, launches, graphs.

The kernels themselves are compared with plain loops in tests/cpp/test_attention.cpp.
"""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F

pytestmark = pytest.mark.gpu

HALF = {"float16": ccdl.float16, "bfloat16": ccdl.bfloat16}
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # of one number of size 1
DTYPES = {"float64": ccdl.float64, "float32": ccdl.float32, **HALF}


def reference(q, k, v, dout, seen):
    """out, dq, dk, dv in float64; seen: which keys a query sees."""
    scale = q.shape[-1] ** -0.5
    s = np.where(seen, q @ k.swapaxes(-1, -2) * scale, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dp = dout @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
    return p @ v, ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dout


def composite(q, k, v, seen):
    """The same with every step rounded to the dtype of its inputs."""
    s = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return F.softmax(s.masked_fill(~seen, float("-inf")), -1) @ v


def leaves(arrays, dtype):
    return [ccdl.tensor(a, device="cuda").to(dtype).requires_grad_() for a in arrays]


def results(function, inputs, dout):
    for x in inputs:
        x.grad = None
    y = function(*inputs)
    y.backward(dout)
    return [t.detach().cpu().double().numpy() for t in (y, *(x.grad for x in inputs))]


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("shape", [(1, 2, 50, 70, 64), (1, 1, 33, 33, 128), (1, 1, 20, 40, 80), (1, 1, 17, 24, 200)],
                         ids=lambda s: "x".join(map(str, s)))
@pytest.mark.parametrize("name", HALF)
def test_error_beside_the_composite(name, shape, causal):
    batch, heads, length, keys, dim = shape
    rng = np.random.default_rng(2)
    rounded = lambda *size: ccdl.tensor(rng.standard_normal(size), device="cpu").to(HALF[name]).double().numpy()
    arrays = [rounded(batch, heads, n, dim) for n in (length, keys, keys)]
    dout = rounded(batch, heads, length, dim)
    seen = np.tril(np.ones((length, keys), dtype=bool)) if causal else np.ones((length, keys), dtype=bool)
    want = reference(*arrays, dout, seen)
    device_seen, device_dout = ccdl.tensor(seen, device="cuda"), ccdl.tensor(dout, device="cuda").to(HALF[name])
    inputs = leaves(arrays, HALF[name])
    ours = results(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), inputs, device_dout)
    plain = results(lambda q, k, v: composite(q, k, v, device_seen), inputs, device_dout)
    for what, exact, a, b in zip(("out", "dq", "dk", "dv"), want, ours, plain):
        limit = 2 * np.abs(b - exact).max() + ROUNDING[name] * np.abs(exact).max()
        assert np.abs(a - exact).max() <= limit, (what, np.abs(a - exact).max(), limit)


@pytest.mark.parametrize("name", DTYPES)
def test_same_bits_every_time_and_in_every_layout(name):
    rng = np.random.default_rng(3)
    dense = leaves([rng.standard_normal((2, 4, 37, 24)), *(rng.standard_normal((2, 2, 45, 24)) for _ in range(2))], DTYPES[name])
    inside = [x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in dense]
    dout = ccdl.tensor(rng.standard_normal((2, 4, 37, 24)), device="cuda").to(DTYPES[name])
    attend = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    first = results(attend, dense, dout)
    for inputs, _ in itertools.product((dense, inside), range(2)):
        for a, b in zip(first, results(attend, inputs, dout)):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", DTYPES)
def test_split_keys_are_the_same_sum(name):
    """One query over many keys is cut into parts; values that count keys show each part once."""
    keys = 900
    q, k = ccdl.zeros(1, 2, 1, 16, device="cuda", dtype=DTYPES[name]), ccdl.zeros(1, 1, keys, 16, device="cuda", dtype=DTYPES[name])
    v = ccdl.zeros(1, 1, keys, 3, device="cuda", dtype=DTYPES[name])
    v[0, 0, :, 0], v[0, 0, ::2, 1], v[0, 0, 600:, 2] = 1.0, 1.0, 1.0
    launches = ccdl.cuda._launch_count()
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    assert ccdl.cuda._launch_count() - launches == 3 if name in HALF else 2  # v's rows of 3 are repacked for the tensor cores
    np.testing.assert_allclose(y.cpu().double().numpy(), np.broadcast_to([1.0, 0.5, 1 / 3], (1, 2, 1, 3)),
                               rtol=2 * ROUNDING.get(name, 1e-6))


def on_hopper_kernels(name):
    return os.environ.get("CCDL_SM90") == "1" and ccdl.cuda.get_device_capability()[0] == 9 and name in HALF


@pytest.mark.parametrize("name", DTYPES)
def test_launches(name):
    inputs = [ccdl.randn(2, 2, 40, 32, device="cuda", dtype=DTYPES[name], requires_grad=True) for _ in range(3)]
    waits, launches = ccdl.cuda._sync_count(), ccdl.cuda._launch_count()
    y = F.scaled_dot_product_attention(*inputs, is_causal=True)
    assert ccdl.cuda._launch_count() - launches == 1
    dout = ccdl.ones_like(y)
    launches = ccdl.cuda._launch_count()
    ccdl.autograd.grad(y, inputs, dout)
    # delta, dq, dk, dv; the Hopper kernels make dk and dv together
    assert ccdl.cuda._launch_count() - launches == (3 if on_hopper_kernels(name) else 4)
    assert ccdl.cuda._sync_count() == waits


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_dropout_is_the_same_stream_as_on_the_cpu(name):
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((2, 2, n, 16)) for n in (19, 30, 30)]
    got = []
    for device in ("cpu", "cuda"):
        ccdl.manual_seed(7)
        inputs = [ccdl.tensor(a, device=device).to(DTYPES[name]).requires_grad_() for a in arrays]
        y = F.scaled_dot_product_attention(*inputs, dropout_p=0.4)
        y.backward(ccdl.ones_like(y))
        got.append([t.detach().cpu().double().numpy() for t in (y, *(x.grad for x in inputs))])
    for a, b in zip(*got):
        np.testing.assert_allclose(a, b, rtol=0, atol=np.abs(a).max() * (4 * ROUNDING.get(name, 1e-6)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        q, k, v = self.inner(x).reshape(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True)
        return self.outer(y.transpose(1, 2).reshape(2, 5, 8))


def test_captured_step_is_the_plain_one():
    curves = []
    for graphed in (False, True):
        ccdl.manual_seed(5)
        net = Block().to("cuda")
        optimizer = ccdl.optim.SGD(net.parameters(), lr=0.1)

        def step(x, net=net, optimizer=optimizer):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = ccdl.cuda.graph(step) if graphed else step
        data = [ccdl.randn(2, 5, 8).cuda() for _ in range(5)]
        curves.append([run(x).item() for x in data])
    assert curves[0] == curves[1] and len(set(curves[0])) > 1


def test_keys_behind_the_length_are_not_read():
    q, k, v = (ccdl.randn(2, 1, n, 8, device="cuda", dtype=ccdl.float16) for n in (3, 20, 20))
    lengths = ccdl.tensor([7, 0], device="cuda")
    want, lse = F.attention(q, k, v, key_lengths=lengths, return_lse=True)
    for x in (k, v):
        x[0, :, 7:], x[1] = float("nan"), float("nan")
    y, again = F.attention(q, k, v, key_lengths=lengths, return_lse=True)
    np.testing.assert_array_equal(y.cpu().numpy(), want.cpu().numpy())
    np.testing.assert_array_equal(again.cpu().numpy(), lse.cpu().numpy())
    assert not y[1].cpu().numpy().any() and np.isneginf(again[1].cpu().numpy()).all()
