"""What test_all.py is made of: arrays to tensors and back, layouts, comparison, numerical gradients, cell counting.

Nothing here asks ccdl for an answer it should be checked on: references come from NumPy, gradients from central
differences of the forward pass, second opinions from PyTorch. CCDL_TESTS_LIB=torch runs the cases on PyTorch itself.
With --device cuda every tensor of the library under test is made on that device and comes back by .cpu().
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import importlib.util
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from opcase import TOLERANCE, D, OpCase, Sample

LIB = os.environ.get("CCDL_TESTS_LIB", "ccdl")
DEVICE = "cpu"  # where the library under test works; on() changes it
SIZE_LIMITS: dict[str, int] = {}  # start of an op's name -> elements of one sample, where the device is emulated
EXECUTED: set[tuple[str, str]] = set()  # (op, check) cells that compared something
LEFT_OUT: collections.Counter[str] = collections.Counter()  # op -> samples over their limit

FLOAT_DTYPES = ("float64", "float32", "float16", "bfloat16")


def families() -> list[Any]:
    """The family files beside this one, under names that cannot hide a standard module."""
    modules = []
    for path in sorted(Path(__file__).resolve().parent.glob("*.py")):
        if path.stem in ("opcase", "harness") or path.stem.startswith("test_"):
            continue
        spec = importlib.util.spec_from_file_location(f"ops_family_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    return modules


def library() -> Any:
    return importlib.import_module(LIB)


@contextlib.contextmanager
def on(device: str) -> Iterator[None]:
    """Tensors made inside live on this device, whether the test or the op under test makes them."""
    global DEVICE
    before, DEVICE = DEVICE, device
    try:
        with library().device(device):
            yield
    finally:
        DEVICE = before


def settle() -> None:
    """Waits for the device: bad values met by a kernel surface here, as at any read."""
    if DEVICE != "cpu":
        library().cuda.synchronize()


def too_large(case: OpCase, sample: Sample) -> bool:
    """Whether the emulated device would need too long; the largest name that starts the op's decides."""
    fitting = [start for start in SIZE_LIMITS if case.name.startswith(start)]
    return DEVICE != "cpu" and bool(fitting) and elements(sample) > SIZE_LIMITS[max(fitting, key=len)]


def torch_or_none() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def count(case: OpCase, check: str) -> None:
    EXECUTED.add((case.name, check))


def rng_for(case: OpCase) -> np.random.Generator:
    return np.random.default_rng([ord(c) for c in case.name])


def resolve(T: Any, op: str | Callable[..., Any]) -> Callable[..., Any]:
    """The op of a case as f(*args, **kwargs) on library T."""
    if not isinstance(op, str):
        return lambda *args, **kwargs: op(T, *args, **kwargs)
    found = T
    for part in op.split("."):
        found = getattr(found, part)
    return found


# ---- arrays -> tensors -------------------------------------------------------------------------------------------


