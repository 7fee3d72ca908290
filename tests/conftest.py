"""Markers, the --device option, the closed list of skip reasons, and the count of executed (op x check) cells.

pytest --device cuda makes every tensor of the tests named in ON_DEVICE on the CUDA device, emulated or real; the
others say nothing about a device and are skipped, as are tests marked host. On the emulated device samples above
EMULATED_SIZE_LIMITS elements are left out and counted. Runs whole or spread by pytest-xdist.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell may start the tests with SIGINT ignored, which children inherit; the Ctrl-C tests need it live.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).resolve().parent

# Every skip in this suite gives one of these reasons; anything else fails the run.
SKIP_REASONS = (
    "needs a CUDA device",
    "PyTorch is not installed",
    "this processor lacks the instruction set",
    "this level is the one under test",
    "the extra package is not installed",
    "needs a C++ compiler and CMake",
    "runs on the installed wheel only",
    "needs root to be absent",
    "partial run",
    "not declared by this case",
    "says nothing about a device",
)

# What runs on the device too: folders and files of tests/.
ON_DEVICE = (
    "ops/", "nn/", "optim/", "autograd/", "amp/", "models/", "train/test_lenet_device.py", "reduce/", "cuda/", "test_crash_replay.py",
    "test_cuda_page.py", "test_indexing.py", "test_lane_maps.py", "vision/test_transforms_device.py",
    "test_promotion.py", "test_properties.py", "test_random.py", "test_worked_numbers.py",
)
EMULATED_SIZE_LIMITS = {"linalg": 100, "linalg_svd": 20, "linalg_eigh": 40, "linalg_pinv": 20, "linalg_lstsq": 20, "linalg_cond": 20, "linalg_matrix_norm": 20,
                         "linalg_matrix_rank": 20, "cholesky": 100, "": 150000, "conv": 6000, "mm": 20000, "scaled_dot": 8000, "sdpa": 8000, "attention": 8000}  # start of the op's name -> elements


def load(name: str, path: Path) -> object:
    """Imports a file under a name of our choosing: family files may be called like standard modules."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load("opcase", TESTS / "ops" / "opcase.py")
load("harness", TESTS / "ops" / "harness.py")


harness = sys.modules["harness"]
BAD_SKIPS = pytest.StashKey[list]()
CELLS = pytest.StashKey[set]()
LEFT_OUT = pytest.StashKey[dict]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", choices=("cpu", "cuda"), help="where the tested tensors live")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BAD_SKIPS], config.stash[CELLS], config.stash[LEFT_OUT] = [], set(), {}
    device = config.getoption("--device")
    harness.DEVICE = device
    if device != "cpu" and getattr(harness.library().cuda, "is_emulated", lambda: False)():
        harness.SIZE_LIMITS = EMULATED_SIZE_LIMITS


def on_device(item: pytest.Item) -> bool:
    """Whether this test is run on the device asked for by --device."""
    where = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
    return where.startswith(ON_DEVICE) and not item.get_closest_marker("host")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("markexpr") or ""
    cuda = config.getoption("--device") == "cuda"
    present = cuda and harness.library().cuda.is_available()
    chosen = []
    dropped = []
    for item in items:
        if item.get_closest_marker("ondemand") and "ondemand" not in asked:
            dropped.append(item)
            continue
        if cuda and not on_device(item):
            item.add_marker(pytest.mark.skip(reason="says nothing about a device"))
        elif cuda != present or (item.get_closest_marker("gpu") and not cuda):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        chosen.append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    items[:] = chosen


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The device of this test, which is also the default device while it runs."""
    name = request.config.getoption("--device")
    if name == "cpu" or not on_device(request.node):
        yield "cpu"
        return
    library = harness.library()
    with library.device(name):
        yield name
        library.cuda.synchronize()  # bad input met by a kernel is this test's failure, not the next one's


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(SKIP_REASONS):
            item.config.stash[BAD_SKIPS].append(f"{item.nodeid}: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Gathers what a worker of pytest-xdist counted."""
    counted = getattr(node, "workeroutput", {})
    stash = node.config.stash  # type: ignore[attr-defined]
    stash[CELLS].update(tuple(cell) for cell in counted.get("cells", ()))
    stash[BAD_SKIPS].extend(counted.get("bad_skips", ()))
    for name, n in counted.get("left_out", {}).items():
        stash[LEFT_OUT][name] = stash[LEFT_OUT].get(name, 0) + n


def floor_of(device: str) -> int:
    rows = (line.split() for line in (TESTS / "cells_floor.txt").read_text().splitlines())
    return next(int(row[1]) for row in rows if row and row[0] == device)


def whole_run(config: pytest.Config) -> bool:
    """Whether the op tests ran unfiltered, so that their cells can be held against the floor."""
    option = config.option
    if option.keyword or option.markexpr or option.collectonly or option.maxfail or os.environ.get("CCDL_TESTS_LIB"):
        return False
    paths = [str(a).rstrip("/") for a in config.args]
    return all(p in (str(TESTS), "tests", "tests/ops", str(TESTS / "ops")) for p in paths)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    bad, cells, left_out = config.stash[BAD_SKIPS], config.stash[CELLS], config.stash[LEFT_OUT]
    cells.update(harness.EXECUTED)
    for name, n in harness.LEFT_OUT.items():
        left_out[name] = left_out.get(name, 0) + n
    if hasattr(config, "workeroutput"):
        config.workeroutput.update(cells=[list(c) for c in cells], bad_skips=bad, left_out=left_out)
        return
    if bad and os.environ.get("CCDL_TESTS_LIB", "ccdl") == "ccdl":
        print("\nSkips with a reason outside the closed list:\n" + "\n".join(bad))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if left_out:
        print(f"\nsamples too large for the emulated device, left out: {sum(left_out.values())} of {len(left_out)} ops "
              f"({', '.join(sorted(left_out))})")
    device = config.getoption("--device")
    if cells and whole_run(config):
        # PyTorch is optional; tests/cells_floor.txt holds what may only grow
        counted = {c for c in cells if not c[1].startswith(("torch", "strides"))}
        floor = floor_of(device)
        print(f"\nexecuted (op x check) cells on {device}: {len(counted)} (with PyTorch {len(cells)}), floor {floor}")
        if len(counted) < floor:
            print("fewer (op x check) cells were executed than tests/cells_floor.txt asks for")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
