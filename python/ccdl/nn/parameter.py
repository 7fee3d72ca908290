"""Tensors that belong to a module: Parameter (trained) and Buffer (kept beside, not trained)."""

from __future__ import annotations

from typing import Any

from .. import _C

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]


class _ParameterMeta(type(_C.Tensor)):  # type: ignore[misc]
    """Instances of Parameter are also tensors of a class of the user's that were made one."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        return cls is Parameter and isinstance(instance, _C.Tensor) and getattr(instance, "_is_param", False)


class Parameter(_C.Tensor, metaclass=_ParameterMeta):
    """A tensor that a Module lists among its parameters when assigned as attribute.

    Shares memory with ``data`` but starts a new leaf: no history, ``requires_grad`` as given. Results of ops
    on it are plain tensors. A tensor of a class of your own keeps its class, and counts as a Parameter.

    Args:
        data: a Tensor (an empty one if left out).
        requires_grad: whether gradients are recorded; only floating dtypes may.

    >>> import ccdl
    >>> ccdl.nn.Parameter(ccdl.ones(2)).requires_grad
    True
    """

    __torch_function__ = _C._disabled_torch_function_impl

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = _C.empty(0)
        if not isinstance(data, _C.Tensor):
            raise TypeError(f"Parameter: data is {type(data).__name__}, must be a Tensor")
        if data.is_complex():
            from .._complex.parameter import parameter

            return parameter(data, bool(requires_grad))
        if cls is Parameter and _C._has_say(data) and not _C._batched_among([data]):
            own: Any = data.detach()
            own = own.requires_grad_(bool(requires_grad))
            if type(own) is not type(data):
                raise RuntimeError(
                    f"Parameter: detach() of a {type(data).__name__} gives a {type(own).__name__}; it must "
                    "keep the class, or the class have __torch_function__ = _disabled_torch_function_impl"
                )
            own.__dict__["_is_param"] = True
            return own
        return _C.Tensor._make_subclass(cls, data.detach(), bool(requires_grad))  # type: ignore[arg-type]

    def __deepcopy__(self, memo: Any) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = result
        if self.grad is not None:
            result.grad = self.grad.detach().clone()
        extra = dict(self.__dict__)
        if extra:
            import copy

            result.__dict__.update(copy.deepcopy(extra, memo))
        return result

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild_parameter, (type(self), self.detach(), self.requires_grad, dict(self.__dict__))

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + _C.Tensor.__repr__(self)


def _rebuild_parameter(cls, data, requires_grad, state):
    result = cls(data, requires_grad)
    result.__dict__.update(state)
    return result


class Buffer(_C.Tensor):
    """A tensor that a Module lists among its buffers when assigned as attribute.

    ``persistent=False`` keeps it out of ``state_dict``.

    >>> import ccdl
    >>> m = ccdl.nn.Module()
    >>> m.mean = ccdl.nn.Buffer(ccdl.zeros(2))
    >>> [name for name, _ in m.named_buffers()]
    ['mean']
    """

    persistent: bool
    __torch_function__ = _C._disabled_torch_function_impl

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = _C.empty(0)
        if data.is_complex():
            from .._complex.parameter import buffer

            return buffer(data, persistent)
        result: Any = _C.Tensor._make_subclass(cls, data.detach(), data.requires_grad)  # type: ignore[arg-type]
        result.persistent = persistent
        return result

    def __deepcopy__(self, memo: Any) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), persistent=self.persistent)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild_buffer, (self.detach(), self.persistent)


def _rebuild_buffer(data, persistent):
    return Buffer(data, persistent=persistent)


class UninitializedParameter(Parameter):
    """A parameter whose shape a lazy module fixes at its first call."""

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return Parameter.__new__(cls, _C.empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo: Any) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, str(self.device), self.dtype)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"<{type(self).__name__}>"

    def share_memory_(self) -> Any:
        """RuntimeError: there is no memory yet."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the "
            "parameters before calling `module.share_memory()`."
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Gives the parameter its shape (uninitialised values) and makes it an ordinary Parameter."""
        self.data = _C.empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = Parameter  # type: ignore[assignment]


class UninitializedBuffer(_C.Tensor):
    """A buffer whose shape a lazy module fixes at its first call."""

    persistent: bool
    __torch_function__ = _C._disabled_torch_function_impl

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Any:
        data = _C.empty(0, device=device, dtype=dtype)
        result: Any = _C.Tensor._make_subclass(cls, data, requires_grad)  # type: ignore[arg-type]
        result.persistent = persistent
        return result

    def __deepcopy__(self, memo: Any) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype, self.persistent)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, str(self.device), self.dtype, self.persistent)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"

    def share_memory_(self) -> Any:
        """RuntimeError: there is no memory yet."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the "
            "parameters before calling `module.share_memory()`."
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Gives the buffer its shape (uninitialised values) and makes it an ordinary Buffer."""
        self.data = _C.empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = Buffer  # type: ignore[assignment]


_C._plain_tensor_classes((Parameter, Buffer, UninitializedParameter, UninitializedBuffer))
