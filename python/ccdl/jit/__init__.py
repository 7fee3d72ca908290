"""TorchScript's names, accepted without effect: ccdl runs eagerly, so a scripted function is the function.

Saving and loading scripted programs is an error; save the weights with :func:`ccdl.save`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from .. import errors

__all__ = [
    "Attribute",
    "Final",
    "TracerWarning",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "fork",
    "freeze",
    "ignore",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "optimize_for_inference",
    "optimized_execution",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "trace",
    "trace_module",
    "unused",
    "wait",
]

_isinstance = isinstance


def is_scripting() -> bool:
    """Always False."""
    return False


def is_tracing() -> bool:
    """Always False."""
    return False


def script(
    obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None
) -> Any:
    """``obj`` itself, a function, class or module; usable as a decorator.

    >>> import ccdl
    >>> @ccdl.jit.script
    ... def double(x: ccdl.Tensor) -> ccdl.Tensor:
    ...     return 2 * x
    >>> double(ccdl.ones(2))
    tensor([2., 2.])
    """
    return obj


def script_if_tracing(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


_script_if_tracing = script_if_tracing


def script_method(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


def export(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


def unused(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The decorated function itself, with and without arguments."""
    return drop if callable(drop) else lambda fn: fn


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """``func`` itself."""
    return func


def trace_module(mod: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """``mod`` itself."""
    return mod


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """``mod`` itself, which must be in evaluation mode."""
    if getattr(mod, "training", False):
        raise errors.RuntimeError("jit.freeze: the module must be in evaluation mode; call .eval() first")
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """``mod`` itself, in evaluation mode."""
    return mod.eval()


def annotate(the_type: Any, the_value: Any) -> Any:
    """``the_value``."""
    return the_value


def Attribute(value: Any, type: Any) -> Any:
    """``value``."""
    return value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether ``obj`` is of a type, of one of several types, or of a container type such as ``list[int]``."""
    types = target_type if _isinstance(target_type, tuple) else (target_type,)
    return any(_isinstance(obj, getattr(t, "__origin__", None) or t) for t in types)


def fork(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls ``func`` at once; :func:`wait` hands the result on."""
    return func(*args, **kwargs)


def wait(future: Any) -> Any:
    """The result of :func:`fork`."""
    return future


def set_fusion_strategy(strategy: Any) -> list[Any]:
    """Accepted without effect."""
    return []


def enable_onednn_fusion(enabled: bool) -> None:
    """Accepted without effect."""


@contextlib.contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """Accepted without effect."""
    yield


def save(m: Any, f: Any, _extra_files: Any = None) -> NoReturn:
    """Raises RuntimeError: there are no scripted programs to save."""
    raise errors.RuntimeError(
        "jit.save: ccdl has no scripted programs; save the weights, ccdl.save(model.state_dict(), path)"
    )


def load(f: Any, map_location: Any = None, _extra_files: Any = None) -> NoReturn:
    """Raises RuntimeError: there are no scripted programs to load."""
    raise errors.RuntimeError(
        "jit.load: ccdl has no scripted programs; build the model and load weights with ccdl.load(path)"
    )


def interface(obj: Any) -> Any:
    """``obj`` itself, a class that tells what scripted modules look like."""
    return obj


class TracerWarning(Warning):
    """What a tracer would warn of; never raised here."""


def _overload(fn: Any) -> Any:
    return fn


def _overload_method(fn: Any) -> Any:
    return fn


def __getattr__(name: str) -> Any:
    if name in ("ScriptModule", "RecursiveScriptModule"):
        from ..nn import Module

        return Module
    if name == "annotations":
        import importlib

        return importlib.import_module(".annotations", __name__)
    raise AttributeError(
        f"module 'ccdl.jit' has no attribute '{name}': ccdl runs eagerly and has no TorchScript"
    )
