// Python objects that C++ state owns and calls, from threads with or without the GIL.
#pragma once
#include <memory>

#include "binding.h"

namespace ccdl::python {

struct Gil {
  PyGILState_STATE state = PyGILState_Ensure();
  ~Gil() { PyGILState_Release(state); }
};

// A Python object owned by C++ state that may die on any thread, with or without the GIL.
struct Held {
  explicit Held(PyObject* o) : object(Py_NewRef(o)) {}
  ~Held() {
    if (!Py_IsInitialized()) return;
    Gil gil;
    Py_DECREF(object);
  }
  PyObject* object;
};
using HeldRef = std::shared_ptr<Held>;

struct PyCallback {
  HeldRef f;
  void operator()() const {
    Gil gil;
    PyObject* r = PyObject_CallNoArgs(f->object);
    if (!r) throw PyError{};
    Py_DECREF(r);
  }
};

}  // namespace ccdl::python
