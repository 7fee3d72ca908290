// Tensors from Python data: nested sequences, numbers, arrays and tensors.
#include <ccdl/core/allocator.h>

#include "py_tensor.h"
#include "signature.h"
#include "subclass.h"

#include <ccdl/ops/promotion.h>

namespace ccdl::python {

namespace {

constexpr int kMaxDepth = kMaxDims;

struct Found {  // what a walk over nested data learnt
  Dims sizes;
  std::optional<DType> dtype;  // all leaves' promoted; none: there are none
  void meet(DType t) { dtype = dtype && *dtype != t ? ops::promote_types(*dtype, t) : t; }
};

bool has_buffer(PyObject* o) { return PyObject_CheckBuffer(o) && !PyBytes_Check(o) && !PyByteArray_Check(o); }

bool is_sequence(PyObject* o) {
  return PyList_Check(o) || PyTuple_Check(o) ||
         (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !is_tensor(o) && !has_buffer(o));
}

// A number of nested data; a Python integer beyond 64 bits is its value in double.
bool element_from(PyObject* o, Scalar* s) {
  if (PyLong_Check(o) && !PyBool_Check(o)) {
    int overflow = 0;
    PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow) {
      const double d = PyLong_AsDouble(o);
      if (d == -1.0 && PyErr_Occurred()) throw PyError{};
      *s = Scalar(d);
      return true;
    }
  }
  return number_from(o, s);
}

// The items of a sequence as a list or tuple. An object that only behaves like one is asked for as many items
// as it says it has, for its own iteration may have no end.
PyObject* items_of(PyObject* o) {
  if (PyList_Check(o) || PyTuple_Check(o)) return Py_NewRef(o);
  const Py_ssize_t n = PySequence_Size(o);
  CCDL_CHECK(n <= memory_limit() / static_cast<int64_t>(sizeof(PyObject*)), Memory,
             "tensor: a sequence that says it has ", static_cast<int64_t>(n),
             " items does not fit in memory");
  PyObject* items = n < 0 ? nullptr : PyList_New(0);
  for (Py_ssize_t i = 0; items && i < n; ++i) {
    PyObject* item = PySequence_GetItem(o, i);
    if (!item || PyList_Append(items, item) < 0) Py_CLEAR(items);
    Py_XDECREF(item);
  }
  if (!items) throw PyError{};
  return items;
}

void discover(PyObject* o, int depth, Found* f, bool first) {
  CCDL_CHECK(depth <= kMaxDepth, Value, "tensor: too many dimensions (more than ", kMaxDepth,
             ") in the nested data");
  if (is_complex_number(o) || is_pair(o)) throw ComplexData{};
  if (is_tensor(o)) {
    if (refuse_batched(o)) throw PyError{};
    const Tensor& t = unwrap(o);
    f->meet(t.dtype());
    if (first)
      for (int64_t s : t.sizes()) f->sizes.push_back(s);
    return;
  }
  if (has_buffer(o) && !PyLong_Check(o) && !PyFloat_Check(o)) {
    const Tensor t = tensor_from_buffer(o, "tensor");
    PyObject* view = wrap(t);
    if (!view) throw PyError{};
    discover(view, depth, f, first);
    Py_DECREF(view);
    return;
  }
  if (is_sequence(o)) {
    const Owned items(items_of(o));
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(items.o);
    if (first) f->sizes.push_back(n);
    for (Py_ssize_t i = 0; i < n; ++i) {
      const Owned item(entry_of(items.o, i, n));
      discover(item.o, depth + 1, f, first && i == 0);
    }
    return;
  }
  Scalar s;
  if (!element_from(o, &s))
    fail(PyUnicode_Check(o) || PyBytes_Check(o) ? ErrorKind::Type : ErrorKind::DType,
         str("tensor: could not infer dtype of ", Py_TYPE(o)->tp_name,
             "; numbers, nested sequences of numbers, arrays and tensors are accepted"));
  if (s.is_float() && !PyLong_Check(o))  // NumPy's float64 is a float and more
    f->meet(!PyFloat_CheckExact(o) && has_buffer(o) ? DType::Float64 : default_dtype());
  else
    f->meet(s.is_bool() ? DType::Bool : DType::Int64);
}

template <class T>
T cast(const Scalar& s) {
  return s.is_float() ? static_cast<T>(s.to_double()) : static_cast<T>(s.to_int());
}
void store(void* base, DType t, int64_t i, const Scalar& s) {
  switch (t) {
    case DType::Bool:
      static_cast<bool*>(base)[i] = s.to_bool();
      break;
    case DType::UInt8:
      static_cast<uint8_t*>(base)[i] = static_cast<uint8_t>(s.to_int());
      break;
    case DType::Int8:
      static_cast<int8_t*>(base)[i] = static_cast<int8_t>(s.to_int());
      break;
    case DType::Int16:
      static_cast<int16_t*>(base)[i] = static_cast<int16_t>(s.to_int());
      break;
    case DType::Int32:
      static_cast<int32_t*>(base)[i] = static_cast<int32_t>(s.to_int());
      break;
    case DType::Int64:
      static_cast<int64_t*>(base)[i] = s.to_int();
      break;
    case DType::Float16:
      static_cast<float16*>(base)[i] = float16(static_cast<float>(s.to_double()));
      break;
    case DType::BFloat16:
      static_cast<bfloat16*>(base)[i] = bfloat16(static_cast<float>(s.to_double()));
      break;
    case DType::Float32:
      static_cast<float*>(base)[i] = static_cast<float>(s.to_double());
      break;
    default:
      static_cast<double*>(base)[i] = s.to_double();
      break;
  }
}

void check_fits(DType t, const Scalar& s) {
  if (!is_integral(t, false)) return;
  if (s.is_float()) {
    CCDL_CHECK(s.to_double() == s.to_double() && s.to_double() >= -9223372036854775808.0 &&
                   s.to_double() < 9223372036854775808.0,
               Value, "tensor: cannot convert float ", s, " to ", dtype_name(t));
    return;
  }
  const int bits = static_cast<int>(item_size(t) * 8);
  if (bits == 64) return;
  // Negative whole numbers wrap in uint8, as in PyTorch.
  const int64_t low = t == DType::UInt8 ? -255 : -(int64_t{1} << (bits - 1)),
                high = t == DType::UInt8 ? 255 : (int64_t{1} << (bits - 1)) - 1;
  CCDL_CHECK(s.to_int() >= low && s.to_int() <= high, Runtime, "tensor: value cannot be converted to type ",
             dtype_name(t), " without overflow: ", s);
}

void fill(PyObject* o, const Tensor& out, int depth, int64_t* at) {
  const Dims& sizes = out.sizes();
  if (is_tensor(o) || (has_buffer(o) && !PyLong_Check(o) && !PyFloat_Check(o))) {
    const Tensor t = is_tensor(o) ? unwrap(o) : tensor_from_buffer(o, "tensor");
    const Dims rest(sizes.begin() + depth, sizes.end());
    CCDL_CHECK(t.sizes() == rest, Value, "tensor: expected sequence elements of shape ", rest, " at dim ",
               depth, ", got ", t.sizes());
    autograd::NoGradGuard no_grad;
    Tensor target = alias(out, rest, contiguous_strides(rest), *at);
    ops::copy_(target, t);
    *at += t.numel();
    return;
  }
  if (depth == sizes.ndim()) {
    Scalar s;
    if (is_sequence(o) || !element_from(o, &s)) {
      PyErr_Format(PyExc_ValueError,
                   "tensor: too many dimensions or a non-number (%s) at depth %d of the nested data",
                   Py_TYPE(o)->tp_name, depth);
      throw PyError{};
    }
    check_fits(out.dtype(), s);
    store(out.data(), out.dtype(), (*at)++, s);
    return;
  }
  if (!is_sequence(o)) {
    PyErr_Format(PyExc_TypeError, "tensor: expected a sequence of length %lld at dim %d, got %s",
                 static_cast<long long>(sizes[depth]), depth, Py_TYPE(o)->tp_name);
    throw PyError{};
  }
  const Owned items(items_of(o));
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(items.o);
  CCDL_CHECK(n == sizes[depth], Value, "tensor: expected sequence of length ", sizes[depth], " at dim ",
             depth, " (got ", static_cast<int64_t>(n), ")");
  for (Py_ssize_t i = 0; i < n; ++i) {
    const Owned item(entry_of(items.o, i, n));
    fill(item.o, out, depth + 1, at);
  }
}

PyObject* row_tensor(const Args& a) {
  Tensor x = tensor_from_object(a.object(0), a.dtype_or(1), true);
  if (!a.is_none(2) || !is_tensor(a.object(0))) x = ops::to(x, x.dtype(), a.device(2), false);
  if (a.boolean(3)) autograd::set_requires_grad(x, true);
  return wrap(x);
}

PyObject* row_as_tensor(const Args& a) {
  PyObject* o = a.object(0);
  Tensor x;
  if (is_tensor(o)) {
    x = unwrap(o);
    if (auto t = a.dtype_or(1)) x = ops::to(x, *t);
  } else {
    x = tensor_from_object(o, a.dtype_or(1), false);
  }
  if (!a.is_none(2) || !is_tensor(o)) x = ops::to(x, x.dtype(), a.device(2), false);
  if (is_tensor(o) && x.same(unwrap(o))) return Py_NewRef(o);
  return wrap(x);
}

PyObject* row_asarray(const Args& a) {
  const bool copy = a.object(3) == Py_True;
  PyObject* o = a.object(0);
  Tensor x = is_tensor(o) ? unwrap(o) : tensor_from_object(o, a.dtype_or(1), copy);
  if (auto t = a.dtype_or(1)) x = ops::to(x, *t);
  if (!a.is_none(2) || !is_tensor(o)) x = ops::to(x, x.dtype(), a.device(2), false);
  if (a.object(3) == Py_False)
    CCDL_CHECK(is_tensor(o) ? x.same(unwrap(o))
                            : has_buffer(o) &&
                                  x.storage()->data() == tensor_from_buffer(o, "asarray").storage()->data(),
               Value, "asarray: copy=False, but ", Py_TYPE(o)->tp_name, " cannot be shared as ", describe(x),
               "; leave copy or the conversion out");
  if (copy && is_tensor(o) && x.same(unwrap(o))) x = ops::clone(x);
  if (a.boolean(4)) autograd::set_requires_grad(x, true);
  return wrap(x);
}

const Row kRows[] = {
    {"tensor(object data, *, dtype? dtype=None, device? device=None, bool requires_grad=False, bool "
     "pin_memory=False) -> Tensor",
     row_tensor},
    {"as_tensor(object data, dtype? dtype=None, device? device=None) -> Tensor", row_as_tensor},
    {"asarray(object obj, *, dtype? dtype=None, device? device=None, object copy=None, bool "
     "requires_grad=False) -> Tensor",
     row_asarray},
    {"new_tensor(Tensor self, object data, *, dtype? dtype=None, device? device=None, bool "
     "requires_grad=False) -> Tensor",
     [](const Args& a) {
       Tensor x = tensor_from_object(
           a.object(1), a.dtype_or(2) ? a.dtype_or(2) : std::optional(a.tensor(0).dtype()), true);
       x = ops::to(x, x.dtype(), a.is_none(3) ? a.tensor(0).device() : a.device(3), false);
       if (a.boolean(4)) autograd::set_requires_grad(x, true);
       return wrap(x);
     }},
};

}  // namespace

Tensor tensor_from_object(PyObject* data, std::optional<DType> dtype, bool copy) {
  autograd::NoGradGuard no_grad;
  if (is_pair(data)) throw ComplexData{};
  if (is_tensor(data)) {
    Tensor x = autograd::detach(unwrap(data));
    if (dtype && *dtype != x.dtype()) return ops::to(x, *dtype);
    return copy ? ops::clone(x) : x;
  }
  if (has_buffer(data) && !PyLong_Check(data) && !PyFloat_Check(data)) {
    Tensor x = tensor_from_buffer(data, "tensor");
    if (dtype && *dtype != x.dtype()) return ops::to(x, *dtype);
    return copy ? ops::clone(x, MemoryFormat::Contiguous) : x;
  }
  Found f;
  discover(data, 0, &f, true);
  Tensor out = empty(f.sizes, dtype ? *dtype : f.dtype.value_or(default_dtype()));
  int64_t at = 0;
  fill(data, out, 0, &at);
  return out;
}

bool init_factory(PyObject* module) {
  add_rows(module, kRows);
  return true;
}

}  // namespace ccdl::python
