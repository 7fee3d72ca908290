"""Convolution and pooling: LeNet's and ResNet's shapes, forward and forward + backward."""

from measuring import Row, tensor


def conv(
    n: int, c: int, h: int, o: int, k: int, stride: int = 1, padding: int = 0, backward: bool = False,
    channels_last: bool = False,
) -> Row:  # fmt: skip
    """channels_last: the peer computes in its faster layout, ccdl as always."""
    out = (h + 2 * padding - k) // stride + 1
    flops = 2.0 * n * o * out * out * c * k * k
    moved = 4.0 * (n * c * h * h + o * c * k * k + n * o * out * out)

    def make(T):
        x, w = tensor(T, n, c, h, h, seed=1), tensor(T, o, c, k, k, seed=2)
        if channels_last and T.__name__ == "torch":
            x, w = (t.to(memory_format=T.channels_last) for t in (x, w))
        if not backward:
            return lambda: T.nn.functional.conv2d(x, w, stride=stride, padding=padding)
        dy = tensor(T, n, o, out, out, seed=3)
        x.requires_grad_(), w.requires_grad_()

        def step():
            x.grad = w.grad = None
            T.nn.functional.conv2d(x, w, stride=stride, padding=padding).backward(dy)
            return w.grad

        return step

    name = f"conv {n},{c},{h}->{o} k{k} s{stride}" + (" f+b" if backward else "")
    name += " peer channels_last" if channels_last else ""
    times = 3 if backward else 1
    return Row(name, make, flops=flops * times, bytes=moved * times, tol=1e-3)


def both(*shape: int, **options: int) -> list[Row]:
    return [conv(*shape, **options), conv(*shape, **options, backward=True)]


def pool(name: str, call) -> Row:
    def make(T):
        x = tensor(T, 64, 16, 64, 64, seed=1)
        return lambda: call(T.nn.functional, x)

    return Row(name, make, bytes=4.0 * 64 * 16 * 64 * 64 * 1.25)


RESNET = [(16, 64, 56, 64), (16, 128, 28, 128), (16, 256, 14, 256), (16, 512, 7, 512)]
ROWS = [
    *both(128, 1, 28, 6, 5, padding=2),
    *both(64, 6, 14, 16, 5),
    *(row for shape in RESNET for row in both(*shape, 3, padding=1)),
    *(conv(*shape, 3, padding=1, channels_last=True) for shape in RESNET),
    *both(16, 128, 56, 128, 3, 2, 1),
    *both(16, 256, 56, 64, 1),
    *both(16, 64, 56, 256, 1),
    *both(16, 3, 224, 64, 7, 2, 3),
    pool("max_pool2d 2", lambda F, x: F.max_pool2d(x, 2)),
    pool("avg_pool2d 2", lambda F, x: F.avg_pool2d(x, 2)),
]
