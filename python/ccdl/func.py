"""Modules as functions of their parameters, and derivatives of functions over nested lists and dicts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import _C
from ._module_functions import functional_call, replace_all_batch_norm_modules_, stack_module_state
from ._rearrange import rearrange
from ._vmap import _Random, vmap
from .errors import RuntimeError as CcdlRuntimeError

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]


def _tensors(value: Any) -> list[Any]:
    """Tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, _C.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in _tensors(v)] if isinstance(value, (list, tuple)) else []


def _rebuilt(value: Any, found: Any) -> Any:
    """``value`` with its tensors replaced in order by those of the iterator."""
    if isinstance(value, _C.Tensor):
        return next(found)
    if isinstance(value, dict):
        return {k: _rebuilt(v, found) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuilt(v, found) for v in value))
    return type(value)(_rebuilt(v, found) for v in value) if isinstance(value, (list, tuple)) else value


def _places_of(what: str, argnums: Any, count: int) -> list[int]:
    places = list(argnums) if isinstance(argnums, tuple) else [argnums]
    for n in places:
        if not isinstance(n, int) or not -count <= n < count:
            raise CcdlRuntimeError(f"{what}: got argnum={n}, but only {count} positional inputs")
    return [n % count for n in places]


def _prepare(what: str, args: Any, places: list[int]) -> tuple[list[Any], list[Any], bool]:
    """Arguments with the chosen ones as new inputs of the graph, those inputs, and whether arguments have a
    history of their own, which an outer derivative may follow.
    """
    from ._batching.core import expanded, running

    given = list(args)
    fresh: list[Any] = []
    outer = any(t.requires_grad for a in args for t in _tensors(a))
    for n in places:
        tensors = _tensors(given[n])
        for t in tensors:
            if not t.is_floating_point():
                raise CcdlRuntimeError(
                    f"{what}: argument {n} has a tensor of dtype {t.dtype}, must be floating"
                )
        if running.frames:  # inside vmap every sample has a derivative of its own
            tensors = [expanded(t) for t in tensors]
        # a view keeps the way to an outer derivative
        mine = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors]
        fresh += mine
        given[n] = _rebuilt(given[n], iter(mine))
    return given, fresh, outer


def _looked_on(recorded: bool, outer: bool, outputs: list[Any], inputs: list[Any]) -> bool:
    """Whether derivatives of ``outputs`` are to be differentiable themselves: an argument has a history, or
    the function uses tensors from around it that require grad, parameters of a model above all; and the
    caller records at all.
    """
    return recorded and (outer or _C._reaches_others(outputs, inputs))


def _derivative(output: Any, inputs: list[Any], weight: Any, outer: bool) -> list[Any]:
    from .autograd import grad as autograd_grad

    if not output.requires_grad:
        return [_C.zeros_like(x) for x in inputs]
    found = autograd_grad(
        [output], inputs, [weight], retain_graph=True, create_graph=outer, allow_unused=True
    )
    return [_C.zeros_like(x) if g is None else g for x, g in zip(inputs, found)]


