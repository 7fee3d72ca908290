// Hooks written in Python, as the functors the engine keeps: each takes the GIL, calls, and turns what came
// back into tensors or into an error.
#pragma once
#include <ccdl/autograd/saved_hooks.h>

#include "held.h"
#include "py_tensor.h"

namespace ccdl::python {

inline Tensor tensor_result(PyObject* r, const char* who) {
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

  void check_same_kind(const Tensor& was, const Tensor& got) const {
    if (was.dtype() == got.dtype() && was.sizes() == got.sizes()) return;
    PyObject* name = PyObject_GetAttrString(f->object, "__name__");
    if (!name) PyErr_Clear();
    const std::string shown = name && PyUnicode_Check(name) ? utf8(name) : Py_TYPE(f->object)->tp_name;
    Py_XDECREF(name);
    fail(ErrorKind::Autograd,
         str("register_hook: hook '", shown, "' has changed the ",
             was.dtype() == got.dtype() ? "size" : "type", " of value (was ", describe(was), " got ",
             describe(got), "); return a gradient like the one that came"));
  }

  Tensor operator()(const Tensor& g) const {
    Gil gil;
    PyObject* arg = wrap(g);
    PyObject* r = PyObject_CallOneArg(f->object, arg);
    Py_DECREF(arg);
    Tensor changed = tensor_result(r, "register_hook");
    if (changed.defined()) check_same_kind(g, changed);
    return changed;
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

inline void replace_all(TensorList* list, PyObject* r, const char* who) {
  if (!r) throw PyError{};
  if (r != Py_None) {
    if (!PyTuple_Check(r) && !is_tensor(r)) {
      const std::string came = Py_TYPE(r)->tp_name;
      Py_DECREF(r);
      fail(ErrorKind::Type, str(who, ": expected tuple, but hook returned '", came, "'"));
    }
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
// What register_*hook returns: an object whose remove() runs `undo` once, and which is a context manager.
PyObject* make_handle(int64_t id, std::function<void()> undo);

// A TypeError of `op` unless f can be called.
void check_callable(const char* op, PyObject* f);

}  // namespace ccdl::python
