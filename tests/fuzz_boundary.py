"""Boundary fuzz: every native function and Tensor method with arguments at the edge of their domains.

Run as ``python tests/fuzz_boundary.py [calls per op] [seed] [name part]``: each op runs in a child process of its own,
which must neither die of a signal, nor hang, nor raise anything but a typed Python exception. With ``--python``
the public functions and classes written in Python are called instead: functions, losses, layers (and their forward),
optimisers (and a step), schedules, distributions, transforms, samplers.
"""

import inspect
import multiprocessing
import random
import resource
import sys

INTS = [0, 1, -1, 2, 3, -2, 7, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**62), 2**63 - 1, -(2**63)]
FLOATS = [0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), -float("inf"), 1e-45, 1e308]
SHAPES = [(), (0,), (1,), (3,), (2, 3), (3, 3), (0, 3), (2, 0, 3), (2, 3, 4), (1, 2, 4, 4), (2, 3, 5, 5), (1, 1, 3, 3, 3),
          (1,) * 9]  # fmt: skip
DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "int8", "bool"]
SKIP = {"_record_function", "_safetensors_save", "_safetensors_load", "set_num_threads", "set_default_dtype",
        "_set_inference_mode", "_set_grad_enabled", "_set_thread_generator", "_set_memory_limit",
        "_set_alloc_fault", "__reduce_ex__", "_run_backward"}  # fmt: skip


def tensor(ccdl, rng):
    shape = rng.choice(SHAPES)
    dtype = getattr(ccdl, rng.choice(DTYPES))
    x = ccdl.zeros(shape, dtype=dtype)
    if rng.random() < 0.7:
        values = [rng.choice([0, 1, 2, 3, -1, 5]) for _ in range(x.numel())]
        x = ccdl.tensor(values, dtype=ccdl.float32).to(dtype).reshape(shape)
    if x.is_floating_point() and x.numel() and rng.random() < 0.2:
        x.reshape(-1)[0] = rng.choice(FLOATS)
    kind = rng.random()
    if kind < 0.15 and x.dim() >= 2:
        x = x.transpose(0, 1)
    elif kind < 0.25 and x.dim() >= 1:
        x = x[::2]
    elif kind < 0.35:
        x = x.expand(2, *shape)
    if x.is_floating_point() and rng.random() < 0.3:
        x = x.detach().clone().requires_grad_()
    return x


def value(ccdl, rng, kind):
    if rng.random() < 0.05:
        return rng.choice([None, "text", object(), [], (), {}, b"x", 1.5, -1, ccdl.zeros(2)])
    base = kind.rstrip("?*")
    if kind.endswith("?") and rng.random() < 0.4:
        return None
    if base in ("Tensor", "Operand"):
        return tensor(ccdl, rng)
    if base == "Number":
        return tensor(ccdl, rng) if rng.random() < 0.5 else rng.choice(INTS[:7] + FLOATS + [True])
    if base == "Scalar":
        return rng.choice(INTS + FLOATS + [True, False])
    if base in ("Tensor[]", "Tensor?[]"):
        return [None if rng.random() < 0.1 else tensor(ccdl, rng) for _ in range(rng.choice([0, 1, 2, 3]))]
    if base == "int":
        return rng.choice(INTS if rng.random() < 0.4 else [0, 1, -1, 2, 3])
    if base == "float":
        return rng.choice(FLOATS)
    if base == "bool":
        return rng.choice([True, False])
    if base.startswith("int["):
        pool = INTS if rng.random() < 0.3 else [0, 1, -1, 2, 3]
        return [rng.choice(pool) for _ in range(rng.choice([0, 1, 2, 2, 3, 4, 9]))]
    if base.startswith(("float[", "bool[")):
        return [rng.choice(FLOATS) for _ in range(rng.choice([0, 1, 2, 3]))]
    if base == "str":
        return rng.choice(["sum", "mean", "none", "same", "valid", "reflect", "zeros", "nearest", "bilinear", "", "bad"])
    if base == "dtype":
        return getattr(ccdl, rng.choice(DTYPES))
    if base == "device":
        return rng.choice(["cpu", "cuda", "cuda:99", "tpu", 0])
    return rng.choice([None, 0, "x", tensor(ccdl, rng)])


def run_op(kind, name, text, calls, seed):
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    import ccdl

    inner = text[text.index("(") + 1 : text.rindex(") -> ")]
    params, depth, item = [], 0, ""
    for c in inner + ",":
        depth += (c == "[") - (c == "]")
        if c == "," and depth == 0:
            params.append(item.strip())
            item = ""
        else:
            item += c
    params = [p.split("=")[0].strip() for p in params if p]
    for call in range(calls):
        rng = random.Random(f"{name}{text}{seed}{call}")
        args, kwargs, keyword = [], {}, False
        for p in params:
            if p == "*":
                keyword = True
                continue
            type_text, arg = p.rsplit(" ", 1)
            if len(args) and "=" in text and rng.random() < 0.35 and not keyword and arg not in ("input", "self"):
                keyword = True
            v = value(ccdl, rng, type_text)
            if keyword:
                if rng.random() < 0.6:
                    kwargs[arg] = v
            else:
                args.append(v)
        if kind == "method" and not (args and isinstance(args[0], ccdl.Tensor)):
            args[:1] = [tensor(ccdl, rng)]
        function = getattr(ccdl.Tensor, name) if kind == "method" else getattr(ccdl._C, name)
        try:
            result = function(*args, **kwargs)
            if isinstance(result, ccdl.Tensor) and result.requires_grad and result.numel():
                result.sum().backward()
        except (RuntimeError, ValueError, TypeError, IndexError, MemoryError, NotImplementedError, KeyError, OSError,
                BufferError, OverflowError, AttributeError, ZeroDivisionError):  # fmt: skip
            pass
    assert (ccdl.ones(2) + 1).tolist() == [2.0, 2.0]


