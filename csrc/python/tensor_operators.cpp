// What Python's operators, comparisons and conversions to numbers do with tensors.
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
namespace {

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

template <class F>
void* fn(F f) {
  return reinterpret_cast<void*>(f);
}

}  // namespace

void add_operator_slots(std::vector<PyType_Slot>* slots) {
  for (const PyType_Slot& slot : {PyType_Slot{Py_tp_richcompare, fn(compare)},
                                  PyType_Slot{Py_nb_add, fn(nb_add)},
                                  PyType_Slot{Py_nb_subtract, fn(nb_sub)},
                                  PyType_Slot{Py_nb_multiply, fn(nb_mul)},
                                  PyType_Slot{Py_nb_true_divide, fn(true_divide)},
                                  PyType_Slot{Py_nb_floor_divide, fn(nb_floordiv)},
                                  PyType_Slot{Py_nb_remainder, fn(nb_mod)},
                                  PyType_Slot{Py_nb_power, fn(nb_pow)},
                                  PyType_Slot{Py_nb_matrix_multiply, fn(nb_matmul)},
                                  PyType_Slot{Py_nb_and, fn(nb_and)},
                                  PyType_Slot{Py_nb_or, fn(nb_or)},
                                  PyType_Slot{Py_nb_xor, fn(nb_xor)},
                                  PyType_Slot{Py_nb_lshift, fn(nb_shl)},
                                  PyType_Slot{Py_nb_rshift, fn(nb_shr)},
                                  PyType_Slot{Py_nb_inplace_add, fn(nb_iadd)},
                                  PyType_Slot{Py_nb_inplace_subtract, fn(nb_isub)},
                                  PyType_Slot{Py_nb_inplace_multiply, fn(nb_imul)},
                                  PyType_Slot{Py_nb_inplace_true_divide, fn(nb_idiv)},
                                  PyType_Slot{Py_nb_inplace_floor_divide, fn(nb_ifloordiv)},
                                  PyType_Slot{Py_nb_inplace_remainder, fn(nb_imod)},
                                  PyType_Slot{Py_nb_inplace_power, fn(nb_ipow)},
                                  PyType_Slot{Py_nb_inplace_and, fn(nb_iand)},
                                  PyType_Slot{Py_nb_inplace_or, fn(nb_ior)},
                                  PyType_Slot{Py_nb_inplace_xor, fn(nb_ixor)},
                                  PyType_Slot{Py_nb_inplace_lshift, fn(nb_ishl)},
                                  PyType_Slot{Py_nb_inplace_rshift, fn(nb_ishr)},
                                  PyType_Slot{Py_nb_negative, fn(nb_neg)},
                                  PyType_Slot{Py_nb_positive, fn(nb_pos)},
                                  PyType_Slot{Py_nb_absolute, fn(nb_abs)},
                                  PyType_Slot{Py_nb_invert, fn(nb_invert)},
                                  PyType_Slot{Py_nb_bool, fn(nb_bool)},
                                  PyType_Slot{Py_nb_float, fn(nb_float)},
                                  PyType_Slot{Py_nb_int, fn(nb_int)},
                                  PyType_Slot{Py_nb_index, fn(nb_index)}})
    slots->push_back(slot);
}

}  // namespace ccdl::python
