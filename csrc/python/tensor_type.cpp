// The Tensor heap type. One Python object per tensor: TensorImpl::object points back to it. When the last
// Python reference goes while C++ still holds the tensor, an object that carries state (attributes, weak
// references, a subclass) is kept: ownership flips, the tensor then owns the object until it is wrapped
// again.
#include <cmath>
#include <cstring>

#include <ccdl/core/op_timer.h>
#include <ccdl/ops/activation.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/matmul.h>

#include "autocast.h"
#include "py_tensor.h"
#include "signature.h"
#include "subclass.h"

namespace ccdl::python {

PyTypeObject* TensorType = nullptr;

static TensorObject* obj(PyObject* o) { return reinterpret_cast<TensorObject*>(o); }

PyObject* alloc_tensor(PyTypeObject* type, const Tensor& x) {
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) return nullptr;
  new (&obj(o)->tensor) Tensor(x);
  obj(o)->dict = nullptr;
  obj(o)->weakrefs = nullptr;
  x.impl()->object = o;
  return o;
}

namespace {

PyTypeObject* TensorMeta;

// ---- life and death ----

bool carries_state(PyObject* o) {
  return Py_TYPE(o) != TensorType || (obj(o)->dict && PyDict_GET_SIZE(obj(o)->dict) > 0) || obj(o)->weakrefs;
}

void clear_slots(PyTypeObject* type, PyObject* self) {
  for (; type && type != TensorType; type = type->tp_base) {
    const Py_ssize_t n = Py_SIZE(type);
    if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || type->tp_base == type) break;
    PyMemberDef* m =
        reinterpret_cast<PyMemberDef*>(reinterpret_cast<char*>(type) + Py_TYPE(type)->tp_basicsize);
    for (Py_ssize_t i = 0; i < n; ++i, ++m)
      if (m->type == T_OBJECT_EX && !(m->flags & READONLY)) {
        auto** slot = reinterpret_cast<PyObject**>(reinterpret_cast<char*>(self) + m->offset);
        Py_CLEAR(*slot);
      }
  }
}

void tensor_dealloc(PyObject* self) {
  TensorImpl* impl = obj(self)->tensor.impl();
  if (impl && impl->object == self && impl->use_count() > 1 && carries_state(self)) {
    // C++ keeps the tensor: it takes over this object, whose pointer to the tensor stays but is no longer
    // counted.
    Py_SET_REFCNT(self, 1);
    impl->owns_object = true;
    impl->release();
    return;
  }
  PyTypeObject* type = Py_TYPE(self);
  if (type->tp_finalize && PyObject_CallFinalizerFromDealloc(self) < 0) return;
  PyObject_GC_UnTrack(self);
  if (obj(self)->weakrefs) PyObject_ClearWeakRefs(self);
  clear_slots(type, self);
  Py_CLEAR(obj(self)->dict);
  if (impl) impl->object = nullptr;
  {
    Tensor last = std::move(obj(self)->tensor);
    obj(self)->tensor.~Tensor();
  }
  type->tp_free(self);
  Py_DECREF(type);
}

// The last C++ reference of a tensor that owns its object is gone.
void drop_object(TensorImpl* impl) {
  if (impl->owns_object && !Py_IsInitialized()) {
    // The interpreter is going down and may still visit the object: it must not point here any more.
    new (&obj(static_cast<PyObject*>(impl->object))->tensor) Tensor();
    delete impl;
    return;
  }
  if (!impl->owns_object) {
    delete impl;
    return;
  }
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject* self = static_cast<PyObject*>(impl->object);
  impl->owns_object = false;
  impl->retain();  // back to the usual ownership, then let go
  Py_DECREF(self);
  PyGILState_Release(gil);
}

int tensor_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(obj(self)->dict);
  TensorImpl* impl = obj(self)->tensor.impl();
  if (impl && impl->use_count() == 1) return traverse_autograd(obj(self)->tensor, visit, arg);
  return 0;
}

