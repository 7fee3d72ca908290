"""The Python text of a traced program."""

from __future__ import annotations

import enum
import importlib
import math
import operator
import sys
from typing import Any, NamedTuple

from ._names import Namespace
from .node import Node, qualified_name

__all__ = ["CodeGen", "PythonCode"]

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "matmul": "@", "lshift": "<<", "rshift": ">>", "and_": "&", "or_": "|", "xor": "^",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip
_TEMPLATES: dict[Any, str] = {getattr(operator, name): f"{{}} {sign} {{}}" for name, sign in _INFIX.items()}
_TEMPLATES |= {operator.neg: "-{}", operator.pos: "+{}", operator.invert: "~{}", operator.getitem: "{}[{}]"}
_AUGMENTED = {
    getattr(operator, f"i{name.rstrip('_')}"): f"{sign}="
    for name, sign in _INFIX.items()
    if hasattr(operator, f"i{name.rstrip('_')}") and name not in ("lt", "le", "gt", "ge", "eq", "ne")
}


class PythonCode(NamedTuple):
    """The text of ``forward``, and what its free names stand for."""

    src: str
    globals: dict[str, Any]


class CodeGen:
    """Writes the text of a graph."""

    def process_inputs(self, *args: Any) -> Any:
        """The inputs as the placeholders take them."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """The outputs as the caller gets them."""
        return outputs

    def python_code(self, graph: Any, root_module: str) -> PythonCode:
        """The text of a function ``forward(self, ...)`` and its globals."""
        return _Writer(graph, root_module).code()


class _Writer:
    def __init__(self, graph: Any, root: str) -> None:
        self.graph = graph
        self.root = root
        self.globals: dict[str, Any] = {"inf": math.inf, "nan": math.nan}
        self.names = Namespace()
        for node in graph.nodes:
            self.names._taken[node.name] = node
        self.names._taken[root] = self
        self.last = self._last_uses()

    def _last_uses(self) -> dict[Node, list[Node]]:
        """For every node, what nobody uses after it."""
        seen: set[Node] = set()
        result: dict[Node, list[Node]] = {}
        for node in reversed(self.graph.nodes):
            for n in node.all_input_nodes:
                if n not in seen:
                    seen.add(n)
                    result.setdefault(node, []).append(n)
        return result

    def code(self) -> PythonCode:
        inputs: list[str] = []
        stars: list[str] = []  # lines that give *args and **kwargs their node's name
        body: list[str] = []
        for node in self.graph.nodes:
            if node.op == "placeholder":
                bare = node.target.lstrip("*")
                if node.target.startswith("*"):
                    inputs.append(node.target)
                    if bare != node.name:
                        stars.append(f"{node.name} = {bare}")
                else:
                    default = f" = {self.text(node.args[0])}" if node.args else ""
                    inputs.append(f"{bare}{default}")
                    if bare != node.name:
                        stars.append(f"{node.name} = {bare}")
                continue
            line = self.line(node)
            dead = [n.name for n in self.last.get(node, []) if node.op != "output"]
            if dead:
                line += f";  {' = '.join(dead)} = None"
            body.append(line)
        lines = stars + body or ["pass"]
        text = "\n".join(f"    {line}" for line in lines)
        return PythonCode(f"\ndef forward({', '.join([self.root, *inputs])}):\n{text}\n", self.globals)

    def line(self, node: Node) -> str:
        if node.op == "output":
            return f"return {self.text(node.args[0])}"
        if node.op == "get_attr":
            return f"{node.name} = {self.path(node.target)}"
        if node.op == "call_module":
            return f"{node.name} = {self.path(node.target)}({self.arguments(node.args, node.kwargs)})"
        if node.op == "call_method":
            owner, rest = self.text(node.args[0]), node.args[1:]
            if not isinstance(node.args[0], Node):
                owner = f"({owner})"
            return f"{node.name} = {owner}.{node.target}({self.arguments(rest, node.kwargs)})"
        return self.call(node)

    def call(self, node: Node) -> str:
        fn, args = node.target, node.args
        plain = not node.kwargs and all(isinstance(a, (Node, int, float, slice, tuple)) for a in args)
        if plain and fn in _TEMPLATES and len(args) == _TEMPLATES[fn].count("{}"):
            parts = [self.text(a) for a in args]
            for i, a in enumerate(args):
                if isinstance(a, (int, float)) and not isinstance(a, bool) and a < 0:
                    parts[i] = f"({parts[i]})"
            if fn is operator.getitem and isinstance(args[0], Node):
                parts[1] = self.index(args[1])
            elif not isinstance(args[0], Node):
                parts[0] = f"({parts[0]})"
            return f"{node.name} = {_TEMPLATES[fn].format(*parts)}"
        if plain and fn in _AUGMENTED and len(args) == 2 and isinstance(args[0], Node):
            name = args[0].name
            return f"{name} {_AUGMENTED[fn]} {self.text(args[1])};  {node.name} = {name}"
        if fn is getattr and len(args) == 2 and isinstance(args[0], Node) and str(args[1]).isidentifier():
            return f"{node.name} = {args[0].name}.{args[1]}"
        return f"{node.name} = {self.function(fn)}({self.arguments(args, node.kwargs)})"

    def arguments(self, args: Any, kwargs: Any) -> str:
        parts = [self.text(a) for a in args]
        if all(k.isidentifier() for k in kwargs):
            parts += [f"{k} = {self.text(v)}" for k, v in kwargs.items()]
        else:
            parts.append(f"**{self.text(dict(kwargs))}")
        return ", ".join(parts)

    def path(self, target: str) -> str:
        text = self.root
        for part in target.split("."):
            text = f"{text}.{part}" if part.isidentifier() else f'getattr({text}, "{part}")'
        return text

    def index(self, a: Any) -> str:
        if isinstance(a, tuple) and a and type(a) is tuple:
            return ", ".join(self.index(v) for v in a) + ("," if len(a) == 1 else "")
        if isinstance(a, slice):
            ends = ["" if v is None else self.text(v) for v in (a.start, a.stop)]
            return ":".join(ends if a.step is None else [*ends, self.text(a.step)])
        return self.text(a)

    def text(self, a: Any) -> str:
        """The expression for an argument."""
        if isinstance(a, Node):
            return a.name
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return f"{self.function(type(a))}({', '.join(self.text(v) for v in a)})"
        if isinstance(a, tuple):
            return f"({', '.join(self.text(v) for v in a)}{',' if len(a) == 1 else ''})"
        if isinstance(a, list):
            return f"[{', '.join(self.text(v) for v in a)}]"
        if isinstance(a, dict):
            return f"{{{', '.join(f'{self.text(k)}: {self.text(v)}' for k, v in a.items())}}}"
        if isinstance(a, slice):
            return f"slice({self.text(a.start)}, {self.text(a.stop)}, {self.text(a.step)})"
        if isinstance(a, range):
            return repr(a) if not any(isinstance(v, Node) for v in (a.start, a.stop)) else self.other(a)
        if a is None or a is Ellipsis or type(a) in (bool, int, float, str, bytes, complex):
            return repr(a)
        if callable(a) and not isinstance(a, enum.Enum):
            return self.function(a)
        return self.other(a)

    def function(self, fn: Any) -> str:
        """The name under which a function or class is reached, and a global for it."""
        name = qualified_name(fn)
        if "." not in name and getattr(sys.modules["builtins"], name, None) is fn:
            return name
        if name.startswith("ccdl."):
            short = name.rpartition(".")[2]
            for text in (f"ccdl.nn.functional.{short}", name, f"ccdl.{short}"):
                if _reaches(text, fn):
                    self.globals["ccdl"] = importlib.import_module("ccdl")
                    return text
        return self.bind(name, fn)

    def other(self, a: Any) -> str:
        name = str(a) if type(a).__module__.startswith("ccdl") else ""
        if name.startswith("ccdl.") and _reaches(name, a):  # a dtype
            self.globals["ccdl"] = importlib.import_module("ccdl")
            return name
        return self.bind(f"_{type(a).__name__}", a)

    def bind(self, candidate: str, obj: Any) -> str:
        name = self.names.create_name(candidate.replace(".", "_"), obj)
        self.globals[name] = obj
        return name


def _reaches(name: str, obj: Any) -> bool:
    """Whether the dotted name, as an expression, is the object."""
    at: Any = importlib.import_module("ccdl")
    for part in name.split(".")[1:]:
        at = getattr(at, part, None)
    return at is obj
