"""Loss scaling: float16 gradients below 6e-8 are zero, so the loss, and with it every gradient, is multiplied
by a large factor first and divided before the step.

The factor finds itself: it shrinks when a gradient overflowed (that step is skipped) and grows after a while
without. On a CUDA device nothing of this waits: scale, counter and flag are device numbers that the kernels
of the optimisers read.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import Any

from .. import _C

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """Where an optimiser is between two updates of the scale."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _refresh_per_optimizer_state() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler:
    """Scales losses, unscales gradients, skips steps whose gradients overflowed, and adapts the scale.

    Args:
        device: ``"cuda"`` or ``"cpu"``; with ``"cuda"`` and no device the scaler is disabled.
        init_scale: the scale to begin with.
        growth_factor: the scale grows by this factor after ``growth_interval`` updates in a row without
            infinite or NaN gradients, where it stays finite.
        backoff_factor: the scale shrinks by this factor when a gradient was infinite or NaN.
        growth_interval: see above.
        enabled: False turns every method into the plain thing, so that one training loop serves both.

    Source: Micikevicius et al., 2018 (dynamic loss scaling).

    >>> import ccdl, ccdl.nn as nn
    >>> model = nn.Linear(2, 1)
    >>> optimizer = ccdl.optim.SGD(model.parameters(), lr=0.1)
    >>> scaler = ccdl.amp.GradScaler("cpu", init_scale=1024.)
    >>> loss = model(ccdl.ones(1, 2)).square().mean()
    >>> scaler.scale(loss).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> scaler.get_scale()
    1024.0
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        self._enabled = enabled
        if device == "cuda" and enabled and _C._cuda_device_count() == 0:
            warnings.warn("GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker = 0
        # made by the first scale(), on the device of its argument
        self._scale: Any = None
        self._growth_tracker: Any = None
        self._per_optimizer_states: Any = defaultdict(_refresh_per_optimizer_state)

    def _check_scale_growth_tracker(self, funcname: str) -> tuple[Any, Any]:
        if self._scale is None or self._growth_tracker is None:
            raise AssertionError(
                f"Attempted {funcname} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale, self._growth_tracker

    def _make_scale(self, device: Any) -> None:
        if _C._cuda_graph_capturing():
            raise RuntimeError(
                "GradScaler.scale: the first call makes the scale and cannot be captured in a CUDA graph; "
                "run a step before the capture"
            )
        self._scale = _C.full((), float(self._init_scale), dtype=_C.float32, device=device)
        self._growth_tracker = _C.full((), int(self._init_growth_tracker), dtype=_C.int32, device=device)

    def scale(self, outputs: Any) -> Any:
        """``outputs``, a tensor or an iterable of tensors, times the scale; unchanged when disabled."""
        if not self._enabled:
            return outputs
        copies: dict[Any, Any] = {}

        def scaled(value: Any) -> Any:
            if isinstance(value, _C.Tensor):
                if self._scale is None:
                    self._make_scale(value.device)
                if value.device not in copies:
                    copies[value.device] = self._scale.to(value.device, non_blocking=True)
                return value * copies[value.device]
            if isinstance(value, Iterable):
                each = map(scaled, value)
                return type(value)(each) if isinstance(value, (list, tuple)) else each  # type: ignore[call-arg]
            raise ValueError("outputs must be a Tensor or an iterable of Tensors")

        return scaled(outputs)

    def _unscale_grads_(
        self, optimizer: Any, inv_scale: Any, found_inf: Any, allow_fp16: bool
    ) -> dict[Any, Any]:
        by_device: dict[Any, list[Any]] = {}
        for group in optimizer.param_groups:
            for param in group["params"]:
                if not isinstance(param, _C.Tensor):
                    raise AssertionError(f"expected param to be a Tensor, got {type(param).__name__}")
                grad = param.grad
                if grad is None:
                    continue
                if not allow_fp16 and grad.dtype == _C.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                by_device.setdefault(grad.device, []).append(grad)
        found = {}
        for device, grads in by_device.items():
            found[device] = found_inf.to(device, copy=True)
            inverse = inv_scale.to(device, non_blocking=True)
            _C._amp_foreach_non_finite_check_and_unscale_(grads, found[device], inverse)
        return found

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of the optimiser's parameters by the scale, for instance to clip them.

        At most once between two updates; :meth:`step` does it where it was not done.
        """
        if not self._enabled:
            return
        scale, _ = self._check_scale_growth_tracker("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = scale.double().reciprocal().float()
        found = _C.zeros((), dtype=_C.float32, device=scale.device)
        state["found_inf_per_device"] = self._unscale_grads_(optimizer, inverse, found, False)
        state["stage"] = OptState.UNSCALED

    def _maybe_opt_step(self, optimizer: Any, state: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if sum(found.item() for found in state["found_inf_per_device"].values()):
            return None
        return optimizer.step(*args, **kwargs)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Unscales the gradients where :meth:`unscale_` did not, then steps unless one is infinite or NaN.

        Returns what ``optimizer.step(*args, **kwargs)`` does; closures are refused. Optimisers that read the
        flag on the device step without waiting for it, others ask for it once.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_scale_growth_tracker("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        found = state["found_inf_per_device"]
        if not found:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        reads_flag = getattr(optimizer, "_reads_overflow_flag", bool)()  # ccdl's own
        if len(found) == 1 and (reads_flag or getattr(optimizer, "_step_supports_amp_scaling", False)):
            # grad_scale is None: the gradients are unscaled already
            optimizer.grad_scale, optimizer.found_inf = None, next(iter(found.values()))
            try:
                result = optimizer.step(*args, **kwargs)
            finally:
                del optimizer.grad_scale, optimizer.found_inf
        else:
            result = self._maybe_opt_step(optimizer, state, *args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale: Any = None) -> None:
        """Adapts the scale to what the steps since the last update found, or sets it to ``new_scale``."""
        if not self._enabled:
            return
        scale, tracker = self._check_scale_growth_tracker("update")
        if new_scale is not None:
            if isinstance(new_scale, _C.Tensor):
                if new_scale.device.type != self._device or new_scale.numel() != 1 or new_scale.requires_grad:
                    raise AssertionError(
                        "new_scale should be a float or a 1-element float tensor on the scaler's device with "
                        "requires_grad=False."
                    )
                scale.copy_(new_scale.reshape(()))
            else:
                scale.fill_(float(new_scale))
        else:
            found = [
                flag.to(scale.device, non_blocking=True)
                for state in self._per_optimizer_states.values()
                for flag in state["found_inf_per_device"].values()
            ]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            combined = found[0]
            for flag in found[1:]:
                combined = combined + flag
            _C._amp_update_scale_(
                scale, tracker, combined, self._growth_factor, self._backoff_factor, self._growth_interval
            )
        self._per_optimizer_states = defaultdict(_refresh_per_optimizer_state)

    def _get_scale_async(self) -> Any:
        return self._scale

    def get_scale(self) -> float:
        """The scale as a Python number, for which a CUDA device is waited for; 1.0 when disabled."""
        if not self._enabled:
            return 1.0
        return float(self._init_scale if self._scale is None else self._scale.item())

    def get_growth_factor(self) -> float:
        """By what the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets by what the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets by what the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many updates the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets after how many updates the scale grows."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return int(self._init_growth_tracker if self._growth_tracker is None else self._growth_tracker.item())

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and the count of updates without overflow; empty when disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what :meth:`state_dict` gave; nothing happens when disabled."""
        if not self._enabled:
            return
        if len(state_dict) == 0:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of "
                "GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if len(self._per_optimizer_states) != 0:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the "
                    "end after scaler.update()."
                )
            state["_init_scale"] = self.get_scale()
            state["_init_growth_tracker"] = self._get_growth_tracker()
            state["_scale"] = state["_growth_tracker"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _check_inf_per_device(self, optimizer: Any) -> dict[Any, Any]:
        scale, _ = self._check_scale_growth_tracker("_check_inf_per_device")
        one = _C.ones((), dtype=_C.float32, device=scale.device)
        state = self._per_optimizer_states[id(optimizer)]
        state["found_inf_per_device"] = self._unscale_grads_(optimizer, one, _C.zeros_like(one), True)
        return state["found_inf_per_device"]

    def _found_inf_per_device(self, optimizer: Any) -> dict[Any, Any]:
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
