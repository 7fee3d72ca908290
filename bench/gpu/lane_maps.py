"""The lane maps of ldmatrix and mma.sync, as the PTX ISA gives them, and the comparison with what a device printed.

    lane_maps | python bench/gpu/lane_maps.py [--json out.json]     compares standard input with lane_maps.txt
    python bench/gpu/lane_maps.py --expected > bench/gpu/lane_maps.txt

lane_maps is bench/gpu/lane_maps.cu compiled with nvcc (a real device) or with g++ against the emulator.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "lane_maps.txt"
CODES = 3


def coded(lane: int, reg: int, half: int, code: int) -> int:
    """The number lane_maps.cu puts at one position of a fragment."""
    mixed = (lane * 131 + reg * 31 + half * 17 + code * 57 + 7) * 2654435761 & 0xFFFFFFFF
    return (mixed >> 27) - 16


def ldmatrix(count: int, trans: bool) -> Iterator[str]:
    for lane in range(32):
        g, t = divmod(lane, 4)
        parts = []
        for m in range(count):
            at = lambda row, column, m=m: 64 * m + 8 * row + column
            pair = (at(2 * t, g), at(2 * t + 1, g)) if trans else (at(g, 2 * t), at(g, 2 * t + 1))
            parts.append(f"{pair[0]},{pair[1]}")
        yield f"ldmatrix x{count}{' trans' if trans else ''} lane {lane}: {' '.join(parts)}"


def mma(kind: str, code: int) -> Iterator[str]:
    """m16n8k16 for bf16 and fp16, m16n8k8 for tf32."""
    pack = 1 if kind == "tf32" else 2
    depth = 8 * pack
    a = [[0] * depth for _ in range(16)]
    b = [[0] * depth for _ in range(8)]
    for lane in range(32):
        g, t = divmod(lane, 4)
        for half in range(pack):
            for reg in range(4):
                a[g + reg % 2 * 8][t * pack + reg // 2 * (depth // 2) + half] = coded(lane, reg, half, code)
            for reg in range(2):
                b[g][t * pack + reg * (depth // 2) + half] = coded(lane, 4 + reg, half, code)
    for lane in range(32):
        g, t = divmod(lane, 4)
        sums = []
        for i in range(4):
            row, column = a[g + i // 2 * 8], b[2 * t + i % 2]
            sums.append(coded(lane, 6 + i, 0, code) + sum(x * y for x, y in zip(row, column)))
        yield f"mma {kind} code {code} lane {lane}: {' '.join(map(str, sums))}"


def mma_fp64(code: int) -> Iterator[str]:
    """m8n8k4."""
    for lane in range(32):
        g, t = divmod(lane, 4)
        sums = []
        for i in range(2):
            terms = (coded(4 * g + k, 0, 0, code) * coded(4 * (2 * t + i) + k, 4, 0, code) for k in range(4))
            sums.append(coded(lane, 6 + i, 0, code) + sum(terms))
        yield f"mma fp64 code {code} lane {lane}: {' '.join(map(str, sums))}"


def expected() -> list[str]:
    lines = [line for trans in (False, True) for count in (1, 2, 4) for line in ldmatrix(count, trans)]
    tables: list[Callable[[int], Iterator[str]]] = [lambda c, k=k: mma(k, c) for k in ("bf16", "fp16", "tf32")]
    return lines + [line for table in [*tables, mma_fp64] for code in range(CODES) for line in table(code)]


def compare(got: list[str], want: list[str]) -> dict[str, object]:
    """Which instructions differ, and the first differing line of each."""
    found = dict(line.split(": ", 1) for line in got if ": " in line)
    wrong: dict[str, str] = {}
    for line in want:
        key, values = line.split(": ", 1)
        instruction = key.rpartition(" lane ")[0]
        if found.get(key) != values and instruction not in wrong:
            wrong[instruction] = f"{key}: {found.get(key, 'missing')}, expected {values}"
    instructions = {line.partition(" lane ")[0] for line in want}
    return {"instructions": len(instructions), "lines": len(want), "different": wrong}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--expected", action="store_true", help="print the maps instead of comparing")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.expected:
        print("\n".join(expected()))
        return 0
    result = compare(sys.stdin.read().splitlines(), GOLDEN.read_text().splitlines())
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    for text in result["different"].values():  # type: ignore[attr-defined]
        print(text)
    print(f"lane maps: {result['instructions']} instructions, {len(result['different'])} differ")  # type: ignore
    return 1 if result["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
