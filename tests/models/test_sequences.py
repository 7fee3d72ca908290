"""Sequence models: probabilities that sum to one, caches that change nothing, searches against enumeration."""

from __future__ import annotations

import itertools
import math

import pytest

import ccdl
from ccdl import models, nn
from ccdl.models.generation import filter_logits, generate, log_probs, sequence_log_prob

np = pytest.importorskip("numpy", reason="the extra package is not installed")


def numpy_of(t):
    return t.detach().cpu().numpy()


def count(model):
    return sum(p.numel() for p in model.parameters())


def loud(model, scale=1.0, seed=0):
    """The model with weights far from zero, so that its distributions are far from uniform; in evaluation mode."""
    ccdl.manual_seed(seed)
    with ccdl.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0, scale / math.sqrt(p.shape[-1]))
    return model.eval()


def gpt(positions="learned", **options):
    options = {"vocab_size": 5, "max_len": 12, "d_model": 16, "nhead": 2, "num_layers": 2, **options}
    return loud(models.GPT(positions=positions, **options), 2.0)


def all_strings(vocabulary, length):
    """Every string behind the start symbol 0: [V^length, length + 1]."""
    return ccdl.tensor([(0, *s) for s in itertools.product(range(vocabulary), repeat=length)])


MODELS = {"gpt": gpt, "rotary": lambda: gpt("rotary"), "sinusoidal": lambda: gpt("sinusoidal", tied=False, bias=False),
          "rnn": lambda: loud(models.CharRNN(5, 12, cell="rnn", embed_dim=None), 2.0),
          "lstm": lambda: loud(models.CharRNN(5, 12, 2, cell="lstm", embed_dim=6), 3.0),
          "gru": lambda: loud(models.CharRNN(5, 12, cell="gru", embed_dim=6), 3.0)}


@pytest.mark.host
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_strings_sum_to_one(name):
    model = MODELS[name]()
    with ccdl.no_grad():
        for length in (1, 2, 3):
            p = sequence_log_prob(model, all_strings(5, length)).double().exp()
            assert float(p.sum()) == pytest.approx(1.0, abs=2e-6)
            assert float(p.max()) > 1.5 * float(p.min())


