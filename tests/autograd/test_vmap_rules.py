"""Calls inside vmap, by their rules: values and gradients against a loop over the samples, for every mixture of
mapped and shared arguments, and that no call with a rule fell back to a loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F
from ccdl._batching import core

SIZE = 3


def floats(*shape):
    return shape, "f"


def positive(*shape):
    return shape, "p"


def ints(high, *shape):
    return shape, high


def masks(*shape):
    return shape, "b"


def made(spec, mapped, seed):
    shape, kind = spec
    rng = np.random.default_rng(seed)
    shape = (SIZE, *shape) if mapped else shape
    if kind == "f":
        return ccdl.tensor(rng.standard_normal(shape))
    if kind == "p":
        return ccdl.tensor(rng.uniform(0.3, 0.8, shape))
    if kind == "b":
        return ccdl.tensor(rng.uniform(size=shape) > 0.5)
    return ccdl.tensor(rng.integers(0, kind, shape))


def by_loop(f, args, mapped):
    rows = [f(*(a[i] if m else a for a, m in zip(args, mapped))) for i in range(SIZE)]
    if isinstance(rows[0], (tuple, list)):
        return [ccdl.stack(list(column)) for column in zip(*rows)]
    return [ccdl.stack(rows)]


def compare(f, specs, looped=(), gradients=True):
    for mapped in itertools.product((True, False), repeat=len(specs)):
        if not any(mapped):
            continue
        args = [made(s, m, i) for i, (s, m) in enumerate(zip(specs, mapped))]
        for a in args:
            if gradients and a.is_floating_point():
                a.requires_grad_()
        want = by_loop(f, args, mapped)
        # the mapped dimension first, second or last
        dims = [(0 if not m else (i % 2) * (a.dim() > 1) - (i == 2)) for i, (a, m) in enumerate(zip(args, mapped))]
        moved = [a.movedim(0, d) if m else a for a, m, d in zip(args, mapped, dims)]
        core.looped.clear()
        runs = []
        found = ccdl.vmap(lambda *a: (runs.append(1), f(*a))[1], in_dims=tuple(d if m else None for m, d in zip(mapped, dims)))(*moved)
        assert set(core.looped) == set(looped) and len(runs) == 1, (mapped, core.looped, len(runs))
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        for a, b in zip(found, want):
            assert a.shape == b.shape and a.dtype is b.dtype, (mapped, a.shape, b.shape, a.dtype, b.dtype)
            np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), rtol=1e-9, atol=1e-11, err_msg=str(mapped))
        leaves = [a for a in args if a.requires_grad]
        pairs = [(a, b) for a, b in zip(found, want) if b.requires_grad]
        assert all(a.requires_grad for a, _ in pairs)
        if leaves and pairs:
            weights = [made(floats(*b.shape), False, 9) for _, b in pairs]
            each = [ccdl.autograd.grad([p[k] for p in pairs], leaves, weights, allow_unused=True) for k in (0, 1)]
            for a, b in zip(*each):
                assert (a is None) == (b is None)
                if a is not None:
                    np.testing.assert_allclose(a.cpu().numpy(), b.cpu().numpy(), rtol=1e-8, atol=1e-10, err_msg=f"gradient {mapped}")


x, m2 = floats(4, 5), floats(4, 5)
image, filters = floats(2, 4, 6, 6), floats(6, 4, 3, 3)
UNARY = ("abs acos angle asin atan ceil cos cosh erf erfc exp exp2 expm1 floor frac log log10 log1p log2 lgamma digamma "
         "neg reciprocal relu round rsqrt sigmoid sign sin sinh sqrt square tan tanh trunc isfinite isnan logit").split()
ACTIVATIONS = ("celu elu gelu hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu relu6 selu silu softplus softshrink "
               "softsign tanhshrink hardshrink").split()
BINARY = "add sub mul div maximum minimum atan2 fmax fmin hypot logaddexp lt le eq ne ge gt copysign fmod remainder".split()
CASES = {
    **{n: (getattr(ccdl, n), [positive(2, 3)]) for n in UNARY},
    **{f"F.{n}": (getattr(F, n), [x]) for n in ACTIVATIONS},
    **{n: (getattr(ccdl, n), [x, m2]) for n in BINARY},
    **{f"{n} of other ranks": (getattr(ccdl, n), [floats(5), floats(4, 5)]) for n in BINARY},
    "numbers": (lambda a, b: 2 * a + b / 3 - (1 - a) ** 2 + 2**b, [floats(), floats(3)]),
    "a power": (lambda a, b: a**b, [positive(4), positive(3, 4)]),
    "reflected": (lambda a: (1 / a, 2 - a, 3 // a, 5 % a), [positive(3)]),
    "where": (lambda c, a, b: ccdl.where(c, a, b), [masks(4, 1), floats(5), floats(4, 5)]),
    "masked_fill": (lambda a, c: a.masked_fill(c, -1.0), [x, masks(5)]),
    "clamp": (lambda a: a.clamp(-0.5, 0.5), [x]),
    "lerp": (lambda a, b, w: ccdl.lerp(a, b, w), [x, m2, floats(5)]),
    "addcmul": (lambda a, b, d: ccdl.addcmul(a, b, d, value=0.5), [x, floats(5), floats(4, 1)]),
    "casts": (lambda a: (a.float(), a.int(), a.to(ccdl.float32), a.bool()), [x]),
    "logic": (lambda a, b: ((a > 0) & (b > 0), (a > 0) | ~(b > 0), ccdl.logical_xor(a > 0, b > 0)), [x, m2]),
    **{n: (lambda a, n=n: getattr(a, n)(), [x]) for n in "sum mean amax amin prod std var max min median argmax".split()},
    **{f"{n} of a number": (lambda a, n=n: getattr(a, n)(), [floats()]) for n in "sum mean prod max amax".split()},
    **{f"{n} along": (lambda a, n=n: (getattr(a, n)(0), getattr(a, n)(-1, keepdim=True)), [x]) for n in "sum mean amax amin prod std var argmax argmin all any logsumexp".split()},
    **{f"{n} along": (lambda a, n=n: (*getattr(a, n)(1), *getattr(a, n)(-2, keepdim=True)), [x]) for n in "max min median".split()},
    "sum over two": (lambda a: (a.sum((0, 2)), a.mean([-1, 0], keepdim=True), a.var((1, 2))), [floats(2, 3, 4)]),
    "sum keepdim": (lambda a: a.sum((0, 1), keepdim=True), [x]),
    "norms": (lambda a: (a.norm(), a.norm(dim=1), ccdl.linalg.vector_norm(a, 1, dim=0), ccdl.linalg.norm(a)), [x]),
    "std without correction": (lambda a: (a.std(unbiased=False), a.var(0, correction=0), *ccdl.var_mean(a, 1)), [x]),
    "quantile": (lambda a: (ccdl.quantile(a, 0.3), ccdl.quantile(a, 0.6, dim=1)), [x]),
    "softmax": (lambda a: (F.softmax(a, 0), a.softmax(-1), F.log_softmax(a, dim=1), F.softmin(a, 1)), [x]),
    "running": (lambda a: (a.cumsum(0), a.cumprod(-1), ccdl.logcumsumexp(a, 1), *ccdl.cummax(a, 1), *ccdl.cummin(a, 0)), [x]),
    "orders": (lambda a: (*a.sort(), *a.sort(0, descending=True), a.argsort(1), *a.topk(2), *a.topk(2, 0), *a.kthvalue(2, 1)), [x]),
    "flip roll": (lambda a: (a.flip(0), a.flip((0, 1)), a.roll(1, 0), a.roll(2), a.roll((1, 2), (0, 1)), ccdl.rot90(a)), [x]),
    "glu diff": (lambda a: (F.glu(a, 0), ccdl.diff(a), ccdl.diff(a, dim=0)), [x]),
    "trace": (ccdl.trace, [floats(4, 4)]),
    "reshape": (lambda a: (a.reshape(2, -1), a.reshape(20), a.view(5, 4), a.flatten(), a.unflatten(1, (1, 5)), a.ravel()), [x]),
    "permute": (lambda a: (a.permute(2, 0, 1), a.transpose(0, -1), a.movedim(0, 2), a.swapaxes(0, 1), a.mT, a[0].t(), a[0].T), [floats(2, 3, 4)]),
    "squeeze": (lambda a: (a.squeeze(), a.squeeze(0), a.squeeze(1), a.squeeze(-1), a.unsqueeze(0), a.unsqueeze(-1), a.unsqueeze(1)), [floats(1, 4, 1)]),
    "expand": (lambda a: (a.expand(2, 4, 5), a.expand(4, 5), a.expand(-1, 5), ccdl.broadcast_to(a, (3, 4, 5))), [floats(4, 1)]),
    "cat": (lambda a, b: (ccdl.cat([a, b]), ccdl.cat([a, b], -1), ccdl.stack([a, b], 1), ccdl.stack((a, b), -1), ccdl.hstack([a, b]), ccdl.vstack([a, b])), [x, m2]),
    "split": (lambda a: (*a.split(2), *a.split([1, 4], 1), *a.chunk(2, dim=-1), *a.unbind(0), *a.tensor_split(3, 1)), [x]),
    "select": (lambda a: (a.select(1, 2), a.narrow(0, 1, 2), a.unfold(1, 3, 1)), [x]),
    "repeat": (lambda a: (a.repeat(2, 1), a.repeat(2, 1, 3), a.tile(2), a.repeat_interleave(2, 0), a.repeat_interleave(2)), [x]),
    "diagonal": (lambda a: (a.diagonal(), a.diagonal(1), ccdl.diag(a), ccdl.diag_embed(a), ccdl.diag(a[0]), a.tril(), a.triu(1)), [x]),
    "iteration": (lambda a: tuple(row * 2 for row in a), [x]),
    "basic index": (lambda a: (a[0], a[-1, 2], a[1:], a[:, ::2], a[..., 0], a[None], a[:, None], a[..., None, 1:3]), [x]),
    "index by tensors": (lambda a, i, j: (a[i], a[:, j], a[i, j], a[i[None], j[:, None]], a[..., i]), [x, ints(4, 3), ints(4, 3)]),
    "index with a slice between": (lambda a, i, j: (a[i, :, j], a[:, i, j]), [floats(4, 4, 4), ints(4, 3), ints(4, 3)]),
    "index by a number": (lambda a, i: (a[i], a[:, i]), [x, ints(4, 1)]),
    "gather": (lambda a, i: (a.gather(1, i), ccdl.take_along_dim(a, i, 1)), [x, ints(5, 4, 2)]),
    "scatter": (lambda a, i, s: (a.scatter(1, i, s), a.scatter_add(1, i, s), a.scatter(0, i[:1] % 4, 2.0)), [x, ints(2, 4, 1), floats(4, 1)]),
    "index_select": (lambda a, i: (a.index_select(0, i), a.index_select(1, i)), [x, ints(4, 3)]),
    "index_add": (lambda a, i, s: a.index_add(0, i, s), [x, ints(4, 3), floats(3, 5)]),
    "one_hot": (lambda i: F.one_hot(i, 5), [ints(5, 4)]),
    "embedding": (lambda i, w: F.embedding(i, w), [ints(5, 4), floats(5, 3)]),
    "matmul": (lambda a, b: (a @ b, a.mm(b), a[0] @ b, a @ b[:, 0], a.mv(b[:, 0]), a[0].dot(b[:, 0])), [floats(4, 5), floats(5, 3)]),
    "bmm": (lambda a, b: (a.bmm(b), a @ b, a @ b[0], a[0] @ b), [floats(2, 4, 5), floats(2, 5, 3)]),
    "added products": (lambda a, b, d: (ccdl.addmm(d, a, b, beta=0.5, alpha=2), ccdl.addmv(d[:, 0], a, b[:, 0]), ccdl.outer(a[0], b[0])), [floats(4, 5), floats(5, 3), floats(4, 3)]),
    "einsum": (lambda a, b: (ccdl.einsum("ij,jk->ik", a, b), ccdl.einsum("ij,jk", a, b), ccdl.einsum("i...,jk->...k", a, b), ccdl.tensordot(a, b, 1)), [floats(4, 5), floats(5, 3)]),
    "linear": (lambda a, w, b: (F.linear(a, w, b), F.linear(a[0], w, b), F.linear(a[None], w)), [floats(4, 5), floats(3, 5), floats(3)]),
    "bilinear": (lambda a, b, w: F.bilinear(a, b, w), [floats(4, 2), floats(4, 3), floats(5, 2, 3)]),
    "conv2d": (lambda a, w, b: (F.conv2d(a, w, b), F.conv2d(a, w, b, stride=2, padding=1), F.conv2d(a[0], w, None, 1, 2, 2)), [image, filters, floats(6)]),
    "conv2d in groups": (lambda a, w: F.conv2d(a, w, groups=2, padding="same"), [image, floats(6, 2, 3, 3)]),
    "conv1d": (lambda a, w, b: (F.conv1d(a, w, b, padding=1), F.conv1d(a[0], w, b, 2)), [floats(2, 3, 7), floats(4, 3, 3), floats(4)]),
    "conv3d": (lambda a, w: F.conv3d(a, w, stride=(1, 2, 1)), [floats(1, 2, 4, 5, 4), floats(3, 2, 2, 2, 2)]),
    "conv_transpose2d": (lambda a, w, b: F.conv_transpose2d(a, w, b, stride=2, output_padding=1), [floats(2, 4, 3, 3), floats(4, 2, 3, 3), floats(2)]),
    "conv_transpose1d": (lambda a, w: F.conv_transpose1d(a, w, groups=2), [floats(2, 4, 5), floats(4, 3, 3)]),
    "pooling": (lambda a: (F.max_pool2d(a, 2), F.avg_pool2d(a, 3, 1, 1), F.adaptive_avg_pool2d(a, 2), F.adaptive_max_pool2d(a, 3), F.max_pool2d(a[0], 2), F.avg_pool1d(a[0], 2)), [image]),
    "resizing": (lambda a: (F.interpolate(a, scale_factor=2), F.interpolate(a, size=(3, 4), mode="bilinear"), F.pad(a, (1, 2)), F.pad(a, (1, 1, 2, 0), mode="reflect"), F.pixel_shuffle(a, 2), F.unfold(a, 3)), [image]),
    "layer_norm": (lambda a, w, b: (F.layer_norm(a, (5,), w, b), F.rms_norm(a, (5,), w)), [x, floats(5), floats(5)]),
    "group_norm": (lambda a, w, b: F.group_norm(a, 2, w, b), [image, floats(4), floats(4)]),
    "batch_norm": (lambda a, w, b: F.batch_norm(a, None, None, w, b, training=True), [image, floats(4), floats(4)]),
    "batch_norm with statistics": (lambda a, m, v: F.batch_norm(a, m, v), [image, floats(4), positive(4)]),
    "instance_norm": (lambda a: F.instance_norm(a), [image]),
    "losses": (lambda a, b: (F.mse_loss(a, b), F.l1_loss(a, b, reduction="sum"), F.smooth_l1_loss(a, b, reduction="none"), F.huber_loss(a, b)), [x, m2]),
    "binary losses": (lambda a, b: (F.binary_cross_entropy(a, b), F.binary_cross_entropy_with_logits(a, b), F.kl_div(a, b), F.kl_div(a, b, reduction="batchmean")), [positive(4, 5), positive(4, 5)]),
    "cross_entropy": (lambda a, t: (F.cross_entropy(a, t), F.cross_entropy(a, t, reduction="none"), F.cross_entropy(a, t, label_smoothing=0.1), F.cross_entropy(a[0], t[0]), F.cross_entropy(a, t, ignore_index=1, reduction="sum")), [x, ints(5, 4)]),
    "nll_loss": (lambda a, t: (F.nll_loss(a, t), F.nll_loss(a, t, weight=ccdl.arange(1.0, 6.0, dtype=ccdl.float64)), F.cross_entropy(a, t, ignore_index=2, label_smoothing=0.2)), [x, ints(5, 4)]),
    "cross_entropy of images": (lambda a, t: F.cross_entropy(a, t), [floats(2, 3, 4, 4), ints(3, 2, 4, 4)]),
    "cross_entropy of probabilities": (lambda a, p: (F.cross_entropy(a, p), F.cross_entropy(a, p, reduction="none")), [x, positive(4, 5)]),
    "attention": (lambda q, k, v: (F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q[0], k[0], v[0]), F.scaled_dot_product_attention(q, k, v, is_causal=True)), [floats(2, 3, 4, 5)] * 3),
    "attention with a mask": (lambda q, k, mask: (F.scaled_dot_product_attention(q, k, k, mask), F.scaled_dot_product_attention(q[0], k[0], k[0], mask)), [floats(2, 4, 5), floats(2, 4, 5), floats(4, 4)]),
    "prelu": (lambda a, w: F.prelu(a, w), [x, floats(5)]),
    "linalg": (lambda a: (ccdl.linalg.inv(a), ccdl.linalg.det(a), ccdl.linalg.cholesky(a @ a.mT), ccdl.linalg.eigvalsh(a + a.mT), ccdl.linalg.qr(a)[1].abs(), ccdl.linalg.svdvals(a), ccdl.linalg.slogdet(a)[1]), [floats(4, 4)]),
    "solve": (lambda a, b: (ccdl.linalg.solve(a, b), ccdl.linalg.solve(a, b[:, 0])), [floats(4, 4), floats(4, 2)]),
    "cdist cross": (lambda a, b: (ccdl.cdist(a, b), ccdl.linalg.cross(a, b)), [floats(4, 3), floats(4, 3)]),
    "keywords": (lambda a: (ccdl.sum(input=a, dim=0), ccdl.softmax(input=a, dim=1), ccdl.max(a, axis=1, keepdims=True)[0]), [x]),
    "where with numbers": (lambda a: (a.where(a > 0, 0.0), ccdl.where(a > 0, a, 0.0), ccdl.where(a > 0, 1.0, a)), [x]),
    "likes": (lambda a: (ccdl.zeros_like(a) + a, ccdl.ones_like(a), a.new_zeros(2) + a[0, :2], a.new_full((2, 2), 3.0)), [x]),
    "lstm_cell": (lambda a, h, w, r: ccdl.nn.modules.rnn_cells._C.lstm_cell(a, [h, h * 2], w, r), [floats(2, 3), floats(2, 4), floats(16, 3), floats(16, 4)]),
    "gru_cell": (lambda a, h, w, r: ccdl.nn.modules.rnn_cells._C.gru_cell(a, h, w, r), [floats(2, 3), floats(2, 4), floats(12, 3), floats(12, 4)]),
    "cosine": (lambda a, b: (F.cosine_similarity(a, b), F.normalize(a, dim=0), F.pairwise_distance(a, b)), [x, m2]),
}
# questions of one result, whose derivative is not unique or that have none
CONSTANT = {"floor_divide"}


@pytest.mark.parametrize("name", CASES)
def test_as_a_loop_has_it(name):
    f, specs = CASES[name]
    compare(f, specs, gradients=name not in CONSTANT)
