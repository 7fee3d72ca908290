"""Calls drawn at random, values and gradients against PyTorch in double: what tests written beside a kernel leave out. A few hundred
draws run always; a minute of each family: pytest -m ondemand tests/test_random_calls.py [-k convolution]."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ccdl

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

TOLERANCE = {"float32": 3e-4, "float64": 1e-10, "bfloat16": 3e-2}
Draw = tuple[str, list[Any], Callable[..., Any], str]  # its text, arrays, call(library, *tensors), dtype


def convolution(r: Any) -> Draw | None:
    dims, groups = int(r.choice([1, 1, 2, 2, 2, 3])), int(r.choice([1, 1, 1, 1, 2, 4, 8, 32]))
    each, filters = (int(r.choice([1, 2, 3, 4, 5, 8, 16, 24, 32, 64, 96, 128])) for _ in range(2))
    if groups > 4:
        each, filters = min(each, 16), min(filters, 16)

    def sizes(choice: list[int], same: float) -> list[int]:
        drawn = [int(r.choice(choice)) for _ in range(dims)]
        return [drawn[0]] * dims if r.rand() < same else drawn

    k, s, d = sizes([1, 1, 2, 3, 3, 3, 4, 5, 7, 8, 11], 0.6), sizes([1, 1, 1, 2, 2, 3, 4, 8], 0.7), sizes([1, 1, 1, 1, 2, 3, 6, 12], 0.7)
    p = [int(r.choice([0, 0, 1, 1, 2, 3, a // 2, b * (a - 1) // 2])) for a, b in zip(k, d, strict=True)]
    size = [int(r.randint(1, {1: 300, 2: 40, 3: 12}[dims])) for _ in range(dims)]
    if r.rand() < 0.4:
        size = [int(r.choice([7, 8, 14, 16, 28, 32, 56, 64, 100, 200][: {1: 10, 2: 7, 3: 2}[dims]]))] * dims
    out = [(z + 2 * pp - dd * (kk - 1) - 1) // ss + 1 for z, pp, dd, kk, ss in zip(size, p, d, k, s, strict=True)]
    batch, channels, total = int(r.choice([1, 1, 2, 3, 5, 8, 16])), each * groups, filters * groups
    if min(out) < 1 or batch * math.prod(out) * total * each * math.prod(k) > 3e6 or batch * channels * math.prod(size) > 3e5:
        return None
    last, turned, bias = dims > 1 and r.rand() < 0.4, dims > 1 and r.rand() < 0.5, r.rand() < 0.5
    arrays = [r.randn(batch, channels, *size), r.randn(total, each, *k), *([r.randn(total)] if bias else [])]

    def call(L: Any, x: Any, w: Any, *b: Any) -> Any:
        if last:
            format = L.channels_last if dims == 2 else L.channels_last_3d
            x, w = x.contiguous(memory_format=format), w.contiguous(memory_format=format) if turned else w
        return getattr(L.nn.functional, f"conv{dims}d")(x, w, *(b or (None,)), s, p, d, groups)

    text = f"conv{dims}d {[*arrays[0].shape]} x {[*arrays[1].shape]} stride {s} padding {p} dilation {d} groups {groups} last {last}"
    return text, arrays, call, str(r.choice(["float32", "float32", "float32", "float64", "bfloat16"]))


def pooling(r: Any) -> Draw | None:
    dims = int(r.choice([1, 2, 2, 3]))
    k, s, p = int(r.randint(1, 5)), int(r.randint(1, 4)), 0
    p = int(r.randint(0, k // 2 + 1))
    size = [int(r.randint(1, {1: 200, 2: 33, 3: 9}[dims])) for _ in range(dims)]
    if min(size) + 2 * p < k or (dims == 3 and min(size) < k):
        return None
    x = r.permutation(math.prod([2, 5, *size])).reshape(2, 5, *size) / 64.0
    kind, last = str(r.choice(["max", "avg", "adaptive_avg", "adaptive_max"])), dims > 1 and r.rand() < 0.5
    if kind.startswith("adaptive"):
        out = [int(r.randint(1, z + 3)) for z in size]
        name, options = f"{kind}_pool{dims}d", (out if dims > 1 else out[0],)
    else:
        name, options = f"{kind}_pool{dims}d", (k, s, p)

    def call(L: Any, x: Any) -> Any:
        if last:
            x = x.contiguous(memory_format=L.channels_last if dims == 2 else L.channels_last_3d)
        return getattr(L.nn.functional, name)(x, *options)

    return f"{name} {[*x.shape]} {options} last {last}", [x], call, str(r.choice(["float32", "float64"]))


def reduction(r: Any) -> Draw | None:
    rank = int(r.randint(1, 5))
    size = [int(r.choice([1, 2, 3, 5, 8, 17, 32, 64, 100])) for _ in range(rank)]
    if math.prod(size) > 60000:
        return None
    order, dim = r.permutation(rank), int(r.randint(rank))
    several = sorted({int(i) for i in r.randint(0, rank, 2)})
    keep = bool(r.rand() < 0.5)
    name = str(r.choice(["sum", "mean", "amax", "amin", "logsumexp", "norm", "softmax", "cumsum", "std", "prod", "sort", "topk", "median", "flip"]))
    x = r.permutation(math.prod(size)).reshape(size) / float(math.prod(size)) + 0.5

    def call(L: Any, x: Any) -> Any:
        x = x.permute(*(int(i) for i in order))
        if name in ("sum", "mean", "amax", "amin", "logsumexp"):
            return getattr(x, name)(several, keepdim=keep)
        if name in ("softmax", "cumsum"):
            return getattr(x, name)(dim)
        if name == "flip":
            return x.flip(several)
        if name in ("sort", "median"):
            return getattr(x, name)(dim)[0]
        if name == "topk":
            return x.topk(max(1, x.shape[dim] // 2), dim)[0]
        if name == "norm":
            return L.linalg.vector_norm(x, 2, several, keep)
        if name == "std":
            return x.std(several, correction=0, keepdim=keep)
        return x.prod(dim, keepdim=keep)

    return f"{name} of {size} in order {[*order]} dims {several} or {dim}", [x], call, str(r.choice(["float32", "float64"]))


def indexing(r: Any) -> Draw | None:
    rank = int(r.randint(1, 4))
    size = [int(r.choice([1, 2, 3, 5, 8, 17, 40])) for _ in range(rank)]
    x, dim, order = r.randn(*size), int(r.randint(rank)), r.permutation(rank)
    shape = [size[int(i)] for i in order]
    places = r.randint(0, shape[dim], int(r.randint(1, 20)))
    mask = r.rand(*shape) < 0.5
    name = str(r.choice(["index_select", "rows", "gather", "mask", "index_add", "scatter_add", "index_put", "masked_fill", "assign"]))
    y = r.randn(*(len(places) if i == dim else n for i, n in enumerate(shape)))
    full = r.randint(0, shape[dim], y.shape)

    def call(L: Any, x: Any, y: Any) -> Any:
        x = x.permute(*(int(i) for i in order))
        at, all_places, chosen = L.tensor(places), L.tensor(full), L.tensor(mask)
        key = tuple([slice(None)] * dim + [at])
        if name == "index_select":
            return x.index_select(dim, at) * y
        if name == "rows":
            return x[key] * y
        if name == "gather":
            return x.gather(dim, all_places) * y
        if name == "mask":
            return x[chosen].sum() + y.sum()
        if name == "index_add":
            return x.index_add(dim, at, y)
        if name == "scatter_add":
            return x.scatter_add(dim, all_places, y)
        if name == "index_put":
            return x.transpose(0, dim).index_put((at,), y.transpose(0, dim), accumulate=True)
        if name == "masked_fill":
            return x.masked_fill(chosen, 2.0).sum() * y
        z = x.clone()
        z[key] = y[tuple([slice(None)] * dim + [slice(0, 1)])]
        return z * 2

    return f"{name} of {size} in order {[*order]} dim {dim} places {[*places]}", [x, y], call, str(r.choice(["float32", "float64"]))


def soft_targets(r: Any) -> Draw | None:
    rank = int(r.choice([1, 2, 2, 3, 4]))
    size = [int(r.choice([1, 2, 3, 5, 17, 64, 65])) for _ in range(rank)]
    size[0 if rank == 1 else 1] = classes = int(r.choice([1, 2, 7, 15, 16, 17, 33, 64, 65, 100, 300]))
    if math.prod(size) > 60000:
        return None
    x, target = r.randn(*size) * 3, r.rand(*size)
    weight = r.rand(classes) if r.rand() < 0.4 else None
    reduction, smoothing, last = str(r.choice(["mean", "sum", "none"])), float(r.choice([0.0, 0.0, 0.1, 1.0])), rank == 4 and r.rand() < 0.5

    def call(L: Any, x: Any) -> Any:
        x = x.contiguous(memory_format=L.channels_last) if last else x
        w = None if weight is None else L.tensor(weight).to(x.dtype)
        return L.nn.functional.cross_entropy(x, L.tensor(target).to(x.dtype), w, reduction=reduction, label_smoothing=smoothing)

    return f"cross_entropy {size} {reduction} smoothing {smoothing} weight {weight is not None} last {last}", [x], call, str(r.choice(["float32", "float64"]))


def attention(r: Any) -> Draw | None:
    """Scaled dot products with masks of every broadcast shape."""
    lead = [(2, 3), (1, 2), (4,), ()][int(r.randint(4))]
    queries, keys, width, values = (int(r.randint(1, 20)) for _ in range(4))
    queries, keys = max(queries, 2), max(keys, 2)
    kind = str(r.choice(["none", "bool", "float", "causal"]))
    shape = [(queries, keys), (*lead, queries, keys), (1, keys), (queries, 1)][int(r.randint(4))]
    mask = r.rand(*shape) < 0.7 if kind == "bool" else r.randn(*shape)
    if kind == "bool":
        mask[..., :2] = True  # of one key alone the gradients are zeros
    arrays = [r.randn(*lead, queries, width), r.randn(*lead, keys, width), r.randn(*lead, keys, values)]

    def call(L: Any, q: Any, k: Any, v: Any) -> Any:
        given = None if kind in ("none", "causal") else L.tensor(mask).to(L.bool if kind == "bool" else q.dtype)
        return L.nn.functional.scaled_dot_product_attention(q, k, v, given, is_causal=kind == "causal")

    return f"attention {lead} {queries} x {keys} of {width} and {values}, mask {kind} {shape}", arrays, call, "float64"


def resizing(r: Any) -> Draw | None:
    dims = int(r.randint(1, 4))
    size = [int(r.randint(1, {1: 40, 2: 14, 3: 7}[dims])) for _ in range(dims)]
    mode = str(r.choice(["nearest", "nearest-exact", "area", "linear"] + (["bicubic"] if dims == 2 else [])))
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[dims] if mode == "linear" else mode
    options: dict[str, Any] = {"mode": mode}
    if "nearest" in mode or r.rand() < 0.5:  # with a scale PyTorch's gradients reach other pixels than it chose
        options["size"] = [int(r.randint(1, 17)) for _ in range(dims)]
    else:
        options["scale_factor"] = [float(r.choice([0.5, 0.6, 1.0, 1.2, 1.7, 2.0, 3.0])) for _ in range(dims)]
        if min(int(n * f) for n, f in zip(size, options["scale_factor"], strict=True)) < 1:
            return None
    if "linear" in mode or mode == "bicubic":
        options["align_corners"] = bool(r.rand() < 0.5)
    x = r.randn(2, 3, *size)
    dtype = "float32" if "nearest" in mode else "float64"
    return f"interpolate {size} {options}", [x], lambda L, x: L.nn.functional.interpolate(x, **options), dtype


FAMILIES = {f.__name__: f for f in (convolution, pooling, reduction, indexing, soft_targets, attention, resizing)}


def draws(family: str, seed: int) -> Iterator[Draw]:
    r = np.random.RandomState(seed)
    while True:
        drawn = FAMILIES[family](r)
        if drawn is not None:
            yield drawn


def outcome(L: Any, call: Any, arrays: Any, dtype: str) -> list[Any]:
    leaves = []
    for a in arrays:
        rounded = torch.tensor(a).to(getattr(torch, dtype)).double().numpy()
        leaves.append(L.tensor(rounded).to(L.float64 if L is torch else getattr(L, dtype)).requires_grad_())
    y = call(L, *leaves)
    seed = np.random.RandomState(0).randn(*y.shape)
    y.backward(L.tensor(torch.tensor(seed).to(getattr(torch, dtype)).double().numpy()).to(y.dtype))
    grads = [np.zeros(a.shape) if t.grad is None else t.grad.double().numpy() for a, t in zip(arrays, leaves, strict=True)]
    return [y.detach().double().numpy(), *grads]


def check(drawn: Draw) -> None:
    text, arrays, call, dtype = drawn
    for which, (want, got) in enumerate(zip(outcome(torch, call, arrays, dtype), outcome(ccdl, call, arrays, dtype), strict=True)):
        assert got.shape == want.shape, text
        scale = np.abs(want).max() if want.size else 0.0
        error = np.abs(got - want).max() if want.size else 0.0
        assert error <= TOLERANCE[dtype] * max(scale, 1e-30), f"{text} {dtype}: {'value' if not which else f'gradient {which}'} off by {error} of {scale}"


@pytest.mark.parametrize("family", FAMILIES)
def test_some_draws(family: str) -> None:
    source = draws(family, 1)
    for _ in range(400):
        check(next(source))


@pytest.mark.ondemand
@pytest.mark.parametrize("family", FAMILIES)
def test_a_minute_of_draws(family: str) -> None:
    end, source = time.monotonic() + 60, draws(family, int(time.time()))
    while time.monotonic() < end:
        check(next(source))
