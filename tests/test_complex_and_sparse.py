"""Complex numbers as pairs, sparse matrices of coordinates, and the hand-over of calls to an argument's own class."""

from __future__ import annotations

import copy

import pytest

import ccdl
import ccdl.nn as nn

np = pytest.importorskip("numpy")


def numbers(*shape, seed=0, dtype=ccdl.float64):
    g = ccdl.Generator().manual_seed(seed)
    return ccdl.complex(ccdl.randn(*shape, generator=g, dtype=dtype), ccdl.randn(*shape, generator=g, dtype=dtype))


def test_complex_arithmetic_is_numpys():
    a, b = numbers(2, 3), numbers(3, seed=1)
    x, y = a.numpy(), b.numpy()
    real = ccdl.rand(2, 3, dtype=ccdl.float64)
    for got, want in [(a * b, x * y), (a + b, x + y), (a - b, x - y), (a / b, x / y), (2 * a, 2 * x), (a * (1 - 2j), x * (1 - 2j)),
                      (1 - a, 1 - x), (1 / a, 1 / x), (a / 4, x / 4), (-a, -x), (a.conj(), x.conj()), (a.exp(), np.exp(x)),
                      (a * real, x * real.numpy()), (real * a, x * real.numpy()), (real + a, x + real.numpy()), (real - a, real.numpy() - x),
                      (a.sum(), x.sum()), (a.sum(0), x.sum(0)), (a.sum(-1, keepdim=True), x.sum(-1, keepdims=True)), (a.mean(1), x.mean(1)),
                      (ccdl.mul(a, b), x * y), (ccdl.conj(a), x.conj()), (ccdl.cat([a, a], dim=-1), np.concatenate([x, x], -1)),
                      (ccdl.stack([a, a]), np.stack([x, x]))]:  # fmt: skip
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)
    for got, want in [(a.abs(), abs(x)), (ccdl.abs(a), abs(x)), (a.angle(), np.angle(x)), (a.real, x.real), (a.imag, x.imag),
                      (ccdl.real(a), x.real), (ccdl.imag(a), x.imag), (ccdl.angle(a), np.angle(x))]:  # fmt: skip
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)
    assert a.tolist() == x.tolist() and a[1, 2].item() == x[1, 2]


def test_complex_shapes_are_numpys():
    z = numbers(2, 3, 4)
    x = z.numpy()
    for got, want in [(z[0], x[0]), (z[..., 1], x[..., 1]), (z[:, None, 1:], x[:, None, 1:]), (z.view(6, 4), x.reshape(6, 4)),
                      (z.reshape(2, -1), x.reshape(2, -1)), (z.transpose(1, 2), x.swapaxes(1, 2)), (z.transpose(-1, 0), x.swapaxes(-1, 0)),
                      (z.permute(2, 0, 1), x.transpose(2, 0, 1)), (z.unsqueeze(-1), x[..., None]), (z.unsqueeze(0).squeeze(0), x),
                      (z.flatten(1), x.reshape(2, 12)), (z[:, :1].expand(2, 5, 4), np.broadcast_to(x[:, :1], (2, 5, 4)))]:  # fmt: skip
        assert tuple(got.shape) == want.shape
        np.testing.assert_array_equal(got.contiguous().numpy(), want)
    assert (z.ndim, z.dim(), len(z), z.size(-1), z.numel()) == (3, 3, 2, 4, 24)
    assert z.dtype is ccdl.complex128 and z.to(ccdl.complex64).dtype is ccdl.complex64 and z.is_complex() and not z.is_floating_point()
    assert z.cpu().clone().detach().device == ccdl.device("cpu") and "j" in repr(z)


def test_polar_and_views():
    size, angle = ccdl.tensor([1.0, 2.0]), ccdl.tensor([0.5, -1.0])
    z = ccdl.polar(size, angle)
    np.testing.assert_allclose(z.numpy(), size.numpy() * np.exp(1j * angle.numpy()), rtol=1e-6)
    pairs = ccdl.zeros(3, 2)
    w = ccdl.view_as_complex(pairs)
    ccdl.view_as_real(w)[1, 0] = 5.0
    assert pairs[1, 0] == 5.0 and w.shape == (3,)


