// Dispatch to classes of arguments: subclasses of Tensor, and classes that are no tensor and have
// __torch_function__.
#include "subclass.h"

#include <array>
#include <cstring>

#include "signature.h"

namespace ccdl::python {

PyTypeObject* PairType;

namespace {

thread_local bool t_off = false;
thread_local PyObject* t_random = nullptr;  // an own reference
PyObject* g_no_batch;                       // raised where a batched value cannot go
std::array<PyTypeObject*, 4> g_plain{};     // Parameter and its like: instances are as good as tensors
PyObject* g_disabled;  // what a class has as __torch_function__ to be treated as a tensor

thread_local std::vector<PyObject*> t_modes;  // own references, the last entered at the end

struct Override {
  PyTypeObject* type;
  PyObject* handler;
};
struct Overrides {
  std::vector<Override> list;
  ~Overrides() {
    for (const Override& o : list) Py_DECREF(o.handler);
  }
  // Each class once, a subclass before its bases. Takes the reference.
  void add(PyTypeObject* type, PyObject* handler) {
    auto place = type == BatchedType ? list.begin() : list.end();
    for (auto it = list.begin(); it != list.end(); ++it) {
      if (it->type == type) {
        Py_DECREF(handler);
        return;
      }
      if (place == list.end() && PyType_IsSubtype(type, it->type)) place = it;
    }
    list.insert(place, {type, handler});
  }
};

// The classes of an argument, or of the entries of a list: one level, for a list may hold itself.
void find_overrides(PyObject* o, Overrides* found, bool entry) {
  if (PyTuple_CheckExact(o) || PyList_CheckExact(o)) {
    for (Py_ssize_t i = 0; !entry && i < PySequence_Fast_GET_SIZE(o); ++i)
      find_overrides(PySequence_Fast_GET_ITEM(o, i), found, true);
    return;
  }
  if (PyLong_Check(o) || PyFloat_Check(o) || o == Py_None || (is_tensor(o) && !is_custom(o))) return;
  PyObject* handler = nullptr;
  if (const bool dtype = is_complex_dtype(o); dtype || is_complex_number(o)) {  // tensors made in Python
    PyObject* module = PyImport_ImportModule("ccdl._complex");
    handler =
        module ? PyObject_GetAttrString(module, dtype ? "of_complex_dtype" : "of_complex_number") : nullptr;
    Py_XDECREF(module);
    if (!handler) throw PyError{};
  } else {
    handler = PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(o)), "__torch_function__");
    if (!handler) PyErr_Clear();
  }
  if (handler) found->add(Py_TYPE(o), handler);
}