@pytest.mark.parametrize("name", MODELS)
def test_chain_rule(name):
    """log p of a string is the sum of the conditionals, each computed from its own prefix alone."""
    model = MODELS[name]()
    tokens = ccdl.randint(0, 5, (4, 9))
    with ccdl.no_grad():
        total = sequence_log_prob(model, tokens)
        parts = 0
        for t in range(1, 9):
            logits = model(tokens[:, :t])
            logits = logits[0] if isinstance(logits, tuple) else logits
            parts = parts + ccdl.log_softmax(logits[:, -1], -1).gather(1, tokens[:, t : t + 1]).squeeze(1)
    np.testing.assert_allclose(numpy_of(total), numpy_of(parts), rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_steps_give_the_logits_of_the_whole(name):
    model = MODELS[name]()
    tokens = ccdl.randint(0, 5, (3, 12))
    with ccdl.no_grad():
        whole = model(tokens)
        whole = whole[0] if isinstance(whole, tuple) else whole
        for cuts in ([1] * 12, [4, 1, 3, 4], [12]):
            state, at = None, 0
            for n in cuts:
                logits, state = model.step(tokens[:, at : at + n], state)
                at += n
                np.testing.assert_allclose(numpy_of(logits), numpy_of(whole[:, at - 1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_no_gradient_to_the_future(name):
    model = MODELS[name]()
    x = ccdl.randint(0, 5, (2, 8))
    other = x.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 5
    a, b = model(x), model(other)
    a, b = (y[0] if isinstance(y, tuple) else y for y in (a, b))
    assert a.shape == (2, 8, 5)
    assert bool((a[:, :5] == b[:, :5]).all()) and not bool((a[:, 5:] == b[:, 5:]).all())


@pytest.mark.host
@pytest.mark.parametrize("name", MODELS)
def test_beam_search_against_enumeration(name):
    model = MODELS[name]()
    with ccdl.no_grad():
        strings = all_strings(5, 3)
        p = sequence_log_prob(model, strings)
        best = strings[int(p.argmax())].tolist()
        prompt = ccdl.zeros((2, 1), dtype=ccdl.int64)
        assert generate(model, prompt, 3, "beam", beams=125).tolist() == [best, best]
        few = generate(model, prompt[0], 3, "beam", beams=2)
        greedy = generate(model, prompt[0], 3)
        assert generate(model, prompt[0], 3, "beam", beams=1).tolist() == greedy.tolist()
        score = {tuple(s): v for s, v in zip(strings.tolist(), p.tolist())}
        assert score[tuple(few.tolist())] <= max(score.values()) + 1e-6
        assert greedy.tolist()[:2] == [0, int(log_probs(model, all_strings(5, 1)).argmax())]


@pytest.mark.host
def test_beam_search_with_an_end():
    """Against enumeration of all strings that end at the first 4 or fill the length."""
    model = gpt()
    ended = {}
    with ccdl.no_grad():
        p = log_probs(model, all_strings(5, 4))
        for row, values in zip(all_strings(5, 4).tolist(), p.tolist()):
            n = row.index(4) if 4 in row else 4
            ended[tuple(row[: n + 1]) + (4,) * (4 - n)] = (sum(values[:n]), n)
    prompt = ccdl.zeros(1, dtype=ccdl.int64)
    for penalty in (0.0, 1.0, 2.0):
        best = max(ended, key=lambda s: ended[s][0] / ended[s][1] ** penalty)
        found = generate(model, prompt, 4, "beam", beams=600, eos=4, length_penalty=penalty).tolist()
        assert tuple(found + [4] * (5 - len(found))) == best
    assert sum(math.exp(v[0]) for v in ended.values()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.host
def test_sampling_follows_the_distribution():
    model = gpt()
    prompt = ccdl.zeros((6000, 1), dtype=ccdl.int64)
    generator = ccdl.Generator()
    generator.manual_seed(3)
    with ccdl.no_grad():
        drawn = generate(model, prompt, 2, "sample", generator=generator)
        p = numpy_of(sequence_log_prob(model, all_strings(5, 2)).exp()).astype(float)
        seen = np.bincount(numpy_of(drawn[:, 1] * 5 + drawn[:, 2]), minlength=25) / 6000
    assert np.abs(seen - p).max() < 5 * math.sqrt(0.25 / 6000)
    generator.manual_seed(3)
    assert bool((generate(model, prompt, 2, "sample", generator=generator) == drawn).all())
    cold = generate(model, prompt[:50], 6, "sample", temperature=1e-3)
    assert bool((cold == generate(model, prompt[:50], 6)).all())
    assert bool((generate(model, prompt[:50], 6, "sample", top_k=1) == cold).all())


def test_filters():
    logits = ccdl.tensor([[math.log(v) for v in (0.1, 0.4, 0.2, 0.3)]])
    p = lambda **o: [round(v, 4) for v in ccdl.softmax(filter_logits(logits, **o), -1)[0].tolist()]
    assert p(top_k=2) == [0.0, round(4 / 7, 4), 0.0, round(3 / 7, 4)]
    assert p(top_k=9) == p(top_p=1.0) == [0.1, 0.4, 0.2, 0.3]
    assert p(top_p=0.39) == p(top_p=1e-9) == [0.0, 1.0, 0.0, 0.0]
    assert p(top_p=0.41) == [0.0, round(4 / 7, 4), 0.0, round(3 / 7, 4)]
    assert p(top_p=0.75) == [0.0, round(4 / 9, 4), round(2 / 9, 4), round(3 / 9, 4)]
    assert p(temperature=0.5) == [round(v / 0.3, 4) for v in (0.01, 0.16, 0.04, 0.09)]
    for bad in ({"temperature": 0.0}, {"temperature": float("nan")}, {"top_k": 0}, {"top_k": 1.5}, {"top_p": 0.0}, {"top_p": 1.1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            filter_logits(logits, **bad)


def test_end_of_sequence_and_bad_calls():
    counter = lambda tokens: nn.functional.one_hot((tokens + 1) % 5, 5).float() * 9
    prompt = ccdl.tensor([[3], [1]])
    assert generate(counter, prompt, 9, eos=0).tolist() == [[3, 4, 0, 0, 0], [1, 2, 3, 4, 0]]
    assert generate(counter, prompt, 0).tolist() == prompt.tolist() == generate(counter, prompt, 0, "beam").tolist()
    model = gpt().train()
    generate(model, prompt, 2)
    assert model.training
    for bad, error, text in ((lambda: generate(model, prompt, -1), ValueError, "max_new_tokens"),
                             (lambda: generate(model, prompt, 1, "best"), ValueError, "method"),
                             (lambda: generate(model, [[1]], 1), TypeError, "prompt is list"),
                             (lambda: generate(model, prompt[:, :0], 1), RuntimeError, "L >= 1"),
                             (lambda: generate(model, prompt, 1, "beam", beams=0), ValueError, "beams"),
                             (lambda: generate(model, prompt, 13), RuntimeError, "13 positions are asked for, max_len is 12"),
                             (lambda: generate(model, prompt, 1, "sample", top_p=2.0), ValueError, "top_p"),
                             (lambda: model(prompt[0]), RuntimeError, "must be"),
                             (lambda: models.GPT(5, d_model=10, nhead=3), ValueError, "divisible"),
                             (lambda: models.GPT(5, positions="none"), ValueError, "positions"),
                             (lambda: model(prompt + 4), IndexError, "embedding")):
        with pytest.raises(error, match=text):
            bad()
            if prompt.is_cuda:
                ccdl.cuda.synchronize()
    assert model(prompt).shape == (2, 1, 5)


@pytest.mark.host
def test_gpt_parameters():
    """GPT-2's smallest form has 124,439,808 parameters; its parts are counted at the real width."""
    d, vocabulary, length, layers = 768, 50257, 1024, 12
    small = models.GPT(7, 5, d_model=d, nhead=12, num_layers=1)
    block = count(small.blocks[0])
    assert count(small) == 7 * d + 5 * d + block + 2 * d
    assert vocabulary * d + length * d + layers * block + 2 * d == 124_439_808
    untied = models.GPT(7, 5, d_model=16, nhead=2, num_layers=1, tied=False)
    assert count(untied) - count(models.GPT(7, 5, d_model=16, nhead=2, num_layers=1)) == 7 * 16
    std = float(models.GPT(7, d_model=64, num_layers=8).blocks[0].linear2.weight.detach().std())
    assert std == pytest.approx(0.02 / 4, rel=0.05)


@pytest.mark.host
def test_gpt_learns_and_tied_weights_stay_one(tmp_path):
    ccdl.manual_seed(0)
    model = models.GPT(6, 8, 32, 2, 1, dropout=0.0)
    tokens = (ccdl.arange(8).unsqueeze(0) + ccdl.arange(6).unsqueeze(1)) % 6
    optimizer = ccdl.optim.Adam(model.parameters(), lr=0.01)
    first = None
    for _ in range(40):
        loss = -log_probs(model, tokens).mean()
        first = float(loss) if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.1 * first
    assert model.head.weight is model.token.weight
    assert generate(model, ccdl.tensor([2]), 7).tolist() == [2, 3, 4, 5, 0, 1, 2, 3]
    ccdl.save(model.state_dict(), str(tmp_path / "m.safetensors"))
    other = models.GPT(6, 8, 32, 2, 1, dropout=0.0)
    other.load_state_dict(ccdl.load(str(tmp_path / "m.safetensors")))
    assert bool((other.eval()(tokens) == model.eval()(tokens)).all()) and other.head.weight is other.token.weight


# --- hidden Markov model -------------------------------------------------------------------------------------------------


def tables(k, v, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k), k), rng.dirichlet(np.ones(v), k)


def enumerate_paths(pi, a, b, x):
    result = {}
    for z in itertools.product(range(len(pi)), repeat=len(x)):
        p = pi[z[0]] * b[z[0], x[0]]
        for t in range(1, len(x)):
            p *= a[z[t - 1], z[t]] * b[z[t], x[t]]
        result[z] = p
    return result


def test_hmm_against_enumeration():
    pi, a, b = tables(3, 4)
    model = models.HMM.from_probabilities(pi, a, b, dtype=ccdl.float64)
    x = np.random.default_rng(1).integers(0, 4, (5, 6))
    lengths = [6, 1, 3, 5, 6]
    log_prob, (states, score) = model.log_prob(ccdl.tensor(x), lengths), model.viterbi(ccdl.tensor(x), lengths)
    posterior = model.posterior(ccdl.tensor(x))
    for i, n in enumerate(lengths):
        paths = enumerate_paths(pi, a, b, x[i, :n])
        best = max(paths, key=paths.get)
        assert float(log_prob[i]) == pytest.approx(math.log(sum(paths.values())), rel=1e-12)
        assert float(score[i]) == pytest.approx(math.log(paths[best]), rel=1e-12)
        assert states[i].tolist() == list(best) + [0] * (6 - n)
        if n == 6:
            for t, k in itertools.product(range(6), range(3)):
                want = sum(p for z, p in paths.items() if z[t] == k) / sum(paths.values())
                assert float(posterior[i, t, k]) == pytest.approx(want, abs=1e-12)


@pytest.mark.host
def test_hmm_sums_to_one_and_has_its_gradient():
    ccdl.manual_seed(2)
    model = models.HMM(3, 4, dtype=ccdl.float64)
    strings = ccdl.tensor(list(itertools.product(range(4), repeat=4)))
    assert float(model(strings).detach().exp().sum()) == pytest.approx(1.0, abs=1e-12)
    x = strings[::50]
    values = [p.detach().clone().requires_grad_() for p in model.parameters()]

    def run(*tables):
        clone = models.HMM(3, 4, dtype=ccdl.float64)
        clone._parameters.update(dict(zip(("initial", "transition", "emission"), tables)))
        return clone.log_prob(x, [4, 2, 1, 3, 4, 4][: len(x)])

    assert ccdl.autograd.gradcheck(run, values)


@pytest.mark.host
def test_hmm_recovers_what_it_drew():
    pi, a, b = np.array([0.5, 0.5]), np.array([[0.95, 0.05], [0.1, 0.9]]), np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    ccdl.manual_seed(4)
    true = models.HMM.from_probabilities(pi, a, b)
    x, states = true.sample(40, 30)
    assert np.bincount(numpy_of(states).ravel(), minlength=2)[0] / states.numel() == pytest.approx(2 / 3, abs=0.12)
    agree = (true.viterbi(x)[0] == states).to(ccdl.float32).mean().item()
    assert agree > 0.85
    model = models.HMM(2, 3)
    optimizer = ccdl.optim.Adam(model.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        loss = -model(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] and losses[-1] < -float(true(x).detach().mean()) + 0.2
    for bad, error, text in ((lambda: model(x[0]), RuntimeError, "must be"), (lambda: model(x, [0] * 40), ValueError, "lengths"),
                             (lambda: models.HMM(0, 3), ValueError, "positive"),
                             (lambda: models.HMM.from_probabilities([1.0, 1.0], a, b), ValueError, "initial"),
                             (lambda: model(x[:, :0]), RuntimeError, "T >= 1")):
        with pytest.raises(error, match=text):
            bad()
