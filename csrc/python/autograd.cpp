// The graph seen from Python: running it, hooks, grad_fn objects, and nodes whose backward is written in
// Python.

#include <ccdl/autograd/accumulate.h>
#include <ccdl/autograd/saved_hooks.h>

#include "held.h"
#include "py_tensor.h"
#include "signature.h"

namespace ccdl::python {

using autograd::Node;
using autograd::SavedTensor;

namespace {

// ---- hooks ----

Tensor tensor_result(PyObject* r, const char* who) {
  if (!r) throw PyError{};
  Tensor out;
  if (is_tensor(r)) out = unwrap(r);
  const bool bad = r != Py_None && !is_tensor(r);
  Py_DECREF(r);
  CCDL_CHECK(!bad, Type, who, ": a hook must return None or a Tensor");
  return out;
}

struct PyTensorHook {
  HeldRef f;
  Tensor operator()(const Tensor& g) const {
    Gil gil;
    PyObject* arg = wrap(g);
    PyObject* r = PyObject_CallOneArg(f->object, arg);
    Py_DECREF(arg);
    return tensor_result(r, "register_hook");
  }
};

struct PyVariableHook {  // after the gradient was accumulated, before an op writes it
  HeldRef f;
  void operator()(const Tensor& variable) const {
    Gil gil;
    PyObject* arg = wrap(variable);
    PyObject* r = PyObject_CallOneArg(f->object, arg);
    Py_DECREF(arg);
    if (!r) throw PyError{};
    const bool none = r == Py_None;
    Py_DECREF(r);
    CCDL_CHECK(none, Runtime,
               "register_post_accumulate_grad_hook: Tensor post accumulate grad hooks should return None.");
  }
};

void replace_all(TensorList* list, PyObject* r, const char* who) {
  if (!r) throw PyError{};
  if (r != Py_None) {
    PyObject* t = PyTuple_Check(r) ? Py_NewRef(r) : PyTuple_Pack(1, r);
    const Py_ssize_t given = PyTuple_GET_SIZE(t);
    bool ok = given == static_cast<Py_ssize_t>(list->size());
    for (Py_ssize_t i = 0; ok && i < PyTuple_GET_SIZE(t); ++i) {
      PyObject* o = PyTuple_GET_ITEM(t, i);
      ok = o == Py_None || is_tensor(o);
      if (ok) (*list)[i] = o == Py_None ? Tensor() : unwrap(o);
    }
    Py_DECREF(t);
    Py_DECREF(r);
    CCDL_CHECK(ok, Runtime, who, ": the hook must return None or one Tensor (or None) per gradient: got ",
               given, ", but expected ", list->size());
    return;
  }
  Py_DECREF(r);
}

struct PyNodePreHook {
  HeldRef f;
  void operator()(TensorList& grads) const {
    Gil gil;
    PyObject* arg = wrap(grads);
    PyObject* r = PyObject_CallOneArg(f->object, arg);
    Py_DECREF(arg);
    replace_all(&grads, r, "register_prehook");
  }
};

struct PyNodePostHook {
  HeldRef f;
  void operator()(TensorList& grad_inputs, const TensorList& grads) const {
    Gil gil;
    PyObject *a = wrap(grad_inputs), *b = wrap(grads);
    PyObject* r = PyObject_CallFunctionObjArgs(f->object, a, b, nullptr);
    Py_DECREF(a);
    Py_DECREF(b);
    replace_all(&grad_inputs, r, "register_hook");
  }
};

// saved_tensors_hooks: the object pack(x) returned, and unpack to make a tensor of it again.
struct PyUnpack {
  HeldRef f, kept;
  Tensor operator()() const {
    Gil gil;
    PyObject* r = PyObject_CallOneArg(f->object, kept->object);
    if (!r) throw PyError{};
    Tensor out = is_tensor(r) ? unwrap(r) : Tensor();
    const std::string came = Py_TYPE(r)->tp_name;
    Py_DECREF(r);
    CCDL_CHECK(out.defined(), Type,
               "saved_tensors_hooks: Output of saved tensor unpack_hook expected to be a Tensor but got "
               "result of type ",
               came);
    return out;
  }
};

struct PyPack {
  HeldRef pack, unpack;
  autograd::Unpack operator()(const Tensor& x) const {
    Gil gil;
    PyObject* arg = wrap(x);
    PyObject* r = PyObject_CallOneArg(pack->object, arg);
    Py_DECREF(arg);
    if (!r) throw PyError{};
    auto kept = std::make_shared<Held>(r);
    Py_DECREF(r);
    return PyUnpack{unpack, std::move(kept)};
  }
};

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

// ---- nodes written in Python ----

// backward of an autograd.Function: calls ctx._run_backward(saved tensors, gradients)
struct PyNode : Node {
  PyNode(PyObject* c, std::string n) : ctx(c), label(std::move(n)) {}
  const char* name() const override { return label.c_str(); }
  Held ctx;
  std::string label;
  std::vector<SavedTensor> saved;
  bool materialize = true;
  bool materialize_grads() const override { return materialize; }

