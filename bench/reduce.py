"""Reductions, scans, sorting and selection."""

from __future__ import annotations

import numpy as np

from measuring import Row, array, tensor


def of(name: str, shape: tuple[int, ...], call, numpy=None, streams: float = 1, tol: float | None = 1e-4) -> Row:
    def make(T):
        x = tensor(T, *shape, seed=1)
        return lambda: call(T, x)

    def reference():
        x = array(*shape, seed=1)
        return lambda: numpy(x)

    size = int(np.prod(shape))
    return Row(f"{name} {'x'.join(map(str, shape))}", make, reference if numpy else None, bytes=4.0 * size * streams, tol=tol)


def backward(name: str, shape: tuple[int, ...], call) -> Row:
    def make(T):
        x = tensor(T, *shape, seed=1, grad=True)

        def run():
            x.grad = None
            call(x).backward()
            return x.grad

        return run

    return Row(f"{name} f+b {'x'.join(map(str, shape))}", make, bytes=8.0 * int(np.prod(shape)))


ROWS = [
    of("sum", (1 << 24,), lambda T, x: x.sum(), lambda x: x.sum(), tol=1e-2),
    of("sum(0)", (4096, 4096), lambda T, x: x.sum(0), lambda x: x.sum(0), tol=1e-3),
    of("sum(1)", (4096, 4096), lambda T, x: x.sum(1), lambda x: x.sum(1), tol=1e-3),
    of("sum(1)", (1024, 768), lambda T, x: x.sum(1), lambda x: x.sum(1)),
    of("sum(0)", (1024, 768), lambda T, x: x.sum(0), lambda x: x.sum(0)),
    of("sum(0)", (100000, 10), lambda T, x: x.sum(0), lambda x: x.sum(0), tol=1e-2),
    of("sum(1)", (100000, 10), lambda T, x: x.sum(1), lambda x: x.sum(1)),
    of("sum", (64, 10), lambda T, x: x.sum(), lambda x: x.sum()),
    of("mean(0,2,3)", (32, 64, 28, 28), lambda T, x: x.mean((0, 2, 3)), lambda x: x.mean((0, 2, 3))),
    of("mean(2,3)", (32, 64, 28, 28), lambda T, x: x.mean((2, 3)), lambda x: x.mean((2, 3))),
    of("var(1)", (1024, 768), lambda T, x: x.var(1), lambda x: x.var(1, ddof=1)),
    of("norm", (1 << 24,), lambda T, x: x.norm(), lambda x: np.linalg.norm(x), tol=1e-2),
    of("median", (6400,), lambda T, x: x.median()),
    of("kthvalue", (100000,), lambda T, x: x.kthvalue(500)[0]),
    of("max(1)", (1024, 1000), lambda T, x: x.max(1)[0], lambda x: x.max(1)),
    of("argmax(1)", (1024, 1000), lambda T, x: x.argmax(1), lambda x: x.argmax(1)),
    of("argmax(0)", (1024, 1000), lambda T, x: x.argmax(0), lambda x: x.argmax(0)),
    of("argmax", (1 << 22,), lambda T, x: x.argmax(), lambda x: x.argmax()),
    of("logsumexp(1)", (1024, 768), lambda T, x: x.logsumexp(1)),
    of("all", (1 << 22,), lambda T, x: (x < 99).all(), streams=1.5),
    of("prod", (1 << 20,), lambda T, x: x.prod()),
    of("mean(1)", (4, 1 << 20), lambda T, x: x.mean(1), lambda x: x.mean(1)),
    of("prod(0)", (1024, 1024), lambda T, x: (x * 0.01 + 1).prod(0), streams=3),
    of("prod(1)", (1024, 1024), lambda T, x: (x * 0.01 + 1).prod(1), streams=3),
    of("norm(0)", (1024, 1024), lambda T, x: x.norm(dim=0)),
    of("norm(1)", (1024, 1024), lambda T, x: x.norm(dim=1)),
    of("var(0)", (1024, 1024), lambda T, x: x.var(0)),
    of("std(1)", (1024, 1024), lambda T, x: x.std(1)),
    of("logsumexp(0)", (1024, 1024), lambda T, x: x.logsumexp(0)),
    of("logsumexp(1)", (100000, 10), lambda T, x: x.logsumexp(1)),
    of("amax(0)", (64, 32000), lambda T, x: x.amax(0), lambda x: x.max(0)),
    of("amax(1)", (64, 32000), lambda T, x: x.amax(1), lambda x: x.max(1)),
    of("max(0)", (100000, 10), lambda T, x: x.max(0)[0], lambda x: x.max(0)),
    of("max(1)", (100000, 10), lambda T, x: x.max(1)[0], lambda x: x.max(1)),
    of("argmax(0)", (100000, 10), lambda T, x: x.argmax(0), lambda x: x.argmax(0)),
    of("argmax(1)", (100000, 10), lambda T, x: x.argmax(1), lambda x: x.argmax(1)),
    backward("sum", (1 << 20,), lambda x: x.sum()),
    backward("prod(0)", (1024, 1024), lambda x: (x * 0.01 + 1).prod(0).sum()),
    backward("prod(1)", (1024, 1024), lambda x: (x * 0.01 + 1).prod(1).sum()),
    of("cdist", (256, 1024), lambda T, x: T.cdist(x, x.flip(0)), tol=1e-2),
    of("cdist p=1", (256, 128), lambda T, x: T.cdist(x, x.flip(0), 1), tol=1e-3),
    backward("var", (1024, 768), lambda x: x.var(1).sum()),
    of("cumsum(1)", (1024, 1024), lambda T, x: x.cumsum(1), lambda x: x.cumsum(1), 2, tol=1e-3),
    of("cumsum(0)", (1024, 1024), lambda T, x: x.cumsum(0), lambda x: x.cumsum(0), 2, tol=1e-3),
    of("sort", (1 << 20,), lambda T, x: x.sort()[0], lambda x: np.sort(x)),
    of("sort(1)", (1000, 1000), lambda T, x: x.sort(1)[0], lambda x: np.sort(x, 1)),
    of("sort(1)", (10000, 64), lambda T, x: x.sort(1)[0], lambda x: np.sort(x, 1)),
    of("topk 10", (1 << 20,), lambda T, x: x.topk(10)[0]),
    of("topk 5", (1000, 1000), lambda T, x: x.topk(5, 1)[0]),
    of("topk 50", (64, 32000), lambda T, x: x.topk(50, 1)[0]),
    of("median", (1 << 20,), lambda T, x: x.median()),
    of("kthvalue", (1000, 1000), lambda T, x: x.kthvalue(500, 1)[0]),
    of("unique", (1 << 20,), lambda T, x: T.unique((x * 100).to(T.int64)), lambda x: np.unique((x * 100).astype(np.int64))),
    # A middle dimension: few rows, narrow units, short pieces of rows.
    of("sum(1)", (256, 16, 64), lambda T, x: x.sum(1), lambda x: x.sum(1)),
    of("sum(1)", (2048, 16, 8), lambda T, x: x.sum(1), lambda x: x.sum(1)),
    of("amax(1)", (4, 4, 65536), lambda T, x: x.amax(1), lambda x: x.max(1)),
    of("sum(1,3)", (8, 64, 32, 32), lambda T, x: x.sum((1, 3)), lambda x: x.sum((1, 3)), tol=1e-3),
    of("sum(0,2)", (32, 16, 100), lambda T, x: x.sum((0, 2)), lambda x: x.sum((0, 2)), tol=1e-3),
    of("norm p=3 (1)", (64, 64, 64), lambda T, x: T.linalg.vector_norm(x, 3, 1)),
    of("sum(1) int64", (64, 64, 64), lambda T, x: (x * 9).to(T.int64).sum(1)),
    # Short rows in networks.
    of("sort(1)", (4096, 16), lambda T, x: x.sort(1)[0], lambda x: np.sort(x, 1)),
    of("median(1)", (1000, 64), lambda T, x: x.median(1)[0]),
    of("topk 20", (256, 32), lambda T, x: x.topk(20, 1)[0]),
    of("topk 20 bfloat16", (8, 50000), lambda T, x: x.to(T.bfloat16).topk(20, 1)[0].float()),
    of("unique_consecutive", (1 << 20,), lambda T, x: T.unique_consecutive((x * 2).to(T.int64))),
    of("searchsorted in 100", (1000,), lambda T, x: T.searchsorted(T.linspace(-3, 3, 100), x)),
    of("isin 10", (100000,), lambda T, x: T.isin((x * 9).to(T.int64), T.arange(10))),
    *(of(f"pdist p={p}", (500, 16), lambda T, x, p=p: T.pdist(x, p), tol=1e-3) for p in (1.0, 2.0, float("inf"))),
    of("nonzero", (1 << 20,), lambda T, x: T.nonzero(x > 0), lambda x: np.argwhere(x > 0)),
]
