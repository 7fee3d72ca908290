"""Worked numbers and equations about recurrent networks from the lecture notes, as NumPy loops."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rows(t):
    return t.detach().cpu().numpy()


def fill(module, **values):
    """Copies arrays into the parameters of a module; those not named become zeros."""
    with ccdl.no_grad():
        for name, p in module.named_parameters():
            p.copy_(ccdl.tensor(np.asarray(values[name], dtype=np.float64)) if name in values else ccdl.zeros_like(p))
    return module


HELLO_HH = [[0.2289, 0.2130, 0.1065], [-1.1292, -1.0504, -0.5252], [-0.6574, -0.6115, -0.3057]]
HELLO_XH = np.array([[0.3095, -0.1003, 1.4722], [1.8027, 1.0159, 0.5116], [-0.1940, 0.9024, 0.5356], [0.0, 0.0, 0.0]]).T
HELLO_STATES = [[0.3, -0.1, 0.9], [1.0, 0.3, 0.1], [0.1, -0.5, -0.3], [-0.3, 0.9, 0.7]]


def test_hello():
    """Letters h, e, l, o as one-hot vectors; reading h e l l passes through the four printed states."""
    layer = fill(nn.RNN(4, 3, dtype=ccdl.float64), weight_hh_l0=HELLO_HH, weight_ih_l0=HELLO_XH)
    letters = F.one_hot(ccdl.tensor([0, 1, 2, 2]), 4).double()
    states, last = layer(letters)
    np.testing.assert_array_equal(np.round(rows(states), 1) + 0.0, HELLO_STATES)
    assert round(states[1, 0].item(), 2) == 0.96
    assert ccdl.equal(last[0], states[3])
    cell = fill(nn.RNNCell(4, 3, dtype=ccdl.float64), weight_hh=HELLO_HH, weight_ih=HELLO_XH)
    h = ccdl.zeros(3, dtype=ccdl.float64)
    for t in range(4):  # one letter at a time
        h = cell(letters[t], h)
        np.testing.assert_allclose(rows(h), rows(states[t]), rtol=1e-13, atol=1e-13)


def simple_network(rng, inputs=3, hidden=4, outputs=2, steps=5):
    w = {"w1": rng.standard_normal((hidden, inputs)), "w11": rng.standard_normal((hidden, hidden)) * 0.5,
         "b1": rng.standard_normal(hidden), "w2": rng.standard_normal((outputs, hidden)), "b2": rng.standard_normal(outputs)}
    return w, rng.standard_normal((steps, inputs)), rng.standard_normal((steps, outputs))


def test_backpropagation_through_time():
    """h_t = tanh(W1 x_t + W11 h_{t-1} + b1), y_t = sigmoid(W2 h_t + b2), L = sum_t |y_t - d_t|^2 / 2: the blocks
    (1)-(6) from step T down, with the carried term W11^T dL/dz1(t+1) and sums over time."""
    w, x, d = simple_network(np.random.default_rng(4))
    steps, hidden = len(x), len(w["b1"])
    h, y = np.zeros((steps + 1, hidden)), np.zeros_like(d)  # h[-1] is the initial state
    for t in range(steps):
        h[t] = np.tanh(w["w1"] @ x[t] + w["w11"] @ h[t - 1] + w["b1"])
        y[t] = sigmoid(w["w2"] @ h[t] + w["b2"])
    g = {k: np.zeros_like(v) for k, v in w.items()}
    later = np.zeros(hidden)  # dL/dz1 of the step after
    for t in reversed(range(steps)):
        dy = y[t] - d[t]                                   # (1)
        dz2 = dy * y[t] * (1 - y[t])                       # (2)
        g["w2"] += np.outer(dz2, h[t])                     # (3)
        g["b2"] += dz2
        dh = w["w2"].T @ dz2 + w["w11"].T @ later          # (4), from step T - 1 on with the carried term
        later = dh * (1 - h[t] ** 2)                       # (5)
        g["w1"] += np.outer(later, x[t])                   # (6)
        g["w11"] += np.outer(later, h[t - 1])
        g["b1"] += later
    layer = fill(nn.RNN(3, 4, dtype=ccdl.float64), weight_ih_l0=w["w1"], weight_hh_l0=w["w11"], bias_ih_l0=w["b1"])
    head = fill(nn.Linear(4, 2, dtype=ccdl.float64), weight=w["w2"], bias=w["b2"])
    out = ccdl.sigmoid(head(layer(ccdl.tensor(x))[0]))
    np.testing.assert_allclose(rows(out), y, rtol=1e-12, atol=1e-13)
    (0.5 * (out - ccdl.tensor(d)).square().sum()).backward()
    for got, name in ((layer.weight_ih_l0, "w1"), (layer.weight_hh_l0, "w11"), (layer.bias_ih_l0, "b1"),
                      (layer.bias_hh_l0, "b1"), (head.weight, "w2"), (head.bias, "b2")):
        np.testing.assert_allclose(rows(got.grad), g[name], rtol=1e-11, atol=1e-12, err_msg=name)


def test_one_recurrent_weight_per_factor():
    """dL_T/dW_hh = sum_k dL/dh_T (prod_{t=k+1}^T diag(tanh') W_hh) dh_k/dW_hh: one W per factor, not W^(T-1)."""
    rng = np.random.default_rng(1)
    w, x, _ = simple_network(rng)
    steps, hidden = len(x), 4
    direction = rng.standard_normal(hidden)  # dL/dh_T
    h = np.zeros((steps + 1, hidden))
    for t in range(steps):
        h[t] = np.tanh(w["w1"] @ x[t] + w["w11"] @ h[t - 1])
    total = np.zeros((hidden, hidden))
    for k in range(steps):
        row = direction.copy()
        for t in range(steps - 1, k, -1):
            row = row @ (np.diag(1 - h[t] ** 2) @ w["w11"])
        total += np.outer(row * (1 - h[k] ** 2), h[k - 1])
    layer = fill(nn.RNN(3, 4, bias=False, dtype=ccdl.float64), weight_ih_l0=w["w1"], weight_hh_l0=w["w11"])
    (layer(ccdl.tensor(x))[0][-1] * ccdl.tensor(direction)).sum().backward()
    np.testing.assert_allclose(rows(layer.weight_hh_l0.grad), total, rtol=1e-11, atol=1e-12)


def test_vanishing_and_the_gated_path():
    """A largest singular value below 1 bounds the gradient by its power; an open forget gate does not shrink it."""
    rng = np.random.default_rng(2)
    u, _, v = np.linalg.svd(rng.standard_normal((6, 6)))
    w = 0.5 * u @ v  # all singular values one half
    layer = fill(nn.RNN(1, 6, bias=False, dtype=ccdl.float64), weight_hh_l0=w)
    h0 = ccdl.tensor(rng.standard_normal((1, 6)), requires_grad=True)
    for steps in (1, 4, 16):
        y, _ = layer(ccdl.zeros(steps, 1, dtype=ccdl.float64), h0)
        (g,) = ccdl.autograd.grad(y[-1].sum(), [h0])
        assert np.linalg.norm(rows(g)) <= 0.5 ** steps * 6 ** 0.5 + 1e-12
    gated = fill(nn.LSTM(1, 6, dtype=ccdl.float64), bias_ih_l0=np.repeat([-40.0, 40.0, 0.0, 40.0], 6))
    c0 = ccdl.tensor(rng.standard_normal((1, 6)), requires_grad=True)
    _, (_, c) = gated(ccdl.zeros(16, 1, dtype=ccdl.float64), (ccdl.zeros(1, 6, dtype=ccdl.float64), c0))
    np.testing.assert_allclose(rows(ccdl.autograd.grad(c.sum(), [c0])[0]), 1.0, rtol=1e-12)


def gate_weights(rng, gates, inputs=3, hidden=4):
    """{gate: (W, U, b)}."""
    return {g: (rng.standard_normal((hidden, inputs)), rng.standard_normal((hidden, hidden)) * 0.5, rng.standard_normal(hidden))
            for g in gates}


def stacked(gates, order):
    w, u, b = (np.concatenate([gates[g][k] for g in order]) for k in range(3))
    return {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": b}


@pytest.mark.parametrize("joined", [False, True])
def test_lstm_equations(joined):
    """f, i, o = sigmoid(W x + U h + b), c~ = tanh(W_c x + U_c h + b_c), c = f c + i c~, h = o tanh c; joined: one
    matrix per gate over the vector [h, x]."""
    rng = np.random.default_rng(3)
    g, x = gate_weights(rng, "fioc"), rng.standard_normal((5, 3))
    h, c, want = np.zeros(4), np.zeros(4), []
    for t in range(5):
        def pre(name, t=t):
            w, u, b = g[name]
            return np.hstack([u, w]) @ np.concatenate([h, x[t]]) + b if joined else w @ x[t] + u @ h + b

        f, i, o, new = sigmoid(pre("f")), sigmoid(pre("i")), sigmoid(pre("o")), np.tanh(pre("c"))
        c = f * c + i * new
        h = o * np.tanh(c)
        want.append(h)
    layer = fill(nn.LSTM(3, 4, dtype=ccdl.float64), **stacked(g, "ifco"))
    y, (_, last) = layer(ccdl.tensor(x))
    np.testing.assert_allclose(rows(y), want, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(rows(last[0]), c, rtol=1e-12, atol=1e-13)


def test_peephole_equations():
    """i and f see V c_{t-1}, o sees V c_t, every V diagonal; the forget gate has its own V_f."""
    rng = np.random.default_rng(5)
    g, x, v = gate_weights(rng, "fioc"), rng.standard_normal((6, 3)), {k: rng.standard_normal(4) for k in "ifo"}
    h, c, want = np.zeros(4), np.zeros(4), []
    for t in range(6):
        pre = {k: w @ x[t] + u @ h + b for k, (w, u, b) in g.items()}
        i = sigmoid(pre["i"] + np.diag(v["i"]) @ c)
        f = sigmoid(pre["f"] + np.diag(v["f"]) @ c)
        c = f * c + i * np.tanh(pre["c"])
        h = sigmoid(pre["o"] + np.diag(v["o"]) @ c) * np.tanh(c)
        want.append(h)
    layer = fill(nn.PeepholeLSTM(3, 4, dtype=ccdl.float64), **stacked(g, "ifco"), weight_ph_l0=np.stack([v[k] for k in "ifo"]))
    np.testing.assert_allclose(rows(layer(ccdl.tensor(x))[0]), want, rtol=1e-12, atol=1e-13)


def test_gru_equations():
    """The notes' h = (1 - z) h + z h~ with h~ = tanh(W x + U (r h)): the layer with the reset before the product and
    the signs of W_z, U_z, b_z turned."""
    rng = np.random.default_rng(6)
    g, x = gate_weights(rng, "zrh"), rng.standard_normal((6, 3))
    h, want = np.zeros(4), []
    for t in range(6):
        z, r = (sigmoid(w @ x[t] + u @ h + b) for w, u, b in (g["z"], g["r"]))
        w, u, b = g["h"]
        h = (1 - z) * h + z * np.tanh(w @ x[t] + u @ (r * h) + b)
        want.append(h)
    turned = {**g, "z": tuple(-v for v in g["z"])}
    layer = fill(nn.GRU(3, 4, dtype=ccdl.float64, reset_after=False), **stacked(turned, "rzh"))
    np.testing.assert_allclose(rows(layer(ccdl.tensor(x))[0]), want, rtol=1e-12, atol=1e-13)
    other = fill(nn.GRU(3, 4, dtype=ccdl.float64), **stacked(turned, "rzh"))
    assert np.abs(rows(other(ccdl.tensor(x))[0]) - np.stack(want)).max() > 1e-3  # the reset's place matters


def test_gru_reset_after_equations():
    """The form with the reset behind the product: h~ = tanh(W x + b + r (U h + b'))."""
    rng = np.random.default_rng(7)
    g, x, inner = gate_weights(rng, "zrh"), rng.standard_normal((6, 3)), rng.standard_normal(4)
    h, want = np.zeros(4), []
    for t in range(6):
        z, r = (sigmoid(w @ x[t] + u @ h + b) for w, u, b in (g["z"], g["r"]))
        w, u, b = g["h"]
        h = z * h + (1 - z) * np.tanh(w @ x[t] + b + r * (u @ h + inner))
        want.append(h)
    layer = fill(nn.GRU(3, 4, dtype=ccdl.float64), **stacked(g, "rzh"), bias_hh_l0=np.concatenate([np.zeros(8), inner]))
    np.testing.assert_allclose(rows(layer(ccdl.tensor(x))[0]), want, rtol=1e-12, atol=1e-13)


def test_shapes_of_the_four_uses():
    """One to many, many to one, many to many of either kind, and the maximum over time Y = max_t Y_t."""
    ccdl.manual_seed(0)
    layer, head = nn.LSTM(3, 8), nn.Linear(8, 2)
    x = ccdl.randn(7, 4, 3)
    y, (h, _) = layer(x)
    assert head(y).shape == (7, 4, 2) and head(h[-1]).shape == (4, 2)
    seed, state, written = x[:1], None, []
    for _ in range(5):  # one to many: the output is read back
        out, state = layer(seed, state)
        written.append(head(out))
        seed = out[..., :3]
    assert ccdl.cat(written).shape == (5, 4, 2)
    decoder = nn.LSTM(2, 8)
    assert decoder(ccdl.zeros(9, 4, 2), layer(x)[1])[0].shape == (9, 4, 8)  # sequence in, then sequence out
    scores = head(y)
    scores.retain_grad()
    best, where = scores.max(0)
    best.sum().backward()
    assert ccdl.equal(scores.grad.argmax(0), where) and float(scores.grad.sum()) == 8.0


PAGE = (Path(__file__).resolve().parents[2] / "docs/sequences.md").read_text()


@pytest.mark.parametrize("number", range(PAGE.count("```python")))
def test_the_examples_of_the_page(number):
    block = re.findall(r"```python\n(.*?)```", PAGE, re.S)[number]
    exec(compile(block, f"docs/sequences.md example {number}", "exec"), {"__name__": "example"})
