"""Versions of ccdl, Python and what they run on, for bug reports and the first lines of a training log."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from typing import NamedTuple

__all__ = ["SystemEnv", "get_env_info", "get_pip_packages", "get_pretty_env_info", "main"]

_PACKAGES = re.compile(r"ccdl|numpy|mypy|flake8|onnx|optree|triton|torch", re.IGNORECASE)


class SystemEnv(NamedTuple):
    """What :func:`get_env_info` found; None where it does not apply."""

    torch_version: str
    is_debug_build: str
    cuda_compiled_version: str | None
    os: str
    libc_version: str
    python_version: str
    python_platform: str
    is_cuda_available: str
    nvidia_gpu_models: str | None
    pip_packages: str
    cpu_info: str


def get_pip_packages() -> str:
    """``name==version`` of the installed packages that concern numerical work, one a line."""
    found = {
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in metadata.distributions()
        if distribution.metadata["Name"] and _PACKAGES.search(distribution.metadata["Name"])
    }
    return "\n".join(sorted(found))


def get_env_info() -> SystemEnv:
    """The versions as a named tuple.

    >>> from ccdl.utils.collect_env import get_env_info
    >>> import ccdl
    >>> get_env_info().torch_version == ccdl.__version__
    True
    """
    import ccdl

    on_cuda = ccdl.cuda.is_available()
    count = ccdl.cuda.device_count() if on_cuda else 0
    models = [f"GPU {i}: {ccdl.cuda.get_device_name(i)}" for i in range(count)]
    return SystemEnv(
        torch_version=str(ccdl.__version__),
        is_debug_build="False",
        cuda_compiled_version=ccdl.version.cuda,
        os=f"{platform.system()} {platform.release()} ({platform.machine()})",
        libc_version="-".join(platform.libc_ver()) or "N/A",
        python_version=f"{sys.version.splitlines()[0]} ({sys.maxsize.bit_length() + 1}-bit runtime)",
        python_platform=platform.platform(),
        is_cuda_available=str(on_cuda),
        nvidia_gpu_models="\n".join(models) or None,
        pip_packages=get_pip_packages(),
        cpu_info=f"{platform.machine()}, instruction set {ccdl.backends.cpu.get_cpu_capability()}",
    )


def get_pretty_env_info() -> str:
    """The versions as text, a line each."""
    env = get_env_info()
    head = (
        ("ccdl version", env.torch_version),
        ("Is debug build", env.is_debug_build),
        ("CUDA used to build ccdl", env.cuda_compiled_version),
        ("OS", env.os),
        ("Libc version", env.libc_version),
        ("Python version", env.python_version),
        ("Python platform", env.python_platform),
        ("Is CUDA available", env.is_cuda_available),
        ("GPU models and configuration", env.nvidia_gpu_models),
        ("CPU", env.cpu_info),
    )
    lines = [f"{name}: {'N/A' if value is None else value}" for name, value in head]
    lines += ["", "Versions of relevant libraries:"]
    return "\n".join(lines + [f"[pip3] {package}" for package in env.pip_packages.split("\n")])


def main() -> None:
    """Prints the versions."""
    print("Collecting environment information...")
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
