"""Writes promotion.json beside this file from the installed PyTorch: python tests/data/make_promotion.py"""

from __future__ import annotations

import json
from pathlib import Path

import torch

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
NUMBERS = {"bool": True, "int": 3, "float": 2.5}


def name(dtype: torch.dtype) -> str:
    return str(dtype).rpartition(".")[2]


def main() -> None:
    dims = {d: torch.ones(2, dtype=getattr(torch, d)) for d in DTYPES}
    zero = {d: torch.ones((), dtype=getattr(torch, d)) for d in DTYPES}
    forms = {"tensor": dims, "zero_dim": zero}
    table = {"torch": torch.__version__.partition("+")[0], "result_type": {}, "div": {}, "can_cast": {}}
    for left, a in forms.items():
        for right, b in {**forms, "number": NUMBERS}.items():
            rows = {f"{x} {y}": name(torch.result_type(a[x], b[y])) for x in a for y in b}
            table["result_type"][f"{left} {right}"] = rows
            table["div"][f"{left} {right}"] = {f"{x} {y}": name((a[x] / b[y]).dtype) for x in a for y in b}
    for x in DTYPES:
        for y in DTYPES:
            table["can_cast"][f"{x} {y}"] = torch.can_cast(getattr(torch, x), getattr(torch, y))
    Path(__file__).with_name("promotion.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
