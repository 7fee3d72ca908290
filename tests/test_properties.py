"""Algebraic laws, found true on random shapes: what layers and ops must satisfy whatever their kernels do."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F

settings.register_profile("ccdl", deadline=None, max_examples=40, derandomize=True,
                          suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ccdl")

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**31)


def rand(seed: int, *shape: int) -> ccdl.Tensor:
    return ccdl.tensor(np.random.default_rng(seed).standard_normal(shape))


def same(a: ccdl.Tensor, b: ccdl.Tensor, tol: float = 1e-11) -> None:
    np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), rtol=tol, atol=tol)


@given(seeds, sizes, sizes, sizes, sizes)
def test_stacked_linear_is_one_linear(seed: int, n: int, a: int, b: int, c: int) -> None:
    x, w1, b1, w2, b2 = rand(seed, n, a), rand(seed + 1, b, a), rand(seed + 2, b), rand(seed + 3, c, b), rand(seed + 4, c)
    same(F.linear(F.linear(x, w1, b1), w2, b2), F.linear(x, w2 @ w1, w2 @ b1 + b2))


@given(seeds, st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(3, 6), st.integers(1, 3),
       st.integers(1, 2), st.integers(0, 2), st.integers(1, 2))
def test_convolution_is_a_tied_matrix(seed: int, n: int, c: int, o: int, h: int, k: int, stride: int, pad: int,
                                      dilation: int) -> None:
    """The matrix of the linear map, column by column, times the flattened image."""
    assume((k - 1) * dilation + 1 <= h + 2 * pad)
    x, w = rand(seed, n, c, h, h), rand(seed + 1, o, c, k, k)
    y = F.conv2d(x, w, stride=stride, padding=pad, dilation=dilation)
    basis = ccdl.eye(c * h * h, dtype=ccdl.float64).reshape(c * h * h, c, h, h)
    matrix = F.conv2d(basis, w, stride=stride, padding=pad, dilation=dilation).flatten(1)  # [inputs, outputs]
    same(y.flatten(1), x.flatten(1) @ matrix)
    assert set(np.unique(matrix.cpu().numpy())) <= set(np.unique(w.cpu().numpy())) | {0.0}  # tied and sparse


@given(seeds, sizes, sizes)
def test_channels_add_up(seed: int, c: int, o: int) -> None:
    x, w = rand(seed, 2, c, 5, 5), rand(seed + 1, o, c, 3, 3)
    total = sum((F.conv2d(x[:, i:i + 1], w[:, i:i + 1]) for i in range(1, c)), F.conv2d(x[:, :1], w[:, :1]))
    same(F.conv2d(x, w), total)


@given(seeds, st.integers(1, 4), st.integers(-3, 3), st.integers(-3, 3))
def test_convolution_commutes_with_shifts(seed: int, c: int, dy: int, dx: int) -> None:
    x = F.pad(rand(seed, 1, c, 6, 6), (8, 8, 8, 8))
    w = rand(seed + 1, 3, c, 3, 3)
    y = F.conv2d(x, w, padding=1)
    moved = F.conv2d(x.roll((dy, dx), (2, 3)), w, padding=1)
    same(moved, y.roll((dy, dx), (2, 3)))
    same(moved.amax((2, 3)), y.amax((2, 3)))  # and a global maximum does not see the shift


@given(seeds, st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), st.integers(0, 1))
def test_transposed_convolution_is_the_adjoint(seed: int, c: int, o: int, k: int, stride: int, pad: int) -> None:
    assume(pad < k)
    x, w = rand(seed, 2, c, 6, 6), rand(seed + 1, o, c, k, k)
    y = F.conv2d(x, w, stride=stride, padding=pad)
    v = rand(seed + 2, *y.shape)
    rest = (6 + 2 * pad - k) % stride
    back = F.conv_transpose2d(v, w, stride=stride, padding=pad, output_padding=rest)
    same((y * v).sum(), (x * back).sum())


@given(seeds, st.integers(1, 4))
def test_depthwise_is_one_convolution_per_channel(seed: int, c: int) -> None:
    x, w = rand(seed, 2, c, 5, 5), rand(seed + 1, c, 1, 3, 3)
    same(F.conv2d(x, w, groups=c), ccdl.cat([F.conv2d(x[:, i:i + 1], w[i:i + 1]) for i in range(c)], 1))


@given(seeds, st.integers(2, 6), st.integers(1, 4))
def test_batch_norm_folds_into_the_convolution(seed: int, o: int, c: int) -> None:
    x, w = rand(seed, 3, c, 6, 6), rand(seed + 1, o, c, 3, 3)
    mean, var = rand(seed + 2, o), rand(seed + 3, o).abs() + 0.5
    gamma, beta = rand(seed + 4, o), rand(seed + 5, o)
    y = F.batch_norm(F.conv2d(x, w), mean, var, gamma, beta, training=False, eps=1e-5)
    scale = gamma / (var + 1e-5).sqrt()
    same(y, F.conv2d(x, w * scale.reshape(o, 1, 1, 1), beta - mean * scale))


@given(seeds, st.lists(sizes, min_size=1, max_size=4), st.data())
def test_split_then_cat(seed: int, shape: list[int], data: st.DataObject) -> None:
    x = rand(seed, *shape)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = data.draw(sizes)
    same(ccdl.cat(x.split(size, dim), dim), x, 0)
    same(ccdl.stack(x.unbind(dim), dim), x, 0)


@given(seeds, st.lists(sizes, min_size=1, max_size=5), st.data())
def test_permute_round_trip(seed: int, shape: list[int], data: st.DataObject) -> None:
    x = rand(seed, *shape)
    order = data.draw(st.permutations(range(len(shape))))
    y = x.permute(*order)
    same(y.permute(*np.argsort(order).tolist()), x, 0)
    same(y.contiguous().sum(), x.sum())


@given(seeds, st.lists(sizes, min_size=1, max_size=4), st.data())
def test_flip_and_roll_are_invertible(seed: int, shape: list[int], data: st.DataObject) -> None:
    x = rand(seed, *shape)
    dim = data.draw(st.integers(0, len(shape) - 1))
    by = data.draw(st.integers(-9, 9))
    same(x.flip(dim).flip(dim), x, 0)
    same(x.roll(by, dim).roll(-by, dim), x, 0)


@given(seeds, sizes, sizes)
def test_softmax_ignores_a_constant_and_sums_to_one(seed: int, n: int, c: int) -> None:
    x = rand(seed, n, c) * 10
    y = F.softmax(x, 1)
    same(y, F.softmax(x + 123.25, 1))
    same(y.sum(1), ccdl.ones(n, dtype=ccdl.float64))
    same(y.log(), F.log_softmax(x, 1), 1e-9)


@given(seeds, sizes, sizes)
def test_gradient_is_linear(seed: int, n: int, c: int) -> None:
    """grad(a f + b g) = a grad f + b grad g."""
    x = rand(seed, n, c).requires_grad_()
    f, g = x.exp().sum(), (x * x.sin()).sum()
    (df,) = ccdl.autograd.grad(f, x, retain_graph=True)
    (dg,) = ccdl.autograd.grad(g, x, retain_graph=True)
    (both,) = ccdl.autograd.grad(2.5 * f - 0.5 * g, x)
    same(both, 2.5 * df - 0.5 * dg)


@given(seeds, sizes, sizes, sizes)
def test_gradient_of_a_product(seed: int, m: int, k: int, n: int) -> None:
    """d<C, AB> = <C B^T, dA> + <A^T C, dB>."""
    a, b, c = rand(seed, m, k).requires_grad_(), rand(seed + 1, k, n).requires_grad_(), rand(seed + 2, m, n)
    da, db = ccdl.autograd.grad((a @ b * c).sum(), (a, b))
    same(da, c @ b.t())
    same(db, a.t() @ c)


@given(seeds, st.integers(2, 6), st.integers(1, 5))
def test_attention_is_permutation_equivariant_without_positions(seed: int, t: int, d: int) -> None:
    x = rand(seed, t, d)

    def attend(z: ccdl.Tensor, mask: ccdl.Tensor | None = None) -> ccdl.Tensor:
        scores = z @ z.t() / d**0.5
        return F.softmax(scores if mask is None else scores.masked_fill(mask, float("-inf")), 1) @ z

    order = np.random.default_rng(seed).permutation(t).tolist()
    same(attend(x)[order], attend(x[order]))
    x = x.requires_grad_()
    future = ccdl.ones(t, t, dtype=ccdl.bool).triu(1)
    (g,) = ccdl.autograd.grad(attend(x, future)[0].sum(), x)
    assert not g[1:].any()  # under a causal mask the first output does not depend on later inputs


@given(seeds, st.integers(1, 6), st.integers(1, 6), st.data())
def test_indexing_agrees_with_numpy(seed: int, h: int, w: int, data: st.DataObject) -> None:
    a = np.random.default_rng(seed).standard_normal((h, w, 3))
    x = ccdl.tensor(a)
    part = st.one_of(
        st.builds(slice, st.one_of(st.none(), st.integers(-8, 8)), st.one_of(st.none(), st.integers(-8, 8)),
                  st.one_of(st.none(), st.integers(1, 3))),
        st.just(...), st.just(None))
    index = tuple(data.draw(st.lists(part, max_size=3)))
    assume(index.count(...) <= 1)
    same(x[index], ccdl.tensor(np.ascontiguousarray(a[index])), 0)
    rows = data.draw(st.lists(st.integers(-h, h - 1), min_size=1, max_size=4))
    same(x[rows], ccdl.tensor(a[rows]), 0)
    same(x[rows, :, 1], ccdl.tensor(a[rows, :, 1]), 0)
    same(x[x > 0.3], ccdl.tensor(a[a > 0.3]), 0)


@given(seeds, st.integers(1, 40))
def test_sort_is_a_permutation_in_order(seed: int, n: int) -> None:
    x = ccdl.tensor(np.random.default_rng(seed).integers(0, 6, n))
    values, order = x.sort(stable=True)
    assert values.tolist() == sorted(x.tolist())
    assert order.tolist() == np.argsort(x.cpu().numpy(), kind="stable").tolist()
    assert x.topk(min(3, n)).values.tolist() == sorted(x.tolist(), reverse=True)[:3]


@given(seeds, st.integers(1, 30), st.integers(1, 4))
def test_scatter_add_is_the_transpose_of_gather(seed: int, n: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    index = ccdl.tensor(rng.integers(0, width, n))
    x, v = rand(seed, width), rand(seed + 1, n)
    same((x.gather(0, index) * v).sum(), (x * ccdl.zeros(width, dtype=ccdl.float64).scatter_add(0, index, v)).sum())


@given(st.integers(1, 20), st.integers(0, 2**31))
def test_state_dict_round_trip(width: int, seed: int) -> None:
    ccdl.manual_seed(seed)
    a, b = nn.Linear(width, 3), nn.Linear(width, 3)
    b.load_state_dict(a.state_dict())
    x = ccdl.randn(4, width)
    assert (a(x) == b(x)).all()