def test_gradients_flow_through_a_rotation():
    def rotate(x, freqs):
        pairs = ccdl.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return ccdl.view_as_real(pairs * freqs.view(1, x.shape[1], 1, -1)).flatten(3)

    freqs = ccdl.polar(ccdl.ones(5, 3, dtype=ccdl.float64), ccdl.rand(5, 3, dtype=ccdl.float64))
    x = ccdl.randn(2, 5, 2, 6, dtype=ccdl.float64, requires_grad=True)
    y = rotate(x, freqs)
    assert ccdl.allclose((y * y).sum(-1), (x * x).sum(-1))
    assert ccdl.autograd.gradcheck(lambda t: rotate(t, freqs), (x,))
    assert ccdl.autograd.gradcheck(lambda t: (numbers(2, 3) / ccdl.view_as_complex(t)).abs(), (ccdl.randn(2, 3, 2, dtype=ccdl.float64, requires_grad=True),))


@pytest.mark.parametrize("call, error", [
    (lambda: ccdl.view_as_complex(ccdl.ones(3)), RuntimeError), (lambda: ccdl.view_as_complex(ccdl.ones(2, dtype=ccdl.int64)), RuntimeError),
    (lambda: ccdl.view_as_complex(None), TypeError), (lambda: ccdl.view_as_real(ccdl.ones(2)), RuntimeError),
    (lambda: ccdl.polar(ccdl.ones(2), 1.0), TypeError), (lambda: ccdl.polar(ccdl.ones(2), ccdl.ones(2).double()), RuntimeError),
    (lambda: ccdl.polar(ccdl.ones(2), ccdl.ones(3)), RuntimeError), (lambda: numbers(2).to(ccdl.float32), TypeError),
    (lambda: numbers(2)[2], IndexError), (lambda: numbers(2)[0, 0], IndexError), (lambda: numbers(2) * "x", TypeError), (lambda: ccdl.relu(numbers(2)), TypeError),
    (lambda: numbers(2).transpose(0, 1), IndexError), (lambda: len(numbers(2)[0]), TypeError),
])  # fmt: skip
def test_complex_errors(call, error):
    with pytest.raises(error):
        call()


def matrix(seed=0, rows=5, columns=4):
    r = np.random.RandomState(seed)
    dense = r.randn(rows, columns) * (r.rand(rows, columns) < 0.4)
    return ccdl.from_numpy(dense), dense


def test_sparse_products_are_dense_ones():
    tensor, dense = matrix()
    a = tensor.to_sparse()
    x, v = ccdl.randn(4, 3, dtype=ccdl.float64), ccdl.randn(4, dtype=ccdl.float64)
    left = ccdl.randn(2, 5, dtype=ccdl.float64)
    for got, want in [(a @ x, dense @ x.numpy()), (a @ v, dense @ v.numpy()), (ccdl.mm(a, x), dense @ x.numpy()), (ccdl.spmm(a, x), dense @ x.numpy()),
                      (ccdl.sparse.mm(a, x), dense @ x.numpy()), (ccdl.matmul(a, x), dense @ x.numpy()), (left @ a, left.numpy() @ dense),
                      (a.t().mm(left.t()), dense.T @ left.numpy().T), (a.to_dense(), dense), (a.T.to_dense(), dense.T), (a.sum(), dense.sum()),
                      (a.sum(1), dense.sum(1)), ((a + a).to_dense(), 2 * dense), (a + tensor, 2 * dense), ((2 * a / 4).to_dense(), dense / 2),
                      ((a * tensor).to_dense(), dense * dense), ((-a).to_dense(), -dense),
                      (ccdl.sparse.addmm(ccdl.ones(5, 3).double(), a, x, beta=2.0, alpha=3.0), 2 + 3 * dense @ x.numpy())]:  # fmt: skip
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)
    rows, columns = dense.nonzero()
    assert a.indices().tolist() == [rows.tolist(), columns.tolist()] and a.values().tolist() == dense[rows, columns].tolist()
    assert a.is_sparse and a.shape == (5, 4) and a.dtype is ccdl.float64 and a._nnz() == len(rows) and "nnz=" in repr(a)
    assert a.float().double().to(ccdl.float32).cpu().dtype is ccdl.float32


