"""How vmap runs a function: once for all samples, once per sample where Python needs a number of one, never past
the rules; nesting, chunks, random numbers, writes, per-sample gradients of whole models."""

from __future__ import annotations

import re

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl import _C, func
from ccdl._batching import core

VALUES = {"Tensor": None, "Number": None, "Operand": None, "int": 1, "float": 1.0, "bool": True, "Scalar": 1, "str": "mean", "dtype": ccdl.float32,
          "device": "cpu", "object": None, "Generator": None, "memory_format": ccdl.contiguous_format}


class Seen(Exception):
    pass


def test_no_call_goes_past_the_rules(monkeypatch):
    """Every function and method that takes a tensor, given a value inside vmap, asks for its rule."""

    def seen(*_):
        raise Seen

    past, count = [], 0
    frame = core.Frame(3, "different")
    value = core.wrapped(ccdl.ones(3, 2, 2), frame)
    monkeypatch.setattr(core, "dispatch", seen)
    for kind, name, text in _C._signatures():
        args, taken = [], False
        for part in re.findall(r"(?:\[[^\]]*\]|[^,])+", text[text.index("(") + 1 : text.rindex(") ->")]):
            part = part.strip()
            if not part or part == "*" or "=" in part:
                break
            type_text = part.split()[0].rstrip("*")
            plain = type_text.replace("?", "")
            if plain.startswith(("Tensor", "Number", "Operand")):
                args.append([value] if "[" in plain else value)
                taken = True
            elif "[" in plain:
                args.append([VALUES[plain[: plain.index("[")]]])
            else:
                args.append(VALUES[plain])
        if not taken:
            continue
        count += 1
        try:
            getattr(_C.Tensor if kind == "method" else _C, name)(*args)
            past.append(text)
        except Seen:
            pass
        except Exception as error:
            past.append(f"{text}: {error}")
    assert not past and count > 900
    for operator in (lambda x: x + 1, lambda x: 2 ** x, lambda x: x < 0, lambda x: -x, lambda x: x @ x, lambda x: x[0], lambda x: ccdl.ones(2)[x],
                     lambda x: abs(x), lambda x: ~x, lambda x: list(x), lambda x: x.T, lambda x: x.mT, lambda x: x.__iadd__(1), lambda x: x.__setitem__(0, 1)):
        with pytest.raises(Seen):
            operator(value)


def refused(x):
    return [lambda: bool(x), lambda: float(x), lambda: int(x), lambda: x.item(), lambda: x.tolist(), lambda: x.numpy(),
            lambda: ccdl.Tensor(x), lambda: ccdl.ones(2).__iadd__(x), lambda: ccdl.ones(2).__setitem__(0, x), lambda: nn.Parameter(x), lambda: ccdl.ones(2).add_(x),
            lambda: setattr(ccdl.ones(2), "data", x), lambda: setattr(ccdl.ones(2), "grad", x), lambda: [1, 2][x.int()], lambda: ccdl.equal(x, x),
            lambda: ccdl.ones(2).copy_(x), lambda: ccdl.add(x, x, out=ccdl.ones(()))]


def test_what_needs_one_number_is_refused_not_guessed():
    x = core.wrapped(ccdl.ones(3), core.Frame(3, "error"))
    for call in refused(x):
        with pytest.raises(core.NoBatch):
            call()


def counted(f):
    runs = []
    return runs, lambda *a: (runs.append(1), f(*a))[1]


def written(v):
    out = ccdl.zeros(2)
    out[0] = v[1]
    return out


@pytest.mark.parametrize("f,want", [
    (lambda v: v * 2 if v.sum() > 4 else v, [[0, 1], [4, 6], [8, 10]]),
    (written, [[1, 0], [3, 0], [5, 0]]),
    (lambda v: v[v > 2].sum(), [0, 3, 9]),
    (lambda v: v * v.sum().item(), [[0, 1], [10, 15], [36, 45]]),
    (lambda v: ccdl.tensor([float(v[0]), 1.0]), [[0, 1], [2, 1], [4, 1]]),
])
def test_what_python_decides_runs_per_sample(f, want):
    runs, g = counted(f)
    assert ccdl.vmap(g)(ccdl.arange(6.0).reshape(3, 2)).tolist() == want and len(runs) == 4


