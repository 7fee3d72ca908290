"""One op = one OpCase; tests/ops/test_all.py runs every case through every check.

A family file tests/ops/<family>.py exports CASES = [OpCase(...), ...]. An entry looks like this:

    CASES = [
        OpCase(
            "softmax",                                   # unique; the test ids are <check>[softmax]
            op=lambda T, x, dim: T.nn.functional.softmax(x, dim),   # T is the library: ccdl, or torch as second opinion
            ref=lambda x, dim: scipy.special.softmax(x, dim),       # NumPy/SciPy; gets arrays, returns array or tuple
            samples=softmax_samples,                     # generator: samples(rng) yields Sample(*args, **kwargs)
            errors=[ErrorCase(lambda T: T.nn.functional.softmax(T.ones(3), 4), IndexError, ("softmax", "dim", "4"))],
        ),
    ]

op may be a dotted name instead ("exp", "nn.functional.relu", "Tensor.add"); it is looked up in T.

Samples hold NumPy arrays. What an array becomes:
  float64 array  -> "free" tensor: takes the dtype under test (for integer dtypes rounded, for bool x > 0), gets the
                    strange layouts, and is what gradients are taken for;
  other arrays   -> "fixed" tensor: keeps its dtype (int64 indices, bool masks, float32 on purpose), may get layouts.
Lists and tuples are searched for arrays; D("int64") becomes T.int64 (and np.int64 for ref); the rest passes as it is.
ref receives the free arrays already rounded to the dtype under test: as float64 for the float dtypes, as the integer
or bool NumPy dtype otherwise. Results may be a tensor, a tuple/list of tensors, or Python scalars.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

FLOATS = ("float64", "float32", "float16", "bfloat16")
FULL_FLOATS = ("float64", "float32")
INTS = ("uint8", "int8", "int16", "int32", "int64")
ALL = FLOATS + INTS + ("bool",)

# name: (rtol, atol); reductions over K terms widen both by sqrt(K)
TOLERANCE = {
    "float64": (1e-12, 1e-12),
    "float32": (1.3e-6, 1e-5),
    "float16": (1e-3, 1e-3),
    "bfloat16": (1.6e-2, 1.6e-2),
}
GRAD_RTOL, GRAD_ATOL = 1e-6, 1e-7


class D(str):
    """A dtype by name, as an argument of an op."""


class Sample:
    """One call: positional and keyword arguments of the op. k: terms per result element of a reduction;
    grad=False: not for the gradient checks (a kink, or too big); nonfinite=False: not for the NaN/inf check;
    layouts=False: not for the layout check; dtypes: only for these."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.k = 1
        self.grad = True
        self.nonfinite = True
        self.layouts = True
        self.dtypes: tuple[str, ...] | None = None

    def but(self, **marks: Any) -> Sample:
        """Sample(x, 1).but(k=100, grad=False): sets the marks described above."""
        for name, value in marks.items():
            if name not in ("k", "grad", "nonfinite", "layouts", "dtypes"):
                raise TypeError(f"Sample has no mark {name!r}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        def show(a: Any) -> str:
            return f"{a.dtype}{list(a.shape)}" if isinstance(a, np.ndarray) else repr(a)

        parts = [show(a) for a in self.args] + [f"{k}={show(v)}" for k, v in self.kwargs.items()]
        return f"Sample({', '.join(parts)})"


@dataclasses.dataclass
class ErrorCase:
    """fn(T) must raise exc (a builtin class; the ccdl class derives from it) with every part in the message."""

    fn: Callable[[Any], Any]
    exc: type[BaseException]
    parts: Sequence[str] = ()


@dataclasses.dataclass
class OpCase:
    name: str
    op: str | Callable[..., Any]
    ref: Callable[..., Any] | None
    samples: Callable[[np.random.Generator], Iterator[Sample]]
    dtypes: Sequence[str] = FLOATS
    grad: bool = True  # False: the result must not require grad
    zero_grad: bool = False  # without grad: the result requires grad all the same, and every gradient is zero
    gradgrad: bool | None = None  # default: as grad
    errors: Sequence[ErrorCase] = ()
    result: Any = "same"  # dtype of the (first) result: "same", "float" (ints give float32), "accum" (ints and
    #                       bool give int64), a dtype name, callable(name) -> name, or None: not checked
    inplace: str | None = None  # method name such as "exp_": must agree with op and return its first argument
    out: bool = False  # op accepts out=
    nonfinite: bool = True  # NaN and inf injected into the first free array agree with ref
    layouts: Sequence[str] = ("transposed", "sliced", "expanded", "channels_last")
    strides: bool = False  # dense layouts: result strides equal PyTorch's
    torch: bool | str | Callable[..., Any] = True  # False: no second opinion; else its own form of op
    tol: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    grad_tol: tuple[float, float] = (GRAD_RTOL, GRAD_ATOL)
    empty: bool = True  # some sample must hold a zero-size array
    big: Callable[[np.random.Generator], Sample] | None = None  # large enough for two threads; determinism check
    simd: bool = False  # its values are also tested at every instruction-set level
    why: str = ""  # reason for anything switched off


def edge_shapes() -> list[tuple[int, ...]]:
    """Shapes around vector and block edges, 0-d, zero-size, one element, several dimensions."""
    sizes = [1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65]
    return [(), (0,), (3, 0, 2), (2, 3), (4, 1, 5), (2, 3, 4, 5), (1025,)] + [(n,) for n in sizes]


def unary_samples(low: float = -3.0, high: float = 3.0, away_from: Sequence[float] = (), gap: float = 0.05,
                  **kwargs: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Samples(x, **kwargs) with x in (low, high), at least `gap` away from the given kinks."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in edge_shapes():
            x = np.asarray(rng.uniform(low, high, shape))
            for kink in away_from:
                near = np.abs(x - kink) < gap
                x = np.where(near, kink + np.where(x < kink, -gap, gap) * 1.5, x)
            yield Sample(x, **kwargs).but(grad=x.size <= 64)

    return samples


def binary_samples(low: float = -3.0, high: float = 3.0, positive_right: bool = False,
                   **kwargs: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Samples(a, b, **kwargs) with equal shapes and broadcasting; |b| >= 0.5 and b > 0 with positive_right."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], right: bool) -> np.ndarray:
        x = np.asarray(rng.uniform(low, high, shape))
        return np.abs(x) + 0.5 if right and positive_right else x

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        pairs = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((4, 1, 5), (3, 1)), ((), (2, 3)), ((2, 3), ()),
                 ((), ()), ((0,), (1,)), ((3, 0, 2), (3, 1, 1)), ((2, 3, 4, 5), (2, 3, 4, 5)),
                 ((2, 3, 4, 5), (1, 3, 1, 1))]
        pairs += [((n,), (n,)) for n in (15, 16, 17, 33, 1025)]
        for a, b in pairs:
            x, y = draw(rng, a, False), draw(rng, b, True)
            yield Sample(x, y, **kwargs).but(grad=x.size <= 64)

    return samples
