"""What the products with Jacobians and Hessians say of inputs, outputs and vectors that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

import ccdl
from ccdl.autograd import functional as F

CALLS = {"vjp": F.vjp, "jvp": F.jvp, "vhp": F.vhp, "hvp": F.hvp, "jacobian": F.jacobian, "hessian": F.hessian}
WITH_VECTOR = ("vjp", "jvp", "vhp", "hvp")
SCALAR = ("vhp", "hvp", "hessian")


def call(name: str, func: Any, inputs: Any, v: Any = None, **options: Any) -> Any:
    if name in WITH_VECTOR:
        return CALLS[name](func, inputs, v, **options)
    return CALLS[name](func, inputs, **options)


@pytest.mark.parametrize("name", CALLS)
def test_inputs_and_outputs_are_tensors(name: str) -> None:
    x = ccdl.rand(4)
    for bad in (3, (x, 2)):
        with pytest.raises(TypeError, match=f"The inputs given to {name} must be either a Tensor or a tuple of Tensors"):
            call(name, lambda *a: a[0].sum(), bad, x)
    for result in ("text", (x, "text")):
        with pytest.raises(TypeError, match=f"outputs of the user-provided function given to {name} must be either a Tensor"):
            call(name, lambda a, r=result: r, x, x)


@pytest.mark.parametrize("name", WITH_VECTOR)
def test_vectors_fit(name: str) -> None:
    x = ccdl.rand(4)
    func = (lambda a: 2 * a) if name in ("vjp", "jvp") else (lambda a: a.pow(2).sum())
    with pytest.raises(RuntimeError, match="v has invalid size: should be torch.Size"):
        call(name, func, x, ccdl.rand(5))
    with pytest.raises(RuntimeError, match="The given v should contain a single Tensor."):
        call(name, func, x, (x, x))
    with pytest.raises(TypeError, match=f"The v given to {name} must be either a Tensor or a tuple of Tensors"):
        call(name, func, x, (x, 2))
    with pytest.raises(RuntimeError, match="The vector v can only be None if the"):
        call(name, func, x)
    with pytest.raises(RuntimeError, match="v is a tuple of invalid length"):
        call(name, (lambda a, b: (a, b)) if name == "vjp" else (lambda a, b: (a * b).sum()), (x, x), (x, x, x))


@pytest.mark.parametrize("name", SCALAR)
def test_second_orders_take_scalars(name: str) -> None:
    x = ccdl.rand(3)
    with pytest.raises(RuntimeError, match=f"The Tensor returned by the function given to {name} should contain a single"):
        call(name, lambda a: a, x, x)
    with pytest.raises(RuntimeError, match=f"The function given to {name} should return a single Tensor"):
        call(name, lambda a: (a.sum(), a.sum()), x, x)


@pytest.mark.parametrize("name", CALLS)
def test_strict_mode(name: str) -> None:
    x = ccdl.rand(3)

    def cut(a: Any) -> Any:
        return a.detach().sum() if name in SCALAR else a.detach()

    def loose(a: Any) -> Any:
        y = a.detach().requires_grad_().clone()
        return y.sum() if name in SCALAR else y

    with pytest.raises(RuntimeError, match="Output 0 of the user-provided function does not require gradients."):
        call(name, cut, x, x, strict=True)
    where = "of the user-provided function (is independent of|with respect to) input 0"
    with pytest.raises(RuntimeError, match=where):
        call(name, loose, x, x, strict=True)
    if name in SCALAR:
        with pytest.raises(RuntimeError, match="jacobian of the user-provided function with respect to input 0 is"):
            call(name, lambda a: (a * 2).sum(), x, x, strict=True)
    if name not in WITH_VECTOR:
        with pytest.raises(RuntimeError, match="not supported together"):
            call(name, lambda a: (a**2).sum(), x, strict=True, vectorize=True)


@pytest.mark.parametrize("name", ["vjp", "jvp", "jacobian"])
def test_strict_under_create_graph_refuses_a_constant_jacobian(name: str) -> None:
    x = ccdl.ones(3, requires_grad=True)
    function = getattr(ccdl.autograd.functional, name)
    v = () if name == "jacobian" else (ccdl.ones(3),)
    with pytest.raises(RuntimeError, match="jacobian of the user-provided function is independent of input 0"):
        function(lambda t: t.clone(), x, *v, create_graph=True, strict=True)
    function(lambda t: t.clone(), x, *v, create_graph=True)
    function(lambda t: t.exp(), x, *v, create_graph=True, strict=True)
