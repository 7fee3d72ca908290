// Tensor methods whose bodies are Python (python/ccdl/_tensor_methods.py).
#include "py_tensor.h"
#include "signature.h"

#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {

namespace {

template <class... T>
PyObject* call(const char* function, T... args) {
  PyObject* m = PyImport_ImportModule("ccdl._tensor_methods");
  PyObject* f = m ? PyObject_GetAttrString(m, function) : nullptr;
  PyObject* r = f ? PyObject_CallFunctionObjArgs(f, args..., nullptr) : nullptr;
  Py_XDECREF(f);
  Py_XDECREF(m);
  if (!r) throw PyError{};
  return r;
}

PyObject* or_none(PyObject* o) { return o ? o : Py_None; }

const Row kRows[] = {
    {"__deepcopy__(Tensor self, object memo) -> Tensor",
     [](const Args& a) { return call("deepcopy", a.self(), a.object(1)); }},
    {"__reduce_ex__(Tensor self, object protocol) -> tuple",
     [](const Args& a) { return call("reduce_ex", a.self(), a.object(1)); }},
    {"__array_wrap__(Tensor self, object array, object context=None, bool return_scalar=False) -> Tensor",
     [](const Args& a) { return call("array_wrap", a.self(), a.object(1)); }},
    {"__copy__(Tensor self) -> Tensor", [](const Args& a) { return call("copy", a.self()); }},
    {"__reversed__(Tensor self) -> Tensor",
     [](const Args& a) {
       const Tensor& x = a.tensor(0);
       return a.run([&] { return x.dim() ? ops::flip(x, Dims{0}) : x; });
     }},
    {"as_subclass(Tensor self, object cls) -> Tensor",
     [](const Args& a) {
       PyObject* cls = a.object(1);
       CCDL_CHECK(PyType_Check(cls) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), TensorType),
                  Type, "as_subclass(): argument 'cls' must be a subclass of Tensor, got ",
                  Py_TYPE(cls)->tp_name);
       auto* type = reinterpret_cast<PyTypeObject*>(cls);
       const Tensor& x = a.tensor(0);
       if (is_pair(a.self())) {
         CCDL_CHECK(type == TensorType || PyType_IsSubtype(type, PairType), Type,
                    "as_subclass(): the Tensor is complex, and its class cannot become ", type->tp_name,
                    "; give the class view_as_real(z)");
       } else if (PairType && PyType_IsSubtype(type, PairType)) {
         const bool pairs = x.dim() && x.sizes()[x.dim() - 1] == 2 &&
                            (x.dtype() == DType::Float32 || x.dtype() == DType::Float64);
         CCDL_CHECK(pairs, Type, type->tp_name, ": parts must be float32 or float64 [..., 2], got ",
                    describe(x), "; use ccdl.complex(real, imag)");
       }
       return alloc_tensor(type, ops::view(x, x.sizes()));
     }},
    {"__format__(Tensor self, object spec) -> str",
     [](const Args& a) { return call("format_", a.self(), a.object(1)); }},
    {"__contains__(Tensor self, object element) -> bool",
     [](const Args& a) { return call("contains", a.self(), a.object(1)); }},
    {"type(Tensor self, object dtype=None, bool non_blocking=False) -> object",
     [](const Args& a) { return call("type_", a.self(), or_none(a.object(1))); }},
    {"new(Tensor self, int[]* size=[]) -> Tensor",
     [](const Args& a) {
       const Tensor& x = a.tensor(0);
       PyObject* given = a.object(1);  // new(2, 3) and new(x.shape) are sizes, new([2, 3]) is data
       const bool data = given && (PyList_Check(given) || PyTuple_CheckExact(given));
       if (data) return call("new", a.self(), given);
       return a.run([&] { return empty(given ? a.ints(1) : Dims{0}, x.dtype(), x.device()); });
     }},
    {"new(Tensor self, object data) -> Tensor",
     [](const Args& a) { return call("new", a.self(), a.object(1)); }},
    {"hardshrink(Tensor self, object lambd=0.5) -> Tensor",
     [](const Args& a) { return call("hardshrink", a.self(), or_none(a.object(1))); }},
    {"map_(Tensor self, Tensor tensor, object callable) -> Tensor",
     [](const Args& a) { return call("map_", a.self(), a.object(1), a.object(2)); }},
    {"map2_(Tensor self, Tensor x, Tensor y, object callable) -> Tensor",
     [](const Args& a) { return call("map2_", a.self(), a.object(1), a.object(2), a.object(3)); }},
    {"frexp(Tensor self) -> tuple", [](const Args& a) { return call("frexp", a.self()); }},
    {"histogram(Tensor self, object bins, *, object range=None, Tensor? weight=None, bool density=False) -> "
     "tuple",
     [](const Args& a) {
       return call("histogram", a.self(), a.object(1), or_none(a.object(2)), or_none(a.object(3)),
                   a.boolean(4) ? Py_True : Py_False);
     }},
    {"lu(Tensor self, object pivot=True, object get_infos=False) -> tuple",
     [](const Args& a) { return call("lu", a.self(), or_none(a.object(1)), or_none(a.object(2))); }},
    {"untyped_storage(Tensor self) -> object",
     [](const Args& a) { return call("untyped_storage", a.self()); }},
    {"stft(Tensor self, object n_fft, object hop_length=None, object win_length=None, Tensor? window=None, "
     "bool "
     "center=True, str pad_mode='reflect', bool normalized=False, object onesided=None, object "
     "return_complex=None, "
     "object align_to_window=None) -> object",
     [](const Args& a) {
       return call("stft", a.self(), a.object(1), or_none(a.object(2)), or_none(a.object(3)),
                   or_none(a.object(4)), a.boolean(5) ? Py_True : Py_False, or_none(a.object(6)),
                   a.boolean(7) ? Py_True : Py_False, or_none(a.object(8)), or_none(a.object(9)),
                   or_none(a.object(10)));
     }},
    {"to_sparse(Tensor self) -> object", [](const Args& a) { return call("to_sparse", a.self()); }},
    {"to_dense(Tensor self, dtype? dtype=None) -> Tensor",
     [](const Args& a) {
       if (a.is_none(1)) return wrap(a.tensor(0));
       return a.run([&] { return ops::to(a.tensor(0), a.dtype(1), a.tensor(0).device(), false); });
     }},
    {"storage(Tensor self) -> object", [](const Args& a) { return call("storage", a.self()); }},
    {"_storage_bytes(Tensor self) -> int",
     [](const Args& a) { return PyLong_FromLongLong(a.tensor(0).storage()->bytes()); }},
    {"dim_order(Tensor self) -> tuple", [](const Args& a) { return call("dim_order", a.self()); }},
    {"nonzero_static(Tensor self, *, object size, object fill_value=-1) -> Tensor",
     [](const Args& a) { return call("nonzero_static", a.self(), a.object(1), or_none(a.object(2))); }},
    {"as_strided_scatter(Tensor self, Tensor src, object size, object stride, object storage_offset=None) -> "
     "Tensor",
     [](const Args& a) {
       return call("as_strided_scatter", a.self(), a.object(1), a.object(2), a.object(3),
                   or_none(a.object(4)));
     }},
    {"set_(Tensor self, object source=None, object storage_offset=None, object size=None, object "
     "stride=None) -> "
     "Tensor",
     [](const Args& a) {
       return call("set_", a.self(), or_none(a.object(1)), or_none(a.object(2)), or_none(a.object(3)),
                   or_none(a.object(4)));
     }},
    {"apply_(Tensor self, object callable) -> Tensor",
     [](const Args& a) { return call("apply_", a.self(), a.object(1)); }},
};

}  // namespace

// x == array, x != array: by a tensor over the array (NumPy declines, and Python would compare identities).
PyObject* compare_with_array(PyObject* x, PyObject* array, int op) {
  if (!PyObject_HasAttrString(array, "__array_interface__") || PyType_Check(array)) Py_RETURN_NOTIMPLEMENTED;
  PyObject* m = PyImport_ImportModule("ccdl");
  PyObject* t = m ? PyObject_CallMethod(m, "as_tensor", "O", array) : nullptr;
  Py_XDECREF(m);
  if (!t && !PyErr_ExceptionMatches(PyExc_TypeError)) return nullptr;
  if (!t) PyErr_Clear();  // an array of strings or objects equals no tensor
  PyObject* r = t ? PyObject_RichCompare(x, t, op) : Py_NewRef(Py_NotImplemented);
  Py_XDECREF(t);
  return r;
}

void bind_tensor_python(PyObject* module) { add_rows(module, kRows); }

}  // namespace ccdl::python
