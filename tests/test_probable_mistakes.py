"""Calls that PyTorch refuses or warns about because they are probably not meant: a tensor written by index from
its own memory, out= of another size, bytes as masks; and what those rules must leave alone.
"""
import warnings

import numpy as np
import pytest

import ccdl

INDEX = ccdl.arange(5)

WRITES = {
    "put_": lambda x, src: x.put_(INDEX, src),
    "scatter_": lambda x, src: x.scatter_(0, INDEX, src),
    "scatter_add_": lambda x, src: x.scatter_add_(0, INDEX, src),
    "index_add_": lambda x, src: x.index_add_(0, INDEX, src),
    "index_copy_": lambda x, src: x.index_copy_(0, INDEX, src),
}


@pytest.mark.parametrize("name", WRITES)
def test_source_in_the_memory_written(name):
    write, memory = WRITES[name], ccdl.arange(12.0)
    for source in (memory[:5], memory[1:6], memory[4:9]):
        with pytest.raises(RuntimeError, match=name + ".*refer to a single memory location"):
            write(memory[:5], source)
    np.testing.assert_array_equal(memory.numpy(), np.arange(12.0))  # nothing was written
    write(memory[:5], memory[5:10])  # neighbours do not meet
    expected = np.arange(5, 10.0) + (np.arange(5.0) if "add" in name else 0)
    np.testing.assert_array_equal(memory[:5].numpy(), expected)
    write(memory[:5], memory[1:6].clone())


@pytest.mark.parametrize(
    "write",
    [
        lambda i: i.put_(i, i.clone()),
        lambda i: i.scatter_(0, i, 1),
        lambda i: i.index_fill_(0, i, 7),
        lambda i: i.index_copy_(0, i, i.clone()),
        lambda i: i.index_add_(0, i, i.clone()),
    ],
)
def test_index_in_the_memory_written(write):
    index = ccdl.arange(4)
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        write(index)
    assert index.tolist() == [0, 1, 2, 3]


def warnings_of(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught]


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: ccdl.add(x, x, out=out),
        lambda x, out: ccdl.exp(x, out=out),
        lambda x, out: ccdl.mm(x, x, out=out),
        lambda x, out: ccdl.sum(x, 0, out=out),
        lambda x, out: ccdl.cat([x, x], out=out),
        lambda x, out: ccdl.index_select(x, 0, ccdl.tensor([0]), out=out),
        lambda x, out: ccdl.tensordot(x, x, 1, out=out),
    ],
)
def test_out_of_another_size(call):
    x = ccdl.eye(3)
    out = ccdl.empty(7)
    told = warnings_of(lambda: call(x, out))
    assert len(told) == 1
    assert told[0].startswith("An output with one or more elements was resized since it had shape [7]")
    assert warnings_of(lambda: call(x, out)) == []  # it fits now
    assert warnings_of(lambda: call(x, ccdl.empty(0))) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="resized"):
            call(x, ccdl.empty(7))
        call(x, ccdl.empty(0))


@pytest.mark.parametrize("call", [lambda o: ccdl.linspace(0, 1, 3, out=o), lambda o: ccdl.zeros(3, out=o),
                                  lambda o: ccdl.eye(3, out=o), lambda o: ccdl.rand(3, out=o)])
def test_factories_resize_silently(call):
    assert warnings_of(lambda: call(ccdl.empty(7))) == []


def test_bytes_as_masks():
    x, mask = ccdl.tensor([1.0, 2.0, 3.0]), ccdl.tensor([1, 0, 1], dtype=ccdl.uint8)
    for call in (lambda: x[mask], lambda: x.clone().__setitem__(mask, ccdl.zeros(2)), lambda: ccdl.where(mask, x, x)):
        told = warnings_of(call)
        assert len(told) == 1
        assert "uint8" in told[0]
    assert x[mask].tolist() == [1.0, 3.0]
    assert warnings_of(lambda: x[mask.bool()]) == warnings_of(lambda: x[mask.long()]) == []


def test_float_power_keeps_doubles():
    x = ccdl.tensor([1.0, 2.0, 3.0])
    with pytest.raises(RuntimeError, match="float_power.*float64"):
        ccdl.float_power(x, 2, out=ccdl.empty(3))
    assert ccdl.float_power(x, 2, out=ccdl.empty(3, dtype=ccdl.float64)).tolist() == [1.0, 4.0, 9.0]


def test_shifts_of_a_number():
    x = ccdl.tensor([0, 1, 5])
    assert ccdl.bitwise_left_shift(3, x).tolist() == [3, 6, 96]
    assert ccdl.bitwise_right_shift(96, x).tolist() == [96, 48, 3]


def test_array_divided_by_a_tensor():
    a = np.array([1.0, 2.0, 9.0])
    y = a / ccdl.tensor([2.0, 4.0, 3.0], dtype=ccdl.float64)
    assert isinstance(y, ccdl.Tensor)
    np.testing.assert_allclose(y.numpy(), [0.5, 0.5, 3.0], rtol=1e-15)
    with pytest.raises(TypeError):
        "a" / ccdl.tensor([1.0])


def test_second_derivative_through_overlapping_windows():
    # y = the windows of p^3: sum y^2 = sum of n_k p_k^6, where n_k windows show k
    p = np.arange(5.0)
    n = np.array([1, 2, 2, 1, 0])
    x = ccdl.tensor(p).requires_grad_()
    y = (x**3).as_strided((3, 2), (1, 1))
    (g,) = ccdl.autograd.grad((y**2).sum(), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), 6 * n * p**5)
    (h,) = ccdl.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(h.numpy(), 30 * n * p**4)
    x = ccdl.tensor(p + 1).requires_grad_()
    assert ccdl.autograd.gradgradcheck(lambda v: v.as_strided((2, 3), (2, 1)) ** 2, x)


def test_masked_fill_of_an_expanded_tensor():
    base, mask = ccdl.arange(3.0), ccdl.tensor([[False, True, False], [False, False, True]])
    told = warnings_of(lambda: base.expand(2, 3).masked_fill_(mask, 9))
    assert len(told) == 1 and told[0].startswith("Use of masked_fill_ on expanded tensors is deprecated")
    assert base.tolist() == [0.0, 9.0, 9.0]  # what any of the sharers asks for
    assert warnings_of(lambda: ccdl.zeros(1, 0).expand(2, 0).masked_fill_(ccdl.ones(2, 0).bool(), 1)) == []
    x = ccdl.arange(1.0, 4.0).requires_grad_()
    y = x * 2
    with pytest.warns(UserWarning, match="expanded"):
        y.expand(2, 3).masked_fill_(mask, 0)
    y.sum().backward()
    assert y.tolist() == [2.0, 0.0, 0.0]
    assert x.grad.tolist() == [2.0, 0.0, 0.0]
