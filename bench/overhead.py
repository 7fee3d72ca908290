"""What a call costs before any arithmetic: tiny tensors."""

from measuring import Row, array, tensor


def tiny(name: str, call, numpy=None, grad: bool = False) -> Row:
    def make(T):
        a, b = tensor(T, 4, seed=1, grad=grad), tensor(T, 4, seed=2)
        return lambda: call(T, a, b)

    def reference():
        a, b = array(4, seed=1), array(4, seed=2)
        return lambda: numpy(a, b)

    return Row(name, make, reference if numpy else None)


def backward(T, a, b):
    a.grad = None
    (a * b).sum().backward()
    return a.grad


def after_idleness(n: int) -> Row:
    def make(T):
        a, b = tensor(T, n, seed=1), tensor(T, n, seed=2)
        return lambda: a + b

    return Row(f"a+b {n} after 20 ms", make, bytes=12.0 * n, idle=True)


ROWS = [
    tiny("a+b", lambda T, a, b: a + b, lambda a, b: a + b),
    tiny("a+b recording", lambda T, a, b: a + b, grad=True),
    tiny("a+2.0", lambda T, a, b: a + 2.0, lambda a, b: a + 2.0),
    tiny("a.relu()", lambda T, a, b: a.relu()),
    tiny("a[1]", lambda T, a, b: a[1], lambda a, b: a[1]),
    tiny("a.reshape(2, 2)", lambda T, a, b: a.reshape(2, 2), lambda a, b: a.reshape(2, 2)),
    tiny("a.sum(0)", lambda T, a, b: a.sum(0), lambda a, b: a.sum(0)),
    tiny("(a*b).sum().backward()", backward, grad=True),
    after_idleness(1 << 20),
]
