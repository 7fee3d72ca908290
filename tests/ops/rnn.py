"""Recurrent layers and cells against plain loops over the equations of kernels/rnn.h."""

from __future__ import annotations

import numpy as np
from opcase import ErrorCase, OpCase, Sample

GATES = {"lstm": 4, "peephole": 4, "gru": 3, "gru_before": 3, "tanh": 1, "relu": 1}
CELL = ("lstm", "peephole")


def sigmoid(x):
    with np.errstate(all="ignore"):
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def step(mode, a, h, c, w):
    """One step from the input projection a [B, G H]: (h', c')."""
    b = w.get("b_hh", 0.0)
    with np.errstate(all="ignore"):
        if mode in ("gru", "gru_before"):
            n_units = h.shape[1]
            u, bias = w["w_hh"], np.broadcast_to(b, (3 * n_units,))
            rows = [slice(k * n_units, (k + 1) * n_units) for k in range(3)]
            r, z = (sigmoid(a[:, s] + h @ u[s].T + bias[s]) for s in rows[:2])
            s = rows[2]
            if mode == "gru":
                n = np.tanh(a[:, s] + r * (h @ u[s].T + bias[s]))
            else:
                n = np.tanh(a[:, s] + (r * h) @ u[s].T + bias[s])
            return (1 - z) * n + z * h, None
        pre = a + h @ w["w_hh"].T + b
        if mode == "tanh":
            return np.tanh(pre), None
        if mode == "relu":
            return np.where(pre > 0, pre, np.where(np.isnan(pre), pre, 0.0)), None
        i, f, g, o = np.split(pre, 4, axis=1)
        if mode == "peephole":
            i, f = i + w["w_ph"][0] * c, f + w["w_ph"][1] * c
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        if mode == "peephole":
            o = o + w["w_ph"][2] * c
        h = sigmoid(o) * np.tanh(c)
        return (h @ w["w_hr"].T if "w_hr" in w else h), c


def direction(mode, x, sizes, h0, c0, w, reverse):
    """x [N, I] packed by time; states of every row, and the last ones."""
    with np.errstate(all="ignore"):
        projected = x @ w["w_ih"].T + w.get("b_ih", 0.0)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    y = np.zeros((x.shape[0], h0.shape[1]))
    h, c = h0.copy(), None if c0 is None else c0.copy()
    for t in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        n = sizes[t]
        h[:n], new = step(mode, projected[starts[t]:starts[t + 1]], h[:n], None if c is None else c[:n], w)
        if c is not None:
            c[:n] = new
        y[starts[t]:starts[t + 1]] = h[:n]
    return y, h, c


def named(mode, flat, cells, bias):
    """The flat list of weights as one dict per layer and direction."""
    per = len(flat) // cells
    names = ["w_ih", "w_hh"] + (["b_ih", "b_hh"] if bias else [])
    if mode == "lstm" and per > len(names):
        names.append("w_hr")
    if mode == "peephole":
        names.append("w_ph")
    return [dict(zip(names, flat[k * per:(k + 1) * per], strict=True)) for k in range(cells)]


def stack(mode, x, sizes, hx, cx, flat, bias, layers, bidirectional):
    ways = 2 if bidirectional else 1
    all_weights = named(mode, flat, layers * ways, bias)
    hs, cs = [], []
    for layer in range(layers):
        ys = []
        for d in range(ways):
            k = layer * ways + d
            y, h, c = direction(mode, x, sizes, hx[k], None if cx is None else cx[k], all_weights[k], d == 1)
            ys.append(y)
            hs.append(h)
            cs.append(c)
        x = np.concatenate(ys, axis=1)
    return (x, np.stack(hs), np.stack(cs)) if mode in CELL else (x, np.stack(hs))


