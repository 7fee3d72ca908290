"""Scaled dot-product attention: training lengths forward and forward with backward, masks, grouped heads, decoding."""

import numpy as np

from measuring import Row, array, tensor


def rows(batch: int, heads: int, length: int, dim: int, *, causal: bool = False, backward: bool = True,
         keys: int | None = None, groups: int | None = None, padded: bool = False) -> list[Row]:  # fmt: skip
    """floating operations count the products only: 4 L S D forward, 2.5 times that again backward; half if causal."""
    keys, groups = keys or length, groups or heads
    how = {"is_causal": causal, "enable_gqa": groups != heads}

    def inputs(T, grad: bool):
        shapes = (batch, heads, length, dim), (batch, groups, keys, dim), (batch, groups, keys, dim)
        q, k, v = (tensor(T, *shape, seed=i, grad=grad) for i, shape in enumerate(shapes))
        more = dict(how)
        if padded:  # the second half of every other sequence is padding
            seen = np.arange(keys) < np.where(np.arange(batch) % 2, keys // 2, keys).reshape(-1, 1, 1, 1)
            more["attn_mask"] = T.from_numpy(seen)
        return q, k, v, more

    def forward(T):
        q, k, v, more = inputs(T, False)
        return lambda: T.nn.functional.scaled_dot_product_attention(q, k, v, **more)

    def both(T):
        q, k, v, more = inputs(T, True)
        dout = T.from_numpy(array(batch, heads, length, dim, seed=9))

        def run():
            q.grad = k.grad = v.grad = None
            T.nn.functional.scaled_dot_product_attention(q, k, v, **more).backward(dout)
            return q.grad

        return run

    flops = 4.0 * batch * heads * length * keys * dim * (0.5 if causal else 1)
    moved = 8.0 * batch * dim * (heads * length + groups * keys)
    kind = "sdpa" + (" causal" if causal else "") + (" padded" if padded else "")
    title = f"{kind} {batch}x{heads}{f'/{groups}' if groups != heads else ''}x{length}"
    title += f"{f'/{keys}' if keys != length else ''}x{dim}"
    found = [Row(title, forward, flops=flops, bytes=moved, tol=1e-4)]
    if backward:
        found.append(Row(title + " f+b", both, flops=3.5 * flops, bytes=3 * moved, tol=1e-3))
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
]
