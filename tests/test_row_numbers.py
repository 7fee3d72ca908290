"""Arithmetic of rows and a number for each row, in both orders, every layout and in place."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import ccdl

OPS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}
TYPES = {"float32": 1e-6, "float64": 1e-15, "float16": 1e-3, "bfloat16": 8e-3}
SHAPES = (((200, 33), (200, 1)), ((7, 300), (7, 1)), ((5, 6, 100), (5, 6, 1)), ((5, 6, 100), (6, 1)), ((5, 6, 100), (5, 1, 1)),
          ((30, 4, 16), (30, 1, 1)), ((200, 9), (200, 1)), ((40, 1, 64), (1, 8, 1)), ((1, 1100), (1, 1)))  # fmt: skip


def draw(name: str, shape: tuple[int, ...], seed: int) -> ccdl.Tensor:
    g = np.random.RandomState(seed)
    return ccdl.tensor(g.uniform(0.5, 2, shape) * g.choice([-1, 1], shape)).to(getattr(ccdl, name))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("op", OPS)
def test_both_orders(name: str, op: str) -> None:
    f = OPS[op]
    for shape, column in SHAPES:
        x, c = draw(name, shape, 1), draw(name, column, 2)
        turned = x.transpose(0, -1).contiguous().transpose(0, -1)
        part = ccdl.cat([x, x], -1)[..., : shape[-1]]
        for t in (x, turned, part):
            for a, b in ((t, c), (c, t), (t, c.expand(*c.shape[:-1], shape[-1]))):
                want = f(a.double().numpy(), b.double().numpy())
                y = f(a, b)
                assert y.dtype == x.dtype
                np.testing.assert_allclose(y.double().numpy(), want, rtol=TYPES[name], atol=TYPES[name])


@pytest.mark.parametrize("name", TYPES)
def test_in_place_and_scaled(name: str) -> None:
    x, c = draw(name, (50, 40), 3), draw(name, (50, 1), 4)
    want = x.double().numpy() * c.double().numpy()
    y = x.clone()
    y *= c
    np.testing.assert_allclose(y.double().numpy(), want, rtol=TYPES[name])
    z = x.clone()
    z[:, ::2].div_(c)
    want = x.double().numpy()
    want[:, ::2] /= c.double().numpy()
    np.testing.assert_allclose(z.double().numpy(), want, rtol=TYPES[name])
    for alpha in (1, 2.5, -3):
        want = x.double().numpy() - alpha * c.double().numpy()
        np.testing.assert_allclose(ccdl.sub(x, c, alpha=alpha).double().numpy(), want, rtol=4 * TYPES[name], atol=4 * TYPES[name])
        np.testing.assert_allclose(ccdl.add(x, c, alpha=-alpha).double().numpy(), want, rtol=4 * TYPES[name], atol=4 * TYPES[name])


def test_signs_of_zero_and_specials() -> None:
    c = ccdl.tensor([[-0.0], [0.0], [np.inf], [np.nan], [-1.0], [1.0]])
    x = ccdl.tensor([[0.0, -0.0, 1.0, -1.0, np.inf, np.nan] * 40] * 6)
    with np.errstate(all="ignore"):
        for f in OPS.values():
            for a, b in ((x, c), (c, x)):
                want, found = f(a.numpy(), b.numpy()), f(a, b).numpy()
                np.testing.assert_array_equal(found, want)
                keep = ~np.isnan(want)
                np.testing.assert_array_equal(np.signbit(found)[keep], np.signbit(want)[keep])


def test_outer_and_kron() -> None:
    a, b = draw("float32", (37,), 5), draw("float32", (130,), 6)
    np.testing.assert_array_equal(ccdl.outer(a, b).numpy(), np.outer(a.numpy(), b.numpy()))
    m, n = draw("float64", (6, 7), 7), draw("float64", (9, 11), 8)
    np.testing.assert_array_equal(ccdl.kron(m, n).numpy(), np.kron(m.numpy(), n.numpy()))


def test_bits_do_not_depend_on_threads() -> None:
    x, c = draw("float32", (3000, 101), 9), draw("float32", (3000, 1), 10)
    before = ccdl.get_num_threads()
    try:
        ccdl.set_num_threads(1)
        one = x / c
        ccdl.set_num_threads(2)
        assert ccdl.equal(one, x / c)
    finally:
        ccdl.set_num_threads(before)
