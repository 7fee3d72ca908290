"""ccdl.func: gradients, Jacobians and Hessians as functions, nested values, nesting, a learned first step (MAML)."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
from ccdl import func


def f(x, y):
    return (x**2 * y["a"]).sum() + y["b"][0].exp().sum()


def inputs():
    x = ccdl.tensor([1.0, -2.0, 3.0], dtype=ccdl.float64)
    return x, {"a": ccdl.tensor([0.5, 1.5, -1.0], dtype=ccdl.float64), "b": [ccdl.tensor([0.1], dtype=ccdl.float64)]}


def test_gradients_nest_like_the_arguments():
    x, y = inputs()
    g = func.grad(f)(x, y)
    np.testing.assert_allclose(g.cpu().numpy(), 2 * x.cpu().numpy() * y["a"].cpu().numpy())
    gx, gy = func.grad(f, argnums=(0, 1))(x, y)
    assert gx.tolist() == g.tolist() and set(gy) == {"a", "b"}
    np.testing.assert_allclose(gy["a"].cpu().numpy(), x.cpu().numpy() ** 2)
    np.testing.assert_allclose(gy["b"][0].cpu().numpy(), np.exp([0.1]))
    assert not g.requires_grad and not x.requires_grad and x.grad is None
    (found, (value, aux)) = func.grad_and_value(lambda x, y: (f(x, y), "more"), has_aux=True)(x, y)
    assert value.item() == pytest.approx(f(x, y).item()) and aux == "more" and found.tolist() == g.tolist()
    assert func.grad(lambda x, y: (f(x, y), "more"), has_aux=True)(x, y)[1] == "more"
    with ccdl.no_grad():
        assert func.grad(f)(x, y).tolist() == g.tolist()


def test_nesting_and_outer_gradients():
    x = ccdl.tensor(0.7, dtype=ccdl.float64)
    third = func.grad(func.grad(func.grad(ccdl.sin)))
    assert third(x).item() == pytest.approx(-np.cos(0.7), rel=1e-12)
    w = ccdl.tensor([1.0, 2.0], dtype=ccdl.float64, requires_grad=True)
    inner = func.grad(lambda v: (v**3).sum())(w)
    inner.sum().backward()
    assert w.grad.tolist() == [6.0, 12.0]
    assert func.grad(lambda v: func.grad(lambda u: (u**2 * v).sum())(v).sum())(ccdl.tensor([3.0])).tolist() == [12.0]


def test_jacobian_hessian_and_vjp():
    ccdl.manual_seed(0)
    a = ccdl.randn(3, 4, dtype=ccdl.float64)
    x = ccdl.randn(4, dtype=ccdl.float64)

    def g(v):
        return ccdl.tanh(a @ v)

    want = (1 - np.tanh(a.cpu().numpy() @ x.cpu().numpy()) ** 2)[:, None] * a.cpu().numpy()
    np.testing.assert_allclose(func.jacrev(g)(x).cpu().numpy(), want, rtol=1e-12, atol=1e-14)
    output, pull = func.vjp(g, x)
    v = ccdl.randn(3, dtype=ccdl.float64)
    np.testing.assert_allclose(pull(v)[0].cpu().numpy(), v.cpu().numpy() @ want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(pull(2 * v)[0].cpu().numpy(), 2 * v.cpu().numpy() @ want, rtol=1e-12, atol=1e-14)  # again
    assert not output.requires_grad
    b = ccdl.randn(4, 4, dtype=ccdl.float64)
    h = func.hessian(lambda v: v @ b @ v)(x)
    np.testing.assert_allclose(h.cpu().numpy(), (b + b.T).cpu().numpy(), rtol=1e-12)
    both = func.jacrev(lambda p, q: p * q, argnums=(0, 1))(x, x + 1)
    np.testing.assert_allclose(both[1].cpu().numpy(), np.diag(x.cpu().numpy()), rtol=1e-12)


def test_a_functional_training_step_differentiates_through_itself():
    """Two inner steps on one task, the outer gradient on another: against PyTorch where installed, else central
    differences in the first weight."""
    net = nn.Linear(2, 1).double()
    x, y = ccdl.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=ccdl.float64), ccdl.tensor([[1.0], [0.0]], dtype=ccdl.float64)
    start = {k: v.detach() for k, v in net.named_parameters()}

    def loss(p, target):
        return ((func.functional_call(net, p, x) - target) ** 2).mean()

    def outer(p):
        for _ in range(2):
            g = func.grad(loss)(p, y)
            p = {k: p[k] - 0.1 * g[k] for k in p}
        return loss(p, y + 1)

    found = func.grad(outer)(start)
    step = 1e-6
    for k in start:
        for i in range(start[k].numel()):
            moved = []
            for sign in (1, -1):
                p = {n: t.clone() for n, t in start.items()}
                p[k].view(-1)[i] += sign * step
                moved.append(outer(p).item())
            assert found[k].view(-1)[i].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-6, abs=1e-8)


def test_bad_calls():
    x = ccdl.ones(2)
    for call, text in (
        (lambda: func.grad(lambda v: v)(x), "scalar"), (lambda: func.grad(lambda v: 3)(x), "Tensor"),
        (lambda: func.grad(lambda v: v.sum(), argnums=1)(x), "argnum=1"), (lambda: func.grad(lambda v: v.sum())(ccdl.arange(3)), "floating"),
        (lambda: func.grad(lambda v: v.sum(), has_aux=True)(x), "has_aux"), (lambda: func.jacrev(lambda v: [v, 3])(x), "Tensor"),
        (lambda: func.vjp(lambda v: v * 2, x)[1](ccdl.ones(3)), "size"), (lambda: func.vjp(lambda v: v * 2, x)[1]((x, x)), "cotangents"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()
    assert func.grad(lambda v: ccdl.tensor(1.0))(x).tolist() == [0.0, 0.0]  # does not depend on it


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    results = []
    for T in (ccdl, torch):
        x = T.tensor([0.3, -0.8], dtype=T.float64)

        def g(v, T=T):
            return (T.sin(v[0]) * v[1] ** 2 + T.exp(v[0] * v[1])).sum()

        results.append([T.func.grad(g)(x).tolist(), T.func.hessian(g)(x).tolist(), T.func.jacrev(lambda v, T=T: T.tanh(v) * v.sum())(x).tolist()])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_derivatives_lead_on_to_tensors_from_around() -> None:
    """d/dw of the derivatives by x of sum(w x^3), w used by the function and no argument of it."""
    w, x = ccdl.tensor([2.0, 3.0], dtype=ccdl.float64, requires_grad=True), ccdl.tensor([0.5, 1.5], dtype=ccdl.float64)

    def f(x: ccdl.Tensor) -> ccdl.Tensor:
        return (w * x**3).sum()

    def by_w(found: ccdl.Tensor) -> list[float]:
        return ccdl.autograd.grad(found.sum(), w)[0].tolist()

    first, second = (3 * x**2).tolist(), (6 * x).tolist()
    assert by_w(func.grad(f)(x)) == pytest.approx(first)
    assert by_w(func.jacrev(f)(x)) == pytest.approx(first) and by_w(func.jacfwd(f)(x)) == pytest.approx(first)
    assert by_w(func.hessian(f)(x)) == pytest.approx(second)
    assert by_w(func.vmap(func.grad(f))(ccdl.stack([x, x]))) == pytest.approx([2 * v for v in first])
    assert by_w(func.vjp(f, x)[1](ccdl.ones((), dtype=ccdl.float64))[0]) == pytest.approx(first)
    assert by_w(func.jvp(f, (x,), (x,))[1]) == pytest.approx([3 * v**3 for v in x.tolist()])
    with ccdl.no_grad():
        assert not func.grad(f)(x).requires_grad
    assert not func.grad(lambda x: (w.detach() * x).sum())(x).requires_grad


def test_an_inner_derivative_depends_on_the_outer_argument() -> None:
    """d/da sum over y of d/dy (a y^2) at y = x is 2 x: the inner function takes a from around it."""
    x = ccdl.tensor([0.5, 1.5])
    got = func.grad(lambda a: func.grad(lambda y: (a * y**2).sum())(x).sum())(ccdl.ones(2))
    assert got.tolist() == [1.0, 3.0]
