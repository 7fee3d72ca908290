// Nodes of the graph seen from Python: autograd.Function's node as it is recorded, and grad_fn objects.

#include "autograd_nodes.h"

#include <ccdl/autograd/accumulate.h>

namespace ccdl::python {

using autograd::Node;
using autograd::SavedTensor;

namespace {

bool contains(const TensorList& list, const Tensor& x) {
  for (const Tensor& t : list)
    if (t.same(x)) return true;
  return false;
}

}  // namespace

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
namespace {

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
// Whether o alone keeps its node, and with it the hooks there, whose closures may lead back to o.
Node* owned_node(PyObject* o) {
  Node* n = reinterpret_cast<NodeObject*>(o)->node.get();
  return n && n->use_count() == 1 ? n : nullptr;
}
template <class Hook, class List>
int visit_hooks(const List& list, visitproc visit, void* arg) {
  for (const auto& [id, hook] : list.items)
    if (const auto* h = hook.template target<Hook>(); h && h->f.use_count() == 1) Py_VISIT(h->f->object);
  return 0;
}
int node_traverse(PyObject* o, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(o));
  Py_VISIT(reinterpret_cast<NodeObject*>(o)->dict);
  Node* n = owned_node(o);
  autograd::NodeHooks* hooks = n ? n->hooks_or_null() : nullptr;
  if (!hooks) return 0;
  for (const auto& list : hooks->tensor)
    if (const int stop = visit_hooks<PyTensorHook>(list, visit, arg)) return stop;
  if (const int stop = visit_hooks<PyNodePreHook>(hooks->pre, visit, arg)) return stop;
  return visit_hooks<PyNodePostHook>(hooks->post, visit, arg);
}
int node_clear(PyObject* o) {
  Py_CLEAR(reinterpret_cast<NodeObject*>(o)->dict);
  Node* n = owned_node(o);
  autograd::NodeHooks* hooks = n ? n->hooks_or_null() : nullptr;
  if (!hooks) return 0;
  const auto pre = hooks->pre.take();
  const auto post = hooks->post.take();
  std::vector<autograd::HookList<autograd::TensorHook>::Items> tensor;
  for (auto& list : hooks->tensor) tensor.push_back(list.take());
  return 0;  // the hooks end here, out of the lists
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
    if (!p) return wrap(TensorList{});
    PyObject* kept = wrap(p->saved_tensors());
    PyObject* placed =
        PyObject_CallMethod(p->ctx.object, "_place", "(O)", kept);  // None where that was saved
    Py_XDECREF(kept);
    return placed;
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
    const size_t takes = std::max<size_t>(n->outputs().size(), 1);
    CCDL_CHECK(grads.size() == takes, Type, n->name(), ": expected ", takes, " arguments, got ", grads.size(),
               " instead: one gradient (or None) per output");
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
  PyType_Slot slots[] = {{Py_tp_dealloc, fn(node_dealloc)},
                         {Py_tp_traverse, fn(node_traverse)},
                         {Py_tp_clear, fn(node_clear)},
                         {0, nullptr}};
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
autograd::Node* node_of(PyObject* o) {
  return PyObject_TypeCheck(o, NodeType) ? reinterpret_cast<NodeObject*>(o)->node.get() : nullptr;
}

bool init_autograd_nodes(PyObject* module) {
  static PyMemberDef node_members[] = {
      {"__dictoffset__", T_PYSSIZET, offsetof(NodeObject, dict), READONLY, nullptr},
      {"__weaklistoffset__", T_PYSSIZET, offsetof(NodeObject, weakrefs), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  PyType_Slot node_slots[] = {
      {Py_tp_dealloc, fn(node_dealloc)}, {Py_tp_traverse, fn(node_traverse)}, {Py_tp_clear, fn(node_clear)},
      {Py_tp_repr, fn(node_repr)},       {Py_tp_call, fn(node_call)},         {Py_tp_methods, kNodeMethods},
      {Py_tp_getset, kNodeGetSet},       {Py_tp_members, node_members},       {0, nullptr}};
  PyType_Spec node_spec = {"ccdl.autograd.graph.Node", sizeof(NodeObject), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, node_slots};
  NodeType = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&node_spec));
  if (!NodeType) return false;
  PyModule_AddObject(module, "_Node", Py_NewRef(reinterpret_cast<PyObject*>(NodeType)));
  return true;
}

}  // namespace ccdl::python
