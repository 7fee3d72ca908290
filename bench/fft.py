"""Fourier transforms of lines and planes, products of spectra; forward and with gradients."""

import math

from measuring import Row, tensor


def title(name: str, shape, dtype: str) -> str:
    return f"{name} {'x'.join(map(str, shape))}{'' if dtype == 'float32' else ' ' + dtype}"


def work(shape, name: str) -> float:
    """The usual count: 5 n log2 n for complex numbers, half of it for real ones."""
    dims = 2 if name.endswith("2") else 1
    return math.prod(shape) * math.log2(math.prod(shape[-dims:])) * (2.5 if name.lstrip("i").startswith("r") else 5)


def row(name: str, *shape: int, dtype: str = "float32", grad: bool = False) -> Row:
    """One transform of real numbers (rfft), to them (irfft) or of complex ones; its gradient for a fixed one."""
    to_real = name.startswith("irfft")
    real_input = name.startswith("rfft")

    def make(T):
        of = getattr(T, dtype)
        given = (*shape[:-1], shape[-1] // 2 + 1) if to_real else shape
        parts = tensor(T, *given, seed=1).to(of) if real_input else tensor(T, *given, 2, seed=1).to(of)
        parts = parts.requires_grad_(grad)

        def call():
            y = getattr(T.fft, name)(parts if real_input else T.view_as_complex(parts))
            return y if to_real else T.view_as_real(y)

        if not grad:
            return call
        dy = tensor(T, *call().shape, seed=2).to(of)

        def both():
            parts.grad = None
            call().backward(dy)
            return parts.grad

        return both

    item = 4 if dtype == "float32" else 8
    return Row(title(name, shape, dtype) + (" f+b" if grad else ""), make, flops=work(shape, name) * (2 if grad else 1),
               bytes=2.0 * item * math.prod(shape) * (2 if grad else 1), tol=2e-3)


def spectra(*shape: int) -> Row:
    """Spectra of lines times those of filters, which all samples share, with gradients."""

    def make(T):
        x, w = tensor(T, *shape, 2, seed=1, grad=True), tensor(T, *shape[1:], 2, seed=2, grad=True)
        dy = tensor(T, *shape, 2, seed=3)

        def run():
            x.grad = w.grad = None
            T.view_as_real(T.view_as_complex(x) * T.view_as_complex(w)).backward(dy)
            return w.grad

        return run

    return Row(title("complex product", shape, "float32") + " f+b", make, bytes=8.0 * 6 * math.prod(shape), tol=1e-3)


ROWS = [
    *(row("fft", 4096, 8, dtype=d) for d in ("float32", "float64")),
    *(row("fft", rows, n) for rows, n in [(1, 64), (64, 64), (512, 200), (64, 256), (512, 1024), (8, 4096), (1, 65536), (64, 257)]),
    *(row("rfft", rows, n) for rows, n in [(256, 400), (64, 512), (512, 1024), (1, 16384), (64, 16384), (64, 1009)]),
    *(row("irfft", rows, n) for rows, n in [(256, 400), (64, 512), (64, 16384)]),
    row("fft", 64, 1000, dtype="float64"), row("rfft", 512, 256, dtype="float64"),
    row("rfft", 256, 400, grad=True), row("irfft", 256, 400, grad=True), row("fft", 64, 512, grad=True),
    *(row(name, *shape) for name in ("fft2", "rfft2", "irfft2") for shape in [(64, 64, 64), (1, 512, 512)]),
    row("rfft2", 64, 64, 64, grad=True), spectra(8, 32, 201),
]  # fmt: skip
