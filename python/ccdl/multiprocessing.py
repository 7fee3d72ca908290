"""Python's ``multiprocessing`` under PyTorch's name: tensors travel by pickling, their memory is copied."""

from __future__ import annotations

import multiprocessing
from multiprocessing import *  # noqa: F403
from typing import Any

__all__ = [
    *multiprocessing.__all__,
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
]


def get_all_sharing_strategies() -> set[str]:
    """``{"file_system"}``."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """``"file_system"``."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted without effect."""


def _call(fn: Any, rank: int, args: tuple[Any, ...]) -> None:
    fn(rank, *args)


def spawn(
    fn: Any,
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """Runs ``fn(i, *args)`` in ``nprocs`` processes. With ``join`` it waits for all; RuntimeError if one
    failed. Otherwise the list of processes comes back."""
    context: Any = multiprocessing.get_context(start_method)
    processes = [context.Process(target=_call, args=(fn, i, args), daemon=daemon) for i in range(nprocs)]
    for process in processes:
        process.start()
    if not join:
        return processes
    for process in processes:
        process.join()
    for i, process in enumerate(processes):
        if process.exitcode:
            raise RuntimeError(
                f"multiprocessing.spawn: process {i} terminated with exit code {process.exitcode}"
            )
    return None
