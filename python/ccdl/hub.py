"""PyTorch Hub's names: ccdl does not download code or weights, so calling them is an error saying what to do.

The names can be imported, as model code does at its top.
"""

from __future__ import annotations

import os
import re
from typing import Any, NoReturn
from urllib.parse import urlparse

from . import errors

__all__ = [
    "HASH_REGEX",
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "set_dir",
    "urlparse",
]

# How file names of weights end in the first digits of their SHA-256: resnet18-f37072fd.safetensors.
HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")

_directory: str | None = None


def _get_torch_home() -> str:
    return os.environ.get("CCDL_HOME", os.path.join(os.path.expanduser("~"), ".cache", "ccdl"))


def get_dir() -> str:
    """The folder for weights: set by :func:`set_dir`, else ``$CCDL_HOME/hub`` or ``~/.cache/ccdl/hub``."""
    return _directory if _directory is not None else os.path.join(_get_torch_home(), "hub")


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
