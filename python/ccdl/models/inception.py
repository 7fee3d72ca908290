"""GoogLeNet (Inception v1): the paper's form and torchvision's.

Source: Szegedy et al., "Going deeper with convolutions", 2015.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import cat, nn
from ..nn import functional as F

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "Inception", "googlenet"]


class GoogLeNetOutputs(NamedTuple):
    """Logits of the main classifier and, in training, of the two auxiliary heads."""

    logits: Any
    aux_logits2: Any
    aux_logits1: Any


class BasicConv2d(nn.Module):
    """Convolution without bias, batch normalisation (eps 0.001), ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Any) -> Any:
        return F.relu(self.bn(self.conv(x)))


class PlainConv2d(nn.Module):
    """Convolution with bias, ReLU: the paper's."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, **options)

    def forward(self, x: Any) -> Any:
        return F.relu(self.conv(x))


class Inception(nn.Module):
    """The inception module: 1x1, 3x3, 5x5 convolutions and 3x3 max pooling side by side, joined by channel.

    Args:
        in_channels: of the input.
        ch1x1: channels of the 1x1 branch.
        ch3x3red, ch3x3: of the 3x3 branch's 1x1 reduction (0: none) and of the 3x3 convolution.
        ch5x5red, ch5x5: of the 5x5 branch.
        pool_proj: of the 1x1 convolution after the pooling; 0 leaves the branch out.
        conv_block: class of the convolutions (default: with batch normalisation, as torchvision's).
        kernel5: size of the "5x5" convolution; torchvision's is 3.

    Input [N, in_channels, H, W], output [N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W].

    >>> import ccdl
    >>> from ccdl.models.inception import Inception, PlainConv2d
    >>> block = Inception(192, 64, 96, 128, 16, 32, 32, conv_block=PlainConv2d, kernel5=5)
    >>> sum(p.numel() for p in block.parameters())
    163696
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        conv_block: Any = None,
        kernel5: int = 3,
    ) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block

        def reduced(first: int, width: int, kernel: int) -> nn.Module:
            if first == 0:
                return conv(in_channels, width, kernel_size=kernel, padding=kernel // 2)
            return nn.Sequential(
                conv(in_channels, first, kernel_size=1),
                conv(first, width, kernel_size=kernel, padding=kernel // 2),
            )

        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = reduced(ch3x3red, ch3x3, 3)
        self.branch3 = reduced(ch5x5red, ch5x5, kernel5)
        self.branch4 = None
        if pool_proj:
            self.branch4 = nn.Sequential(
                nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
                conv(in_channels, pool_proj, kernel_size=1),
            )

    def forward(self, x: Any) -> Any:
        branches = [self.branch1(x), self.branch2(x), self.branch3(x)]
        if self.branch4 is not None:
            branches.append(self.branch4(x))
        return cat(branches, 1)


class InceptionAux(nn.Module):
    """Auxiliary head: 4x4 average, 1x1 convolution to 128 channels, 1024 hidden units, dropout, logits."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: Any, dropout: float) -> None:
        super().__init__()
        self.conv = conv_block(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Any) -> Any:
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


# in, 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection: table 1 of the paper
_MODULES = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    """GoogLeNet.

    Args:
        num_classes: outputs.
        aux_logits: with the two auxiliary heads, whose logits training mode returns too.
        form: 'torchvision': batch normalisation, 3x3 in the "5x5" branch, modules inception3a to inception5b,
            state_dict keys as torchvision's, 6,624,904 parameters (13,004,888 with heads); 'paper': biased
            convolutions with local response normalisation, modules mixed3a to mixed5b, 6,998,552 parameters
            (13,378,280 with heads).
        dropout, dropout_aux: probabilities before the last linear layer of the net and of the heads.

    Input [N, 3, H, W] with H, W >= 32 (224 in the paper), output [N, num_classes], or in training with heads
    a :class:`GoogLeNetOutputs`. ``net.node("mixed4a")`` is a module under the paper's name in either form.

    >>> import ccdl
    >>> net = ccdl.models.GoogLeNet(num_classes=7, aux_logits=False, form="paper").eval()
    >>> net(ccdl.zeros(1, 3, 64, 64)).shape
    ccdl.Size([1, 7])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        form: str = "torchvision",
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        if form not in ("torchvision", "paper"):
            raise ValueError(f"GoogLeNet: form is {form!r}, must be 'torchvision' or 'paper'")
        paper = form == "paper"
        conv: Any = PlainConv2d if paper else BasicConv2d
        self.aux_logits = aux_logits
        self._prefix = "mixed" if paper else "inception"
        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for name, sizes in _MODULES.items():
            if name == "4a":
                self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            if name == "5a":
                self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
            block = Inception(*sizes, conv_block=conv, kernel5=5 if paper else 3)
            self.add_module(self._prefix + name, block)
        self.norm1 = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75) if paper else nn.Identity()
        self.norm2 = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75) if paper else nn.Identity()
        self.aux1 = InceptionAux(512, num_classes, conv, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, conv, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)

    def node(self, name: str) -> nn.Module:
        """The inception module called ``name``: mixed3a, mixed3b, mixed4a to mixed4e, mixed5a, mixed5b."""
        if not name.startswith("mixed") or name[5:] not in _MODULES:
            raise ValueError(
                f"GoogLeNet.node: name is {name!r}, must be one of {['mixed' + k for k in _MODULES]}"
            )
        return getattr(self, self._prefix + name[5:])

    def forward(self, x: Any) -> Any:
        x = self.norm1(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))
        x = self.maxpool3(self.node("mixed3b")(self.node("mixed3a")(x)))
        x = self.node("mixed4a")(x)
        heads = self.training and self.aux1 is not None and self.aux2 is not None
        aux1 = self.aux1(x) if heads else None  # type: ignore[misc]
        for name in ("4b", "4c", "4d"):
            x = self.node("mixed" + name)(x)
        aux2 = self.aux2(x) if heads else None  # type: ignore[misc]
        x = self.maxpool4(self.node("mixed4e")(x))
        x = self.node("mixed5b")(self.node("mixed5a")(x))
        x = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return GoogLeNetOutputs(x, aux2, aux1) if heads else x


def googlenet(num_classes: int = 1000, **options: Any) -> GoogLeNet:
    """:class:`GoogLeNet` in torchvision's form, untrained."""
    return GoogLeNet(num_classes, **options)
