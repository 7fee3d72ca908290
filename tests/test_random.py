"""Generators, states and the statistics of every distribution."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

N = 200_000


def test_same_seed_same_numbers() -> None:
    ccdl.manual_seed(3)
    a = ccdl.randn(100)
    ccdl.manual_seed(3)
    assert ccdl.equal(a, ccdl.randn(100))
    assert not ccdl.equal(a, ccdl.randn(100))
    assert ccdl.initial_seed() == 3
    assert ccdl.manual_seed(-1).initial_seed() == 2**64 - 1


def test_state_round_trip() -> None:
    ccdl.manual_seed(4)
    ccdl.rand(7)
    state = ccdl.get_rng_state()
    assert state.dtype == ccdl.uint8
    a = ccdl.rand(5)
    ccdl.set_rng_state(state)
    assert ccdl.equal(a, ccdl.rand(5))
    with pytest.raises(TypeError, match="uint8"):
        ccdl.set_rng_state(ccdl.zeros(16))
    with pytest.raises(TypeError, match="16"):
        ccdl.set_rng_state(ccdl.zeros(15, dtype=ccdl.uint8))


def test_generators_are_independent_of_the_default_one() -> None:
    ccdl.manual_seed(1)
    want = ccdl.rand(4)
    ccdl.manual_seed(1)
    g = ccdl.Generator().manual_seed(9)
    first = ccdl.rand(4, generator=g)
    assert ccdl.equal(want, ccdl.rand(4))
    assert ccdl.equal(first, ccdl.rand(4, generator=ccdl.Generator(device="cpu").manual_seed(9)))
    state = g.get_state()
    a = ccdl.randn(3, generator=g)
    assert ccdl.equal(a, ccdl.randn(3, generator=ccdl.Generator().set_state(state)))
    b = pickle.loads(pickle.dumps(g))
    assert ccdl.equal(ccdl.rand(3, generator=g), ccdl.rand(3, generator=b))
    c = copy.deepcopy(g)
    assert ccdl.equal(ccdl.rand(3, generator=g), ccdl.rand(3, generator=c))
    assert g.device == ccdl.device("cpu")
    assert g.seed() == g.initial_seed()


def test_generator_errors() -> None:
    with pytest.raises(TypeError, match="Generator"):
        ccdl.rand(3, generator=5)
    with pytest.raises(ValueError, match="seed"):
        ccdl.manual_seed(2**64)
    with pytest.raises(RuntimeError):
        ccdl.Generator(device="cuda:99")
    with pytest.raises(ValueError, match="from=5"):
        ccdl.randint(5, 5, (2,))
    with pytest.raises(ValueError, match="std"):
        ccdl.ones(3).normal_(0.0, -1.0)
    with pytest.raises(ValueError, match="all elements of std"):
        ccdl.normal(0.0, ccdl.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="from=2"):
        ccdl.ones(3).uniform_(2.0, 1.0)
    with pytest.raises(RuntimeError, match="int64"):
        ccdl.ones(3, dtype=ccdl.int64).normal_()
    with pytest.raises(RuntimeError, match="floating"):
        ccdl.randn(3, dtype=ccdl.int64)
    with pytest.raises((RuntimeError, ValueError)):
        ccdl.rand(-1)
    leaf = ccdl.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError):
        leaf.uniform_()
    with ccdl.no_grad():
        leaf.uniform_()
    assert leaf.requires_grad


def test_factories() -> None:
    assert ccdl.rand(2, 3).shape == (2, 3) and ccdl.rand((2, 3)).shape == (2, 3) and ccdl.rand([]).shape == ()
    assert ccdl.rand(2, dtype=ccdl.float64).dtype == ccdl.float64
    assert ccdl.randn(2, requires_grad=True).requires_grad
    x = ccdl.zeros(2, 3, dtype=ccdl.float16)
    assert ccdl.rand_like(x).dtype == ccdl.float16
    assert ccdl.randn_like(x, dtype=ccdl.float32).dtype == ccdl.float32
    assert ccdl.randint_like(x, 5).dtype == ccdl.float16
    assert ccdl.randint(10, (4,)).dtype == ccdl.int64
    assert ccdl.randint(low=3, high=5, size=(100,), dtype=ccdl.int32).unique().tolist() == [3, 4]
    assert ccdl.randperm(5, dtype=ccdl.int32).dtype == ccdl.int32
    out = ccdl.empty(3, dtype=ccdl.float64)
    assert ccdl.rand(3, out=out) is out and 0 <= out.min() and out.max() < 1
    assert ccdl.randint(0, 2, (0, 3)).shape == (0, 3)
    assert ccdl.normal(2.0, 0.0, size=(2,)).tolist() == [2.0, 2.0]
    assert ccdl.normal(ccdl.zeros(2, 1), ccdl.ones(3)).shape == (2, 3)
    assert ccdl.normal(ccdl.tensor([1.0, 2.0]), 0.0).tolist() == [1.0, 2.0]


def moments(x: ccdl.Tensor) -> tuple[float, float]:
    a = x.double().cpu().numpy()
    return float(a.mean()), float(a.var())


@pytest.mark.parametrize(("draw", "mean", "var"), [
    (lambda: ccdl.rand(N), 0.5, 1 / 12),
    (lambda: ccdl.rand(N, dtype=ccdl.float64), 0.5, 1 / 12),
    (lambda: ccdl.randn(N), 0.0, 1.0),
    (lambda: ccdl.randn(N, dtype=ccdl.float64), 0.0, 1.0),
    (lambda: ccdl.empty(N).normal_(3.0, 2.0), 3.0, 4.0),
    (lambda: ccdl.empty(N).exponential_(2.0), 0.5, 0.25),
    (lambda: ccdl.empty(N).geometric_(0.25), 4.0, 12.0),
    (lambda: ccdl.empty(N).log_normal_(0.0, 0.5), np.exp(0.125), (np.exp(0.25) - 1) * np.exp(0.25)),
    (lambda: ccdl.empty(N).bernoulli_(0.3), 0.3, 0.21),
    (lambda: ccdl.bernoulli(ccdl.full((N,), 0.7)), 0.7, 0.21),
    (lambda: ccdl.randint(0, 11, (N,)), 5.0, 10.0),
    (lambda: ccdl.multinomial(ccdl.tensor([0.2, 0.0, 0.8]), N, replacement=True), 1.6, 0.64),
])
def test_moments(draw: object, mean: float, var: float) -> None:
    ccdl.manual_seed(0)
    m, v = moments(draw())  # type: ignore[operator]
    assert abs(m - mean) < 5 * np.sqrt(var / N) + 1e-9
    assert abs(v - var) < 0.05 * var


def test_ranges() -> None:
    ccdl.manual_seed(2)
    for dtype in (ccdl.float16, ccdl.bfloat16, ccdl.float32, ccdl.float64):
        x = ccdl.rand(N, dtype=dtype)
        assert x.min() >= 0 and x.max() < 1
    x = ccdl.empty(1000, dtype=ccdl.uint8).random_()
    assert x.min() < 20 and x.max() > 235
    x = ccdl.empty(1000, dtype=ccdl.int64).random_(-(2**63), None)
    assert (x < 0).any() and (x > 0).any()
    assert ccdl.empty(100, dtype=ccdl.bool).random_().sum() > 20
    assert sorted(ccdl.randperm(1000).tolist()) == list(range(1000))


def test_dropout_family() -> None:
    ccdl.manual_seed(0)
    x = ccdl.ones(400, 500)
    y = F.dropout(x, 0.25)
    kept = y != 0
    assert abs(kept.float().mean().item() - 0.75) < 0.01
    assert ccdl.allclose(y[kept], ccdl.full_like(y[kept], 1 / 0.75))
    assert ccdl.equal(F.dropout(x, 0.25, training=False), x)
    assert ccdl.equal(F.dropout(x, 1.0), ccdl.zeros_like(x))
    y = F.dropout2d(ccdl.ones(30, 20, 4, 4), 0.5).flatten(2)
    assert ccdl.equal(y.amax(2), y.amin(2)) and 0 < (y[:, :, 0] != 0).sum() < 600
    z = ccdl.randn(200_000)
    for f in (F.alpha_dropout, ccdl.alpha_dropout):
        m, v = moments(f(z, 0.3, True))
        assert abs(m) < 0.02 and abs(v - 1) < 0.03
    x = ccdl.randn(50, requires_grad=True)
    state = ccdl.get_rng_state()
    F.dropout(x, 0.4).sum().backward()
    ccdl.set_rng_state(state)
    assert ccdl.equal(x.grad, F.dropout(ccdl.ones(50), 0.4))


def test_every_thread_may_have_its_own_generator() -> None:
    seen: dict[int, list[float]] = {}

    def work(i: int) -> None:
        ccdl._C._set_thread_generator(ccdl.Generator().manual_seed(i // 2))
        seen[i] = ccdl.rand(4).tolist()
        ccdl._C._set_thread_generator(None)

    ccdl.manual_seed(5)
    want = ccdl.rand(4)
    ccdl.manual_seed(5)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert ccdl.equal(ccdl.rand(4), want)


def test_threads_share_one_generator_without_repeating() -> None:
    g = ccdl.Generator().manual_seed(1)
    parts: list[list[float]] = []

    def work() -> None:
        for _ in range(50):
            parts.append(ccdl.rand(8, generator=g, dtype=ccdl.float64).tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({tuple(p) for p in parts}) == 200
