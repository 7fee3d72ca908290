"""The per-instruction-set objects may not export weak or unique symbols: the linker would keep one copy of such a
function, compiled for whichever level came first, and call it on processors that lack it.

    python tests/check_isa_objects.py <build folder>
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def main() -> int:
    build = Path(sys.argv[1])
    objects = sorted(build.rglob("ccdl_simd_*.dir/**/*.o"))
    wrong = []
    for path in objects:
        level = re.search(r"ccdl_simd_(\w+)\.dir", str(path))
        assert level is not None
        listed = subprocess.run(["nm", "--defined-only", "-C", str(path)], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            match = re.match(r"[0-9a-f]+ (\w) (.*)", line)
            if match is None:
                continue
            kind, name = match.groups()
            if kind in "WwVvu" and name != "DW.ref.__gxx_personality_v0":
                wrong.append(f"{path.name} [{level[1]}]: {kind} {name}")
            if kind in "TDBRS" and f"ccdl::cpu::{level[1]}::" not in name and kind != "r":
                wrong.append(f"{path.name} [{level[1]}]: exports {name} outside its namespace")
    print(f"{len(objects)} objects, {len(wrong)} wrong symbols")
    print("\n".join(wrong))
    return 1 if wrong or not objects else 0


if __name__ == "__main__":
    sys.exit(main())
