"""Optimisers against the published update rules in NumPy over 50 steps; lecture notes' forms and figures; limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl import optim

STEPS = 50
SHAPES = [(3,), (1,), (40, 33), (0,), (17,), (20000,)]
TOLERANCE = {"float64": 1e-11, "float32": 5e-5}


def adagrad(p, g, s, t, lr, lr_decay=0.0, weight_decay=0.0, eps=1e-10, initial_accumulator_value=0.0):
    g = g + weight_decay * p
    s["sum"] = s.get("sum", initial_accumulator_value) + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)


def adadelta(p, g, s, t, lr, rho=0.9, eps=1e-6, weight_decay=0.0):
    g = g + weight_decay * p
    s["v"] = rho * s.get("v", 0.0) + (1 - rho) * g * g
    e = np.sqrt(s.get("a", 0.0) + eps) / np.sqrt(s["v"] + eps) * g
    s["a"] = rho * s.get("a", 0.0) + (1 - rho) * e * e
    return p - lr * e


def rmsprop(p, g, s, t, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, eps_inside_sqrt=False):
    g = g + weight_decay * p
    v = s["v"] = alpha * s.get("v", 0.0) + (1 - alpha) * g * g
    if centered:
        s["m"] = alpha * s.get("m", 0.0) + (1 - alpha) * g
        v = v - s["m"] ** 2
    u = g / (np.sqrt(v + eps) if eps_inside_sqrt else np.sqrt(v) + eps)
    if momentum:
        u = s["b"] = momentum * s.get("b", 0.0) + u
    return p - lr * u


def moments(g, s, beta1, beta2):
    s["m"] = beta1 * s.get("m", 0.0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0.0) + (1 - beta2) * g * g
    return s["m"], s["v"]


def adamax(p, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0.0) + (1 - betas[0]) * g
    s["u"] = np.maximum(betas[1] * s.get("u", 0.0), np.abs(g) + eps)
    return p - lr / (1 - betas[0] ** t) * s["m"] / s["u"]


def nadam(p, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3, decoupled_weight_decay=False):
    if decoupled_weight_decay:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    mu, after = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    s["P"] = np.float32(s.get("P", np.float32(1.0)) * np.float32(mu))  # the state keeps it in float32
    product = float(s["P"])
    m, v = moments(g, s, *betas)
    root = np.sqrt(v / (1 - betas[1] ** t)) + eps
    return p - lr * ((1 - mu) / (1 - product) * g + after / (1 - product * after) * m) / root


def radam(p, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled_weight_decay=False):
    if decoupled_weight_decay:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    m, v = moments(g, s, *betas)
    m = m / (1 - betas[0] ** t)
    rho = 2 / (1 - betas[1]) - 1
    now = rho - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if now <= 5:
        return p - lr * m
    r = math.sqrt((now - 4) * (now - 2) * rho / ((rho - 4) * (rho - 2) * now))
    return p - lr * m * r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)


def asgd(p, g, s, t, lr, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0):
    g = g + weight_decay * p
    eta = float(np.float32(s.get("eta", lr)))  # the state keeps eta and mu in float32
    mu = float(np.float32(s.get("mu", 1.0)))
    p = (1 - lambd * eta) * p - eta * g
    s["ax"] = p if mu == 1 else s["ax"] + mu * (p - s["ax"])
    s["eta"], s["mu"] = lr / (1 + lambd * lr * t) ** alpha, 1 / max(1, t - t0)
    return p


def rprop(p, g, s, t, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    kept = g * s.get("prev", 0.0 * g)
    factor = np.where(kept > 0, etas[1], np.where(kept < 0, etas[0], 1.0))
    size = s["size"] = np.clip(s.get("size", np.full_like(p, lr)) * factor, *step_sizes)
    g = s["prev"] = np.where(kept < 0, 0.0, g)
    return p - np.sign(g) * size


def lion(p, g, s, t, lr, betas=(0.9, 0.99), weight_decay=0.0):
    m = s.get("m", 0.0 * g)
    p = p * (1 - lr * weight_decay) - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return p


def lamb(p, g, s, t, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, max_trust_ratio=None):
    m, v = moments(g, s, *betas)
    u = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps) + weight_decay * p
    size, length = np.linalg.norm(p), np.linalg.norm(u)
    ratio = size / length if size > 0 and length > 0 else 1.0
    return p - lr * (ratio if max_trust_ratio is None else min(ratio, max_trust_ratio)) * u


def adafactor(p, g, s, t, lr, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0):
    eps1 = np.finfo(p.dtype).eps if eps[0] is None else eps[0]
    w, rms = t**beta2_decay, lambda x: np.sqrt(np.mean(x * x)) if x.size else 0.0
    alpha = max(eps[1], rms(p)) * min(lr, 1 / math.sqrt(t))
    p = p * (1 - lr * weight_decay)
    if g.ndim > 1:
        s["r"] = s.get("r", 0.0) * (1 - w) + w * np.mean(g * g, -1, keepdims=True)
        s["c"] = s.get("c", 0.0) * (1 - w) + w * np.mean(g * g, -2, keepdims=True)
        v = s["r"] @ s["c"] / np.maximum(np.mean(s["r"], -2, keepdims=True), eps1)
    else:
        v = s["v"] = s.get("v", 0.0) * (1 - w) + w * g * g
    u = g / np.sqrt(np.maximum(v, eps1 * eps1))
    return p - alpha / max(1.0, rms(u) / d) * u


def corrected(p, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad_corrected=True):
    m, v = moments(g + weight_decay * p, s, *betas)
    s["top"] = np.maximum(s.get("top", 0.0), v / (1 - betas[1] ** t))
    return p - lr * m / (1 - betas[0] ** t) / (np.sqrt(s["top"]) + eps)


def averaged(p, g, s, t, lr, momentum, averaged_momentum=True, weight_decay=0.0):
    s["b"] = momentum * s.get("b", 0.0) + (1 - momentum) * (g + weight_decay * p)
    return p - lr * s["b"]


RULES = [
    ("Adagrad", adagrad, dict(lr=0.1)),
    ("Adagrad", adagrad, dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.3)),
    ("Adadelta", adadelta, dict(lr=1.0)),
    ("Adadelta", adadelta, dict(lr=0.5, rho=0.7, eps=1e-3, weight_decay=0.1)),
    ("RMSprop", rmsprop, dict(lr=0.01)),
    ("RMSprop", rmsprop, dict(lr=0.01, alpha=0.9, momentum=0.9, centered=True, eps=0.1, weight_decay=0.1)),
    ("RMSprop", rmsprop, dict(lr=0.01, eps=1e-2, eps_inside_sqrt=True, momentum=0.5)),
    ("Adamax", adamax, dict(lr=0.01, betas=(0.8, 0.95), weight_decay=0.1)),
    ("NAdam", nadam, dict(lr=0.01)),
    ("NAdam", nadam, dict(lr=0.01, weight_decay=0.1, decoupled_weight_decay=True)),
    ("RAdam", radam, dict(lr=0.01)),
    ("RAdam", radam, dict(lr=0.01, betas=(0.8, 0.9), weight_decay=0.1, decoupled_weight_decay=True)),
    ("ASGD", asgd, dict(lr=0.05)),
    ("ASGD", asgd, dict(lr=0.05, lambd=0.1, t0=10, weight_decay=0.1)),
    ("Rprop", rprop, dict(lr=0.01)),
    ("Lion", lion, dict(lr=0.01, weight_decay=0.1)),
    ("LAMB", lamb, dict(lr=0.01)),
    ("LAMB", lamb, dict(lr=0.01, weight_decay=0.1, max_trust_ratio=0.5)),
    ("Adafactor", adafactor, dict(lr=0.05)),
    ("Adafactor", adafactor, dict(lr=0.05, beta2_decay=-0.5, d=1.5, eps=(1e-6, 0.01), weight_decay=0.1)),
    ("Adam", corrected, dict(lr=0.01, amsgrad_corrected=True, weight_decay=0.1)),
    ("SGD", averaged, dict(lr=0.1, momentum=0.9, averaged_momentum=True)),
]
IDS = [f"{name}{i}" for i, (name, _, _) in enumerate(RULES)]


def tensor(array):
    return ccdl.tensor(array.copy())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "rule", "options"), RULES, ids=IDS)
def test_fifty_steps(name, rule, options, dtype):
    rng = np.random.default_rng(1)
    shapes = [s for s in SHAPES if s != (0,)] if name == "Adafactor" else SHAPES
    start = [rng.standard_normal(s).astype(dtype) for s in shapes]
    params = [tensor(p).requires_grad_() for p in start]
    optimizer = getattr(optim, name)(params, **options)
    expected, states = [p.astype(np.float64) for p in start], [{} for _ in start]
    if name == "Adafactor" and dtype == "float32" and "eps" not in options:
        options = dict(options, eps=(float(np.finfo(np.float32).eps), 1e-3))
    for t in range(1, STEPS + 1):
        for i, p in enumerate(params):
            g = rng.standard_normal(shapes[i]).astype(dtype)
            p.grad = tensor(g)
            expected[i] = rule(expected[i], g.astype(np.float64), states[i], t, **options)
        optimizer.step()
    for p, e in zip(params, expected):
        np.testing.assert_allclose(p.detach().cpu().numpy(), e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize(("name", "rule", "options"), RULES, ids=IDS)
def test_maximize_is_the_negated_gradient(name, rule, options):
    ends = []
    for maximize in (False, True):
        p = ccdl.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=ccdl.float64).requires_grad_()
        optimizer = getattr(optim, name)([p], maximize=maximize, **options)
        for k in range(4):
            p.grad = ccdl.tensor([[0.3, -1.0], [k - 1.5, 0.7]], dtype=ccdl.float64) * (-1 if maximize else 1)
            optimizer.step()
        ends.append(p.tolist())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("name", "rule", "options"), RULES, ids=IDS)
def test_half_formats_round_a_float32_step(name, rule, options, dtype):
    """One step from equal values: the half step is the float32 step, rounded."""
    ends = []
    for kind in (ccdl.float32, getattr(ccdl, dtype)):
        p = ccdl.linspace(-2, 2, 64).reshape(8, 8).to(getattr(ccdl, dtype)).to(kind).requires_grad_()
        p.grad = ccdl.linspace(1, -1, 64).reshape(8, 8).to(getattr(ccdl, dtype)).to(kind)
        getattr(optim, name)([p], **options).step()
        ends.append(p.detach().float().cpu().numpy())
    np.testing.assert_allclose(ends[1], ends[0], rtol=2e-2, atol=2e-2)


GRADS = [1.0, 0.1, 0.5, -0.3]


def walk(make, grads=GRADS):
    w = nn.Parameter(ccdl.tensor([1.0], dtype=ccdl.float64))
    optimizer, seen = make([w]), []
    for g in grads:
        w.grad = ccdl.tensor([g], dtype=ccdl.float64)
        optimizer.step()
        seen.append(w.item())
    return seen


def test_figures_of_the_notes_forms():
    """The same four gradients from 1: what lecture notes print, beside PyTorch's convention."""
    adam = dict(lr=0.1, betas=(0.9, 0.9), eps=1e-8)
    for make, want in (
        (lambda p: optim.Adam(p, amsgrad_corrected=True, **adam), [0.900000, 0.847368, 0.795708, 0.767793]),
        (lambda p: optim.Adam(p, amsgrad=True, **adam), [0.900000, 0.827452, 0.745199, 0.695130]),
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, averaged_momentum=True), [0.99, 0.98, 0.966, 0.9564]),
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.9), [0.9, 0.809, 0.7221, 0.64689]),
        (lambda p: optim.RMSprop(p, lr=0.01, alpha=0.99, eps=1e-2, eps_inside_sqrt=True),
         [0.929289, 0.922218, 0.888811, 0.908517]),
        (lambda p: optim.RMSprop(p, lr=0.01, alpha=0.99, eps=1e-2), [0.909091, 0.900000, 0.858799, 0.882840]),
    ):
        assert walk(make) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("decoupled", [False, True], ids=["Adam", "AdamW"])
