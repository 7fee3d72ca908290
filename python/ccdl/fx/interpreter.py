"""Running a graph node by node, and rewriting one on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .graph import Graph
from .graph_module import GraphModule
from .node import Node, map_arg
from .proxy import GraphAppendingTracer, Proxy

__all__ = ["Interpreter", "Transformer"]


class Interpreter:
    """Runs a :class:`ccdl.fx.GraphModule` one node at a time; override a method to change what a kind of
    node does.

    Args:
        module: the module whose attributes the nodes name.
        garbage_collect_values: lets go of a value after its last use.
        graph: the program, the module's own if left out.

    >>> import ccdl, ccdl.fx
    >>> traced = ccdl.fx.symbolic_trace(lambda x: ccdl.relu(x) * 2)
    >>> ccdl.fx.Interpreter(traced).run(ccdl.tensor([-1.0, 2.0]))
    tensor([0., 4.])
    """

    def __init__(self, module: Any, garbage_collect_values: bool = True, graph: Graph | None = None) -> None:
        self.module = module
        self.graph = module.graph if graph is None else graph
        self.submodules = dict(module.named_modules())
        self.env: dict[Node, Any] = {}
        self.args_iter: Iterator[Any] = iter(())
        self.garbage_collect_values = garbage_collect_values
        self.extra_traceback = True
        self.user_to_last_uses: dict[Node, list[Node]] = {}
        if garbage_collect_values:
            seen: set[Node] = set()
            for node in reversed(self.graph.nodes):
                for n in node.all_input_nodes:
                    if n not in seen:
                        seen.add(n)
                        self.user_to_last_uses.setdefault(node, []).append(n)

    def run(
        self, *args: Any, initial_env: dict[Node, Any] | None = None, enable_io_processing: bool = True
    ) -> Any:
        """The program's result for these inputs."""
        self.env = {} if initial_env is None else initial_env
        if enable_io_processing:
            args = self.graph._codegen.process_inputs(*args)
        self.args_iter = iter(args)
        for node in self.graph.nodes:
            if node in self.env:
                continue
            self.env[node] = self.run_node(node)
            if node.op == "output":
                result = self.env[node]
                return self.graph._codegen.process_outputs(result) if enable_io_processing else result
            for dead in self.user_to_last_uses.get(node, ()):
                self.env.pop(dead, None)
        return None

    def run_node(self, n: Node) -> Any:
        """The value of a node."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The next input, or its default."""
        if target.startswith("*"):
            return list(self.args_iter)
        for value in self.args_iter:
            return value
        if args:
            return args[0]
        raise RuntimeError(f"fx.Interpreter: expected a positional argument for parameter {target}, got none")

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """An attribute of the module."""
        return self.fetch_attr(target)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A function's result."""
        return target(*args, **kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The result of a method of the first argument."""
        return getattr(args[0], target)(*args[1:], **kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A submodule's result."""
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        """What the program returns."""
        return args[0]

    def fetch_attr(self, target: str) -> Any:
        """The attribute of the module with a dotted name."""
        at = self.module
        for part in target.split("."):
            if not hasattr(at, part):
                raise RuntimeError(f"fx.Interpreter: node references nonexistent target {target}")
            at = getattr(at, part)
        return at

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[Any, Any]:
        """The arguments of a node with the values of other nodes in place."""
        return self.map_nodes_to_values(n.args, n), self.map_nodes_to_values(n.kwargs, n)

    def map_nodes_to_values(self, args: Any, n: Node) -> Any:
        """``args`` with values in place of nodes."""

        def value(other: Node) -> Any:
            if other not in self.env:
                raise RuntimeError(
                    f"fx.Interpreter: node {n} references nonexistent value {other}; run graph.lint()"
                )
            return self.env[other]

        return map_arg(args, value)


class Transformer(Interpreter):
    """Writes a new graph while it runs through one; override a method to write something else for a kind of
    node.

    >>> import ccdl, ccdl.fx
    >>> class Gelu(ccdl.fx.Transformer):
    ...     def call_function(self, target, args, kwargs):
    ...         return super().call_function(ccdl.sigmoid if target is ccdl.relu else target, args, kwargs)
    >>> Gelu(ccdl.fx.symbolic_trace(lambda x: ccdl.relu(x))).transform()(ccdl.zeros(1))
    tensor([0.5000])
    """

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.new_graph = Graph(tracer_cls=module.graph._tracer_cls)
        self.tracer = _Rewriter(self.new_graph, module)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """An input of the new graph."""
        return Proxy(self.new_graph.create_node("placeholder", target, tuple(args)), self.tracer)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """An attribute in the new graph."""
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A step of the new graph."""
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A step of the new graph."""
        return self.tracer.create_proxy("call_method", target, args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A step of the new graph."""
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The module of the new graph."""
        result = super().run(enable_io_processing=False)
        if result is not None or not len(self.new_graph.nodes):
            self.new_graph.output(self.tracer.create_arg(result))
        return GraphModule(self.module, self.new_graph)


class _Rewriter(GraphAppendingTracer):
    def __init__(self, graph: Graph, module: Any) -> None:
        super().__init__(graph)
        self.module = module
