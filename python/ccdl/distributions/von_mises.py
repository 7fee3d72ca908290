"""The von Mises distribution: the normal distribution of angles."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["VonMises"]

_ROUNDS = 40  # of rejection; each accepts at least 2 in 3


class VonMises(Distribution):
    """Angles in [-pi, pi) with density ``exp(concentration cos(x - loc)) / (2 pi I_0(concentration))``.

    Samples by rejection from a wrapped Cauchy distribution (Best and Fisher, 1979).

    >>> import ccdl
    >>> ccdl.distributions.VonMises(0.0, 1.0).log_prob(ccdl.tensor(0.0))
    tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(VonMises, batch_shape, _instance, loc=0, concentration=0)

    def _log_i0(self) -> Tensor:
        return _C._special_i0e(self.concentration).log() + self.concentration

    def _ratio(self) -> Tensor:
        return _C._special_i1e(self.concentration) / _C._special_i0e(self.concentration)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The circular variance ``1 - I_1(k) / I_0(k)``."""
        return 1 - self._ratio()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.concentration * _C.cos(value - self.loc) - math.log(2 * math.pi) - self._log_i0()

    def entropy(self) -> Tensor:
        return math.log(2 * math.pi) + self._log_i0() - self.concentration * self._ratio()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        k = self.concentration.detach().double().expand(shape)
        root = (1 + 4 * k.square()).sqrt()
        rho = (root + 1 - (2 * (root + 1)).sqrt()) / (2 * k)
        r = _C.where(k < 1e-5, 1 / k.clamp(min=1e-300) + k, (1 + rho.square()) / (2 * rho))
        angle = _C.zeros(shape, dtype=_C.float64, device=k.device)
        done = _C.zeros(shape, dtype=_C.bool, device=k.device)
        for _ in range(_ROUNDS):
            u = _C.rand(3, *shape, dtype=_C.float64, device=k.device)
            z = _C.cos(math.pi * u[0])
            f = (1 + r * z) / (r + z)
            c = k * (r - f)
            accept = (c * (2 - c) - u[1] > 0) | ((c / u[1].clamp(min=1e-300)).log() + 1 - c >= 0)
            found = (u[2] - 0.5).sign() * f.clamp(-1, 1).acos()
            angle = _C.where(done | ~accept, angle, found)
            done = done | accept
        loc = self.loc.detach().double()
        return ((angle + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)
