"""PyTorch's own samples of layers and optimisers run on both libraries: python tests/peer/module_db.py [name part ...]

Layers: keys and shapes of the state dictionary, repr, forward in training and evaluation mode with PyTorch's weights,
gradients of inputs and parameters, deepcopy, pickle, dtype= and train(). Optimisers: parameters after many steps for
every sample of arguments, and state dictionaries exchanged both ways. Differences that KNOWN does not name are printed
and fail, and so does one it names that is gone (whole runs).
"""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Layers that draw random numbers: only shapes are compared in training mode.
RANDOM = ("Dropout", "RReLU", "FractionalMaxPool", "Transformer", "MultiheadAttention")
STEPS = 12

# (name, check) -> why it differs.
KNOWN = {
    ("nn.CTCLoss", "gradient"): "the derivative of the loss itself; equal behind log_softmax (docs/compat.md)",
    ("nn.FractionalMaxPool3d", "forward"): "the sample gives random numbers for two images and pools one",
    ("nn.LinearCrossEntropyLoss", "missing"): "not implemented: write Linear and CrossEntropyLoss",
    ("SparseAdam", "step"): "wants sparse gradients, which this tool does not make",
}


def report(name: str, check: str, text: Any, arguments: Any = "") -> str:
    return f"{name} | {check} | {' '.join(str(text).split())[:260]} | {str(arguments)[:160]}"


def fill(module: Any, twin: Any) -> None:
    """The twin's parameters and buffers get the module's values."""
    import torch
    from bridge import port_tensor

    import ccdl

    theirs = module.state_dict()
    for key, value in twin.state_dict().items():
        if isinstance(theirs.get(key), torch.Tensor):
            with ccdl.no_grad():
                value.copy_(port_tensor(theirs[key]))


def layer(info: Any, training: bool) -> Iterator[str]:
    import torch
    from bridge import Unportable, differs, leaves, port

    import ccdl

    name = info.name
    twin_class = ccdl
    try:
        for part in info.module_cls.__module__.split(".")[1:2] + [info.module_cls.__name__]:
            twin_class = getattr(twin_class, part)
    except AttributeError as error:
        yield report(name, "missing", error)
        return
    loose = training and any(r in name for r in RANDOM)
    for sample in info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=training):
        built, called = sample.constructor_input, sample.forward_input
        shown = f"{built.args} {built.kwargs}"
        module = info.module_cls(*built.args, **built.kwargs)
        try:
            if any(isinstance(a, torch.nn.Module) for a in [*built.args, *built.kwargs.values()]):
                raise Unportable("a layer as an argument")
            twin = twin_class(*port(list(built.args)), **port(dict(built.kwargs)))
        except Unportable:
            continue
        except Exception as error:
            yield report(name, "constructor", repr(error), shown)
            continue
        module.train(training)
        twin.train(training)
        lazy = any(isinstance(p, torch.nn.parameter.UninitializedTensorMixin) for p in module.parameters())
        if called is None:
            continue
        module.double()
        twin.double()
        if lazy:
            with torch.no_grad():
                module(*called.args, **called.kwargs)
            twin(*port(list(called.args)), **port(dict(called.kwargs)))
        if list(module.state_dict()) != list(twin.state_dict()):
            yield report(name, "state_dict", f"{list(twin.state_dict())} for {list(module.state_dict())}", shown)
            continue
        if repr(module).replace("torch.", "ccdl.") != repr(twin):
            yield report(name, "repr", f"{twin!r} for {module!r}", shown)
        fill(module, twin)
        try:
            args, kwargs = port(list(called.args)), port(dict(called.kwargs))
            y = module(*called.args, **called.kwargs)
            z = twin(*args, **kwargs)
        except Unportable:
            continue
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            yield report(name, "forward", f"{error!r} [{Path(where.filename).name}:{where.lineno}]", f"{shown} {called.args} {called.kwargs}")
            continue
        if text := differs(z, y, values=not loose):
            yield report(name, "forward", text, shown)
            continue
        ours_in = [t for t in leaves([args, kwargs]) if t.requires_grad] + list(twin.parameters())
        theirs_in = [t for t in leaves([list(called.args), dict(called.kwargs)]) if t.requires_grad] + list(module.parameters())
        total = lambda out: sum(((t * t.cos()).sum() for t in leaves(out) if t.requires_grad and t.is_floating_point()), 0)
        if loose or not theirs_in or not isinstance(total(y), torch.Tensor):
            continue
        try:
            g = torch.autograd.grad(total(y), theirs_in, allow_unused=True)
        except RuntimeError:
            continue
        h = ccdl.autograd.grad(total(z), ours_in, allow_unused=True)
        for i, (a, b) in enumerate(zip(h, g)):
            if a is None or b is None:
                if (a is None) != (b is None) and float((a if b is None else b).detach().abs().sum()):
                    yield report(name, "gradient", f"{i}: {'None' if a is None else 'there'}", shown)
            elif text := differs(a, b, scale=10):
                yield report(name, "gradient", f"{i}: {text}", shown)
        twin.eval()
        try:
            reference = twin(*args, **kwargs)
            for other in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
                for a, b in zip(leaves(other(*args, **kwargs)), leaves(reference)):
                    if not ccdl.equal(a, b) and not bool(a.isnan().any()):
                        yield report(name, "copy", "a copy computes something else", shown)
        except Exception as error:
            if "<lambda>" not in str(error) and "local object" not in str(error):
                yield report(name, "copy", repr(error), shown)


