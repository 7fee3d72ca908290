"""What public code imports and asks before it trains: modules that are there for their names, and helpers of test code."""

from __future__ import annotations

import json
import os
import platform
import shutil

import pytest

import ccdl


@pytest.mark.parametrize("call", [
    lambda: ccdl.cat([ccdl.ones(2), None]), lambda: ccdl.stack([None, ccdl.ones(2)]), lambda: ccdl.hstack([ccdl.ones(1), None]),
    lambda: ccdl.einsum("i,i->", ccdl.ones(2), None), lambda: ccdl.block_diag(ccdl.ones(1), None),
    lambda: ccdl.meshgrid([ccdl.ones(1), None]), lambda: ccdl.broadcast_tensors([None]), lambda: ccdl.cat([1, ccdl.ones(1)]),
    lambda: ccdl.sort(ccdl.ones(2), out=(ccdl.ones(2), None)),
])  # fmt: skip
def test_none_in_a_list_of_tensors_is_a_type_error(call):
    with pytest.raises(TypeError):
        call()
    assert (ccdl.ones(2) + 1).tolist() == [2.0, 2.0]


def test_error_classes_derive_from_each_builtin_that_code_catches():
    e = ccdl.errors
    for cls, bases in [(e.ValueError, (ValueError, RuntimeError)), (e.IndexError, (IndexError, RuntimeError)), (e.TypeError, (TypeError, RuntimeError)),
                       (e.ShapeError, (RuntimeError, ValueError)), (e.DTypeError, (RuntimeError, TypeError)),
                       (e.OutOfMemoryError, (MemoryError, RuntimeError))]:  # fmt: skip
        assert all(issubclass(cls, base) for base in bases)
    for base in (IndexError, RuntimeError):
        with pytest.raises(base, match="out of bounds"):
            ccdl.ones(2, 2).gather(1, ccdl.tensor([[5]]))


@pytest.mark.parametrize("name", "maximum minimum fmax fmin atan2 hypot logaddexp heaviside gcd logical_and nextafter".split())
def test_a_number_is_no_second_tensor(name):
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        getattr(ccdl, name)(ccdl.ones(2), 1)


def test_out_of_a_narrower_dtype_or_overlapping_itself():
    x = ccdl.rand(3)
    for call in (lambda out: ccdl.special.i0e(x, out=out), lambda out: ccdl.linalg.det(ccdl.eye(2), out=out), lambda out: ccdl.exp(x, out=out)):
        with pytest.raises(RuntimeError, match="can't be cast"):
            call(ccdl.empty(3, dtype=ccdl.int64))
    with pytest.raises(RuntimeError, match="same memory"):
        ccdl.exp(x, out=ccdl.empty(1).expand(3))


def test_split_takes_the_keyword_of_the_method():
    assert [p.tolist() for p in ccdl.arange(3).split(split_size=2, dim=0)] == [[0, 1], [2]]
    assert [p.tolist() for p in ccdl.split(tensor=ccdl.arange(3), split_size_or_sections=[1, 2])] == [[0], [1, 2]]


