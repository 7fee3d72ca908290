"""Additive attention over sequences, soft and hard attention over images."""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ..._C import Tensor
from ...errors import ShapeError
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module

__all__ = ["AdditiveAttention", "HardGlimpse", "SoftVisualAttention"]


class AdditiveAttention(Module):
    """Bahdanau's attention: c = sum_j alpha_j h_j, alpha = softmax_j(v^T tanh(W [s, h_j])).

    Args:
        query_dim: size of s.
        key_dim: size of h.
        hidden_dim: rows of W and size of v; ``key_dim`` if None.

    ``weight`` [hidden_dim, query_dim + key_dim] is W, ``v`` [hidden_dim].

    ``forward(query, keys, key_padding_mask=None, projected=None)``: query [N, query_dim] or
    [N, L, query_dim], keys [N, S, key_dim], mask [N, S] bool, True where a key is not seen. Returns the
    context [N, (L,) key_dim] and alpha [N, (L,) S]. ``projected`` is ``project(keys)``, computed once for
    many queries.

    Raises:
        ShapeError: sizes do not fit.

    Source: 000; Bahdanau, Cho and Bengio, 2014.

    >>> import ccdl, ccdl.nn as nn
    >>> context, alpha = nn.AdditiveAttention(3, 4)(ccdl.ones(2, 3), ccdl.ones(2, 5, 4))
    >>> context.shape, alpha[0].detach()
    (ccdl.Size([2, 4]), tensor([0.2000, 0.2000, 0.2000, 0.2000, 0.2000]))
    """

    def __init__(
        self, query_dim: int, key_dim: int, hidden_dim: Any = None, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        hidden_dim = key_dim if hidden_dim is None else hidden_dim
        self.query_dim, self.key_dim, self.hidden_dim = query_dim, key_dim, hidden_dim
        self.weight = Parameter(_C.empty((hidden_dim, query_dim + key_dim), device=device, dtype=dtype))
        self.v = Parameter(_C.empty(hidden_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values: W Xavier-uniform, v uniform in +-1 / sqrt(hidden_dim)."""
        init.xavier_uniform_(self.weight)
        bound = 1 / math.sqrt(self.hidden_dim)
        init.uniform_(self.v, -bound, bound)

    def project(self, keys: Tensor) -> Tensor:
        """The keys' part of W [s, h]: [N, S, hidden_dim]."""
        return F.linear(keys, self.weight[:, self.query_dim :])

    def forward(
        self, query: Tensor, keys: Tensor, key_padding_mask: Any = None, projected: Any = None
    ) -> tuple[Tensor, Tensor]:
        if keys.dim() != 3 or keys.shape[-1] != self.key_dim:
            raise ShapeError(f"AdditiveAttention: keys is {list(keys.shape)}, must be [N, S, {self.key_dim}]")
        if query.dim() not in (2, 3) or query.shape[-1] != self.query_dim or len(query) != len(keys):
            raise ShapeError(
                f"AdditiveAttention: query is {list(query.shape)}, must be [{len(keys)}, {self.query_dim}] "
                f"or [{len(keys)}, L, {self.query_dim}]"
            )
        single = query.dim() == 2
        query = query.unsqueeze(1) if single else query
        projected = self.project(keys) if projected is None else projected
        hidden = F.linear(query, self.weight[:, : self.query_dim]).unsqueeze(2) + projected.unsqueeze(1)
        scores = _C.matmul(hidden.tanh(), self.v)  # [N, L, S]
        if key_padding_mask is not None:
            fits = tuple(key_padding_mask.shape) == tuple(keys.shape[:2])
            if not fits or key_padding_mask.dtype is not _C.bool:
                raise ShapeError(
                    f"AdditiveAttention: key_padding_mask is {list(key_padding_mask.shape)} "
                    f"{key_padding_mask.dtype}, must be bool {list(keys.shape[:2])}"
                )
            scores = scores.masked_fill(key_padding_mask.unsqueeze(1), -math.inf)
        alpha = _C.softmax(scores, -1)
        context = _C.matmul(alpha, keys)
        return (context.squeeze(1), alpha.squeeze(1)) if single else (context, alpha)

    def extra_repr(self) -> str:
        return f"query_dim={self.query_dim}, key_dim={self.key_dim}, hidden_dim={self.hidden_dim}"


class SoftVisualAttention(Module):
    """Re-weights the positions of a feature map: x_att = a * x, a = softmax over positions of
    v^T tanh(W [s, x]).

    Args:
        feature_dim: C, channels of the map.
        state_dim: size of the state s that asks.
        hidden_dim: rows of W; C if None.

    ``forward(x, state)``: x [N, C, H, W], state [N, state_dim]; returns x_att [N, C, H, W] and
    a [N, H, W], which sums to 1. ``x_att.sum((2, 3))`` is the context vector of captioning.

    Source: 003; Xu et al., 2015.

    >>> import ccdl, ccdl.nn as nn
    >>> x, a = nn.SoftVisualAttention(3, 5)(ccdl.ones(2, 3, 4, 4), ccdl.ones(2, 5))
    >>> x.shape, a.detach().sum((1, 2))
    (ccdl.Size([2, 3, 4, 4]), tensor([1., 1.]))
    """

    def __init__(
        self, feature_dim: int, state_dim: int, hidden_dim: Any = None, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.attention = AdditiveAttention(state_dim, feature_dim, hidden_dim, device, dtype)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        if x.dim() != 4:
            raise ShapeError(f"SoftVisualAttention: x is {list(x.shape)}, must be [N, C, H, W]")
        _, a = self.attention(state, x.flatten(2).transpose(1, 2))
        a = a.unflatten(1, tuple(x.shape[2:]))
        return a.unsqueeze(1) * x, a


class HardGlimpse(Module):
    """Cuts a patch out of each image at a drawn position: x_att = x[a], a ~ N(mean, std^2).

    Cutting has no gradient with respect to the position; the position learns through its log-probability and
    a reward: :func:`ccdl.autograd.estimators.score_function_loss` (REINFORCE).

    Args:
        size: of the patch, in pixels.
        std: deviation of the position in training; in evaluation the position is the mean.
        scales: number of patches, each twice as wide as the one before and averaged down to ``size``.

    ``forward(images, mean)``: images [N, C, H, W]; mean [N, 2], row and column, -1 and 1 being the centres of
    the first and last pixel. Returns patches [N, C * scales, size, size] (zeros outside the image), positions
    [N, 2] without gradient and their log-probability [N], differentiable in ``mean``.

    Source: 003; Mnih et al., 2014; Williams, 1992.

    >>> import ccdl, ccdl.nn as nn
    >>> images = ccdl.arange(16.).reshape(1, 1, 4, 4)
    >>> patch, where, log_prob = nn.HardGlimpse(2).eval()(images, ccdl.tensor([[-1/3, -1/3]]))
    >>> patch[0, 0]
    tensor([[ 5.,  6.],
            [ 9., 10.]])
    """

    def __init__(self, size: int, std: float = 0.1, scales: int = 1) -> None:
        super().__init__()
        for name, value in (("size", size), ("scales", scales)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"HardGlimpse: {name} is {value!r}, must be an int of at least 1")
        if not std > 0:
            raise ValueError(f"HardGlimpse: std is {std}, must be positive")
        self.size, self.std, self.scales = size, std, scales

    def forward(self, images: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if images.dim() != 4:
            raise ShapeError(f"HardGlimpse: images is {list(images.shape)}, must be [N, C, H, W]")
        if tuple(mean.shape) != (images.shape[0], 2):
            raise ShapeError(f"HardGlimpse: mean is {list(mean.shape)}, must be [{images.shape[0]}, 2]")
        where = mean.detach()
        if self.training:
            where = where + self.std * _C.randn_like(where)
        log_prob = -((where - mean) ** 2).sum(1) / (2 * self.std**2) - math.log(2 * math.pi * self.std**2)
        patches = []
        for scale in range(self.scales):
            width = self.size << scale
            patch = self._cut(images, where, width)
            patches.append(F.avg_pool2d(patch, 1 << scale) if scale else patch)
        return _C.cat(patches, 1), where, log_prob

    @staticmethod
    def _cut(images, where, width):
        n, c, h, w = images.shape
        framed = F.pad(images, (width, width, width, width))
        index = []
        for column, size in ((0, h), (1, w)):
            centre = ((where[:, column] + 1) * 0.5 * (size - 1)).round()
            first = centre.clamp(-width, size + width).long() - (width - 1) // 2 + width
            first = first.clamp(0, size + width)
            index.append(first.unsqueeze(1) + _C.arange(width, device=images.device))
        flat = (index[0].unsqueeze(2) * (w + 2 * width) + index[1].unsqueeze(1)).reshape(n, 1, -1)
        return framed.flatten(2).gather(2, flat.expand(n, c, width * width)).unflatten(2, (width, width))

    def extra_repr(self) -> str:
        return f"{self.size}, std={self.std}, scales={self.scales}"
