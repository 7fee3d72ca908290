"""PyTorch's own operator samples run on both libraries: python tests/peer/op_db.py [part of the operator's name ...]

For every operator of PyTorch's test list: results, dtypes and shapes for each dtype, non-contiguous inputs, views
where PyTorch gives views, gradients and second gradients of a random projection, the method, in-place and out=
variants, and the inputs which must be an error. Each operator runs in a child process. What is found is compared
with known_differences.txt both ways: a new difference fails, and so does a listed one that is gone (whole runs).
"""

from __future__ import annotations

import collections
import multiprocessing
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

KNOWN = Path(__file__).with_name("known_differences.txt")
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "int32")
MOST = {"float32": 120, "float64": 60}  # samples per dtype; others 24
SECONDS = 240

# Results of these are not defined, only their shapes and dtypes.
UNDEFINED = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided", "resize_", "resize_as_")


class Report:
    """The differences of one operator: each kind of check and dtype counted once, with its first example."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: dict[tuple[str, str], str] = {}
        self.count = collections.Counter()

    def add(self, check: str, dtype: str, text: str, sample: Any = None) -> None:
        self.count[check, dtype] += 1
        if (check, dtype) not in self.found:
            shown = " ".join(text.split())[:260]
            if sample is not None:
                shown += f"   <- {describe(sample)}"
            self.found[check, dtype] = shown

    def lines(self) -> list[str]:
        return [f"{self.name}\t{check}\t{dtype}\t{text} (x{self.count[check, dtype]})" for (check, dtype), text in self.found.items()]


def describe(sample: Any) -> str:
    import torch

    def short(v: Any) -> str:
        if isinstance(v, torch.Tensor):
            return f"{str(v.dtype)[6:]}{list(v.shape)}" + ("" if v.is_contiguous() else f"/{v.stride()}")
        if isinstance(v, (list, tuple)):
            return "(" + ", ".join(short(x) for x in v) + ")"
        return repr(v)[:60]

    parts = [short(sample.input), *[short(a) for a in sample.args], *[f"{k}={short(v)}" for k, v in sample.kwargs.items()]]
    return ", ".join(parts)[:300]


def attempt(function: Any, *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
    try:
        return function(*args, **kwargs), None
    except Exception as error:
        return None, error


def projected(outputs: Any, library: Any, weights: dict[int, Any], port: bool) -> Any:
    """A fixed random projection of every differentiable output."""
    import torch
    from bridge import leaves, port_tensor

    total = None
    for i, y in enumerate(t for t in leaves(outputs)):
        if not y.requires_grad or not y.is_floating_point():
            continue
        if i not in weights:
            weights[i] = torch.randn(tuple(y.shape), generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        w = port_tensor(weights[i]) if port else weights[i]
        part = (y * w.to(y.dtype)).sum()
        total = part if total is None else total + part
    return total


def tensors_of(sample: Any) -> list[Any]:
    from bridge import leaves

    return [t for t in leaves([sample[0], sample[1], sample[2]]) if t.requires_grad]


def same_gradients(function: Any, twin: Any, sample: Any, ours: Any, process: Any, twin_process: Any, second: bool) -> str:
    import torch
    from bridge import differs

    import ccdl

    weights: dict[int, Any] = {}
    theirs_in = tensors_of((sample.input, sample.args, sample.kwargs))
    ours_in = tensors_of(ours)
    y, error = attempt(lambda: process(function(sample.input, *sample.args, **sample.kwargs)))
    if error is not None or not theirs_in:
        return ""
    loss = projected(y, torch, weights, False)
    if loss is None:
        return ""
    g, error = attempt(torch.autograd.grad, loss, theirs_in, create_graph=second, allow_unused=True)
    if error is not None:
        return ""
    z = twin_process(twin(ours[0], *ours[1], **ours[2]))
    our_loss = projected(z, ccdl, weights, True)
    if our_loss is None:
        return "no gradient"
    h = ccdl.autograd.grad(our_loss, ours_in, create_graph=second, allow_unused=True)
    for i, (a, b) in enumerate(zip(h, g)):
        if a is None and b is None:
            continue
        if a is None or b is None:
            zero = (b if a is None else a)
            if float(zero.detach().abs().sum()) != 0:
                return f"gradient {i} is {'None' if a is None else 'there'} for {'None' if b is None else 'there'}"
            continue
        if text := differs(a, b, scale=10):
            return f"gradient {i}: {text}"
    if not second:
        return ""
    weights2: dict[int, Any] = {}
    keep = [i for i, (a, b) in enumerate(zip(h, g)) if a is not None and b is not None and b.requires_grad]
    loss = projected([g[i] for i in keep], torch, weights2, False)
    if loss is None:
        return ""
    g2, error = attempt(torch.autograd.grad, loss, theirs_in, allow_unused=True)
    if error is not None:
        return ""
    our_loss = projected([h[i] for i in keep], ccdl, weights2, True)
    if our_loss is None:
        return "" if all(b is None or float(b.abs().sum()) == 0 for b in g2) else "second gradient: none"
    h2 = ccdl.autograd.grad(our_loss, ours_in, allow_unused=True)
    for i, (a, b) in enumerate(zip(h2, g2)):
        if a is None or b is None:
            one = b if a is None else a
            if one is not None and float(one.detach().abs().sum()) > 1e-9:
                return f"second gradient {i} is {'None' if a is None else 'there'} for {'None' if b is None else 'there'}"
            continue
        if text := differs(a, b, scale=100):
            return f"second gradient {i}: {text}"
    return ""


def inside(x: Any, base: Any) -> bool:
    """Whether x starts in the memory that base spans."""
    extent = 1 + sum((n - 1) * s for n, s in zip(base.shape, base.stride()))
    first = base.data_ptr()
    return first <= x.data_ptr() < first + extent * base.element_size()


def check_op(op: Any, report: Report) -> None:
    import torch
    from bridge import NAMES, Unportable, differs, leaves, port, port_function, resolve

    import ccdl

    try:
        twin = resolve(op.name) if NAMES.get(id(op.op)) == op.name or hasattr_path(torch, op.name) is op.op else port_function(op.op)
    except AttributeError as error:
        report.add("missing", "-", str(error))
        return
    except Unportable as error:
        report.add("unportable", "-", str(error))
        return
    process = lambda y: y
    supported = {str(d)[6:] for d in op.supported_dtypes("cpu")}
    backward = {str(d)[6:] for d in op.supported_backward_dtypes("cpu")} if op.supports_autograd else set()

    def both(sample: Any) -> Any:
        seen: dict[int, Any] = {}
        return port(sample.input, seen), port(sample.args, seen), port(sample.kwargs, seen)

    names = getattr(getattr(op.op, "__code__", None), "co_names", ())
    random_values = op.name in UNDEFINED or "wrapper_set_seed" in names or "freeze_rng_state" in names
    for dtype in DTYPES:
        if dtype not in supported:
            continue
        torch.manual_seed(7)
        grad = dtype == "float64" and dtype in backward
        samples = []
        try:
            for sample in op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=grad):
                samples.append(sample)
                if len(samples) >= MOST.get(dtype, 24):
                    break
        except Exception:
            pass
        for number, sample in enumerate(samples):
            try:
                ours = both(sample)
                twin_process = port_function(sample.output_process_fn_grad)
            except Unportable:
                continue
            except AttributeError as error:
                report.add("argument", dtype, str(error), sample)
                continue
            process = sample.output_process_fn_grad
            torch.manual_seed(1)
            y, error = attempt(op.op, clone(sample.input), *clone(sample.args), **clone(sample.kwargs))
            if error is not None:
                continue
            if number == 0 and dtype in ("float32", "float64", "int64") and not random_values and not any(t.is_complex() for t in leaves(y)):
                torch.manual_seed(2)
                again, _ = attempt(op.op, clone(sample.input), *clone(sample.args), **clone(sample.kwargs))
                random_values = random_values or any(not torch.equal(a, b) for a, b in zip(leaves(y), leaves(again)) if a.layout is torch.strided and not a.is_complex() and not a.isnan().any())
            if any(t.is_complex() or t.layout is not torch.strided for t in leaves(y)):
                continue
            before = [t.detach().clone() for t in leaves(ours)]
            z, error = attempt(twin, ours[0], *ours[1], **ours[2])
            if error is not None:
                where = traceback.extract_tb(error.__traceback__)[-1]
                report.add("forward", dtype, f"{type(error).__name__} [{Path(where.filename).name}:{where.lineno}]: {error}", sample)
                continue
            y, z = process(y), twin_process(z)
            text = differs(z, y, values=not random_values)
            if text.startswith("value") and dtype in ("float32", "float16", "bfloat16") and nearer(op, sample, process, z, y):
                text = ""
            if text:
                report.add("forward", dtype, text, sample)
                continue
            for a, b in zip(leaves(z), leaves(y)):
                if a.requires_grad != b.requires_grad and dtype == "float64" and grad:
                    report.add("requires_grad", dtype, f"{a.requires_grad} for {b.requires_grad}", sample)
                if b.numel() and a.stride() != b.stride() and dtype == "float32":
                    report.add("strides", dtype, f"{a.stride()} for {b.stride()}", sample)
            if op.name not in ("as_strided", "resize_", "resize_as_") and not op.name.endswith("_") and not random_values:
                for was, now in zip(before, leaves(ours)):
                    if not bool(ccdl.equal(ccdl.nan_to_num(was.double()), ccdl.nan_to_num(now.detach().double()))) and "scatter" not in op.name:
                        report.add("changes input", dtype, "an argument was written", sample)
            if dtype == "float32" and isinstance(sample.input, torch.Tensor) and sample.input.numel():
                direct, _ = attempt(op.op, sample.input, *sample.args, **sample.kwargs)
                for a, b in zip(leaves(z), leaves(direct)):
                    if b.numel() and inside(b, sample.input) != inside(a, ours[0]):
                        report.add("view", dtype, f"view {inside(a, ours[0])} for {inside(b, sample.input)}", sample)
            if grad and not random_values:
                try:
                    text = same_gradients(op.op, twin, sample, both(sample), process, twin_process, False)
                except Exception as error:
                    text = f"{type(error).__name__}: {error}"
                if text:
                    report.add("gradient", dtype, text, sample)
                elif number < 8 and op.supports_gradgrad:
                    try:
                        text = same_gradients(op.op, twin, sample, both(sample), process, twin_process, True)
                    except Exception as error:
                        text = f"{type(error).__name__}: {error}"
                    if text:
                        report.add("second gradient", dtype, text, sample)
            if number < 12 and dtype in ("float32", "int64"):
                variants(op, twin, sample, both, y, random_values, report, dtype)
            if number < 12 and dtype in ("float32", "float64") and not random_values:
                strided = sample.noncontiguous()
                try:
                    ours = both(strided)
                except Unportable:
                    continue
                y, error = attempt(op.op, strided.input, *strided.args, **strided.kwargs)
                if error is None:
                    z, error = attempt(twin, ours[0], *ours[1], **ours[2])
                    text = f"{type(error).__name__}: {error}" if error else differs(twin_process(z), process(y))
                    if text:
                        report.add("non-contiguous", dtype, text, strided)
    errors(op, twin, report)


def nearer(op: Any, sample: Any, process: Any, ours: Any, theirs: Any) -> bool:
    """Whether our result is as near to the float64 result as PyTorch's."""
    import torch
    from bridge import back, leaves

    wide = lambda v: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else torch.float64 if isinstance(v, torch.dtype) and v.is_floating_point else type(v)(wide(x) for x in v) if type(v) in (list, tuple) else v
    exact, error = attempt(lambda: process(op.op(wide(sample.input), *wide(sample.args), **{k: wide(v) for k, v in sample.kwargs.items()})))
    if error is not None:
        return False
    for a, b, r in zip(leaves(ours), leaves(theirs), leaves(exact)):
        if not b.is_floating_point():
            if not torch.equal(back(a), b):
                return False
            continue
        a, b, r = back(a).double(), b.detach().double(), r.detach().double()
        finite = r.isfinite() & b.isfinite()
        if not torch.equal(a.isnan(), b.isnan()) or not torch.equal(a[~finite & ~a.isnan()], b[~finite & ~b.isnan()]):
            return False
        if finite.any() and (a - r)[finite].abs().max() > 2 * (b - r)[finite].abs().max():
            return False
    return True


