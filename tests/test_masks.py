"""Moves by masks and indices against NumPy at the borders of their words, rows and pieces."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl


def numbers(*sizes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(sizes).astype(np.float32)


def chosen(sizes: tuple[int, ...], density: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(sizes) < density


@pytest.mark.parametrize("density", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 63, 64, 65, 130, 700])
def test_coordinates_of_rows_of_any_width(width: int, density: float) -> None:
    for rows in (1, 5, 70, 70000 // width):
        mask = chosen((rows, width), density)
        want = np.argwhere(mask)
        assert (ccdl.tensor(mask).nonzero().numpy() == want).all()
        assert (ccdl.tensor(mask.astype(np.float32) * -2).nonzero().numpy() == want).all()
        wide = ccdl.tensor(np.repeat(mask, 2, axis=1))[:, ::2]  # rows that are not contiguous
        assert (wide.nonzero().numpy() == want).all()
        assert (ccdl.tensor(mask.T.copy()).t().nonzero().numpy() == want).all()


@pytest.mark.parametrize("sizes", [(5, 4, 3), (9, 1, 130), (2, 3, 4, 5)])
def test_coordinates_of_more_dimensions(sizes: tuple[int, ...]) -> None:
    mask = chosen(sizes, 0.4)
    assert (ccdl.tensor(mask).nonzero().numpy() == np.argwhere(mask)).all()


def test_any_byte_but_zero_is_true() -> None:
    raw = np.array([0, 1, 2, 3, 127, 128, 254, 255] * 9 + [0, 128, 0], dtype=np.uint8)
    want = np.argwhere(raw)
    assert (ccdl.tensor(raw).nonzero().numpy() == want).all()
    assert (ccdl.tensor(raw.reshape(-1, 25)).nonzero().numpy() == np.argwhere(raw.reshape(-1, 25))).all()
    assert ccdl.count_nonzero(ccdl.tensor(raw)).item() == len(want)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("n", [1, 7, 63, 64, 65, 300, 40000])
def test_select_fill_and_scatter(n: int, dtype: str) -> None:
    x = (numbers(n) * 10).astype(dtype)
    for density in (0.0, 0.1, 0.6, 1.0):
        mask = chosen((n,), density)
        values = (numbers(n, seed=3) * 10).astype(dtype)
        m, v = ccdl.tensor(mask), ccdl.tensor(x)
        assert (v.masked_select(m).numpy() == x[mask]).all()
        want = x.copy()
        want[mask] = values[: mask.sum()]
        assert (v.masked_scatter(m, ccdl.tensor(values)).numpy() == want).all()
        want[mask] = 3
        assert (v.masked_fill(m, 3).numpy() == want).all()
        doubled = ccdl.tensor(np.stack([x, x], 1))
        doubled[:, 1].masked_fill_(ccdl.tensor(np.repeat(mask, 3))[::3], 3)  # strides on both sides
        assert (doubled.numpy() == np.stack([x, want], 1)).all()


def test_masks_broadcast_over_rows_and_columns() -> None:
    x = numbers(70, 90)
    row, column = chosen((90,), 0.5), chosen((70, 1), 0.5)
    for mask in (row, column):
        m = ccdl.tensor(mask)
        full = np.broadcast_to(mask, x.shape)
        assert (ccdl.tensor(x).masked_fill(m, 7.0).numpy() == np.where(full, np.float32(7), x)).all()
        assert (ccdl.tensor(x).masked_select(m).numpy() == x[full]).all()
        t = ccdl.tensor(x, requires_grad=True)
        t.masked_select(m).sum().backward()
        assert (t.grad.numpy() == full).all()


def test_gradients_of_selections() -> None:
    x = numbers(40, 50)
    mask = chosen((40, 50), 0.1)
    t = ccdl.tensor(x, requires_grad=True)
    weight = ccdl.tensor(numbers(int(mask.sum()), seed=4), requires_grad=True)
    (g,) = ccdl.autograd.grad((t[ccdl.tensor(mask)] * weight).sum(), t, create_graph=True)
    want = np.zeros_like(x)
    want[mask] = weight.detach().numpy()
    assert (g.detach().numpy() == want).all()
    g.square().sum().backward()  # of 2 weight for each chosen element
    np.testing.assert_allclose(weight.grad.numpy(), 2 * weight.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_gradients_of_indexing_sum_what_meets(dtype: str) -> None:
    rng = np.random.default_rng(5)
    i, j = rng.integers(0, 60, 500), rng.integers(-50, 50, 500)
    g = rng.integers(-3, 4, 500).astype(np.float32)
    want = np.zeros((60, 50), np.float32)
    np.add.at(want, (i, j), g)
    t = ccdl.zeros(60, 50, dtype=getattr(ccdl, dtype), requires_grad=True)
    cot = ccdl.tensor(g).to(t.dtype)
    t[ccdl.tensor(i), ccdl.tensor(j)].backward(cot)
    assert (t.grad.float().numpy() == want).all()
    assert t.grad.dtype == t.dtype and t.grad.is_contiguous()
    t.grad = None
    flat = i * 50 + j % 50
    ccdl.take(t, ccdl.tensor(flat)).backward(cot)
    assert (t.grad.float().numpy() == want).all()
    t.grad = None
    rows = np.zeros((60, 50), np.float32)
    np.add.at(rows, i, np.repeat(g[:, None], 50, 1))
    t.index_select(0, ccdl.tensor(i)).backward(cot[:, None].expand(500, 50))
    assert (t.grad.float().numpy() == rows).all()
    t.grad = None
    k = rng.integers(0, 50, (60, 9))
    along = np.zeros((60, 50), np.float32)
    np.add.at(along, (np.arange(60)[:, None], k), 1)
    t.gather(1, ccdl.tensor(k)).sum().backward()
    assert (t.grad.float().numpy() == along).all()


def test_whole_windows_pass_gradients_on() -> None:
    x = ccdl.tensor(numbers(3, 1, 4), requires_grad=True)
    w = ccdl.tensor(numbers(3, 4, seed=9), requires_grad=True)
    (g,) = ccdl.autograd.grad((x[:, 0, ...] * w).sum(), x, create_graph=True)
    assert (g.detach().numpy() == w.detach().numpy()[:, None]).all()
    g.sum().backward()
    assert (w.grad.numpy() == 1).all()
    y = ccdl.tensor(numbers(4, 6), requires_grad=True)
    y[None, 0:4, :, None].sum().backward()
    assert (y.grad.numpy() == 1).all()


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(5, 6, 7), (3, 40, 16), (2, 9, 300)])
def test_rows_of_tables_within_tables(sizes: tuple[int, ...], dim: int) -> None:
    x = numbers(*sizes)
    index = np.random.default_rng(2).integers(0, sizes[dim], 11)
    t = ccdl.tensor(x)
    assert (t.index_select(dim, ccdl.tensor(index)).numpy() == np.take(x, index, dim)).all()
    assert (t[:, ccdl.tensor(index % sizes[1] - sizes[1])].numpy() == x[:, index % sizes[1]]).all()
    apart = ccdl.tensor(np.concatenate([x, x], 0))[::2][: sizes[0]]
    want = np.concatenate([x, x], 0)[::2][: sizes[0]]
    assert (apart.index_select(1, ccdl.tensor(index % sizes[1])).numpy() == want[:, index % sizes[1]]).all()
    bad = index.copy()
    bad[7] = sizes[dim]
    with pytest.raises(IndexError, match=f"index {sizes[dim]} is out of bounds"):
        t.index_select(dim, ccdl.tensor(bad))


@pytest.mark.parametrize("n", [3, 4, 5, 127, 129, 1000])
@pytest.mark.parametrize("dim", [0, 1])
def test_scatter_of_any_length(n: int, dim: int) -> None:
    rng = np.random.default_rng(n)
    x, src = numbers(6, n), numbers(6, n, seed=8)
    index = np.argsort(rng.random((6, n)), axis=dim)  # every place once: the order does not matter
    want = x.copy()
    np.put_along_axis(want, index, src, dim)
    assert (ccdl.tensor(x).scatter_(dim, ccdl.tensor(index), ccdl.tensor(src)).numpy() == want).all()
    some = rng.integers(0, x.shape[dim], (6, n))
    sums = x.astype(np.float64)
    where = (some, np.arange(n)[None]) if dim == 0 else (np.arange(6)[:, None], some)
    np.add.at(sums, where, src)
    got = ccdl.tensor(x).scatter_add_(dim, ccdl.tensor(some), ccdl.tensor(src)).numpy()
    np.testing.assert_allclose(got, sums, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [-1, 300, 2**62, -(2**63), 2**63 - 1])
def test_a_bad_index_writes_nothing(bad: int) -> None:
    x = ccdl.zeros(2, 300)
    index = np.tile(np.arange(300), (2, 1))
    index[1, 251] = bad
    for op in (x.scatter_, x.scatter_add_):
        with pytest.raises(IndexError, match=f"index {bad} is out of bounds for dimension 1"):
            op(1, ccdl.tensor(index), ccdl.ones(2, 300))
    if bad != -1:
        with pytest.raises(IndexError, match=f"index {bad} is out of bounds"):
            x[1, ccdl.tensor(index[1])] = 1.0
    assert (x.numpy() == 0).all()


@pytest.mark.parametrize("sizes", [(40, 3), (3, 40), (8, 8), (2, 50, 4), (3, 2, 1), (0, 4), (4, 0)])
def test_triangles_of_any_shape(sizes: tuple[int, ...]) -> None:
    x = numbers(*sizes)
    for diagonal in [*range(-42, 43, 7), -3, -1, 0, 1, 2]:
        for name in ("tril", "triu"):
            want = getattr(np, name)(x, diagonal)
            assert (getattr(ccdl.tensor(x), name)(diagonal).numpy() == want).all(), (name, diagonal)
            into = getattr(ccdl.tensor(x), name + "_")(diagonal)
            assert (into.numpy() == want).all(), (name, diagonal)
            turned = ccdl.tensor(x).transpose(-1, -2)
            want = getattr(np, name)(np.swapaxes(x, -1, -2), diagonal)
            assert (getattr(turned, name)(diagonal).numpy() == want).all(), (name, diagonal)


@pytest.mark.parametrize("k", [-1, 0, 1, 2, 3, 5])
def test_quarter_turns(k: int) -> None:
    x = numbers(3, 4, 5)
    for dims in ((0, 1), (2, 0), (-1, 1)):
        t = ccdl.tensor(x, requires_grad=True)
        y = ccdl.rot90(t, k, dims)
        assert (y.detach().numpy() == np.rot90(x, k, dims)).all()
        y.backward(ccdl.tensor(np.rot90(x, k, dims).copy()))
        assert (t.grad.numpy() == x).all()
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert ccdl.rot90(ccdl.tensor(x), k).stride() == torch.rot90(torch.tensor(x), k).stride()