def padded_reference(mode):
    def ref(x, states, flat, bias, layers, bidirectional, batch_first):
        x = np.swapaxes(x, 0, 1) if batch_first else x
        steps, batch, _ = x.shape
        y, *last = stack(mode, x.reshape(steps * batch, x.shape[2]), [batch] * steps, states[0],
                         states[1] if mode in CELL else None, flat, bias, layers, bidirectional)
        y = y.reshape(steps, batch, y.shape[1])
        return (np.swapaxes(y, 0, 1) if batch_first else y, *last)

    return ref


def packed_reference(mode):
    def ref(data, sizes, states, flat, bias, layers, bidirectional):
        return stack(mode, data, sizes, states[0], states[1] if mode in CELL else None, flat, bias, layers, bidirectional)

    return ref


def cell_reference(mode):
    def ref(x, states, flat, bias):
        w = named(mode, flat, 1, bias)[0]
        x2, h = np.atleast_2d(x), np.atleast_2d(states[0])
        with np.errstate(all="ignore"):
            a = x2 @ w["w_ih"].T + w.get("b_ih", 0.0)
        h, c = step(mode, a, h, np.atleast_2d(states[1]) if mode in CELL else None, w)
        shape = (*x.shape[:-1], h.shape[1])
        return (h.reshape(shape), c.reshape(shape)) if mode in CELL else h.reshape(shape)

    return ref


FUNCTION = {"lstm": "lstm", "peephole": "peephole_lstm", "gru": "gru", "gru_before": "gru", "tanh": "rnn_tanh",
            "relu": "rnn_relu"}


def padded_op(mode):
    more = {"reset_after": False} if mode == "gru_before" else {}

    def op(T, x, states, flat, bias, layers, bidirectional, batch_first):
        hx = states if mode in CELL else states[0]
        return getattr(T, FUNCTION[mode])(x, hx, flat, bias, layers, 0.0, False, bidirectional, batch_first, **more)

    return op


def packed_op(mode):
    more = {"reset_after": False} if mode == "gru_before" else {}

    def op(T, data, sizes, states, flat, bias, layers, bidirectional):
        hx = states if mode in CELL else states[0]
        sizes = T.tensor(sizes, device="cpu")
        return getattr(T, FUNCTION[mode])(data, sizes, hx, flat, bias, layers, 0.0, False, bidirectional, **more)

    return op


def cell_op(mode):
    more = {"reset_after": False} if mode == "gru_before" else {}

    def op(T, x, states, flat, bias):
        hx = states if mode in CELL else states[0]
        flat = list(flat)
        if mode == "peephole" and not bias:
            flat = [*flat[:2], None, None, flat[2]]
        return getattr(T, FUNCTION[mode] + "_cell")(x, hx, *flat, **more)

    return op


def draw(rng, *shape):
    return np.asarray(rng.standard_normal(shape)) * 0.7


def weights(rng, mode, inputs, hidden, layers=1, bidirectional=False, bias=True, proj=0):
    ways, state, g = 2 if bidirectional else 1, proj or hidden, GATES[mode] * hidden
    flat = []
    for layer in range(layers):
        for _ in range(ways):
            flat += [draw(rng, g, inputs if layer == 0 else state * ways), draw(rng, g, state)]
            if mode == "relu":  # nothing bounds its states: keep them from growing with the steps
                flat[-1] = flat[-1] / state**0.5
            flat += [draw(rng, g), draw(rng, g)] if bias else []
            flat += [draw(rng, proj, hidden)] if proj else []
            flat += [draw(rng, 3, hidden)] if mode == "peephole" else []
    return flat


def states(rng, mode, rows, batch, hidden, proj=0):
    both = [draw(rng, *rows, batch, proj or hidden)]
    return both + [draw(rng, *rows, batch, hidden)] if mode in CELL else both


