"""Symbolic tracing: the graph has PyTorch's nodes and names, runs to the same bits as the module, and can be changed."""

from __future__ import annotations

import copy
import math
import operator
import pickle

import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl import fx
from ccdl.nn.functional import dropout

fx.wrap("len")


@fx.wrap
def branching(x, limit):
    return x if float(x.sum()) > limit else -x


def build(t, functional):
    class Block(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = t.nn.Conv2d(2, 4, 3, padding=1)
            self.norm = t.nn.BatchNorm2d(4)
            self.scale = t.nn.Parameter(t.ones(4, 1, 1))
            self.register_buffer("shift", t.full((4, 1, 1), 0.5))

        def forward(self, x):
            y = self.norm(self.conv(x)) * self.scale + self.shift
            y += x.sum(1, keepdim=True)
            return functional.gelu(y)

    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = t.nn.Sequential(Block(), t.nn.ReLU())
            self.head = t.nn.Linear(4, 4)
            self.size = 4

        def forward(self, input, k=2, *, flag=None):
            t._assert(input.size(1) == 2, "two channels")
            y = self.blocks(input)
            a, b = y.mean((2, 3)).chunk(2, dim=-1)
            y = t.cat([a, b], dim=1)
            y = self.head(functional.dropout(y, 0.1, self.training))
            if flag is not None:
                y = y.view(y.shape[0], -1, self.size)[:, None, ..., 0:k].flatten(1)
            return {"y": y, "rows": input.shape[0], "r": math.sqrt(4.0) * y, "p": t.einsum("ij,kj->ik", y, y)}

    return Net()


def test_a_traced_module_computes_the_same():
    net = build(ccdl, F).eval()
    traced = fx.symbolic_trace(net)
    x = ccdl.randn(3, 2, 5, 5)
    for k in (2, 3):
        want, got = net(x, k=k, flag=True), traced(x, k=k)
        assert got["rows"] == 3
        for key in ("y", "r", "p"):
            assert ccdl.equal(want[key], got[key])
    assert set(traced.state_dict()) == set(net.state_dict())
    assert "self.head(" in traced.code and "ccdl.nn.functional.gelu(" in traced.code
    traced(x)["y"].sum().backward()
    assert net.blocks[0].scale.grad is not None  # the parameters are shared
    assert "forward" in traced.print_readable(print_output=False)


def test_nodes_and_names_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs_fx = pytest.importorskip("torch.fx", reason="PyTorch is not installed")
    mine = fx.symbolic_trace(build(ccdl, F).eval()).graph
    theirs = theirs_fx.symbolic_trace(build(torch, torch.nn.functional).eval()).graph
    shown = [[(n.op, n.name, str(n.target) if isinstance(n.target, str) else n.target.__name__, str(n.all_input_nodes), len(n.users))
              for n in g.nodes] for g in (mine, theirs)]
    assert shown[0] == shown[1]


def test_the_library_is_as_before_after_tracing():
    before = (nn.Module.__call__, nn.Module.__getattr__, F.dropout, ccdl.einsum, dropout, math.sqrt, globals()["branching"])
    fx.symbolic_trace(build(ccdl, F))
    with pytest.raises(fx.proxy.TraceError, match="control flow"):
        fx.symbolic_trace(lambda x: x if x.sum() > 0 else -x)
    after = (nn.Module.__call__, nn.Module.__getattr__, F.dropout, ccdl.einsum, dropout, math.sqrt, globals()["branching"])
    assert all(a is b for a, b in zip(before, after))
    assert "len" not in globals()


def test_functions_are_steps():
    traced = fx.symbolic_trace(lambda x, y: dropout(branching(x, 0.5), 0.0, False) + math.floor(y) + len(x) + ccdl.ones(2).add(y)[0])
    names = [n.name for n in traced.graph.nodes]
    assert names[2:7] == ["branching", "dropout", "floor", "add", "len_1"]
    got = traced(ccdl.tensor([-1.0, -2.0]), 3.5)
    assert got.tolist() == [1 + 3 + 2 + 4.5, 2 + 3 + 2 + 4.5]
    assert len(len.__name__) == 3  # the builtin still works here


def test_what_cannot_be_traced():
    def loop(x):
        return [v + 1 for v in x]

    for program, error in ((loop, ValueError), (lambda x: 1 if x else 0, ValueError),
                           (lambda x: {x: 1}, RuntimeError),
                           (lambda x: ccdl.relu(x).foo(object()), NotImplementedError)):
        with pytest.raises(error):
            fx.symbolic_trace(program)
    with pytest.raises(RuntimeError, match="len"):
        exec("fx.symbolic_trace(lambda x: len(x))", {"fx": fx})
    with pytest.raises(TypeError, match="item assignment"):
        fx.symbolic_trace(lambda x: operator.setitem(x, 0, 1))
    with pytest.raises(NameError, match="submodule"):
        outside = nn.Linear(1, 1)
        fx.symbolic_trace(lambda x: outside(x))
    with pytest.raises(RuntimeError, match="Python function"):
        fx.symbolic_trace(len)
    with pytest.raises(NotImplementedError, match="top level"):
        fx.wrap("len")


def test_arguments_of_many_kinds():
    def program(a, *rest, b=2, **more):
        return a * b + rest[0] - more["c"]

    traced = fx.symbolic_trace(program)
    assert [n.target for n in traced.graph.nodes if n.op == "placeholder"] == ["a", "b", "*rest", "**more"]
    traced = fx.symbolic_trace(lambda x, deep, pair: (x + 1 if deep else x) * pair[0], {"deep": True, "pair": (fx.PH, None)})
    assert traced(ccdl.ones(1), True, (3.0, None)).item() == 6.0
    with pytest.raises(AssertionError, match="specialized"):
        traced(ccdl.ones(1), False, (3.0, None))
    constant = ccdl.tensor([1.0, 2.0])
    traced = fx.symbolic_trace(lambda x: x.to(ccdl.float64) * constant)
    assert traced(ccdl.ones(2)).tolist() == [1.0, 2.0] and ccdl.equal(traced._tensor_constant0, constant)


def test_a_graph_can_be_changed():
    traced = fx.symbolic_trace(lambda x: ccdl.relu(x) + ccdl.sigmoid(x) * 0)
    for node in list(traced.graph.nodes):
        if node.target is ccdl.relu:
            with traced.graph.inserting_after(node):
                new = traced.graph.call_function(ccdl.abs, node.args)
            node.replace_all_uses_with(new)
            traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()
    assert traced(ccdl.tensor([-3.0])).item() == 3.0
    add = next(n for n in traced.graph.nodes if n.name == "add")
    with pytest.raises(RuntimeError, match="users"):
        traced.graph.erase_node(add)
    with pytest.raises(TypeError, match="mutation"):
        fx.symbolic_trace(lambda x: ccdl.cat([x, x])).graph.find_nodes(op="call_function")[0].args[0].append(1)
    add.args = (add.args[0], 1)
    assert traced.graph.eliminate_dead_code() and [n.name for n in traced.graph.nodes] == ["x", "abs_1", "add", "output"]
    traced.recompile()
    assert traced(ccdl.tensor([-3.0])).item() == 4.0
    other = fx.Graph()
    with pytest.raises(AssertionError, match="another graph"):
        other.call_function(ccdl.relu, (add,))
    used_early = fx.Graph()
    x = used_early.placeholder("x")
    y = used_early.call_function(ccdl.relu, (x,))
    used_early.output(y)
    y.append(x)
    with pytest.raises(RuntimeError, match="before it is defined"):
        used_early.lint()


def test_interpreter_and_transformer():
    traced = fx.symbolic_trace(build(ccdl, F).eval())
    x = ccdl.randn(2, 2, 4, 4)
    assert ccdl.equal(fx.Interpreter(traced).run(x)["y"], traced(x)["y"])

    class Shapes(fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            if isinstance(result, ccdl.Tensor):
                n.meta["shape"] = tuple(result.shape)
            return result

    Shapes(traced).run(x)
    assert {n.name: n.meta.get("shape") for n in traced.graph.nodes}["blocks_0_conv"] == (2, 4, 4, 4)

    class Swap(fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(F.silu if target is F.gelu else target, args, kwargs)

    swapped = Swap(traced).transform()
    assert "silu" in swapped.code and swapped.head is traced.head
    found = fx.replace_pattern(swapped, lambda v: F.silu(v), lambda v: ccdl.tanh(v))
    assert len(found) == 1 and "tanh" in swapped.code and "silu" not in swapped.code
    swapped.graph.lint()
    assert swapped(x)["y"].shape == (2, 2)


def test_copies_and_files():
    traced = fx.symbolic_trace(build(ccdl, F).eval())
    x = ccdl.randn(2, 2, 4, 4)
    for other in (copy.deepcopy(traced), pickle.loads(pickle.dumps(traced))):
        assert ccdl.equal(other(x)["y"], traced(x)["y"]) and other.head is not traced.head
        other.graph.lint()
        assert [n.name for n in other.graph.nodes] == [n.name for n in traced.graph.nodes]
    assert traced.add_submodule("new.head", nn.Linear(4, 4)) and not traced.delete_submodule("no.head")
    traced.delete_all_unused_submodules()
    assert not hasattr(traced, "new") and hasattr(traced.blocks, "0") and traced.delete_submodule("head")


def test_own_tracers():
    seen = []

    class Names(fx.Tracer):
        def is_leaf_module(self, m, name):
            return type(m).__name__ == "Block" or super().is_leaf_module(m, name)

        def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None, *_):
            seen.append((kind, str(target)))
            return super().create_proxy(kind, target, args, kwargs, name, type_expr)

    net = build(ccdl, F).eval()
    graph = Names().trace(net)
    assert ("call_module", "blocks.0") in seen and not any(target == "blocks.0.conv" for _, target in seen)
    assert ccdl.equal(fx.GraphModule(net, graph)(ccdl.ones(1, 2, 3, 3))["y"], net(ccdl.ones(1, 2, 3, 3), flag=True)["y"])
    shapes = fx.Tracer(param_shapes_constant=True).trace(_Reads())
    assert [n.op for n in shapes.nodes] == ["placeholder", "get_attr", "call_method", "output"]


class _Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(ccdl.ones(3, 2))

    def forward(self, x):
        return x.view(self.w.shape[0], self.w.dim())
