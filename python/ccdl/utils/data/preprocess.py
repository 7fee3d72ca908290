"""Preprocessing that is fitted on the training set and applied to every set: centring, scaling, whitening.

Samples are rows: [N, ...] is treated as [N, features]. Source: lecture note 001 ("data preprocessing").
"""

from __future__ import annotations

from typing import Any

from ... import _C

__all__ = ["MeanSubtraction", "PCAWhitening", "Standardize", "ZCAWhitening"]


class _Fitted:
    mean: Any = None

    def fit(self, x: Any) -> Any:
        raise NotImplementedError

    def transform(self, x: Any) -> Any:
        raise NotImplementedError

    def fit_transform(self, x: Any) -> Any:
        """``fit(x)``, then ``transform(x)``."""
        return self.fit(x).transform(x)

    def __call__(self, x: Any) -> Any:
        return self.transform(x)

    def _rows(self, x: Any, fitting: bool) -> Any:
        name = type(self).__name__
        if not isinstance(x, _C.Tensor) or x.dim() < 2 or not x.is_floating_point():
            got = f"{list(x.shape)} {x.dtype}" if isinstance(x, _C.Tensor) else type(x).__name__
            raise ValueError(f"{name}: expected floating-point samples [N, ...], got {got}")
        if fitting:
            if x.shape[0] == 0:
                raise ValueError(f"{name}: no samples to fit")
            return x.detach().reshape(x.shape[0], -1)
        if self.mean is None:
            raise RuntimeError(f"{name}: call fit(training samples) first")
        rows = x.reshape(x.shape[0], -1)
        if rows.shape[1] != self.mean.shape[0]:
            raise ValueError(f"{name}: fitted on {self.mean.shape[0]} features, got samples {list(x.shape)}")
        return rows


class MeanSubtraction(_Fitted):
    """x - mean of the training set, per feature.

    >>> import ccdl
    >>> MeanSubtraction().fit_transform(ccdl.tensor([[1.0, 2.0], [3.0, 6.0]])).tolist()
    [[-1.0, -2.0], [1.0, 2.0]]
    """

    def fit(self, x: Any) -> MeanSubtraction:
        self.mean = self._rows(x, True).mean(0)
        return self

    def transform(self, x: Any) -> Any:
        return (self._rows(x, False) - self.mean.to(x.device, x.dtype)).reshape(x.shape)

    def inverse(self, x: Any) -> Any:
        """Undoes :meth:`transform`."""
        return (self._rows(x, False) + self.mean.to(x.device, x.dtype)).reshape(x.shape)


class Standardize(_Fitted):
    """(x - mean) / deviation of the training set, per feature; constant features are only centred.

    >>> import ccdl
    >>> Standardize().fit_transform(ccdl.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    def fit(self, x: Any) -> Standardize:
        rows = self._rows(x, True)
        self.mean = rows.mean(0)
        std = rows.std(0, unbiased=False)
        self.std = _C.where(std > 0, std, _C.ones_like(std))
        return self

    def transform(self, x: Any) -> Any:
        rows = self._rows(x, False)
        return ((rows - self.mean.to(x.device, x.dtype)) / self.std.to(x.device, x.dtype)).reshape(x.shape)

    def inverse(self, x: Any) -> Any:
        """Undoes :meth:`transform`."""
        rows = self._rows(x, False)
        return (rows * self.std.to(x.device, x.dtype) + self.mean.to(x.device, x.dtype)).reshape(x.shape)


class PCAWhitening(_Fitted):
    """Rotates to the principal axes and divides by their deviations: z = (x - mean) V / sqrt(lambda + eps).

    Args:
        components: how many axes to keep, the strongest first (default all).
        eps: added to the variances.

    ``transform`` gives [N, components]; the covariance of the transformed training set is the identity.
    """

    def __init__(self, components: int | None = None, eps: float = 1e-5) -> None:
        if components is not None and components < 1:
            raise ValueError(f"{type(self).__name__}: components is {components}, must be at least 1")
        if eps < 0:
            raise ValueError(f"{type(self).__name__}: eps is {eps}, must not be negative")
        self.components, self.eps = components, eps

    def _axes(self, x: Any) -> tuple[Any, Any]:
        """(variances, axes [features, components]), strongest first, by NumPy's symmetric eigensolver."""
        import numpy as np

        rows = self._rows(x, True)
        self.mean = rows.mean(0)
        centred = (rows - self.mean).cpu().double().numpy()
        values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
        keep = slice(None, None, -1) if self.components is None else slice(-1, -1 - self.components, -1)
        return np.maximum(values, 0)[keep], vectors[:, keep]

    def fit(self, x: Any) -> PCAWhitening:
        import numpy as np

        values, axes = self._axes(x)
        self.explained_variance = _C.tensor(values.copy())
        self.matrix = _C.tensor(np.ascontiguousarray(axes / np.sqrt(values + self.eps)), dtype=x.dtype)
        return self

    def transform(self, x: Any) -> Any:
        rows = self._rows(x, False)
        return (rows - self.mean.to(x.device, x.dtype)) @ self.matrix.to(x.device, x.dtype)


class ZCAWhitening(PCAWhitening):
    """PCA whitening rotated back: z = (x - mean) V diag(1 / sqrt(lambda + eps)) V^T; images stay
    recognisable.

    ``transform`` keeps the samples' shape.
    """

    def fit(self, x: Any) -> ZCAWhitening:
        import numpy as np

        values, axes = self._axes(x)
        self.explained_variance = _C.tensor(values.copy())
        self.matrix = _C.tensor(
            np.ascontiguousarray(axes / np.sqrt(values + self.eps) @ axes.T), dtype=x.dtype
        )
        return self

    def transform(self, x: Any) -> Any:
        return super().transform(x).reshape(x.shape)
