"""Classifiers of token sequences: mean of embeddings, and bidirectional LSTM with the maximum over time."""

from __future__ import annotations

import math
from typing import Any

from .. import nn, no_grad
from ..errors import ShapeError
from ..nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["BiLSTMClassifier", "EmbeddingClassifier"]


def _check(name, tokens):
    if tokens.dim() != 2 or not tokens.shape[1]:
        raise ShapeError(f"{name}: tokens is {list(tokens.shape)}, must be [N, L] with L >= 1")


class EmbeddingClassifier(nn.Module):
    """The mean of the words' embeddings, then fully connected layers: int64 [N, L] -> logits [N, C].

    One table for all positions; C = 1 and a logistic function is 002's sentiment net.

    Args:
        vocab_size, num_classes: sizes.
        embed_dim: size of an embedding.
        hidden: size of a ReLU layer in between, 0 for none.
        dropout: of the mean and the hidden layer.
        pad: token that does not count.

    Source: 002; Iyyer et al., 2015.

    >>> import ccdl
    >>> ccdl.models.EmbeddingClassifier(10, 2)(ccdl.tensor([[3, 4, 0]])).shape
    ccdl.Size([1, 2])
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embed_dim: int = 64,
        hidden: int = 0,
        dropout: float = 0.0,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=pad)
        with no_grad():  # 003's +-0.25: a mean of large random vectors would drown what few words say
            nn.init.uniform_(self.embedding.weight, -0.25, 0.25)
            self.embedding.weight[pad] = 0
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        if hidden:
            layers += [nn.Linear(embed_dim, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.classifier = nn.Sequential(*layers, nn.Linear(hidden or embed_dim, num_classes))

    def forward(self, tokens: Any) -> Any:
        _check("EmbeddingClassifier", tokens)
        x = self.embedding(tokens)
        seen = (tokens != self.pad).unsqueeze(2)
        mean = (x * seen).sum(1) / seen.sum(1).clamp(min=1)
        return self.classifier(mean)


class BiLSTMClassifier(nn.Module):
    """Y = max_t Y_t, Y_t = W [h_t forward, h_t backward] + b of a bidirectional LSTM: int64 [N, L] -> logits
    [N, C].

    Args:
        vocab_size, num_classes: sizes.
        embed_dim, hidden_size, num_layers: of the embedding and the LSTM.
        dropout: of the embeddings, between layers and of the states.
        pad: token that fills up; it is not seen.

    Source: 002 (bidirectional LSTM), 004 (maximum over time).

    >>> import ccdl
    >>> ccdl.models.BiLSTMClassifier(10, 2, 8, 8)(ccdl.tensor([[3, 4, 0]])).shape
    ccdl.Size([1, 2])
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embed_dim: int = 64,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=pad)
        self.lstm = nn.LSTM(
            embed_dim,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=True,
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, tokens: Any) -> Any:
        _check("BiLSTMClassifier", tokens)
        seen = tokens != self.pad
        lengths = seen.sum(1).clamp(min=1)
        packed = pack_padded_sequence(
            self.dropout(self.embedding(tokens)), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])
        y = self.classifier(self.dropout(states))
        seen[:, 0] = True  # an empty sequence is classified by its first, padded, position
        return y.masked_fill(~seen.unsqueeze(2), -math.inf).amax(1)