def test_small_operators_follow_numpy():
    np = pytest.importorskip("numpy")
    assert ccdl.tensor([True, False]).square().dtype is ccdl.int64
    assert ccdl.tensor([0.0, 2.0]).logical_not_().tolist() == [1.0, 0.0]
    assert ccdl.ones(2, 3, dtype=ccdl.uint8).sum_to_size(1, 3).dtype is ccdl.int64
    assert ccdl.addr(ccdl.tensor([[False]]), ccdl.tensor([True]), ccdl.tensor([True])).tolist() == [[True]]
    a, b = np.arange(6.0).reshape(1, 6), np.arange(12.0).reshape(6, 2)
    wide = ccdl.tensordot(ccdl.tensor(a), ccdl.tensor(b[:1]), dims=([1], [0]))  # 1 meets 6: the sum of 6
    assert np.allclose(wide.numpy(), a.sum() * b[:1])
    assert [g.tolist() for g in ccdl.gradient(ccdl.tensor([1.0, 2.0, 4.0]), spacing=None)] == [np.gradient([1.0, 2.0, 4.0]).tolist()]
    with pytest.raises(RuntimeError, match="multiple times"):
        ccdl.gradient(ccdl.ones(3, 3), dim=(1, 1))
    x = ccdl.ones(3, requires_grad=True)
    ccdl.fill(x, 2.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    assert ccdl.frexp(ccdl.tensor([3.0])).exponent.tolist() == [2] and ccdl.histogram(ccdl.ones(2), 1).bin_edges.shape == (2,)
    mean, var = ccdl.zeros(4)[::2], ccdl.ones(4)[::2]
    data = ccdl.randn(8, 2)
    ccdl.nn.functional.batch_norm(data, mean, var, training=True, momentum=1.0)
    assert np.allclose(mean.numpy(), data.numpy().mean(0), atol=1e-6)


def test_copies_have_memory_of_their_own():
    x = ccdl.arange(6.0).reshape(2, 3)
    for name, args in [("permute", ((1, 0),)), ("select", (0, 1)), ("t", ()), ("transpose", (0, 1)), ("unsqueeze", (0,)),
                       ("squeeze", ()), ("diagonal", ()), ("unfold", (1, 2, 1)), ("view", ((3, 2),)), ("expand", ((4, 2, 3),))]:  # fmt: skip
        y = getattr(ccdl, f"{name}_copy")(x, *args)
        assert y.tolist() == getattr(x, name)(*args).tolist() and y.is_contiguous()
        y.fill_(-1)
        assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert [p.tolist() for p in ccdl.unbind_copy(x)] == x.tolist()
    assert [p.shape for p in ccdl.split_copy(x, 2, 1)] == [(2, 2), (2, 1)]
    assert ccdl.slice_copy(x, 1, 0, 3, 2).tolist() == [[0.0, 2.0], [3.0, 5.0]]
    out = ccdl.empty(0)
    assert ccdl.t_copy(x, out=out) is out and out.shape == (3, 2)
    src = ccdl.ones(2, requires_grad=True)
    y = ccdl.as_strided_scatter(x, src, (2,), (4,), 0)
    assert y.tolist() == [[1.0, 1.0, 2.0], [3.0, 1.0, 5.0]]
    y.sum().backward()
    assert src.grad.tolist() == [1.0, 1.0]
    assert ccdl.nonzero_static(ccdl.tensor([[0, 1], [2, 0]]), size=3).tolist() == [[0, 1], [1, 0], [-1, -1]]
    z = ccdl.arange(4.0).as_strided_((2,), (2,))
    assert z.tolist() == [0.0, 2.0] and z.new_empty_strided((2, 2), (1, 2)).stride() == (1, 2)


def test_storage():
    x = ccdl.arange(6.0).reshape(2, 3)
    assert x.untyped_storage().data_ptr() == x[1].untyped_storage().data_ptr() == x.t().storage().data_ptr()
    assert x.untyped_storage() != ccdl.arange(6.0).untyped_storage()
    assert x[1].untyped_storage().nbytes() == 24 and len(x[1].storage()) == 6 and x[1].storage()[0] == 0.0
    assert x.t().dim_order() == (1, 0)


def test_one_process_says_so_and_several_are_a_clear_error():
    dist = ccdl.distributed
    assert not dist.is_available() and not dist.is_initialized()
    for call in (lambda: dist.init_process_group("gloo"), lambda: dist.get_rank(), lambda: dist.all_reduce(ccdl.ones(1)),
                 lambda: ccdl.nn.parallel.DistributedDataParallel(ccdl.nn.Linear(1, 1))):  # fmt: skip
        with pytest.raises(RuntimeError, match="several processes|process group"):
            call()
    with pytest.raises(AttributeError, match="several processes"):
        dist.nothing_of_this_name


def test_data_parallel_wraps():
    model = ccdl.nn.Linear(2, 2)
    wrapped = ccdl.nn.DataParallel(model)
    x = ccdl.randn(3, 2)
    assert wrapped(x).tolist() == model(x).tolist() and wrapped.module is model
    assert ccdl.nn.parallel.data_parallel(model, x).tolist() == model(x).tolist()
    state = dict(wrapped.state_dict())
    ccdl.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    model.load_state_dict(state)
    with pytest.raises(NotImplementedError, match="several devices"):
        ccdl.nn.DataParallel(model, device_ids=[0, 1])


def test_distributed_sampler_matches_pytorch():
    sampler = ccdl.utils.data.DistributedSampler
    parts = [list(sampler(range(11), 3, r, shuffle=True, seed=4)) for r in range(3)]
    assert all(len(p) == 4 for p in parts) and set(sum(parts, [])) == set(range(11))
    one = sampler(range(11), 3, 0, shuffle=True)
    first = list(one)
    one.set_epoch(1)
    assert list(one) != first and len(one) == 4
    assert [list(sampler(range(11), 3, r, shuffle=False, drop_last=True)) for r in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    with pytest.raises(RuntimeError):
        sampler(range(3))
    with pytest.raises(ValueError):
        sampler(range(3), 2, 2)


def test_script_changes_nothing():
    @ccdl.jit.script
    def f(x: ccdl.Tensor, n: int) -> ccdl.Tensor:
        return x * n

    class Net(ccdl.nn.Module):
        @ccdl.jit.ignore
        def hidden(self, x):
            return x

        @ccdl.jit.unused
        def forward(self, x):
            return x if ccdl.jit.is_scripting() or ccdl.jit.is_tracing() else self.hidden(x) + 1

    net = Net()
    assert f(ccdl.ones(1), 3).tolist() == [3.0] and ccdl.jit.script(net) is net is ccdl.jit.trace(net, ccdl.ones(1))
    assert net(ccdl.ones(1)).tolist() == [2.0] and ccdl.jit.isinstance([1], list[int])
    with pytest.raises(RuntimeError, match="ccdl.save"):
        ccdl.jit.save(net, "x.pt")
    with pytest.raises(RuntimeError, match="evaluation"):
        ccdl.jit.freeze(net)


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    for call in (ccdl.hub.load, ccdl.hub.load_state_dict_from_url, ccdl.utils.model_zoo.load_url):
        with pytest.raises(RuntimeError, match="does not download"):
            call("https://example.org/x.pth")
    ccdl.hub.set_dir(tmp_path)
    assert ccdl.hub.get_dir() == str(tmp_path)


def test_extensions_for_another_library_are_not_built(tmp_path):
    from ccdl.utils import cpp_extension as cpp

    calls = (cpp.load, cpp.load_inline, cpp.CppExtension, cpp.CUDAExtension, cpp.SyclExtension)
    for call in calls:
        with pytest.raises(NotImplementedError, match=r"'fused'.*autograd.Function.*--cmake-dir"):
            call("fused", ["fused.cpp"])
    with pytest.raises(NotImplementedError, match="BuildExtension"):
        cpp.BuildExtension.with_options(use_ninja=False)()
    assert cpp.CUDA_HOME is None and cpp.ROCM_HOME is None  # as where PyTorch finds no compiler
    assert cpp.is_ninja_available() == (shutil.which("ninja") is not None)
    assert all(os.path.isdir(folder) for folder in (*cpp.include_paths(), *cpp.library_paths()))


def test_the_environment_as_text():
    from ccdl.utils import collect_env

    text = collect_env.get_pretty_env_info()
    assert f"ccdl version: {ccdl.__version__}" in text and platform.python_version() in text
    assert f"Is CUDA available: {ccdl.cuda.is_available()}" in text and "[pip3] numpy==" in text
    assert collect_env.get_env_info()._asdict().keys() >= {"torch_version", "os", "pip_packages"}


def test_parts_of_data_parallel_on_one_device():
    from ccdl.nn import parallel
    from ccdl.nn.parallel._functions import Broadcast, ReduceAddCoalesced
    from ccdl.nn.parallel.data_parallel import DataParallel
    from ccdl.nn.parallel.distributed import DistributedDataParallel
    from ccdl.nn.parallel.scatter_gather import scatter_kwargs

    assert DataParallel is ccdl.nn.DataParallel and DistributedDataParallel is parallel.DistributedDataParallel
    assert callable(parallel.data_parallel) and callable(parallel.replicate) and callable(parallel.parallel_apply)
    x, mask = ccdl.arange(10.0).reshape(5, 2).requires_grad_(), ccdl.arange(5)
    inputs, named = scatter_kwargs((x, [mask, 7]), {"scale": 2.0}, [-1, -1])
    assert [a.shape for a, _ in inputs] == [(3, 2), (2, 2)] and [b[1] for _, b in inputs] == [7, 7]
    assert named == ({"scale": 2.0}, {"scale": 2.0})

    def run(part, rest, scale):
        return {"y": part * scale, "n": (rest[0].sum(),)}

    results = parallel.parallel_apply([run, run], inputs, named)
    joined = parallel.gather(results, -1)
    assert ccdl.equal(joined["y"], x * 2) and joined["n"][0].tolist() == [3, 7]
    joined["y"].sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0]] * 5
    one, two = ReduceAddCoalesced.apply(-1, 2, x.sum(), x.max(), x.sum(), x.min())
    assert (one.item(), two.item()) == (90.0, 9.0)
    x.grad = None
    (one + two).backward()
    assert x.grad.sum().item() == 22.0
    assert [float(t) for t in Broadcast.apply([-1, -1], one, two)] == [90.0, 9.0, 90.0, 9.0]
    with pytest.raises(ValueError, match="multiple of num_inputs=2"):
        ReduceAddCoalesced.apply(-1, 2, one)
    with pytest.raises(ValueError, match="2 inputs for 1 modules"):
        parallel.parallel_apply([run], [x, x])
    model = ccdl.nn.Linear(1, 1)
    assert parallel.replicate(model, [0]) == [model]
    with pytest.raises(NotImplementedError, match=r"\[0, 1\]"):
        parallel.replicate(model, [0, 1])


