"""Optimizer: parameter groups, per-parameter state, and their saving in PyTorch's format."""

from __future__ import annotations

import copy
import functools
import warnings
from collections import OrderedDict, defaultdict
from typing import Any

from .. import _C
from ..nn.modules.module import RemovableHandle
from ._overflow import correct_counts

__all__ = ["Optimizer"]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _add_hook(table, hook):
    handle = RemovableHandle(table)
    table[handle.id] = hook
    return handle


_step_pre_hooks: OrderedDict[int, Any] = OrderedDict()
_step_post_hooks: OrderedDict[int, Any] = OrderedDict()


def register_optimizer_step_pre_hook(hook: Any) -> Any:
    """``hook(optimizer, args, kwargs)`` before the step of every optimiser; returns a handle to remove it."""
    return _add_hook(_step_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Any) -> Any:
    """``hook(optimizer, args, kwargs)`` after the step of every optimiser; returns a handle to remove it."""
    return _add_hook(_step_post_hooks, hook)


def _step_in_rounds(self, step, args, kwargs):
    """A step where a group holds a parameter several times: no kernel may write one tensor twice at once."""
    groups = self.param_groups
    lists = [group["params"] for group in groups]
    rounds: list[list[list[Any]]] = []
    for i, params in enumerate(lists):
        times: dict[int, int] = defaultdict(int)
        for p in params:
            turn = times[id(p)]
            times[id(p)] += 1
            if turn == len(rounds):
                rounds.append([[] for _ in lists])
            rounds[turn][i].append(p)
    output = None
    try:
        for turn, parts in enumerate(rounds):
            for group, part in zip(groups, parts, strict=True):
                group["params"] = part
            if turn == 0:
                output = step(self, *args, **kwargs)  # the closure runs once
            else:
                step(self)
    finally:
        for group, params in zip(groups, lists, strict=True):
            group["params"] = params
    return output


def _with_hooks(step):
    """Runs step hooks around a subclass' ``step`` and without recording."""

    fused = step.__module__.startswith(__name__.rpartition(".")[0] + ".") and "LBFGS" not in step.__qualname__

    @functools.wraps(step)
    def wrapper(self, *args, **kwargs):
        own = self.__dict__  # an optimiser around another one may never have called Optimizer.__init__
        for hook in (*_step_pre_hooks.values(), *own.get("_optimizer_step_pre_hooks", {}).values()):
            result = hook(self, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"step pre-hook must return None or (new_args, new_kwargs), got {result}"
                    )
                args, kwargs = result
        if fused and own.get("_repeated"):
            output = _step_in_rounds(self, step, args, kwargs)
        else:
            output = step(self, *args, **kwargs)
        self._stepped = True
        for hook in (*own.get("_optimizer_step_post_hooks", {}).values(), *_step_post_hooks.values()):
            hook(self, args, kwargs)
        return output

    wrapper._has_hooks = True
    return wrapper