def hasattr_path(home: Any, name: str) -> Any:
    for part in name.split("."):
        home = getattr(home, part, None)
    return home


def clone(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad) if value.layout is torch.strided else value
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        items = [clone(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {k: clone(v) for k, v in value.items()}
    return value


def variants(op: Any, main: Any, sample: Any, both: Any, y: Any, random_values: bool, report: Report, dtype: str) -> None:
    """The method, in-place, operator and out= forms of one sample."""
    import torch
    from bridge import Unportable, differs, leaves, port_function

    import ccdl

    forms = [("method", op.method_variant), ("in-place", op.inplace_variant), ("operator", op.operator_variant), ("in-place operator", op.inplace_operator_variant)]
    for label, function in forms:
        if function is None or not isinstance(sample.input, torch.Tensor) or ("in-place" in label and sample.broadcasts_input):
            continue
        name = getattr(function, "__name__", "")
        theirs = [clone(sample.input.detach()), clone(sample.args), clone(sample.kwargs)]
        expected, wrong = attempt(function, theirs[0], *theirs[1], **theirs[2])
        if label in ("method", "in-place"):
            twin = getattr(ccdl.Tensor, name, None)
            if twin is None:
                try:
                    twin = port_function(function)
                except (AttributeError, Unportable):
                    report.add(label, "-", f"no Tensor.{name}")
                    continue
        else:
            twin = function
        ours = both(sample)
        z, error = attempt(twin, ours[0].detach(), *ours[1], **ours[2])
        if wrong is not None:
            if error is None and "in-place" in label and not random_values:
                report.add(label, dtype, f"no error for {type(wrong).__name__}: {wrong}", sample)
            continue
        text = f"{type(error).__name__}: {error}" if error else differs(z, expected, values=not random_values)
        if text:
            report.add(label, dtype, text, sample)
    if not op.supports_out or dtype != "float32" and len(leaves(y)) != 1:
        return
    twin, original = main, op.op
    if not isinstance(y, torch.Tensor) and not (isinstance(y, tuple) and all(isinstance(t, torch.Tensor) for t in y)):
        return
    ours = both(sample)
    detach = lambda v: v.detach() if isinstance(v, (torch.Tensor, ccdl.Tensor)) else type(v)(detach(x) for x in v) if isinstance(v, (list, tuple)) and not hasattr(v, "_fields") else v
    make = lambda lib, ts: ts.__class__ if False else [lib.empty(tuple(t.shape), dtype=getattr(lib, str(t.dtype)[6:])) for t in ts]
    single = isinstance(y, torch.Tensor)
    theirs_out, ours_out = make(torch, leaves(y)), make(ccdl, leaves(y))
    _, wrong = attempt(original, detach(sample.input), *detach(sample.args), **{**{k: detach(v) for k, v in sample.kwargs.items()}, "out": theirs_out[0] if single else tuple(theirs_out)})
    if wrong is not None:
        return
    z, error = attempt(twin, detach(ours[0]), *detach(ours[1]), **{**{k: detach(v) for k, v in ours[2].items()}, "out": ours_out[0] if single else tuple(ours_out)})
    text = f"{type(error).__name__}: {error}" if error else ""
    if not text:
        text = differs(ours_out, theirs_out, values=not random_values)
        if not text and any(a is not b for a, b in zip(leaves(z), ours_out)):
            text = "does not return out"
    if text:
        report.add("out", dtype, text, sample)
        return
    # out of another dtype: an error where PyTorch gives one.
    if single and theirs_out[0].is_floating_point():
        for other in ("int64", "float64"):
            a, b = torch.empty(tuple(y.shape), dtype=getattr(torch, other)), ccdl.empty(tuple(y.shape), dtype=getattr(ccdl, other))
            _, wrong = attempt(original, detach(sample.input), *detach(sample.args), **{**{k: detach(v) for k, v in sample.kwargs.items()}, "out": a})
            _, error = attempt(twin, detach(ours[0]), *detach(ours[1]), **{**{k: detach(v) for k, v in ours[2].items()}, "out": b})
            if (wrong is None) != (error is None):
                report.add("out dtype", other, f"{error!r} for {wrong!r}", sample)
            elif error is None and (text := differs(b.float(), a.float(), values=not random_values)):
                report.add("out dtype", other, text, sample)


def errors(op: Any, twin: Any, report: Report) -> None:
    """The inputs that must be an error: one of PyTorch's type."""
    import torch
    from bridge import Unportable, port

    if op.error_inputs_func is None:
        return
    try:
        cases = list(op.error_inputs("cpu"))
    except Exception:
        return
    for case in cases:
        sample = case.sample_input
        try:
            seen: dict[int, Any] = {}
            ours = port(sample.input, seen), port(sample.args, seen), port(sample.kwargs, seen)
        except (Unportable, AttributeError):
            continue
        _, wrong = attempt(op.op, sample.input, *sample.args, **sample.kwargs)
        if wrong is None:
            continue
        z, error = attempt(twin, ours[0], *ours[1], **ours[2])
        if error is None:
            report.add("no error", "-", f"{type(wrong).__name__}: {wrong}", sample)
        elif not isinstance(error, case.error_type) and not isinstance(error, type(wrong)):
            report.add("error type", "-", f"{type(error).__name__}: {error} -- for {type(wrong).__name__}: {wrong}", sample)
    torch.manual_seed(0)


def child(index: int, ops: list[Any], channel: Any) -> None:
    op = ops[index]
    name = op.name + (f"[{op.variant_test_name}]" if op.variant_test_name else "")
    report = Report(name)
    warnings.simplefilter("ignore")
    sys.stderr = open(os.devnull, "w")
    try:
        check_op(op, report)
    except BaseException:
        report.add("tool", "-", traceback.format_exc()[-600:])
    channel.send(report.lines())


def known() -> dict[tuple[str, str, str], str]:
    """(operator, check, dtype) -> why; a dtype of * stands for any."""
    rows = {}
    if KNOWN.exists():
        for line in KNOWN.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                name, check, dtype, why = (part.strip() for part in line.split("|", 3))
                rows[name, check, dtype] = why
    return rows


def main() -> int:
    try:
        import torch
        from torch.testing._internal.common_methods_invocations import op_db
    except ImportError as error:
        print(f"skipped: needs PyTorch and its test tools ({error})")
        return 0
    sys.path.insert(0, str(Path(__file__).parent))
    import bridge  # noqa: F401

    torch.set_num_threads(1)
    parts = sys.argv[1:]
    ops = [op for op in op_db if not parts or any(op.name == p or (p.endswith("*") and op.name.startswith(p[:-1])) for p in parts)]
    skip = ("_refs.", "ops.aten.", "fft.", "sparse.", "_native", "_upsample", "_batch_norm", "_segment", "_unsafe", "_chunk", "torch.ops.aten", "masked.", "jiterator", "signal.")
    ops = [op for op in ops if parts or not op.name.startswith(skip)]
    context = multiprocessing.get_context("fork")
    found, listed = [], known()
    new, used = 0, set()
    for index, op in enumerate(ops):
        mine, theirs = context.Pipe(False)
        process = context.Process(target=child, args=(index, ops, theirs))
        process.start()
        theirs.close()
        name = op.name + (f"[{op.variant_test_name}]" if op.variant_test_name else "")
        lines = [f"{name}\thang\t-\tlonger than {SECONDS} s"]
        if mine.poll(SECONDS):
            try:
                lines = mine.recv()
            except EOFError:
                process.join()
                lines = [f"{name}\tsignal\t-\texit {process.exitcode}"]
        process.kill()
        process.join()
        for name, check, dtype, text in (line.split("\t", 3) for line in lines):
            found.append(name)
            keys = [(n, check, d) for n in (name, name.split("[")[0], "*") for d in (dtype, "*")]
            key = next((k for k in keys if k in listed), None)
            if key:
                used.add(key)
            else:
                new += 1
                print(f"{name} | {check} | {dtype} | {text}", flush=True)
    gone = [] if parts else [k for k in listed if k not in used]
    for key in gone:
        print("listed but no longer different: " + " | ".join(key))
    print(f"{len(ops)} operators, {len(found)} differences, {new} not listed, {len(gone)} listed ones gone")
    return 1 if new or gone else 0


if __name__ == "__main__":
    sys.exit(main())
