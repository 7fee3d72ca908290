"""Fused optimiser steps against the published update rules in NumPy over 50 steps, and against PyTorch where installed."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

STEPS = 50
SHAPES = [(3,), (1,), (40, 33), (0,), (17,), (20000,)]
SGD = [
    dict(lr=0.1),
    dict(lr=0.1, weight_decay=0.1),
    dict(lr=0.1, momentum=0.9),
    dict(lr=0.1, momentum=0.9, dampening=0.3, maximize=True),
    dict(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
]
ADAM = [
    dict(lr=0.01),
    dict(lr=0.01, weight_decay=0.1),
    dict(lr=0.01, weight_decay=0.1, decoupled=True),
    dict(lr=0.01, betas=(0.5, 0.9), amsgrad=True, maximize=True, eps=1e-6),
]
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def sgd(p, g, state, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    g = -g if maximize else g
    g = g + weight_decay * p
    if momentum:
        b = state["b"] = momentum * state["b"] + (1 - dampening) * g if "b" in state else g
        g = g + momentum * b if nesterov else b
    return p - lr * g


def adam(
    p,
    g,
    state,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    amsgrad=False,
    maximize=False,
    decoupled=False,
):
    g = -g if maximize else g
    t = state["t"] = state.get("t", 0) + 1
    if decoupled:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    m = state["m"] = betas[0] * state.get("m", 0.0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0.0) + (1 - betas[1]) * g * g
    if amsgrad:
        v = state["top"] = np.maximum(state.get("top", 0.0), v)
    return p - lr / (1 - betas[0] ** t) * m / (np.sqrt(v) / np.sqrt(1 - betas[1] ** t) + eps)


def optimizer(T, kind, params, options):
    options = dict(options)
    if kind == "sgd":
        return T.optim.SGD(params, **options)
    return (T.optim.AdamW if options.pop("decoupled", False) else T.optim.Adam)(params, **options)


CASES = [("sgd", o) for o in SGD] + [("adam", o) for o in ADAM]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=[f"{k}{i}" for i, (k, _) in enumerate(CASES)])
def test_fifty_steps(kind, options, dtype):
    rng = np.random.default_rng(1)
    start = [rng.standard_normal(s).astype(dtype) for s in SHAPES]
    params = [ccdl.tensor(p.copy()).requires_grad_() for p in start]
    opt = optimizer(ccdl, kind, params, options)
    rule = sgd if kind == "sgd" else adam
    expected, states = [p.astype(np.float64) for p in start], [{} for _ in start]
    for _ in range(STEPS):
        for i, p in enumerate(params):
            g = rng.standard_normal(SHAPES[i]).astype(dtype)
            p.grad = ccdl.tensor(g)
            expected[i] = rule(expected[i], g.astype(np.float64), states[i], **options)
        opt.step()
    for p, e in zip(params, expected):
        np.testing.assert_allclose(p.detach().cpu().numpy(), e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize(("kind", "options"), CASES, ids=[f"{k}{i}" for i, (k, _) in enumerate(CASES)])
def test_against_torch(kind, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(2)
    start = [rng.standard_normal(s) for s in SHAPES]
    ours = [ccdl.tensor(p.copy()).requires_grad_() for p in start]
    theirs = [torch.from_numpy(p.copy()).requires_grad_() for p in start]
    a, b = optimizer(ccdl, kind, ours, options), optimizer(torch, kind, theirs, options)
    for _ in range(STEPS):
        for p, q, s in zip(ours, theirs, SHAPES):
            g = rng.standard_normal(s)
            p.grad, q.grad = ccdl.tensor(g.copy()), torch.from_numpy(g.copy())
        a.step()
        b.step()
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.detach().cpu().numpy(), q.detach().cpu().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_moves_by_the_learning_rate(dtype):
    """The first Adam step is lr * sign(g), rounded once to the parameter's format."""
    p = ccdl.ones(100, dtype=getattr(ccdl, dtype)).requires_grad_()
    g = ccdl.linspace(-1, 1, 100).to(p.dtype)
    p.grad = g
    ccdl.optim.Adam([p], lr=0.125).step()
    np.testing.assert_allclose(p.detach().float().cpu().numpy(), 1 - 0.125 * np.sign(g.float().cpu().numpy()), rtol=1e-2)


def test_transposed_parameters_and_gradients():
    """Element order follows the tensors, not their memory."""
    base = ccdl.arange(12, dtype=ccdl.float64).reshape(3, 4)
    p = base.t().detach().clone().t().contiguous().t().requires_grad_()
    p.grad = ccdl.arange(12, dtype=ccdl.float64).reshape(4, 3)
    expected = p.detach().cpu().numpy() - 0.1 * p.grad.cpu().numpy()
    ccdl.optim.SGD([p], lr=0.1).step()
    np.testing.assert_allclose(p.detach().cpu().numpy(), expected, rtol=1e-15)


def test_many_parameters_and_versions():
    params = [ccdl.ones(5).requires_grad_() for _ in range(100)]
    for p in params:
        p.grad = ccdl.ones(5)
    before = params[0]._version
    opt = ccdl.optim.SGD(params, lr=0.5, momentum=0.9)
    opt.step()
    opt.step()
    assert params[0]._version > before
    for p in params:
        np.testing.assert_allclose(p.detach().cpu().numpy(), 1 - 0.5 - 0.5 * 1.9, rtol=1e-6)


def test_threads_do_not_change_bits():
    def run(threads):
        before = ccdl.get_num_threads()
        ccdl.set_num_threads(threads)
        try:
            ccdl.manual_seed(3)
            p = ccdl.randn(100003).requires_grad_()
            opt = ccdl.optim.AdamW([p], lr=0.01)
            for _ in range(3):
                p.grad = p.detach() * 0.5
                opt.step()
            return p.detach().cpu().numpy().tobytes()
        finally:
            ccdl.set_num_threads(before)

    assert run(1) == run(2)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda p: ccdl._C._fused_sgd_step([p], [], [], [], lr=0.1), "grads"),
        (lambda p: ccdl._C._fused_sgd_step([p], [ccdl.ones(4)], [], [], lr=0.1), "grads"),
        (lambda p: ccdl._C._fused_sgd_step([p], [ccdl.ones(3, dtype=ccdl.float64)], [], [], lr=0.1), "dtype"),
        (lambda p: ccdl._C._fused_sgd_step([p], [p], [], [], lr=0.1, momentum=0.9), "momentum_buffers"),
        (
            lambda p: ccdl._C._fused_adam_step(
                [p], [p], [p], [p], [], [0.0], lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8
            ),
            "steps",
        ),
    ],
)
def test_misuse_is_an_error(step, message):
    p = ccdl.ones(3)
    with pytest.raises((ValueError, RuntimeError), match=message):
        step(p)
    ccdl._C._fused_sgd_step([p], [ccdl.ones(3)], [], [], lr=0.5)
    assert p.tolist() == [0.5, 0.5, 0.5]
