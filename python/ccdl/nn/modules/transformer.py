"""Transformer encoder, decoder and the two together.

Post-norm: y = norm(x + f(x)); pre-norm (``norm_first``): y = x + f(norm(x)), for f = attention, feed-forward.
Source: 000; Vaswani et al., 2017; pre-norm Xiong et al., 2020.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from ... import _C
from ..._C import Tensor
from ..._checks import check_count
from ...errors import DTypeError, ShapeError
from .. import functional as F
from .. import init
from .activation import GELU, ReLU
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


def _activation(activation):
    if not isinstance(activation, str):
        return activation
    if activation == "relu":
        return F.relu
    if activation == "gelu":
        return F.gelu
    raise RuntimeError(f"activation should be relu/gelu, not {activation}")


_get_activation_fn = _activation


def _get_clones(module, N):
    return ModuleList([copy.deepcopy(module) for _ in range(N)])


def _subsequent_mask(size, device=None, dtype=None):
    if dtype not in (None, _C.bool) and not _C.empty(0, dtype=dtype).is_floating_point():
        raise DTypeError(f"generate_square_subsequent_mask: dtype is {dtype}, which has no -inf")
    return _C.full((size, size), -math.inf, dtype=dtype, device=device).triu(1)


def _is_causal(mask, hint, time_dim, x):
    """The hint, or whether ``mask`` is the causal one; on a device that is not looked up: it would wait."""
    if hint is not None:
        return bool(hint)
    if mask is None or mask.is_cuda or mask.dim() != 2 or mask.shape[0] != mask.shape[1]:
        return False
    if mask.shape[0] != x.shape[time_dim]:
        return False
    if mask.dtype is _C.bool:
        wanted = _C.ones(mask.shape, dtype=_C.bool, device=mask.device).triu(1)
    else:
        wanted = _subsequent_mask(mask.shape[0], mask.device, mask.dtype)
    return bool((mask == wanted).all())


class _Layer(Module):
    """Feed-forward part shared by both kinds of layer."""

    def _feed_forward_parts(self, d_model, dim_feedforward, dropout, eps, bias, norms, factory):
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **factory)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **factory)
        for i in range(1, norms + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=eps, bias=bias, **factory))
        for i in range(1, norms + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))

    def _feed_forward(self, x, dropout):
        return dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("activation", F.relu)


class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward net, each with a shortcut and layer normalisation.

    Args:
        d_model, nhead: size of the input and number of heads.
        dim_feedforward: size between the two affine maps.
        dropout: of the attention weights, in the feed-forward net and of both results.
        activation: 'relu', 'gelu' or a function of one tensor.
        layer_norm_eps, bias: of the normalisations; bias also of all affine maps.
        batch_first: [N, L, E] instead of [L, N, E].
        norm_first: normalise before each part instead of after its shortcut.

    ``forward(src, src_mask, src_key_padding_mask, is_causal)``: masks as for :class:`MultiheadAttention`.

    Source: 000; Vaswani et al., 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> layer(ccdl.ones(3, 5, 8)).shape
    ccdl.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **factory
        )
        self._feed_forward_parts(d_model, dim_feedforward, dropout, layer_norm_eps, bias, 2, factory)
        self.norm_first = norm_first
        self.activation = _activation(activation)

    def forward(
        self, src: Tensor, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Tensor:
        x = src
        if self.norm_first:
            x = x + self._attend(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._feed_forward(self.norm2(x), self.dropout2)
        x = self.norm1(x + self._attend(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._feed_forward(x, self.dropout2))

    def _attend(self, x, mask, padding, causal):
        y = self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=causal
        )[0]
        return self.dropout1(y)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention over the encoder's output, feed-forward, each with a shortcut and
    normalisation.

    Arguments as for :class:`TransformerEncoderLayer`; ``forward(tgt, memory, tgt_mask, memory_mask,
    tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal, memory_is_causal)``.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(ccdl.ones(4, 3, 8), ccdl.ones(5, 3, 8)).shape
    ccdl.Size([4, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        for name in ("self_attn", "multihead_attn"):
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, batch_first=batch_first, bias=bias, **factory
            )
            setattr(self, name, attention)
        self._feed_forward_parts(d_model, dim_feedforward, dropout, layer_norm_eps, bias, 3, factory)
        self.norm_first = norm_first
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        x = tgt
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        cross = (memory_mask, memory_key_padding_mask, memory_is_causal)
        if self.norm_first:
            y = self.norm1(x)
            x = x + self.dropout1(self._attend(self.self_attn, y, y, *own))
            x = x + self.dropout2(self._attend(self.multihead_attn, self.norm2(x), memory, *cross))
            return x + self._feed_forward(self.norm3(x), self.dropout3)
        x = self.norm1(x + self.dropout1(self._attend(self.self_attn, x, x, *own)))
        x = self.norm2(x + self.dropout2(self._attend(self.multihead_attn, x, memory, *cross)))
        return self.norm3(x + self._feed_forward(x, self.dropout3))

    @staticmethod
    def _attend(attention, x, memory, mask, padding, causal):
        return attention(
            x,
            memory,
            memory,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=causal,
        )[0]


def _takes_nested(layer):
    """Whether PyTorch runs this layer on nested tensors in evaluation."""
    if not isinstance(layer, TransformerEncoderLayer):
        return False
    attention = layer.self_attn
    kind = layer.activation
    plain = kind in (F.relu, F.gelu) or isinstance(kind, (ReLU, GELU))
    same = attention._qkv_same_embed_dim and attention.in_proj_bias is not None
    even = attention.num_heads % 2 == 0 and layer.norm1.eps == layer.norm2.eps
    return plain and same and even and attention.batch_first and not layer.norm_first


class _Stack(Module):
    def __init__(self, layer, num_layers, norm):
        super().__init__()
        check_count(type(self).__name__, "num_layers", num_layers, 10_000)
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def _time_dim(self, x):
        attention = getattr(self.layers[0], "self_attn", None) if len(self.layers) else None
        return 1 if x.dim() == 3 and getattr(attention, "batch_first", False) else 0


class TransformerEncoder(_Stack):
    """``num_layers`` copies of ``encoder_layer`` one after the other, then ``norm``.

    Args:
        encoder_layer: copied with its present values.
        num_layers: of them.
        norm: a module applied at the end, or None.
        enable_nested_tensor: in evaluation without gradients, outputs at padded positions (at the end) are 0
            before ``norm``, as PyTorch's nested tensors leave them; elsewhere they are like all others.
        mask_check: accepted; whether the padding is at the end is always looked at.

    ``forward(src, mask, src_key_padding_mask, is_causal)``; ``is_causal=None`` looks whether ``mask`` is the
    causal mask, in which case masked scores are not computed.

    >>> import ccdl, ccdl.nn as nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), num_layers=2)
    >>> encoder(ccdl.ones(5, 3, 8)).shape
    ccdl.Size([5, 3, 8])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Any = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)
        self.enable_nested_tensor = enable_nested_tensor
        self.use_nested_tensor = enable_nested_tensor and _takes_nested(encoder_layer)
        self.mask_check = mask_check

    def forward(
        self, src: Tensor, mask: Any = None, src_key_padding_mask: Any = None, is_causal: Any = None
    ) -> Tensor:
        causal = _is_causal(mask, is_causal, self._time_dim(src), src)
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=causal, src_key_padding_mask=src_key_padding_mask)
        nested = getattr(self, "use_nested_tensor", False) and mask is None and src.dim() == 3
        if nested and src_key_padding_mask is not None and not self._has_gradient(src):
            x = self._zero_padding(x, src_key_padding_mask)
        return x if self.norm is None else self.norm(x)

    def _has_gradient(self, src):
        if self.training:
            return True
        needed = src.requires_grad or any(p.requires_grad for p in self.parameters())
        return needed and _C.is_grad_enabled()

    @staticmethod
    def _zero_padding(x, padding):
        """Zeros where ``padding`` says, if it is at every sequence's end; decided without a host wait."""
        padding = padding if padding.dtype is _C.bool else padding == -math.inf
        at_end = (padding[:, 1:] | ~padding[:, :-1]).all() & ~padding[:, :1].any()
        return x.masked_fill((padding & at_end).unsqueeze(2), 0.0)


