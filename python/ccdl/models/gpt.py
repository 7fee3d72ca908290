"""Decoder-only causal Transformer with a key-value cache.

x = token + position; x += attention(norm(x)); x += W_2 gelu(W_1 norm(x)); logits = W norm(x), W the token
table if tied. Source: 000; Radford et al., 2018 and 2019; rotary positions Su et al., 2021.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _C, nn
from .._checks import check_count
from ..errors import ShapeError
from ..nn import functional as F
from ..nn import init

__all__ = ["GPT"]


class _CausalAttention(nn.Module):
    def __init__(self, d_model: int, nhead: int, dropout: float, bias: bool, rotary: Any) -> None:
        super().__init__()
        self.nhead, self.p = nhead, dropout
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=bias)
        self.out = nn.Linear(d_model, d_model, bias=bias)
        self.rotary = rotary

    def forward(self, x: Any, cache: Any = None) -> Any:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.nhead, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        past = 0 if cache is None else len(cache)
        if self.rotary is not None:
            q, k = self.rotary(q, past), self.rotary(k, past)
        if cache is not None:
            k, v = cache.append(k, v)
        length, total = q.shape[2], k.shape[2]
        mask = None
        if past and length > 1:
            mask = _C.ones((length, total), dtype=_C.bool, device=x.device).tril(total - length)
        p = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, p, length > 1 and not past)
        return self.out(y.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    def __init__(
        self, d_model: int, nhead: int, hidden: int, dropout: float, bias: bool, rotary: Any
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(d_model, bias=bias)
        self.attention = _CausalAttention(d_model, nhead, dropout, bias, rotary)
        self.norm2 = nn.LayerNorm(d_model, bias=bias)
        self.linear1 = nn.Linear(d_model, hidden, bias=bias)
        self.linear2 = nn.Linear(hidden, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any, cache: Any = None) -> Any:
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return x + self.dropout(self.linear2(F.gelu(self.linear1(self.norm2(x)))))


class GPT(nn.Module):
    """Causal language model: int64 [N, L] -> logits [N, L, V]; the logits at i are of token i + 1.

    Args:
        vocab_size: V.
        max_len: longest sequence.
        d_model, nhead, num_layers: size, heads, blocks.
        dim_feedforward: 4 d_model if None.
        dropout: after embedding, attention and feed-forward.
        tied: the output layer is the token table.
        positions: "learned", "sinusoidal" or "rotary".
        bias: in all affine maps and normalisations.

    With ``caches = model.new_caches()``, ``model(tokens, caches)`` takes the new tokens only and gives the
    same logits as the whole sequence would.

    Raises:
        ShapeError: more than ``max_len`` positions.

    >>> import ccdl
    >>> model = ccdl.models.GPT(vocab_size=11, max_len=8, d_model=16, nhead=2, num_layers=2)
    >>> model(ccdl.zeros(3, 8, dtype=ccdl.int64)).shape
    ccdl.Size([3, 8, 11])
    """

    def __init__(
        self,
        vocab_size: int,
        max_len: int = 256,
        d_model: int = 128,
        nhead: int = 4,
        num_layers: int = 4,
        dim_feedforward: Any = None,
        dropout: float = 0.1,
        tied: bool = True,
        positions: str = "learned",
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_count("GPT", "num_layers", num_layers, 10_000)
        if nhead < 1 or d_model % nhead:
            raise ValueError(f"GPT: d_model ({d_model}) must be divisible by nhead ({nhead})")
        if positions not in ("learned", "sinusoidal", "rotary"):
            raise ValueError(
                f"GPT: positions is {positions!r}, must be 'learned', 'sinusoidal' or 'rotary'"
            )
        self.max_len = max_len
        self.token = nn.Embedding(vocab_size, d_model)
        self.position: Any = None
        rotary = None
        if positions == "learned":
            self.position = nn.LearnedPositionalEncoding(d_model, max_len, batch_first=True)
        elif positions == "sinusoidal":
            self.position = nn.SinusoidalPositionalEncoding(d_model, max_len, batch_first=True)
        else:
            rotary = nn.RotaryPositionalEncoding(d_model // nhead, max_len)
        self.dropout = nn.Dropout(dropout)
        hidden = 4 * d_model if dim_feedforward is None else dim_feedforward
        self.blocks = nn.ModuleList(
            [_Block(d_model, nhead, hidden, dropout, bias, rotary) for _ in range(num_layers)]
        )
        self.norm = nn.LayerNorm(d_model, bias=bias)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        if tied:
            self.head.weight = self.token.weight
        self._reset(num_layers)

    def _reset(self, num_layers):
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                init.normal_(module.weight, 0.0, 0.02)
                if getattr(module, "bias", None) is not None:
                    init.zeros_(module.bias)
        for block in self.blocks:  # what is added to the shortcut, scaled by the number of additions
            for layer in (block.attention.out, block.linear2):
                init.normal_(layer.weight, 0.0, 0.02 / math.sqrt(2 * num_layers))

    def new_caches(self) -> list[Any]:
        """Empty key-value caches, one per block."""
        return [nn.KVCache(self.max_len) for _ in self.blocks]

    def forward(self, tokens: Any, caches: Any = None) -> Any:
        if tokens.dim() != 2:
            raise ShapeError(f"GPT: tokens is {list(tokens.shape)}, must be [N, L]")
        past = 0 if caches is None else len(caches[0])
        if past + tokens.shape[1] > self.max_len:
            raise ShapeError(
                f"GPT: {past + tokens.shape[1]} positions are asked for, max_len is {self.max_len}"
            )
        x = self.token(tokens)
        if self.position is not None:
            x = self.position(x, past)
        x = self.dropout(x)
        for i, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[i])
        return self.head(self.norm(x))

    def step(self, tokens: Any, state: Any = None) -> Any:
        """Logits [N, V] of the token after ``tokens`` [N, L], and the caches to go on from; no gradient."""
        state = self.new_caches() if state is None else state
        previous = _C._set_grad_enabled(False)
        try:
            return self(tokens, state)[:, -1], state
        finally:
            _C._set_grad_enabled(previous)

    @staticmethod
    def reorder(state: Any, index: Any) -> Any:
        """The caches with sequence ``index[i]`` in place i."""
        for cache in state:
            cache.reorder(index)
        return state