def is_free(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype == np.float64


def np_dtype(name: str) -> np.dtype:
    return np.dtype("float32" if name == "bfloat16" else name)


def round_to(a: np.ndarray, dtype: str) -> np.ndarray:
    """The free array as the dtype under test sees it: float64 for float dtypes, else the NumPy dtype itself."""
    if dtype == "float64":
        return a
    if dtype == "bool":
        return a > 0
    if dtype == "bfloat16":
        bits = a.astype(np.float32).view(np.uint32).astype(np.uint64)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
        return np.where(np.isfinite(a), rounded, a).astype(np.float64)
    if dtype in FLOAT_DTYPES:
        return a.astype(dtype).astype(np.float64)
    rounded = np.rint(np.nan_to_num(a))
    return (np.abs(rounded) if dtype == "uint8" else rounded).astype(dtype)


def to_tensor(T: Any, a: np.ndarray, dtype: str | None = None) -> Any:
    """A fresh tensor holding a; dtype None keeps the array's own."""
    t = T.from_numpy(np.array(a, dtype=a.dtype if dtype is None else np_dtype(dtype), order="C", copy=True))
    if dtype == "bfloat16":
        t = t.to(T.bfloat16)
    return t.to(DEVICE) if DEVICE != "cpu" and T is library() else t


def to_numpy(T: Any, t: Any) -> np.ndarray:
    t = t.detach().cpu()
    if t.dtype in (T.float16, T.bfloat16):
        t = t.to(T.float32)
    return np.array(t.numpy())


def dtype_of(t: Any) -> str:
    return str(t.dtype).rpartition(".")[2]


def map_arrays(value: Any, fn: Callable[[np.ndarray], Any], T: Any = None) -> Any:
    """Replaces every array in nested lists and tuples by fn(array), and D("name") by T.name (NumPy's when T is None)."""
    if isinstance(value, np.ndarray):
        return fn(value)
    if isinstance(value, D):
        return getattr(T, value) if T is not None else np.dtype(str(value))
    if isinstance(value, (list, tuple)):
        parts = [map_arrays(v, fn, T) for v in value]
        return type(value)(parts) if isinstance(value, list) or not hasattr(value, "_fields") else type(value)(*parts)
    return value


class Call:
    """A sample turned into arguments of one library for one dtype; `free` are its differentiable tensors."""

    def __init__(self, T: Any, sample: Sample, dtype: str = "float64", layout: str = "contiguous",
                 requires_grad: bool = False) -> None:
        self.free: list[Any] = []

        def convert(a: np.ndarray) -> Any:
            name = dtype if is_free(a) else None
            t = with_layout(T, round_to(a, dtype) if is_free(a) else a, name, layout)
            if is_free(a):
                if requires_grad and dtype in FLOAT_DTYPES:
                    t.requires_grad_(True)
                self.free.append(t)
            return t

        self.args = tuple(map_arrays(a, convert, T) for a in sample.args)
        self.kwargs = {k: map_arrays(v, convert, T) for k, v in sample.kwargs.items()}


def reference(case: OpCase, sample: Sample, dtype: str, layout: str = "contiguous") -> list[Any]:
    assert case.ref is not None

    def convert(a: np.ndarray) -> np.ndarray:
        a = expanded_values(a) if layout == "expanded" and is_free(a) else a
        return round_to(a, dtype) if is_free(a) else a

    args = [map_arrays(a, convert) for a in sample.args]
    with np.errstate(all="ignore"):
        return flatten(case.ref(*args, **{k: map_arrays(v, convert) for k, v in sample.kwargs.items()}))


def flatten(result: Any) -> list[Any]:
    if isinstance(result, (list, tuple)):
        return [x for part in result for x in flatten(part)]
    return [] if result is None else [result]


# ---- layouts -----------------------------------------------------------------------------------------------------


def expanded_values(a: np.ndarray) -> np.ndarray:
    return np.broadcast_to(a[:1], a.shape) if a.ndim and a.shape[0] > 1 else a


def with_layout(T: Any, a: np.ndarray, dtype: str | None, layout: str) -> Any:
    """A tensor holding the values of a in the named memory layout (contiguous where the layout does not apply)."""
    if a.ndim == 0 or layout == "contiguous":
        return to_tensor(T, a, dtype)
    if layout == "transposed":
        axes = tuple(reversed(range(a.ndim)))
        return to_tensor(T, np.ascontiguousarray(a.transpose(axes)), dtype).permute(axes)
    if layout == "sliced":  # every second element of a larger tensor whose other elements are poison
        poison = {"f": np.nan, "b": True, "i": 77, "u": 77}[a.dtype.kind]
        big = np.full([2 * n + 1 for n in a.shape], poison, dtype=a.dtype)
        big[tuple(slice(1, 2 * n + 1, 2) for n in a.shape)] = a
        return to_tensor(T, big, dtype)[tuple(slice(1, 2 * n + 1, 2) for n in a.shape)]
    if layout == "expanded":
        if a.shape[0] < 2 or not (dtype is not None):
            return to_tensor(T, a, dtype)
        return to_tensor(T, a[:1], dtype).expand(*a.shape)
    if layout == "channels_last":
        if a.ndim != 4:
            return to_tensor(T, a, dtype)
        return to_tensor(T, np.ascontiguousarray(a.transpose(0, 2, 3, 1)), dtype).permute(0, 3, 1, 2)
    raise ValueError(layout)


def applies(sample: Sample, layout: str) -> bool:
    arrays: list[np.ndarray] = []
    for value in (*sample.args, *sample.kwargs.values()):
        map_arrays(value, arrays.append)
    if layout == "channels_last":
        return any(a.ndim == 4 for a in arrays)
    if layout == "expanded":
        return any(is_free(a) and a.ndim and a.shape[0] > 1 for a in arrays)
    return any(a.ndim > 0 for a in arrays)


# ---- comparison --------------------------------------------------------------------------------------------------


def tolerance(case: OpCase, dtype: str, k: int) -> tuple[float, float]:
    rtol, atol = case.tol.get(dtype, TOLERANCE.get(dtype, (0.0, 0.0)))
    return rtol * math.sqrt(k), atol * math.sqrt(k)


def compare(T: Any, got: Any, want: list[Any], tol: tuple[float, float], what: str) -> None:
    """Shapes and values, result by result. Integers and bools are exact."""
    results = flatten(got)
    assert len(results) == len(want), f"{what}: {len(results)} results, reference has {len(want)}"
    for i, (g, w) in enumerate(zip(results, want, strict=True)):
        where = f"{what}, result {i}"
        if not hasattr(g, "detach"):
            assert g == w or (g != g and w != w) or (isinstance(g, float) and math.isclose(g, w, rel_tol=tol[0])), (
                f"{where}: {g!r} != {w!r}")
            continue
        w = np.asarray(w)
        if tol == (0.0, 0.0) and dtype_of(g) in FLOAT_DTYPES:  # integers in, floats out
            tol = TOLERANCE[dtype_of(g)]
        assert tuple(g.shape) == w.shape, f"{where}: shape {tuple(g.shape)} != {w.shape}"
        compare_arrays(to_numpy(T, g), w, dtype_of(g), tol, where)


def compare_arrays(a: np.ndarray, w: np.ndarray, dtype: str, tol: tuple[float, float], where: str) -> None:
    if dtype not in FLOAT_DTYPES:
        np.testing.assert_array_equal(a, w.astype(a.dtype), err_msg=where)
        return
    w = w.astype(np.float64)
    a = a.astype(np.float64)
    limit = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028235e38}.get(dtype)
    if limit is not None:  # the reference overflows where the dtype does
        with np.errstate(all="ignore"):
            w = np.where(np.abs(w) > limit * (1 + 2**-12), np.copysign(np.inf, w), w)
    np.testing.assert_allclose(a, w, rtol=tol[0], atol=tol[1], equal_nan=True, err_msg=where)