def optimiser(info: Any) -> Iterator[str]:
    import torch
    from bridge import differs, leaves, port_tensor

    import ccdl

    name = info.optim_cls.__name__
    twin_class = getattr(ccdl.optim, name, None)
    if twin_class is None:
        yield report(name, "missing", name)
        return
    for sample in info.optim_inputs_func(device="cpu", dtype=torch.float64):
        kwargs = dict(sample.kwargs)
        for flags in ({}, {"foreach": True}, {"foreach": False}, {"maximize": True}, {"capturable": False}, {"differentiable": False}, {"fused": False}):
            options = {**kwargs, **flags}
            generator = torch.Generator().manual_seed(3)
            start = [torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (3, 5)]
            target = torch.randn(4, generator=generator, dtype=torch.float64)
            theirs = [p.clone().requires_grad_() for p in start]
            ours = [ccdl.nn.Parameter(port_tensor(p)) for p in start]
            try:
                reference = info.optim_cls(theirs, **options)
            except (TypeError, ValueError, RuntimeError):
                continue
            try:
                mine = twin_class(ours, **{k: port_tensor(v) if isinstance(v, torch.Tensor) else v for k, v in options.items()})
            except Exception as error:
                yield report(name, "constructor", repr(error), options)
                continue

            def closure(library: Any, optimizer: Any, parameters: list[Any], aim: Any) -> Any:
                def run() -> Any:
                    optimizer.zero_grad()
                    loss = sum((((p - aim) ** 2).sum() + (p**4).sum() * 0.01 for p in parameters), 0)
                    loss.backward()
                    return loss

                return run

            aim = port_tensor(target)
            try:
                for step in range(STEPS):
                    if step == STEPS // 2:  # the state moves over and goes on in the other library
                        state = reference.state_dict()
                        mine_state = mine.state_dict()
                        if sorted(state["param_groups"][0]) != sorted(mine_state["param_groups"][0]):
                            yield report(name, "group keys", f"{sorted(set(state['param_groups'][0]) ^ set(mine_state['param_groups'][0]))}", options)
                        a = {k: sorted(map(str, v)) for k, v in state["state"].items()}
                        b = {k: sorted(map(str, v)) for k, v in mine_state["state"].items()}
                        if a != b:
                            yield report(name, "state keys", f"{b} for {a}", options)
                        mine.load_state_dict(move(state, port_tensor))
                        for v in leaves(mine_state):
                            v.detach()
                    reference.step(closure(torch, reference, theirs, target))
                    mine.step(closure(ccdl, mine, ours, aim))
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                yield report(name, "step", f"{error!r} [{Path(where.filename).name}:{where.lineno}]", options)
                continue
            for p, q in zip(ours, theirs):
                if text := differs(p, q, scale=10):
                    yield report(name, "parameters", text, options)
                    break
            # The other way round: our state in PyTorch.
            try:
                other = info.optim_cls(theirs, **options)
                other.load_state_dict(move(mine.state_dict(), back_tensor))
                other.step(closure(torch, other, theirs, target))
                mine.step(closure(ccdl, mine, ours, aim))
            except Exception as error:
                yield report(name, "our state there", repr(error), options)
                continue
            for p, q in zip(ours, theirs):
                if text := differs(p, q, scale=10):
                    yield report(name, "our state there", text, options)
                    break
            if repr(reference) != repr(mine):
                yield report(name, "repr", f"{mine!r} for {reference!r}", options)


def back_tensor(x: Any) -> Any:
    from bridge import back

    return back(x)


def move(value: Any, convert: Any) -> Any:
    import torch

    import ccdl

    if isinstance(value, (torch.Tensor, ccdl.Tensor)):
        return convert(value)
    if isinstance(value, dict):
        return {k: move(v, convert) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(move(v, convert) for v in value)
    return value


def main() -> int:
    try:
        import torch
        from torch.testing._internal.common_modules import module_db
        from torch.testing._internal.common_optimizers import optim_db
    except ImportError as error:
        print(f"skipped: needs PyTorch and its test tools ({error})")
        return 0
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    parts = sys.argv[1:]
    count, seen = 0, set()
    runs = [(i.name, lambda i=i, t=t: layer(i, t)) for i in module_db for t in (True, False)]
    runs += [(i.optim_cls.__name__, lambda i=i: optimiser(i)) for i in optim_db]
    for name, run in runs:
        if parts and not any(p in name for p in parts):
            continue
        torch.manual_seed(0)
        try:
            for line in run():
                key = tuple(line.split(" | ")[:2])
                if key not in seen and key not in KNOWN:
                    count += 1
                    print(line, flush=True)
                seen.add(key)
        except Exception:
            count += 1
            print(name, traceback.format_exc()[-500:], flush=True)
    for key in () if parts else KNOWN.keys() - seen:
        count += 1
        print("listed but no longer different: " + " | ".join(key))
    print(f"{len(runs)} runs, {count} differences")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