  TensorList saved_tensors() {
    TensorList list;
    for (const auto& s : saved) list.push_back(s.get(this));
    return list;
  }
  TensorList apply(const TensorList& grads) override {
    const TensorList kept = saved_tensors();
    Gil gil;
    PyObject *a = wrap(kept), *b = wrap(grads),
             *needs_list = PyTuple_New(static_cast<Py_ssize_t>(next_.size()));
    for (size_t i = 0; i < next_.size(); ++i)
      PyTuple_SET_ITEM(needs_list, static_cast<Py_ssize_t>(i), PyBool_FromLong(needs(i)));
    PyObject* r = PyObject_CallMethod(ctx.object, "_run_backward", "OOO", a, b, needs_list);
    Py_XDECREF(a);
    Py_XDECREF(b);
    Py_XDECREF(needs_list);
    if (!r) throw PyError{};
    TensorList out;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(r); ++i) {
      PyObject* o = PyTuple_GET_ITEM(r, i);
      out.push_back(is_tensor(o) ? unwrap(o) : Tensor());
    }
    Py_DECREF(r);
    return out;
  }
  void release_saved() override {
    for (auto& s : saved) s.reset();
  }
};

bool contains(const TensorList& list, const Tensor& x) {
  for (const Tensor& t : list)
    if (t.same(x)) return true;
  return false;
}

// _record_function(ctx, name, inputs, outputs, dirty, non_differentiable, saved, materialize) -> outputs to
// hand out.
PyObject* row_record_function(const Args& a) {
  const TensorList &inputs = a.tensors(2), &outputs = a.tensors(3), &dirty = a.tensors(4),
                   &constant = a.tensors(5), &saved = a.tensors(6);
  auto node = make_ref<PyNode>(a.object(0), a.string(1));
  node->materialize = a.boolean(7);
  TensorList results;
  for (const Tensor& y : outputs) {
    // An input handed back untouched becomes a view, so that input and output keep histories of their own.
    const bool same_input = y.defined() && contains(inputs, y) && !contains(dirty, y);
    if (same_input) {
      autograd::NoGradGuard no_grad;
      results.push_back(autograd::detach(y));
    } else {
      results.push_back(y);
    }
  }
  for (const Tensor& s : saved) {
    int position = -1;
    for (size_t i = 0; i < outputs.size(); ++i)
      if (s.defined() && outputs[i].defined() && outputs[i].same(s) && !contains(inputs, s))
        position = static_cast<int>(i);
    node->saved.push_back(position >= 0 ? SavedTensor(s, node.get(), position) : SavedTensor(s));
  }
  TensorList recorded;
  for (const Tensor& y : results)
    recorded.push_back(y.defined() && !contains(constant, y) && !contains(dirty, y) ? y : Tensor());
  for (const Tensor& y : recorded)
    if (y.defined() && is_floating(y.dtype()) && autograd::requires_grad(y) && !autograd::is_leaf(y))
      fail(ErrorKind::Autograd, str(a.string(1), ": an output already has a history; return fresh tensors"));
  for (const Tensor& d : dirty) autograd::check_inplace(a.string(1).c_str(), d);
  autograd::record(node.get(), inputs, recorded);
  for (const Tensor& y : recorded)
    if (y.defined() && outputs.size() > 1 && autograd::is_view(y))
      autograd::meta(y)->view_kind = autograd::Meta::ViewKind::Multi;
  for (size_t i = 0; i < results.size(); ++i) {
    // A gradient of zeros for the outputs that have none.
    if (results[i].defined() && !node->outputs()[i].is_set)
      node->outputs()[i] = {results[i].sizes(), results[i].dtype(), results[i].device(), true};
    if (!results[i].defined() || !contains(dirty, results[i])) continue;
    node->outputs()[i] = {results[i].sizes(), results[i].dtype(), results[i].device(), true};
    autograd::rebase_history(results[i], autograd::Edge{node, static_cast<int>(i)});
  }
  return wrap(results);
}

// ---- grad_fn objects ----

struct NodeObject {
  PyObject_HEAD Ref<Node> node;
  PyObject* dict;
  PyObject* weakrefs;
};
PyTypeObject* NodeType;

void node_dealloc(PyObject* o) {
  auto* n = reinterpret_cast<NodeObject*>(o);
  PyTypeObject* type = Py_TYPE(o);
  PyObject_GC_UnTrack(o);
  if (n->weakrefs) PyObject_ClearWeakRefs(o);
  Py_CLEAR(n->dict);
  if (n->node) n->node->object = nullptr;
  {
    Ref<Node> last = std::move(n->node);
    n->node.~Ref<Node>();
  }
  type->tp_free(o);
  Py_DECREF(type);
}
int node_traverse(PyObject* o, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(o));
  Py_VISIT(reinterpret_cast<NodeObject*>(o)->dict);
  return 0;
}
PyObject* node_repr(PyObject* o) {
  auto* n = reinterpret_cast<NodeObject*>(o);
  return PyUnicode_FromFormat("<%s object at %p>", n->node->name(), n->node.get());
}
template <class F>
PyObject* node_try(PyObject* o, const F& f) {
  try {
    return f(reinterpret_cast<NodeObject*>(o)->node);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}
PyObject* node_name(PyObject* o, PyObject*) {
  return PyUnicode_FromString(reinterpret_cast<NodeObject*>(o)->node->name());
}
PyObject* node_next(PyObject* o, void*) {
  return node_try(o, [](const Ref<Node>& n) -> PyObject* {
    PyObject* t = PyTuple_New(static_cast<Py_ssize_t>(n->next().size()));
    for (size_t i = 0; t && i < n->next().size(); ++i)
      PyTuple_SET_ITEM(t, static_cast<Py_ssize_t>(i),
                       Py_BuildValue("(Ni)", wrap_node(n->next()[i].node), n->next()[i].output_nr));
    return t;
  });
}
PyObject* node_variable(PyObject* o, void*) {
  return node_try(o, [](const Ref<Node>& n) -> PyObject* {
    if (!n->is_accumulator()) {
      PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute 'variable'", n->name());
      return nullptr;
    }
    return wrap(static_cast<autograd::AccumulateGrad*>(n.get())->variable());
  });
}
PyObject* node_saved(PyObject* o, void*) {
  return node_try(o, [](const Ref<Node>& n) -> PyObject* {
    auto* p = dynamic_cast<PyNode*>(n.get());
    return wrap(p ? p->saved_tensors() : TensorList{});
  });
}
PyObject* node_register_hook(PyObject* o, PyObject* f) {
  return node_try(o, [f](const Ref<Node>& n) -> PyObject* {
    check_callable("register_hook", f);
    const int64_t id = n->hooks().post.add(PyNodePostHook{std::make_shared<Held>(f)});
    return make_handle(id, [n, id] { n->hooks().post.remove(id); });
  });
}
PyObject* node_register_prehook(PyObject* o, PyObject* f) {
  return node_try(o, [f](const Ref<Node>& n) -> PyObject* {
    check_callable("register_prehook", f);
    const int64_t id = n->hooks().pre.add(PyNodePreHook{std::make_shared<Held>(f)});
    return make_handle(id, [n, id] { n->hooks().pre.remove(id); });
  });
}
PyObject* node_call(PyObject* o, PyObject* args, PyObject*) {
  return node_try(o, [args](const Ref<Node>& n) -> PyObject* {
    TensorList grads;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i) {
      PyObject* g = PyTuple_GET_ITEM(args, i);
      if (g != Py_None && !is_tensor(g))
        fail(ErrorKind::Type, "grad_fn: expected gradients as Tensors or None");
      grads.push_back(g == Py_None ? Tensor() : unwrap(g));
    }
    grads.resize(std::max(grads.size(), n->outputs().size()));
    const TensorList out = n->apply(grads);
    return out.size() == 1 ? wrap(out[0]) : wrap(out);
  });
}
PyObject* node_metadata(PyObject* o, void*) {
  auto* n = reinterpret_cast<NodeObject*>(o);
  if (!n->dict) n->dict = PyDict_New();
  return Py_XNewRef(n->dict);
}
PyMethodDef kNodeMethods[] = {
    {"name", node_name, METH_NOARGS, "Name of the backward."},
    {"register_hook", node_register_hook, METH_O, "hook(grad_inputs, grad_outputs) after the node ran."},
    {"register_prehook", node_register_prehook, METH_O, "hook(grad_outputs) before the node runs."},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef kNodeGetSet[] = {
    {"next_functions", node_next, nullptr, "(node, output_nr) per input.", nullptr},
    {"variable", node_variable, nullptr, "The leaf of an AccumulateGrad node.", nullptr},
    {"saved_tensors", node_saved, nullptr, "Tensors an autograd.Function saved.", nullptr},
    {"metadata", node_metadata, nullptr, "A dict of the user's.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

// ---- rows ----

PyObject* row_backward(const Args& a) {
  TensorList inputs;
  if (PyObject* list = a.object(4); list && list != Py_None) {
    if (is_tensor(list)) {
      inputs.push_back(unwrap(list));
    } else {
      PyObject* fast =
          PySequence_Fast(list, "backward(): argument 'inputs' must be a Tensor or a sequence of Tensors");
      if (!fast) throw PyError{};
      for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); ++i) {
        PyObject* o = PySequence_Fast_GET_ITEM(fast, i);
        if (is_tensor(o)) inputs.push_back(unwrap(o));
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
    {"_record_function(object ctx, str name, Tensor?[] inputs, Tensor?[] outputs, Tensor[] dirty, Tensor[] "
     "constant, Tensor?[] saved, bool materialize) -> tuple",
     row_record_function},
    {"backward(Tensor self, Tensor? gradient=None, bool? retain_graph=None, bool create_graph=False, object "
     "inputs=None) -> None",
     row_backward},
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
       CCDL_CHECK(PyObject_TypeCheck(a.object(0), NodeType), Type,
                  "_will_execute: node must be a grad_fn, got ", Py_TYPE(a.object(0))->tp_name);
       return wrap(autograd::will_execute(reinterpret_cast<NodeObject*>(a.object(0))->node.get()));
     }},
    {"_is_view(Tensor self) -> bool", [](const Args& a) { return wrap(autograd::is_view(a.tensor(0))); }},
    {"_bump_version(Tensor self) -> None",
     [](const Args& a) {
       a.tensor(0).bump_version();
       return Py_NewRef(Py_None);
     }},
};

template <class F>
void* fn(F f) {
  return reinterpret_cast<void*>(f);
}

// The subclass of Node whose name is that of the backward: type(y.grad_fn).__name__ is "MulBackward". Types
// live as long as the process; guarded by the GIL.
PyTypeObject* node_type_of(const char* name) {
  static std::unordered_map<std::string, PyTypeObject*> types;
  const auto found = types.find(name);
  if (found != types.end()) return found->second;
  const auto& entry = *types.emplace(str("ccdl.autograd.graph.", name), nullptr).first;
  PyType_Slot slots[] = {
      {Py_tp_dealloc, fn(node_dealloc)}, {Py_tp_traverse, fn(node_traverse)}, {0, nullptr}};
  PyType_Spec spec = {entry.first.c_str(), sizeof(NodeObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                      slots};
  PyObject* bases = PyTuple_Pack(1, NodeType);
  auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpecWithBases(&spec, bases));
  Py_XDECREF(bases);
  if (type) types.emplace(name, type);
  return type;
}

}  // namespace

PyObject* wrap_node(const Ref<Node>& node) {
  if (!node) Py_RETURN_NONE;
  if (node->object) return Py_NewRef(static_cast<PyObject*>(node->object));
  PyTypeObject* type = node_type_of(node->name());
  if (!type) return nullptr;
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) return nullptr;
  new (&reinterpret_cast<NodeObject*>(o)->node) Ref<Node>(node);
  node->object = o;
  return o;
}

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
  PyType_Slot handle_slots[] = {{Py_tp_dealloc, fn(handle_dealloc)},
                                {Py_tp_methods, kHandleMethods},
                                {Py_tp_getset, kHandleGetSet},
                                {0, nullptr}};
  PyType_Spec handle_spec = {"ccdl.utils.hooks.RemovableHandle", sizeof(HandleObject), 0, Py_TPFLAGS_DEFAULT,
                             handle_slots};
  HandleType = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&handle_spec));
  static PyMemberDef node_members[] = {
      {"__dictoffset__", T_PYSSIZET, offsetof(NodeObject, dict), READONLY, nullptr},
      {"__weaklistoffset__", T_PYSSIZET, offsetof(NodeObject, weakrefs), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  PyType_Slot node_slots[] = {{Py_tp_dealloc, fn(node_dealloc)}, {Py_tp_traverse, fn(node_traverse)},
                              {Py_tp_repr, fn(node_repr)},       {Py_tp_call, fn(node_call)},
                              {Py_tp_methods, kNodeMethods},     {Py_tp_getset, kNodeGetSet},
                              {Py_tp_members, node_members},     {0, nullptr}};
  PyType_Spec node_spec = {"ccdl.autograd.graph.Node", sizeof(NodeObject), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, node_slots};
  NodeType = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&node_spec));
  if (!HandleType || !NodeType) return false;
  PyModule_AddObject(module, "_RemovableHandle", Py_NewRef(reinterpret_cast<PyObject*>(HandleType)));
  PyModule_AddObject(module, "_Node", Py_NewRef(reinterpret_cast<PyObject*>(NodeType)));
  add_rows(module, kRows);
  return true;
}

}  // namespace ccdl::python
