"""Tensor.__getitem__ and __setitem__ against NumPy: hundreds of random index expressions, views, assignment, gradients.

Where integers stand beside index arrays PyTorch applies them first (they take no part in broadcasting), so the reference
applies the basic part of a key first and the arrays afterwards.
"""

import harness
import numpy as np
import pytest
from harness import settle

import ccdl

SHAPES = [(), (5,), (4, 3), (2, 3, 4), (3, 1, 2, 4), (0, 3), (2, 0, 3)]


def random_slice(rng, n):
    bounds = [None, 0, 1, -1, n // 2, n, n + 3, -n - 2, int(rng.integers(-n - 1, n + 2))]
    pick = lambda: bounds[rng.integers(len(bounds))]
    return slice(pick(), pick(), [None, 1, 2, 3][rng.integers(4)])


def random_key(rng, shape, advanced):
    """(key entries with NumPy arrays, has arrays)"""
    key, d, arrays = [], 0, False
    common = [(2,), (3, 1), (1,), (2, 2)][rng.integers(4)]
    ellipsis = False
    while d < len(shape):
        kind = rng.integers(0, 9)
        n = shape[d]
        if kind == 0 and not ellipsis:
            key.append(Ellipsis)
            ellipsis = True
            d += int(rng.integers(0, len(shape) - d + 1))
        elif kind == 1:
            key.append(None)
        elif kind <= 3 and n > 0:
            i = int(rng.integers(-n, n))
            key.append(i if kind == 2 else np.int64(i))
            d += 1
        elif kind == 4 and advanced and n > 0:
            key.append(rng.integers(-n, n, common))
            arrays, d = True, d + 1
        elif kind == 5 and advanced and n > 0:
            mask = rng.uniform(size=n) < 0.5
            count = int(mask.sum())
            if np.prod(common) in (count, 1) and len(common) == 1 or count in (1,):
                key.append(mask)
                arrays, d = True, d + 1
        elif kind == 6 and rng.uniform() < 0.4:
            break
        else:
            key.append(random_slice(rng, n))
            d += 1
    return key, arrays


def taken(entry):
    return (
        0
        if entry is None or entry is Ellipsis
        else entry.ndim
        if isinstance(entry, np.ndarray) and entry.dtype == bool
        else 1
    )


def two_steps(x, key):
    """PyTorch's meaning of a key in NumPy: a view, and the key of index arrays for it (or None)."""
    hidden = x.ndim - sum(taken(e) for e in key)
    basic, later = [], []
    for e in key:
        if e is Ellipsis:
            basic += [slice(None)] * hidden
            later += [slice(None)] * hidden
        elif isinstance(e, np.ndarray):
            basic += [slice(None)] * taken(e)
            later.append(e)
        else:
            basic.append(e)
            if not isinstance(e, (int, np.integer)):
                later.append(slice(None))
    return x[(*basic, ...)], tuple(later) if any(isinstance(e, np.ndarray) for e in key) else None


def as_ccdl(key, style):
    """Arrays of a key as tensors, NumPy arrays or lists."""
    out = []
    for e in key:
        if isinstance(e, np.ndarray):
            e = ccdl.tensor(e) if style == 0 else e if style == 1 else e.tolist()
        out.append(e)
    return out[0] if len(out) == 1 and not isinstance(out[0], list) else tuple(out)


def cases(count, advanced):
    rng = np.random.default_rng(20)
    made = 0
    while made < count:
        shape = SHAPES[rng.integers(len(SHAPES))]
        key, arrays = random_key(rng, shape, advanced)
        x = rng.uniform(-2, 2, shape)
        try:
            view, later = two_steps(x, key)
            want = view if later is None else view[later]
        except IndexError:
            continue
        if advanced and not arrays and rng.uniform() < 0.8:
            continue
        made += 1
        yield rng, x, key, view, later, want


@pytest.mark.parametrize("advanced", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "int32", "bool", "float16"])
def test_get(advanced, dtype):
    for rng, x, key, view, later, want in cases(300, advanced):
        t = ccdl.tensor(x.astype(dtype))
        got = t[as_ccdl(key, int(rng.integers(3)))]
        want = want.astype(dtype)
        assert tuple(got.shape) == want.shape, f"{x.shape} {key}"
        assert got.dtype == t.dtype
        np.testing.assert_array_equal(got.cpu().numpy(), want, err_msg=f"{x.shape} {key}")


