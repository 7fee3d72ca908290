"""Attention beyond one op call: dropout, memory, layouts, threads, and what the notes say attention must satisfy."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

_SPEC = importlib.util.spec_from_file_location("attention_reference", Path(__file__).parents[1] / "ops/attention.py")
assert _SPEC is not None and _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s) for s in shapes]


def tensors(*found, dtype=None, grad=False):
    made = [ccdl.tensor(a, dtype=dtype) for a in found]
    return [t.requires_grad_() for t in made] if grad else made


def drawn_mask(shape, p, seed):
    """What F.dropout keeps of a tensor of this shape from the same place of the stream."""
    ccdl.manual_seed(seed)
    return F.dropout(ccdl.ones(*shape, dtype=ccdl.float64), p).cpu().numpy()


# ---- dropout ----


@pytest.mark.parametrize("length,keys,causal", [(3, 5, False), (2, 700, False), (70, 300, True)])
def test_dropout_against_the_drawn_mask(length, keys, causal):
    q, k, v, dout = arrays((2, 4, length, 8), (2, 2, keys, 8), (2, 2, keys, 6), (2, 4, length, 6))
    keep = drawn_mask((2, 4, length, keys), 0.3, 11)
    ccdl.manual_seed(11)
    tq, tk, tv = tensors(q, k, v, grad=True)
    out = F.scaled_dot_product_attention(tq, tk, tv, None, 0.3, causal, enable_gqa=True)
    s = reference.scores(q, k, is_causal=causal, enable_gqa=True)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    wide = np.repeat(v, 2, axis=1)
    np.testing.assert_allclose(out.detach().cpu().numpy(), (p * keep) @ wide, rtol=1e-11, atol=1e-12)
    out.backward(ccdl.tensor(dout))
    dp = dout @ np.swapaxes(wide, -1, -2) * keep
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / math.sqrt(8)
    want = (ds @ np.repeat(k, 2, axis=1), np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p * keep, -1, -2) @ dout)
    np.testing.assert_allclose(tq.grad.cpu().numpy(), want[0], rtol=1e-10, atol=1e-11)
    for got, w in zip((tk.grad, tv.grad), want[1:], strict=True):
        np.testing.assert_allclose(got.cpu().numpy(), w.reshape(2, 2, 2, *w.shape[2:]).sum(2), rtol=1e-10, atol=1e-11)


def test_dropout_rate_and_limits():
    q, v = ccdl.zeros(2, 3, 50, 4), ccdl.ones(2, 3, 400, 1)
    k = ccdl.zeros(2, 3, 400, 4)
    ccdl.manual_seed(0)
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25)
    assert abs(out.mean().item() - 1) < 0.01 and out.std().item() > 0.005
    again = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25)
    assert not ccdl.equal(out, again), "every call draws anew"
    assert F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).abs().max().item() == 0


def test_second_derivative_redraws_the_same_mask():
    q, k, v, dq = arrays((1, 1, 2, 2), (1, 1, 3, 2), (1, 1, 3, 2), (1, 1, 2, 2))

    def slope(shift):
        ccdl.manual_seed(3)
        tq, tk, tv = tensors(q + shift, k, v, grad=True)
        out = F.scaled_dot_product_attention(tq, tk, tv, dropout_p=0.4)
        (g,) = ccdl.autograd.grad([out.square().sum()], [tq], create_graph=True)
        return tq, (g * ccdl.tensor(dq)).sum()

    tq, first = slope(0.0)
    ccdl.rand(7)  # the stream moves on between forward and backward
    (second,) = ccdl.autograd.grad([first], [tq])
    h = 1e-5
    for index in np.ndindex(*q.shape):
        step = np.zeros(q.shape)
        step[index] = h
        want = (slope(step)[1].item() - slope(-step)[1].item()) / (2 * h)
        assert abs(second[index].item() - want) < 1e-6 * max(1, abs(want))


# ---- memory, layout, threads ----


@pytest.mark.host
@pytest.mark.parametrize("causal", [False, True])
def test_memory_grows_with_the_length(causal):
    """Four times the length takes four times the memory: the matrix of scores would take sixteen."""

    def peak(length):
        ccdl.manual_seed(0)
        q, k, v = (ccdl.randn(1, 8, length, 64, requires_grad=True) for _ in range(3))
        before = ccdl.cpu.memory_allocated()
        ccdl.cpu.reset_peak_memory_stats()
        F.scaled_dot_product_attention(q, k, v, is_causal=causal).sum().backward()
        return ccdl.cpu.max_memory_allocated() - before

    peak(64)
    short, long = peak(1024), peak(4096)
    assert long <= 4.4 * short, (short, long)
    assert long < 8 * 4096 * 4096 * 4 / 4, "a quarter of the matrix of scores"


@pytest.mark.host
def test_saves_inputs_output_and_sums_only():
    q, k, v = (ccdl.randn(2, 8, 512, 64, requires_grad=True) for _ in range(3))
    before = ccdl.cpu.memory_allocated()
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1)
    kept = ccdl.cpu.memory_allocated() - before
    assert kept <= 1.1 * (out.numel() + 2 * 8 * 512) * 4


@pytest.mark.parametrize("length", [1, 5, 130])
def test_output_joins_heads_without_a_copy(length):
    x = ccdl.randn(2, length, 3 * 4 * 8)
    q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in x.chunk(3, -1))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    joined = out.transpose(1, 2).reshape(2, length, 32)
    assert joined.data_ptr() == out.data_ptr() and joined.is_contiguous()
    plain = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous(), is_causal=True)
    assert plain.is_contiguous() and ccdl.equal(plain, out)
    assert out.untyped_storage().nbytes() == out.numel() * 4 if hasattr(out, "untyped_storage") else True


@pytest.mark.host
@pytest.mark.parametrize("shape", [(1, 2, 700, 900, 40), (3, 5, 130, 200, 64), (1, 2, 3, 2500, 64)])
def test_bits_do_not_depend_on_threads(shape):
    batch, heads, length, keys, dim = shape
    found = arrays((batch, heads, length, dim), (batch, heads, keys, dim), (batch, heads, keys, dim))
    before, seen = ccdl.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4):
            ccdl.set_num_threads(threads)
            ccdl.manual_seed(5)
            q, k, v = tensors(*found, dtype=ccdl.float32, grad=True)
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True)
            out.square().sum().backward()
            seen.append([t.detach().numpy().tobytes() for t in (out, q.grad, k.grad, v.grad)])
    finally:
        ccdl.set_num_threads(before)
    assert all(s == seen[0] for s in seen)


@pytest.mark.parametrize("dtype,tol", [("float16", 4e-3), ("bfloat16", 3e-2)])
def test_half_gradients(dtype, tol):
    found = arrays((2, 4, 70, 24), (2, 2, 300, 24), (2, 2, 300, 40), (2, 4, 70, 40))
    half = [ccdl.tensor(a).to(getattr(ccdl, dtype)) for a in found]
    exact = [h.double() for h in half]
    grads = []
    for q, k, v, dout in (half, exact):
        inputs = [x.detach().requires_grad_() for x in (q, k, v)]
        F.scaled_dot_product_attention(*inputs, is_causal=True, enable_gqa=True).backward(dout)
        grads.append([x.grad.double().cpu().numpy() for x in inputs])
        assert all(x.grad.dtype is x.dtype for x in inputs)
    for got, want in zip(*grads, strict=True):
        np.testing.assert_allclose(got, want, rtol=tol, atol=tol * max(1, float(np.abs(want).max())))


# ---- gradients that are asked for in part, and through the sums ----


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_the_asked_gradients(wanted):
    found = arrays((1, 2, 66, 5), (1, 2, 250, 5), (1, 2, 250, 3), (1, 2, 66, 3))
    dout = ccdl.tensor(found[3])
    everything = tensors(*found[:3], grad=True)
    F.scaled_dot_product_attention(*everything).backward(dout)
    some = tensors(*found[:3])
    for x, w in zip(some, wanted, strict=True):
        x.requires_grad_(w)
    F.scaled_dot_product_attention(*some).backward(dout)
    for x, full, w in zip(some, everything, wanted, strict=True):
        assert (x.grad is not None) == w
        if w:
            np.testing.assert_array_equal(x.grad.cpu().numpy(), full.grad.cpu().numpy())


def test_two_halves_of_the_keys_join_by_their_sums():
    q, k, v = tensors(*arrays((1, 2, 9, 8), (1, 2, 40, 8), (1, 2, 40, 8)), grad=True)
    want = F.scaled_dot_product_attention(q, k, v)
    parts = [F.attention(q, k[:, :, part], v[:, :, part], return_lse=True) for part in (slice(0, 13), slice(13, 40))]
    lse = ccdl.stack([s for _, s in parts])
    weights = ccdl.softmax(lse, 0).unsqueeze(-1)
    joined = weights[0] * parts[0][0] + weights[1] * parts[1][0]
    np.testing.assert_allclose(joined.detach().cpu().numpy(), want.detach().cpu().numpy(), rtol=1e-12, atol=1e-13)
    dout = ccdl.tensor(arrays((1, 2, 9, 8), seed=4)[0])
    for got, full in zip(ccdl.autograd.grad([joined], [q, k, v], [dout]), ccdl.autograd.grad([want], [q, k, v], [dout]),
                         strict=True):
        np.testing.assert_allclose(got.cpu().numpy(), full.cpu().numpy(), rtol=1e-10, atol=1e-12)


def test_fused_equals_composite(device):
    """The fused kernels against the same formula from products and softmax."""
    length, keys = (90, 310) if device == "cpu" else (9, 70)
    q, k, v = arrays((2, 4, length, 12), (2, 2, keys, 12), (2, 2, keys, 20))
    mask = np.random.default_rng(2).random((2, 1, length, keys)) > 0.3
    mask[0, 0, 7] = False
    for how in ({"attn_mask": ccdl.tensor(mask)}, {"is_causal": True}, {"is_causal": True, "lower_right": True},
                {"key_lengths": ccdl.tensor([17, keys])}, {"dropout_p": 0.3}):
        found = []
        for composite in (False, True):
            ccdl.manual_seed(1)
            inputs = tensors(q, k, v, grad=True)
            out, lse = ccdl._C._attention(*inputs, enable_gqa=True, composite=composite, **how)
            out.square().sum().backward()
            found.append([t.detach().cpu().numpy() for t in (out, lse, *(x.grad for x in inputs))])
        for got, want in zip(*found, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)


# ---- what attention must satisfy ----


@pytest.mark.parametrize("length", [5, 90, 300])
def test_permutation_equivariance_without_positions(device, length):
    length = length if device == "cpu" else min(length, 70)
    x, w = arrays((2, 3, length, 8), (8, 8))
    order = np.random.default_rng(1).permutation(length)

    def attend(a):
        t = ccdl.tensor(a)
        return F.scaled_dot_product_attention(t @ ccdl.tensor(w), t, t).cpu().numpy()

    np.testing.assert_allclose(attend(x[:, :, order]), attend(x)[:, :, order], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("length,at", [(7, 3), (200, 63), (200, 64), (500, 385)])
def test_causal_mask_gives_no_gradient_to_the_future(device, length, at):
    if device != "cpu":  # where a block border is at 64 keys
        length, at = min(length, 70), min(at, 65)
    q, k, v = tensors(*arrays(*[(1, 2, length, 8)] * 3), grad=True)
    F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, :, at].sum().backward()
    for x in (k, v):
        assert x.grad[:, :, at + 1:].abs().max().item() == 0
        assert x.grad[:, :, :at + 1].abs().min().item() > 0
    others = q.grad.clone()
    others[:, :, at] = 0
    assert others.abs().max().item() == 0


def test_values_that_are_not_seen_do_not_matter(device):
    q, k, v = arrays((2, 2, 70 if device == "cpu" else 9, 8), (2, 2, 300, 8), (2, 2, 300, 8))
    lengths = ccdl.tensor([40, 299])
    want = F.attention(*tensors(q, k, v), key_lengths=lengths).cpu().numpy()
    for b, n in enumerate((40, 299)):
        k[b, :, n:] = v[b, :, n:] = np.nan
    inputs = tensors(q, k, v, grad=True)
    out = F.attention(*inputs, key_lengths=lengths)
    np.testing.assert_array_equal(out.detach().cpu().numpy(), want)
    out.sum().backward()
    assert all(bool(ccdl.isfinite(x.grad).all()) for x in inputs)


def test_nan_stays_in_its_row(device):
    q, k, v = arrays((1, 1, 70 if device == "cpu" else 9, 8), (1, 1, 300, 8), (1, 1, 300, 8))
    want = F.scaled_dot_product_attention(*tensors(q, k, v)).cpu().numpy()
    q[0, 0, 5, 2] = np.nan
    got = F.scaled_dot_product_attention(*tensors(q, k, v)).cpu().numpy()
    assert np.isnan(got[0, 0, 5]).all()
    np.testing.assert_array_equal(np.delete(got, 5, axis=2), np.delete(want, 5, axis=2))


def test_scores_of_any_size():
    """Large scores, and a mask of the lowest finite number, stay finite."""
    q, k, v = arrays((1, 1, 3, 4), (1, 1, 6, 4), (1, 1, 6, 4))
    for dtype in (ccdl.float32, ccdl.float64):
        out = F.scaled_dot_product_attention(*tensors(q * 1e4, k * 1e4, v, dtype=dtype))
        want = reference.sdpa(q * 1e4, k * 1e4, v)
        np.testing.assert_allclose(out.cpu().numpy(), want, rtol=1e-5)
        lowest = ccdl.full((3, 6), ccdl.finfo(dtype).min, dtype=dtype)
        out = F.scaled_dot_product_attention(*tensors(q, k, v, dtype=dtype), attn_mask=lowest)
        np.testing.assert_allclose(out.cpu().numpy(), np.broadcast_to(v.mean(2, keepdims=True), out.shape), rtol=1e-5)


@pytest.mark.host
@pytest.mark.parametrize("length,keys", [(1, 2**40), (64, 2**40), (64, 2**58), (64, 2**59), (2**40, 3)])
def test_sizes_that_no_memory_holds(length, keys):
    q, kv = ccdl.ones(1, 1, 1, 8).expand(1, 1, length, 8), ccdl.ones(1, 1, 1, 8).expand(1, 1, keys, 8)
    with pytest.raises(MemoryError):
        F.scaled_dot_product_attention(q, kv, kv)


# ---- accepted switches and biases ----


def test_backend_switches_are_accepted():
    from ccdl.nn.attention import SDPBackend, sdpa_kernel

    x = ccdl.ones(1, 1, 2, 4)
    for choice in (SDPBackend.MATH, [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION]):
        with sdpa_kernel(choice, set_priority=True):
            assert ccdl.backends.cuda.math_sdp_enabled() == (choice is SDPBackend.MATH)
            assert F.scaled_dot_product_attention(x, x, x).sum().item() == 8
        assert ccdl.backends.cuda.math_sdp_enabled() and ccdl.backends.cuda.flash_sdp_enabled()
    with pytest.raises(AssertionError, match="SDPBackend"), sdpa_kernel("flash"):
        pass
    ccdl.backends.cuda.enable_flash_sdp(False)
    assert not ccdl.backends.cuda.flash_sdp_enabled()
    ccdl.backends.cuda.enable_flash_sdp(True)
    with ccdl.backends.cuda.sdp_kernel(enable_flash=True, enable_math=False, enable_mem_efficient=False):
        assert F.scaled_dot_product_attention(x, x, x).sum().item() == 8


@pytest.mark.parametrize("length,keys", [(3, 3), (2, 5), (5, 2)])
def test_causal_biases(length, keys):
    from ccdl.nn.attention.bias import CausalBias, CausalVariant, causal_lower_right, causal_upper_left

    q, k, v = arrays((1, 2, length, 4), (1, 2, keys, 4), (1, 2, keys, 4))
    for bias, lower in ((causal_upper_left(length, keys), False), (causal_lower_right(length, keys), True)):
        assert bias.shape == (length, keys)
        got = F.scaled_dot_product_attention(*tensors(q, k, v), attn_mask=bias)
        want = reference.attend(reference.scores(q, k, is_causal=True, lower_right=lower), q, v)[0]
        np.testing.assert_allclose(got.cpu().numpy(), want, rtol=1e-12, atol=1e-13)
        masked = F.scaled_dot_product_attention(*tensors(q, k, v), attn_mask=bias._materialize())
        np.testing.assert_allclose(masked.cpu().numpy(), want, rtol=1e-12, atol=1e-13)
        with pytest.raises(ValueError, match="lengths"):
            F.scaled_dot_product_attention(*tensors(q, k[:, :, :1], v[:, :, :1]), attn_mask=bias)
    with pytest.raises(ValueError, match="is_causal"):
        F.scaled_dot_product_attention(*tensors(q, k, v), attn_mask=bias, is_causal=True)
    with pytest.raises(AssertionError):
        CausalBias("upper", 1, 2)
    assert CausalBias(CausalVariant.LOWER_RIGHT, 1, 2).variant == 2


def test_signature_is_pytorchs():
    q = ccdl.ones(1, 2, 4)
    F.scaled_dot_product_attention(query=q, key=q, value=q, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                                   enable_gqa=False)
    with pytest.raises(TypeError):
        F.scaled_dot_product_attention(q, q, q, None, 0.0, False, 1.0)
    with pytest.raises(ValueError, match="causal_alignment"):
        F.attention(q, q, q, is_causal=True, causal_alignment="diagonal")