# steps, batch, input, hidden, layers, bidirectional, bias, batch_first
SHAPES = [
    (2, 1, 1, 1, 1, False, True, False),  # first: small enough for second-order differences
    (3, 2, 2, 3, 1, False, True, False),
    (2, 2, 2, 2, 2, False, False, False),
    (3, 2, 2, 2, 1, True, True, True),
    (2, 1, 2, 1, 2, True, False, False),
    (3, 0, 2, 3, 1, True, True, False),
    (1, 5, 4, 8, 1, False, True, False),
    (4, 9, 3, 17, 1, True, True, True),
    (2, 17, 5, 50, 1, False, True, False),
]


def padded_samples(mode):
    def samples(rng):
        for steps, batch, inputs, hidden, layers, two, bias, first in SHAPES:
            rows = (layers * (2 if two else 1),)
            x = draw(rng, *((batch, steps) if first else (steps, batch)), inputs)
            flat = weights(rng, mode, inputs, hidden, layers, two, bias)
            yield Sample(x, states(rng, mode, rows, batch, hidden), flat, bias, layers, two, first).but(k=inputs + hidden)
        if mode == "lstm":
            for two, bias in ((False, True), (True, False)):
                rows = (2 if two else 1,)
                flat = weights(rng, mode, 2, 3, 1, two, bias, proj=2)
                yield Sample(draw(rng, 3, 2, 2), states(rng, mode, rows, 2, 3, 2), flat, bias, 1, two, False).but(k=5)

    return samples


LENGTHS = [([1, 1], 1, 1, 1, False), ([2, 2, 1], 2, 3, 1, False), ([3, 2, 2, 1], 2, 2, 2, True), ([2, 1], 1, 2, 1, True),
           ([11, 9, 9, 8, 3, 1], 3, 17, 1, True)]


def packed_samples(mode):
    def samples(rng):
        for sizes, inputs, hidden, layers, two in LENGTHS:
            flat = weights(rng, mode, inputs, hidden, layers, two)
            rows = (layers * (2 if two else 1),)
            yield Sample(draw(rng, sum(sizes), inputs), sizes, states(rng, mode, rows, sizes[0], hidden), flat, True, layers,
                         two).but(k=inputs + hidden)

    return samples


def cell_samples(mode):
    def samples(rng):
        for batch, inputs, hidden, bias in (((1,), 1, 1, True), ((3,), 2, 3, True), ((2,), 2, 2, False), ((0,), 2, 3, True),
                                            ((17,), 5, 33, True)):
            flat = weights(rng, mode, inputs, hidden, bias=bias)
            both = [draw(rng, *batch, hidden) for _ in range(2 if mode in CELL else 1)]
            yield Sample(draw(rng, *batch, inputs), both, flat, bias).but(k=inputs + hidden)

    return samples


def big(mode):
    def sample(rng):
        return Sample(draw(rng, 12, 40, 16), states(rng, mode, (2,), 40, 48), weights(rng, mode, 16, 48, 1, True), True, 1, True,
                      False).but(k=64)

    return sample


