"""Versions that compare by number."""

from __future__ import annotations

import re
from typing import Any

from ._C import __version__ as _version

__all__ = ["TorchVersion"]


def _numbers(version: Any) -> tuple[int, ...]:
    if isinstance(version, (tuple, list)):
        return tuple(int(v) for v in version)
    numbers = re.match(r"\d+(?:\.\d+)*", str(version))
    if not numbers:
        raise ValueError(f"Invalid version: {version!r}")
    found = [int(v) for v in numbers.group().split(".")]
    while len(found) > 1 and found[-1] == 0:
        found.pop()
    return tuple(found)


class TorchVersion(str):
    """A version, equal to and ordered against strings and tuples of numbers.

    >>> from ccdl.torch_version import TorchVersion
    >>> TorchVersion("1.10.0") > "1.9", TorchVersion("1.10.0") >= (1, 10)
    (True, True)
    """

    def __gt__(self, other: Any) -> bool:
        return _numbers(self) > _numbers(other)

    def __lt__(self, other: Any) -> bool:
        return _numbers(self) < _numbers(other)

    def __ge__(self, other: Any) -> bool:
        return _numbers(self) >= _numbers(other)

    def __le__(self, other: Any) -> bool:
        return _numbers(self) <= _numbers(other)

    def __eq__(self, other: Any) -> bool:
        try:
            return _numbers(self) == _numbers(other)
        except ValueError:
            return str.__eq__(self, other)

    __hash__ = str.__hash__


__version__ = TorchVersion(_version)
