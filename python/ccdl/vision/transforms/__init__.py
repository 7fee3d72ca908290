"""Image transforms under torchvision's names, for one image [C, H, W] or a whole batch [N, C, H, W], on any
device.

Every random transform draws its numbers per sample. Called inside a :class:`ccdl.utils.data.DataLoader` on
single images they come from the sample's own generator; called on a batch with ``index=`` (the samples'
positions in the data set) they depend on (seed, epoch, index) alone, so a resumed or reordered run sees the
same pictures.
"""

from .base import Compose, Lambda, RandomApply, RandomTransform
from .colour import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    Normalize,
    PCAColorShift,
    RandomGrayscale,
    ToTensor,
)
from .crops import (
    CenterCrop,
    FiveCrop,
    Pad,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    TenCrop,
    ten_crop_predict,
)
from .mixing import CutMix, MixUp
from .warps import RandomAffine, RandomResizedCrop, RandomRotation

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "Lambda",
    "MixUp",
    "Normalize",
    "PCAColorShift",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomTransform",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToTensor",
    "ten_crop_predict",
]