# Where the public names written in Python live.
SPACES = ("", "nn.functional", "special", "linalg", "nn.init", "nn.utils", "nn.utils.rnn", "nn.utils.parametrize", "nn.utils.prune", "nn", "optim",
          "optim.lr_scheduler", "optim.swa_utils", "distributions", "utils.data", "func", "autograd.functional", "testing", "vision.transforms",
          "text", "text.kneser_ney", "train.metrics", "train.scores", "train.calibration", "train.diagnostics", "train.summary", "models",
          "utils.checkpoint", "overrides", "nn.parallel", "autograd", "backends", "vision.datasets", "amp", "random")  # fmt: skip
NOT_CALLED = ("fork_rng", "set_", "manual_seed", "load", "save", "LRFinder", "spawn", "use_deterministic", "get_worker_info", "seed")


def python_rows(ccdl, part):
    rows = []
    for space in SPACES:
        home = ccdl
        for name in filter(None, space.split(".")):
            home = getattr(home, name, None) or __import__(f"ccdl.{space}", fromlist=["x"])
        for name in sorted(set(getattr(home, "__all__", None) or dir(home))):
            function = getattr(home, name, None)
            module = getattr(function, "__module__", "") or ""
            if name.startswith(("_", *NOT_CALLED)) or function is getattr(ccdl._C, name, None) or not callable(function) or not module.startswith("ccdl") or module == "ccdl._C":
                continue
            path = f"{space}.{name}".lstrip(".")
            if part in path:
                rows.append(path)
    return rows


def anything(ccdl, rng, parameter):
    note = str(parameter.annotation)
    kinds = [k for k, words in {"Tensor": "Tensor", "int": "int", "float": "float", "bool": "bool", "str": "str"}.items() if words in note]
    if kinds and rng.random() < 0.8:
        return value(ccdl, rng, rng.choice(kinds))
    if parameter.default is not inspect.Parameter.empty and rng.random() < 0.3:
        return parameter.default
    return value(ccdl, rng, rng.choice(["Tensor", "Tensor", "int", "float", "int[2]", "Tensor[]", "str", "bool", "dtype", "Scalar"]))


def run_python(kind, path, text, calls, seed):
    resource.setrlimit(resource.RLIMIT_AS, (5 << 30, 5 << 30))
    import ccdl

    function = ccdl
    for name in path.split("."):
        function = getattr(function, name, None) or __import__(f"ccdl.{path.rsplit('.', 1)[0]}", fromlist=["x"])
    try:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    except ValueError:
        parameters = []
    good = (RuntimeError, ValueError, TypeError, IndexError, MemoryError, NotImplementedError, KeyError, OSError, BufferError, OverflowError,
            AttributeError, ZeroDivisionError, StopIteration, ImportError, ArithmeticError, AssertionError)  # fmt: skip
    for call in range(calls):
        rng = random.Random(f"{path}{seed}{call}")
        args, kwargs = [], {}
        for p in parameters:
            v = anything(ccdl, rng, p)
            if p.name == "params" and rng.random() < 0.9:
                v = [ccdl.nn.Parameter(tensor(ccdl, rng).detach().float()) for _ in range(rng.choice([0, 1, 2, 3]))]
            if p.name == "optimizer" and rng.random() < 0.9:
                v = ccdl.optim.SGD([ccdl.nn.Parameter(ccdl.ones(2))], lr=rng.choice([0.1, 0.0, 1e30]))
            if p.kind == p.KEYWORD_ONLY or p.default is not p.empty:
                if rng.random() < 0.5:
                    kwargs[p.name] = v
            else:
                args.append(v)
        try:
            result = function(*args, **kwargs)
            if isinstance(result, ccdl.nn.Module):
                result = result(*[tensor(ccdl, rng) for _ in range(rng.choice([1, 1, 2, 3]))])
            elif isinstance(result, ccdl.optim.Optimizer):
                for group in result.param_groups:
                    for q in group["params"]:
                        q.grad = ccdl.ones_like(q)
                result.step()
            elif isinstance(result, ccdl.distributions.Distribution):
                result.log_prob(result.sample())
            elif hasattr(result, "get_last_lr"):
                result.optimizer.step()
                result.step()
            if isinstance(result, ccdl.Tensor) and result.requires_grad and result.numel():
                result.sum().backward()
            repr(result) if not inspect.isgenerator(result) else None
        except good:
            pass
    assert (ccdl.ones(2) + 1).tolist() == [2.0, 2.0]


def main():
    python = "--python" in sys.argv
    if python:
        sys.argv.remove("--python")
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = sys.argv[2] if len(sys.argv) > 2 else "0"
    part = sys.argv[3] if len(sys.argv) > 3 else ""
    import ccdl

    bad, context = [], multiprocessing.get_context("fork")
    rows = [r for r in ccdl._C._signatures() if r[1] not in SKIP and part in r[1]]
    if python:
        rows = [("python", path, path) for path in python_rows(ccdl, part)]
    for kind, name, text in rows:
        child = context.Process(target=run_python if python else run_op, args=(kind, name, text, calls, seed))
        child.start()
        child.join(60)
        if child.is_alive():
            child.kill()
            child.join()
            bad.append(f"HANG {kind} {text}")
        elif child.exitcode:
            bad.append(f"exit {child.exitcode} {kind} {text}")
        if bad and bad[-1].endswith(text):
            print(bad[-1], flush=True)
    print(f"{len(rows)} signatures x {calls} calls, {len(bad)} failing")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
