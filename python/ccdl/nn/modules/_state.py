"""Saving and loading of a module's parameters and buffers as a flat dict: the part of Module behind
state_dict.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

from ... import _C
from ..parameter import Parameter, UninitializedBuffer, UninitializedParameter

_Tensor = _C.Tensor


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What ``load_state_dict`` could not match."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


def _shape(tensor):
    return f"{type(tensor.shape).__name__.lower()}({list(tensor.shape)})".replace("size(", "ccdl.Size(")


def _has_no_shape(tensor):
    """Whether it waits for the first input of a lazy module; state_dict shows it as what it is."""
    return isinstance(tensor, (UninitializedParameter, UninitializedBuffer))


def changed(param, fn):
    """``param`` over ``fn`` of its memory, its gradient likewise; a new object where it becomes complex."""
    values, grad = fn(param.detach()), param.grad
    if values.is_complex() != param.is_complex():
        param = Parameter(values, param.requires_grad)
        param.grad = None if grad is None else fn(grad.detach())
        return param
    param.data = values
    if grad is not None:
        param.grad.data = fn(grad.detach())
    return param


class StateMethods:
    """Methods of Module that turn the tree into a dict of dotted names and back."""

    _version: int
    _modules: dict[str, Any]
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _state_dict_pre_hooks: dict[int, Any]
    _state_dict_hooks: dict[int, Any]

    def get_extra_state(self) -> Any:
        """Override to add an entry of your own to ``state_dict``."""
        raise RuntimeError("get_extra_state: not overridden by this module")

    def set_extra_state(self, state: Any) -> Any:
        """Override to take back what :meth:`get_extra_state` gave."""
        raise RuntimeError("set_extra_state: not overridden by this module")

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """Puts this module's own parameters and buffers into ``destination``; children are visited apart."""
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if keep_vars or _has_no_shape(param) else param.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = (
                    buffer if keep_vars or _has_no_shape(buffer) else buffer.detach()
                )
        if type(self).get_extra_state is not StateMethods.get_extra_state:
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Name -> tensor of all parameters and persistent buffers; the tensors share memory with the module.

        ``keep_vars=True`` gives the parameters themselves instead of detached tensors.
        """
        if args:  # PyTorch's older positional form
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            replaced = hook(self, destination, prefix, local_metadata)
            if replaced is not None:
                destination = replaced
        return destination

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Copies this module's own entries of ``state_dict`` in; appends what does not fit to the three
        lists.
        """
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        persistent = {k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set}
        own = {k: v for k, v in [*self._parameters.items(), *persistent.items()] if v is not None}
        for name, target in own.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            value = state_dict[key]
            if not isinstance(value, _Tensor):
                error_msgs.append(
                    f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object '
                    f"from checkpoint but received {type(value)}"
                )
                continue
            lazy = (UninitializedParameter, UninitializedBuffer)
            if isinstance(target, lazy) and not isinstance(value, lazy):
                target.materialize(value.shape)
            if tuple(value.shape) != tuple(target.shape):
                error_msgs.append(
                    f"size mismatch for {key}: copying a param with shape {_shape(value)} from checkpoint, "
                    f"the shape in current model is {_shape(target)}."
                )
                continue
            self._take_value(name, target, value, assign)
        extra_key = prefix + "_extra_state"
        if type(self).set_extra_state is not StateMethods.set_extra_state:
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    name, *rest = key[len(prefix) :].split(".", 1)
                    if rest:
                        if self._modules.get(name) is None:
                            unexpected_keys.append(key)
                    elif name not in own:
                        unexpected_keys.append(key)

    def _take_value(self, name, target, value, assign):
        if not assign:
            previous = _C._set_grad_enabled(False)
            try:
                target.copy_(value)
            finally:
                _C._set_grad_enabled(previous)
        elif isinstance(target, Parameter):
            if not isinstance(value, Parameter):
                value = Parameter(value, requires_grad=target.requires_grad)
            else:
                value.requires_grad_(target.requires_grad)
            self._parameters[name] = value
        else:
            self._buffers[name] = value

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Copies parameters and buffers from ``state_dict``.

        Args:
            state_dict: mapping name -> tensor.
            strict: missing or unexpected names are errors.
            assign: take the given tensors themselves instead of copying their values.

        Returns:
            ``missing_keys`` and ``unexpected_keys``.

        Raises:
            RuntimeError: one error that lists every unexpected, missing and misshapen entry; shapes are an
                error also with ``strict=False``. Entries that fit have been copied by then.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)
        if metadata is not None:
            state_dict._metadata = metadata
        self._load_tree(state_dict, "", strict, assign, metadata, missing, unexpected, errors)
        if strict:
            if missing:
                errors.insert(
                    0, "Missing key(s) in state_dict: {}. ".format(", ".join(f'"{k}"' for k in missing))
                )
            if unexpected:
                errors.insert(
                    0, "Unexpected key(s) in state_dict: {}. ".format(", ".join(f'"{k}"' for k in unexpected))
                )
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(
                    type(self).__name__, "\n\t".join(errors)
                )
            )
        return _IncompatibleKeys(missing, unexpected)

    def _load_tree(self, state_dict, prefix, strict, assign, metadata, missing, unexpected, errors):
        local_metadata = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
        if assign:
            local_metadata["assign_to_params_buffers"] = True
        self._load_from_state_dict(state_dict, prefix, local_metadata, True, missing, unexpected, errors)
        for name, module in self._modules.items():
            if module is None:
                continue
            child_prefix = prefix + name + "."
            part = OrderedDict((k, v) for k, v in state_dict.items() if k.startswith(child_prefix))
            module._load_tree(part, child_prefix, strict, assign, metadata, missing, unexpected, errors)
        incompatible = _IncompatibleKeys(missing, unexpected)
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, incompatible) is not None:
                raise RuntimeError(
                    "a load_state_dict post-hook must edit the key lists in place and return None"
                )
