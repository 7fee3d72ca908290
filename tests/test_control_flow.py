"""Operators that take functions: branches, loops and scans against plain Python and NumPy."""

import numpy as np
import pytest

import ccdl
from ccdl._higher_order_ops.associative_scan import associative_scan


def test_cond_runs_one_branch_and_is_differentiable():
    ran = []

    def double(x):
        ran.append("double")
        return x * 2

    def negate(x):
        ran.append("negate")
        return -x

    x = ccdl.ones(3, requires_grad=True)
    ccdl.cond(x.sum() > 2, double, negate, (x,)).sum().backward()
    assert ran == ["double"] and x.grad.tolist() == [2.0] * 3
    assert ccdl.cond(False, double, negate, [x]).tolist() == [-1.0] * 3


def test_while_loop_carries_values():
    x = ccdl.tensor(1.5, requires_grad=True)
    steps, value = ccdl.while_loop(lambda i, v: i < 4, lambda i, v: (i + 1, v * x), (ccdl.tensor(0), x))
    value.backward()
    assert int(steps) == 4 and float(value) == 1.5**5
    np.testing.assert_allclose(float(x.grad), 5 * 1.5**4, rtol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 33])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_gives_all_prefixes(size, reverse):
    data = np.random.default_rng(0).standard_normal((2, size, 3))
    for dim in (1, -2):
        got = associative_scan(lambda a, b: a + b, ccdl.tensor(data), dim, reverse=reverse)
        turned = data[:, ::-1] if reverse else data
        wanted = turned.cumsum(1)
        np.testing.assert_allclose(got.numpy(), wanted[:, ::-1] if reverse else wanted, rtol=1e-12, atol=1e-12)


def test_scan_of_a_linear_recurrence_with_gradients():
    """h_t = a_t h_{t-1} + b_t, the recurrence of state space models, over pairs (a, b)."""
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0.5, 1, (2, 9, 4)), rng.standard_normal((2, 9, 4))

    def combine(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    state, wanted = np.zeros((2, 4)), []
    for t in range(9):
        state = a[:, t] * state + b[:, t]
        wanted.append(state)
    pair = (ccdl.tensor(a, requires_grad=True), ccdl.tensor(b, requires_grad=True))
    for mode in ("pointwise", "generic"):
        states = associative_scan(combine, pair, dim=1, combine_mode=mode)[1]
        np.testing.assert_allclose(states.detach().numpy(), np.stack(wanted, 1), rtol=1e-12, atol=1e-12)
    assert ccdl.autograd.gradcheck(lambda a, b: associative_scan(combine, (a, b), dim=1)[1], pair)
    nest = associative_scan(
        lambda x, y: {"a": x["a"] * y["a"], "b": [x["b"][0] * y["a"] + y["b"][0]]},
        {"a": pair[0], "b": [pair[1]]},
        1,
    )
    np.testing.assert_allclose(nest["b"][0].detach().numpy(), np.stack(wanted, 1), rtol=1e-12, atol=1e-12)


def test_bad_calls():
    x = ccdl.ones(2, 3)
    for error, part, call in [
        (RuntimeError, "one element", lambda: ccdl.cond(x, abs, abs, (x,))),
        (RuntimeError, "callable", lambda: ccdl.cond(True, abs, None, (x,))),
        (RuntimeError, "tuple or list", lambda: ccdl.cond(True, abs, abs, x)),
        (RuntimeError, "bool or a tensor", lambda: ccdl.while_loop(lambda v: None, abs, (x,))),
        (RuntimeError, "tuple or list", lambda: ccdl.while_loop(lambda v: False, abs, x)),
        (RuntimeError, "functions", lambda: ccdl.while_loop(True, abs, (x,))),
        (RuntimeError, "as many", lambda: ccdl.while_loop(lambda v: True, lambda v: (v, v), (x,))),
        (ValueError, "callable", lambda: associative_scan(None, x, 0)),
        (ValueError, "pointwise", lambda: associative_scan(max, x, 0, combine_mode="fast")),
        (ValueError, "tensors", lambda: associative_scan(max, [1, 2], 0)),
        (ValueError, "one size", lambda: associative_scan(max, (x, x[:1]), 0)),
        (IndexError, "", lambda: associative_scan(max, x, 5)),
    ]:
        with pytest.raises(error, match=part):
            call()


def test_names_that_libraries_import():
    from ccdl.nn.modules.module import _IncompatibleKeys

    keys = ccdl.nn.Linear(1, 1).load_state_dict({}, strict=False)
    assert type(keys) is _IncompatibleKeys and keys.missing_keys == ["weight", "bias"]
