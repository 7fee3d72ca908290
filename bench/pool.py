"""Max and average pooling, forward and forward with backward."""

from softmax import pair

ROWS = [
    *pair("max_pool 3x3s2", (16, 64, 112, 112), lambda T, x: T.nn.functional.max_pool2d(x, 3, 2, 1)),
    *pair("max_pool 2x2", (64, 6, 28, 28), lambda T, x: T.nn.functional.max_pool2d(x, 2)),
    *pair("max_pool 2x2", (16, 64, 56, 56), lambda T, x: T.nn.functional.max_pool2d(x, 2)),
    *pair("avg_pool 2x2", (64, 6, 28, 28), lambda T, x: T.nn.functional.avg_pool2d(x, 2)),
    *pair("avg_pool 3x3s2", (16, 64, 112, 112), lambda T, x: T.nn.functional.avg_pool2d(x, 3, 2, 1)),
    *pair("global avg_pool", (16, 2048, 7, 7), lambda T, x: T.nn.functional.adaptive_avg_pool2d(x, 1)),
    *pair(
        "adaptive_max_pool 7 channels_last",
        (16, 64, 32, 32),
        lambda T, x: T.nn.functional.adaptive_max_pool2d(x.to(memory_format=T.channels_last), 7),
    ),
    *(
        row
        for name, tol in (("float64", 1e-4), ("bfloat16", 1e-2))
        for row in (
            *pair(
                f"max_pool 3x3s2 channels_last {name}",
                (8, 64, 28, 28),
                lambda T, x, n=name: T.nn.functional.max_pool2d(x.to(getattr(T, n), memory_format=T.channels_last), 3, 2, 1),
                tol,
            ),
            *pair(
                f"adaptive_avg_pool 5 {name}",
                (8, 128, 14, 14),
                lambda T, x, n=name: T.nn.functional.adaptive_avg_pool2d(x.to(getattr(T, n)), 5),
                tol,
            ),
        )
    ),
]
