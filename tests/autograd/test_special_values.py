"""Gradients where values are NaN or infinite, at ties and at the ends of a domain; the expected numbers follow
from the formulas in the comments. First derivatives come from kernels, and again from ops under create_graph."""

import math

import pytest

import ccdl
import ccdl.nn.functional as F

inf, nan = math.inf, math.nan


def gradients(function, *values, create_graph):
    """Of the outputs weighted 1, 2, ... by every value."""
    inputs = [ccdl.tensor(v, dtype=ccdl.float64, requires_grad=True) for v in values]
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    weights = [ccdl.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape) for y in outputs]
    found = ccdl.autograd.grad(outputs, inputs, weights, create_graph=create_graph)
    return [g.reshape(-1).tolist() for g in found]


def check(found, expected):
    assert len(found) == len(expected)
    for f, e in zip(found, expected):
        assert f == pytest.approx(e, nan_ok=True, rel=1e-12)


# function, inputs, the gradient of each input
ROWS = [
    # no element equals a NaN: 0 of 0 elements share the gradient
    (lambda x: x.amax(0), [[1.0, nan, 2.0]], [[nan, nan, nan]]),
    (lambda x: x.amin(1), [[[1.0, nan], [3.0, 2.0]]], [[nan, nan, 0.0, 2.0]]),
    (lambda x: x.aminmax(dim=0), [[nan, 1.0]], [[nan, nan]]),
    (lambda x: x.max(), [[1.0, nan, 2.0]], [[0.0, 1.0, 0.0]]),  # there it does
    (lambda x: x.amax(0), [[1.0, inf, inf]], [[0.0, 0.5, 0.5]]),
    # beside a NaN neither of two loses
    (lambda x, y: ccdl.maximum(x, y), [[1.0, nan, 2.0], [1.0, 1.0, nan]], [[0.5, 2.0, 3.0], [0.5, 2.0, 3.0]]),
    (lambda x, y: ccdl.minimum(x, y), [[0.0, nan], [1.0, 1.0]], [[1.0, 2.0], [0.0, 2.0]]),
    # 1 / (1 + exp(y - x))
    (lambda x, y: ccdl.logaddexp(x, y), [[-inf, 1.0], [0.0, inf]], [[0.0, 0.0], [1.0, 2.0]]),
    (lambda x, y: ccdl.logaddexp2(x, y), [[3.0, inf], [3.0, 1.0]], [[0.5, 2.0], [0.5, 0.0]]),
    # at a bound the gradient is that of the input, a bound below the other bound has none
    (lambda x, y: x.clamp(y), [[0.0, 1.0, nan], [0.0, 2.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]),
    (lambda x, y: ccdl.clamp(x, max=y), [[0.0, 3.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 2.0]]),
    (
        lambda x, y, z: x.clamp(y, z),
        [[0.0, -1.0, 5.0, -1.0], [0.0, 0.0, 0.0, 2.0], [0.0, 1.0, 3.0, 1.0]],
        [[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 4.0]],
    ),
    (lambda x: x.logit(), [[0.5, 2.0, -1.0]], [[4.0, nan, nan]]),
    (lambda x: ccdl.special.entr(x), [[0.0, 1.0, -2.0]], [[inf, -2.0, nan]]),  # -(log x + 1)
    # no degree of freedom: infinite where anything varies
    (lambda x: x.var(correction=2), [[1.0, 2.0]], [[inf, inf]]),
    (lambda x: x.var(correction=2), [[1.0, 1.0]], [[nan, nan]]),
    # beta=0 leaves the input out, even a NaN
    (
        lambda a, x, y: ccdl.addr(a, x, y, beta=0),
        [[[nan, 1.0]], [2.0], [3.0, 4.0]],
        [[0.0, 0.0], [11.0], [2.0, 4.0]],
    ),
    (lambda x, y: ccdl.cdist(x, y, p=0.0), [[[1.0, 2.0]], [[3.0, 2.0]]], [[0.0, 0.0], [0.0, 0.0]]),
    # all ignored: the mean of nothing is NaN, its gradient nothing
    (
        lambda x: F.nll_loss(x, ccdl.tensor([1, 1]), ignore_index=1),
        [[[1.0, 2.0], [3.0, 4.0]]],
        [[0.0, 0.0, 0.0, 0.0]],
    ),
    # a NaN is outside of the flat parts
    (F.relu, [[nan, -1.0, 2.0]], [[1.0, 0.0, 3.0]]),
    (F.relu6, [[nan, 6.0, 2.0]], [[1.0, 0.0, 3.0]]),
    (F.hardtanh, [[nan, 1.0, 0.5]], [[1.0, 0.0, 3.0]]),
    (F.hardshrink, [[nan, 0.5, 2.0]], [[1.0, 0.0, 3.0]]),
    (F.softshrink, [[nan, -0.5, 2.0]], [[1.0, 0.0, 3.0]]),
    (F.elu, [[nan, 0.0, 2.0]], [[1.0, 2.0, 3.0]]),
    (F.celu, [[nan, 0.0, 2.0]], [[1.0, 2.0, 3.0]]),
    (lambda x: F.threshold(x, 1.0, 0.0), [[nan, 1.0, 2.0]], [[1.0, 0.0, 3.0]]),
]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("row", range(len(ROWS)))
def test_gradient(row, create_graph):
    function, inputs, expected = ROWS[row]
    check(gradients(function, *inputs, create_graph=create_graph), expected)


@pytest.mark.parametrize("function", [F.elu, F.selu, lambda x: F.celu(x, 0.5)])
def test_second_derivative_at_the_bend_of_an_elu_is_zero(function):
    x = ccdl.tensor([0.0, 1.0], dtype=ccdl.float64, requires_grad=True)
    (g,) = ccdl.autograd.grad(function(x).sum(), x, create_graph=True)
    (h,) = ccdl.autograd.grad(g.sum(), x)
    assert h.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("low,high", [(True, True), (True, False), (False, True)])
def test_clamp_between_tensors_has_its_gradients(low, high):
    ccdl.manual_seed(3)
    x, a, b = (ccdl.randn(*s, dtype=ccdl.float64, requires_grad=True) for s in ((3, 4), (4,), (3, 1)))
    bounds = {"min": a if low else None, "max": b if high else None}
    inputs = [x, *(t for t in bounds.values() if t is not None)]
    assert ccdl.autograd.gradcheck(lambda v, *_: v.clamp(**bounds), inputs)


def test_dtypes_of_losses_of_mixed_dtypes():
    single, double = ccdl.ones(2), ccdl.zeros(2, dtype=ccdl.float64)
    assert F.huber_loss(single, double).dtype is ccdl.float32  # that of the input
    assert F.huber_loss(double, single, reduction="none").dtype is ccdl.float64
    assert F.soft_margin_loss(single, double + 1).dtype is ccdl.float32
    for kwargs in ({}, {"weight": double}, {"pos_weight": double}):  # that of the target
        loss = F.binary_cross_entropy_with_logits(double, single, **kwargs)
        assert loss.dtype is ccdl.float32
    assert F.binary_cross_entropy_with_logits(single, double, reduction="none").dtype is ccdl.float64
    whole = ccdl.ones(2, dtype=ccdl.int64)
    for call in (
        lambda: F.huber_loss(whole, single),
        lambda: F.soft_margin_loss(whole, single),
        lambda: F.binary_cross_entropy_with_logits(single, whole),
    ):
        with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
            call()


def test_circular_padding_is_contiguous():
    x = ccdl.arange(32.0).reshape(2, 4, 4, 1).permute(0, 3, 1, 2).to(memory_format=ccdl.channels_last)
    x = ccdl.cat([x, x + 1], 1).to(memory_format=ccdl.channels_last)
    y = F.pad(x, (1, 1, 1, 1), mode="circular")
    assert y.is_contiguous() and not x.is_contiguous()
    assert y[0, 1, 0].tolist() == x[0, 1, 3, [3, 0, 1, 2, 3, 0]].tolist()