class TransformerDecoder(_Stack):
    """``num_layers`` copies of ``decoder_layer`` one after the other, then ``norm``.

    >>> import ccdl, ccdl.nn as nn
    >>> decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), num_layers=2)
    >>> decoder(ccdl.ones(4, 3, 8), ccdl.ones(5, 3, 8)).shape
    ccdl.Size([4, 3, 8])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Any = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: Any = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        causal = _is_causal(tgt_mask, tgt_is_causal, self._time_dim(tgt), tgt)
        x = tgt
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """Encoder and decoder of "Attention is all you need"; matrices start Xavier-uniform.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias:
            as for :class:`TransformerEncoderLayer`.
        num_encoder_layers, num_decoder_layers: layers of either side, each followed by a normalisation.
        custom_encoder, custom_decoder: modules to use instead.

    Embeddings, positions and the output layer are the caller's.

    Source: 000; Vaswani et al., 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> mask = nn.Transformer.generate_square_subsequent_mask(4)
    >>> model(ccdl.ones(3, 5, 8), ccdl.ones(3, 4, 8), tgt_mask=mask).shape
    ccdl.Size([3, 4, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape: Any = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first)
        shape += (norm_first, bias, device, dtype)

        def norm():
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder = custom_encoder
        if custom_encoder is None:
            self.encoder = TransformerEncoder(TransformerEncoderLayer(*shape), num_encoder_layers, norm())
        self.decoder = custom_decoder
        if custom_decoder is None:
            self.decoder = TransformerDecoder(TransformerDecoderLayer(*shape), num_decoder_layers, norm())
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self):
        for p in self.parameters():
            if p.dim() > 1:
                init.xavier_uniform_(p)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """[sz, sz]: 0 where query i may see key j <= i, -inf elsewhere.

        >>> import ccdl.nn as nn
        >>> nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[0., -inf],
                [0., 0.]])
        """
        return _subsequent_mask(sz, device, dtype)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: Any = None,
        tgt_is_causal: Any = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch = 0 if self.batch_first else 1
        if src.dim() == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ShapeError(
                f"Transformer: the batch number of src and tgt must be equal (src {list(src.shape)}, tgt "
                f"{list(tgt.shape)})"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"Transformer: the feature number of src and tgt must be equal to d_model {self.d_model} "
                f"(src {list(src.shape)}, tgt {list(tgt.shape)})"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
