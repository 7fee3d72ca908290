"""The older name of ``hub.load_state_dict_from_url``: an error that says what to do."""

from __future__ import annotations

from typing import Any

from ..hub import load_state_dict_from_url

__all__ = ["load_url"]

load_url = load_state_dict_from_url


def __getattr__(name: str) -> Any:
    if name != "tqdm":
        raise AttributeError(f"module 'ccdl.utils.model_zoo' has no attribute '{name}'")
    from tqdm import tqdm

    return tqdm
