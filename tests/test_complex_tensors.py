"""Complex tensors as tensors: functions against NumPy with gradients checked, whole programs against PyTorch where that is installed,
and refusals: what the table of functions does not know is an error, never the pairs taken for numbers."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest

import ccdl

np = pytest.importorskip("numpy")
scipy_linalg = pytest.importorskip("scipy.linalg")


def draws(*shape: int, seed: int = 0) -> Any:
    r = np.random.RandomState(seed)
    return r.randn(*shape) + 1j * r.randn(*shape)


UNARY = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "expm1": np.expm1, "exp2": lambda z: 2**z, "square": np.square, "reciprocal": np.reciprocal, "conj": np.conj,
    "neg": np.negative, "rsqrt": lambda z: 1 / np.sqrt(z), "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "sgn": lambda z: z / abs(z), "abs": np.abs,
    "angle": np.angle, "real": np.real, "imag": np.imag, "sinc": np.sinc,
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_are_numpys(name: str) -> None:
    z = np.concatenate([draws(40), 3 * draws(40, seed=1), draws(20, seed=2).real + 0j, 1e-3 * draws(20, seed=3)])
    got = getattr(ccdl, name)(ccdl.from_numpy(z))
    assert got.dtype is (ccdl.float64 if name in ("abs", "angle", "real", "imag") else ccdl.complex128)
    np.testing.assert_allclose(got.numpy(), UNARY[name](z), rtol=1e-11, atol=1e-12)
    single = getattr(ccdl, name)(ccdl.from_numpy(z[:80].astype("complex64"))).numpy()
    np.testing.assert_allclose(single, UNARY[name](z[:80]), rtol=2e-4, atol=2e-5)
    x = ccdl.from_numpy(draws(3, seed=4)).requires_grad_()
    assert ccdl.autograd.gradcheck(getattr(ccdl, name), (x,)) and (name == "angle" or ccdl.autograd.gradgradcheck(getattr(ccdl, name), (x,)))


def test_large_and_special_values() -> None:
    for value in (1e200 + 1e200j, 1e-200 - 3e-200j, 3e200, -2e300j):
        z = ccdl.tensor(value, dtype=ccdl.complex128)
        assert z.abs().item() == pytest.approx(abs(value)) and (1 / z).item() == pytest.approx(1 / value) and (z / z).item() == pytest.approx(1)
    zero = ccdl.zeros(1, dtype=ccdl.cdouble, requires_grad=True)
    zero.abs().sum().backward()
    assert zero.grad.tolist() == [0j] and (ccdl.zeros(1, dtype=ccdl.cfloat) ** 0).tolist() == [1] and (0j ** ccdl.tensor([2.0 + 0j])).tolist() == [0]
    broken = ccdl.tensor([complex("nan"), complex(float("inf"), 1), 2j])
    assert broken.isnan().tolist() == [True, False, False] and broken.isinf().tolist() == [False, True, False]
    assert broken.isfinite().tolist() == [False, False, True] and broken.isreal().tolist() == [True, False, False]


A, B, M, V = draws(2, 3, seed=5), draws(2, 3, seed=6), draws(3, 3, seed=7), draws(3, seed=8)
R = np.random.RandomState(9).randn(2, 3)
PLACES = np.array([[0, 1, 1], [1, 0, 1]])
CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arithmetic": (lambda L, x, y, r: (2 * x + 1j - 3) / (1 + 2j) * y - r * x + x / y + r / x - x / r, (A, B, R)),
    "powers": (lambda L, x, y: x**3 + x**-2 + x**0.5 + x**1.5 + 2**x + x**y + x**0, (A, B)),
    "real by j": (lambda L, r: r * 1j + 2j * r, (R,)),
    "alpha": (lambda L, x, y: L.add(x, y, alpha=2) + x.sub(y, alpha=2j), (A, B)),
    "in place": (lambda L, x, y: x.clone().mul_(2j).add_(y).div_(y).sub_(1).mul_(x), (A, B)),
    "fused sums": (lambda L, x, y: L.addcmul(x, y, x, value=2) + L.addcdiv(x, y, x) + L.lerp(x, y, 0.3), (A, B)),
    "products": (lambda L, x, m, v: L.addmm(x, x, m, beta=2, alpha=3) + (x @ v)[:, None] + L.einsum("ij,jk->ik", x, m) + L.tensordot(x, m, 1), (A, M, V)),
    "vectors": (lambda L, v: L.dot(v, v) + L.vdot(v, 2 * v) + L.inner(v, v) + L.outer(v, v).sum() + L.kron(v, v).sum(), (V,)),
    "linear": (lambda L, x, m, v: L.nn.functional.linear(x, m, v), (A, M, V)),
    "multi_dot": (lambda L, x, m: L.linalg.multi_dot([x, m, m]) + L.matrix_power(m, 3)[:2] + L.matrix_exp(m)[1:], (A, M)),
    "solve": (lambda L, m, v: L.linalg.solve(m, v) + L.linalg.inv(m)[0] + L.linalg.pinv(m)[:, 1], (M, V)),
    "cross": (lambda L, x, y: L.linalg.cross(x, y), (A, B)),
    "spectrum": (lambda L, m: L.linalg.svdvals(m) + L.linalg.eigvalsh(m @ m.mH), (M,)),
    "sums": (lambda L, x: x.sum() + x.sum(1, keepdim=True) + x.mean(0) + x.prod() + L.prod(x, 1, keepdim=True) + L.cumprod(x, 1) + L.cumsum(x, 0), (A,)),
    "norms": (lambda L, x: x.norm() + L.linalg.vector_norm(x, 3, 1).sum() + x.var() + x.std(1).sum() + L.dist(x, 2 * x), (A,)),
    "matrix norms": (lambda L, m: L.linalg.norm(m, 1) + L.linalg.norm(m) + L.linalg.norm(m, float("inf")), (M,)),
    "joining": (lambda L, x, y, r: L.cat([x, y], -1).sum(1) + L.stack([x, y], 1).sum((0, 1)).sum() + L.hstack([x, y])[:, 0] + L.vstack([x, y])[0, 0] + L.cat([x, r])[3, 1], (A, B, R)),
    "where": (lambda L, x, y: L.where(L.tensor(R > 0), x, y) + L.where(L.tensor(R > 1), x, 0) + x.masked_fill(L.tensor(R > 0), 1j), (A, B)),
    "shapes": (lambda L, x: x.T.reshape(2, 3) + x.view(-1).roll(2).reshape(2, 3) + x.flip(0) + L.roll(x, 1, 1) + x[:, None].expand(2, 4, 3).mean(1) + x.unflatten(1, (3, 1)).squeeze(-1), (A,)),
    "pieces": (lambda L, x: x.chunk(2, 1)[0].sum() + L.split(x, 2, 1)[1].sum() + x.unbind(0)[1].sum() + x.narrow(1, 0, 2).sum() + x.unfold(1, 2, 1).sum(), (A,)),
    "diagonals": (lambda L, m: L.diag(m).sum() + m.tril().sum() + L.triu(m, 1) + L.diag_embed(m)[0] + m.diagonal() + L.trace(m) + L.rot90(m), (M,)),
    "places": (lambda L, x: L.gather(x, 1, L.tensor(PLACES)) + L.index_select(x, 1, L.tensor([0, 2, 1])) + x[[0, 1], [1, 2]].sum() + x[L.tensor(R > 0)].sum() + L.take(x, L.tensor([0, 4])).sum(), (A,)),
    "added": (lambda L, x, y: x.scatter_add(1, L.tensor(PLACES), y) + x.index_add(0, L.tensor([1, 0]), y) + x.index_put((L.tensor([1, 0]),), y, accumulate=True), (A, B)),
    "repeated": (lambda L, x: x.repeat(2, 2) + L.tile(x, (2, 2)) + L.repeat_interleave(L.repeat_interleave(x, 2, 1), 2, 0), (A,)),
    "padded": (lambda L, x: L.nn.functional.pad(x, (1, 1)) + L.nn.functional.pad(x, (2, 0), value=2.0), (A,)),
    "rows": (lambda L, x: x[L.tensor([1, 0, 1])] + L.broadcast_tensors(x[0], x[:1])[0], (A,)),
    "views": (lambda L, x: L.view_as_complex(L.view_as_real(x) * 2) + L.complex(x.real, x.imag * 2) + L.polar(x.abs(), x.angle()), (A,)),
    "losses": (lambda L, x, y: L.nn.functional.l1_loss(x, y) + L.nn.functional.mse_loss(L.view_as_real(x), L.view_as_real(y)) + x.abs().softmax(-1).sum(), (A, B)),
    "convolution": (lambda L, x, y: L.nn.functional.conv1d(x[None], y[:, :, None].expand(2, 3, 2).transpose(0, 1)[:, :, :2], None, 1, 1), (A, B)),
    "transforms": (lambda L, x: L.fft.fft(x) + L.fft.ifft2(x) + L.fft.irfft(x, n=3), (A,)),
    "equal": (lambda L, x, y: (x == x).sum() + (x != y).sum() + L.isclose(x, x + 1e-12).sum() + L.count_nonzero(x) + x.nonzero().sum(), (A, B)),
}  # fmt: skip


def setting(L: Any, x: Any, y: Any) -> Any:
    z = L.zeros(2, 3, dtype=x.dtype)
    z[:, 1:] = x[:, 1:] * 2
    z[0] = y[0]
    z[1, 0] = 3.0
    z.real = z.imag * 2 + 1
    z += y
    z *= 2j
    return z * x


CALLS["setting"] = (setting, (A, B))


def outcome(L: Any, call: Any, arrays: Any) -> list[Any]:
    leaves = [L.tensor(a).requires_grad_() for a in arrays]
    y = call(L, *leaves)
    if y.requires_grad:
        loss = (y.abs() ** 2).sum()
        loss = loss + y.real.sum() * 1.5 + y.imag.sum() * 0.7 if y.is_complex() else loss + y.sum()
        loss.backward()
    return [str(y.dtype).split(".")[-1], y.detach().numpy(), *(None if t.grad is None else t.grad.numpy() for t in leaves)]


@pytest.mark.parametrize("name", CALLS)
def test_calls_and_gradients_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    call, arrays = CALLS[name]
    if name == "convolution":
        arrays = (draws(2, 5, seed=10), draws(2, 3, seed=11))
    want, got = outcome(torch, call, arrays), outcome(ccdl, call, arrays)
    assert got[0] == want[0]
    for g, w in zip(got[1:], want[1:], strict=True):
        assert (g is None) == (w is None)
        if w is not None:
            np.testing.assert_allclose(g, w, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("equal", "spectrum")])
def test_gradients_are_differences(name: str) -> None:
    call, arrays = CALLS[name]
    if name == "convolution":
        arrays = (draws(2, 5, seed=10), draws(2, 3, seed=11))
    leaves = tuple(ccdl.tensor(a).requires_grad_() for a in arrays)
    assert ccdl.autograd.gradcheck(lambda *x: call(ccdl, *x), leaves)


def test_matrices_are_numpys() -> None:
    m = ccdl.from_numpy(M)
    for got, want in [(ccdl.linalg.inv(m), np.linalg.inv(M)), (ccdl.linalg.solve(m, ccdl.from_numpy(V)), np.linalg.solve(M, V)), (ccdl.linalg.pinv(ccdl.from_numpy(A)), np.linalg.pinv(A)),
                      (ccdl.linalg.svdvals(m), np.linalg.svd(M)[1]), (ccdl.linalg.eigvalsh(m @ m.mH), np.linalg.eigvalsh(M @ M.conj().T)), (ccdl.matrix_exp(m), scipy_linalg.expm(M)),
                      (ccdl.kron(m, ccdl.from_numpy(A)), np.kron(M, A)), (ccdl.tensordot(m, m, 2), np.tensordot(M, M, 2))]:  # fmt: skip
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-9, atol=1e-10)


def test_they_are_tensors() -> None:
    z = ccdl.tensor([1 + 2j, 3 - 4j])
    assert isinstance(z, ccdl.Tensor) and ccdl.is_tensor(z) and ccdl.is_complex(z) and z.dtype is ccdl.complex64 and z.itemsize == 8 and z.nbytes == 16
    assert z.shape == (2,) and z.stride() == (1,) and z.is_contiguous() and z.numel() == 2 and len(z) == 2 and [v.item() for v in z] == [1 + 2j, 3 - 4j]
    assert repr(z) == "tensor([1.+2.j, 3.-4.j])" and str(z[0]) == "tensor(1.+2.j)" and complex(z[0]) == 1 + 2j and bool(z[0]) and (1 + 2j) in z
    assert repr(ccdl.tensor([0.5 + 0.25j], dtype=ccdl.cdouble)) == "tensor([0.5000+0.2500j], dtype=ccdl.complex128)" and "requires_grad=True" in repr(z.requires_grad_())
    array = np.array([[1 + 2j, 3], [4j, 5]])
    shared = ccdl.from_numpy(array[:, ::-1].copy()[:, ::-1].T.copy())
    assert shared.tolist() == array.T.tolist() and np.asarray(shared).dtype == np.complex128
    kept = ccdl.from_numpy(array)
    array[0, 0] = 7
    assert kept[0, 0].item() == 7 and kept.numpy()[0, 0] == 7 and ccdl.tensor(np.complex64(2j)).dtype is ccdl.complex64
    assert ccdl.tensor([[1, 2j], [3.0, ccdl.tensor(1j)]]).tolist() == [[1, 2j], [3, 1j]] and ccdl.as_tensor(kept) is kept
    assert ccdl.zeros_like(kept).dtype is ccdl.complex128 and kept.new_zeros(2).dtype is ccdl.complex128 and ccdl.ones_like(kept, dtype=ccdl.float32).dtype is ccdl.float32
    assert copy.copy(kept).tolist() == kept.tolist() and pickle.loads(pickle.dumps(kept)).tolist() == kept.tolist() and kept.T.conj().tolist() == kept.mH.tolist() == kept.H.tolist()
    assert hash(kept) == hash(kept) and kept in {kept} and type(kept[0]) is type(kept.real + 1j)
    out = ccdl.empty(2, 2, dtype=ccdl.cdouble)
    assert ccdl.exp(kept, out=out) is out and ccdl.allclose(out, kept.exp()) and ccdl.equal(kept, kept.clone())
    with pytest.raises(TypeError, match="complex"):
        ccdl.exp(kept, out=ccdl.empty(2, 2, dtype=ccdl.float64))


def spectral_net(L: Any) -> Any:
    class Net(L.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.w = L.nn.Parameter(L.tensor(draws(4, 5, 6, seed=12).astype("complex64")))
            self.register_buffer("k", L.tensor(draws(6, seed=13).astype("complex64")))
            self.lin = L.nn.Linear(10, 10)
            with L.no_grad():
                self.lin.weight.copy_(L.tensor(np.eye(10, dtype="float32") * 0.5))
                self.lin.bias.zero_()

        def forward(self, x: Any) -> Any:
            f = L.fft.rfft(x)
            out = L.zeros(x.shape[0], 5, f.shape[-1], dtype=L.cfloat)
            out[:, :, :6] = L.einsum("bix,iox->box", f[:, :, :6], self.w) * self.k
            return self.lin(L.fft.irfft(out, n=x.shape[-1]))

    return Net()


X = np.random.RandomState(14).randn(3, 4, 10).astype("float32")
OPTIMISERS: dict[str, Any] = {
    "SGD": dict(lr=0.01, momentum=0.9, weight_decay=0.01, nesterov=True), "Adam": dict(lr=0.01, amsgrad=True), "AdamW": dict(lr=0.01),
    "RMSprop": dict(lr=0.01, momentum=0.9, centered=True), "Adagrad": {}, "Adadelta": {}, "NAdam": {}, "RAdam": {}, "ASGD": {}, "Adamax": {}, "Rprop": {},
}  # fmt: skip


def trained(L: Any, name: str, steps: int = 5, clip: Any = None) -> list[Any]:
    net = spectral_net(L)
    optimiser = getattr(L.optim, name)(net.parameters(), **OPTIMISERS[name])
    norms = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = ((net(L.tensor(X)) - 1) ** 2).mean()
        loss.backward()
        if clip is not None:
            norms.append(L.nn.utils.clip_grad_norm_(net.parameters(), 0.1, norm_type=clip).item())
        optimiser.step()
    return [loss.item(), net.w.detach().numpy(), net.lin.weight.detach().numpy(), norms]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_parameters_train_as_in_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for g, w in zip(trained(ccdl, name), trained(torch, name), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, float("inf")])
def test_gradients_are_clipped_as_in_pytorch(order: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for g, w in zip(trained(ccdl, "SGD", 3, order), trained(torch, "SGD", 3, order), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)


def test_parameters_buffers_and_files() -> None:
    net = spectral_net(ccdl)
    assert isinstance(net.w, ccdl.nn.Parameter) and net.w.requires_grad and net.w.is_leaf and [n for n, _ in net.named_parameters()] == ["w", "lin.weight", "lin.bias"]
    assert sum(p.numel() for p in net.parameters()) == 120 + 110 and repr(net.w).startswith("Parameter containing:\ntensor(")
    state = net.state_dict()
    assert list(state) == ["w", "k", "lin.weight", "lin.bias"] and state["w"].dtype is state["k"].dtype is ccdl.complex64
    file = io.BytesIO()
    ccdl.save({"net": state, "z": net.w}, file)
    file.seek(0)
    back = ccdl.load(file)
    other = spectral_net(ccdl)
    with ccdl.no_grad():
        other.w.zero_()
        other.k.fill_(1j)
    other.load_state_dict(back["net"])
    assert ccdl.equal(other.w, net.w) and ccdl.equal(other.k, net.k) and isinstance(back["z"], ccdl.nn.Parameter) and back["z"].is_complex()
    net(ccdl.tensor(X)).sum().backward()
    twin = copy.deepcopy(net)
    assert twin.w.requires_grad and twin.w is not net.w and ccdl.equal(twin.w, net.w) and isinstance(pickle.loads(pickle.dumps(net.w)), ccdl.nn.Parameter)
    assert net.w.grad.dtype is ccdl.complex64 and net.w.grad is net.w.grad and net.w.grad.shape == (4, 5, 6)
    assert net.double().w.dtype is ccdl.complex64 and net.lin.weight.dtype is ccdl.float64
    optimiser = ccdl.optim.Adam(net.parameters())
    optimiser.step()
    assert optimiser.state_dict()["state"][0]["exp_avg"].dtype is ccdl.complex64
    buffer = ccdl.nn.Buffer(ccdl.tensor([1j]))
    assert isinstance(buffer, ccdl.nn.Buffer) and copy.deepcopy(buffer).tolist() == [1j]
    p = ccdl.nn.Parameter(ccdl.empty(200, 200, dtype=ccdl.cfloat))
    ccdl.nn.init.normal_(p, 0, 2.0)
    assert abs((p.abs() ** 2).mean().item() - 4) < 0.2 and ccdl.nn.init.constant_(p, 1j)[0, 0].item() == 1j
    with pytest.raises(TypeError, match="complex"):
        p.data = ccdl.ones(200, 200)
    with pytest.raises(TypeError, match="complex"):
        p.grad = ccdl.ones(200, 200)


def test_the_engine_hands_out_complex_gradients() -> None:
    z = ccdl.tensor(A).requires_grad_()
    (g,) = ccdl.autograd.grad((z * z).sum(), z, ccdl.tensor(1 + 2j, dtype=ccdl.cdouble))
    np.testing.assert_allclose(g.numpy(), (1 + 2j) * (2 * A).conj())
    seen: list[Any] = []
    z.register_hook(lambda grad: (seen.append(grad), grad * 2j)[1])
    y = z * z
    y.retain_grad()
    y.abs().sum().backward()
    unit = (A * A) / abs(A * A)
    np.testing.assert_allclose(y.grad.numpy(), unit)
    np.testing.assert_allclose(seen[0].numpy(), unit * (2 * A).conj())
    np.testing.assert_allclose(z.grad.numpy(), unit * (2 * A).conj() * 2j)
    with pytest.raises(RuntimeError, match="real scalar outputs"):
        (z * z).sum().backward()
    (first,) = ccdl.autograd.grad((z**3).abs().sum(), z, create_graph=True)
    assert first.requires_grad and ccdl.autograd.grad((first.abs() ** 2).sum(), z)[0].is_complex()

    class Product(ccdl.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, r: Any) -> Any:
            ctx.save_for_backward(x, r)
            return x * x * r, x.abs()

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            x, r = ctx.saved_tensors
            assert g.is_complex() and not h.is_complex() and x.is_complex()
            return g * 2 * x.conj() * r + h * x / x.abs(), (g.conj() * x * x).real.sum()

    assert ccdl.autograd.gradcheck(Product.apply, (z.detach().requires_grad_(), ccdl.tensor(2.0, dtype=ccdl.float64, requires_grad=True)))
    x = ccdl.tensor(X, requires_grad=True)
    net = spectral_net(ccdl)
    ccdl.utils.checkpoint.checkpoint(net, x, use_reentrant=False).sum().backward()
    kept = net.w.grad.clone()
    net.w.grad = None
    net(x).sum().backward()
    assert ccdl.allclose(kept, net.w.grad)


@pytest.mark.parametrize("call", [
    lambda z: float(z[0]), lambda z: int(z[0]), lambda z: z < z, lambda z: z // 2, lambda z: z % 2, lambda z: ~z, lambda z: z & z, lambda z: ccdl.relu(z), lambda z: ccdl.ones(2).add_(z),
    lambda z: ccdl.ones(2).copy_(z), lambda z: ccdl.ones(2).__setitem__(0, z[0]), lambda z: z.max(), lambda z: ccdl.sort(z), lambda z: ccdl.softmax(z, 0), lambda z: ccdl.floor(z),
    lambda z: ccdl.nn.functional.gelu(z), lambda z: z[5], lambda z: z.view(3), lambda z: z.sum(5), lambda z: ccdl.cat([z, ccdl.ones(2, 2)]), lambda z: z.clamp(0, 1), lambda z: bool(z),
    lambda z: ccdl.nn.functional.layer_norm(z, (2,)), lambda z: ccdl.nn.LSTM(2, 3)(z.expand(3, 2)), lambda z: ccdl.nn.functional.max_pool1d(z.view(1, 1, 2), 2), lambda z: z.median(),
    lambda z: ccdl.topk(z, 1), lambda z: ccdl.bincount(z), lambda z: ccdl.tensor([1, 2])[z], lambda z: z[z], lambda z: ccdl.nn.functional.cross_entropy(z.expand(3, 2), ccdl.zeros(3, dtype=ccdl.long)),
    lambda z: ccdl.linalg.qr(z), lambda z: ccdl.linalg.det(z), lambda z: ccdl.Tensor(z), lambda z: z.to(ccdl.float32),
    lambda z: memoryview(z), lambda z: z.storage(), lambda z: ccdl.tensor([1j], dtype=ccdl.float32), lambda z: ccdl.view_as_complex(z), lambda z: ccdl.complex(z, z), lambda z: z.uniform_("a"),
    lambda z: ccdl.nn.BatchNorm1d(2)(z.expand(3, 2)), lambda z: ccdl._C._vector_norm(ccdl.ones(2), z), lambda z: z.resize_(-1), lambda z: z.backward(ccdl.ones(2)),
])  # fmt: skip
def test_what_is_not_known_is_refused(call: Any) -> None:
    z = ccdl.tensor([1 + 2j, 3 - 4j])
    before = z.tolist()
    with pytest.raises((TypeError, ValueError, IndexError, RuntimeError, NotImplementedError, BufferError)):
        call(z)
    assert z.tolist() == before


def test_every_method_of_tensor_knows_them_or_refuses() -> None:
    """No method takes the pairs for numbers: called without arguments each gives an error or a result of the shape of complex numbers."""
    allowed = (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError, BufferError)
    for name in dir(ccdl.Tensor):
        if name.startswith("__") or not callable(getattr(ccdl.Tensor, name)) or name in ("_make_subclass", "_swap_impl", "as_subclass", "backward", "dim", "ndimension"):
            continue
        z = ccdl.tensor([[1 + 2j, 3 - 4j, 0.5j]] * 3)
        try:
            y = getattr(z, name)()
        except allowed:
            continue
        if isinstance(y, ccdl.Tensor):
            assert not y.shape or y.shape[-1] != 2 or name in ("nonzero", "argwhere", "diff"), name


def test_arrays_go_to_the_device_in_use() -> None:
    array = draws(2, 3)
    for make in (ccdl.tensor, ccdl.as_tensor, ccdl.asarray):
        assert make(array).device == make(array.real).device == ccdl.tensor([1j]).device
    assert ccdl.from_numpy(array).device.type == "cpu" and ccdl.tensor(array, device="cpu").device.type == "cpu"


def test_channels_innermost_is_not_claimed() -> None:
    z = ccdl.complex(ccdl.ones(2, 3, 4, 5), ccdl.zeros(2, 3, 4, 5))
    assert z.is_contiguous() and not z.is_contiguous(memory_format=ccdl.channels_last)
    last = z.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert last.is_contiguous(memory_format=ccdl.channels_last) and not last.is_contiguous()
    assert not z[0].is_contiguous(memory_format=ccdl.channels_last)
