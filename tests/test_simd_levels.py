"""The cases marked simd, at every instruction-set level this processor has; the top level runs in the main process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LEVELS = ("generic", "v2", "v3", "v4")
TESTS = Path(__file__).resolve().parent


def level_of(environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-m", "ccdl"], env=environment, capture_output=True, text=True)
    return done.stdout.lower() if done.returncode == 0 else ""


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_level(level: str) -> None:
    environment = dict(os.environ, CCDL_ISA=level)
    probe = subprocess.run([sys.executable, "-c", "import ccdl; ccdl.ones(3).exp(); print(ccdl._C._isa_level())"],
                           env=environment, capture_output=True, text=True)
    if probe.returncode != 0 or probe.stdout.strip() != level:
        pytest.skip("this processor lacks the instruction set")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-m", "simd", "-k",
                           "test_values or test_layouts or test_nonfinite", str(TESTS / "ops"),
                           "-p", "no:cacheprovider"], env=environment, capture_output=True, text=True, cwd=TESTS.parent)
    assert done.returncode == 0, done.stdout[-3000:]
