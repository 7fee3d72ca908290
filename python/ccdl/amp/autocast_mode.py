"""Regions of mixed precision. The switches and the lists of ops live in the library and hold per thread."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import _C
from ..errors import RuntimeError as CcdlRuntimeError

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Whether :class:`autocast` knows this device type: ``"cpu"`` and ``"cuda"``."""
    return device_type in ("cpu", "cuda")


def autocast_decorator(autocast_instance: autocast, func: Callable[..., Any]) -> Callable[..., Any]:
    """``func`` with every call inside ``autocast_instance``."""

    @functools.wraps(func)
    def decorate_autocast(*args: Any, **kwargs: Any) -> Any:
        with autocast_instance:
            return func(*args, **kwargs)

    return decorate_autocast


class autocast:
    """A region, or as a decorator a function, in which ops on ``device_type`` choose their dtype.

    Matrix products, linear layers, convolutions, attention and recurrent layers run in ``dtype`` whatever
    floating dtypes they get; ops that lose too much there (on CUDA exponentials, logarithms, powers, sums,
    softmax, norms and losses; on the CPU the losses and a few others) run in float32; all others as usual.
    float64 and integer tensors are left alone, as are in-place ops and calls with ``out=``. Casts are part of
    the graph: a float32 weight gets a float32 gradient. Run ``backward()`` outside the region.

    Regions nest, also of different device types; ``enabled=False`` makes an island. The state belongs to the
    thread.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``.
        dtype: float16 or bfloat16; by default float16 on CUDA and bfloat16 on the CPU.
        enabled: False leaves autocast inside the region.
        cache_enabled: keep the casts of float32 leaves (weights) until the outermost region ends. A weight
            that is written to meanwhile is cast anew.

    Source: Micikevicius et al., 2018; the lists of ops follow PyTorch's reference.

    >>> import ccdl
    >>> weight = ccdl.ones(2, 3, requires_grad=True)
    >>> with ccdl.autocast("cpu"):
    ...     y = ccdl.nn.functional.linear(ccdl.ones(1, 3), weight)
    >>> y.dtype
    ccdl.bfloat16
    >>> y.sum().backward(); weight.grad.dtype
    ccdl.float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise CcdlRuntimeError(
                f"User specified an unsupported autocast device_type '{device_type}'; use 'cpu' or 'cuda'"
            )
        self.device = device_type
        self.fast_dtype = _C.get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = _C.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if enabled and device_type == "cuda" and _C._cuda_device_count() == 0:
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in (_C.float16, _C.bfloat16):
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype {self.fast_dtype} is not supported."
                " Disabling autocast.\n"
                f"{device_type.upper()} Autocast only supports dtypes of ccdl.bfloat16, ccdl.float16 "
                "currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[tuple[bool, Any, bool]] = []

    def __enter__(self) -> autocast:
        kind = self.device
        self._before.append(
            (_C.is_autocast_enabled(kind), _C.get_autocast_dtype(kind), _C.is_autocast_cache_enabled())
        )
        _C.set_autocast_enabled(kind, bool(self._enabled))
        if self.fast_dtype in (_C.float16, _C.bfloat16):
            _C.set_autocast_dtype(kind, self.fast_dtype)
        _C.autocast_increment_nesting()
        _C.set_autocast_cache_enabled(bool(self._cache_enabled))
        return self

    def __exit__(self, *exception: Any) -> None:
        if _C.autocast_decrement_nesting() == 0:
            _C.clear_autocast_cache()
        enabled, dtype, cache = self._before.pop()
        _C.set_autocast_enabled(self.device, enabled)
        _C.set_autocast_dtype(self.device, dtype)
        _C.set_autocast_cache_enabled(cache)

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use "
                "autocast as a context manager? For example:\n    with ccdl.autocast(device_type=...):\n"
                "        output = model(input)"
            )
        return autocast_decorator(self, func)


def _cast(value: Any, device_type: str, dtype: Any) -> Any:
    """``value`` with every floating tensor in it (float64 apart) in ``dtype``."""
    if isinstance(value, _C.Tensor):
        eligible = (
            value.is_floating_point() and value.device.type == device_type and value.dtype != _C.float64
        )
        return value.to(dtype) if eligible else value
    if isinstance(value, (str, bytes)) or hasattr(value, "__array_interface__"):
        return value
    if isinstance(value, Mapping):
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, Iterable):
        items = (_cast(v, device_type, dtype) for v in value)
        return type(value)(items) if isinstance(value, (list, tuple)) else items  # type: ignore[call-arg]
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """Decorates ``forward`` of an :class:`ccdl.autograd.Function` for use under autocast.

    With ``cast_inputs`` the floating-point tensor arguments come in that dtype and the body runs outside
    autocast; without, it runs in the caller's state. No effect outside autocast regions.

    >>> import ccdl
    >>> class Square(ccdl.autograd.Function):
    ...     @staticmethod
    ...     @ccdl.amp.custom_fwd(device_type="cpu", cast_inputs=ccdl.float32)
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     @ccdl.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, dy):
    ...         return 2 * ctx.saved_tensors[0] * dy
    >>> with ccdl.autocast("cpu"):
    ...     y = Square.apply(ccdl.ones(2, dtype=ccdl.bfloat16))
    >>> y.dtype
    ccdl.float32
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        ctx._dtype = _C.get_autocast_dtype(device_type)
        inside = _C.is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = inside and cast_inputs is None
        if cast_inputs is None or not inside:
            return fwd(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            rest = _cast(args[1:], device_type, cast_inputs)
            return fwd(ctx, *rest, **_cast(kwargs, device_type, cast_inputs))

    return decorate_fwd


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """Decorates ``backward`` of an :class:`ccdl.autograd.Function`: it runs in the autocast state of its
    ``forward``, see :func:`custom_fwd`.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        with autocast(device_type=device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(*args, **kwargs)

    return decorate_bwd


# PyTorch's older names, one per device type.


def is_autocast_cpu_enabled() -> bool:
    """``is_autocast_enabled("cpu")``."""
    return _C.is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """``set_autocast_enabled("cpu", enabled)``."""
    _C.set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> Any:
    """``get_autocast_dtype("cpu")``."""
    return _C.get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """``set_autocast_dtype("cpu", dtype)``."""
    _C.set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> Any:
    """``get_autocast_dtype("cuda")``."""
    return _C.get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: Any) -> None:
    """``set_autocast_dtype("cuda", dtype)``."""
    _C.set_autocast_dtype("cuda", dtype)
