"""Recurrent modules: against PyTorch with copied weights, against themselves, and what they refuse."""

from __future__ import annotations

import copy
import itertools
import warnings

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl.nn.utils import rnn as sequences

LAYERS = ("RNN", "LSTM", "GRU")
OWN = (("PeepholeLSTM", {}), ("GRU", {"reset_after": False}))


def array(rng, *shape):
    return rng.standard_normal(shape)


def on_host(t):
    return t.detach().cpu().numpy()


def pair(kind, torch, *sizes, **options):
    """The same layer in both libraries, weights copied."""
    theirs = getattr(torch.nn, kind)(*sizes, dtype=torch.float64, **options)
    ours = getattr(nn, kind)(*sizes, dtype=ccdl.float64, **options)
    ours.load_state_dict({k: ccdl.tensor(v.detach().numpy()) for k, v in theirs.state_dict().items()})
    return theirs, ours


def outcome(lib, utils, kind, layer, x, states, lengths, batch_first):
    """Outputs and gradients of a fixed loss, as arrays."""
    x = lib.tensor(x, requires_grad=True)
    hs = [lib.tensor(s, requires_grad=True) for s in states]
    given = x
    if lengths is not None:
        given = utils.pack_padded_sequence(x, list(lengths), batch_first=batch_first, enforce_sorted=False)
    y, last = layer(given, tuple(hs) if kind == "LSTM" else hs[0])
    if lengths is not None:
        y, _ = utils.pad_packed_sequence(y, batch_first=batch_first)
    results = [y, *(last if kind == "LSTM" else [last])]
    loss = sum((r * r * (i + 1)).sum() + r.sum() for i, r in enumerate(results))
    found = lib.autograd.grad(loss, [x, *hs, *layer.parameters()])
    return [r.detach().cpu().numpy() for r in (*results, *found)]


@pytest.mark.parametrize(("layers", "two", "bias", "first", "packed"), [
    (1, False, True, False, False), (2, True, True, True, False), (2, False, False, False, True), (1, True, True, True, True),
    (3, True, False, False, True)])