struct SwitchObject {
  PyObject_HEAD bool before;
};
PyObject* switch_enter(PyObject* o, PyObject*) {
  reinterpret_cast<SwitchObject*>(o)->before = std::exchange(t_off, true);
  return Py_NewRef(o);
}
PyObject* switch_exit(PyObject* o, PyObject*) {
  t_off = reinterpret_cast<SwitchObject*>(o)->before;
  Py_RETURN_NONE;
}
PyMethodDef kSwitchMethods[] = {{"__enter__", switch_enter, METH_NOARGS, nullptr},
                                {"__exit__", switch_exit, METH_VARARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};

// _disabled_torch_function_impl(func, types, args, kwargs): the call as if there were no class.
PyObject* disabled_function(PyObject*, PyObject* args) {
  PyObject *func, *types, *positional = nullptr, *keywords = nullptr;
  if (!PyArg_ParseTuple(args, "OO|OO", &func, &types, &positional, &keywords)) return nullptr;
  const bool before = std::exchange(t_off, true);
  PyObject* empty = PyTuple_New(0);
  PyObject* result = PyObject_Call(func, positional && PyTuple_Check(positional) ? positional : empty,
                                   keywords && PyDict_Check(keywords) ? keywords : nullptr);
  Py_XDECREF(empty);
  t_off = before;
  return result;
}
PyMethodDef kModuleMethods[] = {
    {"_disabled_torch_function_impl", disabled_function, METH_VARARGS,
     "As a class's __torch_function__: its instances are treated as plain tensors."},
    {nullptr, nullptr, 0, nullptr}};

bool holds_pair(PyObject* o, int depth);

const Row kRows[] = {
    {"_plain_tensor_classes(object classes) -> None",
     [](const Args& a) {
       const Py_ssize_t n = PyTuple_Check(a.object(0)) ? PyTuple_GET_SIZE(a.object(0)) : 0;
       for (size_t i = 0; i < g_plain.size() && static_cast<Py_ssize_t>(i) < n; ++i)
         g_plain[i] = reinterpret_cast<PyTypeObject*>(
             Py_NewRef(PyTuple_GET_ITEM(a.object(0), static_cast<Py_ssize_t>(i))));
       return Py_NewRef(Py_None);
     }},
    {"_set_batched_class(object cls, object refusal) -> None",
     [](const Args& a) {
       BatchedType = reinterpret_cast<PyTypeObject*>(Py_NewRef(a.object(0)));
       g_no_batch = Py_NewRef(a.object(1));
       return Py_NewRef(Py_None);
     }},
    {"_complex_among(object args, object kwargs) -> bool",
     [](const Args& a) { return wrap(holds_pair(a.object(0), 4) || holds_pair(a.object(1), 4)); }},
    {"_batched_among(object args) -> bool", [](const Args& a) { return wrap(holds_batched(a.object(0))); }},
    {"_set_random_handler(object handler) -> object",
     [](const Args& a) {
       PyObject* handler = a.object(0) == Py_None ? nullptr : Py_NewRef(a.object(0));
       PyObject* before = std::exchange(t_random, handler);
       return before ? before : Py_NewRef(Py_None);
     }},
    {"_pair_class(object cls) -> None",
     [](const Args& a) {
       PyObject* cls = a.object(0);
       CCDL_CHECK(PyType_Check(cls) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), TensorType),
                  Type, "_pair_class: cls must be a subclass of Tensor");
       PairType = reinterpret_cast<PyTypeObject*>(Py_NewRef(cls));
       return Py_NewRef(Py_None);
     }},
    {"_push_function_mode(object mode) -> None",
     [](const Args& a) {
       t_modes.push_back(Py_NewRef(a.object(0)));
       ++g_modes;
       return Py_NewRef(Py_None);
     }},
    {"_pop_function_mode() -> object",
     [](const Args&) {
       CCDL_CHECK(!t_modes.empty(), Runtime, "_pop_function_mode: no mode is entered");
       PyObject* mode = t_modes.back();
       t_modes.pop_back();
       --g_modes;
       return mode;
     }},
    {"_function_modes() -> object",
     [](const Args&) {
       PyObject* list = PyList_New(0);
       for (PyObject* mode : t_modes)
         if (!list || PyList_Append(list, mode) < 0) throw PyError{};
       return list;
     }},
    {"_has_say(object tensor) -> bool",
     [](const Args& a) { return wrap(is_tensor(a.object(0)) && is_custom(a.object(0))); }},
};

// Whether complex tensors are among the arguments, also inside lists.
bool holds_pair(PyObject* o, int depth) {
  if (is_pair(o)) return true;
  if (PyDict_Check(o)) {
    PyObject *key, *value;
    for (Py_ssize_t place = 0; PyDict_Next(o, &place, &key, &value);)
      if (holds_pair(value, depth)) return true;
  } else if (depth && (PyTuple_Check(o) || PyList_Check(o))) {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
      if (holds_pair(PySequence_Fast_GET_ITEM(o, i), depth - 1)) return true;
  }
  return false;
}

bool is_number(PyObject* o) {
  return PyFloat_Check(o) || PyLong_Check(o) || PyIndex_Check(o) ||
         (Py_TYPE(o)->tp_as_number && Py_TYPE(o)->tp_as_number->nb_float && !PySequence_Check(o));
}

