"""vmap, jvp, jacfwd and their nesting, against loops, NumPy and, where it is installed, PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl import func


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_dims_in_and_out():
    a, b = array(4, 3), array(3, 4, seed=1)
    found = ccdl.vmap(ccdl.dot, in_dims=(0, 1))(ccdl.tensor(a), ccdl.tensor(b))
    np.testing.assert_allclose(found.cpu().numpy(), np.einsum("ij,ji->i", a, b), rtol=1e-12)
    shared = ccdl.vmap(ccdl.dot, in_dims=(0, None))(ccdl.tensor(a), ccdl.tensor(b[:, 0].copy()))
    np.testing.assert_allclose(shared.cpu().numpy(), a @ b[:, 0], rtol=1e-12)
    x = array(2, 5, 3, seed=2)
    for out in (0, 1, -1, 2):
        y = ccdl.vmap(lambda v: v.t(), in_dims=1, out_dims=out)(ccdl.tensor(x))
        np.testing.assert_array_equal(y.cpu().numpy(), np.stack([x[:, i].T for i in range(5)], out))
    twice = ccdl.vmap(ccdl.vmap(ccdl.sum))(ccdl.tensor(x))
    np.testing.assert_allclose(twice.cpu().numpy(), x.sum(-1), rtol=1e-12)
    assert ccdl.vmap(lambda v: v.sum(), in_dims=-1)(ccdl.tensor(x)).shape == (3,)


def test_nested_containers_keywords_and_shared_outputs():
    x, y = ccdl.tensor(array(3, 2)), ccdl.tensor(array(2, seed=1))
    both = {"a": x, "b": [y, 2.0]}
    found = ccdl.vmap(lambda d, scale: {"p": d["a"] * d["b"][0] * d["b"][1] * scale, "q": (d["a"].sum(),)},
                      in_dims=({"a": 0, "b": None},))(both, scale=y)
    np.testing.assert_allclose(found["p"].cpu().numpy(), (2 * x * y * y).cpu().numpy(), rtol=1e-12)
    assert found["q"][0].shape == (3,)
    same, each = ccdl.vmap(lambda v: (y * 2, v), out_dims=(None, 1))(x)
    assert same.shape == (2,) and each.shape == (2, 3)
    assert ccdl.vmap(lambda v: y, out_dims=0)(x).shape == (3, 2)
    empty = ccdl.vmap(lambda v: (v.sum(), v), out_dims=(0, 1))(ccdl.zeros(0, 2))
    assert empty[0].shape == (0,) and empty[1].shape == (2, 0)


def test_gradients_pass_and_per_sample_gradients():
    net = nn.Linear(3, 1).double()
    x, t = ccdl.tensor(array(5, 3)), ccdl.tensor(array(5, 1, seed=1))
    parameters = {k: v.detach() for k, v in net.named_parameters()}

    def loss(p, x, t):
        return (func.functional_call(net, p, (x,)) - t).square().sum()

    each = ccdl.vmap(func.grad(loss), in_dims=(None, 0, 0))(parameters, x, t)
    residual = 2 * (net(x) - t).detach().cpu().numpy()
    np.testing.assert_allclose(each["weight"].cpu().numpy(), residual[:, :, None] * x.cpu().numpy()[:, None], rtol=1e-10)
    np.testing.assert_allclose(each["bias"].cpu().numpy(), residual, rtol=1e-10)
    w = ccdl.tensor(array(4, 3), requires_grad=True)
    ccdl.vmap(lambda row: row.square().sum())(w).sum().backward()
    np.testing.assert_allclose(w.grad.cpu().numpy(), 2 * w.detach().cpu().numpy(), rtol=1e-12)


def test_an_ensemble_of_stacked_models():
    models = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double() for _ in range(3)]
    parameters, buffers = func.stack_module_state(models)
    x = ccdl.tensor(array(5, 3))
    found = ccdl.vmap(lambda p, b: func.functional_call(models[0], (p, b), (x,)))(parameters, buffers)
    for i, model in enumerate(models):
        np.testing.assert_allclose(found[i].detach().cpu().numpy(), model(x).detach().cpu().numpy(), rtol=1e-12)


def test_randomness():
    x = ccdl.ones(4, 3)
    ccdl.manual_seed(0)
    different = ccdl.vmap(lambda v: v * ccdl.rand(3), randomness="different")(x)
    same = ccdl.vmap(lambda v: v * ccdl.rand(3), randomness="same")(x)
    assert len({tuple(r) for r in different.tolist()}) == 4 and len({tuple(r) for r in same.tolist()}) == 1
    state = ccdl.get_rng_state().tolist()
    with pytest.raises(RuntimeError, match="randomness error mode"):
        ccdl.vmap(lambda v: v + ccdl.randn(3))(x)
    assert ccdl.get_rng_state().tolist() == state


BAD = [
    (ValueError, "same size", lambda x: ccdl.vmap(ccdl.dot)(x, ccdl.ones(4, 2))),
    (ValueError, "in_dim=2", lambda x: ccdl.vmap(ccdl.sum, in_dims=2)(x)),
    (ValueError, "expected `in_dims`", lambda x: ccdl.vmap(ccdl.sum, in_dims="a")(x)),
    (ValueError, "not compatible", lambda x: ccdl.vmap(ccdl.sum, in_dims=(0, 0))(x)),
    (ValueError, "at least one Tensor", lambda x: ccdl.vmap(ccdl.sum, in_dims=(None,))(x)),
    (ValueError, "non-Tensor", lambda x: ccdl.vmap(ccdl.sum)(2.0)),
    (ValueError, "no inputs", lambda x: ccdl.vmap(ccdl.sum)()),
    (ValueError, "only return Tensors", lambda x: ccdl.vmap(lambda v: 2.0)(x)),
    (ValueError, "out_dims", lambda x: ccdl.vmap(lambda v: (v, v), out_dims=(0,))(x)),
    (ValueError, "out_dims", lambda x: ccdl.vmap(lambda v: v, out_dims="a")(x)),
    (IndexError, "out of range", lambda x: ccdl.vmap(lambda v: v, out_dims=5)(x)),
    (ValueError, "out_dim is None", lambda x: ccdl.vmap(lambda v: v, out_dims=None)(x * ccdl.arange(3.0).unsqueeze(1))),
    (RuntimeError, "randomness", lambda x: ccdl.vmap(lambda v: v, randomness="x")(x)),
    (ValueError, "chunk_size", lambda x: ccdl.vmap(lambda v: v, chunk_size=0)(x)),
    (RuntimeError, "tuple", lambda x: func.jvp(ccdl.sin, x, x)),
    (RuntimeError, "structure", lambda x: func.jvp(ccdl.sin, (x,), (x, x))),
    (RuntimeError, "size", lambda x: func.jvp(ccdl.sin, (x,), (ccdl.ones(3),))),
    (RuntimeError, "Tensor", lambda x: func.jvp(lambda v: 2.0, (x,), (x,))),
    (RuntimeError, "strict", lambda x: func.jvp(lambda v: ccdl.ones(2), (x,), (x,), strict=True)),
    (ValueError, "chunk_size", lambda x: func.jacrev(ccdl.sin, chunk_size=-1)),
    (RuntimeError, "randomness", lambda x: func.jacfwd(ccdl.sin, randomness="x")),
    (RuntimeError, "remove", lambda x: func.functionalize(ccdl.sin, remove="x")),
]


@pytest.mark.parametrize("kind,text,call", BAD)
def test_bad_calls(kind, text, call):
    with pytest.raises(kind, match=text):
        call(ccdl.ones(3, 2))
    assert ccdl.vmap(ccdl.sum)(ccdl.ones(3, 2)).tolist() == [2.0] * 3


def test_jvp_and_linearize():
    x, v = array(4), array(4, seed=1)

    def f(a, d):
        return ccdl.sin(a) * d["w"], a.sum()

    primals = (ccdl.tensor(x), {"w": ccdl.tensor(x + 2)})
    tangents = (ccdl.tensor(v), {"w": ccdl.tensor(2 * v)})
    (y, s), (dy, ds) = func.jvp(f, primals, tangents)
    np.testing.assert_allclose(y.cpu().numpy(), np.sin(x) * (x + 2), rtol=1e-12)
    np.testing.assert_allclose(dy.cpu().numpy(), np.cos(x) * v * (x + 2) + np.sin(x) * 2 * v, rtol=1e-12)
    np.testing.assert_allclose(ds.item(), v.sum(), rtol=1e-12)
    assert not dy.requires_grad and s.item() == pytest.approx(x.sum())
    out, push = func.linearize(lambda a: a**3, ccdl.tensor(x))
    for k in (1.0, -2.0):
        np.testing.assert_allclose(push(ccdl.tensor(k * v)).cpu().numpy(), 3 * x**2 * k * v, rtol=1e-12)
    np.testing.assert_allclose(out.cpu().numpy(), x**3, rtol=1e-12)
    value, slope, aux = func.jvp(lambda a: (a * 2, "more"), (ccdl.tensor(x),), (ccdl.tensor(v),), has_aux=True)
    assert aux == "more" and slope.tolist() == (2 * v).tolist() and value.tolist() == (2 * x).tolist()
    assert func.jvp(lambda a: ccdl.ones(2), (ccdl.tensor(x),), (ccdl.tensor(v),))[1].tolist() == [0.0, 0.0]
    second = func.jvp(lambda a: func.jvp(ccdl.sin, (a,), (ccdl.ones_like(a),))[1], (ccdl.tensor(x),), (ccdl.tensor(v),))[1]
    np.testing.assert_allclose(second.cpu().numpy(), -np.sin(x) * v, rtol=1e-10)
    np.testing.assert_allclose(func.grad(lambda a: func.jvp(ccdl.exp, (a,), (a,))[1].sum())(ccdl.tensor(x)).cpu().numpy(),
                               np.exp(x) * (1 + x), rtol=1e-10)


def test_jacobians_of_nested_outputs_and_batches():
    x = ccdl.tensor(array(3))
    for jac in (func.jacrev, func.jacfwd):
        found = jac(lambda v: (v.sum(), {"a": v * v}))(x)
        assert found[0].tolist() == [1.0] * 3
        np.testing.assert_allclose(found[1]["a"].cpu().numpy(), np.diag(2 * x.cpu().numpy()), rtol=1e-12)
        value, aux = jac(lambda v: (v * 2, v.sum()), has_aux=True)(x)
        assert aux.item() == pytest.approx(x.sum().item()) and value.tolist() == (2 * ccdl.eye(3)).tolist()
    h = func.hessian(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, x + 1)
    np.testing.assert_allclose(h[0][1].cpu().numpy(), np.eye(3), atol=1e-14)
    assert h[0][0].abs().sum().item() == 0.0
    batch = ccdl.tensor(array(5, 3, seed=2))
    each = ccdl.vmap(func.jacrev(ccdl.tanh))(batch)
    want = np.stack([np.diag(1 - np.tanh(r) ** 2) for r in batch.cpu().numpy()])
    np.testing.assert_allclose(each.cpu().numpy(), want, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ccdl.vmap(func.hessian(lambda v: (v**3).sum()))(batch).cpu().numpy(),
                               np.stack([np.diag(6 * r) for r in batch.cpu().numpy()]), rtol=1e-10, atol=1e-12)


def test_batch_norm_without_running_statistics():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert func.replace_all_batch_norm_modules_(net) is net
    assert net[1].running_mean is None and not net[1].track_running_stats
    x = ccdl.randn(4, 6, 2)
    assert ccdl.vmap(net)(x).shape == (4, 6, 3)


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    results = []
    for T in (ccdl, torch):
        x, w = T.tensor(array(4, 3)), T.tensor(array(3, 2, seed=1))

        def f(v, m, T=T):
            return T.tanh(v @ m), (v * v).sum()

        a, b = T.vmap(f, in_dims=(0, None), out_dims=(1, 0))(x, w)
        c = T.func.jacfwd(f, argnums=(0, 1))(x[0], w)
        d = T.func.hessian(lambda v, T=T: T.sin(v).sum() * v[0])(x[1])
        e = T.func.jvp(lambda v, m, T=T: f(v, m, T)[0], (x[2], w), (x[3], w))[1]
        results.append([t.tolist() for t in (a, b, c[0][0], c[0][1], c[1][0], c[1][1], d, e)])
    for mine, theirs in zip(*results):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
