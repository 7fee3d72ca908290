"""From PyTorch to ccdl and back: arguments with their strides, functions by name or by source, results to compare.

A function without a twin of its name (a lambda of PyTorch's own sample lists, say) is run again with its global name
``torch`` bound to ccdl, which is what swapping the import does to a user's code.
"""

from __future__ import annotations

import types
from typing import Any

import torch

import ccdl

# Names of PyTorch's public functions by identity, so that the function of a sample list leads to its twin.
NAMESPACES = ("", "Tensor", "nn.functional", "linalg", "special", "fft", "nn.init", "nn.utils", "_C._nn", "_C._linalg", "_C._special")
NAMES: dict[int, str] = {}
for _space in NAMESPACES:
    _home: Any = torch
    for _part in filter(None, _space.split(".")):
        _home = getattr(_home, _part)
    for _name in dir(_home):
        _value = getattr(_home, _name, None)
        if callable(_value) and not isinstance(_value, type):
            _public = _space if not _space.startswith("_C") else {"_C._nn": "nn.functional"}.get(_space, _space[4:])
            NAMES.setdefault(id(_value), f"{_public}.{_name}".lstrip("."))

# Tolerances (relative, absolute) by dtype; whole numbers and bool are compared exactly.
TOLERANCE = {"float64": (1e-7, 1e-9), "float32": (1e-4, 2e-5), "float16": (5e-3, 5e-3), "bfloat16": (4e-2, 4e-2)}


class Unportable(Exception):
    """The argument has no counterpart in ccdl: a complex, sparse or quantised tensor, say."""


def resolve(name: str) -> Any:
    """ccdl's object of this dotted name; AttributeError where there is none."""
    found: Any = ccdl
    for part in name.split("."):
        found = getattr(found, part)
    return found


def port_function(function: Any) -> Any:
    """The twin of a function: by its public name, else the same source with ``torch`` bound to ccdl."""
    name = NAMES.get(id(function))
    if name is not None:
        return resolve(name)
    if isinstance(function, (types.MethodDescriptorType, types.WrapperDescriptorType)):
        return getattr(ccdl.Tensor, function.__name__)
    if not isinstance(function, types.FunctionType):
        raise Unportable(repr(function))
    scope = dict(function.__globals__)
    scope["torch"] = ccdl
    for name, value in function.__globals__.items():
        if isinstance(value, types.ModuleType) and value.__name__.startswith("torch.") and name == "F":
            scope[name] = ccdl.nn.functional
    closure = function.__closure__
    if closure:
        closure = tuple(types.CellType(port(cell.cell_contents)) for cell in closure)
    twin = types.FunctionType(function.__code__, scope, function.__name__, None, closure)
    twin.__defaults__ = port(function.__defaults__)
    twin.__kwdefaults__ = port(function.__kwdefaults__)
    return twin


def port_tensor(x: torch.Tensor) -> Any:
    """The same values, strides and requires_grad in ccdl, in memory of its own."""
    name = str(x.dtype)[6:]
    if x.layout is not torch.strided or x.is_quantized or x.is_complex() or not hasattr(ccdl, name) or x.device.type != "cpu" or x.dim() > 16:
        raise Unportable(f"{x.layout} {x.dtype}")
    source = x.detach().resolve_conj().resolve_neg()
    if source.numel() == 0 or source.is_contiguous():
        y = ccdl.from_dlpack(source.clone(memory_format=torch.contiguous_format)).clone()
    else:
        extent = 1 + sum((n - 1) * s for n, s in zip(source.shape, source.stride()))
        flat = source.as_strided((extent,), (1,)).clone()
        y = ccdl.from_dlpack(flat).clone().as_strided(tuple(source.shape), source.stride())
    if isinstance(x, torch.nn.Parameter):
        return ccdl.nn.Parameter(y, requires_grad=x.requires_grad)
    return y.requires_grad_() if x.requires_grad else y


