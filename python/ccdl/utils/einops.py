"""ccdl tensors in the einops package: its functions, and its layers as modules of ccdl.

``einops.rearrange``, ``reduce``, ``repeat``, ``pack``, ``unpack`` and ``einsum`` take ccdl tensors as soon
as :func:`register` has run; the first module made after einops was imported runs it. The layers stand here,
since ``einops.layers.torch`` holds PyTorch's: ``from ccdl.utils.einops import Rearrange``.
"""

from __future__ import annotations

import importlib
from typing import Any

from .. import _C

__all__ = ["register"]

_backend: Any = None


def register() -> Any:
    """Makes einops know ccdl tensors, once; returns the class it then uses.

    Raises:
        ModuleNotFoundError: einops is not installed.
    """
    global _backend
    backends = importlib.import_module("einops._backends")
    if _backend is None or not issubclass(_backend, backends.AbstractBackend):
        _backend = type("CcdlBackend", (_Operations, backends.AbstractBackend), {"framework_name": "ccdl"})
    return _backend


class _Operations:
    """What einops asks of a library."""

    def is_appropriate_type(self, tensor: Any) -> bool:
        return isinstance(tensor, _C.Tensor)

    def from_numpy(self, x: Any) -> Any:
        tensor = _C.from_numpy(x)
        return tensor.requires_grad_() if self.is_float_type(tensor) else tensor

    def to_numpy(self, x: Any) -> Any:
        return x.detach().cpu().numpy()

    def arange(self, start: int, stop: int) -> Any:
        return _C.arange(start, stop, dtype=_C.int64)

    def shape(self, x: Any) -> Any:
        return x.shape

    def reshape(self, x: Any, shape: Any) -> Any:
        return x.reshape(shape)

    def transpose(self, x: Any, axes: Any) -> Any:
        return x.permute(axes)

    def reduce(self, x: Any, operation: str, axes: Any) -> Any:
        axes = tuple(axes)
        if operation in ("min", "max"):
            return getattr(x, "a" + operation)(axes)
        if operation in ("sum", "mean"):
            return getattr(x, operation)(axes)
        if operation in ("prod", "any", "all"):
            for axis in sorted(axes, reverse=True):
                x = getattr(x, operation)(axis)
            return x
        raise NotImplementedError("Unknown reduction ", operation)

    def stack_on_zeroth_dimension(self, tensors: list[Any]) -> Any:
        return _C.stack(tensors)

    def add_axis(self, x: Any, new_position: int) -> Any:
        return x.unsqueeze(new_position)

    def add_axes(self, x: Any, n_axes: int, pos2len: dict[int, int]) -> Any:
        sizes = [-1] * n_axes
        for position, length in pos2len.items():
            x = x.unsqueeze(position)
            sizes[position] = length
        return x.expand(sizes)

    def tile(self, x: Any, repeats: Any) -> Any:
        return x.repeat(repeats)

    def concat(self, tensors: Any, axis: int) -> Any:
        return _C.cat(tensors, dim=axis)

    def is_float_type(self, x: Any) -> bool:
        return x.is_floating_point()

    def einsum(self, pattern: str, *x: Any) -> Any:
        from .. import einsum

        return einsum(pattern, *x)

    def layers(self) -> Any:
        from . import einops

        return einops


def _layer(name: str) -> Any:
    from .. import nn

    register()
    layers = importlib.import_module("einops.layers")
    if name == "EinMix":
        mixin = importlib.import_module("einops.layers._einmix")._EinmixMixin

        def create(self: Any, weight_shape: Any, weight_bound: Any, bias_shape: Any, bias_bound: Any) -> None:
            self.weight = nn.Parameter(_C.zeros(weight_shape).uniform_(-weight_bound, weight_bound))
            bias = None if bias_shape is None else _C.zeros(bias_shape).uniform_(-bias_bound, bias_bound)
            self.bias = None if bias is None else nn.Parameter(bias)

        def rearrange(self: Any, before: Any, before_sizes: Any, after: Any, after_sizes: Any) -> None:
            make = _layer("Rearrange")
            self.pre_rearrange = None if before is None else make(before, **before_sizes)
            self.post_rearrange = None if after is None else make(after, **after_sizes)

        def mix(self: Any, x: Any) -> Any:
            from .. import einsum

            x = x if self.pre_rearrange is None else self.pre_rearrange(x)
            y = einsum(self.einsum_pattern, x, self.weight)
            y = y if self.bias is None else y + self.bias
            return y if self.post_rearrange is None else self.post_rearrange(y)

        members = {"_create_parameters": create, "_create_rearrange_layers": rearrange, "forward": mix}
    else:
        mixin = getattr(layers, name + "Mixin")

        def forward(self: Any, x: Any) -> Any:
            return self._apply_recipe(x)

        members = {"forward": forward}
    made = type(name, (mixin, nn.Module), {**members, "__module__": __name__})
    globals()[name] = made
    return made


def __getattr__(name: str) -> Any:
    if name in ("EinMix", "Rearrange", "Reduce"):
        return _layer(name)
    raise AttributeError(f"module 'ccdl.utils.einops' has no attribute '{name}'")
