"""Boundary fuzz: every native function and Tensor method with arguments at the edge of their domains.

Run as ``python tests/fuzz_boundary.py [calls per op] [seed] [name part]``: each op runs in a child process of its own,
which must neither die of a signal, nor hang, nor raise anything but a typed Python exception.
"""

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
    if base == "Tensor[]":
        return [tensor(ccdl, rng) for _ in range(rng.choice([0, 1, 2, 3]))]
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


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = sys.argv[2] if len(sys.argv) > 2 else "0"
    part = sys.argv[3] if len(sys.argv) > 3 else ""
    import ccdl

    bad, context = [], multiprocessing.get_context("fork")
    rows = [r for r in ccdl._C._signatures() if r[1] not in SKIP and part in r[1]]
    for kind, name, text in rows:
        child = context.Process(target=run_op, args=(kind, name, text, calls, seed))
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
