"""Recurrent language models, encoder-decoders and sequence classifiers: equations, masks, steps, learning."""

from __future__ import annotations

import pytest

import ccdl
from ccdl import models, nn
from ccdl.models.generation import generate

np = pytest.importorskip("numpy", reason="the extra package is not installed")


def numpy_of(t):
    return t.detach().cpu().numpy()


def test_hello():
    """001's worked example: with these weights the four states print as on the page."""
    model = models.CharRNN(4, 3, cell="rnn", embed_dim=None, bias=False)
    columns = [[0.3095, -0.1003, 1.4722], [1.8027, 1.0159, 0.5116], [-0.1940, 0.9024, 0.5356], [0.0, 0.0, 0.0]]
    recurrent = [[0.2289, 0.2130, 0.1065], [-1.1292, -1.0504, -0.5252], [-0.6574, -0.6115, -0.3057]]
    with ccdl.no_grad():
        model.rnn.weight_ih_l0.copy_(ccdl.tensor(columns).t())
        model.rnn.weight_hh_l0.copy_(ccdl.tensor(recurrent))
        states = model.rnn(nn.functional.one_hot(ccdl.tensor([[0, 1, 2, 2]]), 4).float())[0][0]
    printed = [[0.3, -0.1, 0.9], [1.0, 0.3, 0.1], [0.1, -0.5, -0.3], [-0.3, 0.9, 0.7]]
    assert np.abs(numpy_of(states) - np.array(printed)).max() <= 0.05
    assert states[1, 0].item() == pytest.approx(0.96, abs=0.005)  # printed as 1.0
    assert [n for n, _ in model.named_parameters()] == ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "head.weight"]


def test_char_rnn_options():
    model = models.CharRNN(7, 8, 2, "lstm", embed_dim=5, dropout=0.5)
    x = ccdl.randint(0, 7, (3, 4))
    logits, state = model(x)
    assert logits.shape == (3, 4, 7) and state[0].shape == (2, 3, 8)
    again, _ = model(x, model.detach(state))
    assert not bool((again == logits).all())
    swapped = model.reorder(state, ccdl.tensor([2, 2, 0]))
    assert bool((swapped[1][:, 0] == state[1][:, 2]).all())
    assert not any(s.requires_grad for s in model.detach(state))
    with pytest.raises(ValueError, match="cell is 'elman'"):
        models.CharRNN(7, cell="elman")
    with pytest.raises(RuntimeError, match="must be"):
        model(x[0])


def pairs(count, reverse, seed=0, low=2, high=6, letters=4):
    """Strings of tokens 3 ... and their images shifted by ``letters``; 1 starts and 2 ends a target."""
    rng = np.random.default_rng(seed)
    source = np.zeros((count, high), dtype="int64")
    target = np.zeros((count, high + 2), dtype="int64")
    for i in range(count):
        s = rng.integers(3, 3 + letters, rng.integers(low, high + 1))
        source[i, : len(s)] = s
        target[i, : len(s) + 2] = [1, *(s[::-1] if reverse else s), 2]
    return ccdl.tensor(source), ccdl.tensor(target)


def network(kind, **options):
    ccdl.manual_seed(0)
    if kind == "transformer":
        return models.Seq2SeqTransformer(7, 7, d_model=32, nhead=4, num_layers=1, dim_feedforward=64, dropout=0.0, **options)
    return models.Seq2Seq(7, 7, 16, 32, attention=kind == "bahdanau", **options)


