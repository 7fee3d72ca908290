"""Position encodings: attention alone is permutation-equivariant, these tell it where a token stands."""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor
from ...errors import ShapeError
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module

__all__ = ["LearnedPositionalEncoding", "RotaryPositionalEncoding", "SinusoidalPositionalEncoding"]


def _positive(what, **values):
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{what}: {name} is {type(value).__name__}, must be an int")
        if value <= 0:
            raise ValueError(f"{what}: {name} is {value}, must be positive")


def _angles(positions, pairs, size, base):
    """[positions, pairs] float64: p / base^(2i / size)."""
    i = _C.arange(pairs, dtype=_C.float64)
    rate = _C.pow(_C.tensor(float(base), dtype=_C.float64), -2.0 * i / size)
    return _C.arange(positions, dtype=_C.float64).unsqueeze(1) * rate


class _Added(Module):
    """Adds rows of a table of positions to [L, N, E], [N, L, E] or [L, E]."""

    def __init__(self, d_model, max_len, dropout, batch_first):
        super().__init__()
        _positive(type(self).__name__, d_model=d_model, max_len=max_len)
        if not 0 <= dropout <= 1:
            raise ValueError(f"{type(self).__name__}: dropout is {dropout}, must be between 0 and 1")
        self.d_model, self.max_len, self.dropout, self.batch_first = d_model, max_len, dropout, batch_first

    def _add(self, x, table, offset):
        what = type(self).__name__
        if x.dim() not in (2, 3) or x.shape[-1] != self.d_model:
            raise ShapeError(
                f"{what}: input is {list(x.shape)}, must be [L, {self.d_model}] or have one batch dimension"
            )
        time = 1 if self.batch_first and x.dim() == 3 else 0
        length = x.shape[time]
        if offset < 0 or offset + length > self.max_len:
            raise ShapeError(
                f"{what}: positions {offset} to {offset + length - 1} are asked for, max_len is "
                f"{self.max_len}; make the encoding with a larger max_len"
            )
        rows = table[offset : offset + length]
        y = x + (rows if time == x.dim() - 2 else rows.unsqueeze(1)).to(x.dtype)
        return F.dropout(y, self.dropout, self.training) if self.dropout else y

    def extra_repr(self) -> str:
        return (
            f"{self.d_model}, max_len={self.max_len}, dropout={self.dropout}, batch_first={self.batch_first}"
        )


class SinusoidalPositionalEncoding(_Added):
    """Adds PE(p, 2i) = sin(p / k^(2i/d)), PE(p, 2i+1) = cos(p / k^(2i/d)), then dropout.

    Args:
        d_model: d, size of a token.
        max_len: number of positions in the table.
        dropout: probability in training.
        base: k.
        batch_first: [N, L, d] instead of [L, N, d].

    ``forward(x, offset=0)``: the first token stands at position ``offset``. The table ``pe`` [max_len, d] is
    not part of the state.

    Raises:
        ShapeError: wrong size, or positions beyond ``max_len``.

    Source: 000; Vaswani et al., 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.SinusoidalPositionalEncoding(4)(ccdl.zeros(2, 1, 4))[0, 0]
    tensor([0., 1., 0., 1.])
    """

    def __init__(
        self,
        d_model: int,
        max_len: int = 5000,
        dropout: float = 0.0,
        base: float = 10000.0,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(d_model, max_len, dropout, batch_first)
        self.base = base
        angle = _angles(max_len, (d_model + 1) // 2, d_model, base)
        table = _C.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, :d_model].contiguous()
        table = table.to(dtype if dtype is not None else _C.get_default_dtype())
        self.register_buffer("pe", table if device is None else table.to(device), persistent=False)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        return self._add(x, self.pe, offset)


class LearnedPositionalEncoding(_Added):
    """Adds a learnt vector per position, then dropout.

    Args:
        d_model, max_len, dropout, batch_first: as for :class:`SinusoidalPositionalEncoding`.

    ``weight`` [max_len, d_model] starts normal with deviation 0.02.

    Source: Gehring et al., 2017; Radford et al., 2018.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.LearnedPositionalEncoding(4, 10)(ccdl.zeros(2, 1, 4)).shape
    ccdl.Size([2, 1, 4])
    """

    def __init__(
        self,
        d_model: int,
        max_len: int = 5000,
        dropout: float = 0.0,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(d_model, max_len, dropout, batch_first)
        self.weight = Parameter(_C.empty((max_len, d_model), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.normal_(self.weight, 0.0, 0.02)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        return self._add(x, self.weight, offset)


class RotaryPositionalEncoding(Module):
    """Turns each pair of features by an angle that grows with the position; for queries and keys alike.

    (x_2i, x_2i+1) is turned by p / k^(2i/D), so that q_m . k_n depends on m - n alone.

    Args:
        dim: D, the even size of a head.
        max_len: number of positions in the table.
        base: k.
        interleaved: pairs (2i, 2i+1), the paper's; else (i, i + D/2), as many published weights have it.

    ``forward(x, offset=0)``: x [..., L, D].

    Raises:
        ShapeError: the last size is not D, or positions beyond ``max_len``.

    Source: Su et al., 2021.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.RotaryPositionalEncoding(2)(ccdl.tensor([[1., 0.], [1., 0.]]))
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """

    def __init__(
        self,
        dim: int,
        max_len: int = 4096,
        base: float = 10000.0,
        interleaved: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _positive("RotaryPositionalEncoding", dim=dim, max_len=max_len)
        if dim % 2:
            raise ValueError(f"RotaryPositionalEncoding: dim is {dim}, must be even")
        self.dim, self.max_len, self.base, self.interleaved = dim, max_len, base, interleaved
        angle = _angles(max_len, dim // 2, dim, base)
        dtype = dtype if dtype is not None else _C.get_default_dtype()
        for name, table in (("cos", angle.cos()), ("sin", angle.sin())):
            table = table.to(dtype)
            self.register_buffer(name, table if device is None else table.to(device), persistent=False)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        if x.dim() < 2 or x.shape[-1] != self.dim:
            raise ShapeError(
                f"RotaryPositionalEncoding: input is {list(x.shape)}, must be [..., L, {self.dim}]"
            )
        length = x.shape[-2]
        if offset < 0 or offset + length > self.max_len:
            raise ShapeError(
                f"RotaryPositionalEncoding: positions {offset} to {offset + length - 1} are asked for, "
                f"max_len is {self.max_len}; make the encoding with a larger max_len"
            )
        cos = self.cos[offset : offset + length].to(x.dtype)
        sin = self.sin[offset : offset + length].to(x.dtype)
        if self.interleaved:
            a, b = x.unflatten(-1, (self.dim // 2, 2)).unbind(-1)
            return _C.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
        a, b = x.chunk(2, -1)
        return _C.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def extra_repr(self) -> str:
        return f"{self.dim}, max_len={self.max_len}, base={self.base}, interleaved={self.interleaved}"
