"""Runs every OpCase of tests/ops/<family>.py through every check. The format is described in opcase.py."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from harness import (
    FLOAT_DTYPES,
    LIB,
    Call,
    applies,
    compare,
    compare_arrays,
    compare_gradients,
    cotangents,
    count,
    dtype_of,
    elements,
    expected_dtype,
    families,
    flatten,
    float_results,
    free_arrays,
    grads,
    library,
    numerical_grad,
    on,
    reference,
    replace_free,
    resolve,
    rng_for,
    samples_of,
    to_numpy,
    to_tensor,
    tolerance,
    torch_or_none,
    with_nonfinite,
)
from opcase import OpCase, Sample

T = library()

# What needs no kernel on a device, and what may wait for one because a size or an answer for Python is data.
NO_LAUNCH = frozenset({"atleast_2d", "atleast_3d", "broadcast_tensors", "meshgrid", "hsplit", "vsplit", "dsplit"})
READS_BACK = frozenset({"allclose", "argwhere", "bincount", "bincount_weights", "equal", "index_put", "masked_scatter", "masked_select", "nonzero",
                        "nonzero_tuple", "repeat_interleave", "unique", "unique_consecutive", "unique_dim", "where_coordinates",
                        # codes of failed factorisations become errors, as in PyTorch; a scaling by the norm
                        "cholesky_inverse", "cholesky_solve", "linalg_cholesky", "linalg_cholesky_upper", "linalg_cond", "linalg_det",
                        "linalg_eigh", "linalg_eigvalsh", "linalg_inv", "linalg_lstsq", "linalg_lu_solve", "linalg_matrix_exp",
                        "linalg_matrix_norm_-2", "linalg_matrix_norm_2", "linalg_matrix_norm_nuc", "linalg_matrix_power_negative",
                        "linalg_matrix_rank", "linalg_pinv", "linalg_solve", "linalg_solve_right", "linalg_svd", "linalg_svd_full",
                        "linalg_svdvals"})


def all_cases() -> list[OpCase]:
    cases: list[OpCase] = []
    for module in families():
        cases += module.CASES
    names = [c.name for c in cases]
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})
    return cases


CASES = all_cases()


def each(keep: Any = lambda case: True) -> Any:
    return pytest.mark.parametrize("case", [
        pytest.param(c, id=c.name, marks=[pytest.mark.simd] if c.simd else []) for c in CASES if keep(c)])


def gradient_samples(case: OpCase) -> list[Sample]:
    found = []
    for sample in samples_of(case):
        arrays = free_arrays(sample)
        if sample.grad and arrays and sum(a.size for a in arrays) <= 400:
            found.append(sample)
    return found


@each(lambda c: c.ref is not None)
def test_values(case: OpCase) -> None:
    op = resolve(T, case.op)
    empties = 0
    for dtype in case.dtypes:
        for i, sample in enumerate(samples_of(case, dtype)):
            call = Call(T, sample, dtype)
            result = op(*call.args, **call.kwargs)
            what = f"{case.name} {dtype} sample {i} {sample}"
            compare(T, result, reference(case, sample, dtype), tolerance(case, dtype, sample.k), what)
            first = next((r for r in flatten(result) if hasattr(r, "detach")), None)
            want = expected_dtype(case.result, dtype)
            if first is not None and want is not None:
                assert dtype_of(first) == want, f"{what}: result dtype {dtype_of(first)}, expected {want}"
            arrays: list[Any] = []
            for value in (*call.args, *call.kwargs.values()):
                arrays += [a for a in flatten(value) if hasattr(a, "detach")]
            empties += any(a.numel() == 0 for a in arrays)
            count(case, f"values {dtype}")
    assert empties or not case.empty, f"{case.name}: no sample with a zero-size tensor; add one or say empty=False, why="


@each()
def test_requires_grad(case: OpCase) -> None:
    sample = next(iter(s for s in samples_of(case) if free_arrays(s)), None)
    if sample is None or not set(case.dtypes) & set(FLOAT_DTYPES):
        return
    op = resolve(T, case.op)
    dtype = next(d for d in case.dtypes if d in FLOAT_DTYPES)
    call = Call(T, sample, dtype, requires_grad=True)
    result = float_results(T, op(*call.args, **call.kwargs))
    if case.grad:
        assert any(r.requires_grad for r in result), f"{case.name}: the result does not require grad"
        with T.no_grad():
            assert not any(r.requires_grad for r in float_results(T, op(*call.args, **call.kwargs)))
    elif case.zero_grad:
        assert all(r.requires_grad for r in result), f"{case.name}: the result does not require grad"
        for g in T.autograd.grad(result, call.free, [T.ones_like(r) for r in result]):
            assert not g.any(), f"{case.name}: a gradient that is not zero"
    else:
        assert not any(r.requires_grad for r in result), f"{case.name}: declared without gradient, yet it requires grad"
    call = Call(T, sample, dtype)
    assert not any(r.requires_grad for r in float_results(T, op(*call.args, **call.kwargs)))
    count(case, "requires_grad")


@pytest.mark.parametrize("layout", ["transposed", "sliced", "expanded", "channels_last"])
@each(lambda c: c.ref is not None and c.layouts)
def test_layouts(case: OpCase, layout: str) -> None:
    if layout not in case.layouts:
        return
    op = resolve(T, case.op)
    for dtype in [d for d in case.dtypes if d in ("float64", "float32", "bfloat16", "int64", "bool")]:
        for i, sample in enumerate(samples_of(case, dtype)):
            if sample.layouts and applies(sample, layout):
                call = Call(T, sample, dtype, layout)
                compare(T, op(*call.args, **call.kwargs), reference(case, sample, dtype, layout),
                        tolerance(case, dtype, sample.k), f"{case.name} {dtype} {layout} sample {i} {sample}")
                count(case, f"layout {layout}")


@pytest.mark.host
@each(lambda c: c.strides)
def test_strides(case: OpCase) -> None:
    torch = torch_or_none()
    if torch is None:
        pytest.skip("PyTorch is not installed")
    theirs = case.op if case.torch is True else case.torch
    for layout in ("contiguous", "transposed", "channels_last"):
        for sample in samples_of(case):
            a, b = Call(T, sample, "float32", layout), Call(torch, sample, "float32", layout)
            got = float_results(T, resolve(T, case.op)(*a.args, **a.kwargs))
            want = float_results(torch, resolve(torch, theirs)(*b.args, **b.kwargs))
            for g, w in zip(got, want, strict=True):
                dims = [d for d in range(w.dim()) if w.shape[d] > 1] if w.numel() else []
                assert [g.stride(d) for d in dims] == [w.stride(d) for d in dims], f"{case.name} {layout} {sample}"
                count(case, "strides")


@each(lambda c: c.nonfinite and c.ref is not None and "float32" in c.dtypes)
def test_nonfinite(case: OpCase) -> None:
    op = resolve(T, case.op)
    for dtype in [d for d in case.dtypes if d in ("float64", "float32")]:
        for i, sample in enumerate(samples_of(case, dtype)):
            poisoned = with_nonfinite(sample) if sample.nonfinite else None
            if poisoned is None:
                continue
            call = Call(T, poisoned, dtype)
            compare(T, op(*call.args, **call.kwargs), reference(case, poisoned, dtype),
                    tolerance(case, dtype, sample.k), f"{case.name} {dtype} NaN/inf in sample {i} {sample}")
            count(case, "nonfinite")


@each(lambda c: c.errors)
def test_errors(case: OpCase) -> None:
    for i, error in enumerate(case.errors):
        own: tuple[type[BaseException], ...] = error.exc if isinstance(error.exc, tuple) else (error.exc,)
        kinds = own
        parts = list(error.parts)
        with pytest.raises((*own, IndexError, RuntimeError)) as caught:
            error.fn(T)
            # A bad value met by a kernel surfaces at the next read, with its kind's error and the value in it.
            kinds = (*own, IndexError, RuntimeError)
            parts = [part for part in parts if part.lstrip("-").isdigit() and "=" not in part]
            harness.settle()
        assert isinstance(caught.value, kinds), f"{case.name} error {i} raised {type(caught.value)}"
        message = str(caught.value)
        if LIB == "ccdl":
            for part in parts:
                assert part in message, f"{case.name} error {i}: {part!r} is not in {message!r}"
            kind = type(caught.value)
            assert kind.__module__.startswith("ccdl") or kind is TypeError, f"{case.name} error {i} raised {kind}"
        sample = next(iter(samples_of(case, case.dtypes[0])))
        call = Call(T, sample, case.dtypes[0])
        result = resolve(T, case.op)(*call.args, **call.kwargs)
        if case.ref is not None:
            compare(T, result, reference(case, sample, case.dtypes[0]), tolerance(case, case.dtypes[0], sample.k),
                    f"{case.name}: good call after error {i}")
        count(case, f"error {i}")


@each(lambda c: c.inplace)
def test_inplace(case: OpCase) -> None:
    op = resolve(T, case.op)
    method = case.inplace
    for sample in samples_of(case):
        a, b = Call(T, sample, requires_grad=case.grad), Call(T, sample, requires_grad=case.grad)
        want = op(*a.args, **a.kwargs)
        target = b.args[0].clone()
        if tuple(target.shape) != tuple(want.shape):
            continue  # broadcasting makes the result larger than the first argument
        version = target._version
        result = getattr(target, method)(*b.args[1:], **b.kwargs)
        assert result is target, f"{method} must return the tensor it changed"
        assert target._version > version, f"{method} must bump the version"
        np.testing.assert_array_equal(to_numpy(T, target), to_numpy(T, want))
        if case.grad and sample.grad and want.numel():
            w = to_tensor(T, cotangents([want], 3)[0], "float64")
            one = T.autograd.grad([want], a.free, [w], allow_unused=True)
            two = T.autograd.grad([target], b.free, [w], allow_unused=True)
            for g, h in zip(one, two, strict=True):
                assert (g is None) == (h is None)
                if g is not None:
                    np.testing.assert_allclose(to_numpy(T, h), to_numpy(T, g), rtol=1e-12, atol=1e-12)
        count(case, "inplace")


@each(lambda c: c.out)
def test_out(case: OpCase) -> None:
    op = resolve(T, case.op)
    for sample in samples_of(case):
        call = Call(T, sample)
        want = op(*call.args, **call.kwargs)
        target = T.empty(0, dtype=want.dtype, device=want.device)
        if tuple(want.shape) != (0,):
            target = T.empty(tuple(want.shape), dtype=want.dtype, device=want.device)
        result = op(*call.args, **call.kwargs, out=target)
        assert result is target
        np.testing.assert_array_equal(to_numpy(T, target), to_numpy(T, want))
        count(case, "out")
    if case.grad:
        call = Call(T, sample, requires_grad=True)
        with pytest.raises(RuntimeError):
            op(*call.args, **call.kwargs, out=target)


@each(lambda c: c.grad)
def test_gradcheck(case: OpCase) -> None:
    op = resolve(T, case.op)
    samples = gradient_samples(case)
    assert samples, f"{case.name}: no sample small enough for the gradient check"
    for i, sample in enumerate(samples):
        call = Call(T, sample, requires_grad=True)
        got, weights = grads(T, op, call)

        def loss(arrays: list[np.ndarray], sample: Sample = sample, weights: list[np.ndarray] = weights) -> float:
            moved = Call(T, replace_free(sample, arrays), requires_grad=True)
            results = [r for r in float_results(T, op(*moved.args, **moved.kwargs)) if r.requires_grad]
            return sum(float(np.sum(to_numpy(T, r) * w)) for r, w in zip(results, weights, strict=True))

        with on("cpu"):  # whose forward is checked elsewhere: thousands of small launches would add nothing
            want = numerical_grad(loss, free_arrays(sample))
        for j, (g, w) in enumerate(zip(got, want, strict=True)):
            g = np.zeros(w.shape) if g is None else to_numpy(T, g)
            assert g.shape == w.shape
            np.testing.assert_allclose(g, w, rtol=case.grad_tol[0], atol=case.grad_tol[1],
                                       err_msg=f"{case.name} sample {i} {sample}: gradient of free argument {j}")
        count(case, "gradcheck")


@each(lambda c: c.grad if c.gradgrad is None else c.gradgrad)
def test_gradgradcheck(case: OpCase) -> None:
    op = resolve(T, case.op)
    samples = [s for s in gradient_samples(case) if sum(a.size for a in free_arrays(s)) <= 40][:4]
    assert samples, f"{case.name}: no sample small enough for the second-order check"
    for i, sample in enumerate(samples):
        arrays = free_arrays(sample)
        call = Call(T, sample, requires_grad=True)
        results = [r for r in float_results(T, op(*call.args, **call.kwargs)) if r.requires_grad]
        weights = cotangents(results, 7)
        directions = [np.asarray(np.random.default_rng(9).standard_normal(a.shape)) for a in arrays]

        def first(call: Call, ws: list[Any], create: bool, directions: list[np.ndarray] = directions) -> Any:
            """sum(gradient * direction) as a tensor."""
            results = [r for r in float_results(T, op(*call.args, **call.kwargs)) if r.requires_grad]
            got = T.autograd.grad(results, call.free, ws, allow_unused=True, create_graph=create)
            terms = [(g * to_tensor(T, d)).sum() for g, d in zip(got, directions, strict=True) if g is not None]
            return sum(terms[1:], terms[0])

        ws = [to_tensor(T, w).requires_grad_(True) for w in weights]
        total = first(call, ws, True)
        assert total.requires_grad, f"{case.name}: the gradient does not require grad under create_graph"
        got = T.autograd.grad([total], [*call.free, *ws], allow_unused=True)

        def scalar(moved: list[np.ndarray], sample: Sample = sample, n: int = len(arrays)) -> float:
            call = Call(T, replace_free(sample, moved[:n]), requires_grad=True)
            return float(to_numpy(T, first(call, [to_tensor(T, w) for w in moved[n:]], False)))

        with on("cpu"):
            want = numerical_grad(scalar, [*arrays, *weights])
        for j, (g, w) in enumerate(zip(got, want, strict=True)):
            g = np.zeros(w.shape) if g is None else to_numpy(T, g)
            np.testing.assert_allclose(g, w, rtol=case.grad_tol[0] * 10, atol=case.grad_tol[1] * 10,
                                       err_msg=f"{case.name} sample {i} {sample}: second-order gradient {j}")
        count(case, "gradgradcheck")


@pytest.mark.host
@each(lambda c: c.torch is not False)
def test_torch(case: OpCase) -> None:
    torch = torch_or_none()
    if torch is None:
        pytest.skip("PyTorch is not installed")
    ours, theirs = resolve(T, case.op), resolve(torch, case.op if case.torch is True else case.torch)
    for dtype in [d for d in case.dtypes if d not in ("float16", "bfloat16")]:
        for i, sample in enumerate(samples_of(case, dtype)):
            what = f"{case.name} {dtype} sample {i} {sample} against PyTorch"
            a, b = Call(T, sample, dtype), Call(torch, sample, dtype)
            got, want = ours(*a.args, **a.kwargs), theirs(*b.args, **b.kwargs)
            rtol, atol = tolerance(case, dtype, sample.k)
            if dtype == "float64":
                rtol, atol = max(rtol, 1e-10), max(atol, 1e-10)
            compare(T, got, [w.detach().numpy() if hasattr(w, "detach") else w for w in flatten(want)],
                    (2 * rtol, 2 * atol), what)
            for g, w in zip(flatten(got), flatten(want), strict=True):
                if hasattr(g, "detach"):
                    assert dtype_of(g) == dtype_of(w), f"{what}: dtype {dtype_of(g)}, PyTorch gives {dtype_of(w)}"
            count(case, "torch values")
            if case.grad and sample.grad and dtype == "float64" and free_arrays(sample):
                a, b = Call(T, sample, dtype, requires_grad=True), Call(torch, sample, dtype, requires_grad=True)
                g1, weights = grads(T, ours, a)
                g2, _ = grads(torch, theirs, b, weights)
                for g, w in zip(g1, g2, strict=True):
                    if w is not None:
                        ga = np.zeros(tuple(w.shape)) if g is None else to_numpy(T, g)
                        compare_arrays(ga, w.detach().numpy(), "float64", (1e-9, 1e-9), what + ", gradient")
                count(case, "torch gradients")


@each()
def test_deterministic(case: OpCase) -> None:
    """The same bits, forward and backward, at one and at two threads and on a second run."""
    op = resolve(T, case.op)
    dtype = "float32" if "float32" in case.dtypes else case.dtypes[0]
    samples = list(samples_of(case, dtype))[-2:]
    if case.big is not None:
        big = case.big(rng_for(case))
        if not harness.too_large(case, big):
            samples.append(big)
    before = T.get_num_threads()
    try:
        for sample in samples:
            seen = []
            for threads in (1, 2, 2) if harness.DEVICE == "cpu" else (before, before):
                T.set_num_threads(threads)
                call = Call(T, sample, dtype, requires_grad=case.grad)
                result = op(*call.args, **call.kwargs)
                bits = [to_numpy(T, r).tobytes() for r in flatten(result) if hasattr(r, "detach")]
                if case.grad and free_arrays(sample) and dtype in FLOAT_DTYPES:
                    bits += [b"" if g is None else to_numpy(T, g).tobytes() for g in grads(T, op, call, None, dtype)[0]]
                seen.append(bits)
            assert all(b == seen[0] for b in seen), f"{case.name} {sample}: bits depend on the thread count or the run"
            count(case, "deterministic")
    finally:
        T.set_num_threads(before)


def tensors_in(value: Any) -> list[Any]:
    return [t for t in flatten(value) if hasattr(t, "detach")]


@pytest.mark.gpu
@each()
def test_devices(case: OpCase) -> None:
    """The device gives what the host gives: values, dtype, strides, requires_grad, and gradients in every float dtype."""
    op = resolve(T, case.op)
    for dtype in case.dtypes:
        for i, sample in enumerate(samples_of(case, dtype)):
            differentiable = case.grad and sample.grad and dtype in FLOAT_DTYPES and bool(free_arrays(sample))

            def run(device: str, sample: Sample = sample, dtype: str = dtype, wanted: bool = differentiable) -> Any:
                with on(device):
                    call = Call(T, sample, dtype, requires_grad=wanted)
                    result = op(*call.args, **call.kwargs)
                    return result, grads(T, op, call, None, dtype)[0] if wanted else []

            what = f"{case.name} {dtype} sample {i} {sample}"
            (want, want_grads), (got, got_grads) = run("cpu"), run(harness.DEVICE)
            tol = tolerance(case, dtype, sample.k)
            compare(T, got, [to_numpy(T, w) if hasattr(w, "detach") else w for w in flatten(want)], tol, what)
            for g, w in zip(tensors_in(got), tensors_in(want), strict=True):
                assert g.dtype == w.dtype and g.requires_grad == w.requires_grad, what
                assert g.device.type == harness.DEVICE, f"{what}: the result is on {g.device}"
                assert not w.numel() or g.stride() == w.stride(), f"{what}: strides {g.stride()}, host {w.stride()}"
            for j, (g, w) in enumerate(zip(got_grads, want_grads, strict=True)):
                assert (g is None) == (w is None), f"{what}: gradient {j}"
                if w is not None:
                    assert g.device.type == harness.DEVICE and g.dtype == w.dtype, f"{what}: gradient {j}"
                    compare_gradients(T, g, w, dtype, max(sample.k, elements(sample)), f"{what}: gradient {j}")
            count(case, f"devices {dtype}")


@pytest.mark.gpu
@each()
def test_launches(case: OpCase) -> None:
    """The op runs as kernels of the device, and nothing in it or its backward waits for them."""
    op = resolve(T, case.op)
    dtype = "float32" if "float32" in case.dtypes else case.dtypes[0]
    for sample in sorted(samples_of(case, dtype), key=elements, reverse=True):
        call = Call(T, sample, dtype, requires_grad=case.grad)
        T.cuda.synchronize()
        launches, syncs = T.cuda._launch_count(), T.cuda._sync_count()
        result = op(*call.args, **call.kwargs)
        launches, syncs = T.cuda._launch_count() - launches, T.cuda._sync_count() - syncs
        if all(t.numel() for t in tensors_in(result)):  # something to compute
            break
    assert all(t.device.type == harness.DEVICE for t in tensors_in(result)), f"{case.name}: a result on the host"
    if case.name in NO_LAUNCH:
        assert launches == 0, f"{case.name}: listed as running no kernel, yet {launches} were launched"
    else:
        assert launches > 0, f"{case.name}: no kernel was launched"
    assert syncs == 0 or case.name in READS_BACK, f"{case.name}: waits for the device"
    if case.grad and free_arrays(sample) and dtype in FLOAT_DTYPES:
        results = [r for r in float_results(T, result) if r.requires_grad]
        weights = [to_tensor(T, w, dtype) for w in cotangents(results, 7)]
        syncs = T.cuda._sync_count()
        found = T.autograd.grad(results, call.free, weights, allow_unused=True)
        if case.name not in READS_BACK:
            assert T.cuda._sync_count() == syncs, f"{case.name}: its backward waits for the device"
        assert all(g is None or g.device.type == harness.DEVICE for g in found)
    count(case, "launches")