def test_sparse_entries_given_twice_are_summed():
    a = ccdl.sparse_coo_tensor([[1, 0, 1], [2, 0, 2]], [1.0, 2.0, 3.0])
    assert a.shape == (2, 3) and not a.is_coalesced() and a.to_dense().tolist() == [[2.0, 0.0, 0.0], [0.0, 0.0, 4.0]]
    with pytest.raises(RuntimeError, match="uncoalesced"):
        a.values()
    c = a.coalesce()
    assert c.indices().tolist() == [[0, 1], [0, 2]] and c.values().tolist() == [2.0, 4.0] and c.coalesce() is c
    empty = ccdl.sparse_coo_tensor([[], []], [], (2, 3))
    assert empty.to_dense().tolist() == [[0.0] * 3] * 2 and (empty @ ccdl.ones(3, 1)).tolist() == [[0.0], [0.0]]
    assert ccdl.sparse.FloatTensor(ccdl.tensor([[0], [1]]), ccdl.tensor([2]), ccdl.Size([2, 2])).dtype is ccdl.float32


def test_sparse_gradients():
    places = ccdl.tensor([[0, 1, 1, 0], [1, 0, 2, 1]])

    def product(values, x):
        return ccdl.sparse_coo_tensor(places, values, (2, 3)) @ x

    values = ccdl.randn(4, dtype=ccdl.float64, requires_grad=True)
    x = ccdl.randn(3, 2, dtype=ccdl.float64, requires_grad=True)
    assert ccdl.autograd.gradcheck(product, (values, x))
    assert ccdl.autograd.gradcheck(lambda v: ccdl.sparse_coo_tensor(places, v, (2, 3)).to_dense(), (values,))
    assert ccdl.autograd.gradcheck(lambda v: ccdl.sparse_coo_tensor(places, v, (2, 3)).coalesce().values(), (values,))
    leaf = ccdl.sparse_coo_tensor(places, ccdl.ones(4), (2, 3), requires_grad=True)
    (leaf @ ccdl.ones(3, 1)).sum().backward()
    assert leaf.requires_grad and leaf.grad._values().tolist() == [1.0] * 4


@pytest.mark.parametrize("call, error", [
    (lambda: ccdl.sparse_coo_tensor([[0, 1]], [1.0], (2,)), RuntimeError), (lambda: ccdl.sparse_coo_tensor([[5], [0]], [1.0], (2, 2)), RuntimeError),
    (lambda: ccdl.sparse_coo_tensor([[-1], [0]], [1.0], (2, 2)), RuntimeError), (lambda: ccdl.sparse_coo_tensor([[0], [0]], [1.0], (2,)), RuntimeError),
    (lambda: ccdl.sparse_coo_tensor([[0.5]], [1.0], (2,)), RuntimeError), (lambda: ccdl.sparse_coo_tensor([0, 1], [1.0, 2.0], (2,)), RuntimeError),
    (lambda: ccdl.eye(2).to_sparse() @ ccdl.ones(3, 1), RuntimeError), (lambda: ccdl.eye(2).to_sparse() @ ccdl.ones(2, 1).double(), RuntimeError),
    (lambda: ccdl.eye(2).to_sparse().mm(3), TypeError), (lambda: ccdl.relu(ccdl.eye(2).to_sparse()), TypeError),
    (lambda: ccdl.mm(ccdl.ones(2, 2), None), TypeError), (lambda: ccdl.sparse_coo_tensor([[], []], []), RuntimeError),
    (lambda: ccdl.eye(2).to_sparse() + ccdl.eye(3).to_sparse(), RuntimeError),
])  # fmt: skip
def test_sparse_errors(call, error):
    with pytest.raises(error):
        call()
    assert (ccdl.ones(1) + 1).item() == 2.0


