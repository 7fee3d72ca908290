"""Rearrangements and sampling of images."""

from __future__ import annotations

import math
from typing import Any

from ... import _C, errors
from ..._C import Tensor

__all__ = ["affine_grid", "channel_shuffle", "grid_sample", "pixel_shuffle", "pixel_unshuffle"]


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
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(f"pixel_shuffle: {c} channels are not divisible by upscale_factor^2 = {r * r}")
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
    n, c, *rest = input.shape
    if groups < 1 or c % groups:
        raise RuntimeError(f"channel_shuffle: {c} channels cannot be split into {groups} groups")
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)


def affine_grid(theta: Any, size: Any, align_corners: Any = None) -> Tensor:
    """Sampling grid of an affine map: theta [N, 2, 3], size (N, C, H, W) -> [N, H, W, 2]; also 3-d ([N, 3,
    4]).

    The grid holds ``theta (x, y, 1)^T`` for output positions x, y in [-1, 1].

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.affine_grid(ccdl.tensor([[[1., 0., 0.], [0., 1., 0.]]]), (1, 1, 2, 2), align_corners=True)[0, 0, 0]
    tensor([-1., -1.])
    """
    spatial = tuple(size)[2:]
    n = len(spatial)
    if n not in (2, 3):
        raise NotImplementedError(f"affine_grid: size is {list(size)}, must be 4-d or 5-d")
    if theta.dim() != 3 or tuple(theta.shape) != (size[0], n, n + 1):
        raise ValueError(f"affine_grid: theta is {list(theta.shape)}, must be [{size[0]}, {n}, {n + 1}]")
    if min(size) <= 0:
        raise ValueError(f"affine_grid: size is {list(size)}, must be positive")
    columns = []
    like: dict[str, Any] = {"dtype": theta.dtype, "device": theta.device}
    for d in reversed(range(n)):
        steps = spatial[d]
        if align_corners:
            line = _C.linspace(-1, 1, steps, **like) if steps > 1 else _C.zeros(1, **like)
        else:
            line = (_C.arange(steps, **like) * 2 + 1) / steps - 1
        shape = [1] * n
        shape[d] = steps
        columns.append(line.reshape(shape).expand(spatial))
    columns.append(_C.ones(spatial, **like))
    points = _C.stack(columns, -1).reshape(1, -1, n + 1).expand(size[0], -1, n + 1)
    return _C.matmul(points, theta.transpose(1, 2)).reshape(size[0], *spatial, n)


def _unnormalise(x: Tensor, size: int, align: bool) -> Tensor:
    """[-1, 1] to pixels 0 ... size - 1."""
    return (x + 1) * ((size - 1) / 2) if align else ((x + 1) * size - 1) / 2


def _reflect(x: Tensor, size: int, align: bool) -> Tensor:
    """Mirrors coordinates at the corner pixels' centres, or at the outer edges."""
    low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
    if high <= low:
        return x * 0
    span = high - low
    x = (x - low).abs()
    extra = _C.fmod(x, span)
    even = _C.fmod((x / span).floor(), 2.0) == 0
    return _C.where(even, extra + low, span - extra + low).clamp(0, size - 1)


def _into(x: Tensor, size: int, padding_mode: str, align: bool) -> Tensor:
    """Coordinates where the padding mode puts them; NaN counts as outside. 'zeros' leaves them outside."""
    x = _C.where(_C.isfinite(x.detach()), x, _C.full_like(x, -100.0))
    if padding_mode == "border":
        return x.clamp(0, size - 1)
    if padding_mode == "reflection":
        return _reflect(x, size, align)
    return x.clamp(-100, size + 100)


class _Pixels:
    """``input`` [N, C, *space] read at integer coordinates, one [N, P] tensor per dimension; 0 outside."""

    def __init__(self, input: Tensor) -> None:
        self.n, self.c, *self.space = input.shape
        self.flat = input.reshape(self.n, self.c, math.prod(self.space))

    def __call__(self, at: list[Tensor]) -> Tensor:
        place, inside = None, None
        for x, size in zip(at, self.space):
            good = (x >= 0) & (x <= size - 1)
            index = x.clamp(0, size - 1).long()
            place = index if place is None else place * size + index
            inside = good if inside is None else inside & good
        assert place is not None and inside is not None
        points = place.shape[1]
        found = self.flat.gather(2, place.unsqueeze(1).expand(self.n, self.c, points))
        return _C.where(inside.unsqueeze(1), found, _C.zeros((), dtype=found.dtype, device=found.device))


