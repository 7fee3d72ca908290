"""Lazy modules of the user's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import ccdl
from ccdl import nn
from ccdl.nn.modules.lazy import LazyModuleMixin


class Scale(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(ccdl.ones(size))

    def forward(self, x: Any) -> Any:
        return x * self.scale


class LazyScale(LazyModuleMixin, Scale):
    cls_to_become = Scale

    def __init__(self) -> None:
        super().__init__(1)
        self.scale = nn.UninitializedParameter()

    def initialize_parameters(self, x: Any) -> None:
        self.scale.materialize(x.shape[-1:])
        nn.init.constant_(self.scale, 2.0)


def test_the_first_call_makes_the_parameters_and_the_class() -> None:
    module = nn.Sequential(LazyScale())
    twin = copy.deepcopy(module)
    assert module[0].has_uninitialized_params()
    assert module(ccdl.ones(2, 3)).tolist() == [[2.0] * 3] * 2
    assert type(module[0]) is Scale and module[0].scale.shape == (3,)
    assert len(module[0]._forward_pre_hooks) == 0 and not hasattr(module[0], "_initialize_hook")
    assert twin[0].has_uninitialized_params() and twin(ccdl.ones(1, 4)).shape == (1, 4)
    assert list(module.state_dict()) == ["0.scale"]


def test_what_stays_without_shape_is_an_error() -> None:
    class Half(LazyModuleMixin, nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.UninitializedParameter()

        def initialize_parameters(self, x: Any) -> None:
            pass

    with pytest.raises(RuntimeError, match="Half has not been fully initialized"):
        Half()(ccdl.ones(1))

    class Nothing(LazyModuleMixin, nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="initialize_parameters"):
        Nothing()(ccdl.ones(1))


def test_norms_of_weights_wait_for_their_shapes() -> None:
    for norm in (nn.utils.weight_norm, nn.utils.spectral_norm):
        layer = nn.LazyLinear(7)
        with pytest.raises(ValueError, match="have uninitialized parameters."):
            norm(layer)
        layer(ccdl.ones(1, 3))
        assert norm(layer)(ccdl.ones(2, 3)).shape == (2, 7)
