"""Seeds and states.

Random ops of every device draw from the one generator by the same counters: a program gives the same numbers
on CPU and GPU.
"""

from collections.abc import Iterable
from typing import Any

from .. import _C
from .devices import device_count

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed",
    "seed_all", "set_rng_state", "set_rng_state_all",
]  # fmt: skip


def manual_seed(seed: int) -> None:
    """Starts the generator's stream of this seed; without a device, accepted without effect."""
    if device_count():
        _C.manual_seed(seed)


manual_seed_all = manual_seed


def seed() -> None:
    """Starts a stream from the system's entropy; without a device, accepted without effect."""
    if device_count():
        _C.default_generator.seed()


seed_all = seed


def initial_seed() -> int:
    """The seed the generator's stream was started with."""
    return _C.initial_seed()


def get_rng_state(device: Any = "cuda") -> _C.Tensor:
    """Seed and position of the generator."""
    return _C.get_rng_state()


def get_rng_state_all() -> list[_C.Tensor]:
    """The state, once per device."""
    return [_C.get_rng_state() for _ in range(device_count())]


def set_rng_state(new_state: _C.Tensor, device: Any = "cuda") -> None:
    """Goes to a position that :func:`get_rng_state` gave."""
    _C.set_rng_state(new_state)


def set_rng_state_all(new_states: Iterable[_C.Tensor]) -> None:
    """Goes to the position of the first state: there is one generator."""
    for state in list(new_states)[:1]:
        _C.set_rng_state(state)
