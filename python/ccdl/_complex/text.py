"""Text of complex tensors."""

from __future__ import annotations

import re
from typing import Any

from .. import _C
from . import _DTYPES

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)")


def text(z: Any) -> str:
    """As PyTorch prints complex tensors: the texts of both parts, number by number."""
    real, imag = (repr(part.detach()) for part in (z.real, z.imag))
    head = "Parameter containing:\n" if type(z).__name__ == "ComplexParameter" else ""
    imags = iter(_NUMBER.findall(imag[: imag.rindex("]") + 1] if "]" in imag else imag))

    def joined(found: Any) -> str:
        im = next(imags, None)
        return found.group() if im is None else f"{found.group()}{'' if im[0] in '+-' else '+'}{im}j"

    cut = (
        real.rindex("]") + 1
        if "]" in real
        else len("tensor(") + len(real[len("tensor(") :].split(",")[0].rstrip(")"))
    )
    body, rest = real[:cut], []
    if z.dtype is not _DTYPES[_C.get_default_dtype()] or not z.numel():
        rest.append(f"dtype={z.dtype}")
    if z.is_cuda:
        rest.insert(0, f"device='{z.device}'")
    if not z.numel() and z.ndim > 1:
        rest.insert(0, f"size={tuple(z.shape)}")
    if z.grad_fn is not None:
        rest.append(f"grad_fn=<{type(z.grad_fn).__name__}>")
    elif z.requires_grad:
        rest.append("requires_grad=True")
    return head + ", ".join([_NUMBER.sub(joined, body), *rest]) + ")"
