"""From constraints to transforms that map unconstrained values into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import constraints, joined_transforms, transforms

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """A table from classes of constraints to functions that make a transform onto the constraint given.

    >>> import ccdl
    >>> D = ccdl.distributions
    >>> D.transform_to(D.constraints.positive)(ccdl.tensor(0.0))
    tensor(1.)
    """

    def __init__(self) -> None:
        self._table: dict[type, Callable[[Any], transforms.Transform]] = {}

    def register(self, constraint: Any, factory: Any = None) -> Any:
        """Registers a factory for a constraint or its class; also a decorator."""
        if factory is None:
            return lambda f: self.register(constraint, f)
        kind = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(kind, constraints.Constraint):
            raise TypeError(
                f"Expected constraint to be either a Constraint subclass or instance, but got {constraint}"
            )
        self._table[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> transforms.Transform:
        for kind in type(constraint).__mro__:
            if kind in self._table:
                return self._table[kind](constraint)
        raise NotImplementedError(
            f"Cannot transform {type(constraint).__name__} constraints; register a transform first"
        )


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _bounded(c: Any) -> transforms.Transform:
    """Onto an interval or a half-line."""
    low, high = c.lower_bound, c.upper_bound
    if high is None:
        if isinstance(low, (int, float)) and low == 0:
            return transforms.ExpTransform()
        return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(low, 1)])
    if low is None:
        return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(high, -1)])
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform(
        [transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)]
    )


def _fill(registry: ConstraintRegistry) -> None:
    registry.register(constraints.real, lambda c: transforms.identity_transform)
    registry.register(constraints._Bounded, _bounded)
    registry.register(constraints.lower_cholesky, lambda c: transforms.LowerCholeskyTransform())
    registry.register(
        constraints.independent,
        lambda c: transforms.IndependentTransform(registry(c.base_constraint), c.reinterpreted_batch_ndims),
    )
    registry.register(constraints.corr_cholesky, lambda c: joined_transforms.CorrCholeskyTransform())
    for matrix in (constraints.positive_definite, constraints.positive_semidefinite):
        registry.register(matrix, lambda c: joined_transforms.PositiveDefiniteTransform())
    registry.register(
        constraints.cat,
        lambda c: joined_transforms.CatTransform([registry(k) for k in c.cseq], c.dim, c.lengths),
    )
    registry.register(
        constraints.stack,
        lambda c: joined_transforms.StackTransform([registry(k) for k in c.cseq], c.dim),
    )


_fill(biject_to)
_fill(transform_to)
biject_to.register(constraints.simplex, lambda c: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: transforms.SoftmaxTransform())
