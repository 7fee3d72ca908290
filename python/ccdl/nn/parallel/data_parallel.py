"""The wrapper that spreads a batch over devices: here it runs the model where it lives."""

from __future__ import annotations

from typing import Any

from ... import errors
from ..modules.module import Module

__all__ = ["DataParallel", "data_parallel"]


class DataParallel(Module):
    """Runs ``module`` on the device its parameters live on: a batch is not split over devices.

    Parameters and the state dictionary carry the prefix ``module.``, as PyTorch's do, so that weights of
    wrapped models can be exchanged.

    >>> import ccdl
    >>> model = ccdl.nn.DataParallel(ccdl.nn.Linear(2, 1))
    >>> sorted(model.state_dict())
    ['module.bias', 'module.weight']
    >>> model(ccdl.ones(3, 2)).shape
    ccdl.Size([3, 1])
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        if device_ids is not None and len(set(map(str, device_ids))) > 1:
            raise errors.NotImplementedError(
                "DataParallel: splitting a batch over several devices is not implemented, got "
                f"device_ids={device_ids}; name one device"
            )
        self.dim = dim
        self.module = module
        self.device_ids = list(device_ids) if device_ids is not None else []
        self.output_device = output_device

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's result."""
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """``module(*inputs, **module_kwargs)``; see :class:`DataParallel`."""
    arguments = inputs if isinstance(inputs, tuple) else (inputs,) if inputs is not None else ()
    return DataParallel(module, device_ids, output_device, dim)(*arguments, **(module_kwargs or {}))
