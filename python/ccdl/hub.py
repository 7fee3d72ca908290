"""PyTorch Hub's names: ccdl does not download code or weights, so calling them is an error saying what to do.

The names can be imported, as model code does at its top.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

from . import errors

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

_directory: str | None = None


def get_dir() -> str:
    """The folder for weights: set by :func:`set_dir`, else ``$CCDL_HOME/hub`` or ``~/.cache/ccdl/hub``."""
    home = os.environ.get("CCDL_HOME", os.path.join(os.path.expanduser("~"), ".cache", "ccdl"))
    return _directory if _directory is not None else os.path.join(home, "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Chooses the folder that :func:`get_dir` gives."""
    global _directory
    _directory = os.path.expanduser(os.fspath(d))


def _refuse(name: str, what: Any) -> NoReturn:
    raise errors.RuntimeError(
        f"hub.{name}: ccdl does not download code or weights (asked for {what!r}); build the model and load "
        "its weights from a safetensors file with ccdl.load(path)"
    )


def load_state_dict_from_url(url: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: nothing is downloaded."""
    _refuse("load_state_dict_from_url", url)


def download_url_to_file(url: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: nothing is downloaded."""
    _refuse("download_url_to_file", url)


def load(repo_or_dir: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: nothing is downloaded."""
    _refuse("load", repo_or_dir)


def list(github: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: nothing is downloaded."""
    _refuse("list", github)


def help(github: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: nothing is downloaded."""
    _refuse("help", github)
