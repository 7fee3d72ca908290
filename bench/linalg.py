"""Factorisations and solvers of dense matrices: single ones of 4 to 1024 rows, batches of small ones, float32 and
float64, forward and forward with backward where there is a derivative."""

from __future__ import annotations

import numpy as np

from measuring import Row, array, tensor

SINGLE = ((4, 4), (16, 16), (64, 64), (256, 256), (512, 512), (1024, 1024))
BATCHES = ((1024, 4, 4), (256, 16, 16), (64, 32, 32))
SHAPES = (*SINGLE, *BATCHES)


def draw(shape: tuple[int, ...], kind: str):
    """"positive": symmetric positive definite; "regular": well conditioned; "plain": normal; "small": of norm 1."""
    x, n = array(*shape, seed=1).astype(np.float64), shape[-1]
    if kind == "positive":
        return x @ np.swapaxes(x, -1, -2) / n + np.eye(n)
    if kind == "regular":
        return x + 2 * n**0.5 * np.eye(n)
    return x / n**0.5 / 2 if kind == "small" else x


def of(name: str, shape: tuple[int, ...], call, numpy=None, kind: str = "regular", dtype: str = "float32", grad: bool = False,
       tol: float | None = 1e-3) -> Row:
    def make(T):
        x = tensor(T, *shape, seed=1).to(getattr(T, dtype))
        x.copy_(T.from_numpy(draw(shape, kind)))
        if not grad:
            return lambda: call(T, x)
        x.requires_grad_()

        def step():
            x.grad = None
            y = call(T, x)
            y.sum().backward()
            return x.grad

        return step

    def reference():
        x = draw(shape, kind).astype(dtype)
        return lambda: numpy(x)

    label = f"{name}{' f+b' if grad else ''} {'x'.join(map(str, shape))}{'' if dtype == 'float32' else ' ' + dtype}"
    return Row(label, make, reference if numpy and not grad else None, bytes=8.0 * int(np.prod(shape)), tol=tol)


def eigen_sum(T, x):  # does not depend on the vectors' signs
    w, v = T.linalg.eigh(x)
    return w + (v * v).sum(-2)


def svd_sum(T, x):
    u, s, vh = T.linalg.svd(x, full_matrices=False)
    return s + (u * u).sum(-2) + (vh * vh).sum(-1)


def lu_round(T, x):
    return T.linalg.lu_factor(x)[0]


OPS = {  # name: (call, NumPy's, kind of matrix, a form with gradient or None)
    "cholesky": (lambda T, x: T.linalg.cholesky(x), np.linalg.cholesky, "positive", lambda T, x: T.linalg.cholesky(x)),
    "inv": (lambda T, x: T.linalg.inv(x), np.linalg.inv, "regular", lambda T, x: T.linalg.inv(x)),
    "solve": (lambda T, x: T.linalg.solve(x, x), lambda x: np.linalg.solve(x, x), "regular", lambda T, x: T.linalg.solve(x, x.mT)),
    "solve_triangular": (lambda T, x: T.linalg.solve_triangular(x, x, upper=False), None, "regular",
                         lambda T, x: T.linalg.solve_triangular(x, x.mT, upper=False)),
    "det": (lambda T, x: T.linalg.det(x), np.linalg.det, "small", lambda T, x: T.linalg.det(x)),
    "slogdet": (lambda T, x: T.linalg.slogdet(x)[1], lambda x: np.linalg.slogdet(x)[1], "regular", lambda T, x: T.linalg.slogdet(x)[1]),
    "lu_factor": (lu_round, None, "regular", None),
    "lu": (lambda T, x: T.linalg.lu(x)[2], None, "regular", lambda T, x: T.linalg.lu(x)[2]),
    "qr": (lambda T, x: T.linalg.qr(x)[1].abs(), lambda x: np.abs(np.linalg.qr(x)[1]), "regular", lambda T, x: T.linalg.qr(x)[1]),
    "svdvals": (lambda T, x: T.linalg.svdvals(x), lambda x: np.linalg.svd(x, compute_uv=False), "plain", lambda T, x: T.linalg.svdvals(x)),
    "svd": (lambda T, x: T.linalg.svd(x, full_matrices=False)[1], lambda x: np.linalg.svd(x)[1], "plain", svd_sum),
    "eigvalsh": (lambda T, x: T.linalg.eigvalsh(x), np.linalg.eigvalsh, "positive", lambda T, x: T.linalg.eigvalsh(x)),
    "eigh": (lambda T, x: T.linalg.eigh(x)[0], lambda x: np.linalg.eigh(x)[0], "positive", eigen_sum),
    "pinv": (lambda T, x: T.linalg.pinv(x), np.linalg.pinv, "regular", lambda T, x: T.linalg.pinv(x)),
    "lstsq": (lambda T, x: T.linalg.lstsq(x, x[..., :4])[0], None, "regular", lambda T, x: T.linalg.lstsq(x, x[..., :4])[0]),
    "matrix_exp": (lambda T, x: T.linalg.matrix_exp(x), None, "small", lambda T, x: T.linalg.matrix_exp(x)),
}
ROWS = [
    *(of(f"solve_triangular {k} columns", (n, n), lambda T, x, k=k: T.linalg.solve_triangular(x, x[:, :k], upper=True), dtype=dtype)
      for n in (64, 256, 512) for k in (1, 2, 4) for dtype in ("float32", "float64")),
    of("solve_triangular 1 column turned", (512, 512), lambda T, x: T.linalg.solve_triangular(x.mT, x[:, :1], upper=False)),
    *(of(name, s, call, numpy, kind, dtype) for name, (call, numpy, kind, _) in OPS.items() for s in SHAPES for dtype in ("float32", "float64")),
    # The two gradients of a value that hardly depends on its input differ by rounding alone: not compared.
    *(of(name, s, grad, None, kind, grad=True, tol=None if name in ("svd", "eigh") else 1e-2)
      for name, (_, _, kind, grad) in OPS.items() if grad for s in ((16, 16), (64, 64), (512, 512), (256, 16, 16))),
]
