"""The module that runs a traced program: its steps one after another, without making code of text."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _C
from ..nn import Module, Parameter
from .graph import Graph, PythonCode
from .node import Node, map_arg

__all__ = ["GraphModule"]

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
_KIND = inspect._ParameterKind
_HOOKS = (
    "_state_dict_hooks _load_state_dict_pre_hooks _load_state_dict_post_hooks _replace_hook _replace_hooks "
    "_create_node_hooks _erase_node_hooks"
).split()


def _argument(a: Any, places: dict[Node, int]) -> Callable[[list[Any]], Any]:
    """How an argument comes from the values of the nodes."""
    if isinstance(a, Node):
        return operator.itemgetter(places[a])
    if type(a) is tuple:
        parts = [_argument(v, places) for v in a]
        return lambda values: tuple([part(values) for part in parts])
    if isinstance(a, list):
        items = [_argument(v, places) for v in a]
        return lambda values: [item(values) for item in items]
    if isinstance(a, dict):
        pairs = [(k, _argument(v, places)) for k, v in a.items()]
        return lambda values: {k: part(values) for k, part in pairs}
    if isinstance(a, slice) or hasattr(a, "_fields"):
        return lambda values: map_arg(a, lambda n: values[places[n]])
    return lambda values: a


class _Step(NamedTuple):
    op: str
    target: Any
    args: Callable[[list[Any]], Any]
    kwargs: Callable[[list[Any]], Any]
    place: int
    dead: list[int]


def _signature(graph: Graph) -> inspect.Signature:
    kinds = {0: _KIND.POSITIONAL_OR_KEYWORD, 1: _KIND.VAR_POSITIONAL, 2: _KIND.VAR_KEYWORD}
    parameters = [inspect.Parameter("self", _KIND.POSITIONAL_ONLY)]
    for n in graph.find_nodes(op="placeholder"):
        name = n.target.lstrip("*")
        stars = len(n.target) - len(name)
        default = n.args[0] if n.args else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, kinds[stars], default=default))
    return inspect.Signature(parameters)


def _forward(graph: Graph) -> Any:
    """The function that runs the graph: one list of values, each forgotten after its last use."""
    nodes = list(graph.nodes)
    places = {n: i for i, n in enumerate(nodes)}
    seen: set[Node] = set()
    dead: dict[Node, list[int]] = {}
    for n in reversed(nodes):
        for a in n.all_input_nodes:
            if a not in seen:
                seen.add(a)
                dead.setdefault(n, []).append(places[a])
    steps = [
        _Step(n.op, n.target, _argument(n.args, places), _argument(n.kwargs, places), i, dead.get(n, []))
        for i, n in enumerate(nodes)
        if n.op != "placeholder"
    ]
    inputs = [(n.target.lstrip("*"), places[n]) for n in nodes if n.op == "placeholder"]
    signature = _signature(graph)

    def forward(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given, module = bound.arguments, args[0]
        values: list[Any] = [None] * len(nodes)
        for name, place in inputs:
            values[place] = given[name]
        for op, target, positional, named, place, last in steps:
            if op == "call_function":
                values[place] = target(*positional(values), **named(values))
            elif op == "call_method":
                owner, *rest = positional(values)
                values[place] = getattr(owner, target)(*rest, **named(values))
            elif op == "output":
                return positional(values)[0]
            else:
                found = module
                for part in target.split("."):
                    found = getattr(found, part)
                values[place] = found(*positional(values), **named(values)) if op == "call_module" else found
            for i in last:
                values[i] = None
        return None

    forward.__signature__ = signature  # type: ignore[attr-defined]
    return forward


def _copy_attr(from_module: Any, to_module: Any, target: str) -> None:
    """Gives ``to_module`` the attribute with a dotted name that ``from_module`` has."""
    *path, field = target.split(".")
    for part in path:
        source = getattr(from_module, part)
        there = getattr(to_module, part, None)
        if there is source:  # the whole submodule is there already
            return
        if there is None:
            there = Module()
            setattr(to_module, part, there)
        from_module, to_module = source, there
    value = getattr(from_module, field)
    if isinstance(value, _C.Tensor) and not isinstance(value, Parameter):
        persistent = field not in getattr(from_module, "_non_persistent_buffers_set", ())
        to_module.register_buffer(field, value, persistent=persistent)
    else:
        setattr(to_module, field, value)


def _assign_attr(value: Any, to_module: Any, target: str) -> None:
    *path, field = target.split(".")
    for part in path:
        if not hasattr(to_module, part):
            setattr(to_module, part, Module())
        to_module = getattr(to_module, part)
    if isinstance(value, _C.Tensor) and not isinstance(value, Parameter):
        to_module.register_buffer(field, value)
    else:
        setattr(to_module, field, value)


class _CodeOnlyModule(Module):
    """A module with the attributes of another one."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__ = body