def test_private_helpers_that_public_code_takes():
    from ccdl import _utils

    a, b, c = ccdl.arange(6.0).reshape(2, 3).t(), ccdl.tensor(7.0), ccdl.empty(0, 4)
    flat = _utils._flatten_dense_tensors([a, b, c])
    assert flat.tolist() == [0, 3, 1, 4, 2, 5, 7]
    back = _utils._unflatten_dense_tensors(flat, [a, b, c])
    assert [t.shape for t in back] == [(3, 2), (), (0, 4)] and ccdl.equal(back[0], a)
    back[1].fill_(9)
    assert flat[-1] == 9  # views
    with pytest.raises(TypeError, match="float32, int64"):
        _utils._flatten_dense_tensors([a, ccdl.arange(2)])
    mixed = [ccdl.ones(2), ccdl.arange(2), ccdl.ones(3), ccdl.ones(9)]
    parts = list(_utils._take_tensors(mixed, 20))
    assert [[t.numel() for t in part] for part in parts] == [[2, 3], [9], [2]] or [
        [t.numel() for t in part] for part in parts
    ] == [[2, 3], [2], [9]]
    assert [t.numel() for t in _utils._reorder_tensors_as([t for part in parts for t in part], mixed)] == [2, 2, 3, 9]

    assert _utils._get_device_index(3) == 3 and _utils._get_device_index("cuda:1") == 1
    assert _utils._get_device_index("cpu", allow_cpu=True) == -1
    for bad in ("cpu", "cuda", None, 1.5):
        with pytest.raises(ValueError):
            _utils._get_device_index(bad)
    for kind in (KeyError, ZeroDivisionError):
        try:
            raise kind("first")
        except kind:
            caught = _utils.ExceptionWrapper(where="in worker 2")
        with pytest.raises(kind, match="(?s)in worker 2.*Traceback.*first"):
            caught.reraise()
    init = ccdl.nn.init
    assert init._no_grad_fill_(ccdl.empty(2), 3.0).tolist() == [3.0, 3.0]
    assert init._no_grad_zero_(ccdl.ones(1)).item() == 0
    weight = ccdl.nn.Parameter(ccdl.empty(1000))
    spread = init._no_grad_normal_(weight, 1.0, 0.5).std().item()
    assert 0.4 < spread < 0.6 and weight.grad_fn is None
    assert init._no_grad_uniform_(weight, 2, 3).min() >= 2 and init._no_grad_trunc_normal_(weight, 0, 1, -1, 1).max() <= 1


