// The graph seen from Python: running it, hooks on tensors and their handles.

#include <algorithm>
#include <unordered_set>

#include <ccdl/autograd/accumulate.h>

#include "autograd_nodes.h"

namespace ccdl::python {

using autograd::Node;

namespace {

// What register_*hook returns: remove(), and a context manager that removes on exit.
struct HandleObject {
  PyObject_HEAD std::function<void()>* undo;
  int64_t id;
};
PyTypeObject* HandleType;
void handle_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  delete reinterpret_cast<HandleObject*>(o)->undo;
  type->tp_free(o);
  Py_DECREF(type);
}
PyObject* handle_remove(PyObject* o, PyObject*) {
  auto* h = reinterpret_cast<HandleObject*>(o);
  if (h->undo) {
    (*h->undo)();
    delete h->undo;
    h->undo = nullptr;
  }
  Py_RETURN_NONE;
}
PyObject* handle_enter(PyObject* o, PyObject*) { return Py_NewRef(o); }
PyObject* handle_id(PyObject* o, void*) {
  return PyLong_FromLongLong(reinterpret_cast<HandleObject*>(o)->id);
}
PyMethodDef kHandleMethods[] = {{"remove", handle_remove, METH_NOARGS, "Takes the hook away."},
                                {"__enter__", handle_enter, METH_NOARGS, nullptr},
                                {"__exit__", handle_remove, METH_VARARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyGetSetDef kHandleGetSet[] = {{"id", handle_id, nullptr, nullptr, nullptr},
                               {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

PyObject* make_handle(int64_t id, std::function<void()> undo) {
  auto* h = reinterpret_cast<HandleObject*>(HandleType->tp_alloc(HandleType, 0));
  if (!h) return nullptr;
  h->undo = new std::function<void()>(std::move(undo));
  h->id = id;
  return reinterpret_cast<PyObject*>(h);
}

void check_callable(const char* op, PyObject* f) {
  if (!f || !PyCallable_Check(f))
    fail(ErrorKind::Type, str(op, ": the hook must be callable, got ", f ? Py_TYPE(f)->tp_name : "nothing"));
}
namespace {

PyObject* row_backward(const Args& a) {
  TensorList inputs;
  if (PyObject* list = a.object(4); list && list != Py_None) {
    if (is_tensor(list) || is_pair(list)) {
      inputs.push_back(unwrap(list));
    } else {
      PyObject* fast =
          PySequence_Fast(list, "backward(): argument 'inputs' must be a Tensor or a sequence of Tensors");
      if (!fast) throw PyError{};
      for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); ++i) {
        PyObject* o = PySequence_Fast_GET_ITEM(fast, i);
        if (is_tensor(o) || is_pair(o)) {
          inputs.push_back(unwrap(o));
          continue;
        }
        const std::string came = Py_TYPE(o)->tp_name;
        Py_DECREF(fast);
        fail(ErrorKind::Runtime, str("backward: all inputs have to be Tensors, but got ", came));
      }
      const bool empty_list = inputs.empty();
      Py_DECREF(fast);
      CCDL_CHECK(!empty_list, Runtime, "backward: `inputs` argument to backward() cannot be empty");
    }
  }
  const TensorList outputs{a.tensor(0)}, grads{a.tensor_or(1)};
  const bool create = a.boolean(3), keep = a.boolean_or(2).value_or(create);
  {
    Args::Unlocked unlocked(INT64_MAX);
    autograd::backward(outputs, grads, keep, create, inputs);
  }
  Py_RETURN_NONE;
}

// accumulate: gradients are added to .grad of the leaves (or of `inputs` when given); otherwise those of
// `inputs` are returned.
PyObject* row_run_backward(const Args& a) {
  TensorList r;
  {
    Args::Unlocked unlocked(INT64_MAX);
    if (a.boolean(6))
      autograd::backward(a.tensors(0), a.tensors(1), a.boolean(2), a.boolean(3), a.tensors(4));
    else
      r = autograd::grad(a.tensors(0), a.tensors(4), a.tensors(1), a.boolean(2), a.boolean(3), a.boolean(5));
  }
  return wrap(r);
}

autograd::Edge edge_of(PyObject* o, const char* what, bool retain) {
  if (is_tensor(o)) {
    const Tensor x = unwrap(o);
    CCDL_CHECK(autograd::requires_grad(x), Autograd, what, ": a tensor does not require grad");
    if (retain) autograd::retain_grad(x);
    return autograd::gradient_edge(x);
  }
  PyObject* pair = PyTuple_Check(o) && PyTuple_GET_SIZE(o) >= 2 ? PyTuple_GET_ITEM(o, 0) : nullptr;
  Node* node = pair ? node_of(pair) : nullptr;
  CCDL_CHECK(node, Type, what, ": must be Tensors or GradientEdges, got ", Py_TYPE(o)->tp_name);
  const Py_ssize_t number = PyNumber_AsSsize_t(PyTuple_GET_ITEM(o, 1), PyExc_OverflowError);
  if (number == -1 && PyErr_Occurred()) throw PyError{};
  CCDL_CHECK(number >= 0 && number < INT32_MAX, Runtime, what, ": a GradientEdge has the output number ",
             number);
  return {Ref<Node>(node), static_cast<int>(number)};
}
std::vector<autograd::Edge> edges_of(PyObject* list, const char* what, bool retain = false) {
  CCDL_CHECK(PyTuple_Check(list), Type, what, ": must be a tuple");
  std::vector<autograd::Edge> edges;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); ++i)
    edges.push_back(edge_of(PyTuple_GET_ITEM(list, i), what, retain));
  return edges;
}

// As row_run_backward, where outputs or inputs may be edges.
PyObject* row_run_between(const Args& a) {
  const auto outputs = edges_of(a.object(0), "outputs"),
             inputs = edges_of(a.object(4), "inputs", a.boolean(6));
  TensorList r;
  {
    Args::Unlocked unlocked(INT64_MAX);
    r = autograd::run_between(outputs, a.tensors(1), a.boolean(2), a.boolean(3), inputs, a.boolean(5),
                              a.boolean(6));
  }
  return wrap(r);
}

// Whether the graph of `outputs` leads to a leaf that is none of `inputs`.
PyObject* row_reaches_others(const Args& a) {
  const TensorList &outputs = a.tensors(0), &inputs = a.tensors(1);
  const auto is_input = [&inputs](const Tensor& leaf) {
    return std::any_of(inputs.begin(), inputs.end(), [&leaf](const Tensor& x) { return x.same(leaf); });
  };
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> open;
  const auto visit = [&](const Ref<Node>& node) {
    if (node && seen.insert(node.get()).second) open.push_back(node.get());
  };
  for (const Tensor& y : outputs) {
    if (!y.defined() || !autograd::requires_grad(y)) continue;
    if (autograd::is_leaf(y) && !is_input(y)) return wrap(true);
    visit(autograd::grad_fn(y));
  }
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    if (node->is_accumulator() && !is_input(static_cast<const autograd::AccumulateGrad*>(node)->variable()))
      return wrap(true);
    for (const autograd::Edge& edge : node->next()) visit(edge.node);
  }
  return wrap(false);
}

PyObject* row_register_hook(const Args& a) {
  check_callable("register_hook", a.object(1));
  const Tensor x = a.tensor(0);
  const int64_t id = autograd::add_tensor_hook(x, PyTensorHook{std::make_shared<Held>(a.object(1))});
  if (autograd::is_leaf(x)) {
    // The handle must not keep a leaf alive: it holds the weak cell of the leaf.
    autograd::Meta* m = autograd::meta(x);
    if (!m->weak) m->weak = std::make_shared<TensorImpl*>(x.impl());
    return make_handle(id, [weak = m->weak, id] {
      if (*weak) static_cast<autograd::Meta*>((*weak)->autograd.get())->leaf_hooks.remove(id);
    });
  }
  const Ref<Node> fn = autograd::grad_fn(x);
  return make_handle(id, [fn, id] {
    for (auto& list : fn->hooks().tensor) list.remove(id);
  });
}

PyObject* row_post_accumulate(const Args& a) {
  check_callable("register_post_accumulate_grad_hook", a.object(1));
  const Tensor& x = a.tensor(0);
  CCDL_CHECK(autograd::is_leaf(x) && autograd::requires_grad(x), Autograd,
             "register_post_accumulate_grad_hook: post accumulate grad hooks cannot be registered on "
             "non-leaf tensors");
  autograd::Meta* m = autograd::meta(x);
  const int64_t id = m->post_accumulate_hooks.add(PyVariableHook{std::make_shared<Held>(a.object(1))});
  if (!m->weak) m->weak = std::make_shared<TensorImpl*>(x.impl());
  return make_handle(id, [weak = m->weak, id] {
    if (*weak) static_cast<autograd::Meta*>((*weak)->autograd.get())->post_accumulate_hooks.remove(id);
  });
}

const Row kRows[] = {
    {"_set_grad_enabled(bool mode) -> bool",
     [](const Args& a) {
       const bool old = autograd::grad_enabled();
       autograd::set_grad_enabled(a.boolean(0));
       return wrap(old);
     }},
    {"is_grad_enabled() -> bool", [](const Args&) { return wrap(autograd::grad_enabled()); }},
    {"_set_inference_mode(bool mode) -> bool",
     [](const Args& a) {
       const bool old = autograd::inference_mode_enabled();
       autograd::set_inference_mode(a.boolean(0));
       return wrap(old);
     }},
    {"is_inference_mode_enabled() -> bool",
     [](const Args&) { return wrap(autograd::inference_mode_enabled()); }},
    {"is_inference(Tensor input) -> bool", [](const Args& a) { return wrap(a.tensor(0).impl()->inference); },
     kBoth},
    {"_run_backward(Tensor[] tensors, Tensor?[] grad_tensors, bool keep_graph, bool create_graph, Tensor[]? "
     "inputs, bool allow_unused, bool accumulate) -> tuple",
     row_run_backward},
    {"_run_between(object outputs, Tensor?[] grad_tensors, bool keep_graph, bool create_graph, object "
     "inputs, "
     "bool allow_unused, bool accumulate) -> tuple",
     row_run_between},
    {"_record_function(object ctx, str name, Tensor?[] inputs, Tensor?[] outputs, Tensor[] dirty, Tensor[] "
     "constant, Tensor?[] saved, bool materialize) -> tuple",
     row_record_function},
    {"backward(Tensor self, Tensor? gradient=None, bool? retain_graph=None, bool create_graph=False, object "
     "inputs=None) -> None",
     row_backward},
    {"_reaches_others(Tensor[] outputs, Tensor[] inputs) -> bool", row_reaches_others},
    {"register_hook(Tensor self, object hook) -> object", row_register_hook},
    {"register_post_accumulate_grad_hook(Tensor self, object hook) -> object", row_post_accumulate},
    {"retain_grad(Tensor self) -> None",
     [](const Args& a) {
       autograd::retain_grad(a.tensor(0));
       return Py_NewRef(Py_None);
     }},
    {"requires_grad_(Tensor self, bool requires_grad=True) -> Tensor",
     [](const Args& a) {
       autograd::set_requires_grad(a.tensor(0), a.boolean(1));
       return wrap(a.tensor(0));
     }},
    {"detach(Tensor input) -> Tensor", [](const Args& a) { return wrap(autograd::detach(a.tensor(0))); },
     kBoth},
    {"detach_(Tensor self) -> Tensor",
     [](const Args& a) {
       const Tensor& x = a.tensor(0);
       CCDL_CHECK(!autograd::is_view(x), Autograd,
                  "detach_: Can't detach views in-place. Use detach() instead.");
       if (autograd::Meta* m = autograd::meta_or_null(x)) {
         m->grad_fn.reset();
         m->output_nr = 0;
         m->requires_grad = false;
       }
       return wrap(x);
     }},
    {"_push_saved_hooks(object pack, object unpack) -> None",
     [](const Args& a) {
       for (int i = 0; i < 2; ++i) check_callable("saved_tensors_hooks", a.object(i));
       autograd::push_saved_hooks(
           PyPack{std::make_shared<Held>(a.object(0)), std::make_shared<Held>(a.object(1))});
       return Py_NewRef(Py_None);
     }},
    {"_set_before_write(object watcher) -> None",
     [](const Args& a) {
       if (a.object(0) == Py_None) {
         autograd::set_before_write({});
       } else {
         check_callable("_set_before_write", a.object(0));
         autograd::set_before_write(PyVariableHook{std::make_shared<Held>(a.object(0))});
       }
       return Py_NewRef(Py_None);
     }},
    {"_pop_saved_hooks() -> None",
     [](const Args&) {
       autograd::pop_saved_hooks();
       return Py_NewRef(Py_None);
     }},
    {"_saved_hooks_depth() -> int",
     [](const Args&) { return wrap(static_cast<int64_t>(autograd::saved_hooks_depth())); }},
    {"_set_anomaly(bool enabled, bool check_nan) -> None",
     [](const Args& a) {
       autograd::anomaly().enabled = a.boolean(0);
       autograd::anomaly().check_nan = a.boolean(0) && a.boolean(1);
       return Py_NewRef(Py_None);
     }},
    {"is_anomaly_enabled() -> bool", [](const Args&) { return wrap(autograd::anomaly().enabled.load()); }},
    {"is_anomaly_check_nan_enabled() -> bool",
     [](const Args&) { return wrap(autograd::anomaly().check_nan.load()); }},
    {"_queue_callback(object callback) -> None",
     [](const Args& a) {
       check_callable("queue_callback", a.object(0));
       autograd::queue_callback(PyCallback{std::make_shared<Held>(a.object(0))});
       return Py_NewRef(Py_None);
     }},
    {"_current_graph_task() -> int", [](const Args&) { return wrap(autograd::current_graph_task()); }},
    {"_will_execute(object node) -> bool",
     [](const Args& a) {
       Node* node = node_of(a.object(0));
       CCDL_CHECK(node, Type, "_will_execute: node must be a grad_fn, got ", Py_TYPE(a.object(0))->tp_name);
       return wrap(autograd::will_execute(node));
     }},
    {"_is_view(Tensor self) -> bool", [](const Args& a) { return wrap(autograd::is_view(a.tensor(0))); }},
    {"_bump_version(Tensor self) -> None",
     [](const Args& a) {
       a.tensor(0).bump_version();
       return Py_NewRef(Py_None);
     }},
};
}  // namespace

