// Attributes of Tensor.
#include "py_tensor.h"
#include "subclass.h"

namespace ccdl::python {

namespace {

template <class F>
PyObject* get(PyObject* o, const F& f) {
  try {
    return f(unwrap(o));
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}
template <class F>
int set(PyObject* o, PyObject* value, const char* name, const F& f) {
  try {
    if (!value) {
      PyErr_Format(PyExc_RuntimeError, "Deleting tensor's %s is not allowed. Delete the tensor instead.",
                   name);
      return -1;
    }
    return f(unwrap(o), value);
  } catch (...) {
    raise_current_exception();
    return -1;
  }
}

PyObject* transposed(const Tensor& x) {
  Dims order;
  for (int64_t d = x.dim() - 1; d >= 0; --d) order.push_back(d);
  return wrap(ops::permute(x, order));
}

static Tensor hermitian(const Tensor& x) {
  CCDL_CHECK(x.dim() == 2 || x.dim() == 0, Runtime,
             "H: tensor.H is only supported on matrices (2-D tensors). Got ", x.dim(), "-D tensor",
             x.dim() > 2 ? "; for batches of matrices use tensor.mH" : "");
  return x.dim() ? ops::adjoint(x) : x;
}

#define CCDL_GET(name, expression)                                          \
  PyObject* get_##name(PyObject* o, void*) {                                \
    return get(o, [](const Tensor& x) -> PyObject* { return expression; }); \
  }
#define CCDL_GET_VIEW(name, expression)                                                     \
  PyObject* get_##name(PyObject* o, void*) {                                                \
    return in_class_of(o, get(o, [](const Tensor& x) -> PyObject* { return expression; })); \
  }
CCDL_GET(shape, wrap(x.sizes()))
CCDL_GET(dtype, wrap(x.dtype()))
CCDL_GET(device, wrap(x.device()))
CCDL_GET(layout, (static_cast<void>(x), strided_layout()))
CCDL_GET(ndim, PyLong_FromLongLong(x.dim()))
CCDL_GET(itemsize, PyLong_FromLongLong(item_size(x.dtype())))
CCDL_GET(nbytes, PyLong_FromLongLong(item_size(x.dtype()) * x.numel()))
CCDL_GET(requires_grad, PyBool_FromLong(autograd::requires_grad(x)))
CCDL_GET(grad, wrap(autograd::grad(x)))
CCDL_GET(grad_fn, wrap_node(autograd::grad_fn(x)))
CCDL_GET(is_leaf, PyBool_FromLong(autograd::is_leaf(x)))
CCDL_GET_VIEW(data, wrap(autograd::data_of(x)))
CCDL_GET_VIEW(real, wrap(x))
CCDL_GET_VIEW(T, transposed(x))
CCDL_GET_VIEW(mT, wrap(ops::adjoint(x)))
CCDL_GET_VIEW(H, wrap(hermitian(x)))
CCDL_GET(version, PyLong_FromUnsignedLong(x.version()))
CCDL_GET(is_cuda, PyBool_FromLong(x.device().is_cuda()))
CCDL_GET(is_cpu, PyBool_FromLong(x.device().is_cpu()))
CCDL_GET(false, (static_cast<void>(x), PyBool_FromLong(0)))
CCDL_GET(output_nr, PyLong_FromLong(autograd::meta_or_null(x) ? autograd::meta(x)->output_nr : 0))
CCDL_GET(retains_grad, PyBool_FromLong(autograd::meta_or_null(x) && autograd::meta(x)->retains_grad))
CCDL_GET(base, autograd::is_view(x) ? wrap(autograd::meta(x)->base) : Py_NewRef(Py_None))
#undef CCDL_GET
#undef CCDL_GET_VIEW

int set_requires_grad(PyObject* o, PyObject* value, void*) {
  return set(o, value, "requires_grad", [](const Tensor& x, PyObject* v) {
    const int on = PyObject_IsTrue(v);
    if (on < 0) return -1;
    autograd::set_requires_grad(x, on);
    return 0;
  });
}
int set_grad(PyObject* o, PyObject* value, void*) {
  if (!value) value = Py_None;  // `del p.grad`
  if (refuse_batched(value)) return -1;
  return set(o, value, "grad", [](const Tensor& x, PyObject* v) {
    if (v != Py_None && !is_tensor(v)) {
      PyErr_Format(PyExc_TypeError, "grad: assigned grad expected to be a Tensor or None but got %s",
                   Py_TYPE(v)->tp_name);
      return -1;
    }
    autograd::set_grad(x, v == Py_None ? Tensor() : unwrap(v));
    return 0;
  });
}
int set_data(PyObject* o, PyObject* value, void*) {
  if (value && refuse_batched(value)) return -1;
  return set(o, value, "data", [](const Tensor& x, PyObject* v) {
    if (!is_tensor(v)) {
      PyErr_Format(PyExc_TypeError, "data: must be set to a Tensor, not %s", Py_TYPE(v)->tp_name);
      return -1;
    }
    ops::set_data(x, unwrap(v));
    return 0;
  });
}

PyObject* get_dict(PyObject* o, void*) {
  auto* t = reinterpret_cast<TensorObject*>(o);
  if (!t->dict) t->dict = PyDict_New();
  return Py_XNewRef(t->dict);
}

PyGetSetDef kProperties[] = {
    {"shape", get_shape, nullptr, "Sizes as ccdl.Size.", nullptr},
    {"dtype", get_dtype, nullptr, "Element type.", nullptr},
    {"device", get_device, nullptr, "Where the data lives.", nullptr},
    {"layout", get_layout, nullptr, "Always ccdl.strided.", nullptr},
    {"ndim", get_ndim, nullptr, "Number of dimensions.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes per element.", nullptr},
    {"nbytes", get_nbytes, nullptr, "Bytes of all elements.", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad, "Whether gradients flow to this tensor.",
     nullptr},
    {"grad", get_grad, set_grad, "Accumulated gradient of a leaf, or None.", nullptr},
    {"_grad", get_grad, set_grad, nullptr, nullptr},
    {"grad_fn", get_grad_fn, nullptr, "The node that made this tensor, or None for a leaf.", nullptr},
    {"is_leaf", get_is_leaf, nullptr, "True for tensors not made by a recorded op.", nullptr},
    {"data", get_data, set_data, "The same memory without history.", nullptr},
    {"real", get_real, nullptr, "The tensor itself: there are no complex numbers.", nullptr},
    {"T", get_T, nullptr, "All dimensions reversed.", nullptr},
    {"mT", get_mT, nullptr, "Last two dimensions swapped.", nullptr},
    {"H", get_H, nullptr, "Transpose of a matrix.", nullptr},
    {"mH", get_mT, nullptr, "Last two dimensions swapped.", nullptr},
    {"_version", get_version, nullptr, "Number of in-place writes to the storage.", nullptr},
    {"is_cuda", get_is_cuda, nullptr, nullptr, nullptr},
    {"is_cpu", get_is_cpu, nullptr, nullptr, nullptr},
    {"is_sparse", get_false, nullptr, nullptr, nullptr},
    {"is_quantized", get_false, nullptr, nullptr, nullptr},
    {"is_meta", get_false, nullptr, nullptr, nullptr},
    {"is_mps", get_false, nullptr, nullptr, nullptr},
    {"is_nested", get_false, nullptr, nullptr, nullptr},
    {"is_sparse_csr", get_false, nullptr, nullptr, nullptr},
    {"is_mkldnn", get_false, nullptr, nullptr, nullptr},
    {"is_xla", get_false, nullptr, nullptr, nullptr},
    {"is_xpu", get_false, nullptr, nullptr, nullptr},
    {"output_nr", get_output_nr, nullptr, nullptr, nullptr},
    {"retains_grad", get_retains_grad, nullptr, nullptr, nullptr},
    {"_base", get_base, nullptr, "The tensor this one is a view of, or None.", nullptr},
    {"__dict__", get_dict, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

PyGetSetDef* tensor_properties() { return kProperties; }

}  // namespace ccdl::python
