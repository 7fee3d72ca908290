"""Steps under a GradScaler on a CUDA device: the kernels read the flag that a gradient overflowed and leave
everything as it is then.

The host does not know whether a step was left out, so step counts in the state run on; a number on the device
counts the steps left out, kernels subtract it, and ``state_dict()`` corrects the counts.
"""

from __future__ import annotations

from typing import Any

from .. import _C


def device_flag(optimizer: Any, ready: bool = True) -> Any:
    """The flag for the kernels of this step, None when there is none, False when the step is to be left out.

    ``ready``: the kernels can follow the flag; otherwise, and on the CPU, it is looked at here.
    """
    found = getattr(optimizer, "found_inf", None)
    if found is None or (ready and found.is_cuda):
        return found
    return False if found.item() else None


def overflow_arguments(optimizer: Any, key: int, states: list[Any], found: Any) -> dict[str, Any]:
    """Keywords of the fused step for the parameters of group ``key`` that own ``states``."""
    table = optimizer.__dict__.setdefault("_skipped_steps", {})
    kept = table.get(key)
    if kept is not None and not (len(kept[0]) == len(states) and all(map(_same, kept[0], states))):
        _fold(*table.pop(key))
        kept = None
    if kept is None:
        if found is None:
            return {}
        if _C._cuda_graph_capturing():
            raise RuntimeError(
                f"{type(optimizer).__name__}.step: the first step under a GradScaler makes a counter and "
                "cannot be captured in a CUDA graph; run a step before the capture"
            )
        kept = table[key] = (list(states), _C.zeros((), dtype=_C.float32, device=found.device))
    return {"found_inf": found, "skipped": kept[1]}


def count_skipped(arguments: dict[str, Any]) -> None:
    """After the step: one more was left out where the flag is set."""
    if arguments.get("found_inf") is not None:
        arguments["skipped"].add_(arguments["found_inf"])


def correct_counts(optimizer: Any) -> None:
    """Makes the step counts of the state those of the steps that took place; waits for the device."""
    for states, skipped in optimizer.__dict__.get("_skipped_steps", {}).values():
        _fold(states, skipped)


def _same(a: Any, b: Any) -> bool:
    return a is b


def _fold(states: list[Any], skipped: Any) -> None:
    count = skipped.item()
    if count:
        for state in states:
            state["step"] -= count
        skipped.zero_()
