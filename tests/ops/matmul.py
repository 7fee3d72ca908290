"""Matrix products: matmul's broadcasting, mm, bmm, vectors, the add forms, linear, einsum and tensordot."""

import numpy as np
from opcase import ErrorCase, OpCase, Sample

INT = ("int64", "int32", "int8", "uint8")


def normal(rng, *shape):
    return np.asarray(rng.standard_normal(shape))


def small(rng, *shape):
    """Small whole numbers, exact in every dtype."""
    return rng.integers(0, 3, shape).astype(np.float64)


def pairs(shapes, draw=normal):
    def samples(rng):
        for a, b in shapes:
            x, y = draw(rng, *a), draw(rng, *b)
            yield Sample(x, y).but(k=max(1, a[-1] if a else 1), nonfinite=False, layouts=x.size < 50000)

    return samples


MM = [((2, 3), (3, 4)), ((1, 1), (1, 1)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((2, 3), (3, 0)), ((5, 7), (7, 3)), ((8, 16), (16, 48)),
      ((9, 17), (17, 49)), ((7, 15), (15, 47)), ((33, 65), (65, 50)), ((3, 100), (100, 70)), ((70, 90), (90, 2)),
      ((1, 64), (64, 128)), ((130, 300), (300, 97))]
MATMUL = [((3,), (3,)), ((0,), (0,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
          ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((2, 1, 2, 3), (4, 3, 2)), ((2, 3, 2, 3), (2, 3, 3, 2)),
          ((0, 2, 3), (3, 4)), ((2, 0, 3), (2, 3, 4)), ((4, 9, 17), (4, 17, 33))]
BMM = [((2, 2, 3), (2, 3, 4)), ((0, 2, 3), (0, 3, 4)), ((3, 1, 5), (3, 5, 1)), ((2, 9, 16), (2, 16, 17)), ((2, 3, 0), (2, 0, 4)), ((5, 33, 40), (5, 40, 50))]


def add_samples(shapes, draw=normal):
    def samples(rng):
        for i, a, b, k in shapes:
            yield Sample(draw(rng, *i), draw(rng, *a), draw(rng, *b)).but(k=k + 1, nonfinite=False)
            yield Sample(draw(rng, *i), draw(rng, *a), draw(rng, *b), beta=2, alpha=3).but(k=3 * k + 2, nonfinite=False)
        i, a, b, k = shapes[0]
        yield Sample(np.full(i, np.nan), draw(rng, *a), draw(rng, *b), beta=0).but(k=k, grad=False, nonfinite=False, layouts=False)

    return samples


def add_ref(product):
    def ref(i, a, b, beta=1, alpha=1):
        p = alpha * product(a, b)
        return p if beta == 0 else beta * i + p

    return ref


def linear_samples(rng):
    for lead, k, n in (((3,), 4, 2), ((), 4, 2), ((2, 3), 4, 5), ((0,), 4, 2), ((5,), 65, 33), ((64,), 100, 10), ((1,), 129, 70)):
        x, w, b = normal(rng, *lead, k), normal(rng, n, k), normal(rng, n)
        yield Sample(x, w).but(k=k, nonfinite=False)
        yield Sample(x, w, b).but(k=k + 1, nonfinite=False)


def linear_big(rng):
    return Sample(normal(rng, 300, 400), normal(rng, 500, 400), normal(rng, 500)).but(k=400)


EINSUM = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)), ("i,j->ij", (3,), (4,)), ("i,i->", (3,), (3,)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->i", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("iij->j", (2, 2, 3)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)), ("...ij,...jk->...ik", (2, 1, 3, 2), (3, 2, 2)), ("...i,...i", (2, 3), (3,)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 2, 4)), ("ij,ij->ij", (2, 3), (2, 3)), ("ij,j->ij", (2, 3), (3,)), ("ijk,k,j->i", (2, 3, 4), (4,), (3,)),
    ("ab,bc,cd,de->ae", (2, 3), (3, 2), (2, 4), (4, 2)), ("ni,oij,nj->no", (2, 3), (4, 3, 2), (2, 2)), ("b...,b->...", (2, 3), (2,)),
    ("ba", (2, 3)), ("ij,jk->ik", (0, 3), (3, 4)), ("ij,jk->ik", (2, 0), (0, 4)), ("Ab,bC->AC", (2, 3), (3, 2)), ("a,b,c->cab", (2,), (3,), (2,)),
    ("ij,jk->ik", (2, 1), (3, 4)), ("i j , j k -> i k", (2, 3), (3, 4)),
]


def einsum_samples(rng):
    for equation, *shapes in EINSUM:
        yield Sample(equation, *[normal(rng, *s) for s in shapes]).but(k=24, nonfinite=False)


def einsum_ref(equation, *operands):
    equation = equation.replace(" ", "")
    if equation == "ij,jk->ik" and operands[0].shape[1] == 1:
        operands = (np.broadcast_to(operands[0], (2, operands[1].shape[0])), operands[1])
    return np.einsum(equation, *operands)


def chain_samples(rng):
    for shapes in (((2, 3), (3, 4)), ((2, 3), (3, 4), (4, 2)), ((3,), (3, 4), (4, 2)), ((2, 3), (3, 4), (4,)), ((2, 5), (5, 1), (1, 6), (6, 3)), ((2, 0), (0, 3))):
        yield Sample([normal(rng, *s) for s in shapes]).but(k=60, nonfinite=False)


def samples_of(*calls):
    def samples(rng):
        for shapes, *args in calls:
            yield Sample(*[normal(rng, *s) for s in shapes], *args).but(k=30, nonfinite=False, grad=args != [0])

    return samples


def power_ref(x, n):
    y = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for _ in range(n):
        y = y @ x
    return y


R = RuntimeError
MM_ERRORS = [
    ErrorCase(lambda T: T.mm(T.ones(2, 3), T.ones(2, 3)), R, ("mm", "2x3", "cannot be multiplied")),
    ErrorCase(lambda T: T.mm(T.ones(2), T.ones(2, 3)), R, ("mm", "matrix", "[2]")),
    ErrorCase(lambda T: T.mm(T.ones(2, 3), T.ones(3, 2, dtype=T.float64)), R, ("mm", "dtype", "float32", "float64")),
    ErrorCase(lambda T: T.mm(T.ones(2, 2, dtype=T.bool), T.ones(2, 2, dtype=T.bool)), R, ("mm", "bool")),
]

CASES = [
    OpCase("mm", "mm", np.matmul, pairs(MM), errors=MM_ERRORS, out=True, simd=True,
           big=lambda rng: Sample(normal(rng, 300, 500), normal(rng, 500, 400)).but(k=500)),
    OpCase("mm_int", "mm", np.matmul, pairs(MM[:8], small), dtypes=INT, grad=False),
    OpCase("matmul", "matmul", np.matmul, pairs(MATMUL), out=True, errors=[
        ErrorCase(lambda T: T.matmul(T.ones(2, 3), T.ones(2, 3)), R, ("matmul", "2x3")),
        ErrorCase(lambda T: T.matmul(T.tensor(1.0), T.ones(3)), R, ("matmul", "0D", "1D")),
        ErrorCase(lambda T: T.matmul(T.ones(2, 2, 3), T.ones(3, 3, 2)), R, ("matmul", "[2]", "[3]")),
        ErrorCase(lambda T: T.ones(4, 2, 3) @ T.ones(4, 2, 3), R, ("matmul", "[4, 2, 3]")),
    ]),
    OpCase("bmm", "bmm", np.matmul, pairs(BMM), out=True, simd=True, errors=[
        ErrorCase(lambda T: T.bmm(T.ones(2, 2, 3), T.ones(3, 3, 2)), R, ("bmm", "[2, 2, 3]", "[3, 3, 2]")),
        ErrorCase(lambda T: T.bmm(T.ones(2, 3), T.ones(3, 3, 2)), R, ("bmm", "3D", "[2, 3]")),
    ]),
    OpCase("mv", "mv", np.matmul, pairs([((2, 3), (3,)), ((0, 3), (3,)), ((2, 0), (0,)), ((33, 65), (65,))]), out=True, errors=[
        ErrorCase(lambda T: T.mv(T.ones(2, 3), T.ones(2)), R, ("mv", "[2, 3]", "[2]"))]),
    OpCase("dot", "dot", np.dot, pairs([((3,), (3,)), ((0,), (0,)), ((1,), (1,)), ((1000,), (1000,)), ((70000,), (70000,))]), out=True,
           errors=[ErrorCase(lambda T: T.dot(T.ones(2), T.ones(3)), R, ("dot", "2", "3")),
                   ErrorCase(lambda T: T.dot(T.ones(2, 2), T.ones(2)), R, ("dot", "1D", "[2, 2]"))]),
    OpCase("vdot", "vdot", np.dot, pairs([((3,), (3,)), ((0,), (0,))])),
    OpCase("outer", "outer", np.outer, pairs([((3,), (4,)), ((0,), (4,)), ((1,), (1,))]), out=True, errors=[
        ErrorCase(lambda T: T.outer(T.ones(2, 2), T.ones(2)), R, ("outer", "1D", "[2, 2]"))]),
    OpCase("ger", "ger", np.outer, pairs([((3,), (4,)), ((0,), (4,))])),
    OpCase("inner", "inner", np.inner, pairs([((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((), (2, 3)), ((0, 3), (2, 3))])),
    OpCase("addmm", "addmm", add_ref(np.matmul), out=True, inplace=None,
           samples=add_samples([((2, 4), (2, 3), (3, 4), 3), ((4,), (2, 3), (3, 4), 3), ((2, 1), (2, 3), (3, 4), 3), ((), (2, 3), (3, 4), 3),
                                ((0, 4), (0, 3), (3, 4), 3), ((2, 4), (2, 0), (0, 4), 0), ((17, 50), (17, 33), (33, 50), 33)]),
           errors=[ErrorCase(lambda T: T.addmm(T.ones(3), T.ones(2, 3), T.ones(3, 4)), R, ("addmm", "[3]", "[2, 4]")),
                   ErrorCase(lambda T: T.addmm(T.ones(4), T.ones(2, 3), T.ones(4, 4)), R, ("addmm", "2x3", "4x4"))]),
    OpCase("baddbmm", "baddbmm", add_ref(np.matmul),
           samples=add_samples([((2, 2, 4), (2, 2, 3), (2, 3, 4), 3), ((4,), (2, 2, 3), (2, 3, 4), 3), ((0, 2, 4), (0, 2, 3), (0, 3, 4), 3)])),
    OpCase("addbmm", "addbmm", add_ref(lambda a, b: np.matmul(a, b).sum(0)),
           samples=add_samples([((2, 4), (2, 2, 3), (2, 3, 4), 6), ((4,), (3, 2, 3), (3, 3, 4), 9), ((2, 4), (0, 2, 3), (0, 3, 4), 1)])),
    OpCase("addmv", "addmv", add_ref(np.matmul), samples=add_samples([((2,), (2, 3), (3,), 3), ((1,), (2, 3), (3,), 3), ((0,), (0, 3), (3,), 3)])),
    OpCase("addr", "addr", add_ref(np.outer), samples=add_samples([((2, 3), (2,), (3,), 1), ((3,), (2,), (3,), 1), ((0, 3), (0,), (3,), 1)])),
    OpCase("linear", "nn.functional.linear", lambda x, w, b=0.0: x @ w.T + b, linear_samples, big=linear_big, errors=[
        ErrorCase(lambda T: T.nn.functional.linear(T.ones(2, 3), T.ones(4, 5)), R, ("linear", "[2, 3]", "[4, 5]")),
        ErrorCase(lambda T: T.nn.functional.linear(T.ones(2, 3), T.ones(4, 3), T.ones(5)), R, ("linear", "bias", "[5]", "[4, 3]"))]),
    OpCase("bilinear", "nn.functional.bilinear", lambda a, b, w, c=0.0: np.einsum("ni,oij,nj->no", a, w, b) + c,
           samples_of([((2, 3), (2, 2), (4, 3, 2))], [((2, 3), (2, 2), (4, 3, 2), (4,))], [((0, 3), (0, 2), (4, 3, 2))]), errors=[
               ErrorCase(lambda T: T.nn.functional.bilinear(T.ones(2, 3), T.ones(2, 3), T.ones(1, 2, 2)), R, ("bilinear", "[1, 2, 2]"))]),
    OpCase("einsum", "einsum", einsum_ref, einsum_samples, errors=[
        ErrorCase(lambda T: T.einsum("ij,jk->ik", T.ones(2, 3)), R, ("einsum", "2 operands", "1")),
        ErrorCase(lambda T: T.einsum("ij->ik", T.ones(2, 3)), R, ("einsum", "output", "ij->ik")),
        ErrorCase(lambda T: T.einsum("ij,jk->ik", T.ones(2, 3), T.ones(4, 5)), R, ("einsum", "3", "4")),
        ErrorCase(lambda T: T.einsum("i1->i", T.ones(2, 3)), R, ("einsum", "'1'"))]),
    OpCase("einsum_lists", lambda T, a, b: T.einsum(a, [0, 1], b, [1, 2], [0, 2]), np.matmul, pairs([((2, 3), (3, 4)), ((0, 3), (3, 4))])),
    OpCase("tensordot", "tensordot", lambda a, b, dims=2: np.tensordot(a, b, dims),
           samples_of([((2, 3, 4), (3, 4, 5))], [((2, 3), (4, 5)), 0], [((2, 3, 4), (4, 3, 2)), ([0, 1], [2, 1])], [((2, 3), (3, 0)), 1]), errors=[
               ErrorCase(lambda T: T.tensordot(T.ones(2, 3), T.ones(2, 3), 1), R, ("tensordot", "[2, 3]"))]),
    OpCase("multi_dot", "linalg.multi_dot", lambda x: np.linalg.multi_dot(x), chain_samples, layouts=(), why="lists of tensors", errors=[
        ErrorCase(lambda T: T.linalg.multi_dot([T.ones(2, 3), T.ones(2, 3)]), R, ("multi_dot", "[2, 3]")),
        ErrorCase(lambda T: T.linalg.multi_dot([T.ones(2, 3)]), R, ("multi_dot", "2", "1"))]),
    OpCase("kron", "kron", np.kron, pairs([((2, 3), (4, 5)), ((2,), (3, 4)), ((2, 2), (3,)), ((), (2,)), ((0,), (3,))])),
    OpCase("trace", "trace", np.trace, samples_of([((3, 3),)], [((2, 4),)], [((0, 3),)]), errors=[
        ErrorCase(lambda T: T.trace(T.ones(2)), R, ("trace", "matrix", "[2]"))]),
    OpCase("matrix_power", "matrix_power", power_ref, samples_of([((2, 3, 3),), 3], [((3, 3),), 1], [((3, 3),), 0], [((2, 2),), 4], [((0, 2, 2),), 2]), errors=[
        ErrorCase(lambda T: T.matrix_power(T.ones(2, 3), 2), R, ("matrix_power", "[2, 3]"))]),
]
