// Nodes of the graph seen from Python: those whose backward is written in Python, and grad_fn objects.
#pragma once
#include "autograd_hooks.h"
#include "signature.h"

namespace ccdl::python {

// backward of an autograd.Function: calls ctx._run_backward(saved tensors, gradients)
struct PyNode : autograd::Node {
  PyNode(PyObject* c, std::string n) : ctx(c), label(std::move(n)) {}
  const char* name() const override { return label.c_str(); }
  Held ctx;
  std::string label;
  std::vector<autograd::SavedTensor> saved;
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

// _record_function(ctx, name, inputs, outputs, dirty, non_differentiable, saved, materialize) -> outputs to
// hand out.
PyObject* row_record_function(const Args& a);

// The node behind a grad_fn object; nullptr when `o` is none.
autograd::Node* node_of(PyObject* o);

bool init_autograd_nodes(PyObject* module);

}  // namespace ccdl::python
