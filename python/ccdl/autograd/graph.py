"""Looking at the recorded graph."""

from __future__ import annotations

from typing import Any

__all__ = ["to_dot", "nodes"]


def nodes(tensor: Any) -> Any:
    """All graph nodes reachable from ``tensor.grad_fn``, each once, breadth first.

    >>> import ccdl
    >>> x = ccdl.ones(2, requires_grad=True)
    >>> len(ccdl.autograd.graph.nodes((x * 2).sum()))
    3
    """
    start = tensor.grad_fn
    if start is None:
        return []
    seen, order = {start}, [start]
    for node in order:
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                order.append(following)
    return order


def to_dot(tensor: Any) -> Any:
    """The graph as text for Graphviz' ``dot``: one box per node, edges from outputs to inputs.

    >>> import ccdl
    >>> x = ccdl.ones(2, requires_grad=True)
    >>> ccdl.autograd.graph.to_dot(x * 2).splitlines()[0]
    'digraph {'
    """
    order = nodes(tensor)
    number = {node: i for i, node in enumerate(order)}
    lines = ["digraph {", "  node [shape=box];"]
    for node, i in number.items():
        label = node.name() if callable(getattr(node, "name", None)) else type(node).__name__
        lines.append(f'  n{i} [label="{label}"];')
    for node, i in number.items():
        for following, _ in node.next_functions:
            if following is not None:
                lines.append(f"  n{i} -> n{number[following]};")
    return "\n".join([*lines, "}"])