def port(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """A structure of arguments with everything of PyTorch's replaced by ccdl's; one tensor stays one tensor."""
    seen = {} if seen is None else seen
    if isinstance(value, torch.Tensor):
        if id(value) not in seen:
            seen[id(value)] = port_tensor(value)
        return seen[id(value)]
    if isinstance(value, torch.Size):
        return ccdl.Size(value)
    if isinstance(value, torch.dtype):
        if not hasattr(ccdl, str(value)[6:]):
            raise Unportable(str(value))
        return getattr(ccdl, str(value)[6:])
    if isinstance(value, torch.device):
        return ccdl.device(str(value))
    if isinstance(value, (torch.memory_format, torch.layout)):
        if not hasattr(ccdl, str(value)[6:]):
            raise Unportable(str(value))
        return getattr(ccdl, str(value)[6:])
    if isinstance(value, torch.Generator):
        return ccdl.Generator().manual_seed(value.initial_seed() & (2**63 - 1))
    if isinstance(value, (list, tuple)):
        items = [port(v, seen) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {k: port(v, seen) for k, v in value.items()}
    if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] == "torch":
        return resolve(value.__name__[6:]) if value.__name__ != "torch" else ccdl
    if isinstance(value, type) and issubclass(value, torch.Tensor):
        return ccdl.Tensor
    if callable(value) and not isinstance(value, type) and getattr(value, "__module__", None) is not None:
        if isinstance(value, types.FunctionType) or id(value) in NAMES:
            return port_function(value)
    return value


def leaves(value: Any) -> list[Any]:
    """Every tensor of a structure, of either library, in order."""
    if isinstance(value, (torch.Tensor, ccdl.Tensor)):
        return [value]
    if isinstance(value, dict):
        return [t for v in value.values() for t in leaves(v)]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in leaves(v)]
    return []


def back(x: Any) -> torch.Tensor:
    """A ccdl tensor's values as PyTorch's; bfloat16 arrives as float32."""
    x = x.detach()
    if x.dtype is ccdl.bfloat16:
        return torch.from_numpy(x.float().numpy().copy())
    return torch.from_numpy(x.numpy().copy())


def differs(ours: Any, theirs: Any, values: bool = True, scale: float = 1.0) -> str:
    """What is different between two results, or an empty text."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, ccdl.Tensor):
            return f"type {type(ours).__name__} for Tensor"
        if tuple(ours.shape) != tuple(theirs.shape):
            return f"shape {tuple(ours.shape)} for {tuple(theirs.shape)}"
        name = str(theirs.dtype)[6:]
        if str(ours.dtype).split(".")[-1] != name:
            return f"dtype {ours.dtype} for {theirs.dtype}"
        if not values or not theirs.numel() or theirs.layout is not torch.strided:
            return ""
        a, b = back(ours), theirs.detach()
        if name in TOLERANCE:
            rtol, atol = TOLERANCE[name]
            a, b = a.double(), b.double()
            close = torch.isclose(a, b, rtol * scale, atol * scale, equal_nan=True)
            if not close.all():
                where = torch.nonzero(~close.reshape(-1))[0].item()
                return f"value {a.reshape(-1)[where].item():.9g} for {b.reshape(-1)[where].item():.9g} ({int((~close).sum())} of {close.numel()})"
            return ""
        if not torch.equal(a, b):
            where = torch.nonzero((a != b).reshape(-1))[0].item()
            return f"value {a.reshape(-1)[where].item()} for {b.reshape(-1)[where].item()}"
        return ""
    if isinstance(theirs, (list, tuple)) and not isinstance(theirs, torch.Size):
        if not isinstance(ours, (list, tuple)) or len(ours) != len(theirs):
            return f"structure {type(ours).__name__} for {type(theirs).__name__} of {len(theirs)}"
        fields = getattr(theirs, "_fields", None) or [f for f in dir(theirs) if not f.startswith("_") and f not in dir(tuple) and f not in dir(list)]
        for field in fields:
            if field not in ("n_fields", "n_sequence_fields", "n_unnamed_fields") and not hasattr(ours, field):
                return f"no field {field}"
        for a, b in zip(ours, theirs):
            if text := differs(a, b, values, scale):
                return text
        return ""
    if isinstance(theirs, (bool, int)):
        return "" if type(ours) is type(theirs) and ours == theirs else f"value {ours!r} for {theirs!r}"
    if isinstance(theirs, float):
        same = isinstance(ours, float) and (abs(ours - theirs) <= 1e-5 * max(1.0, abs(theirs)) or ours != ours and theirs != theirs)
        return "" if same else f"value {ours!r} for {theirs!r}"
    if isinstance(theirs, torch.Size):
        return "" if tuple(ours) == tuple(theirs) else f"size {ours} for {theirs}"
    return ""