def test_profiler_times_named_ranges(tmp_path):
    from ccdl.profiler import profile, record_function, schedule

    done = []
    plan = schedule(wait=1, warmup=1, active=2, repeat=1)
    with profile(schedule=plan, on_trace_ready=lambda p: done.append(p.key_averages()[0].count)) as p:
        for _ in range(6):
            with record_function("step"):
                ccdl.ones(3).sum()
            p.step()
    assert done == [2]

    @record_function("decorated")
    def f():
        return 1

    with ccdl.autograd.profiler.profile() as p:
        assert f() == 1
    assert "decorated" in p.key_averages().table(sort_by="cpu_time_total", row_limit=5)
    p.export_chrome_trace(str(tmp_path / "trace.json"))
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"][0]["name"] == "decorated"


def test_make_tensor():
    make = ccdl.testing.make_tensor
    for name in ("float32", "float16", "bfloat16", "int64", "uint8", "bool"):
        x = make((4, 6), dtype=getattr(ccdl, name), low=None, high=None, noncontiguous=True)
        assert x.shape == (4, 6) and not x.is_contiguous() and x.dtype is getattr(ccdl, name)
    x = make(50, dtype=ccdl.float64, low=2, high=3, requires_grad=True)
    assert x.requires_grad and 2 <= float(x.min()) and float(x.max()) < 3
    assert bool((make(200, dtype=ccdl.int32, low=-1, high=2, exclude_zero=True) != 0).all())
    with pytest.raises(ValueError):
        make(2, dtype=ccdl.float32, low=3, high=2)
    ccdl.testing.assert_allclose(ccdl.ones(2), [1.0, 1.0])