def compare_gradients(T: Any, got: Any, want: Any, dtype: str, terms: int, where: str) -> None:
    """The same gradient from two devices: the dtype's tolerance at the gradient's own scale, sqrt(terms) wide."""
    a, w = to_numpy(T, got).astype(np.float64), to_numpy(T, want).astype(np.float64)
    assert a.shape == w.shape, f"{where}: shape {a.shape} != {w.shape}"
    rtol, atol = TOLERANCE[dtype]
    finite = np.abs(w[np.isfinite(w)])
    scale = max(1.0, float(finite.max(initial=0.0)))
    np.testing.assert_allclose(a, w, rtol=rtol * math.sqrt(terms), atol=atol * scale * math.sqrt(terms), equal_nan=True,
                               err_msg=where)


def expected_dtype(rule: Any, dtype: str) -> str | None:
    if rule is None:
        return None
    if callable(rule):
        return rule(dtype)
    if rule == "same":
        return dtype
    if rule == "float":
        return dtype if dtype in FLOAT_DTYPES else "float32"
    if rule == "accum":
        return dtype if dtype in FLOAT_DTYPES else "int64"
    return str(rule)


def elements(sample: Sample) -> int:
    sizes: list[int] = []
    for value in (*sample.args, *sample.kwargs.values()):
        map_keep(value, lambda a: (sizes.append(a.size), a)[1])
    return sum(sizes)


