"""TensorBoard event files: PyTorch's ``torch.utils.tensorboard``, through the library tensorboardX."""

from __future__ import annotations

from typing import Any

from .. import _C

try:
    from tensorboardX import SummaryWriter as _Writer
except ImportError as error:
    raise ImportError(
        "ccdl.utils.tensorboard: event files are written by tensorboardX; pip install tensorboardX"
    ) from error

__all__ = ["SummaryWriter"]


def _plain(value: Any) -> Any:
    """Tensors as NumPy arrays, inside lists and dicts too."""
    if isinstance(value, _C.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == _C.bfloat16 else value).numpy()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    return value


class SummaryWriter(_Writer):  # type: ignore[misc]
    """tensorboardX's writer, which also takes ccdl tensors: add_scalar, add_scalars, add_histogram,
    add_image, add_images, add_embedding (for the projector), add_text, add_figure,
    add_pr_curve, add_hparams, ..."""


def _taking_tensors(name: str) -> Any:
    method = getattr(_Writer, name)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *(_plain(a) for a in args), **{k: _plain(v) for k, v in kwargs.items()})

    call.__name__, call.__doc__ = name, method.__doc__
    return call


for _name in dir(_Writer):
    if _name.startswith("add_") and callable(getattr(_Writer, _name)) and _name != "add_graph":
        setattr(SummaryWriter, _name, _taking_tensors(_name))
del _name
