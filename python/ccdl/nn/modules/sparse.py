"""Embeddings."""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor
from ..._checks import check_sizes
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module

__all__ = ["Embedding", "EmbeddingBag"]


def _wrap_padding(name, padding_idx, rows):
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"{name}: padding_idx is {padding_idx}, must be within num_embeddings {rows}")
    return padding_idx % rows


class _EmbeddingBase(Module):
    def _make_weight(self, weight, num_embeddings, embedding_dim, freeze, device, dtype):
        if weight is None:
            self.weight = Parameter(
                _C.empty((num_embeddings, embedding_dim), device=device, dtype=dtype),
                requires_grad=not freeze,
            )
            self.reset_parameters()
            return
        if list(weight.shape) != [num_embeddings, embedding_dim]:
            raise ValueError(
                f"{type(self).__name__}: _weight is {list(weight.shape)}, must be [{num_embeddings}, "
                f"{embedding_dim}]"
            )
        self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Standard normal values, zeros in the padding row."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            previous = _C._set_grad_enabled(False)
            try:
                self.weight[self.padding_idx].fill_(0)
            finally:
                _C._set_grad_enabled(previous)


class Embedding(_EmbeddingBase):
    """A table of vectors looked up by id: [*] -> [*, embedding_dim].

    Args:
        num_embeddings, embedding_dim: size of ``weight``; values start standard normal.
        padding_idx: its row starts as zeros and receives no gradient.
        max_norm, norm_type: rows used are scaled in place to at most this norm.
        scale_grad_by_freq: divide gradients by the id's count in the batch.
        sparse: accepted without effect (gradients are dense).

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Embedding(10, 3)(ccdl.tensor([[1, 2], [3, 4]])).shape
    ccdl.Size([2, 2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: Any = None,
        max_norm: Any = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = _wrap_padding("Embedding", padding_idx, num_embeddings)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self._make_weight(_weight, num_embeddings, embedding_dim, _freeze, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: Any = None,
        max_norm: Any = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Any:
        """An embedding with the given [rows, dim] table; frozen unless ``freeze=False``."""
        if embeddings.dim() != 2:
            raise ValueError(
                f"from_pretrained: embeddings is {list(embeddings.shape)}, must be 2-dimensional"
            )
        rows, cols = embeddings.shape
        return cls(
            rows,
            cols,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight=embeddings,
            _freeze=freeze,
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        if self.sparse is not False:
            text += ", sparse=True"
        return text


class EmbeddingBag(_EmbeddingBase):
    """Sum, mean or maximum of embeddings per bag, see :func:`ccdl.nn.functional.embedding_bag`.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.EmbeddingBag(10, 3, mode="sum")(ccdl.tensor([1, 2, 4]), ccdl.tensor([0, 2])).shape
    ccdl.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: Any = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: Any = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.padding_idx = _wrap_padding("EmbeddingBag", padding_idx, num_embeddings)
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self._make_weight(_weight, num_embeddings, embedding_dim, False, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: Any = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: Any = None,
    ) -> Any:
        """A bag over the given [rows, dim] table; frozen unless ``freeze=False``."""
        if embeddings.dim() != 2:
            raise ValueError(
                f"from_pretrained: embeddings is {list(embeddings.shape)}, must be 2-dimensional"
            )
        rows, cols = embeddings.shape
        bag = cls(
            rows,
            cols,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
        )
        bag.weight.requires_grad_(not freeze)
        return bag

    def forward(self, input: Tensor, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        text += f", mode={self.mode!r}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        return text
