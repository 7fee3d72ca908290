"""Colours and intensities. Images are floating point in [0, 1] unless said otherwise; channels are R, G,
B."""

from __future__ import annotations

import math
from typing import Any

from ... import _C
from ...nn import functional as F
from .base import RandomTransform, as_batch, probability, span

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "Grayscale",
    "Normalize",
    "PCAColorShift",
    "RandomGrayscale",
    "ToTensor",
]


class ToTensor:
    """A Pillow image or a NumPy array [H, W] or [H, W, C] as a float tensor [C, H, W]; bytes become [0, 1].

    >>> import numpy
    >>> ToTensor()(numpy.full((1, 2, 3), 255, dtype=numpy.uint8)).shape
    ccdl.Size([3, 1, 2])
    """

    def __call__(self, image: Any) -> Any:
        import numpy as np

        array = np.asarray(image)
        if array.ndim not in (2, 3):
            raise ValueError(f"ToTensor: expected an image [H, W] or [H, W, C], got shape {array.shape}")
        if array.ndim == 2:
            array = array[:, :, None]
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
        if array.dtype == np.bool_:
            return _C.tensor(array.astype(np.float32))
        tensor = _C.tensor(array)
        return tensor.float() / 255 if array.dtype == np.uint8 else tensor


class Normalize:
    """(x - mean) / std per channel.

    >>> import ccdl
    >>> Normalize([0.5], [0.25])(ccdl.ones(1, 1, 1)).item()
    2.0
    """

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = [float(m) for m in mean], [float(s) for s in std]
        if len(self.mean) != len(self.std) or not all(s > 0 for s in self.std):
            raise ValueError(
                f"Normalize: mean {mean!r} and std {std!r} must have one number per channel, std positive"
            )

    def __call__(self, images: Any) -> Any:
        as_batch("Normalize", images)
        if images.shape[-3] != len(self.mean) and len(self.mean) != 1:
            raise ValueError(
                f"Normalize: {len(self.mean)} channels expected, got images {list(images.shape)}"
            )
        options = {"dtype": images.dtype, "device": images.device}
        mean, std = (_C.tensor(v, **options).reshape(-1, 1, 1) for v in (self.mean, self.std))
        return (images - mean) / std


def _gray(images: Any) -> Any:
    """Luma of ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, one channel."""
    if images.shape[1] == 1:
        return images
    if images.shape[1] != 3:
        raise ValueError(f"grayscale: images must have 1 or 3 channels, got {list(images.shape)}")
    return 0.299 * images[:, 0:1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:3]


class Grayscale:
    """Luma 0.299 R + 0.587 G + 0.114 B, in 1 or 3 equal channels."""

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels is {num_output_channels}, must be 1 or 3")
        self.channels = num_output_channels

    def __call__(self, images: Any) -> Any:
        batch, several = as_batch("Grayscale", images)
        found = _gray(batch).repeat(1, self.channels, 1, 1)
        return found if several else found.squeeze(0)


class RandomGrayscale(RandomTransform):
    """Turns each image gray with probability ``p``, keeping its channels."""

    def __init__(self, p: float = 0.1, seed: int = 0) -> None:
        super().__init__(seed)
        self.p = probability("RandomGrayscale", p)

    def apply(self, images: Any, u: Any) -> Any:
        return _C.where((u < self.p).reshape(-1, 1, 1, 1), _gray(images).expand_as(images), images)


