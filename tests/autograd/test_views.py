"""Pieces of a tensor (split, chunk, unbind) are outputs of one node: gradients come back side by side."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

CUTS = {
    "split": (lambda x: x.split(3, dim=1), [(0, 3), (3, 6), (6, 8)]),
    "split_with_sizes": (lambda x: x.split([1, 0, 5, 2], dim=-1), [(0, 1), (1, 1), (1, 6), (6, 8)]),
    "chunk": (lambda x: x.chunk(4, dim=1), [(0, 2), (2, 4), (4, 6), (6, 8)]),
    "unbind": (lambda x: x.unbind(1), [(i, i + 1) for i in range(8)]),
    "overlapping": (lambda x: x.tensor_split((5, 3), dim=1), [(0, 5), (5, 5), (3, 8)]),
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("used", ["all", "first", "last", "every second"])
def test_gradients_of_pieces(name: str, used: str) -> None:
    cut, places = CUTS[name]
    x = np.random.default_rng(0).standard_normal((4, 8))
    leaf = ccdl.tensor(x, requires_grad=True)
    pieces = cut(leaf)
    assert len(pieces) == len(places)
    chosen = {"all": range(len(places)), "first": [0], "last": [len(places) - 1], "every second": range(0, len(places), 2)}[used]
    want = np.zeros_like(x)
    loss = ccdl.zeros((), dtype=ccdl.float64)
    for i in chosen:
        a, b = places[i]
        loss = loss + (i + 1) * (pieces[i] ** 3).sum()
        want[:, a:b] += 3 * (i + 1) * x[:, a:b] ** 2
    (grad,) = ccdl.autograd.grad(loss, leaf, create_graph=True)
    np.testing.assert_allclose(grad.detach().cpu().numpy(), want, rtol=1e-12)
    (second,) = ccdl.autograd.grad(grad.sum(), leaf)
    weights = np.zeros_like(x)
    for i in chosen:
        weights[:, slice(*places[i])] += 6 * (i + 1)
    np.testing.assert_allclose(second.cpu().numpy(), weights * x, rtol=1e-12)


@pytest.mark.parametrize("name", ["split", "chunk", "unbind"])
def test_pieces_share_a_node_and_have_hooks_of_their_own(name: str) -> None:
    leaf = ccdl.ones(2, 8, requires_grad=True)
    pieces = CUTS[name][0](leaf)
    assert all(p.grad_fn is pieces[0].grad_fn for p in pieces)
    seen: list[float] = []
    pieces[1].register_hook(lambda g: seen.append(float(g.sum())))
    pieces[1].retain_grad()
    (pieces[1] * 2).sum().backward()
    assert seen == [2.0 * pieces[1].numel()]
    assert pieces[1].grad is not None and leaf.grad is not None and float(leaf.grad.sum()) == seen[0]


def test_many_pieces_cost_one_gradient() -> None:
    """A loop over 2000 rows, which took a zero tensor of the whole for each of them."""
    leaf = ccdl.ones(2000, 2000, requires_grad=True)
    total = ccdl.zeros(2000)
    for row in leaf.unbind(0):
        total = total + row * 2
    total.sum().backward()
    assert leaf.grad is not None and float(leaf.grad.min()) == float(leaf.grad.max()) == 2.0


def test_pieces_of_half_precision_and_of_views() -> None:
    leaf = ccdl.ones(3, 4, 5, dtype=ccdl.bfloat16, requires_grad=True)
    a, b = leaf.transpose(0, 2).chunk(2, dim=0)
    (b.float() * 2).sum().backward()
    assert leaf.grad is not None and leaf.grad.dtype == ccdl.bfloat16
    assert leaf.grad[0, 0].tolist() == [0.0, 0.0, 0.0, 2.0, 2.0] and a.shape == (3, 4, 3)


@pytest.mark.parametrize("split", ["unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"])
def test_parts_of_an_unsafe_split_may_be_written(split: str) -> None:
    a = ccdl.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    arguments = {"unsafe_split": 1, "unsafe_split_with_sizes": (1, 1, 1), "unsafe_chunk": 3}
    first, second, _ = getattr(a * 2, split)(arguments[split])
    first.mul_(second)
    first.sum().backward()  # of 4 a0 a1
    assert first.tolist() == [[12.0, 32.0]]
    assert a.grad.tolist() == [[12.0, 16.0], [4.0, 8.0], [0.0, 0.0]]
