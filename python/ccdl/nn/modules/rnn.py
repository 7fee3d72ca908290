"""Recurrent layers over sequences; their single steps are in rnn_cells.py.

Weights and biases start uniform in +-1 / sqrt(hidden_size). Gate blocks stand in the order i f g o (LSTM)
and r z n (GRU) in every weight. All layers take [T, B, I] ([B, T, I] with ``batch_first``), one sequence
[T, I], or a :class:`ccdl.nn.utils.rnn.PackedSequence`, and return the states of every step and the last one
of every sequence.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ... import _C
from ..._C import Tensor
from ..._checks import check_count
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module
from .rnn_cells import GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell, RNNCellBase

__all__ = [
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RNN",
    "RNNBase",
    "RNNCell",
    "RNNCellBase",
]

_GATES = {"LSTM": 4, "PEEPHOLE_LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _positive(name: str, value: Any, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: {what} should be of type int, got: {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name}: {what} must be greater than zero, got {value}")


def _permuted(state: Tensor, order: Tensor | None) -> Tensor:
    return state if order is None else state.index_select(1, order)


class RNNBase(Module):
    """What the recurrent layers share: parameters ``weight_ih_l{k}``, ``weight_hh_l{k}``, ``bias_ih_l{k}``,
    ``bias_hh_l{k}``, with a projection ``weight_hr_l{k}``, each also with ``_reverse``.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if mode not in _GATES:
            raise ValueError(f"{name}: Unrecognized RNN mode: {mode}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                f"{name}: dropout should be a number in range [0, 1] representing the probability of an "
                f"element being zeroed, got {dropout!r}"
            )
        for what, flag in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name}: {what} should be of type bool, got: {type(flag).__name__}")
        _positive(name, input_size, "input_size")
        _positive(name, hidden_size, "hidden_size")
        _positive(name, num_layers, "num_layers")
        check_count(name, "num_layers", num_layers, 10_000)
        if proj_size < 0:
            raise ValueError(
                f"{name}: proj_size should be a positive integer or zero to disable projections, got "
                f"{proj_size}"
            )
        if proj_size >= hidden_size:
            raise ValueError(f"{name}: proj_size has to be smaller than hidden_size, got {proj_size}")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        self._make_parameters(device, dtype)
        self.reset_parameters()

    def _make_parameters(self, device: Any, dtype: Any) -> None:
        gates = _GATES[self.mode] * self.hidden_size
        state = self.proj_size or self.hidden_size
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            features = self.input_size if layer == 0 else state * directions
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, features), "weight_hh": (gates, state)}
            if self.bias:
                shapes.update(bias_ih=(gates,), bias_hh=(gates,))
            if self.proj_size:
                shapes["weight_hr"] = (self.proj_size, self.hidden_size)
            if self.mode == "PEEPHOLE_LSTM":
                shapes["weight_ph"] = (3, self.hidden_size)
            for suffix in ("", "_reverse")[:directions]:
                names = {f"{key}_l{layer}{suffix}": shape for key, shape in shapes.items()}
                for key, shape in names.items():
                    setattr(self, key, Parameter(_C.empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(list(names))

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: the weights are packed by every call."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights of every layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        own = self._parameters
        return [own[n] if n in own else getattr(self, n) for names in self._all_weights for n in names]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if not self.bias:
            text += f", bias={self.bias}"
        if self.batch_first:
            text += f", batch_first={self.batch_first}"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.bidirectional:
            text += f", bidirectional={self.bidirectional}"
        return text

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raises unless input fits the layer's dtype, rank and input_size."""
        weight = self._flat_weights[0]
        if input.dtype != weight.dtype and not _C.is_autocast_enabled(input.device.type):
            raise ValueError(
                f"{type(self).__name__}: RNN input dtype ({input.dtype}) does not match weight dtype "
                f"({weight.dtype}). Convert input: input.to({weight.dtype}), or convert model: "
                f"model.to({input.dtype})"
            )
        rank = 3 if batch_sizes is None else 2
        if input.dim() != rank:
            raise RuntimeError(f"{type(self).__name__}: input must have {rank} dimensions, got {input.dim()}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.shape[-1]}"
            )

    def _expected_size(self, input: Tensor, batch_sizes: Tensor | None, size: int) -> tuple[int, int, int]:
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.shape[0 if self.batch_first else 1]
        return (self.num_layers * (2 if self.bidirectional else 1), batch, size)

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """Shape of the hidden state for this input."""
        return self._expected_size(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(
        self,
        hx: Tensor,
        expected_hidden_size: tuple[int, int, int],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:
        """Raises unless hx has the expected shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            text = msg.format(tuple(expected_hidden_size), list(hx.shape))
            raise RuntimeError(f"{type(self).__name__}: {text}")

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raises unless input and states fit each other and the layer."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The states in another order of sequences."""
        if permutation is None or hx is None:
            return hx
        if isinstance(hx, tuple):
            return tuple(_permuted(h, permutation) for h in hx)
        return _permuted(hx, permutation)

    def _state(self, h: Any, batched: bool) -> Tensor:
        """An initial state with a batch dimension."""
        name = type(self).__name__
        if not isinstance(h, Tensor):
            raise TypeError(f"{name}: hx must be a Tensor, got {type(h).__name__}")
        rank = 3 if batched else 2
        if h.dim() != rank:
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(
                f"{name}: For {kind} input, hx should also be {rank}-D but got {h.dim()}-D tensor"
            )
        return h if batched else h.unsqueeze(1)

    def _states(self, hx: Any, batched: bool) -> Any:
        return self._state(hx, batched)

    def _call(self, *args: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward; use RNN, LSTM or GRU")

    def _forward(self, input: Any, hx: Any) -> tuple[Any, Any]:
        """(output, states): the shared course of all layers; states as the op returns them."""
        name = type(self).__name__
        weights = self._flat_weights
        options = (weights, self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        if isinstance(input, PackedSequence):
            data, batch_sizes, order, inverse = input
            if hx is not None:
                hx = self.permute_hidden(self._states(hx, True), order)
                self.check_forward_args(data, hx, batch_sizes)
            else:
                self.check_input(data, batch_sizes)
            output, states = self._call(data, batch_sizes, hx, *options)
            return PackedSequence(output, batch_sizes, order, inverse), self.permute_hidden(states, inverse)
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: input must be a Tensor or a PackedSequence, got {type(input).__name__}")
        if input.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        axis = 0 if self.batch_first else 1
        if not batched:
            input = input.unsqueeze(axis)
        if hx is not None:
            hx = self._states(hx, batched)
            self.check_forward_args(input, hx, None)
        else:
            self.check_input(input, None)
        output, states = self._call(input, hx, *options, self.batch_first)
        if not batched:
            output = output.squeeze(axis)
            states = tuple(s.squeeze(1) for s in states) if isinstance(states, tuple) else states.squeeze(1)
        return output, states


class RNN(RNNBase):
    """Vanilla recurrent layers: h_t = act(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), act tanh or relu.

    Args:
        input_size, hidden_size, num_layers: sizes; layer k > 0 reads the states of layer k - 1.
        nonlinearity: 'tanh' or 'relu'.
        bias: learn b_ih and b_hh.
        batch_first: input and output [B, T, ...] instead of [T, B, ...] (states stay [L, B, H]).
        dropout: probability of dropping a state between layers, in training.
        bidirectional: a second set of weights reads each sequence backwards; states are concatenated.

    ``forward(input, h_0=None)`` returns output [T, B, D H] and h_n [L D, B, H], D the number of directions;
    h_0 is zeros by default. Source: Elman, Finding structure in time, 1990.

    Raises:
        ValueError, RuntimeError: input or h_0 of another rank, size or dtype than the layer's.

    >>> import ccdl, ccdl.nn as nn
    >>> rnn = nn.RNN(10, 20, num_layers=2)
    >>> output, h_n = rnn(ccdl.ones(5, 3, 10))
    >>> output.shape, h_n.shape
    (ccdl.Size([5, 3, 20]), ccdl.Size([2, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **unknown: Any,
    ) -> None:
        _no_projection("RNN", unknown)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )

    def _call(self, *args: Any) -> Any:
        return (_C.rnn_tanh if self.mode == "RNN_TANH" else _C.rnn_relu)(*args)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        return self._forward(input, hx)


def _no_projection(name: str, unknown: dict[str, Any]) -> None:
    if "proj_size" in unknown:
        raise ValueError(f"{name}: proj_size argument is only supported for LSTM, not RNN or GRU")
    if unknown:
        raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(unknown))}'")


class GRU(RNNBase):
    """Gated recurrent units:

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr),   z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r (W_hn h + b_hn)),  h' = (1 - z) n + z h

    with ``reset_after=False`` the form n = tanh(W_in x + b_in + W_hn (r h) + b_hn). Lectures that write
    h' = (1 - z) h + z n have the signs of all weights and biases of z turned.

    Arguments, inputs and outputs as :class:`RNN`. Source: Cho et al., Learning phrase representations using
    RNN encoder-decoder, 2014.

    >>> import ccdl, ccdl.nn as nn
    >>> output, h_n = nn.GRU(10, 20, bidirectional=True)(ccdl.ones(5, 3, 10))
    >>> output.shape, h_n.shape
    (ccdl.Size([5, 3, 40]), ccdl.Size([2, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        reset_after: bool = True,
        **unknown: Any,
    ) -> None:
        _no_projection("GRU", unknown)
        self.reset_after = reset_after
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )

    def _call(self, *args: Any) -> Any:
        gru: Any = _C.gru
        return gru(*args, reset_after=self.reset_after)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        return self._forward(input, hx)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")


class LSTM(RNNBase):
    """Long short-term memory:

        i, f, o = sigmoid(W_i. x + b_i. + W_h. h + b_h.),   g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        c' = f c + i g,   h' = o tanh(c'),   with ``proj_size`` h' = W_hr (o tanh(c'))

    Arguments as :class:`RNN` (without ``nonlinearity``) and ``proj_size``, the size P of a projected state,
    smaller than hidden_size; 0 for none. ``forward(input, (h_0, c_0)=None)`` returns output [T, B, D P] and
    (h_n, c_n) of [L D, B, P] and [L D, B, H] (P = H without a projection). Sources: Hochreiter & Schmidhuber,
    1997; Sak et al., 2014 (projections).

    >>> import ccdl, ccdl.nn as nn
    >>> output, (h_n, c_n) = nn.LSTM(10, 20, 2)(ccdl.ones(5, 3, 10))
    >>> output.shape, c_n.shape
    (ccdl.Size([5, 3, 20]), ccdl.Size([2, 3, 20]))
    """

    _mode = "LSTM"
    _function = staticmethod(_C.lstm)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            self._mode,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """Shape of the cell state for this input."""
        return self._expected_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        self.check_input(input, batch_sizes)
        self.check_hidden_size(
            hidden[0], self.get_expected_hidden_size(input, batch_sizes), "Expected hidden[0] size {}, got {}"
        )
        self.check_hidden_size(
            hidden[1], self.get_expected_cell_size(input, batch_sizes), "Expected hidden[1] size {}, got {}"
        )

    def _states(self, hx: Any, batched: bool) -> Any:
        if isinstance(hx, Tensor) or len(hx) != 2:
            raise RuntimeError(
                f"{type(self).__name__}: hx must be a pair (h_0, c_0), got "
                f"{'a tensor' if isinstance(hx, Tensor) else f'{len(hx)} values'}"
            )
        return tuple(self._state(h, batched) for h in hx)

    def _call(self, *args: Any) -> Any:
        output, h, c = self._function(*args)
        return output, (h, c)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        return self._forward(input, hx)


class PeepholeLSTM(LSTM):
    """LSTM whose gates also see the cell: i and f the previous one, o the new one,

        i = sigmoid(... + p_i c),   f = sigmoid(... + p_f c),   o = sigmoid(... + p_o c')

    everything else as :class:`LSTM`. ``weight_ph_l{k}`` is [3, H], rows p_i, p_f, p_o (one weight per unit).
    Source: Gers & Schmidhuber, Recurrent nets that time and count, 2000.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.PeepholeLSTM(10, 20)
    >>> layer(ccdl.ones(5, 3, 10))[0].shape, layer.weight_ph_l0.shape
    (ccdl.Size([5, 3, 20]), ccdl.Size([3, 20]))
    """

    _mode = "PEEPHOLE_LSTM"
    _function = staticmethod(_C.peephole_lstm)
