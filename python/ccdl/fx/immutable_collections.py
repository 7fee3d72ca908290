"""Lists and dictionaries that cannot be written to: the arguments of a node change through the node only,
which keeps the record of who uses whom."""

from __future__ import annotations

from typing import Any

__all__ = ["immutable_dict", "immutable_list"]


def _refuse(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"'{type(self).__name__}' object does not support mutation ({name}): make a changed copy and "
            "assign it to node.args or node.kwargs"
        )

    method.__name__ = name
    return method


class immutable_list(list[Any]):
    """A list without the methods that change it."""

    def __reduce__(self) -> Any:
        return immutable_list, (list(self),)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))


class immutable_dict(dict[Any, Any]):
    """A dictionary without the methods that change it."""

    def __reduce__(self) -> Any:
        return immutable_dict, (dict(self),)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


_CHANGES = "__delitem__ __iadd__ __imul__ __setitem__ append clear extend insert pop remove reverse sort"
for _name in _CHANGES.split():
    setattr(immutable_list, _name, _refuse(_name))
for _name in "__delitem__ __ior__ __setitem__ clear pop popitem setdefault update".split():
    setattr(immutable_dict, _name, _refuse(_name))