class Optimizer:
    """Base of optimisers.

    Args:
        params: tensors, (name, tensor) pairs, or dicts with a key ``params`` and options for that group.
        defaults: options of groups that do not give their own.

    Subclasses write ``step``; ``self.param_groups`` is a list of dicts, ``self.state`` maps each parameter to
    a dict.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not getattr(step, "_has_hooks", False):
            cls.step = _with_hooks(step)  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: Any) -> None:
        self.defaults = defaults
        self._make_hook_tables()
        if isinstance(params, _C.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        self.state: Any = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def _make_hook_tables(self):
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()
        self._optimizer_state_dict_pre_hooks = OrderedDict()
        self._optimizer_state_dict_post_hooks = OrderedDict()
        self._optimizer_load_state_dict_pre_hooks = OrderedDict()
        self._optimizer_load_state_dict_post_hooks = OrderedDict()

    def __getstate__(self) -> Any:
        correct_counts(self)
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    _host_state: tuple[str, ...] = ("step",)  # entries that stay on the CPU
    _stepped = False  # whether step() was called, for schedules
    _scheduled_step: Any = None  # what step() was when a schedule was made
    _generation = 0  # grows when the state is replaced: captured CUDA graphs hold its addresses

    def __setstate__(self, state: Any) -> None:
        self._generation += 1
        self.__dict__.pop("_skipped_steps", None)
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hook_tables()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"

    def register_step_pre_hook(self, hook: Any) -> Any:
        """``hook(optimizer, args, kwargs)`` before each step; may return new args and kwargs."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Any) -> Any:
        """``hook(optimizer, args, kwargs)`` after each step."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Any, prepend: bool = False) -> Any:
        """``hook(optimizer)`` before ``state_dict``."""
        return self._hook_with_order(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Any, prepend: bool = False) -> Any:
        """``hook(optimizer, state_dict)`` after ``state_dict``; may return another dict."""
        return self._hook_with_order(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Any, prepend: bool = False) -> Any:
        """``hook(optimizer, state_dict)`` before loading; may return another dict."""
        return self._hook_with_order(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Any, prepend: bool = False) -> Any:
        """``hook(optimizer)`` after loading."""
        return self._hook_with_order(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    @staticmethod
    def _hook_with_order(table, hook, prepend):
        handle = _add_hook(table, hook)
        if prepend:
            table.move_to_end(handle.id, last=False)
        return handle

    def add_param_group(self, param_group: Any) -> None:
        """Adds parameters with options of their own, for example a layer unfrozen later."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, _C.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but got a set")
        params = list(params)
        if params and all(isinstance(p, tuple) for p in params):
            param_group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        elif any(isinstance(p, tuple) for p in params):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        param_group["params"] = params
        for p in params:
            if not isinstance(p, _C.Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}"
                )
            if not self.defaults.get("differentiable", None) and not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            param_group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "in future, this will cause an error",
                stacklevel=3,
            )
            self._repeated = True
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops (or fills with zeros) the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                else:
                    p.grad = _C.zeros_like(p.grad)

    def step(self, closure: Any = None) -> Any:
        """One update; ``closure`` recomputes and returns the loss where given."""
        raise NotImplementedError(f"{type(self).__name__} does not implement step")

    @staticmethod
    def _closure_loss(closure):
        if closure is None:
            return None
        if not callable(closure):
            raise TypeError(f"step: closure is {type(closure).__name__}, must be callable")
        previous = _C._set_grad_enabled(True)
        try:
            return closure()
        finally:
            _C._set_grad_enabled(previous)

    # --- state ---

    def state_dict(self) -> Any:
        """``{"state": {index: {...}}, "param_groups": [{options, "params": [indices]}]}``, as PyTorch has
        it.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        correct_counts(self)
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                index.setdefault(id(p), len(index))
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(index[id(k)] if isinstance(k, _C.Tensor) else k): v for k, v in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            replaced = hook(self, result)
            result = result if replaced is None else replaced
        return result

    def load_state_dict(self, state_dict: Any) -> None:
        """Takes what :meth:`state_dict` gave; group and parameter counts must agree.

        State tensors take their parameter's dtype and device, except counters under the key ``step``.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError(f"load_state_dict: state_dict is {type(state_dict).__name__}, must be a dict")
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        saved = copy.deepcopy(state_dict["param_groups"])
        groups = self.param_groups
        if len(groups) != len(saved):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved)}, must be "
                f"{len(groups)}"
            )
        for i, (mine, theirs) in enumerate(zip(groups, saved)):
            if len(mine["params"]) != len(theirs["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group: "
                    f"group {i} has {len(theirs['params'])} parameters, must have {len(mine['params'])}"
                )
        by_index: dict[int, Any] = {}
        for mine, theirs in zip(groups, saved):
            by_index.update(zip(theirs["params"], mine["params"]))
        state: Any = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_index:
                param = by_index[key]
                state[param] = self._cast_state(param, value)
            else:
                state[key] = value
        new_groups = []
        for mine, theirs in zip(groups, saved):
            theirs["params"] = mine["params"]
            if "param_names" in mine and "param_names" not in theirs:
                theirs["param_names"] = mine["param_names"]
            new_groups.append(theirs)
        self.__setstate__({"state": state, "param_groups": new_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _cast_state(self, param, value, key=None):
        if isinstance(value, _C.Tensor):
            if key in self._host_state:
                return value.detach().to("cpu", copy=True)
            if param.is_floating_point():
                return value.detach().to(dtype=param.dtype, device=param.device).clone()
            return value.detach().to(device=param.device).clone()
        if isinstance(value, dict):
            return {k: self._cast_state(param, v, k) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._cast_state(param, v) for v in value)
        return value


def _number(value):
    """Options may be 0-d tensors, as PyTorch allows for the learning rate."""
    return value.item() if isinstance(value, _C.Tensor) else value


def _checked_number(op, name, value):
    number = _number(value)
    if not isinstance(number, (int, float)):
        try:
            return float(number)
        except (TypeError, ValueError):
            raise TypeError(f"{op}: {name} is {type(value).__name__}, must be a number") from None
    return number


def _check_range(op, name, value, low, high=None, open_high=False):
    number = _checked_number(op, name, value)
    bad = not number >= low or (high is not None and (number >= high if open_high else number > high))
    if bad:
        raise ValueError(f"Invalid {name} value: {value} ({op})")


def _graph_scalars(optimizer, group, params, scalars=()):
    """Where the fused step finds lr, step count and further numbers while a CUDA graph is captured; empty
    outside.
    """
    if not _C._cuda_graph_capturing():
        return {}
    from ..cuda.graphs import _step_scalars

    return _step_scalars(optimizer, group, params, scalars)


def _scalar_dtype():
    """Dtype of the numbers in an optimiser's state."""
    return _C.float64 if _C.get_default_dtype() is _C.float64 else _C.float32


def _host_number(value):
    return _C.tensor(float(value), dtype=_scalar_dtype(), device="cpu")


def _check_rate(name, lr):
    """The learning rate as PyTorch checks it."""
    if isinstance(lr, _C.Tensor) and lr.numel() != 1:
        raise ValueError(f"Tensor lr must be 1-element, got {lr.numel()} elements ({name})")
    if not _checked_number(name, "lr", lr) >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr} ({name})")


def _check_not_negative(name, **options):
    for key, value in options.items():
        if not _checked_number(name, key, value) >= 0.0:
            key = "epsilon" if key == "eps" else key
            raise ValueError(f"Invalid {key} value: {value} ({name})")


def _check_betas(name, betas):
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise (ValueError if isinstance(betas, (tuple, list)) else TypeError)(
            f"{name}: betas is {betas!r}, must be a pair of numbers"
        )
    for i in range(2):
        if not 0.0 <= _checked_number(name, f"betas[{i}]", betas[i]) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]} ({name})")


def _check_fused(name, fused, foreach, differentiable):
    if fused and differentiable:
        raise RuntimeError(f"`fused` does not support `differentiable` ({name})")
    if fused and foreach:
        raise RuntimeError(f"`fused` and `foreach` cannot be `True` together ({name})")


def _check_state_exists(optimizer, exists):
    """State made during the capture of a CUDA graph would be made anew by every replay."""
    if not exists and _C._cuda_graph_capturing():
        raise RuntimeError(
            f"{type(optimizer).__name__}.step: the first step makes the optimizer's state and cannot be "
            "captured in a CUDA graph; run a step before the capture"
        )
