"""Type promotion against PyTorch's table (tests/data/promotion.json, written by tests/data/make_promotion.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ccdl

TABLE = json.loads((Path(__file__).parent / "data" / "promotion.json").read_text())
NUMBERS = {"bool": True, "int": 3, "float": 2.5}


def operand(form: str, what: str):
    if form == "number":
        return NUMBERS[what]
    return ccdl.ones((2,) if form == "tensor" else (), dtype=getattr(ccdl, what))


def dtype_name(dtype) -> str:
    return str(dtype).rpartition(".")[2]


@pytest.mark.parametrize("forms", sorted(TABLE["result_type"]))
def test_result_type(forms: str) -> None:
    left, right = forms.split()
    for pair, want in TABLE["result_type"][forms].items():
        x, y = pair.split()
        a, b = operand(left, x), operand(right, y)
        assert dtype_name(ccdl.result_type(a, b)) == want, f"{forms}: {pair}"
        assert dtype_name((a * b).dtype) == want, f"{forms}: {pair} in mul"
        assert dtype_name((b * a).dtype) == want, f"{forms}: {pair} in mul from the right"
        assert dtype_name(ccdl.maximum(a, b).dtype if right != "number" else (a + b).dtype) == want
        assert (a == b).dtype == ccdl.bool
        assert dtype_name((a / b).dtype) == TABLE["div"][forms][pair], f"{forms}: {pair} in div"


def test_can_cast_and_promote_types() -> None:
    for pair, want in TABLE["can_cast"].items():
        x, y = (getattr(ccdl, n) for n in pair.split())
        assert ccdl.can_cast(x, y) == want, pair
        assert dtype_name(ccdl.promote_types(x, y)) == TABLE["result_type"]["tensor tensor"][pair]


def test_in_place_never_changes_the_dtype() -> None:
    x = ccdl.ones(3, dtype=ccdl.int32)
    x += 2
    assert x.dtype == ccdl.int32
    with pytest.raises(RuntimeError, match="int32"):
        x += 0.5
    with pytest.raises(RuntimeError, match="can't be cast"):
        x /= 2
    half = ccdl.ones(3, dtype=ccdl.float16)
    half += ccdl.ones(3, dtype=ccdl.float64)
    assert half.dtype == ccdl.float16
