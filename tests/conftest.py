"""Markers, the --device option, the closed list of skip reasons, and the count of executed (op x check) cells."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
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
)


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", choices=("cpu", "cuda"), help="device of the op tests")


def pytest_configure(config: pytest.Config) -> None:
    sys.modules["harness"].DEVICE = config.getoption("--device")  # type: ignore[attr-defined]
    config.stash[BAD_SKIPS] = []


BAD_SKIPS = pytest.StashKey[list]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("markexpr") or ""
    chosen = []
    dropped = []
    for item in items:
        if item.get_closest_marker("ondemand") and "ondemand" not in asked:
            dropped.append(item)
            continue
        if item.get_closest_marker("gpu") and config.getoption("--device") != "cuda":
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        chosen.append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    chosen.sort(key=lambda item: item.name.startswith("test_cells_floor"))  # counts what ran before it
    items[:] = chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(SKIP_REASONS):
            item.config.stash[BAD_SKIPS].append(f"{item.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    bad = session.config.stash[BAD_SKIPS]
    if bad and os.environ.get("CCDL_TESTS_LIB", "ccdl") == "ccdl":
        print("\nSkips with a reason outside the closed list:\n" + "\n".join(bad))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
