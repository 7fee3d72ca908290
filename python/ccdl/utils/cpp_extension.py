"""Names of PyTorch's builder of C++ and CUDA extensions, whose sources are written against PyTorch's headers.

The names can be imported, as code with a fallback in Python does at its top; building is an error. Operators
in C++ for ccdl are built with CMake against the folder that ``python -m ccdl --cmake-dir`` prints.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from typing import Any, NoReturn

from .. import errors

__all__ = [
    "BuildExtension",
    "CUDAExtension",
    "CppExtension",
    "SyclExtension",
    "get_default_build_root",
    "include_paths",
    "is_ninja_available",
    "library_paths",
    "load",
    "load_inline",
    "verify_ninja_availability",
]

# Folders of the compilers, which nothing here calls.
CUDA_HOME: str | None = None
ROCM_HOME: str | None = None
CUDNN_HOME: str | None = None
IS_HIP_EXTENSION = False
IS_WINDOWS = sys.platform == "win32"


def _refuse(call: str, name: object) -> NoReturn:
    raise errors.NotImplementedError(
        f"{call}({name!r}): ccdl does not build extensions written against PyTorch's headers; write the "
        "operator as an autograd.Function in Python, or in C++ against ccdl's headers with CMake (the folder "
        "that `python -m ccdl --cmake-dir` prints)"
    )


def load(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises NotImplementedError: see the module."""
    _refuse("load", name)


def load_inline(name: str, cpp_sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises NotImplementedError: see the module."""
    _refuse("load_inline", name)


def CppExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises NotImplementedError: see the module."""
    _refuse("CppExtension", name)


def CUDAExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises NotImplementedError: see the module."""
    _refuse("CUDAExtension", name)


def SyclExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises NotImplementedError: see the module."""
    _refuse("SyclExtension", name)


class BuildExtension:
    """The command of a ``setup.py``: making one is a NotImplementedError."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse("BuildExtension", "build_ext")

    @classmethod
    def with_options(cls, **options: Any) -> type[BuildExtension]:
        """The class itself, whatever the options."""
        return cls


def include_paths(device_type: str = "cpu", torch_include_dirs: bool = True) -> list[str]:
    """The folder of ccdl's C++ headers, where it is installed with them."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "include")
    return [folder] if torch_include_dirs and os.path.isdir(folder) else []


def library_paths(
    device_type: str = "cpu", torch_include_dirs: bool = True, cross_target_platform: str | None = None
) -> list[str]:
    """The folder of ccdl's library, where it is installed with it."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")
    return [folder] if torch_include_dirs and os.path.isdir(folder) else []


def is_ninja_available() -> bool:
    """Whether the ninja build tool is on the path."""
    return shutil.which("ninja") is not None


def verify_ninja_availability() -> None:
    """Raises RuntimeError where the ninja build tool is not on the path."""
    if not is_ninja_available():
        raise errors.RuntimeError("Ninja is required to load C++ extensions (pip install ninja to get it)")


def get_default_build_root() -> str:
    """Where extensions would be built: ``ccdl_extensions`` in the folder for temporary files."""
    return os.path.realpath(os.path.join(tempfile.gettempdir(), "ccdl_extensions"))