def errors(name):
    lstm, gates = name.endswith("lstm"), 4 if name.endswith("lstm") else 3 if name == "gru" else 1

    def call(T, x=(3, 2, 4), h=(1, 2, 5), w_ih=None, w_hh=None, b=None, count=4, layers=1, sizes=None, dtype=None, dropout=0.0):
        flat = [T.zeros(w_ih or (5 * gates, 4)), T.zeros(w_hh or (5 * gates, 5)), T.zeros(b or (5 * gates,)),
                T.zeros(b or (5 * gates,))]
        flat = [*flat, T.zeros(3, 5)] if name == "peephole_lstm" else flat
        flat = flat if count == 4 else flat[:count]
        hx = (T.zeros(h), T.zeros(1, 2, 5)) if lstm else T.zeros(h)
        x = T.zeros(x) if dtype is None else T.zeros(x, dtype=getattr(T, dtype))
        if sizes is not None:
            return getattr(T, name)(x, T.tensor(sizes, device="cpu"), hx, flat, True, layers, dropout, False, False)
        return getattr(T, name)(x, hx, flat, True, layers, dropout, False, False, False)

    rules = [
        (dict(x=(3, 4)), RuntimeError, ("3 dimensions", "[3, 4]")),
        (dict(x=(0, 2, 4)), RuntimeError, ("sequence length", "[0, 2, 4]")),
        (dict(x=(3, 2, 7)), RuntimeError, ("input_size", "7", "4")),
        (dict(h=(1, 3, 5)), RuntimeError, ("hx", "[1, 3, 5]")),
        (dict(h=(2, 2, 5)), RuntimeError, ("hx", "[2, 2, 5]")),
        (dict(w_hh=(5 * gates, 6)), RuntimeError, ("weight_hh", str(5 * gates))),
        (dict(b=(3,)), RuntimeError, ("bias_ih", "[3]")),
        (dict(count=3), RuntimeError, ("weights", "got 3")),
        (dict(layers=2), RuntimeError, ("weights", "num_layers=2")),
        (dict(layers=0), ValueError, ("num_layers", "0")),
        (dict(dropout=1.5), ValueError, ("dropout", "1.5")),
        (dict(dropout=float("nan")), ValueError, ("dropout", "nan")),
        (dict(w_ih=(5,)), RuntimeError, ("weight_ih", "[5]")),
        (dict(dtype="int64"), RuntimeError, ("floating", "int64")),
        (dict(dtype="float64"), RuntimeError, ("dtype", "float64", "float32")),
        (dict(x=(5, 4), sizes=[2, 3]), RuntimeError, ("batch_sizes", "3 at step 1")),
        (dict(x=(5, 4), sizes=[2, 0]), RuntimeError, ("batch_sizes", "0 at step 1")),
        (dict(x=(5, 4), sizes=[2, 2]), RuntimeError, ("batch_sizes", "4", "5")),
        (dict(x=(5, 4), sizes=[2, 2, 2]), RuntimeError, ("batch_sizes", "5")),
    ]
    return [ErrorCase(lambda T, k=kwargs: call(T, **k), kind, (name, *parts)) for kwargs, kind, parts in rules]


def cell_errors(name):
    gates = 4 if name.startswith("lstm") else 3 if name == "gru_cell" else 1

    def call(T, x=(2, 4), h=(2, 5), w=4):
        hx = (T.zeros(h), T.zeros(h)) if name == "lstm_cell" else T.zeros(h)
        return getattr(T, name)(T.zeros(x), hx, T.zeros(5 * gates, w), T.zeros(5 * gates, 5))

    rules = [(dict(x=(2, 3, 4)), ("1-d or 2-d", "[2, 3, 4]")), (dict(h=(3, 5)), ("batch size", "2", "3")),
             (dict(w=6), ("input_size", "4", "6")), (dict(h=(2, 6)), ("hx", "6"))]
    return [ErrorCase(lambda T, k=kwargs: call(T, **k), RuntimeError, (name, *parts)) for kwargs, parts in rules]


def case(mode):
    name = FUNCTION[mode]
    title = "gru_reset_before" if mode == "gru_before" else name
    torch = mode not in ("peephole", "gru_before")
    why = "" if torch else "PyTorch has no such layer"
    shared = dict(torch=torch, why=why)
    yield OpCase(title, padded_op(mode), padded_reference(mode), padded_samples(mode), simd=True, big=big(mode),
                 errors=errors(name) if mode != "gru_before" else (), **shared)
    yield OpCase(title + "_packed", packed_op(mode), packed_reference(mode), packed_samples(mode), empty=False,
                 **{**shared, "why": why or "a packed sequence is never empty"})
    yield OpCase(title + "_cell", cell_op(mode), cell_reference(mode), cell_samples(mode),
                 errors=cell_errors(name + "_cell") if torch else (), **shared)


CASES = [c for mode in GATES for c in case(mode)]
