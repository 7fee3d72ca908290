"""Encoder-decoders: recurrent with and without Bahdanau's attention, and the Transformer.

Attention: s_t = f(s_{t-1}, y_{t-1}, c_t), c_t = sum_j alpha_tj h_j. Source: 000; Sutskever et al., 2014;
Bahdanau et al., 2014; Vaswani et al., 2017.

All take int64 source [N, S] and target [N, T], padded with ``pad``, and give the logits [N, T, V] of the
tokens after each target token. ``generate(model, start, n, state=model.start(source))`` translates.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _C, nn
from ..errors import ShapeError
from ..nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["Seq2Seq", "Seq2SeqTransformer"]


def _check(name, source, target=None):
    if source.dim() != 2 or not source.shape[1]:
        raise ShapeError(f"{name}: source is {list(source.shape)}, must be [N, S] with S >= 1")
    if target is not None and (target.dim() != 2 or target.shape[0] != source.shape[0]):
        raise ShapeError(f"{name}: target is {list(target.shape)}, must be [{source.shape[0]}, T]")


class Seq2Seq(nn.Module):
    """GRU encoder and GRU decoder.

    With ``attention`` the encoder is bidirectional and the decoder sees the context c_t of additive attention
    at every step; without, all it gets is the encoder's last state.

    Args:
        source_vocab, target_vocab: sizes of the vocabularies.
        embed_dim, hidden_size: sizes of embeddings and states.
        attention: use Bahdanau's attention.
        dropout: after the embeddings and before the output.
        pad: token that fills up the source.

    ``forward(source, target, need_weights=False)``; with weights also alpha [N, T, S].

    >>> import ccdl
    >>> model = ccdl.models.Seq2Seq(10, 12, 8, 16)
    >>> model(ccdl.ones(3, 5, dtype=ccdl.int64), ccdl.ones(3, 4, dtype=ccdl.int64)).shape
    ccdl.Size([3, 4, 12])
    """

    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        embed_dim: int = 64,
        hidden_size: int = 128,
        attention: bool = True,
        dropout: float = 0.0,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.pad = pad
        self.source = nn.Embedding(source_vocab, embed_dim)
        self.target = nn.Embedding(target_vocab, embed_dim)
        self.encoder = nn.GRU(embed_dim, hidden_size, batch_first=True, bidirectional=attention)
        self.dropout = nn.Dropout(dropout)
        self.attention: Any = None
        if attention:
            self.bridge = nn.Linear(hidden_size, hidden_size)
            self.attention = nn.AdditiveAttention(hidden_size, 2 * hidden_size, hidden_size)
            self.decoder: Any = nn.GRUCell(embed_dim + 2 * hidden_size, hidden_size)
            self.head = nn.Linear(embed_dim + 3 * hidden_size, target_vocab)
        else:
            self.decoder = nn.GRU(embed_dim, hidden_size, batch_first=True)
            self.head = nn.Linear(hidden_size, target_vocab)

    def start(self, source: Any) -> Any:
        """The state decoding begins from: (s, memory, projected memory, mask) with attention, else (s,)."""
        _check("Seq2Seq", source)
        padding = source == self.pad
        lengths = (~padding).sum(1).clamp(min=1)
        packed = pack_padded_sequence(
            self.dropout(self.source(source)), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        memory, last = self.encoder(packed)
        if self.attention is None:
            return (last[-1],)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=source.shape[1])
        return self.bridge(last[1]).tanh(), memory, self.attention.project(memory), padding

    def forward(self, source: Any, target: Any, need_weights: bool = False) -> Any:
        _check("Seq2Seq", source, target)
        logits, _, weights = self._decode(target, self.start(source))
        return (logits, weights) if need_weights else logits

    def _decode(self, target, state):
        y = self.dropout(self.target(target))
        if self.attention is None:
            h, s = self.decoder(y, state[0].unsqueeze(0).contiguous())
            return self.head(self.dropout(h)), (s[0],), None
        s, memory, projected, padding = state
        outputs, weights = [], []
        for previous in y.unbind(1):
            c, alpha = self.attention(s, memory, padding, projected)
            s = self.decoder(_C.cat([previous, c], 1), s)
            outputs.append(_C.cat([s, c, previous], 1))
            weights.append(alpha)
        logits = self.head(self.dropout(_C.stack(outputs, 1)))
        return logits, (s, memory, projected, padding), _C.stack(weights, 1)

    def step(self, tokens: Any, state: Any) -> Any:
        """Logits [N, V] of the token after ``tokens`` [N, L], and the state."""
        logits, state, _ = self._decode(tokens, state)
        return logits[:, -1], state

    @staticmethod
    def reorder(state: Any, index: Any) -> Any:
        """The state with sequence ``index[i]`` in place i."""
        return tuple(s.index_select(0, index) for s in state)


class Seq2SeqTransformer(nn.Module):
    """Transformer over tokens: embeddings times sqrt(d) plus sinusoidal positions, encoder, decoder, output.

    Args:
        source_vocab, target_vocab: sizes of the vocabularies.
        d_model, nhead, num_layers, dim_feedforward, dropout, norm_first: as for :class:`ccdl.nn.Transformer`.
        max_len: longest sequence.
        pad: token that fills up source and target.

    >>> import ccdl
    >>> model = ccdl.models.Seq2SeqTransformer(10, 12, d_model=16, nhead=2, num_layers=1, dim_feedforward=32)
    >>> model(ccdl.ones(3, 5, dtype=ccdl.int64), ccdl.ones(3, 4, dtype=ccdl.int64)).shape
    ccdl.Size([3, 4, 12])
    """

    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        d_model: int = 128,
        nhead: int = 4,
        num_layers: int = 2,
        dim_feedforward: int = 256,
        dropout: float = 0.1,
        max_len: int = 256,
        pad: int = 0,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        self.pad, self.scale = pad, math.sqrt(d_model)
        self.source = nn.Embedding(source_vocab, d_model)
        self.target = nn.Embedding(target_vocab, d_model)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, 0.0, 1 / self.scale)
        self.position = nn.SinusoidalPositionalEncoding(d_model, max_len, dropout, batch_first=True)
        self.transformer = nn.Transformer(
            d_model,
            nhead,
            num_layers,
            num_layers,
            dim_feedforward,
            dropout,
            batch_first=True,
            norm_first=norm_first,
        )
        self.head = nn.Linear(d_model, target_vocab)

    def start(self, source: Any) -> Any:
        """The state that decoding begins from: (memory, padding, no target yet)."""
        _check("Seq2SeqTransformer", source)
        padding = source == self.pad
        x = self.position(self.source(source) * self.scale)
        return self.transformer.encoder(x, src_key_padding_mask=padding), padding, None

    def forward(self, source: Any, target: Any) -> Any:
        _check("Seq2SeqTransformer", source, target)
        memory, padding, _ = self.start(source)
        return self._decode(target, memory, padding)

    def _decode(self, target, memory, padding):
        y = self.position(self.target(target) * self.scale)
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], y.device, y.dtype)
        y = self.transformer.decoder(
            y, memory, tgt_mask=mask, memory_key_padding_mask=padding, tgt_is_causal=True
        )
        return self.head(y)

    def step(self, tokens: Any, state: Any) -> Any:
        """Logits [N, V] of the token after ``tokens`` [N, L], and the state; runs over the target so far."""
        memory, padding, target = state
        target = tokens if target is None else _C.cat([target, tokens], 1)
        return self._decode(target, memory, padding)[:, -1], (memory, padding, target)

    @staticmethod
    def reorder(state: Any, index: Any) -> Any:
        """The state with sequence ``index[i]`` in place i."""
        return tuple(s.index_select(0, index) for s in state)