class GraphModule(Module):
    """A module whose forward is a :class:`ccdl.fx.Graph`.

    Args:
        root: the module the graph's parameters and submodules come from, or a dictionary of them by name.
        graph: the program; assign to ``graph``, or change it and call :meth:`recompile`.
        class_name: how the module calls itself.

    >>> import ccdl, ccdl.fx
    >>> traced = ccdl.fx.symbolic_trace(ccdl.nn.Linear(2, 2).requires_grad_(False))
    >>> "linear" in traced.code
    True
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # one class per module, so that each has a forward of its own
        base = next(c for c in cls.__mro__ if "_one_module" not in c.__dict__)
        body = {"_one_module": True, "__module__": base.__module__}
        return super().__new__(type(base.__name__, (base,), body))

    def __init__(self, root: Any, graph: Graph, class_name: str = "GraphModule") -> None:
        super().__init__()
        type(self).__name__ = class_name
        self.meta: dict[str, Any] = {}
        targets = {n.target for n in graph.nodes if n.op in ("get_attr", "call_module")}
        if isinstance(root, Module):
            if hasattr(root, "training"):
                self.training = root.training
            if isinstance(getattr(root, "meta", None), dict):
                self.meta.update(root.meta)
            for node in graph.nodes:
                if node.target in targets:
                    targets.discard(node.target)
                    _copy_attr(root, self, node.target)
        elif isinstance(root, dict):
            for target in sorted(targets, key=lambda t: t.count(".")):
                if target not in root:
                    raise RuntimeError(
                        f"GraphModule: the graph names {target!r}, which is none of root's keys {list(root)}"
                    )
                _assign_attr(root[target], self, target)
        else:
            raise RuntimeError(f"GraphModule: root is {type(root).__name__}, must be a Module or a dict")
        self.graph = graph
        self._tracer_cls = None
        if graph._tracer_cls is not None and "<locals>" not in graph._tracer_cls.__qualname__:
            self._tracer_cls = graph._tracer_cls

    @property
    def graph(self) -> Graph:
        """The program."""
        return self._graph

    @graph.setter
    def graph(self, g: Graph) -> None:
        if not isinstance(g, Graph):
            raise AssertionError(f"GraphModule.graph: expected a Graph, got {type(g).__name__}")
        self.__dict__["_graph"] = g
        g.owning_module = self
        self.recompile()

    def recompile(self) -> PythonCode:
        """Makes ``forward`` and its text anew, after changes to the graph."""
        code = self._graph.python_code("self")
        self.__dict__["_code"] = code.src
        type(self).forward = _forward(self._graph)
        return code

    @property
    def code(self) -> str:
        """The Python text of the program."""
        if "_code" not in self.__dict__:
            raise RuntimeError("GraphModule.code: there is none before recompile()")
        return str(self.__dict__["_code"])

    def print_readable(self, print_output: bool = True, **options: Any) -> str:
        """The text as that of a class; printed unless told otherwise."""
        body = "".join(f"    {line}\n" if line else "\n" for line in self.code.splitlines())
        text = f"class {type(self).__name__}(torch.nn.Module):{body}"
        if print_output:
            print(text)
        return text

    # --- changing the submodules ---

    def add_submodule(self, target: str, m: Any) -> bool:
        """Puts a module at a dotted name, with empty modules on the way; False if something else is there."""
        *path, field = target.split(".")
        at: Any = self
        for part in path:
            there = getattr(at, part, None)
            if there is None:
                there = Module()
                setattr(at, part, there)
            if not isinstance(there, Module):
                return False
            at = there
        at.add_module(field, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Takes the module at a dotted name out; False if there is none."""
        *path, field = target.split(".")
        at: Any = self
        for part in path:
            at = getattr(at, part, None)
            if not isinstance(at, Module):
                return False
        if not isinstance(getattr(at, field, None), Module):
            return False
        delattr(at, field)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Takes the submodules out that the graph does not call."""
        used: set[str] = set()
        for node in self._graph.nodes:
            if node.op in ("call_module", "get_attr"):
                path = node.target.split(".")
                used.update(".".join(path[: i + 1]) for i in range(len(path)))
                if node.op == "call_module":
                    inner = self.get_submodule(node.target)
                    used.update(f"{node.target}.{name}" for name, _ in inner.named_modules() if name)
        for name in [name for name, _ in self.named_modules() if name and name not in used]:
            self.delete_submodule(name)

    # --- copies ---

    def _deepcopy_init(self) -> Any:
        return GraphModule.__init__

    def __deepcopy__(self, memo: Any) -> Any:
        result = type(self).__new__(type(self))
        memo[id(self)] = result
        source = _CodeOnlyModule(copy.deepcopy(self.__dict__, memo))
        self._deepcopy_init()(result, source, source.__dict__["_graph"], type(self).__name__)
        for name in _HOOKS:
            if name in source.__dict__:
                setattr(result, name, source.__dict__[name])
        result.meta = copy.deepcopy(getattr(self, "meta", {}), memo)
        for name, value in result.meta.get(_USER_PRESERVED_ATTRIBUTES_KEY, {}).items():
            setattr(result, name, value)
        return result

    def __copy__(self) -> Any:
        result = GraphModule(self, self._graph)
        result.meta = getattr(self, "meta", {})
        return result

    def __reduce__(self) -> Any:
        own = {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}
        return _rebuild, (own, self._graph, type(self).__name__)

    def __str__(self) -> str:
        return f"{super().__str__()}\n\n\n{self.code}"


def _rebuild(own: dict[str, Any], graph: Graph, class_name: str) -> GraphModule:
    result: GraphModule = GraphModule(_CodeOnlyModule(own), graph, class_name)
    return result
