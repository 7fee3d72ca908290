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
        self.pad, self.scale, self.max_len = pad, math.sqrt(d_model), max_len
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
        """The state that decoding begins from; it stays as it is, later states are used up by ``step``."""
        _check("Seq2SeqTransformer", source)
        return _Decoding(*self._encode(source))

    def _encode(self, source):
        padding = source == self.pad
        x = self.position(self.source(source) * self.scale)
        return self.transformer.encoder(x, src_key_padding_mask=padding), padding

    def forward(self, source: Any, target: Any) -> Any:
        _check("Seq2SeqTransformer", source, target)
        memory, padding = self._encode(source)
        y = self.position(self.target(target) * self.scale)
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], y.device, y.dtype)
        y = self.transformer.decoder(
            y, memory, tgt_mask=mask, memory_key_padding_mask=padding, tgt_is_causal=True
        )
        return self.head(y)

    def step(self, tokens: Any, state: Any) -> Any:
        """Logits [N, V] of the token after ``tokens`` [N, L], and the state; no gradient.

        The state keeps the keys and values of the target so far and those of the source, so that a step
        costs what its own tokens cost.
        """
        previous = _C._set_grad_enabled(False)
        try:
            decoder = self.transformer.decoder
            if state.caches is None:
                state = state.begun(decoder.layers, self.max_len)
            past = len(state.caches[0]) if state.caches else 0
            y = self.position(self.target(tokens) * self.scale, past)
            for layer, cache, memory in zip(decoder.layers, state.caches, state.memory):
                y = _cached_layer(layer, y, cache, memory, state.seen)
            return self.head(y[:, -1:] if decoder.norm is None else decoder.norm(y[:, -1:]))[:, 0], state
        finally:
            _C._set_grad_enabled(previous)

    @staticmethod
    def reorder(state: Any, index: Any) -> Any:
        """The state with sequence ``index[i]`` in place i."""
        return state.reordered(index)


class _Decoding:
    """What decoding holds: the source's output until the first step, then per layer the keys and values of
    the source, and a cache of those of the target; ``padding`` [N, S] is True where the source is filled up.
    """

    def __init__(self, memory, padding, caches=None):
        self.memory, self.padding, self.caches = memory, padding, caches
        self.seen = ~padding.unsqueeze(1).unsqueeze(1)

    def begun(self, layers, max_len):
        memory = [
            (_heads(layer.multihead_attn, self.memory, 1), _heads(layer.multihead_attn, self.memory, 2))
            for layer in layers
        ]
        return _Decoding(memory, self.padding, [nn.KVCache(max_len) for _ in layers])

    def reordered(self, index):
        padding = self.padding.index_select(0, index)
        if self.caches is None:
            return _Decoding(self.memory.index_select(0, index), padding)
        memory = [tuple(x.index_select(0, index) for x in pair) for pair in self.memory]
        for cache in self.caches:
            cache.reorder(index)
        return _Decoding(memory, padding, self.caches)


def _heads(attention, x, part):
    """Queries (part 0), keys (1) or values (2) of x [N, L, E], as [N, H, L, D]."""
    rows = slice(part * attention.embed_dim, (part + 1) * attention.embed_dim)
    bias = attention.in_proj_bias
    y = nn.functional.linear(x, attention.in_proj_weight[rows], None if bias is None else bias[rows])
    return y.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)


def _attend(attention, x, keys, values, **sight):
    dropout = attention.dropout if attention.training else 0.0
    y = nn.functional.attention(_heads(attention, x, 0), keys, values, dropout_p=dropout, **sight)
    return attention.out_proj(y.transpose(1, 2).flatten(2))


def _cached_layer(layer, x, cache, memory, seen):
    """A decoder layer on new tokens x [N, L, E] behind those whose keys and values ``cache`` holds."""

    def own(y):
        keys, values = cache.append(_heads(layer.self_attn, y, 1), _heads(layer.self_attn, y, 2))
        y = _attend(
            layer.self_attn, y, keys, values, is_causal=True, causal_alignment="lower_right"
        )
        return layer.dropout1(y)

    def cross(y):
        return layer.dropout2(_attend(layer.multihead_attn, y, *memory, attn_mask=seen))

    if layer.norm_first:
        x = x + own(layer.norm1(x))
        x = x + cross(layer.norm2(x))
        return x + layer._feed_forward(layer.norm3(x), layer.dropout3)
    x = layer.norm1(x + own(x))
    x = layer.norm2(x + cross(x))
    return layer.norm3(x + layer._feed_forward(x, layer.dropout3))
