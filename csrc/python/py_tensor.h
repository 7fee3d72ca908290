// What the files of the Tensor type share.
#pragma once
#include <vector>

#include "binding.h"

namespace ccdl::python {

// The Python object, of that class, of a tensor that has none yet.
PyObject* alloc_tensor(PyTypeObject* type, const Tensor& x);  // tensor_type.cpp
PyGetSetDef* tensor_properties();                             // tensor_properties.cpp
void add_operator_slots(std::vector<PyType_Slot>* slots);     // tensor_operators.cpp
int traverse_autograd(const Tensor& x, visitproc visit,
                      void* arg);  // autograd.cpp: Python objects held by hooks and nodes
void clear_autograd(const Tensor& x);
PyObject* wrap_node(const Ref<autograd::Node>& node);  // autograd_nodes.cpp: the Python view of a grad_fn
PyObject* strided_layout();
PyObject* compare_with_array(PyObject* x, PyObject* array, int op);  // tensor_python.cpp
Tensor tensor_from_buffer(PyObject* o, const char* op);              // exchange.cpp: shares the memory

}  // namespace ccdl::python