def test_writes_into_values():
    def f(v):
        out = ccdl.zeros_like(v)
        out[0] = v[1]
        out += v
        out[1] *= 3
        out[out > 10] = -1
        return out.add_(v).clamp_(max=20)

    x = ccdl.arange(6.0).reshape(3, 2)
    runs, g = counted(f)
    assert ccdl.vmap(g)(x).tolist() == [f(row).tolist() for row in x] and len(runs) == 1
    assert x.tolist() == [[0, 1], [2, 3], [4, 5]]
    y = x.clone()
    assert ccdl.vmap(lambda v: v.mul_(2))(y) is not None and y.tolist() == (x * 2).tolist()
    z = ccdl.zeros(3, 4)
    ccdl.vmap(lambda v, i: v.__setitem__(i, 1.0) or v)(z, ccdl.tensor([0, 2, 3]))
    assert z.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_nested_maps_and_chunks():
    x = ccdl.randn(3, 4, dtype=ccdl.float64)
    runs, g = counted(lambda a, b: a * b.sin())
    outer = ccdl.vmap(lambda v: ccdl.vmap(lambda a: ccdl.vmap(g, in_dims=(None, 0))(a, v))(v))(x)
    np.testing.assert_allclose(outer.cpu().numpy(), (x[:, :, None] * x[:, None].sin()).cpu().numpy(), rtol=1e-12)
    assert len(runs) == 1
    for size in (1, 2, 3, 5):
        runs, g = counted(lambda v: {"a": v * 2, "b": (v.sum(), v)})
        found = ccdl.vmap(g, in_dims=1, out_dims={"a": 1, "b": (0, -1)}, chunk_size=size)(x)
        np.testing.assert_allclose(found["a"].cpu().numpy(), 2 * x.cpu().numpy(), rtol=1e-12)
        assert len(runs) == -(-4 // size) and found["b"][0].shape == (4,) and found["b"][1].tolist() == x.tolist()
    turned = ccdl.vmap(lambda v: v * 2, out_dims=-1, chunk_size=2)(x)
    np.testing.assert_allclose(turned.cpu().numpy(), 2 * x.T.cpu().numpy(), rtol=1e-12)
    second = ccdl.vmap(ccdl.vmap(func.grad(func.grad(lambda v: v**4))))(x)
    np.testing.assert_allclose(second.cpu().numpy(), (12 * x**2).cpu().numpy(), rtol=1e-10)
    each = ccdl.vmap(lambda v: ccdl.vmap(func.grad(lambda a: (a * v).sum() ** 2))(v))(x)
    want = ccdl.stack([ccdl.stack([2 * (a * v).sum() * v.sum() for a in v]) for v in x])
    np.testing.assert_allclose(each.cpu().numpy(), want.cpu().numpy(), rtol=1e-10)


def test_random_numbers():
    x = ccdl.ones(64, 16)
    for draw in (lambda v: F.dropout(v, 0.5), lambda v: v * ccdl.rand(16), lambda v: v + ccdl.randn_like(v), lambda v: ccdl.bernoulli(v * 0.5),
                 lambda v: v.clone().uniform_(), lambda v: F.feature_alpha_dropout(v[:, None], 0.5, training=True)[:, 0], lambda v: ccdl.multinomial(v, 5).float(),
                 lambda v: ccdl.randperm(16) + v, lambda v: ccdl.normal(0.0, 1.0, (4,)) * v[0]):
        runs, g = counted(draw)
        ccdl.manual_seed(1)
        each = ccdl.vmap(g, randomness="different")(x)
        assert len(runs) == 1 and len({tuple(r) for r in each.tolist()}) > 30
        same = ccdl.vmap(draw, randomness="same")(x)
        assert len({tuple(r) for r in same.tolist()}) == 1
        state = ccdl.get_rng_state().tolist()
        with pytest.raises(RuntimeError, match="randomness error mode"):
            ccdl.vmap(draw)(x)
        assert ccdl.get_rng_state().tolist() == state
    assert ccdl.vmap(lambda v: F.dropout(v, 0.5, training=False))(x).tolist() == x.tolist()


class Square(ccdl.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return a * a

    @staticmethod
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]


class Doubled(Square):
    @staticmethod
    def vmap(info, in_dims, a):
        assert info.batch_size == 3 and in_dims == (0,)
        return a * 2, 0


def test_own_functions():
    x = ccdl.randn(3, 2)
    np.testing.assert_allclose(ccdl.vmap(Square.apply)(x).cpu().numpy(), (x * x).cpu().numpy())
    np.testing.assert_allclose(ccdl.vmap(func.grad(lambda v: Square.apply(v).sum()))(x).cpu().numpy(), (2 * x).cpu().numpy())
    assert ccdl.vmap(Doubled.apply)(x).tolist() == (x * 2).tolist()


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = c = x.new_zeros(1, 4)
        for t in range(x.shape[0]):
            h, c = self.cell(x[t : t + 1], (h, c))
        return self.out(h)[0]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attention, self.out = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        y = self.norm(x)[None]
        return self.out((x + self.attention(y, y, y, need_weights=False)[0][0]).mean(0))


MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (6,)),
    "cnn": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, stride=2),
                                  nn.GELU(), nn.Flatten(0), nn.Linear(6, 3)), (1, 2, 6, 6)),
    "1d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3, dilation=2), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten(0), nn.Linear(4, 3)), (2, 9)),
    "lstm cell": (Cell, (5, 3)),
    "attention": (Block, (5, 8)),
    "embedding": (lambda: nn.Sequential(nn.Embedding(7, 4), nn.Flatten(0), nn.Linear(12, 3)), None),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_per_sample_in_one_run(name):
    make, shape = MODELS[name]
    ccdl.manual_seed(3)
    net = make().double()
    x = ccdl.randint(0, 7, (4, 3)) if shape is None else ccdl.randn(4, *shape, dtype=ccdl.float64)
    t = ccdl.tensor([0, 2, 1, 2])[:, None] % net(x[0]).shape[-1]
    parameters = {k: v.detach() for k, v in net.named_parameters()}

    def loss(p, x, t):
        return F.cross_entropy(func.functional_call(net, p, (x,))[None], t)

    runs, g = counted(func.grad(loss))
    core.looped.clear()
    each = ccdl.vmap(g, in_dims=(None, 0, 0))(parameters, x, t)
    assert len(runs) == 1 and not core.looped
    for i in range(4):
        want = func.grad(loss)(parameters, x[i], t[i])
        for k in parameters:
            np.testing.assert_allclose(each[k][i].cpu().numpy(), want[k].cpu().numpy(), rtol=1e-8, atol=1e-11, err_msg=k)
    # and a derivative of those: of their squares, by the parameters
    outer = func.grad(lambda p: sum((v**2).sum() for v in ccdl.vmap(func.grad(loss), in_dims=(None, 0, 0))(p, x, t).values()))(parameters)
    slow = func.grad(lambda p: sum((v**2).sum() for i in range(4) for v in func.grad(loss)(p, x[i], t[i]).values()))(parameters)
    for k in parameters:
        np.testing.assert_allclose(outer[k].cpu().numpy(), slow[k].cpu().numpy(), rtol=1e-7, atol=1e-10, err_msg=k)


