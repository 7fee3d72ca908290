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


class _OwnVersion(TorchVersion):
    """ccdl's version as text; ordered against others as the version of PyTorch that it follows.

    Programs choose between an old and a new way by ``__version__ >= "1.5.0"``: ccdl has the new ones.
    """

    def __gt__(self, other: Any) -> bool:
        return _FOLLOWED > _followed(other)

    def __lt__(self, other: Any) -> bool:
        return _FOLLOWED < _followed(other)

    def __ge__(self, other: Any) -> bool:
        return _FOLLOWED >= _followed(other)

    def __le__(self, other: Any) -> bool:
        return _FOLLOWED <= _followed(other)

    __eq__ = str.__eq__
    __hash__ = str.__hash__


def _followed(version: Any) -> Any:
    return _FOLLOWED if isinstance(version, _OwnVersion) else version


_FOLLOWED = TorchVersion("2.13.0")
__version__ = _OwnVersion(_version)