int tensor_clear(PyObject* self) {
  Py_CLEAR(obj(self)->dict);
  if (obj(self)->tensor.defined() && obj(self)->tensor.impl()->use_count() == 1)
    clear_autograd(obj(self)->tensor);
  return 0;
}

int meta_init(PyObject* cls, PyObject* args, PyObject* kwargs) {
  if (PyType_Type.tp_init(cls, args, kwargs) < 0) return -1;
  reinterpret_cast<PyTypeObject*>(cls)->tp_dealloc =
      tensor_dealloc;  // subclasses take part in the ownership flip
  return 0;
}

// _swap_impl(a, b): each object gets the other's tensor and attributes; class and slots are swapped in
// Python.
PyObject* swap_impl(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2 || !is_tensor(args[0]) || !is_tensor(args[1])) {
    PyErr_SetString(PyExc_TypeError, "_swap_impl: expected two Tensors");
    return nullptr;
  }
  if (refuse_batched(args[0]) || refuse_batched(args[1])) return nullptr;
  std::swap(obj(args[0])->tensor, obj(args[1])->tensor);
  std::swap(obj(args[0])->dict, obj(args[1])->dict);
  for (int i = 0; i < 2; ++i) obj(args[i])->tensor.impl()->object = args[i];
  Py_RETURN_NONE;
}

// Tensor(2, 3): uninitialised memory; Tensor([...]): values; both of the default dtype.
PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  try {
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
      PyErr_SetString(
          PyExc_TypeError,
          "Tensor(): takes sizes or one data argument and no keywords; use ccdl.tensor(data, dtype=...)");
      return nullptr;
    }
    Tensor x;
    const Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject* first = n ? PyTuple_GET_ITEM(args, 0) : nullptr;
    if (n == 1 && refuse_batched(first)) return nullptr;
    if (n == 1 && !PyLong_Check(first) && Py_TYPE(first)->tp_name != std::string("ccdl.Size")) {
      x = is_tensor(first) ? autograd::detach(unwrap(first))
                           : tensor_from_object(first, default_dtype(), true);
    } else {
      Dims sizes;
      PyObject* list = n == 1 && PyTuple_Check(first) ? first : args;
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); ++i) {
        const Py_ssize_t v = PyNumber_AsSsize_t(PyTuple_GET_ITEM(list, i), PyExc_OverflowError);
        if (v == -1 && PyErr_Occurred()) return nullptr;
        sizes.push_back(v);
      }
      x = n == 0 ? empty(Dims{0}, default_dtype()) : empty(sizes, default_dtype());
    }
    return alloc_tensor(type, x);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