def test_basic_keys_give_views():
    for _, x, key, view, _, want in cases(200, False):
        t = ccdl.tensor(x)
        got = t[as_ccdl(key, 0)]
        if got.numel() == 0:
            continue
        got.fill_(7.0)
        view_of = x.copy()
        two_steps(view_of, key)[0][...] = 7.0
        np.testing.assert_array_equal(t.cpu().numpy(), view_of, err_msg=f"{x.shape} {key}")


@pytest.mark.parametrize("advanced", [False, True])
@pytest.mark.parametrize("value_kind", ["number", "full", "broadcast", "other dtype", "array"])
def test_set(advanced, value_kind):
    for rng, x, key, view, later, want in cases(150, advanced):
        t, y = ccdl.tensor(x), x.copy()
        value = np.asarray(rng.uniform(-2, 2, want.shape))
        if value_kind == "number":
            value = 3.5
        elif value_kind == "broadcast":
            value = np.asarray(rng.uniform(-2, 2, want.shape[want.ndim // 2 :]))
        elif value_kind == "other dtype":
            value = np.asarray(rng.integers(-3, 3, want.shape), np.int32)
        target, rest = two_steps(y, key)
        if later is not None and value_kind in ("full", "broadcast", "other dtype", "array"):
            positions = np.arange(target.size).reshape(target.shape)[rest]
            if np.unique(positions).size != positions.size:
                continue  # repeated places: which write wins is tested on its own
        target[... if rest is None else rest] = value
        t[as_ccdl(key, int(rng.integers(3)))] = (
            value if value_kind in ("number", "array") else ccdl.tensor(value)
        )
        np.testing.assert_allclose(t.cpu().numpy(), y, rtol=1e-15, err_msg=f"{x.shape} {key}")


@pytest.mark.parametrize("advanced", [False, True])
def test_gradient_of_get(advanced):
    for rng, x, key, view, later, want in cases(200, advanced):
        t = ccdl.tensor(x, requires_grad=True)
        weight = np.asarray(rng.uniform(-1, 1, want.shape))
        (t[as_ccdl(key, 0)] * ccdl.tensor(weight)).sum().backward()
        dx = np.zeros_like(x)
        part, rest = two_steps(dx, key)
        if rest is None:
            part[...] = weight
        else:
            np.add.at(part, rest, weight)
        np.testing.assert_allclose(t.grad.cpu().numpy(), dx, rtol=1e-12, atol=1e-12, err_msg=f"{x.shape} {key}")


@pytest.mark.parametrize("advanced", [False, True])
def test_gradient_of_set(advanced):
    for rng, x, key, view, later, want in cases(200, advanced):
        y = x.copy()
        target, rest = two_steps(y, key)
        if rest is not None:
            positions = np.arange(target.size).reshape(target.shape)[rest]
            if np.unique(positions).size != positions.size:
                continue
        t = ccdl.tensor(x, requires_grad=True)
        v = ccdl.tensor(np.asarray(rng.uniform(-2, 2, want.shape)), requires_grad=True)
        weight = np.asarray(rng.uniform(-1, 1, x.shape))
        z = t * 1.0
        z[as_ccdl(key, 0)] = v
        (z * ccdl.tensor(weight)).sum().backward()
        kept = np.ones_like(x)
        part, rest = two_steps(kept, key)
        part[... if rest is None else rest] = 0
        from_weight, rest = two_steps(weight, key)
        np.testing.assert_allclose(t.grad.cpu().numpy(), weight * kept, rtol=1e-12, err_msg=f"{x.shape} {key}")
        np.testing.assert_allclose(
            v.grad.cpu().numpy(),
            from_weight if rest is None else from_weight[rest],
            rtol=1e-12,
            err_msg=f"{x.shape} {key}",
        )


def test_where_the_index_dims_land():
    x = ccdl.zeros(2, 3, 4, 5)
    i, j = ccdl.tensor([[0], [1]]), ccdl.tensor([0, 1, 1])
    assert x[i, j].shape == (2, 3, 4, 5)
    assert x[:, i, j].shape == (2, 2, 3, 5)
    assert x[i, :, j].shape == (2, 3, 3, 5)
    assert x[:, i, :, j].shape == (2, 3, 2, 4)
    assert x[0, :, j].shape == (3, 3, 5)  # the integer is applied first
    assert x[None, :, j].shape == (1, 2, 3, 4, 5)
    assert x[..., j].shape == (2, 3, 4, 3)
    assert x[:, x[0, :, 0, 0] == 0].shape == (2, 3, 4, 5)
    assert x[True].shape == (1, 2, 3, 4, 5)
    assert x[False].shape == (0, 2, 3, 4, 5)
    assert x[ccdl.tensor(1)].shape == (3, 4, 5)  # a 0-d integer tensor is an integer
    assert x[[]].shape == (0, 3, 4, 5)
    assert x[()].shape == x.shape
    assert x[ccdl.tensor([1, 0], dtype=ccdl.uint8)].shape == (1, 3, 4, 5)  # uint8 is a mask


def test_last_write_wins_and_accumulate_adds():
    x = ccdl.zeros(4)
    x[ccdl.tensor([1, 1, 1])] = ccdl.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [0, 3, 0, 0]
    x.index_put_((ccdl.tensor([1, 1, -1]),), ccdl.tensor([1.0, 2.0, 5.0]), accumulate=True)
    assert x.tolist() == [0, 6, 0, 5]


def test_mask_assignment():
    x = ccdl.arange(6.0).reshape(2, 3)
    x[x > 3] = -1
    assert x.tolist() == [[0, 1, 2], [3, -1, -1]]
    x[x < 0] = ccdl.tensor([8.0, 9.0])
    assert x.tolist() == [[0, 1, 2], [3, 8, 9]]
    x[ccdl.tensor([True, False])] = 5
    assert x.tolist() == [[5, 5, 5], [3, 8, 9]]
    with pytest.raises(RuntimeError, match=r"shape mismatch.*\[3\].*\[6\]"):
        x[x > 0] = ccdl.tensor([1.0, 2.0, 3.0])


def test_overlapping_assignment_and_augmented_assignment():
    x = ccdl.arange(6.0)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]
    x[::2] += 10
    assert x.tolist() == [10, 0, 11, 2, 13, 4]
    x[ccdl.tensor([0, 0])] += 1
    assert x.tolist() == [11, 0, 11, 2, 13, 4]
    w = ccdl.ones(3, requires_grad=True)
    y = w * 2
    y[0] += w[1]
    y[1:] *= 3
    y.sum().backward()
    assert w.grad.tolist() == [2, 7, 6]


def test_scalars_on_the_other_side():
    x = ccdl.zeros(2, 2, dtype=ccdl.int64)
    x[0] = 2.7  # converted as by casting
    x[1, 1] = ccdl.tensor(3.9)
    x[1, 0] = True
    assert x.tolist() == [[2, 2], [1, 3]]
    x[:] = [[1, 2], [3, 4]]
    assert x.tolist() == [[1, 2], [3, 4]]
    x[0] = np.array([7, 8], np.int8)
    x[..., 1:] = ccdl.tensor([[[5]], [[6]]])[:1]  # extra leading ones
    assert x.tolist() == [[7, 5], [3, 5]]


@pytest.mark.parametrize(
    "key, error, parts",
    [
        (3, IndexError, ("index 3", "dimension 0", "size 2")),
        (-3, IndexError, ("index -3", "size 2")),
        ((0, 4), IndexError, ("index 4", "dimension 1", "size 3")),
        ((0, 0, 0), IndexError, ("too many indices", "dimension 2")),
        ((..., ...), IndexError, ("single ellipsis",)),
        (0.5, IndexError, ("float",)),
        ("a", TypeError, ("str",)),
        (2**70, IndexError, ()),
        (slice(None, None, -1), ValueError, ("step", "-1")),
        (slice(None, None, 0), ValueError, ()),
        (slice(0.5, None), TypeError, ()),
        ([0, 2], IndexError, ("index 2", "size 2")),
        ([-(2**63)], IndexError, ("size 2",)),
        (([0, 1], [0, 1, 2]), IndexError, ("shape mismatch", "[2]", "[3]")),
        (np.array([True, False, True]), IndexError, ("mask", "[3]", "[2, 3]")),
        (np.array([0.5]), IndexError, ("float64",)),
        (np.zeros((2, 3, 1), bool), IndexError, ()),
    ],
)
def test_errors_name_what_came(key, error, parts):
    x = ccdl.zeros(2, 3)
    for attempt in (
        lambda: x[key],
        lambda: x.__setitem__(key, 1.0),
        lambda: x.__setitem__(key, ccdl.ones(1)),
    ):
        with pytest.raises(error) as caught:
            attempt()
            settle()
        for part in parts:
            assert part in str(caught.value), str(caught.value)
    assert x.sum().item() == 0


def test_zero_dimensional():
    x = ccdl.tensor(2.0)
    assert x[...].item() == 2 and x[None].shape == (1,) and x[()].item() == 2 and x[True].shape == (1,)
    with pytest.raises(IndexError, match="0-dim"):
        x[0]
    x[...] = 5
    assert x.item() == 5
    with pytest.raises(TypeError):
        del ccdl.ones(3)[0]


def test_iteration_unpacking_and_slices_by_tensors():
    a, b = ccdl.tensor([[1, 2], [3, 4]])
    assert a.tolist() == [1, 2] and b.tolist() == [3, 4]
    x = ccdl.arange(10)
    assert x[ccdl.tensor(2) : ccdl.tensor(5)].tolist() == [2, 3, 4]
    assert x[np.int64(7) :].tolist() == [7, 8, 9]


def test_writes_through_views_reach_the_base():
    w = ccdl.ones(3, requires_grad=True)
    base = ccdl.zeros(2, 3)
    base[1][:2] = w[:2] * 3
    base[0, 0] = w[2]
    assert base.requires_grad
    base.sum().backward()
    assert w.grad.tolist() == [3, 3, 1]
    with pytest.raises(RuntimeError, match="leaf"):
        w[0] = 1.0
    with ccdl.no_grad():
        w[0] = 4.0
    assert w[0].item() == 4


def test_embedding_padding_and_frequency():
    table = ccdl.arange(12.0).reshape(4, 3).requires_grad_()
    ids = ccdl.tensor([[1, 1, 3], [1, 0, 3]])
    dy = ccdl.arange(18.0).reshape(2, 3, 3)
    sums = np.zeros((4, 3))
    np.add.at(sums, ids.cpu().numpy(), dy.cpu().numpy())
    for options, want in [
        ({}, sums),
        ({"padding_idx": 3}, sums * [[1], [1], [1], [0]]),
        ({"padding_idx": -4}, sums * [[0], [1], [1], [1]]),
        ({"scale_grad_by_freq": True}, sums / [[1], [3], [1], [2]]),
    ]:
        table.grad = None
        y = ccdl.nn.functional.embedding(ids, table, **options)
        y.backward(dy)
        np.testing.assert_allclose(table.grad.cpu().numpy(), want, rtol=1e-6)
        (g,) = ccdl.autograd.grad(
            ccdl.nn.functional.embedding(ids, table, **options), table, dy, create_graph=True
        )
        np.testing.assert_allclose(g.detach().cpu().numpy(), want, rtol=1e-6)


@pytest.mark.simd
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("rows, columns, start", [(40, 147, 0), (150_000, 35, 0), (66_000, 128, 0), (66_000, 128, 3)])
def test_gradient_of_small_and_large_tables(dtype, rows, columns, start):
    """Every row is written, in a table that goes around the caches too; small integers have exact sums."""
    rng = np.random.default_rng(rows)
    ids = np.concatenate([rng.integers(0, rows, 300), [0, 0, rows - 1, rows - 1, 7], np.full(30, 5)])
    ids = ids[start:]
    values = rng.integers(-3, 4, (ids.size, columns)).astype(np.float64)
    table = ccdl.zeros(rows, columns, dtype=getattr(ccdl, dtype), requires_grad=True)
    for _ in range(2):  # the second time into memory that was used before
        table.grad = None
        y = ccdl.nn.functional.embedding(ccdl.tensor(ids), table)
        y.backward(ccdl.tensor(values, dtype=getattr(ccdl, dtype)))
        want = np.zeros((rows, columns))
        np.add.at(want, ids, values)
        np.testing.assert_array_equal(table.grad.double().cpu().numpy(), want)
        table.grad.fill_(7.0)


def test_bits_do_not_depend_on_the_thread_count():
    rng = np.random.default_rng(7)
    x = ccdl.tensor(rng.standard_normal((64, 700)))
    rows = ccdl.tensor(rng.integers(0, 64, 500))
    src = ccdl.tensor(rng.standard_normal((500, 700)))
    before = ccdl.get_num_threads()
    seen = []
    try:
        for threads in (1, 2, 3):
            ccdl.set_num_threads(threads)
            y = x.clone()
            y.index_put_((rows,), src, accumulate=True)
            seen.append(
                (y.cpu().numpy().tobytes(), x.index_add(0, rows, src).cpu().numpy().tobytes(), x[x > 0].cpu().numpy().tobytes())
            )
    finally:
        ccdl.set_num_threads(before)
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "float16"])
@pytest.mark.parametrize("rows, columns", [(1, 300_007), (3, 262_144), (2, 1_100_000)])
def test_long_rows_are_sorted_alike_by_any_number_of_threads(dtype, rows, columns):
    rng = np.random.default_rng(columns)
    x = rng.integers(-3000, 3000, (rows, columns)).astype(dtype)
    if dtype.startswith("float"):
        x[:, 5::9973] = np.nan
    t, before = ccdl.tensor(x, device="cpu"), ccdl.get_num_threads()  # the threads are the CPU's
    order = np.argsort(x, axis=1, kind="stable")  # NaN last
    falling = np.argsort(-x.astype(np.float64), axis=1, kind="stable")
    nan = np.isnan(x.astype(np.float64)).sum(1)
    falling = np.stack([np.roll(row, n) for row, n in zip(falling, nan)])  # NaN is the largest
    try:
        for threads in (1, 2, 3):
            ccdl.set_num_threads(threads)
            for descending, want in ((False, order), (True, falling)):
                values, at = ccdl.sort(t, 1, descending=descending, stable=True)
                np.testing.assert_array_equal(at.cpu().numpy(), want)
                np.testing.assert_array_equal(values.cpu().numpy(), np.take_along_axis(x, want, 1))
                for k in (1, 7, 500, 20_000):
                    values, at = ccdl.topk(t, k, 1, largest=descending)
                    np.testing.assert_array_equal(at.cpu().numpy(), want[:, :k])
                    np.testing.assert_array_equal(values.cpu().numpy(), np.take_along_axis(x, want[:, :k], 1))
    finally:
        ccdl.set_num_threads(before)


