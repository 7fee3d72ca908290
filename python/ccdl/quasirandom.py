"""Points that fill the unit cube more evenly than random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import _C
from ._C import Tensor
from .errors import TypeError as CcdlTypeError
from .errors import ValueError as CcdlValueError

__all__ = ["SobolEngine"]

# Primitive polynomials over GF(2) of degree 1, 2, ...: phi(2^s - 1) / s; the table ends within degree 18.
_POLYNOMIALS = (1, 1, 2, 2, 6, 6, 18, 16, 48, 60, 176, 144, 630, 756, 1800, 2048, 7710, 7776)


class SobolEngine:
    """The Sobol sequence in ``dimension`` dimensions, each point in [0, 1).

    Point i is the exclusive or of the direction numbers v_b over the bits b of the Gray code i ^ (i >> 1),
    times 2^-30. Direction numbers: S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better
    two-dimensional projections", SIAM J. Sci. Comput. 30 (2008), the table new-joe-kuo-6. ``scramble``
    multiplies the digits of each dimension by a random lower triangular matrix and shifts them: J. Matousek,
    "On the L2-discrepancy for anchored boxes", J. Complexity 14 (1998).

    Args:
        dimension: 1 to 21201.
        scramble: another such sequence for each ``seed``.
        seed: of the scrambling; the global generator without it.

    Raises:
        ValueError: another dimension.

    >>> import ccdl
    >>> engine = ccdl.quasirandom.SobolEngine(dimension=2)
    >>> engine.draw(4)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500],
            [0.2500, 0.7500]])
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if isinstance(dimension, bool) or not hasattr(dimension, "__index__"):
            raise CcdlTypeError(
                f"SobolEngine: dimension is {type(dimension).__name__}, must be an int of [1, {self.MAXDIM}]"
            )
        if not 1 <= dimension <= self.MAXDIM:
            raise CcdlValueError(
                "Supported range of dimensionality for SobolEngine is "
                f"[1, {self.MAXDIM}], but dimension is {dimension}"
            )
        self.dimension, self.scramble, self.seed = int(dimension), scramble, seed
        self.sobolstate = _C.tensor(_direction_numbers(self.dimension, self.MAXBIT), dtype=_C.int64)
        self.shift = _C.zeros(self.dimension, dtype=_C.int64)
        if scramble:
            self._scramble()
        self.num_generated = 0

    @property
    def quasi(self) -> Tensor:
        """The point drawn last, as integers; the first one before any draw."""
        return self._points(max(self.num_generated - 1, 0), 1)[0]

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """The next ``n`` points, [n, dimension], of the default dtype unless ``dtype`` says otherwise.

        >>> import ccdl
        >>> ccdl.quasirandom.SobolEngine(3).fast_forward(5).draw(1)
        tensor([[0.8750, 0.8750, 0.1250]])
        """
        if n < 1:
            raise CcdlValueError(f"SobolEngine.draw: n is {n}, must be at least 1")
        points = self._points(self.num_generated, n).to(_C.float64) * 2.0**-self.MAXBIT
        self.num_generated += n
        result = points.to(_C.get_default_dtype() if dtype is None else dtype)
        if out is not None:
            return out.resize_as_(result).copy_(result)
        return result

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """The next ``2**m`` points.

        Raises:
            ValueError: the points drawn so far and these are not a power of two together.
        """
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise CcdlValueError(
                "The balance properties of Sobol' points require n to be a power of 2: "
                f"{self.num_generated} points were drawn before, then n={self.num_generated}+2**{m}={total}; "
                "use SobolEngine.draw() for any other number"
            )
        return self.draw(n, out, dtype)

    def reset(self) -> SobolEngine:
        """Back to the first point."""
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leaves out the next ``n`` points."""
        self.num_generated += n
        return self

    def _points(self, start: int, n: int) -> Tensor:
        """Points start, start + 1, ... of n, as integers.

        With B a power of two the Gray code of h * B + l is that of l, with the one of h in front and, for odd
        h, bit B / 2 flipped: so a block of B points differs from the first one by a constant.
        """
        if start + n > 2**self.MAXBIT:
            raise CcdlValueError(
                f"SobolEngine: the sequence has 2**{self.MAXBIT} points, but {start + n} were asked for"
            )
        bits = (n - 1).bit_length()
        columns = self.sobolstate.t().contiguous()
        block = self.shift.reshape(1, -1)
        for b in range(bits):  # the second half is the first one backwards, with the next bit set
            block = _C.cat([block, block.flip(0) ^ columns[b]])
        parts = []
        for high in range(start >> bits, (start + n - 1 >> bits) + 1):
            constant = _C.zeros(self.dimension, dtype=_C.int64)
            code = ((high ^ high >> 1) << bits) ^ ((high & 1) << bits >> 1)
            for b in range(code.bit_length()):
                if code >> b & 1:
                    constant = constant ^ columns[b]
            first = high << bits
            low, top = max(start - first, 0), min(start + n - first, 1 << bits)
            parts.append(block[low:top] ^ constant)
        return parts[0] if len(parts) == 1 else _C.cat(parts)

    def _scramble(self) -> None:
        generator = None
        if self.seed is not None:
            generator = _C.Generator()
            generator.manual_seed(self.seed)
        bits = self.MAXBIT
        powers = _C.tensor([2**b for b in range(bits)], dtype=_C.int64)
        self.shift = (_C.randint(2, (self.dimension, bits), generator=generator) * powers).sum(1)
        matrix = _C.randint(2, (self.dimension, bits, bits), generator=generator).tril(-1)
        matrix = matrix + _C.eye(bits, dtype=_C.int64)
        # digits[d, j, k]: digit k of direction number j, the most significant first
        digits = self.sobolstate.unsqueeze(-1) // powers.flip(0) % 2
        digits = (digits.to(_C.float64) @ matrix.mT.to(_C.float64)).to(_C.int64) % 2
        self.sobolstate = (digits * powers.flip(0)).sum(-1)

    def __repr__(self) -> str:
        text = [f"dimension={self.dimension}"]
        if self.scramble:
            text.append("scramble=True")
        if self.seed is not None:
            text.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(text)})"


def _direction_numbers(dimension: int, bits: int) -> list[list[int]]:
    """v_j = m_j * 2^(bits - j) per dimension, where for j > s, the degree of its polynomial,
    m_j = 2 a_1 m_(j-1) ^ ... ^ 2^(s-1) a_(s-1) m_(j-s+1) ^ 2^s m_(j-s) ^ m_(j-s).

    The file holds, per dimension from the second on, in as few bytes as they need: a_(s-1) ... a_1 as the
    lowest s - 1 bits, then (m_j - 1) / 2 in j - 1 bits for j = 2 ... s; m_1 is 1.
    """
    rows = [[1 << (bits - 1 - j) for j in range(bits)]]
    with open(Path(__file__).with_name("_sobol_numbers.bin"), "rb") as file:
        for s, count in enumerate(_POLYNOMIALS, 1):
            size = ((s - 1) * (s + 2) // 2 + 7) // 8
            for _ in range(count):
                if len(rows) == dimension:
                    return rows
                packed = int.from_bytes(file.read(size), "little")
                taps = [k for k in range(1, s) if packed >> (s - 1 - k) & 1]
                packed >>= s - 1
                m = [1]
                for j in range(2, s + 1):
                    m.append((packed & (1 << (j - 1)) - 1) * 2 + 1)
                    packed >>= j - 1
                for j in range(s, bits):
                    value = m[j - s] ^ m[j - s] << s
                    for k in taps:
                        value ^= m[j - k] << k
                    m.append(value)
                rows.append([x << (bits - 1 - j) for j, x in enumerate(m[:bits])])
    return rows
