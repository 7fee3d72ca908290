"""What stands for values while a program is traced: every use of one is a step of the graph."""

from __future__ import annotations

import dis
import inspect
import operator
from collections.abc import Iterator
from typing import Any

from .. import _C
from .node import Node, map_aggregate

__all__ = ["Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "TraceError", "TracerBase"]


class TraceError(ValueError):
    """The program did with a value what only a number known in advance can do."""


class TracerBase:
    """Makes nodes of calls. :class:`ccdl.fx.Tracer` adds the tracing of modules."""

    graph: Any
    trace_asserts = False
    proxy_buffer_attributes = False
    record_stack_traces = False
    traced_func_name = "forward"
    param_shapes_constant = False

    def create_node(
        self, kind: str, target: Any, args: Any, kwargs: Any, name: str | None = None, type_expr: Any = None
    ) -> Node:
        """A node of the graph; override it to see every one."""
        node: Node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        return node

    def proxy(self, node: Node) -> Proxy:
        """What stands for the value of a node."""
        return Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: Any,
        kwargs: Any,
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Any = None,
    ) -> Any:
        """A node with the arguments as nodes hold them, and what stands for its value."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return proxy_factory_fn(node) if proxy_factory_fn else self.proxy(node)

    def create_arg(self, a: Any) -> Any:
        """An argument as a node holds it: nodes for what stands for them, containers taken apart.

        Raises:
            NotImplementedError: a type no node can hold.
        """
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return type(a)(*(self.create_arg(v) for v in a))
        if isinstance(a, tuple):
            return tuple(self.create_arg(v) for v in a)
        if isinstance(a, list):
            return [self.create_arg(v) for v in a]
        if isinstance(a, dict):
            if any(isinstance(k, (Proxy, Node)) for k in a):
                raise RuntimeError("fx: keys of a dictionary cannot be traced values")
            return {k: self.create_arg(v) for k, v in a.items()}
        if isinstance(a, slice):
            return slice(*(self.create_arg(v) for v in (a.start, a.stop, a.step)))
        if isinstance(a, range):
            return range(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if isinstance(a, Proxy):
            return a.node
        if hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if a is None or a is Ellipsis or isinstance(a, _HELD) or callable(a):
            return a
        raise NotImplementedError(f"fx: argument of type {type(a).__name__} cannot be held by a node")

    def to_bool(self, obj: Proxy) -> bool:
        """Asked for the truth of a traced value."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """Asked to run through a traced value: possible where the code unpacks a known number."""
        frame = inspect.currentframe()
        own = {self.iter.__func__.__code__, Proxy.__iter__.__code__}  # type: ignore[attr-defined]
        while frame is not None and frame.f_code in own:
            frame = frame.f_back
        if frame is not None:
            for step in dis.get_instructions(frame.f_code):
                if step.offset == frame.f_lasti:
                    if step.opname == "UNPACK_SEQUENCE":
                        return (obj[i] for i in range(step.argval))  # type: ignore[index]
                    break
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a "
            "*args or **kwargs function argument."
        )

    def keys(self, obj: Proxy) -> Any:
        """Asked for the keys of a traced value, as ``**`` does."""
        return Attribute(obj, "keys")()


_HELD = (int, float, str, bytes, complex, _C.dtype, _C.device, _C.Tensor, type(Ellipsis))


class GraphAppendingTracer(TracerBase):
    """A tracer that appends to a graph there is."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph


class Proxy:
    """Stands for a value: operators, methods, attributes and functions of it are recorded as nodes.

    Its truth, length and run are not known while tracing: asking is an error.

    >>> import ccdl.fx
    >>> graph = ccdl.fx.Graph()
    >>> x = ccdl.fx.Proxy(graph.placeholder("x"))
    >>> y = (x + 1).relu()
    >>> [n.name for n in graph.nodes]
    ['x', 'add', 'relu']
    """

    def __init__(self, node: Node, tracer: TracerBase | None = None) -> None:
        self.tracer = tracer if tracer is not None else GraphAppendingTracer(node.graph)
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, name: str) -> Any:
        if name in ("tracer", "node") or name.startswith("__fx_"):
            raise AttributeError(name)
        return Attribute(self, name)

    def __deepcopy__(self, memo: Any) -> Proxy:
        return Proxy(self.node, self.tracer)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        return self.tracer.iter(self)

    def __abs__(self) -> Any:
        return self.tracer.create_proxy("call_function", abs, (self,), {})

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, "
            "please call torch.fx.wrap('len') at module scope"
        )

    def __contains__(self, value: Any) -> bool:
        raise TraceError("fx: whether a traced value holds another is not known while tracing")

    def keys(self) -> Any:
        """The keys of a traced dictionary."""
        return self.tracer.keys(self)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tracers: dict[int, TracerBase] = {}

        def note(a: Any) -> Any:
            if isinstance(a, Proxy):
                tracers[id(a.tracer)] = a.tracer
            return a

        map_aggregate((args, kwargs), note)
        if len(tracers) != 1:
            raise RuntimeError(f"fx: {func} was given values of {len(tracers)} tracers")
        (tracer,) = tracers.values()
        name = getattr(func, "__name__", "")
        if name and getattr(_C.Tensor, name, None) is func:
            return tracer.create_proxy("call_method", name, args, kwargs)
        return tracer.create_proxy("call_function", func, args, kwargs)


class Attribute(Proxy):
    """An attribute of a traced value: a step of its own, or the method of a call."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root = root
        self.attr = attr
        self.tracer = root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The step, made when it is needed, so that a method's call is one step."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """A parameter whose shape is known while tracing."""

    def __init__(self, tracer: TracerBase, node: Node, name: str, param: Any) -> None:
        super().__init__(node, tracer)
        self.param = param
        self.name = name

    @property
    def shape(self) -> Any:
        """The sizes."""
        return self.param.shape

    def size(self, *args: Any) -> Any:
        """The sizes, or one."""
        return self.param.size(*args)

    def dim(self) -> Any:
        """How many dimensions."""
        return self.param.dim()

    @property
    def ndim(self) -> Any:
        """How many dimensions."""
        return self.param.dim()

    def numel(self) -> Any:
        """How many elements."""
        return self.param.numel()

    def nelement(self) -> Any:
        """How many elements."""
        return self.param.numel()


def _recorded(fn: Any, swapped: bool = False) -> Any:
    def method(*args: Any) -> Any:
        tracer = args[0].tracer
        return tracer.create_proxy("call_function", fn, args[::-1] if swapped else args, {})

    return method


_BINARY = "add sub mul truediv floordiv mod pow matmul lshift rshift and_ or_ xor".split()
for _name in _BINARY:
    _bare = _name.rstrip("_")
    setattr(Proxy, f"__{_bare}__", _recorded(getattr(operator, _name)))
    setattr(Proxy, f"__r{_bare}__", _recorded(getattr(operator, _name), swapped=True))
for _name in "lt le gt ge eq ne neg pos invert getitem".split():
    setattr(Proxy, f"__{_name}__", _recorded(getattr(operator, _name)))
Proxy.__hash__ = object.__hash__  # type: ignore[method-assign]
