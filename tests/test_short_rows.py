"""Reductions, scans and softmax along short last dimensions: many rows go through the vectors together, as the columns
of a panel or by joining neighbouring lanes, with other paths for the last rows, gaps between rows and narrow dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 23, 31, 32, 33, 40, 64, 65, 130]
ROWS = [17, 64, 149]
TOLERANCE = {"float64": (1e-12, 1e-12), "float32": (4e-6, 2e-5), "float16": (2e-3, 4e-3), "bfloat16": (1.6e-2, 3e-2)}


def log_sum_exp(x: np.ndarray) -> np.ndarray:
    top = x.max(1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    return (np.log(np.exp(x - top).sum(1, keepdims=True)) + top)[:, 0]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


FLOATS = {
    "sum": (lambda x: x.sum(1), lambda x: x.sum(1)),
    "mean": (lambda x: x.mean(1), lambda x: x.mean(1)),
    "prod": (lambda x: x.prod(1), lambda x: x.prod(1)),
    "nansum": (lambda x: x.nansum(1), lambda x: np.nansum(x, 1)),
    "amax": (lambda x: x.amax(1), lambda x: x.max(1)),
    "amin": (lambda x: x.amin(1), lambda x: x.min(1)),
    "norm 1": (lambda x: x.norm(1, 1), lambda x: np.abs(x).sum(1)),
    "norm 2": (lambda x: x.norm(2, 1), lambda x: np.sqrt((x * x).sum(1))),
    "norm 3": (lambda x: x.norm(3, 1), lambda x: (np.abs(x) ** 3).sum(1) ** (1 / 3)),
    "norm inf": (lambda x: x.norm(float("inf"), 1), lambda x: np.abs(x).max(1)),
    "norm -inf": (lambda x: x.norm(-float("inf"), 1), lambda x: np.abs(x).min(1)),
    "var": (lambda x: x.var(1, correction=0), lambda x: x.var(1)),
    "logsumexp": (lambda x: x.logsumexp(1), log_sum_exp),
    "softmax": (lambda x: x.softmax(1), softmax),
    "log_softmax": (lambda x: x.log_softmax(1), lambda x: np.log(softmax(x))),
    "cumsum": (lambda x: x.cumsum(1), lambda x: x.cumsum(1)),
    "cumprod": (lambda x: x.cumprod(1), lambda x: x.cumprod(1)),
    "logcumsumexp": (lambda x: ccdl.logcumsumexp(x, 1), lambda x: np.logaddexp.accumulate(x, 1)),
}
EXACT = {
    "argmax": (lambda x: x.argmax(1), lambda x: x.argmax(1)),
    "argmin": (lambda x: x.argmin(1), lambda x: x.argmin(1)),
    "max values": (lambda x: x.max(1)[0], lambda x: x.max(1)),
    "min indices": (lambda x: x.min(1)[1], lambda x: x.argmin(1)),
    "any": (lambda x: x.any(1), lambda x: x.any(1)),
    "all": (lambda x: x.all(1), lambda x: x.all(1)),
    "count_nonzero": (lambda x: ccdl.count_nonzero(x, 1), lambda x: np.count_nonzero(x, axis=1)),
}
INTEGERS = {
    "sum": (lambda x: x.sum(1), lambda x: x.sum(1, dtype=np.int64)),
    "prod": (lambda x: x.prod(1), lambda x: x.prod(1, dtype=np.int64)),
    "cumsum": (lambda x: x.cumsum(1), lambda x: x.cumsum(1, dtype=np.int64)),
    "cumprod": (lambda x: x.cumprod(1), lambda x: x.cumprod(1, dtype=np.int64)),
}


def rows(width: int, count: int, dtype: str, layout: str, seed: int = 0) -> tuple[ccdl.Tensor, np.ndarray]:
    """The tensor and what NumPy sees of it: as float64 for the floating dtypes."""
    rng = np.random.default_rng(seed * 1000 + width)
    gap = {"dense": 0, "gap": 3, "every 2nd": 0}[layout]
    step = 2 if layout == "every 2nd" else 1
    wide = rng.standard_normal((count, (width + gap) * step))
    if not dtype.startswith(("float", "bfloat")):
        wide = np.trunc(wide * 3)
    x = ccdl.from_numpy(wide).to(getattr(ccdl, dtype))[:, : width * step : step]
    if dtype.startswith(("float", "bfloat")):
        return x, x.double().numpy()
    return x, x.numpy()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FLOATS)
def test_values(name: str, dtype: str) -> None:
    ours, reference = FLOATS[name]
    rtol, atol = TOLERANCE[dtype]
    for width in WIDTHS:
        for count, layout in zip(ROWS, ("dense", "gap", "every 2nd"), strict=True):
            x, v = rows(width, count, dtype, layout)
            if name == "prod" and dtype == "float16" and width > 64:
                continue  # leaves the range
            y, expected = ours(x), reference(v)
            assert tuple(y.shape) == expected.shape
            scale = np.sqrt(width) if "cum" in name or name in ("sum", "nansum") else 1
            np.testing.assert_allclose(
                y.double().numpy(), expected, rtol=rtol * scale, atol=atol * scale, err_msg=f"{name} {width} x {count} {layout}"
            )


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("name", EXACT)
def test_choices(name: str, dtype: str) -> None:
    ours, reference = EXACT[name]
    if dtype == "bool" and name not in ("any", "all", "count_nonzero"):
        return
    for width in WIDTHS:
        for count, layout in zip(ROWS, ("dense", "gap", "every 2nd"), strict=True):
            x, v = rows(width, count, dtype, layout)
            x, v = (x, v) if name not in ("any", "all") else (x > 0, v > 0)
            np.testing.assert_array_equal(ours(x).numpy() if dtype != "bfloat16" else ours(x).double().numpy(), reference(v),
                                          err_msg=f"{name} {width} x {count} {layout}")  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8"])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers(name: str, dtype: str) -> None:
    ours, reference = INTEGERS[name]
    for width in WIDTHS:
        for count, layout in zip(ROWS, ("dense", "gap", "every 2nd"), strict=True):
            x, v = rows(width, count, dtype, layout)
            np.testing.assert_array_equal(ours(x).numpy(), reference(v), err_msg=f"{name} {width} x {count} {layout}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity(dtype: str) -> None:
    """Each stands in every place of a row in turn; only its own row may notice."""
    for width in (1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 40):
        for special in (np.nan, np.inf, -np.inf):
            _, v = rows(width, 70, dtype, "dense")
            v = v.copy()
            for r in range(70):
                if r % 2:
                    v[r, r // 2 % width] = special
            x = ccdl.from_numpy(v).to(getattr(ccdl, dtype))
            with np.errstate(all="ignore"):
                for name in ("sum", "prod", "amax", "amin", "norm 1", "norm inf", "logsumexp", "softmax", "cumsum"):
                    ours, reference = FLOATS[name]
                    np.testing.assert_allclose(ours(x).double().numpy(), reference(v), rtol=1e-5, atol=1e-5,
                                               err_msg=f"{name} {width} {special}")  # fmt: skip
                for name in ("argmax", "argmin", "max values"):
                    ours, reference = EXACT[name]
                    np.testing.assert_array_equal(ours(x).double().numpy().astype(v.dtype),
                                                  reference(v.astype(dtype)).astype(v.dtype), err_msg=f"{name} {width} {special}")  # fmt: skip


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 13, 16, 32])
def test_gradients(width: int) -> None:
    """Backwards of the scans run in reverse, those of softmax over two panels."""
    _, v = rows(width, 70, "float64", "dense")
    g = np.random.default_rng(5).standard_normal(v.shape)

    def gradient(f):
        x = ccdl.from_numpy(v.copy()).requires_grad_()
        f(x).backward(ccdl.from_numpy(g))
        return x.grad.numpy()

    np.testing.assert_allclose(gradient(lambda x: x.cumsum(1)), g[:, ::-1].cumsum(1)[:, ::-1], rtol=1e-12, atol=1e-12)
    y = softmax(v)
    np.testing.assert_allclose(gradient(lambda x: x.softmax(1)), y * (g - (y * g).sum(1, keepdims=True)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient(lambda x: x.log_softmax(1)), g - y * g.sum(1, keepdims=True), rtol=1e-12, atol=1e-12)


def test_rows_at_the_end_of_memory() -> None:
    """Results do not depend on what lies behind the tensor."""
    for width in (2, 3, 5, 7, 9, 15, 17, 31):
        buffer = np.full(40 * width + 64, np.nan, dtype=np.float32)
        v = np.random.default_rng(width).standard_normal((40, width)).astype(np.float32)
        buffer[: 40 * width] = v.ravel()
        x = ccdl.from_numpy(buffer)[: 40 * width].view(40, width)
        for f in (lambda t: t.sum(1), lambda t: t.amax(1), lambda t: t.norm(2, 1), lambda t: t.softmax(1), lambda t: t.argmax(1)):
            assert ccdl.equal(f(x), f(ccdl.from_numpy(v)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_of_a_long_product(dtype: str) -> None:
    """One long row goes in parts; zeros, infinities and products beyond the range of double are right too."""
    rng = np.random.default_rng(3)
    for n in (1, 7, 1023, 1024, 1031, 5000):
        v = np.exp(rng.standard_normal(n) * 0.05) * rng.choice([-1, 1], n)
        for change in ((), (n // 2,), (0, n - 1)):
            a = v.copy()
            a[list(change)] = 0
            x = ccdl.from_numpy(a).to(getattr(ccdl, dtype)).requires_grad_()
            x.prod().backward()
            b = x.detach().double().numpy()
            others = np.array([np.prod(np.delete(b, i)) for i in range(n)]) if n <= 7 else None
            if others is None:
                before, behind = np.cumprod(np.r_[1, b[:-1]]), np.cumprod(np.r_[1, b[:0:-1]])[::-1]
                others = before * behind
            np.testing.assert_allclose(x.grad.double().numpy(), others, rtol=1e-6 if dtype == "float32" else 1e-11, atol=1e-30)
    for low, high in ((1e-3, 1e3), (1e-3, 1.0), (1.0, 1e3), (1.001, 0.999)):
        a = np.ones(4096)
        a[100], a[3000:3400], a[3500:3900] = 0, low, high  # parts that leave the range
        x = ccdl.from_numpy(a).requires_grad_()
        x.cumprod(0).sum().backward()
        wide = ccdl.from_numpy(np.repeat(a, 2)).requires_grad_()  # strided: not in parts
        wide[::2].cumprod(0).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), wide.grad[::2].numpy(), rtol=1e-11)
