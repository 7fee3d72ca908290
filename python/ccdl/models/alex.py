"""AlexNet in both published forms: the 2012 paper's, with grouped convolutions and local response
normalisation, and the slimmer one of torchvision.

Sources: Krizhevsky, Sutskever, Hinton, 2012; Krizhevsky, "One weird trick", 2014; the ablations are those of
lecture note 004 (after Zeiler, Fergus, 2013).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import nn

__all__ = ["AlexNet", "AlexNet2012", "alexnet"]


class AlexNet(nn.Module):
    """AlexNet as torchvision has it, with the same ``state_dict`` keys: 61,100,840 parameters.

    Args:
        num_classes: outputs.
        dropout: probability before the two hidden linear layers.

    Input [N, 3, H, W] with H, W >= 63 (224 in the paper), output [N, num_classes].

    >>> import ccdl
    >>> net = ccdl.models.AlexNet(num_classes=5)
    >>> net(ccdl.zeros(1, 3, 64, 64)).shape
    ccdl.Size([1, 5])
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNet2012(nn.Module):
    """AlexNet of the 2012 paper: 96-256-384-384-256 channels, 60,965,224 parameters (62,378,344 ungrouped).

    Args:
        num_classes: outputs.
        groups: of convolutions 2, 4 and 5: 2 as on the paper's two GPUs, or 1.
        without: numbers of the layers to leave out, any of 3, 4 (convolutions) and 6, 7 (linear layers); what
            follows is wired to what is left. Note 004 leaves out {7}, {6, 7}, {3, 4} and {3, 4, 6, 7}.
        dropout: probability after the hidden linear layers.

    Input [N, 3, 227, 227] (other sizes are pooled to 6x6 before the linear layers), output [N, num_classes].

    >>> import ccdl
    >>> net = ccdl.models.AlexNet2012(num_classes=5, without={3, 4, 6, 7})
    >>> net(ccdl.zeros(1, 3, 67, 67)).shape
    ccdl.Size([1, 5])
    """

    def __init__(
        self, num_classes: int = 1000, groups: int = 2, without: Iterable[int] = (), dropout: float = 0.5
    ) -> None:
        super().__init__()
        left_out = frozenset(without)
        if not left_out <= {3, 4, 6, 7}:
            raise ValueError(f"AlexNet2012: without is {sorted(left_out)}, may hold only 3, 4, 6 and 7")
        if groups not in (1, 2):
            raise ValueError(f"AlexNet2012: groups is {groups!r}, must be 1 or 2")

        def norm() -> nn.Module:
            return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

        layers: list[nn.Module] = [nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)]
        layers += [nn.Conv2d(96, 256, 5, padding=2, groups=groups), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)]
        channels = 256
        for number, width, split in ((3, 384, 1), (4, 384, groups), (5, 256, groups)):
            if number not in left_out:
                layers += [nn.Conv2d(channels, width, 3, padding=1, groups=split), nn.ReLU()]
                channels = width
        layers.append(nn.MaxPool2d(3, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        head: list[nn.Module] = []
        features = 256 * 6 * 6
        for number in (6, 7):
            if number not in left_out:
                head += [nn.Linear(features, 4096), nn.ReLU(), nn.Dropout(dropout)]
                features = 4096
        self.classifier = nn.Sequential(*head, nn.Linear(features, num_classes))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet(num_classes: int = 1000, **options: Any) -> AlexNet:
    """:class:`AlexNet`, untrained.

    >>> import ccdl
    >>> sum(p.numel() for p in ccdl.models.alexnet().parameters())
    61100840
    """
    return AlexNet(num_classes, **options)
