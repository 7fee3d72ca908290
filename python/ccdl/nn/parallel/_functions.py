"""Steps between devices under PyTorch's names, made of recorded tensor operations."""

from __future__ import annotations

from typing import Any

from ... import _C, errors

__all__: list[str] = []


def _place(target: Any) -> Any:
    return _C.device("cuda", target) if isinstance(target, int) and target >= 0 else target


def _to(x: _C.Tensor, target: Any) -> _C.Tensor:
    return x if target is None or target == -1 else x.to(_place(target))


class Broadcast:
    """A copy of every tensor on every target."""

    @staticmethod
    def apply(target_gpus: Any, *inputs: _C.Tensor) -> tuple[_C.Tensor, ...]:
        """All tensors on the first target, then all on the second, and so on."""
        return tuple(_to(x, target) for target in target_gpus for x in inputs)


class ReduceAddCoalesced:
    """Sums over devices."""

    @staticmethod
    def apply(destination: Any, num_inputs: int, *grads: _C.Tensor) -> tuple[_C.Tensor, ...]:
        """Of ``grads``, each run of ``num_inputs`` tensors from one device: their sums on ``destination``."""
        if num_inputs < 1 or len(grads) % num_inputs:
            raise errors.ValueError(
                f"ReduceAddCoalesced: got {len(grads)} tensors, must be a multiple of num_inputs={num_inputs}"
            )
        sums = [_to(x, destination) for x in grads[:num_inputs]]
        for i, x in enumerate(grads[num_inputs:]):
            sums[i % num_inputs] = sums[i % num_inputs] + _to(x, destination)
        return tuple(sums)


class Gather:
    """Results of several devices, one after another on one."""

    @staticmethod
    def apply(target_device: Any, dim: int, *inputs: _C.Tensor) -> _C.Tensor:
        """The tensors joined along ``dim``; numbers (0-d tensors) become a vector."""
        placed = [_to(x, target_device) for x in inputs]
        if all(x.dim() == 0 for x in placed) and dim == 0:
            placed = [x.view(1) for x in placed]
        return _C.cat(placed, dim)


class Scatter:
    """A tensor in parts, one for each device."""

    @staticmethod
    def apply(target_gpus: Any, chunk_sizes: Any, dim: int, input: _C.Tensor) -> tuple[_C.Tensor, ...]:
        """Parts along ``dim``, of ``chunk_sizes`` or as equal as can be."""
        if chunk_sizes is not None:
            parts = input.split(list(chunk_sizes), dim)
        else:
            parts = input.chunk(len(target_gpus), dim)
        return tuple(_to(x, target) for x, target in zip(parts, target_gpus, strict=False))