def samples_of(case: OpCase, dtype: str = "float64") -> Iterable[Sample]:
    for sample in case.samples(rng_for(case)):
        if sample.dtypes is not None and dtype not in sample.dtypes:
            continue
        if too_large(case, sample):
            LEFT_OUT[case.name] += 1
            continue
        yield sample


def with_nonfinite(sample: Sample) -> Sample | None:
    """A copy whose first free array holds NaN, inf and -inf; None when there is no room."""
    done = False

    def inject(a: np.ndarray) -> np.ndarray:
        nonlocal done
        if done or not is_free(a) or a.size < 4:
            return a
        done = True
        a = a.copy()
        flat = a.reshape(-1)
        flat[0], flat[1], flat[-1] = np.nan, np.inf, -np.inf
        return a

    copy = Sample(*[map_keep(a, inject) for a in sample.args],
                  **{k: map_keep(v, inject) for k, v in sample.kwargs.items()})
    copy.k = sample.k
    return copy if done else None


def map_keep(value: Any, fn: Callable[[np.ndarray], np.ndarray]) -> Any:
    """map_arrays that leaves D(...) alone."""
    if isinstance(value, np.ndarray):
        return fn(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map_keep(v, fn) for v in value)
    return value


# ---- gradients ---------------------------------------------------------------------------------------------------


def float_results(T: Any, result: Any) -> list[Any]:
    return [r for r in flatten(result) if hasattr(r, "detach") and dtype_of(r) in FLOAT_DTYPES]


def cotangents(results: list[Any], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(tuple(r.shape))) for r in results]


def grads(T: Any, case_op: Callable[..., Any], call: Call, weights: list[np.ndarray] | None = None,
          dtype: str = "float64", **how: Any) -> tuple[list[Any], list[np.ndarray]]:
    """Gradients of sum(results * weights) for every free tensor (None where not connected)."""
    results = [r for r in float_results(T, case_op(*call.args, **call.kwargs)) if r.requires_grad]
    if weights is None:
        weights = cotangents(results, 7)
    got = T.autograd.grad(results, call.free, [to_tensor(T, w, dtype) for w in weights], allow_unused=True, **how)
    return list(got), weights


def numerical_grad(f: Callable[[list[np.ndarray]], float], arrays: list[np.ndarray], eps: float = 1e-6) -> list[np.ndarray]:
    """Central differences of a scalar function, element by element, with one Richardson step."""
    result = []
    for i, a in enumerate(arrays):
        g = np.zeros(a.shape)
        for index in np.ndindex(*a.shape):
            def at(h: float, i: int = i, index: tuple[int, ...] = index) -> float:
                moved = [x.copy() if j == i else x for j, x in enumerate(arrays)]
                moved[i][index] += h
                return f(moved)

            h = eps * 100 * max(1.0, abs(float(a[index])))
            d1 = (at(h) - at(-h)) / (2 * h)
            d2 = (at(h / 2) - at(-h / 2)) / h
            g[index] = (4 * d2 - d1) / 3
        result.append(g)
    return result


def replace_free(sample: Sample, arrays: list[np.ndarray]) -> Sample:
    left = list(arrays)

    def take(a: np.ndarray) -> np.ndarray:
        return left.pop(0) if is_free(a) else a

    return Sample(*[map_keep(a, take) for a in sample.args],
                  **{k: map_keep(v, take) for k, v in sample.kwargs.items()})


def free_arrays(sample: Sample) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for value in (*sample.args, *sample.kwargs.values()):
        map_keep(value, lambda a: (found.append(a) if is_free(a) else None, a)[1])
    return found