// Python objects that only this tensor keeps alive through its hooks or its own Python-written grad_fn.
int traverse_autograd(const Tensor& x, visitproc visit, void* arg) {
  autograd::Meta* m = autograd::meta_or_null(x);
  if (!m) return 0;
  for (const auto& [id, hook] : m->leaf_hooks.items)
    if (const auto* h = hook.target<PyTensorHook>(); h && h->f.use_count() == 1) Py_VISIT(h->f->object);
  if (m->grad_fn && m->grad_fn->use_count() == 1) {
    if (auto* p = dynamic_cast<PyNode*>(m->grad_fn.get())) Py_VISIT(p->ctx.object);
    if (auto* hooks = m->grad_fn->hooks_or_null())
      for (const auto& list : hooks->tensor)
        for (const auto& [id, hook] : list.items)
          if (const auto* h = hook.target<PyTensorHook>(); h && h->f.use_count() == 1) Py_VISIT(h->f->object);
  }
  return 0;
}

void clear_autograd(const Tensor& x) {
  autograd::Meta* m = autograd::meta_or_null(x);
  if (!m) return;
  const auto hooks = m->leaf_hooks.take();
  Ref<Node> fn = std::move(m->grad_fn);
}
bool init_autograd(PyObject* module) {
  PyType_Slot handle_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
                                {Py_tp_methods, kHandleMethods},
                                {Py_tp_getset, kHandleGetSet},
                                {0, nullptr}};
  PyType_Spec handle_spec = {"ccdl.utils.hooks.RemovableHandle", sizeof(HandleObject), 0, Py_TPFLAGS_DEFAULT,
                             handle_slots};
  HandleType = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&handle_spec));
  if (!HandleType || !init_autograd_nodes(module)) return false;
  PyModule_AddObject(module, "_RemovableHandle", Py_NewRef(reinterpret_cast<PyObject*>(HandleType)));
  add_rows(module, kRows);
  return true;
}

}  // namespace ccdl::python
