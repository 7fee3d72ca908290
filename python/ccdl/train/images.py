"""``ccdl train NAME`` for the image networks: one recipe, one network per name, on real images at hand.

Images are scikit-learn's handwritten digits scaled up, MNIST-style IDX files, CIFAR binaries or a folder of
pictures. The test set is touched once at the end; a tenth of the rest, stratified, is the validation set,
which alone decides which weights are best.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import _C, models, nn
from ..nn import functional as F
from ..utils.data import DataLoader, TensorDataset, stratified_split
from ..utils.data.sampler import seeded_generator
from ..utils.data.worker import mix
from ..vision import datasets
from ..vision import transforms as T
from .callbacks import BestCheckpoint
from .common import add_common, common_options, fit, parameters
from .report import confusion_text, write_confusion
from .scores import confusion_counts

__all__ = ["NETWORKS", "add_arguments", "load_images", "run", "train"]


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and what its recipe starts from."""

    build: Callable[[int], nn.Module]  # from the number of classes
    size: int = 32
    epochs: int = 15
    lr: float = 3e-3
    channels: int = 3
    label_smoothing: float = 0.0


NETWORKS: dict[str, Network] = {
    "alexnet": Network(lambda c: models.AlexNet(c), size=64, lr=5e-4),
    "densenet": Network(lambda c: _dense(c)),
    "googlenet": Network(lambda c: models.GoogLeNet(c, aux_logits=False), size=64, lr=1e-3),
    "lenet": Network(lambda c: models.LeNet5(c), epochs=25, channels=1, label_smoothing=0.05),
    "plain20": Network(lambda c: models.plain20(c)),
    "plain56": Network(lambda c: models.plain56(c)),
    "resnet18": Network(lambda c: models.resnet18(c, small_images=True), lr=1e-3),
    "resnet20": Network(lambda c: models.resnet20(c)),
    "resnet56": Network(lambda c: models.resnet56(c)),
    "vgg": Network(lambda c: _vgg(c), lr=1e-3),
}


def _dense(classes: int) -> nn.Module:
    return models.DenseNet(12, (6, 6, 6), 24, num_classes=classes, small_images=True)


def _vgg(classes: int) -> nn.Module:
    return models.VGG(11, classes, batch_norm=True, small_images=True)


def _whole(data: Any) -> tuple[Any, Any]:
    """(images float [N, C, H, W], labels) of a data set in memory or of a folder of pictures."""
    if hasattr(data, "data"):
        images = data.data
        return (images.float() / 255 if images.dtype == _C.uint8 else images), data.targets
    samples = [data[i] for i in range(len(data))]
    sizes = {tuple(x.shape[1:]) for x, _ in samples}
    if len(sizes) > 1:
        raise ValueError(f"images: pictures have {len(sizes)} different sizes; give one size with --size")
    return _C.stack([x for x, _ in samples]), _C.tensor([y for _, y in samples], dtype=_C.int64)


def load_images(data: str | None, size: int | None = None) -> tuple[Any, Any, Any, Any]:
    """(images [N, C, H, W] in [0, 1], labels, test images, test labels); the test part may be None.

    Args:
        data: None: scikit-learn's digits; a folder with IDX files, with CIFAR-10 binaries (also in
            cifar-10-batches-bin), with train/ and test/ of pictures by class, or of pictures by class.
        size: pictures of a folder are resized to it.

    Raises:
        ValueError: the folder holds none of these.
    """
    if data is None:
        from .data import load_digits

        images, labels = load_digits()
        return images.unsqueeze(1), labels, None, None
    folder = Path(data)
    if not folder.is_dir():
        raise ValueError(f"images: {data} is not a folder")
    if any(folder.glob("*idx3*")):
        x, y = _whole(datasets.MNIST(folder))
        test = any(folder.glob("t10k*idx3*"))
        return (x, y, *(_whole(datasets.MNIST(folder, train=False)) if test else (None, None)))
    if any(folder.glob("data_batch_*.bin")) or (folder / "cifar-10-batches-bin").is_dir():
        train_part, test_part = datasets.CIFAR10(folder), datasets.CIFAR10(folder, train=False)
        return (*_whole(train_part), *_whole(test_part))
    shape = None if size is None else T.Resize((size, size))
    if (folder / "train").is_dir():
        x, y = _whole(datasets.ImageFolder(folder / "train", shape))
        test = (folder / "test").is_dir()
        return (x, y, *(_whole(datasets.ImageFolder(folder / "test", shape)) if test else (None, None)))
    return (*_whole(datasets.ImageFolder(folder, shape)), None, None)


def add_arguments(parser: Any) -> None:
    """The recipe's options; the parser's name says which network."""
    name = parser.prog.split()[-1]
    network = NETWORKS[name]
    parser.add_argument("--data", help="folder of IDX files, CIFAR-10 binaries or pictures (default: digits)")
    add_common(parser, name, epochs=network.epochs, batch_size=64, lr=network.lr)
    parser.add_argument("--size", type=int, default=network.size, help="images are resized to it")
    parser.add_argument("--label-smoothing", type=float, default=network.label_smoothing)
    parser.add_argument("--workers", type=int, default=0, help="loader worker threads")
    parser.add_argument("--limit", type=int, help="use so many images only")
    parser.add_argument("--no-augment", action="store_true", help="train on the images as they are")


def run(arguments: Any) -> int:
    """The command: trains and returns the exit status."""
    options = common_options(arguments)
    options["augment"] = not options.pop("no_augment")
    train(arguments.recipe, **options)
    return 0


