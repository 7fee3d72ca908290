"""Nested Python containers taken apart into a list of leaves and a description, and put together again.

Dictionaries keep the order of their keys; every type that is not a container is a leaf, None included.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = [
    "LeafSpec",
    "TreeSpec",
    "register_pytree_node",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_iter",
    "tree_leaves",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_structure",
    "tree_unflatten",
]


class TreeSpec:
    """What a nesting was: its type, what of it is no child (keys, a length), and its children's specs."""

    __slots__ = ("children_specs", "context", "num_leaves", "type")
    num_leaves: int

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]) -> None:
        self.type = type
        self.context = context
        self.children_specs = children_specs
        self.num_leaves = sum(child.num_leaves for child in children_specs) if type is not None else 1

    def is_leaf(self) -> bool:
        """Whether this describes a single value."""
        return self.type is None

    @property
    def num_children(self) -> int:
        """How many children the outermost container has."""
        return len(self.children_specs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        mine = (self.type, self.context, self.children_specs)
        return mine == (other.type, other.context, other.children_specs)

    def __hash__(self) -> int:
        return hash((self.type, self.num_leaves))

    def __repr__(self) -> str:
        if self.is_leaf():
            return "*"
        return f"TreeSpec({self.type.__name__}, {self.context}, {self.children_specs})"


def LeafSpec() -> TreeSpec:
    """The description of a single value."""
    return TreeSpec(None, None, [])


class _Node(NamedTuple):
    flatten: Callable[[Any], tuple[Iterable[Any], Any]]
    unflatten: Callable[[list[Any], Any], Any]

    @property
    def flatten_fn(self) -> Callable[[Any], tuple[Iterable[Any], Any]]:
        """An object's children, and the rest."""
        return self.flatten

    @property
    def unflatten_fn(self) -> Callable[[list[Any], Any], Any]:
        """An object from children and the rest."""
        return self.unflatten


PyTree = Any
_NODES: dict[Any, _Node] = {}
SUPPORTED_NODES = _NODES  # PyTorch's name


def register_pytree_node(
    cls: type,
    flatten_fn: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten_fn: Callable[[list[Any], Any], Any],
    **options: Any,
) -> None:
    """Makes a class a container.

    Args:
        flatten_fn: an object -> its children, and what else is needed to build it.
        unflatten_fn: children and that rest -> an object.
        **options: accepted without effect.
    """
    _NODES[cls] = _Node(flatten_fn, unflatten_fn)


def _by_key(kind: type) -> _Node:
    return _Node(
        lambda d: (list(d.values()), list(d)), lambda values, keys: kind(zip(keys, values, strict=True))
    )


_NODES[dict] = _by_key(dict)
_NODES[OrderedDict] = _by_key(OrderedDict)
_NODES[list] = _Node(lambda x: (x, None), lambda values, _: list(values))
_NODES[tuple] = _Node(lambda x: (x, None), lambda values, _: tuple(values))
_NODES[deque] = _Node(lambda x: (x, x.maxlen), lambda values, maxlen: deque(values, maxlen=maxlen))
_NODES[defaultdict] = _Node(
    lambda d: (list(d.values()), (d.default_factory, list(d))),
    lambda values, rest: defaultdict(rest[0], zip(rest[1], values, strict=True)),
)
_NAMED = _Node(lambda x: (x, type(x)), lambda values, kind: kind(*values))


_NODES[namedtuple] = _NAMED


def _get_node_type(tree: Any) -> Any:
    """The key of ``tree`` in ``SUPPORTED_NODES``, if it is a container."""
    kind, node = _node(tree)
    return namedtuple if node is _NAMED else kind if node is not None else type(tree)


def _node(tree: Any) -> tuple[Any, _Node | None]:
    kind = type(tree)
    if kind in _NODES:
        return kind, _NODES[kind]
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return kind, _NAMED
    return None, None


def _take(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> TreeSpec:
    kind, node = (None, None) if is_leaf is not None and is_leaf(tree) else _node(tree)
    if node is None:
        leaves.append(tree)
        return LeafSpec()
    children, context = node.flatten(tree)
    return TreeSpec(kind, context, [_take(child, leaves, is_leaf) for child in children])


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of nested containers in order, and what :func:`tree_unflatten` needs.

    >>> from ccdl.utils._pytree import tree_flatten, tree_unflatten
    >>> leaves, spec = tree_flatten({"a": [1, (2, 3)], "b": None})
    >>> leaves
    [1, 2, 3, None]
    >>> tree_unflatten([10 * (x or 0) for x in leaves], spec)
    {'a': [10, (20, 30)], 'b': 0}
    """
    leaves: list[Any] = []
    spec = _take(tree, leaves, is_leaf)
    return leaves, spec


def _build(leaves: Any, spec: TreeSpec) -> Any:
    if spec.is_leaf():
        return next(leaves)
    node = _NODES.get(spec.type, _NAMED)
    return node.unflatten([_build(leaves, child) for child in spec.children_specs], spec.context)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The containers that ``treespec`` describes, with these leaves.

    Raises:
        TypeError: ``treespec`` is no description of :func:`tree_flatten`.
        ValueError: another number of leaves than it describes.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"tree_unflatten: treespec must be a TreeSpec, not {type(treespec).__name__}")
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten: got {len(leaves)} leaves for {treespec.num_leaves} places")
    return _build(iter(leaves), treespec)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves alone."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """An iterator over the leaves."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The description alone."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """``func`` of each leaf (and of the leaves at the same places of ``rests``), in the same containers.

    Raises:
        ValueError: one of ``rests`` is built differently.
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [leaves]
    for rest in rests:
        other, its = tree_flatten(rest, is_leaf)
        if its != spec:
            raise ValueError(f"tree_map: the trees are built differently: {spec} and {its}")
        columns.append(other)
    return _build((func(*row) for row in zip(*columns, strict=True)), spec)


def tree_map_(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """Calls ``func`` on each leaf, for its effect, and gives ``tree`` back."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(
    type_or_types: Any, func: Any, tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """``func`` of each leaf of some types (or that a predicate accepts); the others stay."""
    wanted = (
        (lambda x: isinstance(x, type_or_types))
        if isinstance(type_or_types, (type, tuple))
        else type_or_types
    )
    return tree_map(lambda x: func(x) if wanted(x) else x, tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether ``pred`` holds for every leaf."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether ``pred`` holds for some leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


class MappingKey(NamedTuple):
    """The place of a leaf in a dictionary."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """What ``mapping`` holds there."""
        return mapping[self.key]


def _dict_flatten(d: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
    return list(d.values()), list(d.keys())


def _dict_flatten_with_keys(d: dict[Any, Any]) -> tuple[list[tuple[MappingKey, Any]], list[Any]]:
    values, keys = _dict_flatten(d)
    return [(MappingKey(k), v) for k, v in zip(keys, values, strict=True)], keys


def _dict_unflatten(values: Iterable[Any], context: list[Any]) -> dict[Any, Any]:
    return dict(zip(context, values, strict=True))


_register_pytree_node = register_pytree_node