@pytest.mark.parametrize("amsgrad", [False, True], ids=["plain", "amsgrad"])
@pytest.mark.parametrize("maximize", [False, True], ids=["minimize", "maximize"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_pseudo_code_of_the_notes_appendix(decoupled, amsgrad, maximize, decay):
    """Line by line as printed there, AMSGrad on the corrected moment included."""
    rng = np.random.default_rng(3)
    theta, gamma, (beta1, beta2), eps = rng.standard_normal(9), 0.05, (0.8, 0.95), 1e-6
    p = tensor(theta).requires_grad_()
    kind = optim.AdamW if decoupled else optim.Adam
    optimizer = kind([p], lr=gamma, betas=(beta1, beta2), eps=eps, weight_decay=decay, maximize=maximize, amsgrad_corrected=amsgrad)
    m, v, v_max = 0.0, 0.0, 0.0
    for t in range(1, STEPS + 1):
        gradient = rng.standard_normal(9)
        p.grad = tensor(gradient)
        optimizer.step()
        g = -gradient if maximize else gradient
        if decoupled:
            theta = theta - gamma * decay * theta
        elif decay != 0:
            g = g + decay * theta
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        if amsgrad:
            v_max = np.maximum(v_max, v_hat)
            theta = theta - gamma * m_hat / (np.sqrt(v_max) + eps)
        else:
            theta = theta - gamma * m_hat / (np.sqrt(v_hat) + eps)
    np.testing.assert_allclose(p.detach().cpu().numpy(), theta, rtol=1e-12, atol=1e-13)


def test_look_ahead_of_nesterov():
    """The notes' W <- W - lr V with the gradient taken at W - beta V; PyTorch keeps W - beta V itself."""
    seen, w, v = [], 1.0, 0.0
    for _ in range(4):
        v = 0.9 * v + 3 * (w - 0.1 * 0.9 * v)
        w -= 0.1 * v
        seen.append(w - 0.1 * 0.9 * v)
    p = nn.Parameter(ccdl.tensor([1.0], dtype=ccdl.float64))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True)
    ours = []
    for _ in range(4):
        p.grad = 3 * p.detach()
        optimizer.step()
        ours.append(p.item())
    assert ours == pytest.approx(seen, abs=1e-12)
    assert ours == pytest.approx([0.43, -0.0581, -0.348173, -0.426467], abs=1e-6)


def test_asgd_average_is_the_mean_after_t0():
    w = nn.Parameter(ccdl.tensor([0.0], dtype=ccdl.float64))
    optimizer, seen = optim.ASGD([w], lr=0.125, lambd=0.0, t0=2), []
    for g in (1.0, 2.0, -4.0, 8.0, 1.0):
        w.grad = ccdl.tensor([g], dtype=ccdl.float64)
        optimizer.step()
        seen.append(w.item())
    assert optimizer.state[w]["ax"].item() == pytest.approx(np.mean(seen[3:]), rel=1e-6)


def test_bad_options():
    p = nn.Parameter(ccdl.ones(2))
    for make, text in (
        (lambda: optim.Adagrad([p], lr=-1), "learning rate"),
        (lambda: optim.Adagrad([p], lr_decay=-1), "lr_decay"),
        (lambda: optim.Adagrad([p], initial_accumulator_value=-1), "initial_accumulator_value"),
        (lambda: optim.Adadelta([p], rho=1.5), "rho"),
        (lambda: optim.RMSprop([p], alpha=-1), "alpha"),
        (lambda: optim.RMSprop([p], momentum=-1), "momentum"),
        (lambda: optim.Adamax([p], betas=(0.9, 1.0)), "index 1"),
        (lambda: optim.NAdam([p], momentum_decay=-1), "momentum_decay"),
        (lambda: optim.RAdam([p], betas=(-0.1, 0.9)), "index 0"),
        (lambda: optim.ASGD([p], weight_decay=-1), "weight_decay"),
        (lambda: optim.Rprop([p], etas=(1.2, 0.5)), "eta values"),
        (lambda: optim.LBFGS([p], lr=-1), "learning rate"),
        (lambda: optim.LBFGS([{"params": [p]}, {"params": [nn.Parameter(ccdl.ones(1))]}]), "parameter groups"),
        (lambda: optim.Adafactor([p], lr=-1), "Learning rate should be >= 0"),
        (lambda: optim.Adafactor([p], beta2_decay=0.1), "beta2_decay"),
        (lambda: optim.Adafactor([p], d=0.5), "threshold d"),
        (lambda: optim.Lion([p], betas=(0.9, 1.0)), "index 1"),
        (lambda: optim.LAMB([p], eps=-1), "epsilon"),
        (lambda: optim.LAMB([p], max_trust_ratio=0.0), "max_trust_ratio"),
        (lambda: optim.Muon([p]), "only supports 2D"),
        (lambda: optim.Adam([p], lr=ccdl.ones(2)), "1-element"),
        (lambda: optim.SGD([p], lr=0.1, momentum=0.9, dampening=0.1, averaged_momentum=True), "averaged_momentum"),
        (lambda: optim.NAdam([p], lr=math.nan), "learning rate"),
    ):
        with pytest.raises(ValueError, match=text):
            make()
    for name in ("Adagrad", "Adam", "SGD"):
        with pytest.raises(RuntimeError, match="differentiable"):
            getattr(optim, name)([p], lr=0.1, fused=True, differentiable=True)
    with pytest.raises(TypeError, match="closure"):
        optim.LBFGS([p]).step()


def test_misuse_of_the_rule_step():
    p, g = ccdl.ones(3), ccdl.ones(3)

    def step(rule="Adagrad", states=None, steps=(1.0,), scalars=(), numbers=(0.0, 0.0), grads=None):
        ccdl._C._fused_rule_step(rule, [p], [g] if grads is None else grads, [ccdl.zeros(3)] if states is None else states,
                                 [], [], list(steps), list(scalars), [], lr=0.5, numbers=list(numbers))

    for bad, text in (
        (dict(rule="Nothing"), "no rule"), (dict(states=[]), "states0"), (dict(steps=[0.0]), "count from 1"),
        (dict(steps=[]), "steps"), (dict(rule="Lerp"), "scalars"), (dict(numbers=[0.0] * 6), "at most 5"),
        (dict(grads=[ccdl.ones(4)]), "size"), (dict(states=[ccdl.zeros(3, dtype=ccdl.float64)]), "dtype"),
        (dict(rule="RmsProp", numbers=[0.9, 0.1, 0.9]), "momentum buffer"),
    ):
        with pytest.raises((ValueError, RuntimeError), match=text):
            step(**bad)
    step()
    assert p.tolist() == [0.5] * 3


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_minimum_of_a_quadratic(line_search):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    a, b = root @ root.T + 6 * np.eye(6), rng.standard_normal(6)
    w = nn.Parameter(ccdl.zeros(6, dtype=ccdl.float64))
    matrix, vector = tensor(a), tensor(b)
    optimizer = optim.LBFGS([w], line_search_fn=line_search, max_iter=40, tolerance_grad=1e-12, tolerance_change=1e-16)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * w @ matrix @ w - vector @ w
        loss.backward()
        return loss

    first = optimizer.step(closure)
    optimizer.step(closure)
    assert float(first) == 0.0
    np.testing.assert_allclose(w.detach().cpu().numpy(), np.linalg.solve(a, b), rtol=1e-7)


@pytest.mark.parametrize("options", [{}, {"line_search_fn": "strong_wolfe"}, {"line_search_fn": "strong_wolfe", "history_size": 2}])
def test_lbfgs_against_pytorch(options):
    """Rosenbrock's valley, the path step by step."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    paths = []
    for T in (ccdl, torch):
        w = T.nn.Parameter(T.tensor([-0.5, 0.8], dtype=T.float64))
        lr = 1.0 if options else 0.05
        optimizer, path = T.optim.LBFGS([w], lr=lr, max_iter=4, **options), []

        def closure(w=w, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
            loss.backward()
            return loss

        for _ in range(8):
            optimizer.step(closure)
            path.append(w.tolist())
        paths.append(path)
        assert set(optimizer.state_dict()["state"][0]) >= {"d", "t", "old_dirs", "old_stps", "ro", "H_diag", "n_iter"}
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-6, atol=1e-8)


def test_muon_steps_are_nearly_orthogonal_and_as_pytorch():
    w = nn.Parameter(ccdl.zeros(6, 4))
    ccdl.manual_seed(0)
    w.grad = ccdl.randn(6, 4)
    optim.Muon([w], lr=1.0, weight_decay=0.0).step()
    values = np.linalg.svd(w.detach().cpu().numpy(), compute_uv=False) / math.sqrt(1.5)
    assert values.min() > 0.5 and values.max() < 1.4
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((6, 4)), rng.standard_normal((3, 6, 4))
    for options in ({}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.3}):
        ours, theirs = nn.Parameter(ccdl.tensor(start).float()), torch.nn.Parameter(torch.tensor(start).float())
        a, b = optim.Muon([ours], lr=0.1, **options), torch.optim.Muon([theirs], lr=0.1, **options)
        for g in grads:
            ours.grad, theirs.grad = ccdl.tensor(g).float(), torch.tensor(g).float()
            a.step()
            b.step()
        np.testing.assert_allclose(ours.detach().cpu().numpy(), theirs.detach().numpy(), atol=0.02)


def test_loading_keeps_numbers_of_the_state_on_the_host():
    w = nn.Parameter(ccdl.ones(3, dtype=ccdl.float64))
    for make in (lambda: optim.NAdam([w]), lambda: optim.ASGD([w])):
        a = make()
        w.grad = ccdl.ones(3, dtype=ccdl.float64)
        a.step()
        b = make()
        b.load_state_dict(a.state_dict())
        for key in a._host_state:
            assert b.state[w][key].device.type == "cpu" and b.state[w][key].item() == a.state[w][key].item()
        b.step()


def test_groups_may_have_their_own_options():
    a, b = nn.Parameter(ccdl.ones(1)), nn.Parameter(ccdl.ones(1))
    optimizer = optim.RMSprop([{"params": [a], "momentum": 0.9}, {"params": [b], "centered": True, "lr": 0.5}], lr=0.01)
    a.grad = b.grad = ccdl.ones(1)
    optimizer.step()
    assert set(optimizer.state[a]) == {"step", "square_avg", "momentum_buffer"}
    assert set(optimizer.state[b]) == {"step", "square_avg", "grad_avg"}
    optimizer.param_groups[1]["momentum"] = 0.5  # a buffer appears when it is asked for
    optimizer.step()
    assert "momentum_buffer" in optimizer.state[b]


def test_threads_do_not_change_bits():
    def run(threads, name, options):
        before = ccdl.get_num_threads()
        ccdl.set_num_threads(threads)
        try:
            ccdl.manual_seed(3)
            p = ccdl.randn(60003).requires_grad_()
            optimizer = getattr(optim, name)([p], **options)
            for _ in range(2):
                p.grad = p.detach() * 0.5
                optimizer.step()
            return p.detach().cpu().numpy().tobytes()
        finally:
            ccdl.set_num_threads(before)

    for name, _, options in RULES:
        assert run(1, name, options) == run(2, name, options), name


def test_nadam_is_differentiable_in_its_product():
    """By central differences: the update depends on the product of the momenta so far."""
    p0, g, h = ccdl.tensor([1.0, 2.0], dtype=ccdl.float64), ccdl.tensor([0.3, 0.7], dtype=ccdl.float64), 1e-6

    def moved(product):
        p = p0.clone().requires_grad_().clone()
        p.grad = g.clone()
        optimizer = ccdl.optim.NAdam([p], lr=0.9, differentiable=True)
        optimizer.state[p] = {"step": ccdl.tensor(10.0, device="cpu"), "exp_avg": g * 0.5, "exp_avg_sq": g * g, "mu_product": product}
        optimizer.step()
        return p.sum()

    at = ccdl.tensor(0.5, dtype=ccdl.float64, requires_grad=True)
    (grad,) = ccdl.autograd.grad(moved(at.clone()), at)
    with ccdl.no_grad():
        numeric = (moved(ccdl.tensor(0.5 + h, dtype=ccdl.float64)) - moved(ccdl.tensor(0.5 - h, dtype=ccdl.float64))) / (2 * h)
    assert grad.item() != 0
    assert grad.item() == pytest.approx(numeric.item(), rel=1e-6)
