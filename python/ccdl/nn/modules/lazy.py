"""Layers that learn their number of channels from the first input and then become the ordinary class."""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor
from ..parameter import UninitializedBuffer, UninitializedParameter
from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    _ConvNd,
)
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    _NormBase,
)

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyModuleMixin",
]


class LazyModuleMixin:
    """For modules of your own whose parameters take their shapes from the first input.

    Write ``class LazyThing(LazyModuleMixin, Thing)``, make its parameters :class:`UninitializedParameter`,
    and materialize them in ``initialize_parameters(*inputs)``, which the first call runs. The module then
    becomes ``cls_to_become``, where that is given.

    >>> import ccdl
    >>> from ccdl import nn
    >>> class LazyScale(nn.modules.lazy.LazyModuleMixin, nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.UninitializedParameter()
    ...     def initialize_parameters(self, x):
    ...         self.scale.materialize(x.shape[-1:])
    ...         nn.init.ones_(self.scale)
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> LazyScale()(ccdl.ones(1, 2)).shape
    ccdl.Size([1, 2])
    """

    cls_to_become: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        module: Any = self
        module._initialize_hook = module.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes and values, from the inputs of the first call."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        module: Any = self
        own = (*module._parameters.values(), *module._buffers.values())
        return any(isinstance(t, (UninitializedParameter, UninitializedBuffer)) for t in own)

    def _infer_parameters(self, module: Any, args: Any, kwargs: Any) -> None:
        module.initialize_parameters(*args, **kwargs)
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {type(module).__name__} has not been fully initialized")
        module._initialize_hook.remove()
        del module._initialize_hook
        if self.cls_to_become is not None:
            module.__class__ = self.cls_to_become


class _LazyConv(_ConvNd):
    """Everything but the number of input channels is given."""

    cls_to_become: Any

    def _setup(self, out_channels: int, kernel_size: Any, bias: bool, groups: int, **options: Any) -> None:
        name = type(self).__name__
        if groups > 0 and out_channels % groups:
            raise ValueError(
                f"{name}: out_channels must be divisible by groups, got {out_channels} and {groups}"
            )
        place = {"device": options["device"], "dtype": options["dtype"]}
        options.setdefault("output_padding", 0)
        _ConvNd.__init__(self, groups, groups, kernel_size, groups=groups, bias=False, **options)
        self.in_channels = 0
        self.out_channels = out_channels
        self.weight = UninitializedParameter(**place)
        if bias:
            self.bias = UninitializedParameter(**place)

    def has_uninitialized_params(self) -> bool:
        """Whether the first input has not come yet."""
        return isinstance(self.weight, UninitializedParameter)

    def reset_parameters(self) -> None:
        """Draws new initial values once there are parameters."""
        if not self.has_uninitialized_params() and self.in_channels:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Fixes the shapes from an input."""
        if not self.has_uninitialized_params():
            return
        name, n = type(self).__name__, self._n
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(
                f"{name}: expected {n + 1}D (unbatched) or {n + 2}D (batched) input, got {tuple(input.shape)}"
            )
        self.in_channels = input.shape[-n - 1]
        if self.in_channels % self.groups:
            raise ValueError(
                f"{name}: in_channels must be divisible by groups, got {self.in_channels} and {self.groups}"
            )
        ends = (self.out_channels, self.in_channels // self.groups)
        if self._transposed:
            ends = (self.in_channels, self.out_channels // self.groups)
        weight: Any = self.weight
        weight.materialize((*ends, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def forward(self, input: Tensor, *args: Any) -> Tensor:
        self.initialize_parameters(input)
        if not self.in_channels:  # a state dict brought the weight
            shape = self.weight.shape
            self.in_channels = shape[0] if self.transposed else shape[1] * self.groups
        self.__class__ = self.cls_to_become  # type: ignore[assignment]
        return self.forward(input, *args)


class _LazyForward(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._setup(
            out_channels,
            kernel_size,
            bias,
            groups,
            stride=stride,
            padding=padding,
            dilation=dilation,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )


class _LazyTransposed(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._setup(
            out_channels,
            kernel_size,
            bias,
            groups,
            stride=stride,
            padding=padding,
            dilation=dilation,
            output_padding=output_padding,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )


class LazyConv1d(_LazyForward, Conv1d):
    """:class:`Conv1d` whose ``in_channels`` come from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyForward, Conv2d):
    """:class:`Conv2d` whose ``in_channels`` come from its first input.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.LazyConv2d(8, 3)
    >>> layer(ccdl.ones(1, 5, 6, 6)).shape, layer.in_channels, type(layer).__name__
    (ccdl.Size([1, 8, 4, 4]), 5, 'Conv2d')
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyForward, Conv3d):
    """:class:`Conv3d` whose ``in_channels`` come from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """:class:`ConvTranspose1d` whose ``in_channels`` come from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """:class:`ConvTranspose2d` whose ``in_channels`` come from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """:class:`ConvTranspose3d` whose ``in_channels`` come from its first input."""

    cls_to_become = ConvTranspose3d


class _LazyNorm(_NormBase):
    """Everything but the number of features is given."""

    cls_to_become: Any

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        _NormBase.__init__(self, 0, eps, momentum, False, False, device, dtype, False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**options)
            if bias:
                self.bias = UninitializedParameter(**options)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**options)
            self.running_var = UninitializedBuffer(**options)
            self.num_batches_tracked = _C.tensor(0, dtype=_C.int64, device=device)

    def has_uninitialized_params(self) -> bool:
        """Whether the first input has not come yet."""
        kinds = (UninitializedParameter, UninitializedBuffer)
        return isinstance(self.weight, kinds) or isinstance(self.running_mean, kinds)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, statistics reset, once there are any."""
        if self.num_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Fixes the shapes from an input."""
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        parts = [p for p in (self.weight, self.bias) if p is not None]
        if self.track_running_stats:
            parts += [self.running_mean, self.running_var]
        for part in parts:
            part.materialize((self.num_features,))
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        self.initialize_parameters(input)
        known = self.running_mean if self.weight is None else self.weight  # perhaps from a state dict
        if known is not None:
            self.num_features = known.shape[0]
        self.__class__ = self.cls_to_become  # type: ignore[assignment]
        return self.forward(input)


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """:class:`BatchNorm1d` whose ``num_features`` come from its first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """:class:`BatchNorm2d` whose ``num_features`` come from its first input.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.LazyBatchNorm2d()
    >>> layer(ccdl.ones(2, 3, 4, 4)).shape, layer.num_features
    (ccdl.Size([2, 3, 4, 4]), 3)
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """:class:`BatchNorm3d` whose ``num_features`` come from its first input."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """:class:`InstanceNorm1d` whose ``num_features`` come from its first (batched) input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """:class:`InstanceNorm2d` whose ``num_features`` come from its first (batched) input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """:class:`InstanceNorm3d` whose ``num_features`` come from its first (batched) input."""

    cls_to_become = InstanceNorm3d
