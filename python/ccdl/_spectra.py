"""The short-time Fourier transform and its inverse: frames of a signal, windowed, each transformed.

Gradients flow through both, as they are composed of views, products and :mod:`ccdl.fft`.
"""

from __future__ import annotations

import warnings
from typing import Any

from . import _C, errors, fft
from ._C import Tensor
from ._complex import ComplexTensor

__all__ = ["istft", "stft"]


def _window(name: str, window: Any, win_length: int, n_fft: int, dtype: Any, device: Any) -> Tensor:
    """The window [n_fft]: ones where none is given, zeros around one that is shorter."""
    if window is not None and not isinstance(window, Tensor):
        raise errors.TypeError(f"{name}(): argument 'window' must be Tensor, not {type(window).__name__}")
    if window is not None and (window.dim() != 1 or window.shape[0] != win_length):
        raise errors.RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={win_length}, but got window "
            f"with size {list(window.shape)}"
        )
    if window is None:
        window = _C.ones(win_length, dtype=dtype, device=device)
    if not window.is_floating_point():
        window = window.to(dtype)
    if win_length == n_fft:
        return window
    left = (n_fft - win_length) // 2
    return _C.cat([window.new_zeros(left), window, window.new_zeros(n_fft - win_length - left)])


def stft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Any:
    """X[k, m] = sum_j window[j] x[m hop + j] exp(-2 pi i j k / n_fft).

    Args:
        input: [L] or [B, L], real or complex.
        n_fft: samples of a frame.
        hop_length: from one frame to the next; n_fft // 4 by default.
        win_length: n_fft by default; a shorter window stands in the middle of the frame.
        window: [win_length]; ones by default.
        center: frame m stands around sample m hop; the signal is padded by n_fft // 2 at both ends.
        pad_mode: how ("reflect", "constant", "replicate", "circular").
        normalized: divides by sqrt(n_fft).
        onesided: only k <= n_fft / 2; the default for real numbers.
        return_complex: True: complex [.., K, M]; False: real [.., K, M, 2].
        align_to_window: for ``center=False`` and a shorter window: True: the window of frame m, not the frame
            around it, begins at sample m hop.

    Raises:
        RuntimeError: lengths that do not fit, or no ``return_complex`` for real numbers.

    >>> import ccdl
    >>> ccdl.stft(ccdl.ones(16), 8, return_complex=True).shape
    ccdl.Size([5, 9])
    """
    if not isinstance(input, (Tensor, ComplexTensor)):
        raise errors.TypeError(f"stft(): argument 'input' must be Tensor, not {type(input).__name__}")
    is_complex = isinstance(input, ComplexTensor)
    if return_complex is None:
        if not is_complex:
            raise errors.RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will further "
                "require that return_complex=True in a future PyTorch release."
            )
        return_complex = True
    if not is_complex and not input.is_floating_point():
        raise errors.DTypeError(
            f"stft: expected a tensor of floating point or complex values, got {input.dtype}"
        )
    if input.dim() not in (1, 2):
        raise errors.ShapeError(f"stft: expected a 1D or 2D tensor, got {input.dim()} dimensions")
    if align_to_window is not None and center:
        raise errors.RuntimeError("stft only supports align_to_window for center = False.")
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    single = input.dim() == 1
    parts: Any = input._parts if isinstance(input, ComplexTensor) else input.unsqueeze(-1)  # [B, L, 1 or 2]
    parts = parts.unsqueeze(0) if single else parts
    if center and n_fft > 0:
        from .nn.functional import pad

        around = (n_fft // 2, n_fft // 2)
        parts = pad(parts.transpose(1, 2), around, mode=pad_mode).transpose(1, 2)
    if align_to_window and 0 < win_length < n_fft:
        before = (n_fft - win_length) // 2
        zeros = parts.new_zeros(parts.shape[0], n_fft - win_length, parts.shape[2])
        parts = _C.cat([zeros[:, :before], parts, zeros[:, before:]], dim=1)
    length = parts.shape[1]
    if not 0 < n_fft <= length:
        raise errors.RuntimeError(f"stft: expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    if hop_length <= 0:
        raise errors.RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop_length}")
    if not 0 < win_length <= n_fft:
        raise errors.RuntimeError(
            f"stft: expected 0 < win_length <= n_fft, but got win_length={win_length}"
        )
    weights = _window("stft", window, win_length, n_fft, parts.dtype, parts.device)
    frames = parts.unfold(1, n_fft, hop_length) * weights  # [B, M, 1 or 2, n_fft]
    norm = "ortho" if normalized else None
    onesided = not is_complex if onesided is None else onesided
    if is_complex:
        if onesided:
            raise errors.RuntimeError("Cannot have onesided output if window or input is complex")
        spectrum: Any = fft.fft(ComplexTensor(frames.transpose(-1, -2)), norm=norm)
    else:
        spectrum = (fft.rfft if onesided else fft.fft)(frames.squeeze(2), norm=norm)
    spectrum = spectrum.transpose(1, 2)
    if single:
        spectrum = spectrum[0]
    return spectrum if return_complex else spectrum._parts


def istft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Any:
    """The signal whose frames come closest to ``input`` (Griffin and Lim, 1984): windowed frames are added
    where they overlap and divided by the sum of the squared windows.

    Args:
        input: complex [K, M] or [B, K, M], as :func:`stft` gives it.
        length: samples of the signal; the rest is cut off or filled with zeros.
        return_complex: a complex signal, from a spectrum that is not onesided.

    Raises:
        RuntimeError: sizes that do not fit, or windows that leave a sample without weight.

    >>> import ccdl
    >>> x, window = ccdl.arange(16.0), ccdl.hann_window(8)
    >>> y = ccdl.istft(ccdl.stft(x, 8, window=window, return_complex=True), 8, window=window)
    >>> ccdl.allclose(x, y, atol=1e-5)
    True
    """
    if not isinstance(input, ComplexTensor):
        if not isinstance(input, Tensor):
            raise errors.TypeError(f"istft(): argument 'input' must be Tensor, not {type(input).__name__}")
        raise errors.RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if input.numel() == 0:
        raise errors.RuntimeError("istft: input tensor cannot be empty.")
    if input.dim() not in (2, 3):
        raise errors.ShapeError(f"istft: expected a tensor with 2 or 3 dimensions, but got {input.dim()}")
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    bins, count = input.shape[-2:]
    onesided = bins != n_fft if onesided is None else onesided
    wanted = n_fft // 2 + 1 if onesided else n_fft
    if bins != wanted:
        raise errors.RuntimeError(
            f"istft: expected the frequency dimension (3rd to the last) of the input tensor to match "
            f"n_fft {'/ 2 + 1 ' if onesided else ''}when onesided={onesided}, but got {bins}"
        )
    if not 0 < hop_length <= win_length:
        raise errors.RuntimeError(
            f"istft: expected 0 < hop_length <= win_length, but got hop_length={hop_length}"
        )
    if not 0 < win_length <= n_fft:
        raise errors.RuntimeError(
            f"istft: expected 0 < win_length <= n_fft, but got win_length={win_length}"
        )
    if return_complex and onesided:
        raise errors.RuntimeError("cannot have onesided output if window or input is complex")
    single = input.dim() == 2
    z: Any = (input.unsqueeze(0) if single else input).transpose(1, 2)  # [B, M, K]
    weights = _window("istft", window, win_length, n_fft, z._parts.dtype, z.device)
    norm = "ortho" if normalized else None
    if return_complex:
        frames = fft.ifft(z, norm=norm)._parts.movedim(-1, 0).flatten(0, 1)  # [2 B, M, n_fft]
    else:
        frames = fft.irfft(z, n_fft, norm=norm) if onesided else fft.ifft(z, norm=norm).real
    total = n_fft + hop_length * (count - 1)

    def overlapped(rows: Tensor) -> Tensor:
        from .nn.functional import fold

        return fold(rows.transpose(1, 2), (1, total), (1, n_fft), stride=(1, hop_length)).flatten(1)

    signal = overlapped(frames * weights)
    envelope = overlapped((weights * weights).expand(1, count, n_fft))
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start if center else total
    signal, envelope = signal[:, start:end], envelope[:, start:end]
    if signal.shape[1] == 0 or float(envelope.abs().min()) < 1e-11:
        lowest = float(envelope.min()) if signal.shape[1] else 0.0
        raise errors.RuntimeError(f"istft: window overlap add min: {lowest:g}; every sample needs weight")
    signal = signal / envelope
    if length is not None and signal.shape[1] < length:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in "
            "the tail. Please check your center and hop_length settings.",
            stacklevel=2,
        )
        signal = _C.cat([signal, signal.new_zeros(signal.shape[0], length - signal.shape[1])], 1)
    if return_complex:
        result = ComplexTensor(_C.stack(signal.chunk(2), -1))
        return result[0] if single else result
    return signal[0] if single else signal
