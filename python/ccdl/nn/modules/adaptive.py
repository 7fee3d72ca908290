"""Adaptive softmax for large vocabularies, and batch norm over several processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ... import _C
from ..._C import Tensor
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module
from .normalization import _BatchNorm

__all__ = ["AdaptiveLogSoftmaxWithLoss", "SyncBatchNorm"]


class _ASMoutput(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax over many classes sorted by frequency, in a head and tail clusters of falling width.

    The head holds the ``cutoffs[0]`` most frequent classes and one entry per cluster; cluster i projects to
    ``in_features / div_value^(i + 1)`` before its own softmax.

    Args:
        in_features: size of the input. n_classes: number of classes. cutoffs: increasing class indices.
        div_value: how much narrower each cluster is. head_bias: a bias in the head.

    Returns:
        (output [N], loss): log-probability of each target, and the mean of its negative.

    Source: Grave et al., Efficient softmax approximation for GPUs, 2017.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(16, 100, [10, 50])
    >>> [round(p, 4) for p in layer.log_prob(ccdl.ones(2, 16)).exp().sum(1).tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(cutoffs)
            or min(cutoffs) <= 0
            or max(cutoffs) > n_classes - 1
            or len(set(cutoffs)) != len(cutoffs)
            or any(int(c) != c for c in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                f"where each value is between 1 and n_classes-1, got {cutoffs} for n_classes={n_classes}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        options = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            width = int(in_features // (div_value ** (i + 1)))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **options),
                    Linear(width, size, bias=False, **options),
                )
            )

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        self.head.reset_parameters()
        for project, out in self.tail:
            project.reset_parameters()
            out.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> Any:
        if input.shape[0] != target.shape[0] if target.dim() else input.dim() != 1:
            raise RuntimeError(
                "AdaptiveLogSoftmaxWithLoss: input and target should have the same size in the "
                "batch dimension, "
                f"got {list(input.shape)} and {list(target.shape)}"
            )
        if target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.numel() and not (0 <= int(target.min()) and int(target.max()) < self.n_classes):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{int(target.min())}, {int(target.max())}] were found. "
            )
        batched = target.dim() > 0
        x, y = (input, target) if batched else (input.unsqueeze(0), target.unsqueeze(0))
        head = F.log_softmax(self.head(x), 1)
        first = _C.where(y < self.shortlist_size, y, 0)
        for i in range(self.n_clusters):
            inside = (y >= self.cutoffs[i]) & (y < self.cutoffs[i + 1])
            first = _C.where(inside, self.shortlist_size + i, first)
        output = head.gather(1, first.unsqueeze(1)).squeeze(1)
        for i in range(self.n_clusters):
            rows = ((y >= self.cutoffs[i]) & (y < self.cutoffs[i + 1])).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            log_prob = F.log_softmax(self.tail[i](x.index_select(0, rows)), 1)
            inner = y.index_select(0, rows) - self.cutoffs[i]
            output = output.index_add(0, rows, log_prob.gather(1, inner.unsqueeze(1)).squeeze(1))
        return _ASMoutput(output if batched else output.squeeze(0), (-output).mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all classes: [N, n_classes]."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            cluster = F.log_softmax(self.tail[i](input), 1)
            parts.append(cluster + head[:, self.shortlist_size + i].unsqueeze(1))
        return _C.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row; looks into a cluster only where the head points to one."""
        head = self.head(input)
        output = head.argmax(1)
        if bool((output < self.shortlist_size).all()):
            return output
        return self.log_prob(input).argmax(1)


class SyncBatchNorm(_BatchNorm):
    """Batch norm of [N, C, ...] whose statistics are those of all processes' batches; with one process, batch
    norm for any number of dimensions.

    Raises:
        RuntimeError: ``process_group`` is given (groups of processes are not implemented).

    >>> import ccdl, ccdl.nn as nn
    >>> model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    >>> type(model[1]).__name__
    'SyncBatchNorm'
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        if process_group is not None:
            raise RuntimeError("SyncBatchNorm: process_group is given, but only one process is supported")
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """``module`` with every batch norm in it replaced; parameters and statistics are kept."""
        result: Module = module
        if isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm):
            result = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            if module.affine:
                result.weight, result.bias = module.weight, module.bias
            result.running_mean, result.running_var = module.running_mean, module.running_var
            result.num_batches_tracked = module.num_batches_tracked
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result