// Tensor._make_subclass(cls, data, requires_grad): a leaf of class cls over data's storage.
PyObject* make_subclass(PyObject*, PyObject* const* args, Py_ssize_t n) {
  const auto* cls = n >= 2 && PyType_Check(args[0]) ? reinterpret_cast<PyTypeObject*>(args[0]) : nullptr;
  const auto derives = [cls](PyTypeObject* base) {
    return PyType_IsSubtype(const_cast<PyTypeObject*>(cls), base);
  };
  if (!cls || !derives(TensorType) || !(is_tensor(args[1]) || (is_pair(args[1]) && derives(PairType)))) {
    PyErr_SetString(
        PyExc_TypeError,
        "_make_subclass(cls, data, require_grad=False): cls must be a subclass of Tensor and data a Tensor");
    return nullptr;
  }
  if (reinterpret_cast<PyTypeObject*>(args[0]) != BatchedType && refuse_batched(args[1])) return nullptr;
  try {
    const Tensor x = autograd::detach(unwrap(args[1]));
    if (n > 2 && PyObject_IsTrue(args[2]) == 1) autograd::set_requires_grad(x, true);
    return alloc_tensor(reinterpret_cast<PyTypeObject*>(args[0]), x);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

// ---- operators ----

// `beside` is the other operand: next to floats an int may need all 64 bits for its value.
bool operand_from(PyObject* o, PyObject* beside, ops::Operand* out) {
  if (is_tensor(o)) {
    *out = ops::Operand(unwrap(o));
    return true;
  }
  Scalar s;
  bool large = false;
  const bool floats = is_tensor(beside) && is_floating(unwrap(beside).dtype());
  if (!number_from(o, &s, floats ? &large : nullptr)) return false;
  CCDL_CHECK(!large || (s.to_double() > 0 && s.to_double() <= kTwoTo64), Value,
             "a number argument does not fit in 64 bits (Overflow when unpacking long)");
  *out = ops::Operand(s);
  return true;
}

template <class F>
PyObject* binary(PyObject* a, PyObject* b, const F& f) {
  try {
    if (is_tensor(a) && is_tensor(b)) {
      const Tensor &x = unwrap(a), &y = unwrap(b);
      Tensor r = [&] {
        Args::Unlocked unlocked(std::max(x.numel(), y.numel()));
        return f(ops::Operand(x), ops::Operand(y));
      }();
      return wrap(r);
    }
    if (is_tensor(a) && PyFloat_CheckExact(b)) {
      const Tensor& x = unwrap(a);
      Tensor r = [&] {
        Args::Unlocked unlocked(x.numel());
        return f(ops::Operand(x), ops::Operand(Scalar(PyFloat_AS_DOUBLE(b))));
      }();
      return wrap(r);
    }
    ops::Operand x(0), y(0);
    if (!operand_from(a, b, &x) || !operand_from(b, a, &y)) Py_RETURN_NOTIMPLEMENTED;
    Tensor r = [&] {
      Args::Unlocked unlocked(x.is_tensor() ? x.tensor.numel() : y.tensor.numel());
      return f(x, y);
    }();
    return wrap(r);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}
template <class F>
PyObject* inplace(PyObject* a, PyObject* b, const F& f) {
  try {
    CCDL_CHECK(!is_pair(b), Type, "an in-place operation cannot store complex numbers in a tensor of ",
               dtype_name(unwrap(a).dtype()), "; write the result as a new tensor (a = a + b)");
    ops::Operand y(0);
    if (refuse_batched(b)) return nullptr;
    if (!operand_from(b, a, &y)) Py_RETURN_NOTIMPLEMENTED;
    {
      const Tensor x = unwrap(a);
      Args::Unlocked unlocked(x.numel());
      f(x, y);
    }
    return Py_NewRef(a);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}
template <class F>
PyObject* unary(PyObject* a, const F& f) {
  try {
    const Tensor& x = unwrap(a);
    Tensor r = [&] {
      Args::Unlocked unlocked(x.numel());
      return f(x);
    }();
    return wrap(r);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

#define CCDL_BINARY(name, call)                                                             \
  PyObject* name(PyObject* a, PyObject* b) {                                                \
    if (custom_operands(a, b)) return custom_binary(&#name[3], a, b);                       \
    const OpTimer timer(&#name[3]);                                                         \
    return binary(a, b, [](const ops::Operand& x, const ops::Operand& y) { return call; }); \
  }
// The same with a complex number of Python beside the tensor, which makes a pair of real tensors.
#define CCDL_BINARY_COMPLEX(name, call, number)                                             \
  PyObject* name(PyObject* a, PyObject* b) {                                                \
    if (!usual_operands(a, b)) {                                                            \
      if (is_complex_number(a) || is_complex_number(b)) return with_complex(a, b, number);  \
      if (custom_pair(a, b)) return custom_binary(&#name[3], a, b);                         \
    }                                                                                       \
    if (in_mode()) return custom_binary(&#name[3], a, b);                                   \
    const OpTimer timer(&#name[3]);                                                         \
    return binary(a, b, [](const ops::Operand& x, const ops::Operand& y) { return call; }); \
  }
#define CCDL_INPLACE(name, call)                                                       \
  PyObject* name(PyObject* a, PyObject* b) {                                           \
    if (custom_target(a, b)) return custom_inplace(&#name[4], a, b);                   \
    const OpTimer timer(&#name[3]);                                                    \
    return inplace(a, b, [](const Tensor& x, const ops::Operand& y) { return call; }); \
  }
CCDL_BINARY_COMPLEX(nb_add, ops::add(x, y), PyNumber_Add)
CCDL_BINARY_COMPLEX(nb_sub, ops::sub(x, y), PyNumber_Subtract)
CCDL_BINARY_COMPLEX(nb_mul, ops::mul(x, y), PyNumber_Multiply)
CCDL_BINARY_COMPLEX(nb_div, ops::div(x, y), PyNumber_TrueDivide)
CCDL_BINARY(nb_floordiv, ops::floor_divide(x, y))
CCDL_BINARY(nb_mod, ops::remainder(x, y))
CCDL_BINARY(nb_and, ops::bitwise_and(x, y))
CCDL_BINARY(nb_or, ops::bitwise_or(x, y))
CCDL_BINARY(nb_xor, ops::bitwise_xor(x, y))
CCDL_BINARY(nb_shl, ops::bitwise_left_shift(x, y))
CCDL_BINARY(nb_shr, ops::bitwise_right_shift(x, y))
CCDL_INPLACE(nb_iadd, ops::add_(x, y))
CCDL_INPLACE(nb_isub, ops::sub_(x, y))
CCDL_INPLACE(nb_imul, ops::mul_(x, y))
CCDL_INPLACE(nb_idiv, ops::div_(x, y))
CCDL_INPLACE(nb_ifloordiv,
             ops::inplace("floor_divide_", x, [&](const Tensor& v) { return ops::floor_divide(v, y); }))
CCDL_INPLACE(nb_imod, ops::inplace("remainder_", x, [&](const Tensor& v) { return ops::remainder(v, y); }))
CCDL_INPLACE(nb_iand,
             ops::inplace("bitwise_and_", x, [&](const Tensor& v) { return ops::bitwise_and(v, y); }))
CCDL_INPLACE(nb_ior, ops::inplace("bitwise_or_", x, [&](const Tensor& v) { return ops::bitwise_or(v, y); }))
CCDL_INPLACE(nb_ixor,
             ops::inplace("bitwise_xor_", x, [&](const Tensor& v) { return ops::bitwise_xor(v, y); }))
CCDL_INPLACE(nb_ishl, ops::inplace("bitwise_left_shift_", x,
                                   [&](const Tensor& v) { return ops::bitwise_left_shift(v, y); }))
CCDL_INPLACE(nb_ishr, ops::inplace("bitwise_right_shift_", x,
                                   [&](const Tensor& v) { return ops::bitwise_right_shift(v, y); }))
// array / x: NumPy leaves it to the tensor, and what multiplies arrays is a product.
PyObject* true_divide(PyObject* a, PyObject* b) {
  PyObject* r = nb_div(a, b);
  if (r != Py_NotImplemented || is_tensor(a) || !is_tensor(b) || is_custom(b) ||
      !PyObject_HasAttrString(a, "__array_interface__"))
    return r;
  Py_DECREF(r);
  PyObject* inverse = unary(b, [](const Tensor& x) { return ops::reciprocal(x); });
  PyObject* product = inverse ? PyNumber_Multiply(inverse, a) : nullptr;
  Py_XDECREF(inverse);
  return product;
}
#undef CCDL_BINARY
#undef CCDL_BINARY_COMPLEX
#undef CCDL_INPLACE

// f(x, y) with the operands as mixed precision wants them for the op of that name.
template <class F>
Tensor with_casts(const char* op, const ops::Operand& x, const ops::Operand& y, const F& f) {
  if (!ops::autocast_active()) return f(x, y);
  ops::Operand a = x, b = y;
  autocast_operands(op, &a, &b);
  return f(a, b);
}

PyObject* nb_pow(PyObject* a, PyObject* b, PyObject* m) {
  if (m != Py_None) Py_RETURN_NOTIMPLEMENTED;
  if (is_complex_number(a) || is_complex_number(b))
    return with_complex(a, b, [](PyObject* x, PyObject* y) { return PyNumber_Power(x, y, Py_None); });
  if (custom_operands(a, b)) return custom_binary("pow", a, b);
  const OpTimer timer("pow");
  return binary(a, b, [](const ops::Operand& x, const ops::Operand& y) {
    return with_casts("pow", x, y,
                      [](const ops::Operand& u, const ops::Operand& v) { return ops::pow(u, v); });
  });
}
PyObject* nb_ipow(PyObject* a, PyObject* b, PyObject*) {
  if (custom_target(a, b)) return custom_inplace("pow", a, b);
  return inplace(a, b, [](const Tensor& x, const ops::Operand& y) {
    return ops::inplace("pow_", x, [&](const Tensor& v) { return ops::pow(v, y); });
  });
}
PyObject* nb_matmul(PyObject* a, PyObject* b) {
  if (!is_tensor(a) || !is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  if (custom_operands(a, b)) return custom_binary("matmul", a, b);
  const OpTimer timer("matmul");
  return binary(a, b, [](const ops::Operand& x, const ops::Operand& y) {
    return with_casts("matmul", x, y, [](const ops::Operand& u, const ops::Operand& v) {
      return ops::matmul(u.tensor, v.tensor);
    });
  });
}
PyObject* nb_neg(PyObject* a) {
  if (custom_operand(a)) return custom_call("neg", a);
  const OpTimer timer("neg");
  return unary(a, [](const Tensor& x) { return ops::neg(x); });
}
PyObject* nb_pos(PyObject* a) { return Py_NewRef(a); }
PyObject* nb_abs(PyObject* a) {
  if (custom_operand(a)) return custom_call("abs", a);
  return unary(a, [](const Tensor& x) { return ops::abs(x); });
}
PyObject* nb_invert(PyObject* a) {
  if (custom_operand(a)) return custom_call("bitwise_not", a);
  return unary(a, [](const Tensor& x) { return ops::bitwise_not(x); });
}

bool one_value(PyObject* o, const char* what, Scalar* out) {
  try {
    const Tensor& x = unwrap(o);
    if (x.numel() != 1) {
      if (std::strcmp(what, "bool") == 0)
        PyErr_Format(PyExc_RuntimeError,
                     "Boolean value of Tensor with %s is ambiguous; use .any(), .all() or .numel()",
                     x.numel() ? "more than one value" : "no values");
      else
        PyErr_Format(PyExc_ValueError,
                     "only one element tensors can be converted to Python scalars (%s of %lld elements)",
                     what, static_cast<long long>(x.numel()));
      return false;
    }
    *out = ops::item(x);
    return true;
  } catch (...) {
    raise_current_exception();
    return false;
  }
}
int nb_bool(PyObject* o) {
  Scalar s;
  return one_value(o, "bool", &s) ? s.to_bool() : -1;
}
PyObject* nb_float(PyObject* o) {
  Scalar s;
  return one_value(o, "float", &s) ? PyFloat_FromDouble(s.to_double()) : nullptr;
}
PyObject* nb_int(PyObject* o) {
  Scalar s;
  if (!one_value(o, "int", &s)) return nullptr;
  return s.is_float() ? PyLong_FromDouble(s.to_double()) : PyLong_FromLongLong(s.to_int());
}
PyObject* nb_index(PyObject* o) {
  if (!is_integral(unwrap(o).dtype()) || unwrap(o).numel() != 1) {
    PyErr_SetString(PyExc_TypeError, "only integer tensors of a single element can be converted to an index");
    return nullptr;
  }
  return nb_int(o);
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
  static const char* const kCompared[] = {"lt", "le", "eq", "ne", "gt", "ge"};  // in the order of Py_LT ...
  if (custom_operands(a, b)) return custom_binary(kCompared[op], a, b);
  PyObject* r = binary(a, b, [op](const ops::Operand& x, const ops::Operand& y) {
    switch (op) {
      case Py_LT:
        return ops::lt(x, y);
      case Py_LE:
        return ops::le(x, y);
      case Py_EQ:
        return ops::eq(x, y);
      case Py_NE:
        return ops::ne(x, y);
      case Py_GT:
        return ops::gt(x, y);
      default:
        return ops::ge(x, y);
    }
  });
  if (r != Py_NotImplemented || (op != Py_EQ && op != Py_NE)) return r;
  Py_DECREF(r);
  return compare_with_array(a, b, op);
}
Py_hash_t tensor_hash(PyObject* o) { return static_cast<Py_hash_t>(reinterpret_cast<intptr_t>(o) >> 4); }

// `element in x`: a slot of its own, else Python compares with the rows of x one by one.
int tensor_contains(PyObject* self, PyObject* element) {
  PyObject* r = PyObject_CallMethod(self, "__contains__", "O", element);
  if (!r) return -1;
  const int found = PyObject_IsTrue(r);
  Py_DECREF(r);
  return found;
}
Py_ssize_t tensor_length(PyObject* o) {
  const Tensor& x = unwrap(o);
  if (x.dim() == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
    return -1;
  }
  return x.size(0);
}

PyObject* tensor_iter(PyObject* o) {
  try {
    if (unwrap(o).dim() == 0) {
      PyErr_SetString(PyExc_TypeError, "iteration over a 0-d tensor");
      return nullptr;
    }
    const Owned rows(is_custom(o) ? PyObject_CallMethod(o, "unbind", nullptr)
                                  : wrap(ops::unbind(unwrap(o), 0)));
    return PyObject_GetIter(rows.o);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

// Tensor.__torch_function__(func, types, args, kwargs), of a class
PyObject* torch_function(PyObject* cls, PyObject* args, PyObject* kwargs) {
  PyObject* m = PyImport_ImportModule("ccdl._tensor_methods");
  PyObject* f = m ? PyObject_GetAttrString(m, "torch_function") : nullptr;
  PyObject* own = f ? PyTuple_Pack(1, cls) : nullptr;
  PyObject* all = own ? PySequence_Concat(own, args) : nullptr;
  PyObject* r = all ? PyObject_Call(f, all, kwargs) : nullptr;
  Py_XDECREF(all);
  Py_XDECREF(own);
  Py_XDECREF(f);
  Py_XDECREF(m);
  return r;
}

PyObject* tensor_repr(PyObject* o) {
  PyObject* m = PyImport_ImportModule("ccdl._tensor_str");
  PyObject* r = m ? PyObject_CallMethod(m, "_str", "O", o) : nullptr;
  Py_XDECREF(m);
  return r;
}

template <class F>
void* fn(F f) {
  return reinterpret_cast<void*>(f);
}

}  // namespace

const Tensor& unwrap(PyObject* o) { return obj(o)->tensor; }

PyObject* wrap(const Tensor& x) {
  if (!x.defined()) Py_RETURN_NONE;
  TensorImpl* impl = x.impl();
  if (impl->object) {
    PyObject* o = static_cast<PyObject*>(impl->object);
    if (!impl->owns_object) return Py_NewRef(o);
    impl->owns_object = false;  // the tensor's reference on the object becomes the caller's
    impl->retain();
    return o;
  }
  return alloc_tensor(TensorType, x);
}

bool init_tensor_type(PyObject* module) {
  TensorImpl::drop_object = drop_object;
  PyType_Slot meta_slots[] = {{Py_tp_init, fn(meta_init)}, {Py_tp_base, &PyType_Type}, {0, nullptr}};
  PyType_Spec meta_spec = {"ccdl._C.TensorMeta", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, meta_slots};
  TensorMeta = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&meta_spec));
  if (!TensorMeta) return false;

  static PyMemberDef members[] = {
      {"__dictoffset__", T_PYSSIZET, offsetof(TensorObject, dict), READONLY, nullptr},
      {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weakrefs), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyMethodDef methods[] = {
      {"_make_subclass", reinterpret_cast<PyCFunction>(fn(make_subclass)), METH_FASTCALL | METH_STATIC,
       nullptr},
      {"__torch_function__", reinterpret_cast<PyCFunction>(fn(torch_function)),
       METH_CLASS | METH_VARARGS | METH_KEYWORDS, nullptr},
      {"_swap_impl", reinterpret_cast<PyCFunction>(fn(swap_impl)), METH_FASTCALL | METH_STATIC, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_new, fn(tensor_new)},
                         {Py_tp_dealloc, fn(tensor_dealloc)},
                         {Py_tp_traverse, fn(tensor_traverse)},
                         {Py_tp_clear, fn(tensor_clear)},
                         {Py_tp_members, members},
                         {Py_tp_methods, methods},
                         {Py_tp_getset, tensor_properties()},
                         {Py_tp_repr, fn(tensor_repr)},
                         {Py_tp_hash, fn(tensor_hash)},
                         {Py_tp_richcompare, fn(compare)},
                         {Py_tp_iter, fn(tensor_iter)},
                         {Py_sq_contains, fn(tensor_contains)},
                         {Py_mp_length, fn(tensor_length)},
                         {Py_mp_subscript, fn(tensor_subscript)},
                         {Py_mp_ass_subscript, fn(tensor_assign_subscript)},
                         {Py_bf_getbuffer, fn(tensor_get_buffer)},
                         {Py_bf_releasebuffer, fn(tensor_release_buffer)},
                         {Py_nb_add, fn(nb_add)},
                         {Py_nb_subtract, fn(nb_sub)},
                         {Py_nb_multiply, fn(nb_mul)},
                         {Py_nb_true_divide, fn(true_divide)},
                         {Py_nb_floor_divide, fn(nb_floordiv)},
                         {Py_nb_remainder, fn(nb_mod)},
                         {Py_nb_power, fn(nb_pow)},
                         {Py_nb_matrix_multiply, fn(nb_matmul)},
                         {Py_nb_and, fn(nb_and)},
                         {Py_nb_or, fn(nb_or)},
                         {Py_nb_xor, fn(nb_xor)},
                         {Py_nb_lshift, fn(nb_shl)},
                         {Py_nb_rshift, fn(nb_shr)},
                         {Py_nb_inplace_add, fn(nb_iadd)},
                         {Py_nb_inplace_subtract, fn(nb_isub)},
                         {Py_nb_inplace_multiply, fn(nb_imul)},
                         {Py_nb_inplace_true_divide, fn(nb_idiv)},
                         {Py_nb_inplace_floor_divide, fn(nb_ifloordiv)},
                         {Py_nb_inplace_remainder, fn(nb_imod)},
                         {Py_nb_inplace_power, fn(nb_ipow)},
                         {Py_nb_inplace_and, fn(nb_iand)},
                         {Py_nb_inplace_or, fn(nb_ior)},
                         {Py_nb_inplace_xor, fn(nb_ixor)},
                         {Py_nb_inplace_lshift, fn(nb_ishl)},
                         {Py_nb_inplace_rshift, fn(nb_ishr)},
                         {Py_nb_negative, fn(nb_neg)},
                         {Py_nb_positive, fn(nb_pos)},
                         {Py_nb_absolute, fn(nb_abs)},
                         {Py_nb_invert, fn(nb_invert)},
                         {Py_nb_bool, fn(nb_bool)},
                         {Py_nb_float, fn(nb_float)},
                         {Py_nb_int, fn(nb_int)},
                         {Py_nb_index, fn(nb_index)},
                         {0, nullptr}};
  PyType_Spec spec = {"ccdl.Tensor", sizeof(TensorObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) return false;
  // The metaclass is set afterwards: PyType_FromMetaclass exists only from Python 3.12 on.
  Py_SET_TYPE(type, TensorMeta);
  Py_INCREF(TensorMeta);
  TensorType = reinterpret_cast<PyTypeObject*>(type);
  PyObject* priority = PyLong_FromLong(1000);
  PyDict_SetItemString(TensorType->tp_dict, "__array_priority__", priority);
  Py_DECREF(priority);
  return PyModule_AddObject(module, "Tensor", Py_NewRef(type)) == 0;
}

}  // namespace ccdl::python
