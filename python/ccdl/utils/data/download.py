"""Fetching files of data sets: mirrors in turn, a hash that must match, nothing half-written."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["download", "file_hash"]


def file_hash(path: Any, kind: str = "sha256") -> str:
    """Hex digest of a file."""
    digest = hashlib.new(kind)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def download(
    urls: str | Sequence[str], path: Any, expected: str, kind: str = "sha256", timeout: float = 30.0
) -> Path:
    """Makes sure that ``path`` is the file with the hash ``expected``; returns the path.

    A file that is there and right is left alone. Otherwise the mirrors are tried in turn; what arrives is
    kept only if its hash is right, and moved into place at once.

    Args:
        urls: one address or several mirrors (http, https, file).
        path: where the file goes; missing folders are made.
        expected, kind: hex digest and its kind ('sha256', 'md5').
        timeout: seconds a mirror may stay silent.

    Raises:
        RuntimeError: no mirror gave the right file; the message lists what each of them said.
    """
    import urllib.request

    path = Path(path)
    if path.exists() and file_hash(path, kind) == expected:
        return path
    said = []
    path.parent.mkdir(parents=True, exist_ok=True)
    for url in [urls] if isinstance(urls, str) else urls:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
        try:
            digest = hashlib.new(kind)
            with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=timeout) as answer:
                for block in iter(lambda: answer.read(1 << 20), b""):
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() == expected:
                os.replace(temporary, path)
                return path
            said.append(f"{url}: {kind} is {digest.hexdigest()}, expected {expected}")
        except (OSError, ValueError) as error:
            said.append(f"{url}: {error}")
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
    raise RuntimeError(
        f"download: {path.name} could not be fetched ({'; '.join(said)}); put the file at {path} yourself, "
        "or try again when the network is there"
    )
