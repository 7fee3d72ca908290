"""ccdl tensors in the einops package."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest

import ccdl
import ccdl.nn as nn
from ccdl.utils.einops import _Operations

np = pytest.importorskip("numpy")


def test_what_einops_asks_of_a_library():
    ops = _Operations()
    x = ops.from_numpy(np.arange(1, 7, dtype=np.float64).reshape(2, 3) / 2)
    a = ops.to_numpy(x)
    assert x.requires_grad and ops.is_appropriate_type(x) and not ops.is_appropriate_type(a) and ops.is_float_type(x)
    assert ops.arange(1, 3).tolist() == [1, 2] and not ops.from_numpy(np.arange(2)).requires_grad
    for got, want in [(ops.reshape(x, (3, 2)), a.reshape(3, 2)), (ops.transpose(x, [1, 0]), a.T), (ops.tile(x, (2, 1)), np.tile(a, (2, 1))),
                      (ops.reduce(x, "min", [1]), a.min(1)), (ops.reduce(x, "max", (0, 1)), a.max()), (ops.reduce(x, "sum", [0]), a.sum(0)),
                      (ops.reduce(x, "mean", [0, 1]), a.mean()), (ops.reduce(x, "prod", [0, 1]), a.prod()), (ops.reduce(x > 1, "any", [1]), (a > 1).any(1)),
                      (ops.reduce(x > 1, "all", [0, 1]), (a > 1).all()), (ops.add_axis(x, 1), a[:, None]), (ops.stack_on_zeroth_dimension([x, x]), np.stack([a, a])),
                      (ops.add_axes(x, 4, {1: 4, 3: 2}), np.broadcast_to(a[:, None, :, None], (2, 4, 3, 2))),
                      (ops.concat([x, x], 1), np.concatenate([a, a], 1)), (ops.einsum("ij,kj->ik", x, x), a @ a.T)]:  # fmt: skip
        np.testing.assert_allclose(got.detach().numpy(), want)
    with pytest.raises(NotImplementedError):
        ops.reduce(x, "median", [0])


STAND_IN = """
import sys, types
package, backends = types.ModuleType("einops"), types.ModuleType("einops._backends")
class AbstractBackend: ...
backends.AbstractBackend = AbstractBackend
sys.modules.update({"einops": package, "einops._backends": backends})
import ccdl, ccdl.nn as nn
assert not AbstractBackend.__subclasses__()
nn.ReLU(), nn.ReLU()
made, = AbstractBackend.__subclasses__()
assert made.framework_name == "ccdl" and made().is_appropriate_type(ccdl.ones(1))
assert ccdl.utils.einops.register() is made and len(AbstractBackend.__subclasses__()) == 1
"""


def test_the_first_module_after_einops_makes_it_known():
    done = subprocess.run([sys.executable, "-c", STAND_IN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    without = "import sys; sys.modules['einops._backends'] = None; import ccdl.nn as nn; nn.ReLU(); import ccdl.utils.einops as e\ntry: e.register()\nexcept ModuleNotFoundError: pass\nelse: raise SystemExit(1)"
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_functions_and_layers_of_the_package():
    einops = pytest.importorskip("einops", reason="the extra package is not installed")
    from ccdl.utils.einops import EinMix, Rearrange, Reduce

    x = ccdl.rand(2, 3, 4, 5, requires_grad=True)
    y = einops.rearrange(x, "b c (h p) w -> b (h w) (p c)", p=2)
    np.testing.assert_array_equal(y.detach().numpy(), einops.rearrange(x.detach().numpy(), "b c (h p) w -> b (h w) (p c)", p=2))
    (einops.reduce(y, "b n d -> b d", "mean").sum() + einops.repeat(x, "b c h w -> b c h w k", k=2).sum()).backward()
    assert ccdl.allclose(x.grad, ccdl.full_like(x, 2 + 1 / 10))
    packed, shapes = einops.pack([x[:, 0, 0], x[:, :, 0]], "b *")
    assert [t.shape for t in einops.unpack(packed, shapes, "b *")] == [(2, 5), (2, 3, 5)]
    assert einops.einsum(x, x, "b c h w, b c h v -> b w v").shape == (2, 5, 5)
    net = nn.Sequential(Rearrange("b c h w -> b (h w) c"), EinMix("b n c -> b n d", weight_shape="c d", bias_shape="d", c=3, d=6), Reduce("b n d -> b d", "max"))
    assert net(x).shape == (2, 6) and sorted(net.state_dict()) == ["1.bias", "1.weight"] and "Rearrange('b c h w -> b (h w) c')" in repr(net)
    assert copy.deepcopy(net)(x).shape == (2, 6)
