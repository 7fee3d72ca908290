"""Convolution and pooling: LeNet's and ResNet's shapes, forward and forward + backward."""

from typing import Any

from measuring import Row, tensor


def conv(
    n: int, c: int, h: int, o: int, k: int, stride: int = 1, padding: int = 0, backward: bool = False,
    channels_last: str = "", groups: int = 1, dtype: str = "float32",
) -> Row:  # fmt: skip
    """channels_last "peer": the peer computes in its faster layout, ccdl as always; "both": so do both."""
    out = (h + 2 * padding - k) // stride + 1
    flops = 2.0 * n * o * out * out * (c // groups) * k * k
    moved = 4.0 * (n * c * h * h + o * (c // groups) * k * k + n * o * out * out)

    def make(T):
        x, w = tensor(T, n, c, h, h, seed=1), tensor(T, o, c // groups, k, k, seed=2)
        last = channels_last == "both" or (channels_last == "peer" and T.__name__ == "torch")
        if last:
            x, w = (t.to(memory_format=T.channels_last) for t in (x, w))
        x, w = (t.to(getattr(T, dtype)) for t in (x, w))
        options = {"stride": stride, "padding": padding, "groups": groups}
        if not backward:
            return lambda: T.nn.functional.conv2d(x, w, **options)
        dy = tensor(T, n, o, out, out, seed=3)
        dy = (dy.to(memory_format=T.channels_last) if last else dy).to(getattr(T, dtype))
        x.requires_grad_(), w.requires_grad_()

        def step():
            x.grad = w.grad = None
            T.nn.functional.conv2d(x, w, **options).backward(dy)
            return w.grad

        return step

    name = f"conv {n},{c},{h}->{o} k{k} s{stride}" + (f" g{groups}" if groups > 1 else "") + (" f+b" if backward else "")
    name += {"": "", "peer": " peer channels_last", "both": " channels_last"}[channels_last]
    name += "" if dtype == "float32" else f" {dtype}"
    times = 3 if backward else 1
    return Row(name, make, flops=flops * times, bytes=moved * times, tol=1e-3 if dtype == "float32" else 2e-2)


def both(*shape: int, **options: Any) -> list[Row]:
    return [conv(*shape, **options), conv(*shape, **options, backward=True)]


def other(name: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], **options: int) -> list[Row]:
    """Any function of convolution, forward and forward + backward."""

    def row(backward: bool) -> Row:
        def make(T):
            x, w = tensor(T, *x_shape, seed=1), tensor(T, *w_shape, seed=2)
            call = getattr(T.nn.functional, name)
            if not backward:
                return lambda: call(x, w, **options)
            dy = tensor(T, *call(x, w, **options).shape, seed=3)
            x.requires_grad_(), w.requires_grad_()

            def step():
                x.grad = w.grad = None
                call(x, w, **options).backward(dy)
                return w.grad

            return step

        title = f"{name} {','.join(map(str, x_shape))} {','.join(map(str, w_shape))}"
        title += "".join(f" {key} {value}" for key, value in options.items())
        return Row(title + (" f+b" if backward else ""), make, tol=1e-3)

    return [row(False), row(True)]


def pool(name: str, call) -> Row:
    def make(T):
        x = tensor(T, 64, 16, 64, 64, seed=1)
        return lambda: call(T.nn.functional, x)

    return Row(name, make, bytes=4.0 * 64 * 16 * 64 * 64 * 1.25)


RESNET = [(16, 64, 56, 64), (16, 128, 28, 128), (16, 256, 14, 256), (16, 512, 7, 512)]
GROUPED = [(8, 128, 56, 128, 3, 1, 1), (8, 256, 28, 256, 3, 1, 1), (8, 512, 14, 512, 3, 1, 1), (8, 512, 28, 512, 3, 2, 1)]
ROWS = [
    *both(128, 1, 28, 6, 5, padding=2),
    *both(64, 6, 14, 16, 5),
    *(row for shape in RESNET for row in both(*shape, 3, padding=1)),
    *(conv(*shape, 3, padding=1, channels_last="peer") for shape in RESNET),
    *both(16, 128, 56, 128, 3, 2, 1),
    *both(16, 256, 56, 64, 1),
    *both(16, 64, 56, 256, 1),
    *both(16, 3, 224, 64, 7, 2, 3),
    *(row for shape in RESNET for row in both(*shape, 3, padding=1, channels_last="both")),
    *both(16, 128, 56, 128, 3, 2, 1, channels_last="both"),
    *both(16, 256, 56, 64, 1, channels_last="both"),
    *both(16, 64, 56, 256, 1, channels_last="both"),
    *both(16, 256, 56, 512, 1, 2, channels_last="both"),
    *both(16, 3, 224, 64, 7, 2, 3, channels_last="both"),
    *both(16, 64, 56, 64, 3, padding=1, groups=64, channels_last="both"),
    *(row for shape in GROUPED for row in both(*shape, groups=32, channels_last="both")),
    *both(16, 64, 56, 64, 3, padding=1, channels_last="both", dtype="bfloat16"),
    *both(16, 128, 56, 128, 3, 2, 1, channels_last="both", dtype="bfloat16"),
    *both(16, 256, 56, 64, 1, channels_last="both", dtype="bfloat16"),
    *both(16, 64, 56, 256, 1, channels_last="both", dtype="bfloat16"),
    *both(16, 64, 56, 128, 3, 2, 1, dtype="bfloat16"),
    *both(8, 64, 28, 64, 5, padding=2, dtype="bfloat16"),
    *both(8, 512, 7, 512, 3, padding=1, dtype="bfloat16"),
    *both(16, 256, 14, 256, 1, dtype="bfloat16"),
    *both(16, 64, 56, 64, 3, padding=1, groups=64, channels_last="both", dtype="bfloat16"),
    *both(8, 240, 14, 240, 5, padding=2, groups=240, channels_last="both", dtype="bfloat16"),
    *both(8, 512, 14, 512, 3, padding=1, groups=32, channels_last="both", dtype="bfloat16"),
    *both(8, 768, 7, 768, 7, padding=3, groups=768, channels_last="both"),
    *both(8, 768, 7, 768, 7, padding=3, groups=768, channels_last="both", dtype="bfloat16"),
    *both(8, 64, 32, 16, 7, padding=3),
    *both(8, 64, 32, 64, 5, padding=2),
    *both(16, 64, 56, 64, 3, padding=1, groups=64),
    *both(16, 64, 56, 64, 3, 2, 1, groups=64),
    *both(8, 96, 56, 96, 7, padding=3, groups=96),
    *both(16, 128, 28, 128, 3, padding=1, groups=4),
    *both(16, 512, 14, 512, 3, padding=1, groups=32),
    *both(16, 256, 56, 512, 1, 2),
    *other("conv2d", (16, 64, 28, 28), (64, 64, 3, 3), padding=2, dilation=2),
    *other("conv2d", (4, 256, 33, 33), (256, 256, 3, 3), padding=12, dilation=12),
    *other("conv2d", (4, 256, 33, 33), (256, 256, 3, 3), padding=18, dilation=18),
    *other("conv2d", (8, 3, 224, 224), (384, 3, 16, 16), stride=16),
    *other("conv_transpose2d", (16, 64, 28, 28), (64, 32, 4, 4), stride=2, padding=1),
    *other("conv_transpose2d", (64, 100, 1, 1), (100, 256, 4, 4)),
    *other("conv1d", (16, 64, 1024), (64, 64, 3), padding=1),
    *other("conv1d", (16, 256, 256), (256, 1, 31), padding=15, groups=256),
    *other("conv3d", (4, 16, 16, 16, 16), (32, 16, 3, 3, 3), padding=1),
    *other("conv3d", (4, 64, 8, 14, 14), (64, 64, 3, 3, 3), padding=1),
    *both(16, 4, 84, 32, 8, 4),
    *both(32, 32, 20, 64, 4, 2),
    *both(16, 16, 32, 32, 3, 2, 1),
    *both(16, 64, 16, 128, 4, 2, 1),
    *both(64, 3, 32, 64, 4, 4),
    *both(8, 3, 224, 64, 11, 4, 2),
    *both(8, 128, 28, 128, 3, 2, 1, groups=8),
    *other("conv1d", (4, 1, 16000), (32, 1, 251)),
    *other("conv1d", (4, 1, 16000), (64, 1, 400), stride=160),
    *other("conv1d", (4, 1, 16000), (1, 1, 512)),
    *both(8, 512, 2, 512, 3, padding=1),
    pool("max_pool2d 2", lambda F, x: F.max_pool2d(x, 2)),
    pool("avg_pool2d 2", lambda F, x: F.avg_pool2d(x, 2)),
]
