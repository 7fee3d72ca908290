"""docs/compat.md against the package, grad modes, the lazy package, printing and dtype limits."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ccdl

PAGE = (Path(__file__).resolve().parents[1] / "docs/compat.md").read_text()


def names(section):
    text = PAGE.split(section + "\n", 1)[1]
    return re.findall(r"`([^`\s]+)`", re.split(r"\n##+ ", text, maxsplit=1)[0])


SPACES = {"### `ccdl`": "", "### `ccdl.Tensor`": "Tensor", "### `ccdl.nn`": "nn", "### `ccdl.nn.functional`": "nn.functional",
          "### `ccdl.nn.init`, `ccdl.nn.utils`": "", "### `ccdl.optim`": "", "### `ccdl.autograd`": "",
          "### `ccdl.utils.data`": "", "### Others": ""}


@pytest.mark.parametrize("section", SPACES)
def test_what_works_exists(section):
    missing = []
    listed = names(section)
    assert listed
    for name in listed:
        found = ccdl
        path = f"{SPACES[section]}.{name}" if SPACES[section] else name
        try:
            for part in path.split("."):
                found = getattr(found, part)
        except AttributeError:
            missing.append(path)
    assert not missing


def test_what_is_absent_says_why():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.split("## Clear error\n")[1], re.M)
    assert rows
    for name, why in rows:
        with pytest.raises(AttributeError) as error:
            getattr(ccdl, name)
        assert why in str(error.value)
        assert not hasattr(ccdl, name)


def test_cuda_is_a_clear_error():
    for call in (ccdl.cuda.synchronize, ccdl.cuda.init, ccdl.cuda.current_device, lambda: ccdl.ones(1, device="cuda"),
                 lambda: ccdl.nn.Linear(1, 1).cuda()):
        with pytest.raises(RuntimeError, match="(?i)cuda"):
            call()


def test_accepted_without_effect():
    model = ccdl.nn.Linear(2, 2)
    assert ccdl.compile(model) is model
    assert ccdl.compile(mode="max")(model) is model
    ccdl.use_deterministic_algorithms(True)
    assert ccdl.are_deterministic_algorithms_enabled()
    ccdl.set_float32_matmul_precision("high")
    try:
        assert ccdl.get_float32_matmul_precision() == "high" and ccdl.backends.cuda.matmul.allow_tf32
    finally:
        ccdl.set_float32_matmul_precision("highest")
    assert ccdl.get_float32_matmul_precision() == "highest" and not ccdl.backends.cuda.matmul.allow_tf32
    with pytest.raises(ValueError):
        ccdl.set_float32_matmul_precision("low")
    with pytest.raises(ValueError, match="tf32x3"):
        ccdl.backends.cuda.matmul.fp32_precision = "bf16"
    ccdl.backends.cudnn.benchmark = True
    ccdl.cuda.manual_seed_all(1)
    with ccdl.autograd.detect_anomaly():
        pass


@pytest.mark.parametrize("statement", [
    "import ccdl.nn as nn; nn.Linear(1, 1)", "import ccdl.nn.functional as F; F.relu", "import ccdl.optim as optim; optim.Adam",
    "from ccdl.utils.data import DataLoader", "import ccdl.backends.cudnn as cudnn; cudnn.benchmark = True",
    "from ccdl.autograd import Function, gradcheck; assert callable(gradcheck)", "import ccdl; ccdl.nn.functional.relu",
    "from ccdl.nn import init, Parameter", "from ccdl import nn, optim, no_grad", "import ccdl; ccdl.optim.lr_scheduler.StepLR",
    "from ccdl.optim.lr_scheduler import StepLR", "from ccdl.nn.parameter import Parameter", "import ccdl; ccdl.utils.data.Dataset",
    "from ccdl.nn.utils import clip_grad_norm_", "import ccdl; ccdl.errors.CheckpointError", "from ccdl import Tensor",
    "import ccdl.autograd.functional as f; f.hessian", "import ccdl.distributed as dist; assert not dist.is_initialized()",
    "from ccdl.nn.modules.utils import _pair; assert _pair(3) == (3, 3)", "from ccdl.nn.modules.batchnorm import _BatchNorm",
    "from ccdl.nn.common_types import _size_2_t", "from ccdl.nn.parallel import DistributedDataParallel as DDP",
    "import ccdl.utils.model_zoo as model_zoo; model_zoo.load_url", "from ccdl.hub import load_state_dict_from_url",
    "from ccdl.utils.data.distributed import DistributedSampler", "import ccdl.multiprocessing as mp; mp.spawn",
    "from ccdl.profiler import profile, record_function, ProfilerActivity", "import ccdl.autograd.profiler as p; p.profile",
    "from ccdl.nn.parallel._functions import Broadcast", "from ccdl.nn.parallel.scatter_gather import scatter_kwargs",
    "from ccdl.utils.cpp_extension import load, CUDA_HOME", "from ccdl.utils.collect_env import get_pretty_env_info",
    "from ccdl.utils.hooks import RemovableHandle", "from ccdl.types import Number, Device", "import ccdl; ccdl.jit.script",
    "from ccdl.nn.modules.activation import MultiheadAttention", "from ccdl.distributed import init_process_group",
    "from ccdl.errors import ShapeError; assert issubclass(ShapeError, RuntimeError)",
])
def test_import_forms_in_a_fresh_process(statement):
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_docstring_example_runs():
    import doctest
    import pkgutil

    failed, count = [], 0
    for module in pkgutil.walk_packages(ccdl.__path__, "ccdl."):
        if module.name.endswith(("__main__", "._C")):
            continue
        flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
        result = doctest.testmod(importlib.import_module(module.name), optionflags=flags)
        count += result.attempted
        if result.failed:
            failed.append(module.name)
    assert not failed and count > 300


def test_grad_mode_decorators():
    @ccdl.no_grad()
    def plain():
        return ccdl.is_grad_enabled()

    @ccdl.no_grad
    def bare():
        """Doc."""
        return ccdl.is_grad_enabled()

    @ccdl.no_grad()
    def generator():
        received = yield ccdl.is_grad_enabled()
        yield received, ccdl.is_grad_enabled()

    assert not plain() and not bare() and bare.__name__ == "bare" and bare.__doc__ == "Doc."
    steps = generator()
    assert next(steps) is False and ccdl.is_grad_enabled()
    assert steps.send(5) == (5, False) and ccdl.is_grad_enabled()
    with ccdl.no_grad(), ccdl.enable_grad():
        assert ccdl.is_grad_enabled()
    guard = ccdl.no_grad()
    with guard, guard:
        assert not ccdl.is_grad_enabled()
    assert ccdl.is_grad_enabled()
    with pytest.raises(ValueError), ccdl.no_grad():
        raise ValueError
    assert ccdl.is_grad_enabled()
    ccdl.set_grad_enabled(False)
    assert not ccdl.is_grad_enabled()
    ccdl.set_grad_enabled(True)

    @ccdl.set_grad_enabled(False)
    def off():
        return ccdl.is_grad_enabled()

    assert ccdl.is_grad_enabled() and not off()
    with ccdl.inference_mode():
        x = ccdl.ones(1)
        assert ccdl.is_inference_mode_enabled() and not ccdl.is_grad_enabled()
    assert x.is_inference() and not ccdl.is_inference_mode_enabled() and ccdl.is_grad_enabled()
    with ccdl.inference_mode(False):
        assert ccdl.is_grad_enabled()


def test_limits_and_names():
    import numpy as np

    for name in ("float16", "float32", "float64"):
        ours, theirs = ccdl.finfo(getattr(ccdl, name)), np.finfo(name)
        assert (ours.bits, ours.eps, ours.max, ours.min, ours.tiny) == (
            theirs.bits, float(theirs.eps), float(theirs.max), float(theirs.min), float(theirs.tiny))
    for name in ("int8", "int16", "int32", "int64", "uint8"):
        ours, theirs = ccdl.iinfo(getattr(ccdl, name)), np.iinfo(name)
        assert (ours.bits, ours.max, ours.min) == (theirs.bits, theirs.max, theirs.min)
    assert ccdl.finfo(ccdl.bfloat16).eps == 2**-7
    with pytest.raises(TypeError):
        ccdl.finfo(ccdl.int32)
    assert ccdl.is_tensor(ccdl.ones(1)) and not ccdl.is_tensor(3)
    assert ccdl.typename(ccdl.ones(1)) == "ccdl.Tensor" and ccdl.typename(3) == "int"
    assert ccdl.broadcast_shapes((2, 1), (3,), 1) == (2, 3)
    with pytest.raises(RuntimeError, match="cannot be broadcast"):
        ccdl.broadcast_shapes((2,), (3,))


def test_assert_close():
    check = ccdl.testing.assert_close
    check({"a": [ccdl.ones(2), 1.0]}, {"a": [ccdl.ones(2) + 1e-7, 1.0]})
    for a, b in ((ccdl.ones(2), ccdl.ones(3)), (ccdl.ones(2), ccdl.ones(2) + 1e-3), ([1], [1, 2]), (ccdl.ones(1), ccdl.ones(1).double()),
                 (1, 2)):
        with pytest.raises(AssertionError):
            check(a, b)


# --- printing ---


def samples(module):
    f = module.arange(24).reshape(2, 3, 4).to(module.float32) / 7 - 1
    nan, inf = float("nan"), float("inf")
    yield from (module.tensor(v) for v in (
        3.5, 2, True, [], 1e-10, inf, [1e-5, 1.0], [1e9, 1.0], [nan, 1.0, inf], [nan, 1.5, -inf], [-0.0, 0.0], [1e10],
        [12345.0, 0.5], [nan, nan], [[1.5], [-inf]], [True, False], [[-1.0, 2.0], [3.0, -4.0]], [1000.0, 1.0, 0.5]))
    yield from (f, f[0], f.double(), f.half(), f.bfloat16(), module.zeros(0, 3), module.zeros((2, 0), dtype=module.int64))
    yield from (module.arange(10), module.arange(30) * 1000, module.arange(6, dtype=module.uint8), module.arange(2000))
    yield from (module.arange(10000).reshape(100, 100).to(module.float32), module.zeros(12, 100, 3), module.arange(1001.0))
    yield from (f.clone().requires_grad_(), module.arange(40.0) / 3, (module.arange(50.0) / 3).requires_grad_())


def test_text_equals_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for ours, theirs in zip(samples(ccdl), samples(torch)):
        assert repr(ours) == repr(theirs).replace("torch.", "ccdl.")
        assert str(ours) == repr(ours)


def test_text_options():
    x = ccdl.tensor([1.0 / 3, 1e-6])
    try:
        ccdl.set_printoptions(precision=2, sci_mode=False)
        assert repr(x) == "tensor([0.33, 0.00])"
        ccdl.set_printoptions(threshold=3, edgeitems=1)
        assert repr(ccdl.arange(10)) == "tensor([0, ..., 9])".replace(" ...", "  ...")
        with pytest.raises(ValueError, match="profile"):
            ccdl.set_printoptions(profile=3)
        ccdl.set_printoptions(profile="long", precision=5, sci_mode=False)  # no such profile: the rest counts
        assert repr(x) == "tensor([0.33333, 0.00000])" and repr(ccdl.arange(10)) == "tensor([0,  ..., 9])"
    finally:
        ccdl.set_printoptions(profile="default")
    assert repr(ccdl.tensor([1.0 / 3])) == "tensor([0.3333])"


def test_text_shows_the_graph():
    x = ccdl.ones(2, requires_grad=True)
    assert repr(x) == "tensor([1., 1.], requires_grad=True)"
    assert re.fullmatch(r"tensor\(\[2\., 2\.\], grad_fn=<Mul\w*>\)", repr(x * 2))
    assert f"{ccdl.tensor(1.23456):.2f}" == "1.23" and f"{ccdl.tensor(3)}" == "3"


@pytest.mark.parametrize("name", ["README.md", "docs/training.md", "docs/images.md", "docs/op.md", "docs/runtime.md", "docs/vmap.md"])
def test_examples_of_a_page_run(name):
    page = (Path(__file__).resolve().parents[1] / name).read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(compile(block, name, "exec"), names)