@pytest.mark.parametrize(("kind", "more"), [*((k, {}) for k in LAYERS), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {"proj_size": 3})])
def test_against_pytorch(kind, more, layers, two, bias, first, packed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs, ours = pair(kind, torch, 4, 6, num_layers=layers, bidirectional=two, bias=bias, batch_first=first, **more)
    rng = np.random.default_rng(layers)
    batch, steps, ways = 9, 5, 2 if two else 1
    x = array(rng, *((batch, steps) if first else (steps, batch)), 4)
    states = [array(rng, layers * ways, batch, more.get("proj_size", 6))]
    states += [array(rng, layers * ways, batch, 6)] if kind == "LSTM" else []
    lengths = rng.integers(1, steps + 1, batch).tolist() if packed else None
    if packed:
        lengths[3] = steps
    got = outcome(ccdl, sequences, kind, ours, x, states, lengths, first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = outcome(torch, torch.nn.utils.rnn, kind, theirs, x, states, lengths, first)
    for i, (g, w) in enumerate(zip(got, want, strict=True)):
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-10, err_msg=f"result {i}")


@pytest.mark.parametrize("kind", [*LAYERS, "RNNCell", "LSTMCell", "GRUCell"])
def test_same_parameters_as_pytorch(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    cases = [{}, {"bias": False}] if kind.endswith("Cell") else [
        {}, {"bias": False}, {"num_layers": 2, "bidirectional": True, "batch_first": True}]
    if kind == "LSTM":
        cases.append({"proj_size": 2, "num_layers": 2, "dropout": 0.5})
    for options in cases:
        theirs, ours = getattr(torch.nn, kind)(3, 5, **options), getattr(nn, kind)(3, 5, **options)
        assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
            (k, tuple(v.shape)) for k, v in theirs.state_dict().items()]
        assert repr(ours) == repr(theirs)
        for p in ours.parameters():  # uniform in +-1 / sqrt(hidden_size)
            assert float(p.abs().max()) <= 5 ** -0.5
        if not kind.endswith("Cell"):
            assert [[tuple(w.shape) for w in row] for row in ours.all_weights] == [
                [tuple(w.shape) for w in row] for row in theirs.all_weights]


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_against_pytorch(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs, ours = pair(kind, torch, 4, 6)
    rng = np.random.default_rng(0)
    for shape in ((3,), ()):
        x, h, c = array(rng, *shape, 4), array(rng, *shape, 6), array(rng, *shape, 6)
        hx = (h, c) if kind == "LSTMCell" else h
        for states in (None, hx):
            wrap = (lambda lib, s=states: None if s is None else tuple(map(lib.tensor, s)) if isinstance(s, tuple) else lib.tensor(s))
            got, want = ours(ccdl.tensor(x), wrap(ccdl)), theirs(torch.tensor(x), wrap(torch))
            for g, w in zip(*([r] if not isinstance(r, tuple) else r for r in (got, want)), strict=True):
                np.testing.assert_allclose(on_host(g), w.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "options"), [*((k, {}) for k in LAYERS), *OWN])
@pytest.mark.parametrize("first", [False, True])
def test_unbatched_and_default_states(kind, options, first):
    ccdl.manual_seed(0)
    layer = getattr(nn, kind)(4, 6, num_layers=2, bidirectional=True, batch_first=first, dtype=ccdl.float64, **options)
    x = ccdl.randn(5, 4, dtype=ccdl.float64)
    y, last = layer(x)
    batched, last_batched = layer(x.unsqueeze(0 if first else 1))
    assert y.shape == (5, 12) and ccdl.equal(y, batched.squeeze(0 if first else 1))
    lasts = last if isinstance(last, tuple) else (last,)
    for s, b in zip(lasts, last_batched if isinstance(last_batched, tuple) else (last_batched,), strict=True):
        assert s.shape == (4, 6) and ccdl.equal(s, b.squeeze(1))
    zeros = ccdl.zeros(4, 6, dtype=ccdl.float64)
    again, _ = layer(x, (zeros, zeros) if len(lasts) == 2 else zeros)
    assert ccdl.equal(again, y)
    assert ccdl.equal(y[-1, :6], lasts[0][2]) and ccdl.equal(y[0, 6:], lasts[0][3])  # where each direction ends


@pytest.mark.parametrize(("kind", "options"), [*((k, {}) for k in LAYERS), *OWN])
@pytest.mark.parametrize("first", [False, True])
def test_packed_equals_each_sequence_alone(kind, options, first):
    ccdl.manual_seed(1)
    layer = getattr(nn, kind)(3, 5, num_layers=2, bidirectional=True, batch_first=first, dtype=ccdl.float64, **options)
    lengths = [2, 7, 1, 4, 7, 3]
    items = [ccdl.randn(n, 3, dtype=ccdl.float64) for n in lengths]
    y, last = layer(sequences.pack_sequence(items, enforce_sorted=False))
    padded, back = sequences.pad_packed_sequence(y, batch_first=first, padding_value=-9.0)
    assert back.tolist() == lengths
    for i, item in enumerate(items):
        alone, end = layer(item)
        whole = padded[i] if first else padded[:, i]
        np.testing.assert_allclose(on_host(whole[:len(item)]), on_host(alone), rtol=1e-12, atol=1e-12)
        assert bool((whole[len(item):] == -9.0).all())
        for s, e in zip(*(v if isinstance(v, tuple) else (v,) for v in (last, end)), strict=True):
            np.testing.assert_allclose(on_host(s[:, i]), on_host(e), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "PeepholeLSTM"])
def test_a_layer_is_its_cell_repeated(kind):
    ccdl.manual_seed(2)
    options = [{"reset_after": True}, {"reset_after": False}] if kind == "GRU" else [{}]
    for option in options:
        layer, cell = getattr(nn, kind)(3, 4, **option), getattr(nn, kind + "Cell")(3, 4, **option)
        cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
        x = ccdl.randn(6, 2, 3)
        y, _ = layer(x)
        state = None
        for t in range(6):
            state = cell(x[t], state)
            h = state[0] if isinstance(state, tuple) else state
            np.testing.assert_allclose(on_host(h), on_host(y[t]), rtol=1e-5, atol=1e-6)


def test_dropout_between_layers():
    ccdl.manual_seed(3)
    layer = nn.GRU(4, 64, num_layers=2, dropout=0.25)
    x = ccdl.randn(3, 8, 4)
    ccdl.manual_seed(7)
    one, _ = layer(x)
    two, _ = layer(x)
    ccdl.manual_seed(7)
    three, _ = layer(x)
    assert ccdl.equal(one, three) and not ccdl.equal(one, two)
    layer.eval()
    assert ccdl.equal(layer(x)[0], layer(x)[0])
    # An upper layer that copies: what it reads is zero in a quarter of the places, and scaled by 4/3 in the others.
    upper = nn.RNN(64, 64, num_layers=2, nonlinearity="relu", bias=False, dropout=0.25)
    with ccdl.no_grad():
        for name, p in upper.named_parameters():
            p.copy_(ccdl.eye(64) if "ih" in name else ccdl.zeros(64, 64))
    y, _ = upper(ccdl.ones(50, 20, 64))
    assert np.unique(np.round(3 * on_host(y), 4)).tolist() == [0.0, 4.0]
    assert abs(float((y == 0).float().mean()) - 0.25) < 4 * (0.25 * 0.75 / 64000) ** 0.5
    every = nn.RNN(64, 64, num_layers=2, dropout=1.0)
    assert every(x.new_ones(3, 8, 64))[0].isfinite().all()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nn.LSTM(2, 3, dropout=0.5)
    assert len(caught) == 1 and "num_layers" in str(caught[0].message)