def test_other_names():
    assert ccdl.GradScaler is ccdl.amp.GradScaler
    assert ccdl.nn.modules.activation.MultiheadAttention is ccdl.nn.MultiheadAttention
    assert ccdl.nn.modules.upsampling.Upsample is ccdl.nn.Upsample
    assert ccdl.utils.dlpack.from_dlpack(ccdl.utils.dlpack.to_dlpack(ccdl.ones(2))).tolist() == [1.0, 1.0]
    assert not ccdl.overrides.has_torch_function((ccdl.ones(1),))


def test_names_of_the_collate_module():
    assert ccdl.utils.data._utils.collate.np_str_obj_array_pattern.search("<U3")


def test_older_forms_of_calls_in_public_code():
    x, one = ccdl.tensor([1.0, 2.0]), ccdl.ones(2)
    assert x.clone().add_(0.5, one).tolist() == [1.5, 2.5] and ccdl.sub(x, 2, one).tolist() == [-1.0, 0.0]
    assert x.clone().addcmul_(2, x, x).tolist() == [3.0, 10.0] and x.addcdiv(-1.0, x, one).tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match=r"add\(\): argument 'other' \(position 2\) must be Tensor or Number, not str"):
        ccdl.add(x, "one")
    assert x.type(ccdl.LongTensor).dtype is ccdl.int64 and x.new([3, 4]).tolist() == [3.0, 4.0] and x.new(2, 3).shape == (2, 3)
    count = ccdl.arange(3)  # Tensor = torch.cuda.FloatTensor if cuda else torch.Tensor; batch.type(Tensor)
    assert count.type(ccdl.Tensor).dtype is ccdl.float32 and count.type(ccdl.Tensor).tolist() == [0.0, 1.0, 2.0]
    ccdl.set_default_dtype(ccdl.float64)
    try:
        assert count.type(ccdl.Tensor).dtype is ccdl.float64
    finally:
        ccdl.set_default_dtype(ccdl.float32)
    for kind in (int, ccdl.nn.Parameter):
        with pytest.raises(ValueError, match=f"invalid type: '{kind.__name__}'"):
            x.type(kind)
    assert x.new(x.shape).shape == (2,)
    grid = ccdl.arange(6.0).reshape(2, 3)
    assert 4 in grid and 9 not in grid and grid[1] in grid


