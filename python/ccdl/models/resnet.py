"""Residual networks: the ImageNet and CIFAR forms of ResNet-18 to 152 with torchvision's ``state_dict`` keys,
and the 16-32-64 family for small images with its plain twins.

Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from .._checks import check_count
from ..nn import functional as F

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "SmallResNet",
    "plain20",
    "plain56",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "wide_resnet50_2",
]


def _conv3x3(
    in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(
        in_planes,
        out_planes,
        kernel_size=3,
        stride=stride,
        padding=dilation,
        groups=groups,
        bias=False,
        dilation=dilation,
    )


def _conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_planes, out_planes, kernel_size=1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: y = relu(F(x) + shortcut(x))."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Any = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Any = None,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        if groups != 1 or base_width != 64 or dilation != 1:
            raise ValueError("BasicBlock: only groups=1, base_width=64 and dilation=1 are defined")
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided) and 1x1 convolutions beside a shortcut; the output has four times ``planes``."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Any = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Any = None,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = _conv1x1(inplanes, width)
        self.bn1 = norm(width)
        self.conv2 = _conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm(width)
        self.conv3 = _conv1x1(width, planes * self.expansion)
        self.bn3 = norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet of four stages.

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        layers: blocks per stage.
        num_classes: outputs.
        zero_init_residual: start each block as the identity (its last norm's weight is 0).
        groups, width_per_group: of the bottleneck's 3x3 convolution (ResNeXt, wide ResNet).
        replace_stride_with_dilation: for the stages 2, 3, 4: dilate instead of striding.
        norm_layer: class of the normalisation.
        small_images: the CIFAR form: 3x3 stem of stride 1 and no max pooling.

    Input [N, 3, H, W], output [N, num_classes].

    >>> import ccdl
    >>> from ccdl.models.resnet import BasicBlock, ResNet
    >>> net = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=10, small_images=True)
    >>> sum(p.numel() for p in net.parameters())
    11173962
    """

    def __init__(
        self,
        block: Any,
        layers: Any,
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Any = None,
        norm_layer: Any = None,
        small_images: bool = False,
    ) -> None:
        super().__init__()
        self._norm_layer = nn.BatchNorm2d if norm_layer is None else norm_layer
        self.inplanes, self.dilation = 64, 1
        dilate = replace_stride_with_dilation or [False, False, False]
        if len(dilate) != 3:
            raise ValueError(
                f"ResNet: replace_stride_with_dilation is {dilate}, must be None or three booleans"
            )
        self.groups, self.base_width = groups, width_per_group
        if small_images:
            self.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)) and m.weight is not None:
                nn.init.ones_(m.weight)
                nn.init.zeros_(m.bias)
        if zero_init_residual:
            for m in self.modules():
                if isinstance(m, Bottleneck):
                    nn.init.zeros_(m.bn3.weight)
                elif isinstance(m, BasicBlock):
                    nn.init.zeros_(m.bn2.weight)

    def _make_layer(
        self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        before = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                _conv1x1(self.inplanes, planes * block.expansion, stride),
                self._norm_layer(planes * block.expansion),
            )
        common = (self.groups, self.base_width)
        layers = [block(self.inplanes, planes, stride, downsample, *common, before, self._norm_layer)]
        self.inplanes = planes * block.expansion
        check_count("ResNet", "layers", blocks, 10_000)
        for _ in range(1, blocks):
            layers.append(
                block(self.inplanes, planes, 1, None, *common, self.dilation, self._norm_layer)
            )
        return nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class _PaddedShortcut(nn.Module):
    """The parameter-free shortcut: every stride-th pixel, missing channels are zeros."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, extra

    def forward(self, x: Any) -> Any:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))


class _PlainBlock(nn.Module):
    """The two convolutions of a :class:`BasicBlock` without its shortcut."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


class SmallResNet(nn.Module):
    """The 16-32-64 family for 32x32 images: 6 n + 2 layers, section 4.2 of the paper.

    Args:
        depth: 6 n + 2: 20, 32, 44, 56, 110, ...
        num_classes: outputs.
        shortcut: 'identity' (padded with zeros where channels grow), 'projection' (1x1 convolution there) or
            'none': the plain network of the same depth.
        in_channels: of the images.

    Input [N, in_channels, H, W], output [N, num_classes].

    >>> import ccdl
    >>> sum(p.numel() for p in ccdl.models.SmallResNet(20).parameters())
    269722
    """

    def __init__(
        self, depth: int = 20, num_classes: int = 10, shortcut: str = "identity", in_channels: int = 3
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"SmallResNet: depth is {depth}, must be 6 n + 2 with n >= 1")
        if shortcut not in ("identity", "projection", "none"):
            raise ValueError(
                f"SmallResNet: shortcut is {shortcut!r}, must be 'identity', 'projection' or 'none'"
            )
        self.conv1 = _conv3x3(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        channels = 16
        for stage, planes in enumerate((16, 32, 64), 1):
            blocks: list[nn.Module] = []
            for i in range((depth - 2) // 6):
                stride = 2 if i == 0 and stage > 1 else 1
                blocks.append(self._block(channels, planes, stride, shortcut))
                channels = planes
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _block(channels: int, planes: int, stride: int, shortcut: str) -> nn.Module:
        if shortcut == "none":
            return _PlainBlock(channels, planes, stride)
        downsample: nn.Module | None = None
        if channels != planes:
            if shortcut == "identity":
                downsample = _PaddedShortcut(stride, planes - channels)
            else:
                downsample = nn.Sequential(_conv1x1(channels, planes, stride), nn.BatchNorm2d(planes))
        return BasicBlock(channels, planes, stride, downsample)

    def forward(self, x: Any) -> Any:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-18: 11,689,512 parameters; with ``num_classes=10, small_images=True`` 11,173,962."""
    return ResNet(BasicBlock, [2, 2, 2, 2], num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-34: 21,797,672 parameters; CIFAR form 21,282,122."""
    return ResNet(BasicBlock, [3, 4, 6, 3], num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-50: 25,557,032 parameters; CIFAR form 23,520,842."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-101: 44,549,160 parameters; CIFAR form 42,512,970."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-152: 60,192,808 parameters; CIFAR form 58,156,618."""
    return ResNet(Bottleneck, [3, 8, 36, 3], num_classes, **options)


def resnext50_32x4d(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNeXt-50 (Xie et al., 2017): 32 groups of width 4; 25,028,904 parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, groups=32, width_per_group=4, **options)


def wide_resnet50_2(num_classes: int = 1000, **options: Any) -> ResNet:
    """Wide ResNet-50-2 (Zagoruyko, Komodakis, 2016): 68,883,240 parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, width_per_group=128, **options)


def resnet20(num_classes: int = 10, **options: Any) -> SmallResNet:
    """ResNet-20 of the 16-32-64 family: 269,722 parameters (272,474 with projections)."""
    return SmallResNet(20, num_classes, **options)


def resnet56(num_classes: int = 10, **options: Any) -> SmallResNet:
    """ResNet-56 of the 16-32-64 family: 853,018 parameters (855,770 with projections)."""
    return SmallResNet(56, num_classes, **options)


def plain20(num_classes: int = 10, **options: Any) -> SmallResNet:
    """ResNet-20 without shortcuts."""
    return SmallResNet(20, num_classes, shortcut="none", **options)


def plain56(num_classes: int = 10, **options: Any) -> SmallResNet:
    """ResNet-56 without shortcuts: harder to train than :func:`plain20` although it is larger."""
    return SmallResNet(56, num_classes, shortcut="none", **options)