def test_a_bad_index_in_place_writes_nothing():
    x = ccdl.zeros(100, 700)
    rows = ccdl.arange(100)
    rows[-1] = 100
    for write in (
        lambda: x.index_put_((rows,), ccdl.ones(100, 700)),
        lambda: x.index_add_(0, rows, ccdl.ones(100, 700)),
        lambda: x.scatter_(0, rows[:, None].expand(100, 700), 1.0),
        lambda: x.__setitem__(rows, 1.0),
    ):
        with pytest.raises(IndexError, match="100.*size 100"):
            write()
            settle()
        assert harness.DEVICE != "cpu" or not x.any()  # a kernel skips the bad rows alone


def test_a_list_with_more_than_numbers_is_a_tuple_of_indices():
    a = np.arange(64.0).reshape(4, 4, 4)
    x = ccdl.from_numpy(a)
    rows, columns = [0, 1, 3], [1, 0, 2]
    for index in ([rows, columns], [ccdl.tensor(rows), columns], [slice(0, 2), 1], [Ellipsis, 0], [None, 0], [rows, 1], [(0, 1), (1, 0)],
                  [rows, slice(None), slice(1, 3)], [[True, False, True, False], [0, 1]]):
        expected = a[tuple(i.cpu().numpy() if isinstance(i, ccdl.Tensor) else i for i in index)]
        np.testing.assert_array_equal(x[index].cpu().numpy(), expected)
        y, b = x.clone(), a.copy()
        y[index] = -1
        b[tuple(i.cpu().numpy() if isinstance(i, ccdl.Tensor) else i for i in index)] = -1
        np.testing.assert_array_equal(y.cpu().numpy(), b)
    np.testing.assert_array_equal(x[rows].cpu().numpy(), a[rows])
    np.testing.assert_array_equal(x[[True, False, True, False]].cpu().numpy(), a[[0, 2]])
    long = [[0]] + [[1]] * 31  # a long list is an array
    np.testing.assert_array_equal(x[long].cpu().numpy(), a[np.array(long)])
    y = ccdl.arange(16.0).view(4, 4).requires_grad_()
    y[[[1, 1, 3, 2, 1, 2], [0]]].sum().backward()
    np.testing.assert_array_equal(y.grad.cpu().numpy()[:, 0], [0, 3, 2, 1])
    with pytest.raises(IndexError):
        x[[rows, columns, rows, columns]]


