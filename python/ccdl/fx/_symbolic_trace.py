"""Tracing a module: its forward runs once on stand-ins, and what they are asked for is the program."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import types
from collections.abc import Callable
from typing import Any

from .. import _C
from ..nn import Module, Parameter
from ..nn.modules.container import Sequential
from . import _patches
from .graph import Graph
from .graph_module import GraphModule
from .proxy import ParameterProxy, TracerBase

__all__ = ["PH", "ProxyableClassMeta", "Tracer", "symbolic_trace", "wrap"]


class _Placeholder:
    def __repr__(self) -> str:
        return "PH"


PH = _Placeholder()
_KNOWN_VALUES = (bool, int, float, str, type(None))


def wrap(fn_or_name: Any) -> Any:
    """Has the tracer record calls of a global function as one step, instead of running it on stand-ins.

    To be called where the module's globals are: with the name of a function, of a builtin as well
    (``len``), or as a decorator. Returns its argument.

    Raises:
        RuntimeError: neither callable nor a name.
        NotImplementedError: not called at the level of a module.

    >>> import ccdl.fx
    >>> ccdl.fx.wrap("len")
    'len'
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError(
            f"fx.wrap: unsupported type for global function, must be callable or a name, got {fn_or_name!r}"
        )
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = sys._getframe(1)
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("fx.wrap: must be called at the top level of a module")
    _patches.wrapped[(id(frame.f_globals), name)] = frame.f_globals
    return fn_or_name


