"""How ccdl was built and what it computes with."""

from __future__ import annotations

__all__ = ["parallel_info", "show"]


def show() -> str:
    """Version, instruction set and device kinds of this build, one per line.

    >>> import ccdl
    >>> "ccdl" in ccdl.__config__.show()
    True
    """
    import ccdl

    return (
        f"ccdl built with:\n  - version {ccdl.__version__}\n"
        f"  - CPU capability {ccdl.backends.cpu.get_cpu_capability()}\n"
        f"  - CUDA devices {ccdl.cuda.device_count()}\n"
    )


def parallel_info() -> str:
    """The number of threads."""
    from . import _C

    return f"ccdl parallel:\n  threads: {_C.get_num_threads()}\n"
