"""func.rearrange against reshapes and permutations of NumPy written out."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
from ccdl.func import rearrange

X = np.arange(2 * 6 * 4 * 3, dtype=np.float64).reshape(2, 6, 4, 3)

CASES = [
    ("b h w c -> b h w c", {}, X),
    ("b h w c -> h b w c", {}, X.transpose(1, 0, 2, 3)),
    ("b h w c -> (b h) w c", {}, X.reshape(12, 4, 3)),
    ("b h w c -> h (b w) c", {}, X.transpose(1, 0, 2, 3).reshape(6, 8, 3)),
    ("b h w c -> b (c h w)", {}, X.transpose(0, 3, 1, 2).reshape(2, 72)),
    ("b (h1 h) (w1 w) c -> (b h1 w1) h w c", {"h1": 2, "w1": 2},
     X.reshape(2, 2, 3, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(8, 3, 2, 3)),
    ("b (h a) w c -> b h w (c a)", {"a": 3}, X.reshape(2, 2, 3, 4, 3).transpose(0, 1, 3, 4, 2).reshape(2, 2, 4, 9)),
    ("... c -> c ...", {}, X.transpose(3, 0, 1, 2)),
    ("b ... -> b (...)", {}, X.reshape(2, 72)),
    ("b ... c -> ... (c b)", {}, X.transpose(1, 2, 3, 0).reshape(6, 4, 6)),
    ("b h w c -> b 1 h (w c) 1", {}, X.reshape(2, 1, 6, 12, 1)),
    ("a b c d ... -> ... d c b a", {}, X.transpose(3, 2, 1, 0)),
]  # fmt: skip


@pytest.mark.parametrize("pattern, sizes, want", CASES, ids=[c[0] for c in CASES])
def test_patterns(pattern: str, sizes: dict[str, int], want: np.ndarray) -> None:
    got = rearrange(ccdl.tensor(X), pattern, **sizes)
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.cpu().numpy(), want)


def test_lists_ones_numbers_and_gradients() -> None:
    parts = [ccdl.tensor(x) for x in X]
    np.testing.assert_array_equal(rearrange(parts, "b h w c -> h w c b").cpu().numpy(), X.transpose(1, 2, 3, 0))
    assert rearrange(ccdl.ones(1, 3, 1), "1 n 1 -> n").shape == (3,)
    assert rearrange(ccdl.tensor(5.0), "-> 1 1").shape == (1, 1) and rearrange(ccdl.tensor(5.0), " -> ").shape == ()
    x = ccdl.ones(2, 6, requires_grad=True)
    weight = ccdl.arange(12.0).reshape(3, 2, 2)
    (rearrange(x, "a (b c) -> b c a", b=3) * weight).sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), weight.permute(2, 0, 1).reshape(2, 6).cpu().numpy())


@pytest.mark.parametrize("pattern, sizes, part", [
    ("a b c d", {}, "one '->'"), ("a b c d -> a b c", {}, "one side only"), ("a a c d -> a c d", {}, "more than once"),
    ("a b c -> c b a", {}, "3 dimensions on the left"), ("a b c d e -> a b c d e", {}, "dimensions on the left"),
    ("a (b e) c d -> a b c d e", {"e": 4}, "size 6 cannot be"), ("a (b e) c d -> a b c d e", {}, "not determined"),
    ("a b c d -> (a b c d", {}, "not closed"), ("a b c d -> a b) c d", {}, "cannot read"), ("a b c d -> a b c d ?", {}, "cannot read"),
    ("a b c d -> d c b a", {"z": 2}, "belong to no name"), ("a b c (d ...) -> a b c d ...", {}, "ellipsis inside"),
    ("a b 1 d -> a b d", {}, "size 4 cannot be"), ("a (b e) c d -> a b c d e", {"e": 0}, "positive ints"),
    ("a 7 c d -> a c d", {}, "cannot read"),
])  # fmt: skip
def test_patterns_that_do_not_fit(pattern: str, sizes: dict[str, int], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        rearrange(ccdl.tensor(X), pattern, **sizes)
    for tensor, text in ((None, "a -> a"), (3, "a -> a"), (ccdl.ones(2), None)):
        with pytest.raises(TypeError, match="rearrange"):
            rearrange(tensor, text)  # type: ignore[arg-type]
