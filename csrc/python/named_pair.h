// Rows that return two tensors with field names (values and indices, min and max), with or without out=(a,
// b).
#pragma once
#include "binding.h"

namespace ccdl::python {

inline void check_index_out(const char* name, const Tensor& out) {
  CCDL_CHECK(out.dtype() == DType::Int64, DType, name, ": indices are int64, but out= for them is ",
             describe(out));
}

// f() -> std::tuple<Tensor, Tensor>; `out` is the position of `Tensor[]? out`, or -1.
template <class F>
PyObject* named_pair(const Args& a, const char* name, std::initializer_list<const char*> fields, int out,
                     const F& f) {
  PyObject* pair = a.run([&] {
    const auto [first, second] = f();
    if (out < 0 || a.is_none(out)) return TensorList{first, second};
    const TensorList& to = a.tensors(out);
    CCDL_CHECK(to.size() == 2 && to[0].defined() && to[1].defined(), Type, name,
               ": out= expects a tuple of two tensors, got ", to.size());
    return TensorList{ops::write_out(name, first, to[0]), ops::write_out(name, second, to[1])};
  });
  if (!pair) return nullptr;
  const TensorList values{unwrap(PyTuple_GET_ITEM(pair, 0)), unwrap(PyTuple_GET_ITEM(pair, 1))};
  PyObject* named = wrap_named(name, fields, values);
  Py_DECREF(pair);
  return named;
}
template <class F>
PyObject* values_indices(const Args& a, const char* name, int out, const F& f) {
  if (out >= 0 && !a.is_none(out) && a.tensors(out).size() == 2 && a.tensors(out)[1].defined())
    check_index_out(name, a.tensors(out)[1]);
  return named_pair(a, name, {"values", "indices"}, out, f);
}

}  // namespace ccdl::python