def test_an_optimizer_around_another_one_needs_no_init():
    class Around(ccdl.optim.Optimizer):
        def __init__(self, inner):
            self.inner, self.param_groups, self.state = inner, inner.param_groups, {}

        def step(self, closure=None):
            return self.inner.step(closure)

    from ccdl.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    seen = []
    p = ccdl.nn.Parameter(ccdl.ones(1))
    p.grad = ccdl.ones(1)
    handles = [register_optimizer_step_pre_hook(lambda o, a, k: seen.append("before")), register_optimizer_step_post_hook(lambda o, a, k: seen.append("after"))]
    Around(ccdl.optim.SGD([p], lr=0.5)).step()
    for handle in handles:
        handle.remove()
    assert p.tolist() == [0.5] and seen == ["before", "before", "after", "after"]


def test_ctc_lengths_beyond_the_targets():
    with pytest.raises(RuntimeError, match="target_lengths has 9"):
        ccdl.nn.functional.ctc_loss(ccdl.zeros(3, 1, 2), ccdl.ones(1, 5, dtype=ccdl.int64), (3,), (9,))


def test_losses_of_single_samples_and_their_checks():
    F = ccdl.nn.functional
    assert float(F.multi_margin_loss(ccdl.tensor(1.0), ccdl.tensor(0))) == 0.0
    with pytest.raises(RuntimeError, match="class numbers"):
        F.multi_margin_loss(ccdl.ones(2, 3), ccdl.ones(2))
    with pytest.raises(RuntimeError, match="C > 0"):
        F.multilabel_margin_loss(ccdl.ones(2, 0), ccdl.ones(2, 0, dtype=ccdl.int64))
    y = F.gaussian_nll_loss(ccdl.zeros(4, 3), ccdl.ones(4, 3), ccdl.ones(1, 3))
    assert float(y) == 0.5


def test_quantile_has_a_gradient_for_q_and_norm_knows_the_nuclear_one():
    q = ccdl.tensor([0.25, 0.5], requires_grad=True)
    ccdl.quantile(ccdl.tensor([0.0, 1.0, 4.0]), q).sum().backward()
    assert q.grad.tolist() == [2.0, 0.0]  # slope of the line times n - 1; at a whole rank both ends are one element
    x = ccdl.tensor([[3.0, 0.0], [0.0, -4.0]])
    assert abs(float(x.norm("nuc")) - 7) < 1e-5 and ccdl.norm(ccdl.ones(2, 3, 4), "nuc", (0, 2), True).shape == (1, 3, 1)


def test_checks_of_cov_ravel_and_log_normal():
    x = ccdl.arange(6.0)
    with pytest.raises(RuntimeError, match="integral"):
        ccdl.cov(x, fweights=ccdl.ones(6))
    with pytest.raises(RuntimeError, match="floating"):
        ccdl.cov(x, aweights=ccdl.ones(6, dtype=ccdl.int64))
    assert ccdl.cov(x.half(), aweights=ccdl.ones(6)).dtype is ccdl.float32
    assert x[::2].ravel().stride() == (1,) and x[::2].ravel().tolist() == [0.0, 2.0, 4.0]
    with pytest.raises(ValueError, match="std > 0"):
        ccdl.empty(2).log_normal_(0, 0)


def test_gradient_dimensions_and_integer_contractions():
    with pytest.raises(IndexError, match="out of range"):
        ccdl.gradient(ccdl.ones(3, 3), dim=3)
    y = ccdl.tensordot(ccdl.ones(1, dtype=ccdl.int32), ccdl.ones(4, 2, dtype=ccdl.int32), ([0], [0]))
    assert y.tolist() == [4, 4] and y.dtype is ccdl.int32
    assert ccdl.nn.functional.fractional_max_pool3d(ccdl.ones(0, 1, 4, 5, 4), 2, output_size=2).shape == (0, 1, 2, 2, 2)


def test_known_differences_give_reasons():
    from pathlib import Path

    lines = (Path(__file__).parent / "peer" / "known_differences.txt").read_text().splitlines()
    rows = [[part.strip() for part in line.split(" | ")] for line in lines if line and not line.startswith("#")]
    assert len(rows) > 50 and all(len(row) == 4 and len(row[3]) > 10 for row in rows)
    assert len({tuple(row[:3]) for row in rows}) == len(rows)
