"""Names of types that older scripted code imports from here; they are :mod:`typing`'s."""

import typing
from typing import Any, Optional, Union

__all__ = [
    "Any",
    "BroadcastingList1",
    "BroadcastingList2",
    "BroadcastingList3",
    "Dict",
    "List",
    "Optional",
    "Tuple",
    "Union",
]

Dict, List, Tuple = (getattr(typing, name) for name in ("Dict", "List", "Tuple"))
BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = List  # or one value for all
