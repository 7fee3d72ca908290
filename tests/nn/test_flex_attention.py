"""flex_attention: masks and score functions against attention written out in NumPy, block lists against counting."""

import math

import numpy as np
import pytest

import ccdl
from ccdl.nn.attention.flex_attention import (
    AuxRequest,
    BlockMask,
    and_masks,
    create_block_mask,
    create_mask,
    flex_attention,
    noop_mask,
    or_masks,
)


def causal(b, h, q_idx, kv_idx):
    return q_idx >= kv_idx


def inputs(batch=2, heads=4, kv_heads=4, length=9, keys=11, dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = [(batch, heads, length, 8), (batch, kv_heads, keys, 8), (batch, kv_heads, keys, 6)]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def written_out(q, k, v, change=None, allowed=None, scale=None):
    """Output, log-sum-exp and greatest score, position by position."""
    batch, heads, length, size = q.shape
    keys, groups = k.shape[2], heads // k.shape[1]
    out, lse, top = np.zeros((batch, heads, length, v.shape[3])), np.zeros(q.shape[:3]), np.zeros(q.shape[:3])
    for b, h, i in np.ndindex(batch, heads, length):
        row = np.full(keys, -np.inf)
        for j in range(keys):
            if allowed is None or allowed(b, h, i, j):
                score = q[b, h, i] @ k[b, h // groups, j] * (size**-0.5 if scale is None else scale)
                row[j] = score if change is None else change(score, b, h, i, j)
        top[b, h, i] = row.max()
        weight = np.exp(row - row.max()) if np.isfinite(row.max()) else np.zeros(keys)
        lse[b, h, i] = row.max() + np.log(weight.sum()) if weight.any() else -np.inf
        out[b, h, i] = weight / max(weight.sum(), 1e-300) @ v[b, h // groups]
    return out, lse, top


SLOPES = np.array([0.5, 0.25, 0.125, 0.0625])
TABLE = np.random.default_rng(1).standard_normal((20, 5))
DOCUMENTS = np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3], [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]])
SCORES = {
    "none": (None, None),
    "slopes": (
        lambda s, b, h, i, j: s - ccdl.tensor(SLOPES)[h] * (i - j).abs(),
        lambda s, b, h, i, j: s - SLOPES[h] * abs(i - j),
    ),
    "soft cap": (lambda s, b, h, i, j: 2 * ccdl.tanh(s / 2), lambda s, b, h, i, j: 2 * np.tanh(s / 2)),
    "where": (
        lambda s, b, h, i, j: ccdl.where(i - j < 3, s, -float("inf")),
        lambda s, b, h, i, j: s if i - j < 3 else -np.inf,
    ),
    "rows of a table": (  # only right position by position
        lambda s, b, h, i, j: s + ccdl.dot(ccdl.tensor(TABLE)[i], ccdl.tensor(TABLE)[j]),
        lambda s, b, h, i, j: s + TABLE[i] @ TABLE[j],
    ),
    "sum over a row": (  # gives something else on whole tensors, without an error
        lambda s, b, h, i, j: s + ccdl.tensor(TABLE)[i].sum(),
        lambda s, b, h, i, j: s + TABLE[i].sum(),
    ),
    "control flow": (
        lambda s, b, h, i, j: s * 2 if int(i) % 2 else s,
        lambda s, b, h, i, j: s * 2 if i % 2 else s,
    ),
}
MASKS = {
    "none": (None, None),
    "causal": (causal, lambda b, h, i, j: i >= j),
    "documents": (
        lambda b, h, i, j: ccdl.tensor(DOCUMENTS)[b, i] == ccdl.tensor(DOCUMENTS)[b, j],
        lambda b, h, i, j: DOCUMENTS[b, i] == DOCUMENTS[b, j],
    ),
    "rows without keys": (lambda b, h, i, j: (i < 4) & (j < 3), lambda b, h, i, j: i < 4 and j < 3),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("score", SCORES)
def test_values_are_those_written_out(score, mask):
    q, k, v = inputs(length=5, kv_heads=2)
    mask_mod, allowed = MASKS[mask]
    block_mask = None
    if mask_mod is not None:
        block_mask = create_block_mask(mask_mod, 2, None, 5, 11, device="cpu", BLOCK_SIZE=4)
    out, aux = flex_attention(
        *map(ccdl.tensor, (q, k, v)),
        score_mod=SCORES[score][0],
        block_mask=block_mask,
        enable_gqa=True,
        return_aux=AuxRequest(lse=True, max_scores=True),
    )
    wanted = written_out(q, k, v, SCORES[score][1], allowed)
    for got, value in zip((out, aux.lse, aux.max_scores), wanted, strict=True):
        assert got.dtype == ccdl.float64
        np.testing.assert_allclose(got.cpu().numpy(), value, rtol=1e-12, atol=1e-12)


def test_scale_lse_and_low_precision():
    q, k, v = inputs()
    out, lse = flex_attention(*map(ccdl.tensor, (q, k, v)), scale=0.3, return_lse=True)
    wanted = written_out(q, k, v, scale=0.3)
    np.testing.assert_allclose(out.cpu().numpy(), wanted[0], rtol=1e-12)
    np.testing.assert_allclose(lse.cpu().numpy(), wanted[1], rtol=1e-12)
    half = flex_attention(*(ccdl.tensor(x).bfloat16() for x in (q, k, v)), return_lse=True)
    assert half[0].dtype == ccdl.bfloat16 and half[1].dtype == ccdl.float32


@pytest.mark.parametrize("name", ["slopes", "rows of a table"])
def test_gradients_reach_inputs_and_captured_tensors(name):
    q, k, v = (ccdl.tensor(x[:1, :2, :3], requires_grad=True) for x in inputs(keys=4))
    captured = ccdl.tensor(TABLE[:4], requires_grad=True)

    def slopes(s, b, h, i, j):
        return s - captured[h, 0] * (i - j)

    def rows(s, b, h, i, j):
        return s + ccdl.dot(captured[i], captured[j])

    mask = create_block_mask(lambda b, h, i, j: (i >= j) & (i > 0), None, None, 3, 3, device="cpu")
    score_mod = slopes if name == "slopes" else rows
    assert ccdl.autograd.gradcheck(
        lambda q, k, v, t: flex_attention(q, k, v, score_mod, mask), (q, k, v, captured)
    )
    flex_attention(q, k, v, score_mod, mask).sum().backward()
    assert all(bool(x.grad.isfinite().all()) and bool(x.grad.any()) for x in (q, v, captured))


@pytest.mark.parametrize("separate", [True, False])
def test_block_lists_count_the_blocks(separate):
    queries, keys, size = 70, 90, (16, 32)
    mask = create_block_mask(
        causal, None, 2, queries, keys, device="cpu", BLOCK_SIZE=size, separate_full_blocks=separate
    )
    dense = np.zeros((80, 96), bool)
    dense[:queries, :keys] = np.arange(queries)[:, None] >= np.arange(keys)
    blocks = dense.reshape(5, 16, 3, 32).transpose(0, 2, 1, 3)
    full = blocks.all((2, 3)) & separate
    partial = blocks.any((2, 3)) & ~full
    parts = [("", partial), ("full_", full)] if separate else [("", partial)]
    for prefix, marks in parts:
        for side, table in (("kv", marks), ("q", marks.T)):
            count = getattr(mask, f"{prefix}{side}_num_blocks")
            index = getattr(mask, f"{prefix}{side}_indices")
            assert count.dtype == index.dtype == ccdl.int32
            for head in range(2):
                assert count[0, head].tolist() == table.sum(1).tolist()
                for row, marked in enumerate(table):
                    listed = [*np.flatnonzero(marked), *np.flatnonzero(~marked)]
                    assert index[0, head, row].tolist() == listed
    assert mask.to_dense()[0, 1].tolist() == (partial | full).astype(int).tolist()
    assert mask.shape == (1, 2, queries, keys) and mask.numel() == 2 * queries * keys
    share = (partial | full).sum() * 16 * 32 / (queries * keys)
    assert math.isclose(mask.sparsity(), 100 * (1 - share))
    if not separate:
        assert mask.full_kv_num_blocks is None and mask.full_q_indices is None


def test_block_mask_slices_moves_and_prints():
    mask = create_block_mask(lambda b, h, i, j: (i >= j) & (h < 2), 2, 3, 70, 90, device="cpu", BLOCK_SIZE=16)
    assert mask[0].shape == (1, 3, 70, 90) and mask[0:1, -1].shape == (1, 1, 70, 90)
    assert mask[:, :, ccdl.tensor([1])].kv_num_blocks.shape == (2, 3, 1)
    assert int(mask[:, 2].kv_num_blocks.sum()) == 0
    assert mask._adjust(20, 33).shape == (2, 3, 20, 33)
    assert mask.to("cpu").kv_indices.tolist() == mask.kv_indices.tolist()
    assert len(mask.as_tuple()) == 13 and len(mask.as_tuple(flatten=False)) == 11
    q = ccdl.zeros(1, 1, 16, 4)
    with pytest.raises(RuntimeError, match="sliced block mask"):
        flex_attention(q, q, q, block_mask=mask[0, 0])
    small = create_block_mask(causal, None, None, 512, 512, device="cpu")
    assert str(small).startswith("BlockMask(shape=(1, 1, 512, 512), sparsity=37.50%, \n(0, 0)\n██      \n████")
    assert "mask_mod=causal" in repr(small)
    assert small.to_string(grid_size=2) == "(0, 0)\n░░  \n██░░\n"
    assert "limit=N" in create_block_mask(causal, 3, 2, 8, 8, device="cpu").to_string(limit=1)


def test_masks_join_and_come_from_scores():
    near = and_masks(causal, lambda b, h, i, j: i - j < 2)
    first = or_masks(causal, lambda b, h, i, j: j < 2)
    rows, columns = np.arange(4)[:, None], np.arange(5)
    lower = rows >= columns
    assert (create_mask(near, None, 2, 4, 5, device="cpu").cpu().numpy() == (lower & (rows - columns < 2))).all()
    assert (create_mask(first, 2, None, 4, 5, device="cpu").cpu().numpy() == (lower | (columns < 2))).all()

    def score(s, b, h, i, j):
        return ccdl.where(i > j, s, -float("inf"))

    got = create_mask(score, 2, 2, 4, 5, device="cpu")
    assert got.shape == (2, 2, 4, 5) and (got.cpu().numpy() == (rows > columns)).all()
    assert create_mask(noop_mask, None, None, 2, 2, device="cpu").all()


def test_a_longer_mask_serves_and_a_mask_from_lists():
    q = ccdl.tensor(inputs()[0])
    mask = create_block_mask(causal, None, None, 64, 64, device="cpu", BLOCK_SIZE=16)
    wanted = written_out(*[q.cpu().numpy()] * 3, allowed=lambda b, h, i, j: i >= j)[0]
    np.testing.assert_allclose(flex_attention(q, q, q, block_mask=mask).cpu().numpy(), wanted, rtol=1e-12)
    count, index = ccdl.tensor([[[1, 2]]]).int(), ccdl.tensor([[[[0, 1], [0, 1]]]]).int()
    built = BlockMask.from_kv_blocks(count, index, BLOCK_SIZE=8, mask_mod=causal)
    assert built.shape == (1, 1, 16, 16) and built.q_num_blocks.tolist() == [[[2, 1]]]
    np.testing.assert_allclose(flex_attention(q, q, q, block_mask=built).cpu().numpy(), wanted, rtol=1e-12)


def test_bad_calls_say_what_does_not_fit():
    q = ccdl.zeros(2, 4, 6, 8)
    short = create_block_mask(causal, None, None, 4, 6, device="cpu")
    three = create_block_mask(causal, 3, None, 6, 6, device="cpu")
    two = ccdl.zeros(2, 2, 6, 8)
    for error, part, call in [
        (ValueError, "same dtype", lambda: flex_attention(q, q.double(), q)),
        (ValueError, "floating point", lambda: flex_attention(q.long(), q.long(), q.long())),
        (NotImplementedError, "4D", lambda: flex_attention(q[0], q[0], q[0])),
        (ValueError, "embedding", lambda: flex_attention(q, q[..., :4], q)),
        (ValueError, "key and value must agree", lambda: flex_attention(q, q, q[:, :, :3])),
        (RuntimeError, "broadcast", lambda: flex_attention(q[:1], q, q)),
        (ValueError, "enable_gqa", lambda: flex_attention(q, two, two)),
        (ValueError, "multiple", lambda: flex_attention(q[:, :3], two, two, enable_gqa=True)),
        (TypeError, "create_block_mask", lambda: flex_attention(q, q, q, block_mask=q)),
        (ValueError, "create a new block mask", lambda: flex_attention(q, q, q, block_mask=short)),
        (ValueError, "3 samples", lambda: flex_attention(q, q, q, block_mask=three)),
        (AssertionError, "positional", lambda: create_mask(lambda a: a, 1, 1, 2, 2, device="cpu")),
        (AssertionError, "mask_mod", lambda: create_block_mask(SCORES["slopes"][0], 1, 1, 2, 2)),
        (RuntimeError, "callable", lambda: or_masks(causal, 3)),
        (RuntimeError, "2 dimensions", lambda: BlockMask.from_kv_blocks(ccdl.zeros(1), ccdl.zeros(1))),
        (RuntimeError, "one for each row", lambda: BlockMask.from_kv_blocks(q, q)),
        (AssertionError, "neither", lambda: BlockMask.from_kv_blocks(q[..., 0], q, q)),
    ]:
        with pytest.raises(error, match=part):
            call()