class ProxyableClassMeta(type):
    """Metaclass of classes whose making becomes a step when an argument is a traced value."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made: Any = cls.__new__(cls, *args, **kwargs)  # type: ignore[arg-type]
        if not isinstance(made, cls):
            return made
        proxy = _patches._first_proxy((args, kwargs))
        if proxy is not None:
            return proxy.tracer.create_proxy("call_function", cls, args, kwargs)
        made.__init__(*args, **kwargs)  # type: ignore[misc]
        return made


class Tracer(TracerBase):
    """Traces modules and functions into a :class:`ccdl.fx.Graph`.

    Layers of ``ccdl.nn`` are one step each, other modules are traced through: override :meth:`is_leaf_module`
    to choose otherwise, :meth:`call_module` and :meth:`create_proxy` to see what happens.

    Args:
        autowrap_modules: modules whose functions are one step each.
        autowrap_functions: further functions that are one step each.
        param_shapes_constant: parameters tell their shapes while tracing.

    >>> import ccdl, ccdl.fx
    >>> graph = ccdl.fx.Tracer().trace(ccdl.nn.Sequential(ccdl.nn.Linear(2, 3), ccdl.nn.ReLU()))
    >>> [(n.op, n.name) for n in graph.nodes]
    [('placeholder', 'input_1'), ('call_module', '_0'), ('call_module', '_1'), ('output', 'output')]
    """

    def __init__(
        self,
        autowrap_modules: tuple[Any, ...] = (math,),
        autowrap_functions: tuple[Any, ...] = (),
        param_shapes_constant: bool = False,
    ) -> None:
        self._autowrap_search = list(autowrap_modules)
        self._autowrap_function_ids = {
            id(value)
            for module in autowrap_modules
            for name, value in vars(module).items()
            if not name.startswith("_") and callable(value)
        } | {id(f) for f in autowrap_functions}
        self.param_shapes_constant = param_shapes_constant
        self.root: Any = None
        self.tensor_attrs: dict[int, tuple[Any, str]] = {}
        self.submodule_paths: dict[int, str] = {}
        self.module_stack: dict[str, Any] = {}
        self.node_name_to_scope: dict[str, Any] = {}
        self._patcher: _patches.Patches | None = None

    # --- what a subclass may choose ---

    def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
        """Whether a call of the module is one step."""
        home = type(m).__module__
        return home.startswith(("ccdl.nn", "torch.nn")) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Any) -> str:
        """The dotted name of a submodule.

        Raises:
            NameError: the root has no such submodule.
        """
        path = self.submodule_paths.get(id(mod))
        if path is None:
            for name, m in self.root.named_modules(remove_duplicate=False):
                if m is mod:
                    self.submodule_paths[id(mod)] = name
                    return str(name)
            raise NameError(f"fx: module {type(mod).__name__} is not installed as a submodule")
        return path

    def call_module(self, m: Any, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The call of a submodule: one step if it is a leaf, else its forward on the stand-ins."""
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return self.create_proxy("call_module", path, args, kwargs)
        self.module_stack[path] = (path, type(m))
        try:
            return forward(*args, **kwargs)
        finally:
            self.module_stack.pop(path, None)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """An attribute of a module: stand-ins for parameters, other values as they are."""
        if isinstance(attr_val, Parameter):
            return self._attribute(attr_val, self.root.named_parameters(), parameter_proxy_cache)
        if self.proxy_buffer_attributes and isinstance(attr_val, _C.Tensor):
            return self._attribute(attr_val, self.root.named_buffers(), parameter_proxy_cache)
        return attr_val

    def _attribute(self, value: Any, named: Any, cache: dict[str, Any]) -> Any:
        for name, found in named:
            if found is value:
                if name not in cache:
                    options: dict[str, Any] = {}
                    if self.param_shapes_constant:
                        factory = functools.partial(ParameterProxy, self, name=name, param=value)
                        options["proxy_factory_fn"] = factory
                    cache[name] = self.create_proxy("get_attr", name, (), {}, **options)
                return cache[name]
        return value

    # --- arguments ---

    def create_arg(self, a: Any) -> Any:
        """An argument as a node holds it: tensors become attributes of the module."""
        if isinstance(a, Parameter):
            for name, p in self.root.named_parameters():
                if p is a:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("fx: a parameter that is not a member of this module is used")
        if isinstance(a, _C.Tensor):
            for name, b in self.root.named_buffers():
                if b is a:
                    return self.create_node("get_attr", name, (), {})
            return self.create_node("get_attr", self._attribute_name(a, "_tensor_constant"), (), {})
        if isinstance(a, Module):
            path = self.submodule_paths.get(id(a))
            if path is not None:
                return self.create_node("get_attr", path, (), {})
        if isinstance(a, _C.Generator) or type(a).__class__ is ProxyableClassMeta:
            name = self._attribute_name(a, f"_{type(a).__name__}_constant")
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    def _attribute_name(self, value: Any, prefix: str) -> str:
        known = self.tensor_attrs.get(id(value))
        if known is None:
            i = 0
            while hasattr(self.root, f"{prefix}{i}"):
                i += 1
            known = self.tensor_attrs[id(value)] = (value, f"{prefix}{i}")  # holds the value, and so its id
            setattr(self.root, known[1], value)
        return known[1]

    # --- tracing ---

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of a module's forward, or of a function.

        Args:
            root: a Module or a function.
            concrete_args: values of inputs that are the same in every call; ``PH`` inside a container leaves
                that entry to be traced.

        Raises:
            TraceError: the program asks for the truth or the run of a traced value.
        """
        if isinstance(root, Module):
            forward = getattr(type(root), self.traced_func_name)
            self.root = root
            self.submodule_paths = {id(m): name for name, m in root.named_modules()}
        else:
            self.root, forward = Module(), root
            self.submodule_paths = {}
        self.graph = Graph(tracer_cls=type(self))
        self.tensor_attrs = {}
        self._note_tensors(self.root, "")
        forward, args = self.create_args_for_root(forward, isinstance(root, Module), concrete_args)
        with _patches.Patches() as patches:
            self._patch(patches, forward)
            result = forward(*args)
            self.create_node("output", "output", (self.create_arg(result),), {}, None)
        self.submodule_paths = {}
        return self.graph

    def _note_tensors(self, module: Any, prefix: str) -> None:
        for name, value in module.__dict__.items():
            if isinstance(value, _C.Tensor):
                self.tensor_attrs[id(value)] = (value, prefix + name)
        for name, child in module.named_children():
            self._note_tensors(child, f"{prefix}{name}.")

    def _patch(self, patches: _patches.Patches, forward: Any) -> None:
        get_attribute, call = Module.__getattr__, Module.__call__
        cache: dict[str, Any] = {}
        seen: set[int] = set()
        ids = self._autowrap_function_ids

        def look(space: dict[str, Any]) -> None:
            if id(space) not in seen:
                seen.add(id(space))
                _patches.add_autowrapped(patches, space, ids)

        def traced_getattr(mod: Any, attr: str) -> Any:
            return self.getattr(attr, get_attribute(mod, attr), cache)

        def traced_call(mod: Any, *args: Any, **kwargs: Any) -> Any:
            look(getattr(getattr(mod, "forward", mod), "__globals__", {}))
            return self.call_module(mod, lambda *a, **k: call(mod, *a, **k), args, kwargs)

        patches.in_class(Module, "__getattr__", traced_getattr)
        patches.in_class(Module, "__call__", traced_call)
        _patches.add_library(patches)
        _patches.add_wrapped(patches)
        look(getattr(forward, "__globals__", {}))
        for module in self._autowrap_search:
            look(vars(module))

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: dict[str, Any] | None = None
    ) -> tuple[Any, list[Any]]:
        """The function to run and the stand-ins for its arguments."""
        fn: Any = inspect.unwrap(root_fn)
        bound: list[Any] = []
        if not hasattr(fn, "__code__"):
            raise RuntimeError(f"fx: {root_fn!r} is not a Python function, and cannot be traced")
        if isinstance(fn, types.MethodType):
            fn, bound = fn.__func__, [fn.__self__]
        code = fn.__code__
        names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        signature = inspect.signature(fn)
        args: list[Any] = list(bound)
        if is_module:
            args = [self.root]
        for name in names[len(args) :]:
            parameter = signature.parameters[name]
            default = () if parameter.default is inspect.Parameter.empty else (parameter.default,)
            kind = None if parameter.annotation is inspect.Parameter.empty else parameter.annotation
            if concrete_args and name in concrete_args:
                args.append(self._concrete(name, concrete_args[name], default))
            else:
                args.append(self.create_proxy("placeholder", name, default, {}, type_expr=kind))
        flags, at = code.co_flags, len(names)
        if flags & inspect.CO_VARARGS:
            args.append(self.create_proxy("placeholder", f"*{code.co_varnames[at]}", (), {}))
            at += 1
        if flags & inspect.CO_VARKEYWORDS:
            args.append(self.create_proxy("placeholder", f"**{code.co_varnames[at]}", (), {}))
            at += 1
        if at != code.co_argcount:  # *args, **kwargs and keyword-only arguments come by position
            flags &= ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
            code = code.replace(co_argcount=at, co_kwonlyargcount=0, co_posonlyargcount=0, co_flags=flags)
            fn = types.FunctionType(code, fn.__globals__, fn.__name__, None, fn.__closure__)
        return fn, args

    def _concrete(self, name: str, value: Any, default: Any) -> Any:
        proxy = self.create_proxy("placeholder", name, default, {})
        if value is PH:
            return proxy
        if isinstance(value, _KNOWN_VALUES):
            text = f"{name} has been specialized to have value {value} but got another value"
            self.create_proxy("call_function", _assert_same, (proxy, value, text), {})
            return value

        def filled(v: Any, at: Any) -> Any:
            if v is PH:
                return at
            if isinstance(v, (list, tuple)) and not hasattr(v, "_fields"):
                return type(v)(filled(part, at[i] if _has_hole(part) else None) for i, part in enumerate(v))
            if isinstance(v, dict):
                return {k: filled(part, at[k] if _has_hole(part) else None) for k, part in v.items()}
            return v

        return filled(value, proxy)


def _assert_same(value: Any, expected: Any, message: str) -> None:
    if value is not expected and (expected is None or value != expected):
        raise AssertionError(message)


def _has_hole(v: Any) -> bool:
    if isinstance(v, dict):
        return any(_has_hole(part) for part in v.values())
    return v is PH or (isinstance(v, (list, tuple)) and any(_has_hole(part) for part in v))


def symbolic_trace(root: Any, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """A module that runs the program of another one, or of a function, as a graph to be read and changed.

    The program runs once, on stand-ins for its inputs: what depends on their values (``if x.sum() > 0``)
    cannot be traced, what depends on the module's own attributes is decided then.

    Args:
        root: a Module or a function.
        concrete_args: values of inputs that are the same in every call.

    Raises:
        TraceError: the program asks for the truth or the run of a traced value.

    Source: Reed et al., torch.fx: Practical Program Capture and Transformation for Deep Learning in Python,
    2022.

    >>> import ccdl, ccdl.fx
    >>> traced = ccdl.fx.symbolic_trace(lambda x: ccdl.relu(x) + 1)
    >>> traced(ccdl.tensor([-1.0, 2.0]))
    tensor([1., 3.])
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else getattr(root, "__name__", "GraphModule")
    return GraphModule(tracer.root, graph, name)
