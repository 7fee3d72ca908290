"""Fourier transforms against NumPy: pairs of real numbers stand for complex ones."""

from __future__ import annotations

import numpy as np
from opcase import FULL_FLOATS, ErrorCase, OpCase, Sample


def pairs(z):
    return np.stack([z.real, z.imag], -1)


def numbers(x):
    x = np.asarray(x, np.float64)
    return x[..., 0] + 1j * x[..., 1]


def of_pairs(name):
    """From pairs to pairs, in the library and in NumPy."""
    def op(T, x, *args, **kwargs):
        return T.view_as_real(getattr(T.fft, name)(T.view_as_complex(x), *args, **kwargs))

    def ref(x, *args, dim=-1, **kwargs):
        return pairs(getattr(np.fft, name)(numbers(x), *args, **{"axes" if "n" in name or "2" in name else "axis": dim}, **kwargs))

    return op, ref


def to_pairs(name):
    def op(T, x, *args, **kwargs):
        return T.view_as_real(getattr(T.fft, name)(x, *args, **kwargs))

    def ref(x, *args, dim=-1, **kwargs):
        return pairs(getattr(np.fft, name)(np.asarray(x, np.float64), *args, axis=dim, **kwargs))

    return op, ref


def to_real(name):
    def op(T, x, *args, **kwargs):
        return getattr(T.fft, name)(T.view_as_complex(x), *args, **kwargs)

    def ref(x, *args, dim=-1, **kwargs):
        return getattr(np.fft, name)(numbers(x), *args, axis=dim, **kwargs)

    return op, ref


def in_torch(op):
    """PyTorch wants parts side by side, has lines to transform always, and leaves conjugates to the reader."""
    def called(T, x, *args, **kwargs):
        view = T.view_as_real

        class Library:
            fft, view_as_complex = T.fft, staticmethod(lambda t: T.view_as_complex(t.contiguous()))
            view_as_real = staticmethod(lambda z: view(z.resolve_conj()))

        if x.numel():
            return op(Library, x, *args, **kwargs)
        return op(Library, T.cat([x, x.new_zeros(1, *x.shape[1:])]), *args, **kwargs)[:-1]

    return called


def samples(last, norm):
    """Short lines for the gradients, lines around the blocks of lanes, sums of two steps, convolutions."""
    def made(rng):
        def x(*shape):
            return rng.standard_normal((*shape, *last))

        for n in (2, 3, 4, 5, 6, 7, 8, 9, 11, 16):
            yield Sample(x(2, n), norm=norm).but(k=n)
        yield Sample(x(3, 5, 2), dim=0, norm=norm).but(k=3)
        yield Sample(x(2, 5, 3), 6, dim=1, norm=norm).but(k=6)
        yield Sample(x(2, 7), 4, norm=norm).but(k=4)
        yield Sample(x(0, 4), norm=norm)
        for shape, dim in [((17, 24), -1), ((9, 30, 5), 1), ((2, 12, 16), 1), ((3, 20, 35), 1), ((2, 101), -1), ((1, 256), -1), ((35, 74), 0)]:
            yield Sample(x(*shape), dim=dim, norm=norm).but(k=64, grad=False, layouts=np.prod(shape) < 1000)

    return made


def errors(name):
    def call(T, *args, **kwargs):
        x = T.ones(3, 4) if name in ("rfft", "ihfft") else T.complex(T.ones(3, 4), T.ones(3, 4))
        return getattr(T.fft, name)(x, *args, **kwargs)

    return [ErrorCase(lambda T: call(T, -1), RuntimeError, ("Invalid number of data points", "-1")),
            ErrorCase(lambda T: call(T, 0), RuntimeError, ("Invalid number of data points", "0")),
            ErrorCase(lambda T: call(T, None, 2), IndexError, ("out of range", "2")),
            ErrorCase(lambda T: call(T, norm="none"), RuntimeError, ("none",))]  # fmt: skip


def planes(rng):
    for shape in [(2, 3), (2, 4, 5), (0, 2, 3)]:
        yield Sample(rng.standard_normal((*shape, 2)), dim=(-2, -1)).but(k=8)
    yield Sample(rng.standard_normal((2, 33, 40, 2)), dim=(-2, -1), norm="ortho").but(k=64, grad=False, layouts=False)


def case(function, form, last, norm=None, name=None):
    op, ref = form(function)
    big = Sample(np.random.default_rng(1).standard_normal((150, 256, *last)))
    return OpCase(name or f"fft_{function}", op, ref, samples(last, norm), dtypes=FULL_FLOATS, errors=errors(function), simd=True, torch=in_torch(op),
                  nonfinite=False, big=lambda rng: big, why="one NaN spoils whole lines, which part depends on the algorithm")


_PLANE, _PLANE_REF = of_pairs("fft2")
CASES = [
    case("fft", of_pairs, (2,)),
    case("ifft", of_pairs, (2,), "ortho"),
    case("rfft", to_pairs, (), "ortho"),
    case("irfft", to_real, (2,)),
    case("hfft", to_real, (2,), "forward"),
    case("ihfft", to_pairs, ()),
    case("fft", to_pairs, (), name="fft_of_real"),
    case("ifft", to_pairs, (), "ortho", name="ifft_of_real"),
    OpCase("fft_fft2", _PLANE, _PLANE_REF, planes, dtypes=FULL_FLOATS, nonfinite=False, torch=in_torch(_PLANE),
           why="one NaN spoils everything, which part depends on the algorithm"),
]  # fmt: skip