def _prepare(images: Any, size: int, channels: int) -> Any:
    """[N, channels, size, size]: images four pixels smaller get a frame of two (as LeNet has it), others
    are resized.
    """
    shape = tuple(images.shape[2:])
    if shape == (size - 4, size - 4):
        images = T.Pad(2)(images)
    elif shape != (size, size):
        images = T.Resize((size, size))(images)
    if images.shape[1] == channels:
        return images
    return T.Grayscale()(images) if channels == 1 else images.expand(-1, channels, -1, -1).contiguous()


def train(
    network: str,
    data: str | None = None,
    out: str | None = None,
    epochs: int | None = None,
    batch_size: int = 64,
    lr: float | None = None,
    weight_decay: float = 1e-2,
    size: int | None = None,
    limit: int | None = None,
    augment: bool = True,
    label_smoothing: float | None = None,
    workers: int = 0,
    seed: int = 0,
    resume: bool = False,
    stop_after: int | None = None,
    quiet: bool = False,
    say: Callable[[str], Any] = print,
    device: Any = "cpu",
) -> dict[str, Any]:
    """Trains the network called ``network``.

    Arguments are the command's options; None takes the network's default.

    Returns:
        A dict: finished, history, model, files; when finished also test_accuracy, confusion, best.
    """
    if network not in NETWORKS:
        raise ValueError(f"images: network is {network!r}, must be one of {sorted(NETWORKS)}")
    started = time.perf_counter()
    usual = NETWORKS[network]
    out = f"runs/{network}" if out is None else out
    size = usual.size if size is None else size
    epochs = usual.epochs if epochs is None else epochs
    lr = usual.lr if lr is None else lr
    smoothing = usual.label_smoothing if label_smoothing is None else label_smoothing
    x, y, test_x, test_y = load_images(data, size)
    if limit is not None:
        chosen = _C.randperm(x.shape[0], generator=seeded_generator(mix(seed, 5)))[:limit]
        x, y = x[chosen], y[chosen]
    if test_x is None:
        rest, part = stratified_split(y, 0.2, mix(seed, 1))
        test_x, test_y, x, y = x[part], y[part], x[rest], y[rest]
    x, test_x = _prepare(x, size, usual.channels), _prepare(test_x, size, usual.channels)
    rest, part = stratified_split(y, 0.1, mix(seed, 2))
    val_x, val_y, x, y = x[part], y[part], x[rest], y[rest]
    classes = int(max(y.max().item(), test_y.max().item())) + 1
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3)).clamp(min=1e-6)
    _C.manual_seed(mix(seed, 3))
    net = nn.Sequential(_Normalise(mean, std), usual.build(classes))
    warp = T.RandomAffine(10, (0.06, 0.06), (0.9, 1.1), 6, seed=mix(seed, 4)) if augment else None

    def forward(current: Any, batch: Any) -> tuple[Any, Any, Any, int]:
        images, labels, index = batch
        if current.training and warp is not None:
            images = warp(images, index=index)
        logits = current(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing if current.training else 0.0)
        return loss, logits, labels, labels.shape[0]

    def loader(images: Any, labels: Any, shuffle: bool) -> DataLoader:
        index = _C.arange(images.shape[0])
        generator = seeded_generator(0) if shuffle else None
        data = _Samples(images, labels, index)
        data.warp = warp if shuffle else None
        return DataLoader(
            data,
            batch_size=batch_size,
            shuffle=shuffle,
            generator=generator,
            num_workers=workers if shuffle else 0,
        )

    say(
        f"{network}: {x.shape[0]} training, {val_x.shape[0]} validation, {test_x.shape[0]} test images "
        f"{size}x{size}, {classes} classes; {parameters(net)} parameters"
    )
    options: dict[str, Any] = {"network": network, "data": data, "size": size, "limit": limit}
    options.update(augment=augment, label_smoothing=smoothing)
    finished, trainer, files = fit(
        net,
        forward,
        loader(x, y, True),
        loader(val_x, val_y, False),
        out=out,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        options={**options, "batch_size": batch_size, "seed": seed},
        resume=resume,
        stop_after=stop_after,
        quiet=quiet,
        say=say,
        device=device,
        monitor="val_accuracy",
    )
    result = {"finished": finished, "history": trainer.history, "files": files, "model": net}
    if not finished:
        return result
    logits = trainer.predict(DataLoader(test_x, batch_size=256)).cpu()
    counts = confusion_counts(logits, test_y, classes).tolist()
    accuracy = sum(counts[i][i] for i in range(classes)) / max(1, test_y.shape[0])
    files += write_confusion(counts, out)
    if classes <= 20:
        say(confusion_text(counts))
    say(
        f"test accuracy {100 * accuracy:.2f} % ({test_y.shape[0]} images), "
        f"{time.perf_counter() - started:.1f} s"
    )
    say("written: " + ", ".join(files))
    best = next(c for c in trainer.callbacks.items if isinstance(c, BestCheckpoint))
    return {
        **result,
        "test_accuracy": accuracy,
        "confusion": counts,
        "files": files,
        "best": {"epoch": best.best_epoch, "accuracy": best.best},
    }


class _Samples(TensorDataset):
    """Tensors whose augmentation draws anew for every epoch."""

    warp: T.RandomAffine | None = None

    def set_epoch(self, epoch: int) -> None:
        if self.warp is not None:
            self.warp.set_epoch(epoch)


class _Normalise(nn.Module):
    """(x - mean) / std per channel, of the training set; saved with the network."""

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        self.register_buffer("mean", mean.reshape(-1, 1, 1))
        self.register_buffer("std", std.reshape(-1, 1, 1))

    def forward(self, x: Any) -> Any:
        return (x - self.mean) / self.std
