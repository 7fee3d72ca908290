"""What is replaced while a program is traced, and put back after: calls of modules, functions that were
wrapped, and the functions of the library that are written in Python, wherever they were imported to."""

from __future__ import annotations

import builtins
import functools
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from .node import map_aggregate
from .proxy import Proxy

__all__ = ["Patches", "add_autowrapped", "add_library", "add_wrapped", "wrapped"]

wrapped: dict[tuple[int, str], dict[str, Any]] = {}  # the globals that fx.wrap named a function in
_MISSING = object()
_HOUSES = ("", ".nn.functional", ".functional", ".fft", ".linalg", ".special", ".signal.windows")
_NOT_STEPS = frozenset(
    "is_tensor is_storage typename compile is_distributed get_device vmap broadcast_shapes manual_seed seed "
    "set_printoptions save load use_deterministic_algorithms are_deterministic_algorithms_enabled "
    "set_float32_matmul_precision get_float32_matmul_precision set_default_tensor_type set_flush_denormal "
    "handle_torch_function has_torch_function has_torch_function_unary has_torch_function_variadic".split()
)


class Patches:
    """A list of replacements, undone at the end of the ``with`` block in the opposite order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []
        self._done: set[tuple[int, str]] = set()

    def in_dict(self, space: dict[str, Any], name: str, value: Any) -> None:
        """Replaces an entry of a dictionary, once."""
        key = (id(space), name)
        if key in self._done:
            return
        self._done.add(key)
        before = space.get(name, _MISSING)
        if before is _MISSING:
            self._undo.append(lambda: space.pop(name, None))
        else:
            self._undo.append(lambda: space.__setitem__(name, before))
        space[name] = value

    def in_class(self, cls: Any, name: str, value: Any) -> None:
        """Replaces a method."""
        before = cls.__dict__[name]
        self._undo.append(lambda: setattr(cls, name, before))
        setattr(cls, name, value)

    def __enter__(self) -> Patches:
        return self

    def __exit__(self, *error: Any) -> None:
        while self._undo:
            self._undo.pop()()


def _first_proxy(a: Any) -> Proxy | None:
    found: list[Proxy] = []
    map_aggregate(a, lambda v: found.append(v) if isinstance(v, Proxy) else None)
    return found[0] if found else None


def recorder(fn: Any) -> Any:
    """``fn`` that becomes a step of the graph when an argument is a traced value."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        proxy = _first_proxy((args, kwargs))
        if proxy is None:
            return fn(*args, **kwargs)
        result = proxy.tracer.create_proxy("call_function", fn, args, kwargs)
        result.node.meta["is_wrapped"] = True
        return result

    return call


def add_wrapped(patches: Patches) -> None:
    """The functions given to ``fx.wrap``."""
    for (_, name), space in list(wrapped.items()):
        fn = space.get(name, getattr(builtins, name, None))
        if fn is not None:
            patches.in_dict(space, name, recorder(fn))


def add_autowrapped(patches: Patches, space: dict[str, Any], ids: set[int]) -> None:
    """The functions a tracer was told of, in one space of globals."""
    for name, value in list(space.items()):
        if id(value) in ids and callable(value) and not name.startswith("_"):
            patches.in_dict(space, name, recorder(value))


def _library() -> Iterator[tuple[dict[str, Any], str, Any]]:
    ours = importlib.import_module("ccdl")
    for name in ours._LAZY:
        getattr(ours, name, None)
    for house in _HOUSES:
        module = importlib.import_module("ccdl" + house)
        for name, value in list(vars(module).items()):
            hidden = name.startswith("_") and name != "_assert"
            if isinstance(value, types.FunctionType) and name not in _NOT_STEPS and not hidden:
                yield vars(module), name, value


def add_library(patches: Patches) -> None:
    """The library's own functions that are written in Python, in its public modules and in everybody's
    globals but the library's."""
    calls: dict[int, Any] = {}
    for space, name, fn in list(_library()):
        if not (fn.__module__ or "").startswith("ccdl"):
            continue
        call = calls.setdefault(id(fn), (fn, recorder(fn)))
        patches.in_dict(space, name, call[1])
    for name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType) or name == "ccdl" or name.startswith("ccdl."):
            continue
        space = vars(module)
        if str(space.get("__name__", "")).split(".")[0] == "ccdl":  # the library under another name
            continue
        for key, value in list(space.items()):
            found = calls.get(id(value)) if type(value) is types.FunctionType else None
            if found is not None:
                patches.in_dict(space, key, found[1])