@pytest.mark.parametrize("kind", [*LAYERS, "PeepholeLSTM"])
def test_state_dict_copy_and_conversion(kind, tmp_path):
    layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    x = ccdl.randn(5, 2, 3)
    want = layer(x)[0]
    ccdl.save(layer.state_dict(), tmp_path / "layer.safetensors")
    fresh = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    fresh.load_state_dict(ccdl.load(tmp_path / "layer.safetensors"))
    assert ccdl.equal(fresh(x)[0], want) and ccdl.equal(copy.deepcopy(layer)(x)[0], want)
    wide = copy.deepcopy(layer).double()
    np.testing.assert_allclose(on_host(wide(x.double())[0]), on_host(want), rtol=1e-5, atol=1e-5)
    for half, close in ((ccdl.bfloat16, 3e-2), (ccdl.float16, 4e-3)):
        y, _ = copy.deepcopy(layer).to(half)(x.to(half))
        assert y.dtype == half
        np.testing.assert_allclose(on_host(y.float()), on_host(want), rtol=close, atol=close)
    layer.weight_hh_l0 = nn.Parameter(ccdl.zeros_like(layer.weight_hh_l0))  # a replaced weight is used
    assert not ccdl.equal(layer(x)[0], want)
    layer.flatten_parameters()


@pytest.mark.host
@pytest.mark.parametrize("kind", [*LAYERS, "PeepholeLSTM"])
def test_bits_do_not_depend_on_threads(kind):
    ccdl.manual_seed(4)
    layer = getattr(nn, kind)(32, 48, bidirectional=True)
    before = ccdl.get_num_threads()
    try:
        for batch in (1, 3, 37):
            x = ccdl.randn(40, batch, 32, requires_grad=True)
            seen = []
            for threads in (1, 2, 3):
                ccdl.set_num_threads(threads)
                y, last = layer(x)
                found = ccdl.autograd.grad((y * y).sum(), [x, *layer.parameters()])
                seen.append([y.detach().numpy().tobytes(), *(g.numpy().tobytes() for g in found)])
            assert seen[0] == seen[1] == seen[2]
    finally:
        ccdl.set_num_threads(before)


def test_a_sequence_does_not_depend_on_its_batch():
    ccdl.manual_seed(5)
    layer = nn.LSTM(8, 16, dtype=ccdl.float64)
    x = ccdl.randn(7, 21, 8, dtype=ccdl.float64)
    y, _ = layer(x)
    for i in (0, 9, 20):
        np.testing.assert_allclose(on_host(layer(x[:, i:i + 1])[0]), on_host(y[:, i:i + 1]), rtol=1e-13, atol=1e-13)


def test_truncated_backpropagation():
    """States handed on by detach: gradients of a piece equal those of the piece alone, and stop at its start."""
    ccdl.manual_seed(6)
    layer = nn.LSTM(3, 5, dtype=ccdl.float64)
    x = ccdl.randn(12, 2, 3, dtype=ccdl.float64, requires_grad=True)
    state, outputs = None, []
    for piece in x.split(4):
        y, state = layer(piece, state)
        outputs.append(y)
        state = tuple(s.detach() for s in state)
    whole, _ = layer(x)
    np.testing.assert_allclose(on_host(ccdl.cat(outputs)), on_host(whole), rtol=1e-13, atol=1e-13)
    (g,) = ccdl.autograd.grad(outputs[2].sum(), [x], retain_graph=True)
    assert bool((g[:8] == 0).all()) and bool((g[8:] != 0).any())
    (full,) = ccdl.autograd.grad(whole[8:].sum(), [x])
    assert bool((full[:8] != 0).any())
    start = tuple(s.detach() for s in layer(x[:8])[1])
    alone = x[8:].detach().requires_grad_()
    (want,) = ccdl.autograd.grad(layer(alone, start)[0].sum(), [alone])
    np.testing.assert_allclose(on_host(g[8:]), on_host(want), rtol=1e-12, atol=1e-12)


