"""Scaled dot-product attention: training lengths forward and forward with backward, masks, grouped heads, decoding."""

import numpy as np

from measuring import Row, array, tensor


def rows(batch: int, heads: int, length: int, dim: int, *, causal: bool = False, backward: bool = True,
         keys: int | None = None, groups: int | None = None, padded: bool = False,
         dtype: str = "float32") -> list[Row]:  # fmt: skip
    """floating operations count the products only: 4 L S D forward, 2.5 times that again backward; half if causal."""
    keys, groups = keys or length, groups or heads
    how = {"is_causal": causal, "enable_gqa": groups != heads}

    def inputs(T, grad: bool):
        shapes = (batch, heads, length, dim), (batch, groups, keys, dim), (batch, groups, keys, dim)
        q, k, v = (tensor(T, *shape, seed=i).to(getattr(T, dtype)) for i, shape in enumerate(shapes))
        q, k, v = (x.requires_grad_() for x in (q, k, v)) if grad else (q, k, v)
        more = dict(how)
        if padded:  # the second half of every other sequence is padding
            seen = np.arange(keys) < np.where(np.arange(batch) % 2, keys // 2, keys).reshape(-1, 1, 1, 1)
            more["attn_mask"] = T.from_numpy(seen)
        return q, k, v, more

    def widened(x):  # for the comparison of results; NumPy has no bfloat16
        return x if dtype == "float32" else x.float()

    def forward(T):
        q, k, v, more = inputs(T, False)
        return lambda: widened(T.nn.functional.scaled_dot_product_attention(q, k, v, **more))

    def both(T):
        q, k, v, more = inputs(T, True)
        dout = T.from_numpy(array(batch, heads, length, dim, seed=9)).to(getattr(T, dtype))

        def run():
            q.grad = k.grad = v.grad = None
            T.nn.functional.scaled_dot_product_attention(q, k, v, **more).backward(dout)
            return widened(q.grad)

        return run

    flops = 4.0 * batch * heads * length * keys * dim * (0.5 if causal else 1)
    moved = (8.0 if dtype == "float32" else 4.0) * batch * dim * (heads * length + groups * keys)
    kind = "sdpa" + (" causal" if causal else "") + (" padded" if padded else "")
    title = f"{kind} {batch}x{heads}{f'/{groups}' if groups != heads else ''}x{length}"
    title += f"{f'/{keys}' if keys != length else ''}x{dim}"
    title += "" if dtype == "float32" else f" {dtype}"
    tol = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    found = [Row(title, forward, flops=flops, bytes=moved, tol=tol)]
    if backward:
        found.append(Row(title + " f+b", both, flops=3.5 * flops, bytes=3 * moved, tol=max(tol, 1e-3)))
    return found


ROWS = [
    *rows(4, 8, 128, 64),
    *rows(8, 4, 128, 32, causal=True),
    *rows(4, 8, 128, 64, causal=True),
    *rows(2, 8, 512, 128),
    *rows(4, 8, 1024, 64),
    *rows(4, 8, 1024, 64, causal=True),
    *rows(4, 8, 1024, 64, padded=True),
    *rows(2, 16, 1024, 64, groups=4, causal=True),
    *rows(1, 8, 4096, 64, causal=True),
    *rows(1, 4, 4096, 128),
    *rows(1, 32, 1, 128, keys=4096, backward=False),  # one new token
    *rows(1, 32, 1, 128, keys=4096, groups=8, backward=False),
    *rows(8, 8, 1, 64, keys=512, backward=False),
    *rows(1, 32, 4, 128, keys=4096, backward=False),
    *rows(2, 8, 512, 64, dtype="bfloat16"),
    *rows(1, 8, 1024, 64, causal=True, dtype="bfloat16"),
    *rows(1, 32, 1, 128, keys=4096, groups=8, backward=False, dtype="bfloat16"),
    *rows(2, 8, 512, 64, dtype="float16"),
]
