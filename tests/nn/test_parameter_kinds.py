"""Parameters of classes of the user's, parameters that become complex, parameters without a shape, and cells without
hidden values."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F
from ccdl import nn
from ccdl.nn.utils import prune


class Quantity(ccdl.Tensor):
    pass


def test_a_parameter_keeps_a_class_of_the_users() -> None:
    w = nn.Parameter(ccdl.ones(2, 3).as_subclass(Quantity))
    assert type(w) is Quantity and isinstance(w, nn.Parameter) and w.requires_grad and w.is_leaf
    assert not isinstance(ccdl.ones(2).as_subclass(Quantity), nn.Parameter)
    assert not isinstance(w, nn.UninitializedParameter)
    m = nn.Linear(3, 2)
    m.weight = w
    assert [n for n, _ in m.named_parameters()] == ["weight", "bias"] and m.weight is w
    m(ccdl.ones(1, 3)).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [[1.0] * 3] * 2
    twin = copy.deepcopy(m)
    assert type(twin.weight) is Quantity and [n for n, _ in twin.named_parameters()] == ["weight", "bias"]
    assert not nn.Parameter(w.detach(), requires_grad=False).requires_grad


def test_a_class_whose_detach_forgets_it_is_refused() -> None:
    class Forgets(ccdl.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = super().__torch_function__(func, types, args, kwargs or {})
            return result.as_subclass(ccdl.Tensor) if func is ccdl.Tensor.detach else result

    with pytest.raises(RuntimeError, match="detach"):
        nn.Parameter(ccdl.ones(2).as_subclass(Forgets))


def test_a_module_of_real_numbers_becomes_complex() -> None:
    m = nn.Linear(3, 2)
    w, b = m.weight.detach().cpu().numpy().copy(), m.bias.detach().cpu().numpy().copy()
    m(ccdl.ones(1, 3)).sum().backward()
    m.to(ccdl.complex64)
    assert all(p.dtype == ccdl.complex64 and isinstance(p, nn.Parameter) for p in m.parameters())
    assert [n for n, _ in m.named_parameters()] == ["weight", "bias"] and m.weight.grad.dtype == ccdl.complex64
    x = np.array([[1 + 2j, -1j, 0.5]], dtype=np.complex64)
    np.testing.assert_allclose(m(ccdl.tensor(x)).detach().cpu().numpy(), x @ w.T + b, rtol=1e-5, atol=1e-6)


def test_state_dict_shows_parameters_that_have_no_shape_yet() -> None:
    state = nn.LazyBatchNorm1d().state_dict()
    assert isinstance(state["weight"], nn.UninitializedParameter)
    assert isinstance(state["running_mean"], nn.UninitializedBuffer)
    m = nn.LazyLinear(2)
    assert isinstance(m.state_dict()["weight"], nn.UninitializedParameter)
    fresh = nn.LazyLinear(2)
    fresh.load_state_dict(m.state_dict())
    assert fresh(ccdl.ones(1, 3)).shape == (1, 2)
    m(ccdl.ones(1, 3))
    assert type(m.state_dict()["weight"]) is ccdl.Tensor
    other = nn.LazyLinear(2)
    other.load_state_dict(m.state_dict())
    assert other.weight.tolist() == m.weight.tolist()


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_cells_without_hidden_values(cell: Any, batch: tuple[int, ...]) -> None:
    c, x, h = cell(4, 0), ccdl.ones(*batch, 4, requires_grad=True), ccdl.ones(*batch, 0)
    y = c(x, (h, h))[1] if cell is nn.LSTMCell else c(x, h)
    assert y.shape == (*batch, 0)
    y.sum().backward()
    assert x.grad is not None and not x.grad.any()


def test_loss_of_probabilities_in_double_is_double() -> None:
    x = np.array([[0.5, -1.0, 2.0], [1.0, 1.5, -0.5]])
    q = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    w = np.array([1.0, 2.0, 0.5])
    logits = ccdl.tensor(x, dtype=ccdl.float32, requires_grad=True)
    loss = F.cross_entropy(logits, ccdl.tensor(q), weight=ccdl.tensor(w, dtype=ccdl.float32))
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    assert loss.dtype == ccdl.float64
    assert loss.item() == pytest.approx(-(q * w * log_p).sum() / 2, rel=1e-12)
    loss.backward()
    assert logits.grad is not None and logits.grad.dtype == ccdl.float32
    wanted = ((q * w).sum(1, keepdims=True) * np.exp(log_p) - q * w) / 2
    np.testing.assert_allclose(logits.grad.cpu().numpy(), wanted, rtol=1e-5)


def test_amounts_that_pruning_methods_of_your_own_ask_about() -> None:
    assert prune._compute_nparams_toprune(0.5, 15) == round(7.5) and prune._compute_nparams_toprune(3, 15) == 3
    with pytest.raises(ValueError, match="should be smaller"):
        prune._validate_pruning_amount(20, 19)
    with pytest.raises(TypeError, match="Invalid type for amount"):
        prune._validate_pruning_amount_init("a string")  # type: ignore[arg-type]


def test_indices_of_take_along_dim_are_int64() -> None:
    with pytest.raises(RuntimeError, match=r"take_along_dim: dtype of indices .* int32"):
        ccdl.take_along_dim(ccdl.ones(2, 3), ccdl.zeros(2, 1, dtype=ccdl.int32), 1)


@pytest.mark.parametrize("lazy", [nn.LazyLinear(2), nn.LazyBatchNorm1d(affine=False)])
def test_what_has_no_shape_cannot_be_shared(lazy: Any) -> None:
    with pytest.raises(RuntimeError, match="share memory on an uninitialized"):
        lazy.share_memory()


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_instance_norms_say_which_inputs_have_no_batch(dims: int) -> None:
    layer = getattr(nn, f"InstanceNorm{dims}d")(3, affine=True)
    assert layer._get_no_batch_dim() == dims + 1
    x = ccdl.randn(3, *[4] * dims)
    assert layer(x).tolist() == layer(x[None])[0].tolist()
