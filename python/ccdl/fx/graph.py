"""A traced program: a list of nodes in the order they run, and the Python text that runs them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

from ._codegen import CodeGen, PythonCode
from ._names import Namespace, snake_case
from .node import Node, map_arg, qualified_name

__all__ = ["CodeGen", "Graph", "PythonCode"]


class _NodeList:
    def __init__(self, graph: Graph, direction: str = "_next") -> None:
        self.graph = graph
        self.direction = direction

    def __len__(self) -> int:
        return self.graph._len

    def __iter__(self) -> Iterator[Node]:
        root, step = self.graph._root, getattr(self.graph._root, self.direction)
        while step is not root:
            # a node erased in passing keeps its neighbours, so that the walk goes on
            if not step._erased:
                yield step
            step = getattr(step, self.direction)

    def __reversed__(self) -> _NodeList:
        return _NodeList(self.graph, "_prev" if self.direction == "_next" else "_next")


class Graph:
    """A program as a list of :class:`ccdl.fx.Node`, made by a :class:`ccdl.fx.Tracer` or step by step.

    >>> import ccdl, ccdl.fx
    >>> graph = ccdl.fx.Graph()
    >>> x = graph.placeholder("x")
    >>> _ = graph.output(graph.call_function(ccdl.add, (x, 1)))
    >>> graph.lint()
    >>> ccdl.fx.GraphModule(ccdl.nn.Module(), graph)(ccdl.ones(2))
    tensor([2., 2.])
    """

    def __init__(self, owning_module: Any = None, tracer_cls: Any = None, tracer_extras: Any = None) -> None:
        self._root = Node(self, "", "root", "")
        self._insert: Callable[[Node], None] = self._root.prepend
        self._len = 0
        self._names = Namespace()
        self._codegen = CodeGen()
        self.owning_module = owning_module
        self._tracer_cls = tracer_cls
        self._tracer_extras = tracer_extras

    @property
    def nodes(self) -> _NodeList:
        """The nodes in the order they run; ``reversed`` works."""
        return _NodeList(self)

    def find_nodes(self, *, op: str, target: Any = None, sort: bool = True) -> list[Node]:
        """The nodes of a kind, and of a target if given."""
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    def output_node(self) -> Node:
        """The node that returns."""
        for n in reversed(self.nodes):
            if n.op == "output":
                return n
        raise AssertionError("fx.Graph.output_node: the graph has no output")

    # --- making nodes ---

    def create_node(
        self,
        op: str,
        target: Any,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A new node at the place of insertion, the end unless :meth:`inserting_before` says otherwise."""
        args, kwargs = () if args is None else args, {} if kwargs is None else kwargs
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise AssertionError("fx.Graph.create_node: args must be a tuple and kwargs a dict")
        for n in _nodes_in((args, kwargs)):
            if n.graph is not self:
                raise AssertionError(f"fx.Graph.create_node: argument {n} belongs to another graph")
        candidate = name if name is not None else _name_of(target)
        node = Node(self, self._names.create_name(candidate), op, target, args, kwargs, type_expr)
        self._insert(node)
        self._len += 1
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = ...) -> Node:
        """An input."""
        args = () if default_value is ... else (default_value,)
        return self.create_node("placeholder", name, args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """A parameter, buffer or other attribute of the module."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(
        self, module_name: str, args: Any = None, kwargs: Any = None, type_expr: Any = None, name: Any = None
    ) -> Node:
        """The call of a submodule."""
        return self.create_node("call_module", module_name, args, kwargs, name, type_expr)

    def call_method(
        self, method_name: str, args: Any = None, kwargs: Any = None, type_expr: Any = None, name: Any = None
    ) -> Node:
        """The call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, name, type_expr)

    def call_function(
        self, the_function: Any, args: Any = None, kwargs: Any = None, type_expr: Any = None, name: Any = None
    ) -> Node:
        """The call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        """What the program returns."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Any] = lambda x: x) -> Node:
        """A copy of a node, maybe of another graph, whose arguments ``arg_transform`` finds here."""
        args = map_arg(node.args, arg_transform)
        kwargs = map_arg(node.kwargs, arg_transform)
        result = self.create_node(node.op, node.target, args, dict(kwargs), node.name, node.type)
        result.meta = copy.copy(node.meta)
        return result

    def graph_copy(self, g: Graph, val_map: dict[Node, Any], return_output_node: bool = False) -> Any:
        """Appends the nodes of ``g``; returns what its output stands for here. ``val_map`` is filled."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                value = map_arg(node.args[0], lambda n: val_map[n])
                return (value, node) if return_output_node else value
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    # --- changing ---

    @contextlib.contextmanager
    def _inserting(self, insert: Callable[[Node], None]) -> Iterator[None]:
        before, self._insert = self._insert, insert
        try:
            yield
        finally:
            self._insert = before

    def inserting_before(self, n: Node | None = None) -> Any:
        """Nodes made in this ``with`` block go before ``n``; without one, to the start of the graph."""
        if n is None:
            return self.inserting_after(self._root)
        return self._inserting(n.prepend)

    def inserting_after(self, n: Node | None = None) -> Any:
        """Nodes made in this ``with`` block go after ``n``, in order; without one, to the end."""
        if n is None:
            return self.inserting_before(self._root)
        place = [n]

        def insert(node: Node) -> None:
            place[0].append(node)
            place[0] = node

        return self._inserting(insert)

    def erase_node(self, to_erase: Node) -> None:
        """Takes a node out.

        Raises:
            RuntimeError: somebody uses it.
        """
        if to_erase.users:
            raise RuntimeError(
                f"fx.Graph.erase_node: tried to erase node {to_erase}, which has {len(to_erase.users)} users "
                f"({', '.join(map(str, to_erase.users))}); replace its uses first"
            )
        if to_erase.graph is not self:
            raise RuntimeError(f"fx.Graph.erase_node: node {to_erase} belongs to another graph")
        if to_erase._erased:
            return
        to_erase._unlink()
        to_erase._erased = True
        self._len -= 1
        to_erase._set((), {})

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Takes out the steps whose results nobody uses and that do nothing else; True if there were any."""
        impure = is_impure_node or Node.is_impure
        before = self._len
        for node in reversed(self.nodes):
            if not node.users and not impure(node):
                self.erase_node(node)
        return self._len < before

    # --- checking and showing ---

    def lint(self) -> None:
        """Checks that nodes are used after they are made, that names differ, and that targets exist.

        Raises:
            RuntimeError: what is wrong.
        """
        seen: set[Node] = set()
        names: set[str] = set()
        for node in self.nodes:
            for n in node.all_input_nodes:
                if n.graph is not self:
                    raise RuntimeError(f"fx.Graph.lint: argument {n} of node {node} belongs to another graph")
                if n not in seen:
                    raise RuntimeError(f"fx.Graph.lint: {n} is used before it is defined, by {node}")
            if node.name in names:
                raise RuntimeError(f"fx.Graph.lint: two nodes are named {node.name}")
            seen.add(node)
            names.add(node.name)
            if self.owning_module is not None and node.op in ("get_attr", "call_module"):
                at = self.owning_module
                for part in node.target.split("."):
                    if not hasattr(at, part):
                        raise RuntimeError(
                            f"fx.Graph.lint: node {node} names {node.target}, which "
                            f"{type(self.owning_module).__name__} does not have"
                        )
                    at = getattr(at, part)

    def python_code(self, root_module: str, *, verbose: bool = False, **options: Any) -> PythonCode:
        """The text of a function ``forward`` that runs the program, and the globals it needs."""
        return self._codegen.python_code(self, root_module)

    def set_codegen(self, codegen: Any) -> None:
        """Has another object write the text."""
        self._codegen = codegen

    def print_tabular(self) -> None:
        """Prints one line per node."""
        rows = [("opcode", "name", "target", "args", "kwargs")]
        rows += [(n.op, n.name, qualified_name(n.target), str(n.args), str(n.kwargs)) for n in self.nodes]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        rows.insert(1, tuple("-" * w for w in widths))  # type: ignore[arg-type]
        print("\n".join("  ".join(t.ljust(w) for t, w in zip(row, widths)).rstrip() for row in rows))

    def __str__(self) -> str:
        names = [n.name for n in self.nodes if n.op == "placeholder"]
        lines = [n.format_node() for n in self.nodes]
        return f"graph({', '.join('%' + n for n in names)}):" + "".join(f"\n    {line}" for line in lines)

    # --- copies ---

    def _refill(self, rows: list[Any], steps: list[Node]) -> None:
        """Nodes from rows whose arguments name earlier steps by index."""
        for op, target, args, kwargs, name, kind, meta in rows:
            filled = _filled(args, steps), dict(_filled(kwargs, steps))
            node = self.create_node(op, target, *filled, name, kind)
            node.meta = meta
            steps.append(node)

    def _rows(self) -> list[Any]:
        index = {n: _Step(i) for i, n in enumerate(self.nodes)}
        pick = lambda n: index[n]
        return [
            (n.op, n.target, map_arg(n.args, pick), map_arg(n.kwargs, pick), n.name, n.type, n.meta)
            for n in self.nodes
        ]

    def __deepcopy__(self, memo: Any = None) -> Graph:
        memo = {} if memo is None else memo
        result = Graph(tracer_cls=self._tracer_cls)
        memo[id(self)] = result
        steps: list[Node] = []
        for row, node in zip(self._rows(), self.nodes):
            op, target, args, kwargs, name, kind, meta = row
            args, kwargs = copy.deepcopy(args), copy.deepcopy(kwargs)
            result._refill([(op, target, args, kwargs, name, kind, dict(meta))], steps)
            memo[id(node)] = steps[-1]
        result._codegen = copy.deepcopy(self._codegen)
        return result

    def __reduce__(self) -> Any:
        tracer = self._tracer_cls
        if tracer is not None and "<locals>" in tracer.__qualname__:
            tracer = None
        return _rebuild, (self._rows(), tracer)


class _Step:
    """The place of a node in its graph, inside the arguments of a row."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __reduce__(self) -> Any:
        return _Step, (self.index,)


def _filled(a: Any, steps: list[Node]) -> Any:
    from .node import map_aggregate

    return map_aggregate(a, lambda v: steps[v.index] if isinstance(v, _Step) else v)


def _rebuild(rows: list[Any], tracer: Any) -> Graph:
    result = Graph(tracer_cls=tracer)
    result._refill(rows, [])
    return result


def _nodes_in(a: Any) -> list[Node]:
    found: list[Node] = []
    map_arg(a, lambda n: found.append(n) or n)  # type: ignore[func-returns-value]
    return found


def _name_of(target: Any) -> str:
    text = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
    if text.startswith("__") and text.endswith("__"):
        text = text[2:-2]
    return snake_case(text)