def test_modules_hold_them_beside_their_state():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("freqs", ccdl.polar(ccdl.ones(2), ccdl.zeros(2)), persistent=False)
            self.register_buffer("graph", ccdl.eye(2).to_sparse(), persistent=False)

    net = Net().double()
    assert net.graph.dtype is ccdl.float64 and net.freqs.dtype is ccdl.complex64 and not net.state_dict()
    net.to("cpu")
    net.freqs = net.freqs * 1j
    copied = copy.deepcopy(net)
    assert copied.freqs.tolist() == [1j, 1j] and copied.graph.to_dense().tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(TypeError, match="Tensor or None required"):
        net.register_buffer("kept", ccdl.eye(2).to_sparse())


def test_a_function_keeps_them_for_backward():
    class Product(ccdl.autograd.Function):
        @staticmethod
        def forward(ctx, values, x):
            a = ccdl.sparse_coo_tensor([[0, 1], [1, 0]], values, (2, 2))
            ctx.save_for_backward(a, None, x)
            return a @ x

        @staticmethod
        def backward(ctx, dy):
            a, nothing, x = ctx.saved_tensors
            assert nothing is None
            return (dy @ x.t())[a._indices()[0], a._indices()[1]], a.t() @ dy

    values = ccdl.randn(2, dtype=ccdl.float64, requires_grad=True)
    assert ccdl.autograd.gradcheck(Product.apply, (values, ccdl.randn(2, 3, dtype=ccdl.float64, requires_grad=True)))


def test_calls_are_handed_to_a_class_that_asks_for_them():
    class Logged:
        calls = []

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.calls.append((func.__name__, types, len(args), kwargs))
            return NotImplemented if func is ccdl.tanh else "mine"

    thing = Logged()
    assert ccdl.add(thing, 1) == "mine" and ccdl.add(ccdl.ones(1), thing, alpha=2) == "mine" and ccdl.cat([ccdl.ones(1), thing]) == "mine"
    assert Logged.calls == [("add", (Logged,), 2, {}), ("add", (Logged,), 2, {"alpha": 2}), ("cat", (Logged,), 1, {})]
    with pytest.raises(TypeError):
        ccdl.tanh(thing)
    assert ccdl.overrides.has_torch_function((1, thing)) and not ccdl.overrides.has_torch_function_variadic(ccdl.ones(1), 1)

    class Broken:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        ccdl.exp(Broken())


def test_complex_numbers_of_python_beside_real_tensors() -> None:
    x = np.array([1.0, -2.0, 3.0])
    t = ccdl.tensor(x, requires_grad=True)
    for call in (lambda v: 1j * v, lambda v: v * (2 - 1j), lambda v: v + 2j, lambda v: 2j - v, lambda v: v - 2j, lambda v: (1 + 1j) / v,
                 lambda v: v / (2 - 1j)):
        np.testing.assert_allclose(call(t).detach().numpy(), call(x), rtol=1e-12)
    ccdl.exp(1j * t).real.sum().backward()  # d cos(t) / dt
    np.testing.assert_allclose(t.grad.cpu().numpy(), -np.sin(x), rtol=1e-12)
    for call in (lambda v: v // 1j, lambda v: v % 1j, lambda v: v & 1j):
        with pytest.raises(TypeError):
            call(t)


@pytest.mark.parametrize("call, error, words", [
    (lambda: ccdl._C._complex_multiply(ccdl.ones(3), ccdl.ones(3)), RuntimeError, "dimension of 2"),
    (lambda: ccdl._C._complex_multiply(ccdl.tensor(1.0), ccdl.ones(2)), RuntimeError, "dimension of 2"),
    (lambda: ccdl._C._complex_multiply(ccdl.ones(2), ccdl.ones(2).double()), RuntimeError, "one dtype"),
    (lambda: ccdl._C._complex_multiply(ccdl.ones(2, dtype=ccdl.int64), ccdl.ones(2)), RuntimeError, "int64"),
])  # fmt: skip
def test_products_of_what_are_no_pairs(call, error, words):
    with pytest.raises(error, match=words):
        call()
