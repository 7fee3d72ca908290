// The callables: one object per name holding its overloads, called through vectorcall. Two types, because a
// method binds to an instance and a function must not (a class attribute `act = ccdl.relu` stays a plain
// function).
#include <algorithm>
#include <map>
#include <new>

#include "signature.h"
#include "subclass.h"

#include <ccdl/core/dispatch.h>
#include <ccdl/core/op_timer.h>

namespace ccdl::python {

namespace {

struct OpObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  std::vector<Signature*>* overloads;
  PyObject* name;
  bool method;
};

PyTypeObject* FunctionType;
PyTypeObject* MethodType;
// Insertion-ordered by name for stubs and tests.
std::map<std::string, OpObject*>& registry(bool method) {
  static std::map<std::string, OpObject*> functions, methods;
  return method ? methods : functions;
}

PyObject* call_row(const Signature& s, const Args& a) {
  const OpName name(s.name.c_str());  // what errors met later on the device are reported under
  const OpTimer timer(s.name.c_str());
  try {
    return s.row->call(a);
  } catch (const ComplexData&) {
    throw;
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

PyObject* of_classes(const Signature& s, PyObject* callable, PyObject* const* args, Py_ssize_t nargs,
                     PyObject* kwnames) {
  PyObject* result = call_override(callable, args, nargs, kwnames);
  if (!result && !PyErr_Occurred())
    PyErr_Format(PyExc_TypeError,
                 "no implementation found for '%s' on types that implement __torch_function__",
                 s.name.c_str());
  return result;
}

// A call that draws random numbers inside vmap: handler(callable, args, kwargs).
PyObject* of_random(PyObject* callable, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  const Owned positional(PyTuple_New(nargs)), keywords(PyDict_New());
  for (Py_ssize_t i = 0; i < nargs; ++i) PyTuple_SET_ITEM(positional.o, i, Py_NewRef(args[i]));
  for (Py_ssize_t i = 0; i < named; ++i)
    if (PyDict_SetItem(keywords.o, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0) throw PyError{};
  const Owned handler(Py_NewRef(random_handler()));  // the call may set another one
  return PyObject_CallFunctionObjArgs(handler.o, callable, positional.o, keywords.o, nullptr);
}

PyObject* op_call(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  const auto* op = reinterpret_cast<OpObject*>(callable);
  const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  const auto& overloads = *op->overloads;
  try {
    if (in_mode() && overloads[0]->asks_classes)
      return of_classes(*overloads[0], callable, args, nargs, kwnames);
    for (const Signature* s : overloads) {
      Args a(static_cast<int>(s->params.size()));
      if (!s->bind(&a, args, nargs, kwnames, nullptr)) continue;
      if ((a.batched() && s->asks_batched) || (a.custom() && s->asks_classes))
        return of_classes(*s, callable, args, nargs, kwnames);
      if (s->draws && random_handler()) return of_random(callable, args, nargs, kwnames);
      if (s->casts.any() && ops::autocast_active()) s->autocast(&a);
      return call_row(*s, a);
    }
    if (!PyErr_Occurred()) {
      PyObject* result = call_override(callable, args, nargs, kwnames);
      if (result || PyErr_Occurred()) return result;
    }
    std::string why;
    const auto shown = std::count_if(overloads.begin(), overloads.end(),
                                     [](const Signature* s) { return s->row->kind != kOldForm; });
    if (shown == 1) {
      Args a(static_cast<int>(overloads[0]->params.size()));
      overloads[0]->bind(&a, args, nargs, kwnames, &why);
    } else {
      why = overloads[0]->name + "() received an invalid combination of arguments - got " +
            Signature::shown_args(args, nargs, kwnames) + ", but expected one of:";
      for (const Signature* s : overloads)
        if (s->row->kind != kOldForm) why += std::string("\n * ") + s->row->signature;
    }
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, why.c_str());
  } catch (const ComplexData&) {
    return of_complex_data(callable, args, nargs, kwnames);
  } catch (...) {
    raise_current_exception();
  }
  return nullptr;
}

PyObject* op_get(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

PyObject* op_repr(PyObject* self) {
  const auto* op = reinterpret_cast<OpObject*>(self);
  return PyUnicode_FromFormat(
      op->method ? "<method '%U' of 'ccdl.Tensor' objects>" : "<built-in function %U>", op->name);
}

PyObject* op_name(PyObject* self, void*) { return Py_NewRef(reinterpret_cast<OpObject*>(self)->name); }

PyObject* op_doc(PyObject* self, void*) {
  std::string text;
  for (const Signature* s : *reinterpret_cast<OpObject*>(self)->overloads)
    text += std::string(s->row->signature) + "\n";
  return PyUnicode_FromString(text.c_str());
}

// Built by the small Python helper ccdl._signature from (name, keyword-only, has default, default text) rows.
PyObject* op_signature(PyObject* self, void*) {
  const auto* op = reinterpret_cast<OpObject*>(self);
  const Signature* longest = (*op->overloads)[0];
  for (const Signature* s : *op->overloads)
    if (s->params.size() > longest->params.size()) longest = s;
  PyObject* list = PyList_New(0);
  for (const Param& p : longest->params) {
    PyObject* row = Py_BuildValue("(sisi)", p.name.c_str(), static_cast<int>(p.kw_only),
                                  p.default_text.c_str(), static_cast<int>(p.has_default || p.star));
    if (!row || PyList_Append(list, row) < 0) {
      Py_XDECREF(row);
      Py_DECREF(list);
      return nullptr;
    }
    Py_DECREF(row);
  }
  PyObject* helper = PyImport_ImportModule("ccdl._signature");
  PyObject* result = helper ? PyObject_CallMethod(helper, "make", "O", list) : nullptr;
  Py_XDECREF(helper);
  Py_DECREF(list);
  return result;
}

PyObject* op_module(PyObject*, void*) { return PyUnicode_FromString("ccdl"); }

PyObject* op_reduce(PyObject* self, PyObject*) {  // pickled and deep-copied by name
  const auto* op = reinterpret_cast<OpObject*>(self);
  PyObject* helper = PyImport_ImportModule("ccdl._signature");
  if (!helper) return nullptr;
  PyObject* find = PyObject_GetAttrString(helper, "find");
  Py_DECREF(helper);
  return Py_BuildValue("(N(Oi))", find, op->name, static_cast<int>(op->method));
}

PyGetSetDef kGetSet[] = {{"__name__", op_name, nullptr, nullptr, nullptr},
                         {"__qualname__", op_name, nullptr, nullptr, nullptr},
                         {"__doc__", op_doc, nullptr, nullptr, nullptr},
                         {"__signature__", op_signature, nullptr, nullptr, nullptr},
                         {"__module__", op_module, nullptr, nullptr, nullptr},
                         {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef kMethods[] = {{"__reduce__", op_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(OpObject, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

OpObject* op_object(PyObject* module, const std::string& name, bool method) {
  OpObject*& slot = registry(method)[name];
  if (slot) return slot;
  slot = PyObject_New(OpObject, method ? MethodType : FunctionType);
  slot->vectorcall = op_call;
  slot->overloads = new std::vector<Signature*>();
  slot->name = PyUnicode_InternFromString(name.c_str());
  slot->method = method;
  PyObject* o = reinterpret_cast<PyObject*>(slot);
  if (method) {
    PyDict_SetItem(TensorType->tp_dict, slot->name, o);
    PyType_Modified(TensorType);
  } else {
    PyObject_SetAttr(module, slot->name, o);
  }
  return slot;
}

PyObject* list_signatures(PyObject*, PyObject*) {
  PyObject* list = PyList_New(0);
  for (bool method : {false, true})
    for (const auto& [name, op] : registry(method))
      for (const Signature* s : *op->overloads) {
        if (s->row->kind == kOldForm) continue;
        PyObject* row =
            Py_BuildValue("(sss)", method ? "method" : "function", name.c_str(), s->row->signature);
        if (!row || PyList_Append(list, row) < 0) {
          Py_XDECREF(row);
          Py_DECREF(list);
          return nullptr;
        }
        Py_DECREF(row);
      }
  return list;
}

PyMethodDef kModuleMethods[] = {
    {"_signatures", list_signatures, METH_NOARGS, "All typed signatures: (kind, name, text)."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void add_rows(PyObject* module, std::span<const Row> rows) {
  for (const Row& row : rows) {
    auto* s = new Signature(&row);
    if (!s->is_method) op_object(module, s->name, false)->overloads->push_back(s);
    if (s->is_method || row.kind != kAuto) op_object(module, s->name, true)->overloads->push_back(s);
  }
}

bool init_op_types(PyObject* module) {
  PyType_Slot function_slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                  {Py_tp_repr, reinterpret_cast<void*>(op_repr)},
                                  {Py_tp_getset, kGetSet},
                                  {Py_tp_members, kMembers},
                                  {Py_tp_methods, kMethods},
                                  {0, nullptr}};
  PyType_Spec function_spec = {"ccdl._C.OpFunction", sizeof(OpObject), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL, function_slots};
  PyType_Slot method_slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_repr, reinterpret_cast<void*>(op_repr)},
                                {Py_tp_descr_get, reinterpret_cast<void*>(op_get)},
                                {Py_tp_getset, kGetSet},
                                {Py_tp_members, kMembers},
                                {Py_tp_methods, kMethods},
                                {0, nullptr}};
  PyType_Spec method_spec = {"ccdl._C.OpMethod", sizeof(OpObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
                             method_slots};
  FunctionType = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&function_spec));
  MethodType = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&method_spec));
  return FunctionType && MethodType && PyModule_AddFunctions(module, kModuleMethods) == 0;
}

}  // namespace ccdl::python
