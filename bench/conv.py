"""Convolution and pooling: LeNet's and ResNet's shapes, forward and forward + backward."""

from compare import Row, tensor


def conv(
    n: int, c: int, h: int, o: int, k: int, stride: int = 1, padding: int = 0, backward: bool = False
) -> Row:
    out = (h + 2 * padding - k) // stride + 1
    flops = 2.0 * n * o * out * out * c * k * k

    def make(T):
        x, w = tensor(T, n, c, h, h, seed=1, grad=backward), tensor(T, o, c, k, k, seed=2, grad=backward)
        if not backward:
            return lambda: T.nn.functional.conv2d(x, w, stride=stride, padding=padding)

        def step():
            x.grad = w.grad = None
            T.nn.functional.conv2d(x, w, stride=stride, padding=padding).sum().backward()
            return w.grad

        return step

    name = f"conv {n},{c},{h}->{o} k{k} s{stride}" + (" f+b" if backward else "")
    return Row(name, make, flops=flops * (3 if backward else 1), tol=1e-3)


def pool(name: str, call) -> Row:
    def make(T):
        x = tensor(T, 64, 16, 64, 64, seed=1)
        return lambda: call(T.nn.functional, x)

    return Row(name, make, bytes=4.0 * 64 * 16 * 64 * 64 * 1.25)


ROWS = [
    conv(128, 1, 28, 6, 5, padding=2),
    conv(64, 6, 14, 16, 5),
    conv(128, 1, 28, 6, 5, padding=2, backward=True),
    conv(64, 6, 14, 16, 5, backward=True),
    conv(16, 64, 56, 64, 3, padding=1),
    conv(16, 128, 28, 128, 3, padding=1),
    conv(16, 256, 14, 256, 3, padding=1),
    conv(16, 256, 56, 64, 1),
    conv(16, 3, 224, 64, 7, 2, 3),
    conv(16, 128, 28, 128, 3, padding=1, backward=True),
    pool("max_pool2d 2", lambda F, x: F.max_pool2d(x, 2)),
    pool("avg_pool2d 2", lambda F, x: F.avg_pool2d(x, 2)),
]