def _shift_hue(images: Any, turn: Any) -> Any:
    """Turns the hue of RGB images by ``turn`` [N, 1, 1] of the colour circle (HSV hexagon)."""
    r, g, b = images[:, 0], images[:, 1], images[:, 2]
    high, low = images.amax(1), images.amin(1)
    chroma = high - low
    safe = _C.where(chroma > 0, chroma, _C.ones_like(chroma))
    hue = _C.where(high == r, (g - b) / safe, _C.where(high == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    hue = (hue / 6 + turn).remainder(1.0) * 6
    parts = []
    for n in (5.0, 3.0, 1.0):  # f(n) = V - C max(0, min(k, 4 - k, 1)), k = (n + H) mod 6
        k = (hue + n).remainder(6.0)
        parts.append(high - chroma * _C.minimum(k, 4 - k).clamp(0, 1))
    return _C.stack(parts, 1)


class ColorJitter(RandomTransform):
    """Changes brightness, contrast, saturation and hue of each image, in this order.

    Args:
        brightness, contrast, saturation: factor uniform in [max(0, 1 - v), 1 + v], or in a pair (from, to).
        hue: turn of the colour circle uniform in [-v, v], v <= 0.5, or in a pair.

    Values stay in [0, 1]. Contrast mixes with the image's mean luma, saturation with the luma of each pixel.

    >>> import ccdl
    >>> ColorJitter(0.4, 0.4, 0.4, 0.1)(ccdl.rand(2, 3, 4, 4)).shape
    ccdl.Size([2, 3, 4, 4])
    """

    numbers = 4

    def __init__(
        self, brightness: Any = 0.0, contrast: Any = 0.0, saturation: Any = 0.0, hue: Any = 0.0, seed: int = 0
    ) -> None:
        super().__init__(seed)
        self.brightness = span("ColorJitter", "brightness", brightness, 1.0, 0.0)
        self.contrast = span("ColorJitter", "contrast", contrast, 1.0, 0.0)
        self.saturation = span("ColorJitter", "saturation", saturation, 1.0, 0.0)
        self.hue = span("ColorJitter", "hue", hue, 0.0)
        if self.hue[0] < -0.5 or self.hue[1] > 0.5:
            raise ValueError(f"ColorJitter: hue is {hue!r}, must lie within [-0.5, 0.5]")

    def apply(self, images: Any, u: Any) -> Any:
        def factor(column: int, ends: tuple[float, float]) -> Any:
            return (u[:, column] * (ends[1] - ends[0]) + ends[0]).reshape(-1, 1, 1, 1).to(images.dtype)

        if self.brightness != (1.0, 1.0):
            images = (images * factor(0, self.brightness)).clamp(0, 1)
        if self.contrast != (1.0, 1.0):
            mean, f = _gray(images).mean((1, 2, 3), keepdim=True), factor(1, self.contrast)
            images = (images * f + mean * (1 - f)).clamp(0, 1)
        if images.shape[1] == 3:
            if self.saturation != (1.0, 1.0):
                f = factor(2, self.saturation)
                images = (images * f + _gray(images) * (1 - f)).clamp(0, 1)
            if self.hue != (0.0, 0.0):
                images = _shift_hue(images, factor(3, self.hue).squeeze(1))
        return images


class GaussianBlur(RandomTransform):
    """Blurs each image with a Gaussian whose deviation is uniform in ``sigma``; borders are reflected.

    Args:
        kernel_size: odd, one number or (height, width).
        sigma: (from, to) in pixels, or one number.
    """

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0), seed: int = 0) -> None:
        super().__init__(seed)
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(size) != 2 or not all(isinstance(k, int) and k > 0 and k % 2 for k in size):
            raise ValueError(f"GaussianBlur: kernel_size is {kernel_size!r}, must be odd and positive")
        self.kernel_size = size
        self.sigma = (float(sigma),) * 2 if isinstance(sigma, (int, float)) else tuple(sigma)
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"GaussianBlur: sigma is {sigma!r}, must be positive, from <= to")

    def apply(self, images: Any, u: Any) -> Any:
        n, c, h, w = images.shape
        sigma = u[:, 0] * (self.sigma[1] - self.sigma[0]) + self.sigma[0]
        kh, kw = self.kernel_size
        x = F.pad(images, (kw // 2, kw // 2, kh // 2, kh // 2), mode="reflect")
        x = x.reshape(1, n * c, h + kh - 1, w + kw - 1)
        for size, shape in ((kh, (kh, 1)), (kw, (1, kw))):
            at = _C.arange(size, device=images.device, dtype=_C.float32) - size // 2
            kernel = (-0.5 * (at / sigma.reshape(n, 1)) ** 2).exp()
            kernel = (kernel / kernel.sum(1, keepdim=True)).to(images.dtype)
            weight = kernel.repeat_interleave(c, 0).reshape(n * c, 1, *shape)
            x = F.conv2d(x, weight, groups=n * c)
        return x.reshape(n, c, h, w)


class PCAColorShift(RandomTransform):
    """AlexNet's colour augmentation: adds sum_i a_i l_i p_i to every pixel, a_i ~ N(0, std), per image.

    p_i, l_i: eigenvectors and eigenvalues of the 3x3 covariance of the training set's RGB values (fit it on
    the training images). Source: Krizhevsky, Sutskever, Hinton, 2012, section 4.1.

    >>> import ccdl
    >>> shift = PCAColorShift(std=0.1).fit(ccdl.rand(16, 3, 8, 8))
    >>> shift(ccdl.rand(2, 3, 8, 8)).shape
    ccdl.Size([2, 3, 8, 8])
    """

    numbers = 6

    def __init__(self, std: float = 0.1, seed: int = 0) -> None:
        super().__init__(seed)
        if not isinstance(std, (int, float)):
            raise TypeError(f"PCAColorShift: std is {type(std).__name__}, must be a number")
        if std < 0:
            raise ValueError(f"PCAColorShift: std is {std}, must not be negative")
        self.std = float(std)
        self.eigenvalues: list[float] = []
        self.eigenvectors: list[list[float]] = []  # row i belongs to eigenvalue i

    def fit(self, images: Any) -> PCAColorShift:
        """Takes the covariance of all pixels of ``images`` [N, 3, H, W]; returns itself."""
        import numpy as np

        batch, _ = as_batch("PCAColorShift", images)
        if batch.shape[1] != 3:
            raise ValueError(f"PCAColorShift: images must have 3 channels, got {list(batch.shape)}")
        pixels = batch.detach().cpu().double().transpose(0, 1).reshape(3, -1).numpy()
        values, vectors = np.linalg.eigh(np.cov(pixels, bias=True))
        self.eigenvalues, self.eigenvectors = values.tolist(), vectors.T.tolist()
        return self

    def apply(self, images: Any, u: Any) -> Any:
        if not self.eigenvalues:
            raise RuntimeError("PCAColorShift: call fit(training images) first")
        # Box-Muller: three normals of six uniforms
        radius = (-2 * (1 - u[:, :3]).log()).sqrt()
        normal = radius * (2 * math.pi * u[:, 3:]).cos() * self.std
        values = _C.tensor(self.eigenvalues, dtype=normal.dtype, device=images.device)
        vectors = _C.tensor(self.eigenvectors, dtype=normal.dtype, device=images.device)
        return images + ((normal * values) @ vectors).to(images.dtype).reshape(-1, 3, 1, 1)
