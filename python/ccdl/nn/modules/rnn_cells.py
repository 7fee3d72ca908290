"""Single steps of recurrent layers: weights, equations and order of gates as in rnn.py."""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ..._C import Tensor
from .. import init
from ..parameter import Parameter
from .module import Module

__all__ = [
    "GRUCell",
    "LSTMCell",
    "PeepholeLSTMCell",
    "RNNCell",
    "RNNCellBase",
]


class RNNCellBase(Module):
    """What the single steps share: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(_C.empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(_C.empty((gates, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            if bias:
                setattr(self, name, Parameter(_C.empty(gates, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        self._extra_parameters(device, dtype)
        self.reset_parameters()

    def _extra_parameters(self, device: Any, dtype: Any) -> None:
        """For cells with more weights."""

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if not self.bias:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _zeros(self, input: Tensor) -> Tensor:
        return _C.zeros((*input.shape[:-1], self.hidden_size), dtype=input.dtype, device=input.device)

    def _check(self, input: Tensor, states: dict[str, Tensor]) -> None:
        name = type(self).__name__
        for what, value in {"input": input, **states}.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"{name}: {what} must be a Tensor, got {type(value).__name__}")
            if value.dim() not in (1, 2):
                raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {value.dim()}D instead")


class RNNCell(RNNCellBase):
    """One step of :class:`RNN`: (input [B, I], hx [B, H]) -> h' [B, H], or without the batch dimension.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.RNNCell(10, 20, nonlinearity="relu")(ccdl.ones(3, 10)).shape
    ccdl.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check(input, {} if hx is None else {"hidden": hx})
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"RNNCell: Unknown nonlinearity: {self.nonlinearity}")
        step = _C.rnn_tanh_cell if self.nonlinearity == "tanh" else _C.rnn_relu_cell
        state = self._zeros(input) if hx is None else hx
        return step(input, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`: (input [B, I], hx [B, H]) -> h' [B, H], or without the batch dimension.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.GRUCell(10, 20)(ccdl.ones(3, 10), ccdl.zeros(3, 20)).shape
    ccdl.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        reset_after: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)
        self.reset_after = reset_after

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check(input, {} if hx is None else {"hidden": hx})
        state = self._zeros(input) if hx is None else hx
        return _C.gru_cell(
            input,
            state,
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            reset_after=self.reset_after,
        )


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: (input [B, I], (h, c)) -> (h', c'), all [B, H], or without the batch
    dimension.

    >>> import ccdl, ccdl.nn as nn
    >>> h, c = nn.LSTMCell(10, 20)(ccdl.ones(3, 10))
    >>> h.shape, c.shape
    (ccdl.Size([3, 20]), ccdl.Size([3, 20]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def _step(self, input: Tensor, states: list[Tensor]) -> tuple[Tensor, Tensor]:
        return _C.lstm_cell(input, states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        states = [] if hx is None else list(hx)
        if hx is not None and (isinstance(hx, Tensor) or len(states) != 2):
            raise RuntimeError(f"{type(self).__name__}: hx must be a pair (h, c)")
        self._check(input, {f"hx[{i}]": h for i, h in enumerate(states)})
        if not states:
            zeros = self._zeros(input)
            states = [zeros, zeros]
        return self._step(input, states)


class PeepholeLSTMCell(LSTMCell):
    """One step of :class:`PeepholeLSTM`, with ``weight_ph`` [3, H].

    >>> import ccdl, ccdl.nn as nn
    >>> nn.PeepholeLSTMCell(10, 20)(ccdl.ones(3, 10))[1].shape
    ccdl.Size([3, 20])
    """

    def _extra_parameters(self, device: Any, dtype: Any) -> None:
        self.weight_ph = Parameter(_C.empty((3, self.hidden_size), device=device, dtype=dtype))

    def _step(self, input: Tensor, states: list[Tensor]) -> tuple[Tensor, Tensor]:
        return _C.peephole_lstm_cell(
            input, states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.weight_ph
        )
