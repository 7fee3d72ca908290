"""Factorisations and solvers of dense matrices, small batches and middle sizes."""

from __future__ import annotations

import numpy as np

from measuring import Row, array, tensor


def square(T, shape, positive: bool):
    x = tensor(T, *shape, seed=1)
    if positive:
        return x @ x.mT + shape[-1] * T.eye(shape[-1])
    return x + 2 * shape[-1] ** 0.5 * T.eye(shape[-1])


def of(name: str, shape: tuple[int, ...], call, numpy=None, positive: bool = False, tol: float | None = 1e-3) -> Row:
    def make(T):
        x = square(T, shape, positive)
        return lambda: call(T, x)

    def reference():
        x = array(*shape, seed=1)
        eye = np.eye(shape[-1], dtype=x.dtype)
        x = x @ np.swapaxes(x, -1, -2) + shape[-1] * eye if positive else x + 2 * shape[-1] ** 0.5 * eye
        return lambda: numpy(x)

    return Row(f"{name} {'x'.join(map(str, shape))}", make, reference if numpy else None, bytes=8.0 * int(np.prod(shape)), tol=tol)


SHAPES = ((256, 8, 8), (64, 64), (512, 512))
ROWS = [
    *(of("cholesky", s, lambda T, x: T.linalg.cholesky(x), np.linalg.cholesky, True) for s in SHAPES),
    *(of("inv", s, lambda T, x: T.linalg.inv(x), np.linalg.inv) for s in SHAPES),
    *(of("solve", s, lambda T, x: T.linalg.solve(x, x), lambda x: np.linalg.solve(x, x)) for s in SHAPES),
    *(of("qr", s, lambda T, x: T.linalg.qr(x)[1].abs(), lambda x: np.abs(np.linalg.qr(x)[1])) for s in SHAPES),
    *(of("svdvals", s, lambda T, x: T.linalg.svdvals(x), lambda x: np.linalg.svd(x, compute_uv=False)) for s in SHAPES[:2]),
    *(of("eigvalsh", s, lambda T, x: T.linalg.eigvalsh(x), np.linalg.eigvalsh, True) for s in SHAPES[:2]),
]
