"""Rearrangements and sampling of images."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors, items, tensor

__all__ = ["affine_grid", "channel_shuffle", "grid_sample", "pixel_shuffle", "pixel_unshuffle"]


def _channels_last(input):
    """Whether the values of a pixel's channels lie side by side, as the result's then do."""
    format = {4: _C.channels_last, 5: _C.channels_last_3d}.get(input.dim())
    return (
        format is not None and not input.is_contiguous() and input.is_contiguous(memory_format=format)
    )


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """[*, C r^2, H, W] -> [*, C, H r, W r]: channels become r x r blocks of pixels.

    Source: Shi et al., 2016.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.pixel_shuffle(ccdl.arange(4.).reshape(1, 4, 1, 1), 2)[0, 0]
    tensor([[0., 1.],
            [2., 3.]])
    """
    r = upscale_factor
    if input.dim() < 3:
        raise RuntimeError(f"pixel_shuffle: input is {list(input.shape)}, must have at least 3 dimensions")
    if r < 1:
        raise RuntimeError(f"pixel_shuffle: upscale_factor is {r}, must be at least 1")
    if r * r >= 1 << 63:
        raise errors.ValueError(f"pixel_shuffle: upscale_factor is {r}, its square exceeds 64 bits")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(f"pixel_shuffle: {c} channels are not divisible by upscale_factor^2 = {r * r}")
    if input.dim() == 4 and _channels_last(input):
        blocks = input.movedim(1, -1).reshape(*lead, h, w, c // (r * r), r, r).permute(0, 1, 4, 2, 5, 3)
        return blocks.reshape(*lead, h * r, w * r, c // (r * r)).movedim(-1, 1)
    n = len(lead)
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return (
        input.reshape(*lead, c // (r * r), r, r, h, w)
        .permute(order)
        .reshape(*lead, c // (r * r), h * r, w * r)
    )


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """[*, C, H r, W r] -> [*, C r^2, H, W], the inverse of :func:`pixel_shuffle`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.pixel_unshuffle(ccdl.arange(4.).reshape(1, 1, 2, 2), 2).shape
    ccdl.Size([1, 4, 1, 1])
    """
    r = downscale_factor
    if input.dim() < 3:
        raise RuntimeError(f"pixel_unshuffle: input is {list(input.shape)}, must have at least 3 dimensions")
    if r < 1:
        raise RuntimeError(f"pixel_unshuffle: downscale_factor is {r}, must be at least 1")
    *lead, c, h, w = input.shape
    if h % r or w % r:
        raise RuntimeError(f"pixel_unshuffle: height {h} and width {w} must be divisible by {r}")
    if input.dim() == 4 and _channels_last(input):
        blocks = input.movedim(1, -1).reshape(*lead, h // r, r, w // r, r, c).permute(0, 1, 3, 5, 2, 4)
        return blocks.reshape(*lead, h // r, w // r, c * r * r).movedim(-1, 1)
    n = len(lead)
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return (
        input.reshape(*lead, c, h // r, r, w // r, r).permute(order).reshape(*lead, c * r * r, h // r, w // r)
    )


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """[N, C, ...] with channels dealt out over ``groups``: (g, C / g) becomes (C / g, g).

    Source: Zhang et al., 2018.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.channel_shuffle(ccdl.arange(4.).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    if input.dim() < 3:
        raise errors.ShapeError(
            "channel_shuffle: input must be [N, C, ...] with 3 or more dimensions, "
            f"got {list(input.shape)}"
        )
    n, c, *rest = input.shape
    if groups < 1 or c % groups:
        raise RuntimeError(f"channel_shuffle: {c} channels cannot be split into {groups} groups")
    if _channels_last(input):
        dealt = input.movedim(1, -1).reshape(n, *rest, groups, c // groups).transpose(-1, -2)
        return dealt.reshape(n, *rest, c).movedim(-1, 1)
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)


def affine_grid(theta: Any, size: Any, align_corners: Any = None) -> Tensor:
    """Sampling grid of an affine map: theta [N, 2, 3], size (N, C, H, W) -> [N, H, W, 2]; also 3-d ([N, 3,
    4]).

    The grid holds ``theta (x, y, 1)^T`` for output positions x, y in [-1, 1].

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.affine_grid(ccdl.tensor([[[1., 0., 0.], [0., 1., 0.]]]), (1, 1, 2, 2), align_corners=True)[0, 0, 0]
    tensor([-1., -1.])
    """
    if not tensor("affine_grid", "theta", theta).is_floating_point():
        raise ValueError(f"affine_grid: Expected theta to have floating point type, but got {theta.dtype}")
    size = items("affine_grid", "size", size)
    spatial = size[2:]
    n = len(spatial)
    if n not in (2, 3):
        raise NotImplementedError(f"affine_grid: size is {list(size)}, must be 4-d or 5-d")
    if theta.dim() != 3 or tuple(theta.shape) != (size[0], n, n + 1):
        raise ValueError(f"affine_grid: theta is {list(theta.shape)}, must be [{size[0]}, {n}, {n + 1}]")
    if min(size) <= 0:
        raise ValueError(f"affine_grid: size is {list(size)}, must be positive")
    like: dict[str, Any] = {"dtype": theta.dtype, "device": theta.device}
    points = _C.ones((*spatial, n + 1), **like)
    for d in reversed(range(n)):
        steps = spatial[d]
        if align_corners:
            line = _C.linspace(-1, 1, steps, **like) if steps > 1 else _C.zeros(1, **like)
        else:
            line = (_C.arange(steps, **like) * 2 + 1) / steps - 1
        shape = [1] * n
        shape[d] = steps
        points.select(-1, n - 1 - d).copy_(line.reshape(shape))
    points = points.reshape(1, -1, n + 1).expand(size[0], -1, n + 1)
    return _C.matmul(points, theta.transpose(1, 2)).reshape(size[0], *spatial, n)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Samples ``input`` at the positions of ``grid`` (values in [-1, 1], last dimension x, y[, z]).

    Args:
        input: [N, C, H, W] (or 5-d); grid: [N, H', W', 2] (or [N, D', H', W', 3]).
        mode: 'bilinear', 'nearest' or 'bicubic' (4-d).
        padding_mode: outside values: 'zeros', 'border' or 'reflection'.
        align_corners: -1 and 1 are the corner pixels' centres rather than their outer edges.

    Returns [N, C, H', W']. A position that is NaN or infinite counts as outside.

    Raises:
        RuntimeError: ranks, batch sizes, dtypes or devices do not fit. ValueError: an unknown mode.

    Source: Jaderberg et al., "Spatial transformer networks", 2015.

    >>> import ccdl, ccdl.nn.functional as F
    >>> x = ccdl.arange(4.0).reshape(1, 1, 2, 2)
    >>> F.grid_sample(x, ccdl.zeros(1, 1, 1, 2), align_corners=False).item()
    1.5
    """
    return _C.grid_sample(input, grid, mode, padding_mode, bool(align_corners))


__test__ = check_tensors(globals(), ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"])
