"""Captions by soft attention look at what they name; glimpses learn by REINFORCE where to look."""

from __future__ import annotations

import pytest

import ccdl
from ccdl import models, nn
from ccdl.models.generation import generate

np = pytest.importorskip("numpy", reason="the extra package is not installed")


def scenes(count, seed, kinds=3, side=4, things=2):
    """Maps [N, kinds + 2, side, side] with two things and every cell's coordinates; captions name the things row by row:
    1 starts and 2 ends them, 3 ... are the kinds."""
    rng = np.random.default_rng(seed)
    x = np.zeros((count, kinds + 2, side, side), dtype="float32")
    x[:, kinds], x[:, kinds + 1] = np.linspace(0, 1, side)[:, None], np.linspace(0, 1, side)
    words = np.zeros((count, things + 2), dtype="int64")
    cells = np.sort(np.stack([rng.permutation(side * side)[:things] for _ in range(count)]), 1)
    what = rng.integers(0, kinds, (count, things))
    for i in range(count):
        for cell, kind in zip(cells[i], what[i]):
            x[i, kind, cell // side, cell % side] = 1
        words[i] = [1, *(3 + what[i]), 2]
    return ccdl.tensor(x), ccdl.tensor(words), cells


@pytest.mark.slow
@pytest.mark.host
def test_captions_look_at_what_they_name():
    ccdl.manual_seed(0)
    model = models.Captioner(5, 6, 16, 32)
    optimizer = ccdl.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(250):
        x, words, _ = scenes(64, step)
        loss = nn.functional.cross_entropy(model(x, words[:, :-1]).flatten(0, 1), words[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, words, cells = scenes(200, 10_000)
    with ccdl.no_grad():
        _, weights = model(x, words[:, :-1], need_weights=True)
        written = generate(model, words[:, :1], 3, state=model.start(x))
    assert float((written == words).all(1).float().mean()) > 0.9
    mass = [float(weights[i, t].flatten()[int(cells[i, t])]) for i in range(200) for t in range(2)]
    assert sum(mass) / len(mass) > 3 / 16  # an even look gives each cell 1 / 16


def test_caption_steps_and_shapes():
    ccdl.manual_seed(1)
    model = models.Captioner(5, 6, 8, 8)
    x, words, _ = scenes(3, 1)
    whole, weights = model(x, words, need_weights=True)
    assert whole.shape == (3, 4, 6) and ccdl.allclose(weights.sum((2, 3)), ccdl.ones(3, 4), atol=1e-5)
    state = model.start(x)
    for t in range(4):
        logits, state = model.step(words[:, t : t + 1], state)
        assert ccdl.allclose(logits, whole[:, t], atol=1e-5)
    assert generate(model, words[:, :1], 3, "beam", beams=2, eos=2, state=model.start(x)).shape[0] == 3
    with pytest.raises(RuntimeError, match="must be"):
        model(x[0], words)


def cued(count, seed):
    """12x12 images: the middle says which of four sides carries the class; the other sides carry a drawn one."""
    rng = np.random.default_rng(seed)
    x = np.zeros((count, 1, 12, 12), dtype="float32")
    side, label = rng.integers(0, 4, count), rng.integers(0, 2, count)
    middle, corner = [(5, 5), (5, 6), (6, 5), (6, 6)], [(1, 5), (9, 5), (5, 1), (5, 9)]
    for i in range(count):
        x[i, 0][middle[side[i]]] = 1
        for s, (r, c) in enumerate(corner):
            kind = label[i] if s == side[i] else rng.integers(0, 2)
            x[i, 0, r : r + 2, c : c + 2] = [[1, 0], [0, 1]] if kind else [[0, 1], [1, 0]]
    return ccdl.tensor(x), ccdl.tensor(label)


@pytest.mark.slow
@pytest.mark.host
def test_glimpses_learn_where_to_look():
    """Two looks at 4x4 pixels: the middle, then the side it points at. Without a policy a look at a fixed side is right in
    5 of 8 cases."""
    ccdl.manual_seed(2)
    model = models.GlimpseClassifier(2, 4, glimpses=2, hidden_size=48, std=0.25)
    optimizer = ccdl.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1200):
        x, y = cued(64, step)
        loss, _ = model.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    x, y = cued(500, 10_000)
    with ccdl.no_grad():
        right = float((model.eval()(x).argmax(1) == y).float().mean())
    assert right > 0.8, right


def test_glimpse_parts():
    ccdl.manual_seed(3)
    model = models.GlimpseClassifier(3, 4, glimpses=3, scales=2)
    x, y = cued(5, 0)
    logits, log_probs, baselines, positions = model.look(x)
    assert logits.shape == (5, 3) and log_probs.shape == baselines.shape == (5, 2) and positions.shape == (5, 3, 2)
    assert bool((positions[:, 0] == 0).all()) and model.glimpse.training
    loss, _ = model.loss(x, y)
    loss.backward()
    assert all(p.grad is not None and bool(ccdl.isfinite(p.grad).all()) for p in model.parameters())
    model.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()  # the answer alone moves neither policy nor baseline
    assert model.locator.weight.grad is None and model.baseline.weight.grad is None
    assert bool((model.eval()(x) == model(x)).all())
    one = models.GlimpseClassifier(3, 4, glimpses=1)
    assert float(one.loss(x, y)[0].detach()) == pytest.approx(float(nn.functional.cross_entropy(one(x), y).detach()))
    with pytest.raises(ValueError, match="glimpses is 0"):
        models.GlimpseClassifier(3, 4, glimpses=0)