struct Names {
  const char *op, *method, *reflected;
};
constexpr Names kNames[] = {{"add", "add", "__radd__"},
                            {"sub", "sub", "__rsub__"},
                            {"mul", "mul", "__rmul__"},
                            {"div", "div", "__rtruediv__"},
                            {"floordiv", "floor_divide", "__rfloordiv__"},
                            {"mod", "remainder", "__rmod__"},
                            {"and", "bitwise_and", "__rand__"},
                            {"or", "bitwise_or", "__ror__"},
                            {"xor", "bitwise_xor", "__rxor__"},
                            {"shl", "bitwise_left_shift", "__rlshift__"},
                            {"shr", "bitwise_right_shift", "__rrshift__"},
                            {"pow", "pow", "__rpow__"},
                            {"matmul", "matmul", "__rmatmul__"}};

PyObject* positional_of(PyObject* const* args, Py_ssize_t n) {
  PyObject* result = PyTuple_New(n);
  for (Py_ssize_t i = 0; result && i < n; ++i) PyTuple_SET_ITEM(result, i, Py_NewRef(args[i]));
  return result;
}
PyObject* keywords_of(PyObject* const* args, PyObject* names) {
  PyObject* result = PyDict_New();
  for (Py_ssize_t i = 0; result && names && i < PyTuple_GET_SIZE(names); ++i)
    if (PyDict_SetItem(result, PyTuple_GET_ITEM(names, i), args[i]) < 0) throw PyError{};
  return result;
}

// The call as the mode entered last sees it; while it runs, the mode itself is left. Null without an error:
// no mode is entered, or it answers NotImplemented.
PyObject* call_mode(PyObject* callable, PyObject* types, PyObject* positional, PyObject* keywords) {
  if (!in_mode()) return nullptr;
  struct Left {
    PyObject* mode = t_modes.back();
    Left() { t_modes.pop_back(), --g_modes; }
    ~Left() { t_modes.push_back(mode), ++g_modes; }
  } left;
  const Owned handler(PyObject_GetAttrString(left.mode, "__torch_function__"));
  PyObject* result = PyObject_CallFunctionObjArgs(handler.o, callable, types, positional, keywords, nullptr);
  if (result != Py_NotImplemented) return result;
  Py_DECREF(result);
  return nullptr;
}

