// Tensors of the user's own classes: operators leave calls with them to the class's __torch_function__, whose
// default computes and gives the results that class.
#pragma once
#include <atomic>

#include "binding.h"

namespace ccdl::python {

// Whether a class of tensors has a say in calls: it is none of the library's own (Parameter and its like),
// and this thread has not switched that off.
bool has_say(PyTypeObject* type);

// Modes that threads have entered, all together: zero is the test that costs next to nothing.
extern std::atomic<int> g_modes;
bool mode_here();  // whether this thread is inside one
inline bool in_mode() { return g_modes.load(std::memory_order_relaxed) != 0 && mode_here(); }

inline bool is_custom(PyObject* tensor) { return Py_TYPE(tensor) != TensorType && has_say(Py_TYPE(tensor)); }

// The class of a value inside vmap, which stands for one value per sample: every call is to see it, a private
// one and one under DisableTorchFunctionSubclass as well. Null until the first vmap.
extern PyTypeObject* BatchedType;
inline bool is_batched(PyObject* o) { return BatchedType && Py_TYPE(o) == BatchedType; }
bool holds_batched(PyObject* o);   // it or an entry of a list
bool refuse_batched(PyObject* o);  // true, and the error set that has vmap run sample by sample
// What calls that draw random numbers are left to inside vmap, or null.
PyObject* random_handler();

// Whether an operator of Python's (+, ==, ...) is to go to a class: one operand is of it, the other a tensor
// or a number.
bool custom_pair(PyObject* a, PyObject* b);
inline bool usual_operand(PyObject* o) {
  return Py_TYPE(o) == TensorType || Py_TYPE(o) == &PyFloat_Type || Py_TYPE(o) == &PyLong_Type;
}
inline bool usual_operands(PyObject* a, PyObject* b) { return usual_operand(a) && usual_operand(b); }
inline bool custom_operands(PyObject* a, PyObject* b) {
  return (!usual_operands(a, b) && custom_pair(a, b)) || in_mode();
}
// The same of an operator in place, and of an assignment to entries: values of vmap and complex tensors have
// operators of their own.
inline bool custom_target(PyObject* a, PyObject* b) {
  return (!usual_operands(a, b) && !is_batched(a) && !is_batched(b) && !is_pair(a) && !is_pair(b) &&
          custom_pair(a, b)) ||
         in_mode();
}
inline bool custom_operand(PyObject* a) { return is_custom(a) || in_mode(); }
// The call of that operator: a method of Tensor by name, or the reflected one when `a` is no tensor.
PyObject* custom_binary(const char* op, PyObject* a, PyObject* b);
PyObject* custom_call(const char* attribute, PyObject* self, PyObject* other = nullptr);
PyObject* custom_inplace(const char* op, PyObject* a, PyObject* b);  // add: Tensor.add_
int custom_assign(PyObject* self, PyObject* key, PyObject* value);   // Tensor.__setitem__
// The operator with a complex number of Python beside the tensor, which makes a complex tensor.
PyObject* with_complex(PyObject* a, PyObject* b, PyObject* (*number)(PyObject*, PyObject*));
// A view of `self` that a property made, in the class of self.
PyObject* in_class_of(PyObject* self, PyObject* view);

// The call through the mode entered last, then the classes of its arguments; null without an error: no class
// took it.
PyObject* call_override(PyObject* callable, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);

// The call of a function that met complex numbers in its data.
PyObject* of_complex_data(PyObject* callable, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);

bool init_subclass(PyObject* module);

}  // namespace ccdl::python
