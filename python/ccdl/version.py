"""Version and build facts under PyTorch's names."""

from .torch_version import __version__

__all__ = ["__version__", "cuda", "debug", "git_version", "hip"]

cuda = None
hip = None
debug = False
git_version = "unknown"
