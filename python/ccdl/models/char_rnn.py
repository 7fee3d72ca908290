"""Recurrent language model: h_t = f(W_xh x_t + W_hh h_{t-1}), y_t = W_hy h_t, p(x_{t+1}) = softmax(y_t).

Source: 000, 001 (the letters of "hello").
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..errors import ShapeError
from ..nn import functional as F

__all__ = ["CharRNN"]

_CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class CharRNN(nn.Module):
    """Language model over characters (or any tokens): int64 [N, L] -> logits [N, L, V] and the state.

    Args:
        vocab_size: V.
        hidden_size: of the state.
        num_layers: recurrent layers one on the other.
        cell: "rnn" (tanh), "lstm" or "gru".
        embed_dim: size of the embedding; None feeds one-hot vectors, as 001 does.
        dropout: between layers and before the output.
        bias: of the recurrent layers and the output.

    ``forward(tokens, state=None)``; pass the state on for text that continues (truncated back-propagation
    through time: detach it with :meth:`detach`).

    >>> import ccdl
    >>> model = ccdl.models.CharRNN(vocab_size=4, hidden_size=3, cell="rnn", embed_dim=None)
    >>> logits, state = model(ccdl.tensor([[0, 1, 2, 2]]))
    >>> logits.shape
    ccdl.Size([1, 4, 4])
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 256,
        num_layers: int = 1,
        cell: str = "lstm",
        embed_dim: Any = 64,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if cell not in _CELLS:
            raise ValueError(f"CharRNN: cell is {cell!r}, must be one of {sorted(_CELLS)}")
        self.vocab_size = vocab_size
        self.embedding = None if embed_dim is None else nn.Embedding(vocab_size, embed_dim)
        self.rnn = _CELLS[cell](
            vocab_size if embed_dim is None else embed_dim,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size, bias=bias)

    def forward(self, tokens: Any, state: Any = None) -> tuple[Any, Any]:
        if tokens.dim() != 2:
            raise ShapeError(f"CharRNN: tokens is {list(tokens.shape)}, must be [N, L]")
        if self.embedding is None:
            x = F.one_hot(tokens, self.vocab_size).to(self.head.weight.dtype)
        else:
            x = self.embedding(tokens)
        y, state = self.rnn(x, state)
        return self.head(self.dropout(y)), state

    def step(self, tokens: Any, state: Any = None) -> tuple[Any, Any]:
        """Logits [N, V] of the token after ``tokens`` [N, L], and the state."""
        logits, state = self(tokens, state)
        return logits[:, -1], state

    @staticmethod
    def _each(state, f):
        return tuple(f(s) for s in state) if isinstance(state, tuple) else f(state)

    @classmethod
    def reorder(cls, state: Any, index: Any) -> Any:
        """The state with sequence ``index[i]`` in place i."""
        return cls._each(state, lambda s: s.index_select(1, index))

    @classmethod
    def detach(cls, state: Any) -> Any:
        """The state without its history."""
        return cls._each(state, lambda s: s.detach())