def _linear(pixels: _Pixels, at: list[Tensor]) -> Tensor:
    low = [x.detach().floor() for x in at]
    total = None
    for corner in range(2 ** len(at)):
        weight, places = None, []
        for d, (x, first) in enumerate(zip(at, low)):
            up = corner >> d & 1
            share = x - first if up else first + 1 - x
            weight = share if weight is None else weight * share
            places.append(first + up)
        assert weight is not None
        part = pixels(places) * weight.unsqueeze(1)
        total = part if total is None else total + part
    assert total is not None
    return total


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Keys' convolution with a = -0.75 for the neighbours at -1, 0, 1, 2 of a point at t in [0, 1)."""
    a = -0.75

    def near(u: Tensor) -> Tensor:
        return ((a + 2) * u - (a + 3)) * u * u + 1

    def far(u: Tensor) -> Tensor:
        return ((a * u - 5 * a) * u + 8 * a) * u - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _cubic(pixels: _Pixels, at: list[Tensor], padding_mode: str, align: bool) -> Tensor:
    low = [x.detach().floor() for x in at]
    weights = [_cubic_weights(x - f) for x, f in zip(at, low)]
    rows, columns = pixels.space
    total = None
    for i in range(4):
        for j in range(4):
            y = _into(low[0] + (i - 1), rows, padding_mode, align)
            x = _into(low[1] + (j - 1), columns, padding_mode, align)
            part = pixels([y, x]) * (weights[0][i] * weights[1][j]).unsqueeze(1)
            total = part if total is None else total + part
    assert total is not None
    return total


def _check_grid(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    for name, value, known in (
        ("mode", mode, ("bilinear", "nearest", "bicubic")),
        ("padding_mode", padding_mode, ("zeros", "border", "reflection")),
    ):
        if value not in known:
            raise errors.ValueError(f"grid_sample: {name} is {value!r}, must be one of {known}")
    shapes = f"input {list(input.shape)} and grid {list(grid.shape)}"
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        raise errors.ShapeError(
            f"grid_sample: expected 4-d or 5-d input and grid of the same rank, got {shapes}"
        )
    if mode == "bicubic" and input.dim() != 4:
        raise errors.ShapeError(f"grid_sample: bicubic interpolation takes 4-d input, got {shapes}")
    if input.shape[0] != grid.shape[0]:
        raise errors.ShapeError(f"grid_sample: input and grid must have the same batch size, got {shapes}")
    if grid.shape[-1] != input.dim() - 2:
        raise errors.ShapeError(f"grid_sample: the last size of grid must be {input.dim() - 2}, got {shapes}")
    if min(input.shape[2:]) == 0:
        raise errors.ShapeError(f"grid_sample: input must have pixels, got {shapes}")
    if input.dtype != grid.dtype or not input.is_floating_point():
        raise errors.DTypeError(
            "grid_sample: input and grid must have one floating-point dtype, got "
            f"{input.dtype} and {grid.dtype}"
        )
    if input.device != grid.device:
        raise errors.DeviceError(
            f"grid_sample: input and grid must be on one device, got {input.device} and {grid.device}"
        )


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
    _check_grid(input, grid, mode, padding_mode)
    align = bool(align_corners)
    n, out = input.shape[0], tuple(grid.shape[1:-1])
    wide = grid.float() if grid.dtype in (_C.float16, _C.bfloat16) else grid
    points = wide.reshape(n, math.prod(out), wide.shape[-1])
    space = input.shape[2:]
    at = [_unnormalise(points[..., len(space) - 1 - d], size, align) for d, size in enumerate(space)]
    pixels = _Pixels(input)
    if mode == "bicubic":
        inner = [_into(x, size, "zeros", align) for x, size in zip(at, space)]
        found = _cubic(pixels, inner, padding_mode, align)
    else:
        at = [_into(x, size, padding_mode, align) for x, size in zip(at, space)]
        if mode == "nearest":  # steps have no slope: the grid's gradient is zero, not absent
            found = pixels([x.detach().round() for x in at]) + (at[0] * 0).unsqueeze(1)
        else:
            found = _linear(pixels, at)
    return found.to(input.dtype).reshape(n, input.shape[1], *out)