def test_leading_ones_of_an_assigned_value_are_dropped():
    a = np.zeros((3, 3))
    x = ccdl.zeros(3, 3, dtype=ccdl.float64)
    value = np.arange(1.0, 4.0).reshape(1, 1, 3)
    for index in [(np.arange(3), np.arange(3)), ([0, 2],), (np.array([[0, 1], [1, 2]]),), (a == 0,)]:
        count = a[index].shape
        b = np.broadcast_to(value, (1, 1) + count) if count[-1] == 3 else np.full((1, 1) + count, 7.0)
        a[index] = b[0, 0]
        x[tuple(ccdl.tensor(i) if isinstance(i, np.ndarray) else i for i in index)] = ccdl.tensor(b)
        np.testing.assert_array_equal(x.cpu().numpy(), a)
    with pytest.raises(RuntimeError, match="shape"):
        x[[0, 1]] = ccdl.ones(2, 2, 3, dtype=ccdl.float64)


def test_negative_numbers_wrap_in_bytes():
    assert ccdl.tensor([[-1, -2], [-255, 255]], dtype=ccdl.uint8).tolist() == [[255, 254], [1, 255]]
    for bad in (-256, 256):
        with pytest.raises(RuntimeError, match="overflow"):
            ccdl.tensor(bad, dtype=ccdl.uint8)
    assert ccdl.cumulative_trapezoid(ccdl.ones(3, 0)).shape == (3, 0)


@pytest.mark.parametrize(("name", "ufunc"), [("max", np.maximum), ("amax", np.maximum), ("min", np.minimum), ("amin", np.minimum)])
def test_scatter_reduce_knows_the_extrema_by_both_names(name, ufunc):
    expected, index, source = np.array([1.0, 5.0, 2.0]), np.array([0, 0, 1, 2]), np.array([3.0, 0.5, 9.0, -1.0])
    x = ccdl.from_numpy(expected.copy())
    ufunc.at(expected, index, source)
    arguments = (0, ccdl.from_numpy(index), ccdl.from_numpy(source), name)
    np.testing.assert_array_equal(x.scatter_reduce(*arguments).cpu().numpy(), expected)
    np.testing.assert_array_equal(x.scatter_reduce_(*arguments).cpu().numpy(), expected)