def test_only_what_is_asked_for():
    layer = nn.GRU(3, 4, num_layers=2)
    for p in layer.parameters():
        p.requires_grad_(False)
    x = ccdl.randn(5, 2, 3)
    y, h = layer(x)
    assert not y.requires_grad and not h.requires_grad
    y, h = layer(x.requires_grad_())
    h.sum().backward()
    assert x.grad is not None and all(p.grad is None for p in layer.parameters())
    layer.weight_hh_l1.requires_grad_(True)
    y, h = layer(x.detach())
    y.sum().backward()
    assert layer.weight_hh_l1.grad is not None and layer.weight_hh_l0.grad is None
    with ccdl.no_grad():
        assert not layer(x)[0].requires_grad


def test_graph_can_be_kept_and_is_freed():
    layer = nn.LSTM(3, 4)
    x = ccdl.randn(5, 2, 3, requires_grad=True)
    y, _ = layer(x)
    (one,) = ccdl.autograd.grad(y.sum(), [x], retain_graph=True)
    (two,) = ccdl.autograd.grad(y.sum(), [x])
    assert ccdl.equal(one, two)
    with pytest.raises(RuntimeError, match="second time"):
        ccdl.autograd.grad(y.sum(), [x])
    y, _ = layer(x)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified"):
        y.sum().backward()


@pytest.mark.host
def test_gradients_by_differences_and_twice():
    ccdl.manual_seed(8)
    for layer in (nn.GRU(2, 2, bidirectional=True, dtype=ccdl.float64), nn.LSTM(2, 3, proj_size=2, dtype=ccdl.float64),
                  nn.PeepholeLSTM(1, 2, num_layers=2, dtype=ccdl.float64)):
        x = ccdl.randn(3, 2, layer.input_size, dtype=ccdl.float64, requires_grad=True)

        def call(x, *weights, layer=layer):
            y, last = layer(sequences.pack_padded_sequence(x, [3, 1]))
            return y.data, *(last if isinstance(last, tuple) else (last,))

        assert ccdl.autograd.gradcheck(call, (x, *layer.parameters()))
        assert ccdl.autograd.gradgradcheck(call, (x, *layer.parameters()))


@pytest.mark.host
def test_long_sequences():
    """20,000 steps forward and back: no recursion anywhere, and finite."""
    layer = nn.RNN(1, 2)
    x = ccdl.ones(20000, 1, 1, requires_grad=True)
    y, _ = layer(x)
    y.sum().backward()
    assert x.grad.isfinite().all()
    cell = nn.GRUCell(1, 2)
    h = ccdl.zeros(1, 2)
    for t in range(2000):
        h = cell(x[t], h)
    h.sum().backward()
    assert cell.weight_hh.grad.isfinite().all()


SHAPES = {
    "rank": (lambda m: m(ccdl.zeros(3)), ValueError, "2D or 3D"),
    "rank 4": (lambda m: m(ccdl.zeros(1, 2, 3, 3)), ValueError, "2D or 3D"),
    "features": (lambda m: m(ccdl.zeros(5, 2, 4)), RuntimeError, "Expected 3, got 4"),
    "dtype": (lambda m: m(ccdl.zeros(5, 2, 3, dtype=ccdl.float64)), ValueError, "does not match weight dtype"),
    "integers": (lambda m: m(ccdl.zeros(5, 2, 3, dtype=ccdl.int64)), ValueError, "does not match weight dtype"),
    "no tensor": (lambda m: m(None), TypeError, "NoneType"),
    "no steps": (lambda m: m(ccdl.zeros(0, 2, 3)), RuntimeError, "sequence length"),
    "no steps, unbatched": (lambda m: m(ccdl.zeros(0, 3)), RuntimeError, "sequence length"),
}


@pytest.mark.parametrize("kind", [*LAYERS, "PeepholeLSTM"])
@pytest.mark.parametrize("what", SHAPES)
def test_bad_input(kind, what):
    layer = getattr(nn, kind)(3, 4)
    call, error, message = SHAPES[what]
    with pytest.raises(error, match=message):
        call(layer)
    assert layer(ccdl.zeros(5, 2, 3))[0].shape == (5, 2, 4)


@pytest.mark.parametrize(("kind", "shape", "rank"), [(k, s, r) for k in LAYERS for s, r in (
    ((1, 3, 4), 3), ((2, 2, 4), 3), ((1, 2, 5), 3), ((2, 4), 3), ((1, 2, 4), 2))])