PyObject* call_attribute(const char* name, PyObject* const* args, Py_ssize_t n) {
  try {
    const Owned callable(PyObject_GetAttrString(reinterpret_cast<PyObject*>(TensorType), name));
    PyObject* result = call_override(callable.o, args, n, nullptr);
    if (!result && !PyErr_Occurred())
      PyErr_Format(PyExc_TypeError,
                   "no implementation found for '%s' on types that implement __torch_function__: [%R]", name,
                   Py_TYPE(args[0]));
    return result;
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

}  // namespace

PyTypeObject* BatchedType = nullptr;

bool holds_batched(PyObject* o) {
  if (!BatchedType) return false;
  if (Py_TYPE(o) == BatchedType) return true;
  if (PyTuple_Check(o) || PyList_Check(o))
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
      if (Py_TYPE(PySequence_Fast_GET_ITEM(o, i)) == BatchedType) return true;
  return false;
}

bool refuse_batched(PyObject* o) {
  if (!holds_batched(o)) return false;
  PyErr_SetString(g_no_batch, "a value that differs between samples is used where one value is needed");
  return true;
}

PyObject* random_handler() { return t_random; }

std::atomic<int> g_modes{0};
bool mode_here() { return !t_modes.empty(); }

bool has_say(PyTypeObject* type) {
  if (type == BatchedType) return true;
  if (t_off) return false;
  for (const PyTypeObject* plain : g_plain)
    if (type == plain) return false;
  PyObject* handler = PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__torch_function__");
  if (!handler) PyErr_Clear();
  Py_XDECREF(handler);
  return handler && handler != g_disabled;
}

bool custom_pair(PyObject* a, PyObject* b) {
  const bool left = Py_TYPE(a) != TensorType && is_tensor(a),
             right = Py_TYPE(b) != TensorType && is_tensor(b);
  if (!left && !right) return false;
  if (!(left && is_custom(a)) && !(right && is_custom(b))) return false;
  return (is_tensor(a) || is_number(a)) && (is_tensor(b) || is_number(b));
}

PyObject* custom_binary(const char* op, PyObject* a, PyObject* b) {
  PyObject *in_order[] = {a, b}, *reflected[] = {b, a};
  for (const Names& n : kNames)
    if (std::strcmp(n.op, op) == 0)
      return is_tensor(a) ? call_attribute(n.method, in_order, 2) : call_attribute(n.reflected, reflected, 2);
  return call_attribute(op, in_order, 2);  // comparisons, which have no reflected form
}

PyObject* custom_call(const char* attribute, PyObject* self, PyObject* other) {
  PyObject* args[] = {self, other};
  return call_attribute(attribute, args, other ? 2 : 1);
}

PyObject* custom_inplace(const char* op, PyObject* a, PyObject* b) {
  std::string name = op;
  for (const Names& n : kNames)
    if (name == n.op) name = n.method;
  return custom_call((name + "_").c_str(), a, b);
}

int custom_assign(PyObject* self, PyObject* key, PyObject* value) {
  PyObject* args[] = {self, key, value};
  PyObject* result = call_attribute("__setitem__", args, 3);
  Py_XDECREF(result);
  return result ? 0 : -1;
}

PyObject* with_complex(PyObject* a, PyObject* b, PyObject* (*number)(PyObject*, PyObject*)) {
  PyObject* module = PyImport_ImportModule("ccdl._complex");
  PyObject* z = module ? PyObject_CallMethod(module, "as_complex", "O", is_tensor(a) ? a : b) : nullptr;
  Py_XDECREF(module);
  if (!z) return nullptr;
  PyObject* result = is_tensor(a) ? number(z, b) : number(a, z);
  Py_DECREF(z);
  return result;
}

PyObject* in_class_of(PyObject* self, PyObject* view) {
  if (!view || !is_tensor(view) || Py_TYPE(view) != TensorType || !is_custom(self)) return view;
  PyObject* result = PyObject_CallMethod(view, "as_subclass", "O", Py_TYPE(self));
  Py_DECREF(view);
  return result;
}

PyObject* call_override(PyObject* callable, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  Overrides found;
  for (Py_ssize_t i = 0; i < nargs + named; ++i) find_overrides(args[i], &found, false);
  if (found.list.empty() && !in_mode()) return nullptr;
  const auto count = static_cast<Py_ssize_t>(found.list.size());
  const Owned types(PyTuple_New(count));
  for (Py_ssize_t i = 0; i < count; ++i)
    PyTuple_SET_ITEM(types.o, i,
                     Py_NewRef(reinterpret_cast<PyObject*>(found.list[static_cast<size_t>(i)].type)));
  const Owned positional(positional_of(args, nargs)), keywords(keywords_of(args + nargs, kwnames));
  if (PyObject* result = call_mode(callable, types.o, positional.o, keywords.o); result || PyErr_Occurred())
    return result;
  for (const Override& o : found.list) {
    PyObject* result =
        PyObject_CallFunctionObjArgs(o.handler, callable, types.o, positional.o, keywords.o, nullptr);
    if (result != Py_NotImplemented) return result;
    Py_DECREF(result);
  }
  return nullptr;
}

PyObject* of_complex_data(PyObject* callable, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  try {
    const Owned positional(positional_of(args, nargs)), keywords(keywords_of(args + nargs, kwnames));
    PyObject* module = PyImport_ImportModule("ccdl._complex");
    PyObject* result =
        module ? PyObject_CallMethod(module, "of_complex_data", "OOO", callable, positional.o, keywords.o)
               : nullptr;
    Py_XDECREF(module);
    return result;
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

bool init_subclass(PyObject* module) {
  static PyType_Slot slots[] = {{Py_tp_methods, kSwitchMethods}, {0, nullptr}};
  static PyType_Spec spec = {"ccdl._C.DisableTorchFunctionSubclass", sizeof(SwitchObject), 0,
                             Py_TPFLAGS_DEFAULT, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type || PyModule_AddFunctions(module, kModuleMethods) < 0) return false;
  PyModule_AddObject(module, "DisableTorchFunctionSubclass", type);
  g_disabled = PyObject_GetAttrString(module, "_disabled_torch_function_impl");
  add_rows(module, kRows);
  return g_disabled != nullptr;
}

}  // namespace ccdl::python