def test_ensembles_with_batch_norm_in_training():
    models = [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double() for _ in range(3)]
    parameters, buffers = func.stack_module_state(models)
    x = ccdl.randn(5, 3, dtype=ccdl.float64)
    found = ccdl.vmap(lambda p, b: func.functional_call(models[0], (p, b), (x,)))(parameters, buffers)
    for i, model in enumerate(models):
        np.testing.assert_allclose(found[i].detach().cpu().numpy(), model(x).detach().cpu().numpy(), rtol=1e-10)
        np.testing.assert_allclose(buffers["1.running_var"][i].cpu().numpy(), model[1].running_var.cpu().numpy(), rtol=1e-12)
    assert buffers["1.num_batches_tracked"].tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="Batch norm got a batched tensor"):
        ccdl.vmap(models[0])(ccdl.randn(2, 5, 3, dtype=ccdl.float64))


def test_jacobians_run_the_function_twice():
    a = ccdl.randn(5, 4, dtype=ccdl.float64)
    x = ccdl.randn(4, dtype=ccdl.float64)
    runs, g = counted(lambda v: (ccdl.tanh(a @ v), v.sum()))
    rows = func.jacrev(g)(x)
    assert len(runs) == 2
    np.testing.assert_allclose(rows[0].cpu().numpy(), ((1 - ccdl.tanh(a @ x) ** 2)[:, None] * a).cpu().numpy(), rtol=1e-10)
    assert rows[1].tolist() == [1.0] * 4
    for size in (1, 2, 4):
        np.testing.assert_allclose(func.jacrev(g, chunk_size=size)(x)[0].cpu().numpy(), rows[0].cpu().numpy(), rtol=1e-12)
    # a decision the copies agree on, and numbers of the generator, are those of the first run
    kept = func.jacrev(lambda v: v * 3 if v[0] == x[0] else v)(x)
    assert kept.tolist() == (3 * ccdl.eye(4)).tolist()
    ccdl.manual_seed(5)
    drawn = func.jacrev(lambda v: v * ccdl.rand(4))(x)
    ccdl.manual_seed(5)
    np.testing.assert_allclose(drawn.cpu().numpy(), np.diag(ccdl.rand(4).cpu().numpy()), rtol=1e-6)
    seen = ccdl.zeros(4, dtype=ccdl.float64)

    def writes(v):
        seen.copy_(v.detach())
        return v * 2

    assert func.jacrev(writes)(x).tolist() == (2 * ccdl.eye(4)).tolist() and seen.tolist() == x.tolist()
    h = func.hessian(lambda v: ccdl.tanh(a @ v).pow(2).sum())(x)
    slow = ccdl.stack([ccdl.autograd.grad(func.grad(lambda v: ccdl.tanh(a @ v).pow(2).sum())(y)[i], y)[0]
                       for i in range(4) for y in [x.clone().requires_grad_()]])
    np.testing.assert_allclose(h.cpu().numpy(), slow.cpu().numpy(), rtol=1e-9)


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((4, 3, 5), (5, 2), (4, 5, 2), (4, 2, 2, 6, 6), (3, 2, 3, 3))]
    results = []
    for T in (ccdl, torch):
        a, b, d, image, w = map(T.tensor, arrays)
        Fn, vmap, grad = T.nn.functional, T.vmap, T.func.grad
        results.append([t.tolist() for t in (
            vmap(T.matmul, in_dims=(0, None))(a, b), vmap(T.matmul, out_dims=1)(a, d), vmap(vmap(T.dot), in_dims=(0, None))(a, a[0]),
            vmap(grad(lambda w, x: Fn.conv2d(x, w, padding=1).square().sum()), in_dims=(None, 0))(w, image),
            vmap(T.func.jacrev(lambda v: T.sin(v).sum(0)))(a), vmap(T.func.hessian(lambda v: (v.sum(0) ** 3).sum()))(a[:, :, :2]),
            vmap(T.func.jacfwd(T.tanh))(b), vmap(lambda v, i: v[i], in_dims=(0, None))(a, T.tensor([2, 0])),
            vmap(lambda v: T.func.vjp(T.sin, v)[1](T.ones_like(v))[0])(a), vmap(lambda v: T.func.jvp(T.sin, (v,), (v,))[1])(a),
        )])
    for mine, theirs in zip(*results):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)


def test_rules_are_of_calls_that_exist():
    own = set(core.IN_PLACE) | {"__getitem__", "__setitem__"}
    assert not [n for n in core.RULES if n not in own and not hasattr(_C, n) and not hasattr(_C.Tensor, n)]
    assert len(core.RULES) > 500


def test_hooks_see_gradients_of_one_sample():
    seen = []

    def f(v):
        y = v * 2
        y.register_hook(lambda g: (seen.append(tuple(g.shape)), g * 10)[1])
        return y.sum()

    x = ccdl.ones(3, 2)
    assert ccdl.vmap(func.grad(f))(x).tolist() == [[20.0] * 2] * 3 and seen == [(2,)]
