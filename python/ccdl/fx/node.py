"""One step of a traced program: what is called, with which arguments, and who uses the result."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .immutable_collections import immutable_dict, immutable_list

__all__ = ["Argument", "Node", "Target", "has_side_effect", "map_aggregate", "map_arg"]

Argument = Any
Target = Any

OPS = ("placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root")
_impure: set[Any] = {operator.setitem, setattr}


def has_side_effect(fn: Any) -> Any:
    """Marks a function as one whose calls stay when nobody uses their result; usable as a decorator."""
    _impure.add(fn)
    return fn


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """``a`` with ``fn`` applied to every leaf of its nested tuples, lists, dictionaries and slices."""
    if isinstance(a, tuple):
        parts = [map_aggregate(v, fn) for v in a]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return immutable_list(map_aggregate(v, fn) for v in a)
    if isinstance(a, dict):
        return immutable_dict((k, map_aggregate(v, fn)) for k, v in a.items())
    if isinstance(a, slice):
        return slice(*(map_aggregate(v, fn) for v in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """``a`` with ``fn`` applied to every :class:`Node` in it."""
    return map_aggregate(a, lambda v: fn(v) if isinstance(v, Node) else v)


def qualified_name(target: Any) -> str:
    """The dotted name of a function or method."""
    if isinstance(target, str):
        return target
    name = getattr(target, "__name__", None) or type(target).__name__
    module = getattr(target, "__module__", None)
    if module in (None, "builtins", "_operator"):
        return f"operator.{name}" if module == "_operator" else name
    return f"{module}.{name}"


class Node:
    """A step of a :class:`ccdl.fx.Graph`.

    ``op`` is one of ``placeholder`` (an input), ``get_attr`` (a parameter, buffer or other attribute of the
    module), ``call_function``, ``call_method``, ``call_module`` and ``output``; ``target`` the function, or
    the name of the input, attribute, method or submodule; ``args`` and ``kwargs`` hold other nodes where the
    values of other steps go. ``users`` are the nodes that use this one, ``meta`` is free for notes.

    >>> import ccdl.fx
    >>> graph = ccdl.fx.Graph()
    >>> x = graph.placeholder("x")
    >>> y = graph.call_function(ccdl.relu, (x,))
    >>> y.all_input_nodes, list(x.users), y.name
    ([x], [relu], 'relu')
    """

    def __init__(
        self,
        graph: Any,
        name: str,
        op: str,
        target: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        return_type: Any = None,
    ) -> None:
        if op not in OPS:
            raise AssertionError(f"fx.Node: op is {op!r}, must be one of {', '.join(OPS)}")
        if op == "call_function":
            if not callable(target):
                raise ValueError(f"fx.Node: target of call_function is {target!r}, must be callable")
        elif not isinstance(target, str):
            raise ValueError(f"fx.Node: target of {op} is {target!r}, must be a name")
        self.graph = graph
        self.name = name
        self.op = op
        self.target = target
        self.type = return_type
        self.meta: dict[str, Any] = {}
        self.users: dict[Node, None] = {}
        self._input_nodes: dict[Node, None] = {}
        self._erased = False
        self._prev: Node = self
        self._next: Node = self
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        self._set(args, kwargs or {})

    # --- place in the graph ---

    @property
    def next(self) -> Node:
        """The node after this one."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before this one."""
        return self._prev

    def prepend(self, x: Node) -> None:
        """Moves or puts ``x`` right before this node."""
        if x.graph is not self.graph:
            raise AssertionError("fx.Node.prepend: the nodes belong to different graphs")
        if x is self:
            return
        x._unlink()
        before = self._prev
        before._next, x._prev, x._next, self._prev = x, before, self, x

    def append(self, x: Node) -> None:
        """Moves or puts ``x`` right after this node."""
        self._next.prepend(x)

    def _unlink(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    _remove_from_list = _unlink

    # --- arguments ---

    def _set(self, args: Any, kwargs: Any) -> None:
        for old in self._input_nodes:
            old.users.pop(self, None)
        self._input_nodes = {}

        def note(n: Node) -> Node:
            self._input_nodes[n] = None
            n.users[self] = None
            return n

        self._args = map_arg(tuple(args), note)
        self._kwargs = map_arg(dict(kwargs), note)

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments; assign to change them."""
        return self._args

    @args.setter
    def args(self, a: tuple[Any, ...]) -> None:
        self._set(a, self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments; assign to change them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: dict[str, Any]) -> None:
        self._set(self._args, k)

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Any) -> None:
        """Replaces one positional argument."""
        args = list(self._args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Any) -> None:
        """Puts one positional argument before the one at ``idx``."""
        if not 0 <= idx <= len(self._args):
            raise AssertionError(f"fx.Node.insert_arg: idx is {idx}, must be between 0 and {len(self._args)}")
        self.args = (*self._args[:idx], arg, *self._args[idx:])

    def update_kwarg(self, key: str, arg: Any) -> None:
        """Replaces or adds one keyword argument."""
        self.kwargs = {**self._kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Uses ``new_input`` wherever ``old_input`` is an argument."""
        swap = lambda n: new_input if n is old_input else n
        self._set(map_arg(self._args, swap), map_arg(self._kwargs, swap))

    def replace_all_uses_with(
        self,
        replace_with: Node,
        delete_user_cb: Callable[[Node], bool] = lambda user: True,
        *,
        propagate_meta: bool = False,
    ) -> list[Node]:
        """Has the users of this node use another one; returns the users changed."""
        if propagate_meta:
            replace_with.meta.update(self.meta)
        changed = [user for user in list(self.users) if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    # --- questions ---

    @property
    def stack_trace(self) -> str | None:
        """Where the step came from, if the tracer noted it."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether the step must stay although nobody uses its result."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            name = getattr(self.target, "__name__", "")
            in_place = name.endswith("_") and not name.endswith("__")
            return self.target in _impure or in_place or name in ("_assert", "_assert_async")
        if self.op == "call_method":
            return str(self.target).endswith("_") and not str(self.target).endswith("__")
        if self.op == "call_module":
            owner = self.graph.owning_module
            if owner is None:
                return True
            found = owner.get_submodule(self.target)
            return bool(getattr(found, "_is_impure", False)) or bool(impure_random and found.training)
        return False

    def format_node(self, placeholder_names: Any = None, maybe_return_typename: Any = None) -> str | None:
        """One line about the step."""
        kind = "" if self.type is None else f": {getattr(self.type, '__name__', self.type)}"
        if self.op == "placeholder":
            text = f"%{self.name}{kind} : [num_users={len(self.users)}] = placeholder[target={self.target}]"
            return text if not self._args else f"{text}(default={self._args[0]!r})"
        if self.op == "output":
            return f"return {_shown(self._args[0]) if self._args else None}"
        head = f"%{self.name}{kind} : [num_users={len(self.users)}] = {self.op}"
        head += f"[target={qualified_name(self.target)}]"
        if self.op == "get_attr":
            return head
        return f"{head}(args = {_shown(self._args)}, kwargs = {_shown(self._kwargs)})"

    def _pretty_print_target(self, target: Any) -> str:
        return qualified_name(target)

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: Any) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        step: Node = self._next
        while step.op != "root" and step is not other:
            step = step._next
        return step is other


def _shown(a: Any) -> str:
    class Percent:
        def __init__(self, n: Any) -> None:
            self.n = n

        def __repr__(self) -> str:
            return f"%{self.n.name}"

    return repr(map_arg(a, Percent))