def test_bad_states(kind, shape, rank):
    layer = getattr(nn, kind)(3, 4)
    state = ccdl.zeros(shape)
    x = ccdl.zeros(5, 2, 3) if rank == 3 else ccdl.zeros(5, 3)
    with pytest.raises(RuntimeError, match="(?i)hidden|hx"):
        layer(x, (state, ccdl.zeros(1, 2, 4)) if kind == "LSTM" else state)
    with pytest.raises((RuntimeError, TypeError), match="hx"):
        layer(x, ccdl.zeros(1, 2, 4) if kind == "LSTM" else (ccdl.zeros(1, 2, 4),))


def test_empty_batch():
    for kind, two in itertools.product(LAYERS, (False, True)):
        layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=two)
        x = ccdl.zeros(5, 0, 3, requires_grad=True)
        y, last = layer(x)
        assert y.shape == (5, 0, 8 if two else 4)
        assert (last[0] if isinstance(last, tuple) else last).shape == (4 if two else 2, 0, 4)
        y.sum().backward()
        assert x.grad.shape == x.shape
        assert all(bool((p.grad == 0).all()) for p in layer.parameters())


@pytest.mark.parametrize(("build", "error", "message"), [
    (lambda: nn.LSTM("3", 4), TypeError, "input_size"), (lambda: nn.LSTM(3, 4.0), TypeError, "hidden_size"),
    (lambda: nn.GRU(0, 4), ValueError, "input_size"), (lambda: nn.GRU(3, -1), ValueError, "hidden_size"),
    (lambda: nn.RNN(3, 4, 0), ValueError, "num_layers"), (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "sin"),
    (lambda: nn.LSTM(3, 4, dropout=1.5), ValueError, "dropout"), (lambda: nn.LSTM(3, 4, dropout=True), ValueError, "dropout"),
    (lambda: nn.LSTM(3, 4, bias=1), TypeError, "bias"), (lambda: nn.LSTM(3, 4, batch_first=None), TypeError, "batch_first"),
    (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size"), (lambda: nn.LSTM(3, 4, proj_size=-1), ValueError, "proj_size"),
    (lambda: nn.GRU(3, 4, proj_size=2), ValueError, "proj_size"), (lambda: nn.RNN(3, 4, proj=2), TypeError, "proj"),
    (lambda: nn.RNNBase("CNN", 3, 4), ValueError, "CNN"),
])
def test_bad_construction(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda c: c(ccdl.zeros(1, 2, 3)), ValueError, "1D or 2D"), (lambda c: c(ccdl.zeros(2, 5)), RuntimeError, "got 5 expected 3"),
    (lambda c: c(None), TypeError, "NoneType"),
])
def test_bad_cell_input(call, error, message):
    for cell in (nn.RNNCell(3, 4), nn.GRUCell(3, 4), nn.LSTMCell(3, 4), nn.PeepholeLSTMCell(3, 4)):
        with pytest.raises(error, match=message):
            call(cell)


def test_bad_cell_states():
    x, right, wrong = ccdl.zeros(2, 3), ccdl.zeros(2, 4), ccdl.zeros(5, 4)
    for state in (wrong, ccdl.zeros(2, 5), ccdl.zeros(4)):
        for cell in (nn.RNNCell(3, 4), nn.GRUCell(3, 4)):
            with pytest.raises(RuntimeError):
                cell(x, state)
        for both in ((state, right), (right, state)):
            with pytest.raises(RuntimeError):
                nn.LSTMCell(3, 4)(x, both)
    with pytest.raises(RuntimeError, match="pair"):
        nn.LSTMCell(3, 4)(x, right)
    cell = nn.RNNCell(3, 4)
    cell.nonlinearity = "sin"
    with pytest.raises(RuntimeError, match="sin"):
        cell(x)


@pytest.mark.parametrize("kind", [*LAYERS, "PeepholeLSTM"])
def test_mixed_precision(kind, device):
    """Under autocast a layer takes what the ops before it give, and its float32 weights get float32 gradients."""
    before, layer = nn.Linear(3, 3), getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    x = ccdl.randn(5, 2, 3)
    want = layer(before(x))[0]
    with ccdl.autocast(device, dtype=ccdl.bfloat16):
        y, _ = layer(before(x))
    assert y.dtype == ccdl.bfloat16
    np.testing.assert_allclose(on_host(y.float()), on_host(want), rtol=5e-2, atol=5e-2)
    y.float().sum().backward()
    assert all(p.grad.dtype == ccdl.float32 for p in [*before.parameters(), *layer.parameters()])


def test_native_names():
    assert ccdl._VF.lstm is ccdl.lstm and ccdl._VF.gru_cell is ccdl.gru_cell