KINDS = ("plain", "bahdanau", "transformer")


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_the_source_changes_nothing(kind):
    model = network(kind).eval()
    source, target = pairs(6, False)
    wide = ccdl.cat([source, ccdl.zeros((6, 3), dtype=ccdl.int64)], 1)
    np.testing.assert_allclose(numpy_of(model(source, target)), numpy_of(model(wide, target)), atol=2e-5)
    one = model(source[2:3, : int((source[2] != 0).sum())], target[2:3])
    np.testing.assert_allclose(numpy_of(model(source, target)[2:3]), numpy_of(one), atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_step_by_step_gives_the_same_logits(kind):
    model = network(kind).eval()
    source, target = pairs(5, True)
    with ccdl.no_grad():
        whole, state = model(source, target), model.start(source)
        for t in range(target.shape[1]):
            logits, state = model.step(target[:, t : t + 1], state)
            np.testing.assert_allclose(numpy_of(logits), numpy_of(whole[:, t]), atol=2e-5)
    for bad in (lambda: model(source[0], target), lambda: model(source, target[:2]), lambda: model(source[:, :0], target)):
        with pytest.raises(RuntimeError, match="must be"):
            bad()


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_decodes_from_its_caches(norm_first):
    """Several tokens at a time, a start state used twice, a reordered batch: always the logits of a whole run."""
    model = network("transformer", norm_first=norm_first).eval()
    source, target = pairs(5, True)
    order = ccdl.tensor([3, 0, 3, 1])
    start = model.start(source)
    assert start.memory.requires_grad
    with ccdl.no_grad():
        whole = model(source, target)
    for parts in ((2, 5), (1, 3, 4)):
        state, end = start, 0
        for end in parts:
            begin = 0 if state is start else len(state.caches[0])
            logits, state = model.step(target[:, begin:end], state)
            assert not logits.requires_grad
            np.testing.assert_allclose(numpy_of(logits), numpy_of(whole[:, end - 1]), atol=2e-5)
        assert len(state.caches[0]) == end and state.memory[0][0].shape == (5, 4, source.shape[1], 8)
        first = model.reorder(start, order)
        state = model.reorder(state, order)
        logits, _ = model.step(target.index_select(0, order)[:, end : end + 1], state)
        np.testing.assert_allclose(numpy_of(logits), numpy_of(whole.index_select(0, order)[:, end]), atol=2e-5)
        logits, _ = model.step(target.index_select(0, order)[:, :3], first)
        np.testing.assert_allclose(numpy_of(logits), numpy_of(whole.index_select(0, order)[:, 2]), atol=2e-5)
    one, encoded = [], []
    model.transformer.encoder.register_forward_hook(lambda *_: encoded.append(1))
    model.transformer.decoder.layers[0].linear1.register_forward_hook(lambda m, args, y: one.append(args[0].shape[1]))
    generate(model, target[:, :1], 6, state=model.start(source))
    assert one == [1] * 6 and len(encoded) == 1  # each step runs over its own token only


def test_bahdanau_equations():
    """s_t = f(s_{t-1}, y_{t-1}, c_t) with alpha over the source only, in NumPy from the encoder's states on."""
    model = network("bahdanau").double().eval()
    source, target = pairs(3, False)
    logits, alpha = model(source, target, need_weights=True)
    assert ccdl.allclose(alpha.sum(2), ccdl.ones(*alpha.shape[:2], dtype=alpha.dtype), atol=1e-12)
    assert bool((alpha.masked_select((source == 0).unsqueeze(1).expand_as(alpha)) == 0).all())
    s, memory, _, padding = (numpy_of(t) for t in model.start(source))
    w, v = numpy_of(model.attention.weight), numpy_of(model.attention.v)
    p = {k: numpy_of(t) for k, t in model.state_dict().items()}
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    for t in range(target.shape[1]):
        joint = np.concatenate([np.repeat(s[:, None], memory.shape[1], 1), memory], 2)
        e = np.where(padding, -np.inf, np.tanh(joint @ w.T) @ v)
        a = np.exp(e - e.max(1, keepdims=True))
        a /= a.sum(1, keepdims=True)
        np.testing.assert_allclose(numpy_of(alpha)[:, t], a, atol=1e-12)
        c = (a[:, :, None] * memory).sum(1)
        y = p["target.weight"][numpy_of(target)[:, t]]
        gi = np.concatenate([y, c], 1) @ p["decoder.weight_ih"].T + p["decoder.bias_ih"]
        gh = s @ p["decoder.weight_hh"].T + p["decoder.bias_hh"]
        (ir, iz, i_n), (hr, hz, hn) = np.split(gi, 3, 1), np.split(gh, 3, 1)
        z = sigmoid(iz + hz)
        s = (1 - z) * np.tanh(i_n + sigmoid(ir + hr) * hn) + z * s
        want = np.concatenate([s, c, y], 1) @ p["head.weight"].T + p["head.bias"]
        np.testing.assert_allclose(numpy_of(logits)[:, t], want, atol=1e-12)


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.parametrize("kind", ["bahdanau", "transformer"])
def test_reversal_is_learnt(kind):
    model = network(kind)
    source, target = pairs(1500, True, seed=1, high=5)
    optimizer = ccdl.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(200):
        i = slice(step * 64 % 1400, step * 64 % 1400 + 64)
        logits = model(source[i], target[i, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target[i, 1:].flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source, target = pairs(60, True, seed=2, high=5)
    start = ccdl.ones((60, 1), dtype=ccdl.int64)
    for method in ("greedy", "beam"):
        with ccdl.no_grad():
            model.eval()
            found = generate(model, start, 7, method, beams=3, eos=2, state=model.start(source)).tolist()
        right = sum(f[: f.index(2) + 1 if 2 in f else 9] == [v for v in t if v] for f, t in zip(found, target.tolist()))
        assert right >= 48, (method, right)


def test_embedding_classifier_is_a_mean():
    ccdl.manual_seed(1)
    model = models.EmbeddingClassifier(10, 3, 8)
    tokens = ccdl.tensor([[4, 5, 6], [7, 0, 0], [0, 0, 0]])
    table, last = numpy_of(model.embedding.weight), model.classifier[-1]
    mean = np.stack([table[[4, 5, 6]].mean(0), table[7], np.zeros(8)])
    np.testing.assert_allclose(numpy_of(model(tokens)), mean @ numpy_of(last.weight).T + numpy_of(last.bias), atol=1e-6)
    order = ccdl.tensor([[6, 4, 5], [0, 7, 0], [0, 0, 0]])
    assert ccdl.allclose(model(order), model(tokens), atol=1e-6)
    assert len(models.EmbeddingClassifier(10, 3, 8, hidden=4).classifier) == 5


def test_bilstm_maximum_over_time():
    ccdl.manual_seed(2)
    model = models.BiLSTMClassifier(10, 3, 8, 6)
    tokens = ccdl.tensor([[4, 5, 6, 9], [7, 8, 0, 0], [0, 0, 0, 0]])
    y = model(tokens)
    for i, n in ((0, 4), (1, 2)):
        states = model.lstm(model.embedding(tokens[i : i + 1, :n]))[0]
        want = model.classifier(states)[0].amax(0)
        np.testing.assert_allclose(numpy_of(y[i]), numpy_of(want), atol=1e-5)
    assert bool(ccdl.isfinite(y).all())
    y.sum().backward()
    assert all(bool(ccdl.isfinite(p.grad).all()) for p in model.parameters())
    assert not ccdl.allclose(model(ccdl.tensor([[5, 4]])), model(ccdl.tensor([[4, 5]])))
    for cls in (models.BiLSTMClassifier, models.EmbeddingClassifier):
        with pytest.raises(RuntimeError, match="must be"):
            cls(10, 3)(tokens[0])
