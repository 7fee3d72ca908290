"""Samples of images at positions: forward, and forward with both gradients."""

from measuring import Row, tensor


def sample(shape, mode: str, padding: str, backward: bool) -> Row:
    dims = len(shape) - 2
    points = shape[0]
    for n in shape[2:]:
        points *= n

    def make(T):
        x = tensor(T, *shape, seed=1, grad=backward)
        noise = tensor(T, shape[0], *shape[2:], dims, seed=2) * 0.05
        like = T.eye(dims, dims + 1).unsqueeze(0).expand(shape[0], dims, dims + 1)
        grid = T.nn.functional.affine_grid(like, shape, align_corners=False) + noise
        grid = grid.detach().requires_grad_(backward)

        def run():
            y = T.nn.functional.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=False)
            if not backward:
                return y
            x.grad = grid.grad = None
            y.sum().backward()
            return x.grad

        return run

    name = f"grid_sample {mode} {padding} {'x'.join(map(str, shape))}"
    moved = 4.0 * points * (2 * shape[1] + dims) * (3 if backward else 1)
    return Row(f"{name}{' forward+backward' if backward else ''}", make, bytes=moved, tol=None if mode == "nearest" else 1e-3)


ROWS = [
    sample(shape, mode, padding, backward)
    for shape, mode, padding in (
        ((4, 3, 224, 224), "bilinear", "zeros"),
        ((4, 3, 224, 224), "nearest", "border"),
        ((4, 3, 224, 224), "bicubic", "reflection"),
        ((4, 32, 64, 64), "bilinear", "border"),
        ((1, 4, 32, 64, 64), "bilinear", "zeros"),
    )
    for backward in (False, True)
]
