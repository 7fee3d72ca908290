"""Probability distributions under PyTorch's names: ``log_prob``, ``sample``, ``rsample``, ``entropy``,
``kl_divergence``, transforms and constraints.

Networks parameterise conditional distributions: a head's outputs become the parameters of one of these
classes, ``log_prob`` of the observed target gives the likelihood to be maximised, ``rsample``
differentiates through a draw (the pathwise gradient), and ``log_prob`` of a ``sample`` times a reward is
the score-function estimator.

    >>> import ccdl
    >>> policy = ccdl.distributions.Categorical(logits=ccdl.zeros(2))
    >>> policy.log_prob(policy.sample())
    tensor(-0.6931)
"""

from __future__ import annotations

import sys
from types import ModuleType

from . import (
    beta,
    binary,
    categorical,
    constraints,
    distribution,
    exp_family,
    gamma,
    generalized_pareto,
    independent,
    joined_transforms,
    kl,
    location_scale,
    lowrank_multivariate_normal,
    mixture_same_family,
    multivariate_normal,
    normal,
    poisson,
    relaxed,
    transformed_distribution,
    transforms,
    uniform,
    utils,
    von_mises,
    wishart,
)
from .constraint_registry import biject_to, transform_to

_FAMILIES = (
    beta,
    binary,
    categorical,
    distribution,
    exp_family,
    gamma,
    generalized_pareto,
    independent,
    joined_transforms,
    kl,
    location_scale,
    lowrank_multivariate_normal,
    mixture_same_family,
    multivariate_normal,
    normal,
    poisson,
    relaxed,
    transformed_distribution,
    transforms,
    uniform,
    von_mises,
    wishart,
)

__all__ = ["biject_to", "constraints", "transform_to", "utils"]
for _family in _FAMILIES:
    for _name in _family.__all__:
        globals()[_name] = getattr(_family, _name)
        __all__.append(_name)

# PyTorch has one module per class: ccdl.distributions.bernoulli.Bernoulli and so on.
_MODULES = {
    "bernoulli": binary,
    "binomial": binary,
    "cauchy": location_scale,
    "chi2": gamma,
    "continuous_bernoulli": beta,
    "dirichlet": beta,
    "exponential": gamma,
    "fishersnedecor": gamma,
    "geometric": binary,
    "gumbel": location_scale,
    "half_cauchy": transformed_distribution,
    "half_normal": transformed_distribution,
    "inverse_gamma": gamma,
    "kumaraswamy": beta,
    "laplace": location_scale,
    "lkj_cholesky": wishart,
    "log_normal": transformed_distribution,
    "logistic_normal": transformed_distribution,
    "multinomial": categorical,
    "negative_binomial": binary,
    "one_hot_categorical": categorical,
    "pareto": transformed_distribution,
    "relaxed_bernoulli": relaxed,
    "relaxed_categorical": relaxed,
    "studentT": gamma,
    "weibull": transformed_distribution,
}


def _alias(name: str, source: ModuleType) -> None:
    module = ModuleType(f"{__name__}.{name}", source.__doc__)
    for exported in (*source.__all__, "constraints", "Distribution"):
        value = getattr(source, exported, None)
        if value is not None:
            setattr(module, exported, value)
    sys.modules[module.__name__] = module
    globals()[name] = module


for _name in vars(joined_transforms)["__all__"]:  # where PyTorch has them
    setattr(transforms, _name, getattr(joined_transforms, _name))
for _name, _family in _MODULES.items():
    _alias(_name, _family)
del _family, _name