def _enabled(f: Callable[[], Any]) -> Any:
    previous = _C._set_grad_enabled(True)
    try:
        return f()
    finally:
        _C._set_grad_enabled(previous)


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function of the same arguments that returns ``(gradient, value)``; see :func:`grad`.

    With ``has_aux`` it returns ``(gradient, (value, aux))``.

    >>> import ccdl
    >>> ccdl.func.grad_and_value(lambda x: (x ** 2).sum())(ccdl.tensor([1., 2.]))
    (tensor([2., 4.]), tensor(5.))
    """

    def derived(*args: Any, **kwargs: Any) -> Any:
        places, recorded = _places_of("grad", argnums, len(args)), _C.is_grad_enabled()

        def run() -> Any:
            given, fresh, outer = _prepare("grad", args, places)
            output = func(*given, **kwargs)
            aux = None
            if has_aux:
                if not (isinstance(output, tuple) and len(output) == 2):
                    raise CcdlRuntimeError("grad: with has_aux=True the function must return (output, aux)")
                output, aux = output
            if not isinstance(output, _C.Tensor):
                raise CcdlRuntimeError(
                    f"grad: the function must return a Tensor, got {type(output).__name__}"
                )
            if output.numel() != 1 or output.dim() != 0:
                raise CcdlRuntimeError(
                    f"grad: the function must return a scalar tensor, got one of size {tuple(output.shape)}"
                )
            outer = _looked_on(recorded, outer, [output], fresh)
            found = iter(_derivative(output, fresh, _C.ones_like(output), outer))
            parts = tuple(_rebuilt(args[n], found) for n in places)
            value = output if outer else output.detach()
            return parts if isinstance(argnums, tuple) else parts[0], (value, aux) if has_aux else value

        return _enabled(run)

    return derived


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function of the same arguments.

    Args:
        func: returns a 0-d tensor (or that and anything else, with ``has_aux``).
        argnums: positions of the arguments, one or a tuple; each may be a tensor or nest tensors in lists,
            tuples and dicts, and the gradient nests alike.
        has_aux: return ``(gradient, aux)``.

    May be nested: ``grad(grad(f))``. A gradient is itself differentiable where an argument requires grad, and
    by tensors that ``func`` takes from around it, such as the parameters of a model.

    Raises:
        RuntimeError: an output that is no scalar, a position out of range, an integer tensor.

    >>> import ccdl
    >>> ccdl.func.grad(ccdl.func.grad(lambda x: x ** 3))(ccdl.tensor(2.))
    tensor(12.)
    """
    derived = grad_and_value(func, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        found, value = derived(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """``(output, pull)``: ``pull(v)`` gives the gradients of ``sum(v output)``, one per argument.

    Returns ``(output, pull, aux)`` with ``has_aux``.

    >>> import ccdl
    >>> output, pull = ccdl.func.vjp(lambda x: x * 3, ccdl.ones(2))
    >>> pull(ccdl.tensor([1., 2.]))
    (tensor([3., 6.]),)
    """
    recorded = _C.is_grad_enabled()

    def run() -> Any:
        given, fresh, outer = _prepare("vjp", primals, list(range(len(primals))))
        output, aux = func(*given) if has_aux else (func(*given), None)
        results = _tensors(output)
        outer = _looked_on(recorded, outer, results, fresh)

        def pull(cotangents: Any) -> Any:
            weights = _tensors(cotangents)
            if len(weights) != len(results):
                raise CcdlRuntimeError(f"vjp: got {len(weights)} cotangents for {len(results)} outputs")
            total = [_C.zeros_like(x) for x in fresh]
            for y, v in zip(results, weights):
                if v.shape != y.shape:
                    raise CcdlRuntimeError(
                        f"vjp: a cotangent has size {tuple(v.shape)}, the output {tuple(y.shape)}"
                    )
                parts = _enabled(functools.partial(_derivative, y, fresh, v, outer or v.requires_grad))
                total = [a + b for a, b in zip(total, parts)]
            found = iter(total)
            return tuple(_rebuilt(p, found) for p in primals)

        shown = _rebuilt(output, iter([y if outer else y.detach() for y in results]))
        return (shown, pull, aux) if has_aux else (shown, pull)

    return _enabled(run)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """``(output, push)``: ``push(*tangents)`` gives the derivative of ``func`` at ``primals`` along the
    tangents, nested like the output. The function itself runs once.

    >>> import ccdl
    >>> output, push = ccdl.func.linearize(lambda x: x ** 2, ccdl.tensor([1., 3.]))
    >>> push(ccdl.tensor([1., 10.]))
    tensor([ 2., 60.])
    """
    shown, push, _ = _linear("linearize", func, primals, False, False)
    return shown, lambda *tangents: push(tangents)


def _linear(what, func, primals, has_aux, strict):
    """Output, derivative as a function of the tangents, aux."""
    from .autograd import grad as autograd_grad

    recorded = _C.is_grad_enabled()

    def run():
        given, fresh, outer = _prepare(what, primals, list(range(len(primals))))
        output, aux = _with_aux(what, func(*given), has_aux)
        results = _all_tensors(what, output)
        outer = _looked_on(recorded, outer, results, fresh)
        if strict and not all(y.requires_grad for y in results):
            raise CcdlRuntimeError(
                f"{what}(f, primals, tangents): The output of f is independent of the inputs. This is not "
                "allowed with strict=True."
            )
        # u -> J^T u is linear, so the gradient of <J^T u, v> with respect to u is J v
        reached = [y for y in results if y.requires_grad]
        weights = [_C.zeros_like(y).requires_grad_() for y in reached]
        turned = [None] * len(fresh)
        if reached:
            turned = autograd_grad(
                reached, fresh, weights, retain_graph=True, create_graph=True, allow_unused=True
            )

        def push(tangents: Any) -> Any:
            along = _tensors(tangents)
            if len(along) != len(fresh) or not _alike(primals, tangents):
                raise CcdlRuntimeError(
                    f"{what}(f, primals, tangents): Expected primals and tangents to have the same python "
                    "structure. For example, if primals is a tuple of 3 tensors, tangents also must be. Got "
                    f"{len(fresh)} primals and {len(along)} tangents"
                )
            for x, v in zip(fresh, along):
                if x.shape != v.shape or x.dtype != v.dtype:
                    raise CcdlRuntimeError(
                        f"{what}: a tangent is {v.dtype} of size {list(v.shape)}, its primal {x.dtype} of "
                        f"size {list(x.shape)}"
                    )
            pairs = [(g, v) for g, v in zip(turned, along) if g is not None and g.requires_grad]
            deeper = outer or any(v.requires_grad for v in along)
            found = [None] * len(weights)
            if pairs and weights:
                found = _enabled(
                    lambda: autograd_grad(
                        [g for g, _ in pairs],
                        weights,
                        [v for _, v in pairs],
                        retain_graph=True,
                        create_graph=deeper,
                        allow_unused=True,
                    )
                )
            parts = iter(found)
            moved = [next(parts) if y.requires_grad else None for y in results]
            filled = [_C.zeros_like(y) if d is None else d for y, d in zip(results, moved)]
            return _rebuilt(output, iter(filled))

        shown = _rebuilt(output, iter([y if outer else y.detach() for y in results]))
        return shown, push, aux

    return _enabled(run)


def _alike(a: Any, b: Any) -> bool:
    """Whether the containers around the tensors are the same."""
    if isinstance(a, _C.Tensor):
        return isinstance(b, _C.Tensor)
    if isinstance(a, dict):
        return isinstance(b, dict) and set(a) == set(b) and all(_alike(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(_alike, a, b))
    return True


def _with_aux(what: str, output: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return output, None
    if not (isinstance(output, tuple) and len(output) == 2):
        raise CcdlRuntimeError(f"{what}: with has_aux=True the function must return (output, aux)")
    return output


def _all_tensors(what: str, output: Any) -> list[Any]:
    """The tensors of a nested output, which must hold nothing else."""
    from ._vmap import _leaves

    for leaf in _leaves(output):
        if not isinstance(leaf, _C.Tensor):
            raise CcdlRuntimeError(
                f"{what}: the function must return a Tensor, or lists, tuples and dicts of nothing else, got "
                f"{type(leaf).__name__}"
            )
    return _tensors(output)


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """``(output, derivative of the output along the tangents)``, and aux with ``has_aux``.

    Args:
        func: takes ``*primals``; returns tensors, also nested.
        primals, tangents: tuples nested alike, tensors of equal sizes.
        strict: an output that does not depend on the inputs is an error instead of a zero derivative.

    Computed by two reverse passes.

    Raises:
        RuntimeError: primals or tangents of other structure, sizes or dtypes; outputs that are no tensors.

    >>> import ccdl
    >>> ccdl.func.jvp(lambda x: x ** 2, (ccdl.tensor([1., 3.]),), (ccdl.tensor([1., 10.]),))
    (tensor([1., 9.]), tensor([ 2., 60.]))
    """
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple):
            raise CcdlRuntimeError(
                f"jvp(f, primals, tangents): Expected {name} to be a tuple. E.g. it should be valid to call "
                "f(*primals)."
            )
    shown, push, aux = _linear("jvp", func, primals, has_aux, strict)
    return (shown, push(tangents), aux) if has_aux else (shown, push(tangents))


def _by_copies(what, func, args, kwargs, places, results, fresh, chunk, recorded, state):
    """Rows of the Jacobian by one pass over as many copies of the function as there are rows, each weighted
    by another element of the outputs; None where that does not pay or cannot be.

    Returns per output the blocks of all inputs.
    """
    from ._batching.core import Frame, NoBatch, Refused, entered
    from .autograd import grad as autograd_grad

    counts = [y.numel() for y in results]
    count, inputs = sum(counts), sum(x.numel() for x in fresh)
    if count < 2 or inputs > 100_000 or not fresh:
        return None
    chunk = chunk or max(1, 2**22 // (inputs + count))
    blocks: list[list[Any]] = []
    after = _Random()
    try:
        for start in range(0, count, chunk):
            rows = min(chunk, count - start)
            frame = Frame(rows, "same", copies=True)
            state.restore()
            with entered(frame):
                given, mine, outer = _prepare(what, args, places)
                output = func(*given, **kwargs)
                if isinstance(output, tuple) and len(output) == 2 and len(_tensors(output)) != len(results):
                    output = output[0]
                found = _tensors(output)[: len(results)]
            values = [x._value for x in mine]
            reached, weights, first = [], [], 0
            for y, size in zip(found, counts):
                low, high = max(start, first), min(start + rows, first + size)
                if low < high and getattr(y, "_frame", None) is frame and y._value.requires_grad:
                    weight = _C.zeros((rows, size), dtype=y.dtype, device=y.device)
                    weight[low - start : high - start, low - first : high - first].fill_diagonal_(1)
                    reached.append(y._value)
                    weights.append(weight.reshape(rows, *y.shape))
                first += size
            outer = bool(reached) and _looked_on(recorded, outer, reached, values)
            grads = [None] * len(values)
            if reached:
                grads = autograd_grad(
                    reached, values, weights, retain_graph=True, create_graph=outer, allow_unused=True
                )
            blocks.append([_C.zeros_like(x) if g is None else g for x, g in zip(values, grads)])
    except (NoBatch, Refused):
        return None
    finally:
        after.restore()
    columns = [b[0] if len(b) == 1 else _C.cat(list(b)) for b in zip(*blocks)]
    pieces = [column.split(counts) for column in columns]
    return [
        [piece[k].reshape(*y.shape, *x.shape) for piece, x in zip(pieces, fresh)]
        for k, y in enumerate(results)
    ]


def _jacobian(
    what: str, func: Callable[..., Any], argnums: Any, has_aux: bool, chunk: int | None = None
) -> Callable[..., Any]:
    def derived(*args: Any, **kwargs: Any) -> Any:
        places, recorded = _places_of(what, argnums, len(args)), _C.is_grad_enabled()

        def run() -> Any:
            given, fresh, outer = _prepare(what, args, places)
            state = _Random()
            output, aux = _with_aux(what, func(*given, **kwargs), has_aux)
            results = _all_tensors(what, output)
            outer = _looked_on(recorded, outer, results, fresh)

            def nested(columns: list[Any]) -> Any:
                found = iter(columns)
                parts = tuple(_rebuilt(args[n], found) for n in places)
                return parts if isinstance(argnums, tuple) else parts[0]

            fast = _by_copies(what, func, args, kwargs, places, results, fresh, chunk, recorded, state)
            if fast is not None:
                result = _rebuilt(output, iter([nested(columns) for columns in fast]))
                return (result, aux) if has_aux else result

            def of(y: Any) -> Any:
                flat = y.reshape(-1)
                rows = [
                    _derivative(flat[i], fresh, _C.ones_like(flat[i]), outer) for i in range(flat.numel())
                ]
                columns = [
                    _C.stack([row[k] for row in rows]).reshape((*y.shape, *x.shape))
                    if rows
                    else x.new_zeros((*y.shape, *x.shape))
                    for k, x in enumerate(fresh)
                ]
                return nested(columns)

            result = _rebuilt(output, iter([of(y) for y in results]))
            return (result, aux) if has_aux else result

        return _enabled(run)

    return derived


def jacrev(
    func: Callable[..., Any],
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """The Jacobian as a function of the same arguments: per output tensor one of size output size + input
    size, nested like the output and, inside, like the chosen arguments.

    Args:
        func: returns tensors, also nested (with ``has_aux`` that and anything else).
        argnums: positions of the arguments to differentiate by, one or a tuple.
        chunk_size: at most so many rows at once; None for as many as memory lets seem sensible.

    The function runs once for its outputs, and once more on one copy of the inputs per row, followed by one
    backward pass; what cannot run on copies (writes into tensors from around it) has a pass per row.

    Raises:
        RuntimeError: an output that is no tensor, a position out of range, an integer tensor.

    >>> import ccdl
    >>> ccdl.func.jacrev(lambda x: ccdl.stack([x[0] * x[1], x[0]]))(ccdl.tensor([2., 3.]))
    tensor([[3., 2.],
            [1., 0.]])
    """
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")
    return _jacobian("jacrev", func, argnums, has_aux, chunk_size)


def jacfwd(
    func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """The Jacobian, as :func:`jacrev` has it, and computed in the same way.

    >>> import ccdl
    >>> ccdl.func.jacfwd(ccdl.square)(ccdl.tensor([2., 3.]))
    tensor([[4., 0.],
            [0., 6.]])
    """
    if randomness not in ("error", "different", "same"):
        raise CcdlRuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    return _jacobian("jacfwd", func, argnums, has_aux)


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """Second derivatives: the Jacobian of the Jacobian.

    >>> import ccdl
    >>> ccdl.func.hessian(lambda x: x[0] ** 2 * x[1])(ccdl.tensor([1., 3.]))
    tensor([[6., 2.],
            [2., 0.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """``func`` itself: there is no tracer that needed in-place operations removed.

    Raises:
        RuntimeError: an unknown ``remove``.

    >>> import ccdl
    >>> ccdl.func.functionalize(ccdl.sin) is ccdl.sin
    True
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise CcdlRuntimeError(
            "functionalize(f, remove='mutations'): Valid options for remove are: remove='mutations', "
            f"remove='mutations_and_views'. Got remove={remove!r}"
        )
    return func
