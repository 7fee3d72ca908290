"""Replacing a piece of a graph wherever it occurs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .graph import Graph
from .graph_module import GraphModule, _copy_attr
from .node import Node

__all__ = ["Match", "replace_pattern"]


class Match(NamedTuple):
    """Where a pattern was found: the last node of the piece, and what each node of the pattern stands for."""

    anchor: Node
    nodes_map: dict[Node, Any]


def replace_pattern(gm: GraphModule, pattern: Any, replacement: Any) -> list[Match]:
    """Replaces every piece of ``gm`` that does what ``pattern`` does by what ``replacement`` does.

    ``pattern`` and ``replacement`` are functions or modules with the same inputs; pieces do not overlap, and
    nothing outside a piece may use a value inside it but the result.

    >>> import ccdl, ccdl.fx
    >>> traced = ccdl.fx.symbolic_trace(lambda x: ccdl.relu(x + 1))
    >>> _ = ccdl.fx.replace_pattern(traced, lambda x: ccdl.relu(x), lambda x: -x)
    >>> traced(ccdl.zeros(1))
    tensor([-1.])
    """
    from ._symbolic_trace import symbolic_trace

    wanted = _graph_of(pattern, symbolic_trace)
    given = _graph_of(replacement, symbolic_trace)
    goal = wanted.output_node().args[0]
    if not isinstance(goal, Node):
        raise RuntimeError("fx.replace_pattern: the pattern must return one value")
    matches: list[Match] = []
    gone: set[Node] = set()
    for node in list(gm.graph.nodes):
        found: dict[Node, Any] = {}
        if node in gone or not _matches(goal, node, found, gm, pattern):
            continue
        inside = {v for k, v in found.items() if k.op not in ("placeholder", "output")}
        inner = [v for v in inside if v is not node and v.op != "get_attr"]
        if inside & gone or any(set(v.users) - inside for v in inner):
            continue
        inputs = [n for n in wanted.nodes if n.op == "placeholder"]
        values: dict[Node, Any] = {}
        for mine, theirs in zip([n for n in given.nodes if n.op == "placeholder"], inputs):
            values[mine] = found.get(theirs)
        if isinstance(replacement, GraphModule) or hasattr(replacement, "named_modules"):
            for n in given.nodes:
                if n.op in ("get_attr", "call_module"):
                    _copy_attr(replacement, gm, n.target)
        with gm.graph.inserting_before(node):
            result = gm.graph.graph_copy(given, values)
        node.replace_all_uses_with(result)
        for n in reversed([n for n in gm.graph.nodes if n in inside]):
            if not n.users:
                gm.graph.erase_node(n)
        gone |= inside
        matches.append(Match(node, found))
    gm.recompile()
    return matches


def _graph_of(what: Any, trace: Callable[[Any], GraphModule]) -> Graph:
    if isinstance(what, Graph):
        return what
    graph: Graph = what.graph if isinstance(what, GraphModule) else trace(what).graph
    return graph


def _matches(want: Node, have: Any, found: dict[Node, Any], gm: Any, pattern: Any) -> bool:
    if want in found:
        return bool(found[want] is have)
    if want.op == "placeholder":
        found[want] = have
        return True
    if not isinstance(have, Node) or want.op != have.op or have.op == "placeholder":
        return False
    if want.op == "call_module":
        if type(pattern.get_submodule(want.target)) is not type(gm.get_submodule(have.target)):
            return False
    elif want.op != "get_attr" and want.target != have.target:
        return False
    found[want] = have
    pairs = ((want.args, have.args), (want.kwargs, have.kwargs))
    return all(_alike(a, b, found, gm, pattern) for a, b in pairs)


def _alike(a: Any, b: Any, found: dict[Node, Any], gm: Any, pattern: Any) -> bool:
    if isinstance(a, Node):
        return _matches(a, b, found, gm, pattern)
    if isinstance(a, (list, tuple)):
        return (
            isinstance(b, (list, tuple))
            and len(a) == len(b)
            and all(_alike(x, y, found, gm, pattern) for x, y in zip(a, b))
        )
    if isinstance(a, dict):
        if not isinstance(b, dict) or a.keys() != b.keys():
            return False
        return all(_alike(a[k], b[k], found, gm, pattern) for k in a)
    return bool(a == b) and not isinstance(b, Node)
