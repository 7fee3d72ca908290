// Rows of the factories.
#include "binding.h"

#include <ccdl/ops/create.h>

namespace ccdl::python {
namespace {

// Positions of the keywords every factory ends with.
struct Options {
  int out, dtype, device, requires_grad;
  bool keeps_shape = false;  // ranges fill an out= of as many elements whatever its shape
};

// f(dtype, device) makes the tensor; `fallback` is its dtype when none was given.
template <class F>
PyObject* make(const Args& a, const char* op, Options o, DType fallback, const F& f) {
  DType t = fallback;
  if (a.dtype_or(o.dtype))
    t = a.dtype(o.dtype);
  else if (o.out >= 0 && !a.is_none(o.out))
    t = a.tensor(o.out).dtype();
  Tensor y = f(t, a.device(o.device));
  if (o.out >= 0 && !a.is_none(o.out)) {
    const Tensor& out = a.tensor(o.out);
    CCDL_CHECK(t == out.dtype(), DType, op, ": dtype ", dtype_name(t), " does not match the dtype of out=, ",
               dtype_name(out.dtype()));
    if (o.keeps_shape && y.numel() == out.numel()) y = ops::view(y, out.sizes());
    y = ops::write_out(op, y, out);
  }
  if (a.boolean(o.requires_grad)) autograd::set_requires_grad(y, true);
  return wrap(y);
}

#define OPTIONS                                                                               \
  "dtype? dtype=None, layout? layout=None, device? device=None, bool pin_memory=False, bool " \
  "requires_grad=False"

PyObject* like(const Args& a, int first, Tensor y) {  // first: position of dtype
  if (!a.is_none(first + 2) && !(a.device(first + 2) == y.device()))
    fail(ErrorKind::Device, str("factory: device ", a.device(first + 2).name(), " differs from the input's ",
                                y.device().name(), "; move the input first"));
  if (a.boolean(first + 4)) autograd::set_requires_grad(y, true);
  return wrap(y);
}

DType value_dtype(const Scalar& v) { return v.dtype(default_dtype()); }

PyObject* full_row(const Args& a) {
  return make(a, "full", {2, 3, 5, 7}, value_dtype(a.scalar(1)),
              [&](DType t, Device d) { return ops::full(a.ints(0), a.scalar(1), t, d); });
}

PyObject* arange_row(const Args& a, Scalar start, Scalar end, Scalar step, int first) {
  return make(a, "arange", {first, first + 1, first + 3, first + 5, true},
              ops::arange_dtype(start, end, step),
              [&](DType t, Device d) { return ops::arange(start, end, step, t, d); });
}

PyObject* new_filled(const Args& a, std::optional<Scalar> value, int first) {  // first: position of dtype
  const Tensor& x = a.tensor(0);
  const DType t = a.dtype_or(first).value_or(x.dtype());
  const Device d = a.is_none(first + 2) ? x.device() : a.device(first + 2);
  Tensor y = value ? ops::full(a.ints(1), *value, t, d) : empty(a.ints(1), t, d);
  if (a.boolean(first + 4)) autograd::set_requires_grad(y, true);
  return wrap(y);
}

template <bool Upper>
PyObject* triangle_row(const Args& a) {
  const DType t = a.dtype_or(3).value_or(DType::Int64);
  return wrap(ops::triangle_indices(a.integer(0), a.integer(1), a.integer(2), Upper, t, a.device(5)));
}

}  // namespace

static const Row kRows[] = {
    {"empty(int[]* size, *, Tensor? out=None, memory_format? memory_format=None, " OPTIONS ") -> Tensor",
     [](const Args& a) {
       const MemoryFormat f = a.is_none(2) || a.memory_format(2) == MemoryFormat::Preserve
                                  ? MemoryFormat::Contiguous
                                  : a.memory_format(2);
       return make(a, "empty", {1, 3, 5, 7}, default_dtype(),
                   [&](DType t, Device d) { return empty(a.ints(0), t, d, f); });
     }},
    {"empty_strided(int[] size, int[] stride, *, " OPTIONS ") -> Tensor",
     [](const Args& a) {
       return make(a, "empty_strided", {-1, 2, 4, 6}, default_dtype(),
                   [&](DType t, Device d) { return empty_strided(a.ints(0), a.ints(1), t, d); });
     }},
    {"zeros(int[]* size, *, Tensor? out=None, " OPTIONS ") -> Tensor",
     [](const Args& a) {
       return make(a, "zeros", {1, 2, 4, 6}, default_dtype(),
                   [&](DType t, Device d) { return ops::zeros(a.ints(0), t, d); });
     }},
    {"ones(int[]* size, *, Tensor? out=None, " OPTIONS ") -> Tensor",
     [](const Args& a) {
       return make(a, "ones", {1, 2, 4, 6}, default_dtype(),
                   [&](DType t, Device d) { return ops::ones(a.ints(0), t, d); });
     }},
    {"full(int[1] size, Scalar fill_value, *, Tensor? out=None, " OPTIONS ") -> Tensor", full_row},
    {"empty_like(Tensor input, *, " OPTIONS ", memory_format? memory_format=None) -> Tensor",
     [](const Args& a) {
       return like(a, 1, ops::empty_like(a.tensor(0), a.dtype_or(1), a.memory_format(6)));
     }},
    {"zeros_like(Tensor input, *, " OPTIONS ", memory_format? memory_format=None) -> Tensor",
     [](const Args& a) {
       return like(a, 1, ops::zeros_like(a.tensor(0), a.dtype_or(1), a.memory_format(6)));
     }},
    {"ones_like(Tensor input, *, " OPTIONS ", memory_format? memory_format=None) -> Tensor",
     [](const Args& a) {
       return like(a, 1, ops::ones_like(a.tensor(0), a.dtype_or(1), a.memory_format(6)));
     }},
    {"full_like(Tensor input, Scalar fill_value, *, " OPTIONS
     ", memory_format? memory_format=None) -> Tensor",
     [](const Args& a) {
       return like(a, 2, ops::full_like(a.tensor(0), a.scalar(1), a.dtype_or(2), a.memory_format(7)));
     }},
    {"new_empty(Tensor self, int[]* size, *, " OPTIONS ") -> Tensor",
     [](const Args& a) { return new_filled(a, std::nullopt, 2); }},
    {"new_empty_strided(Tensor self, int[] size, int[] stride, *, " OPTIONS ") -> Tensor",
     [](const Args& a) {
       const Tensor& x = a.tensor(0);
       Tensor y = empty_strided(a.ints(1), a.ints(2), a.dtype_or(3).value_or(x.dtype()),
                                a.is_none(5) ? x.device() : a.device(5));
       if (a.boolean(7)) autograd::set_requires_grad(y, true);
       return wrap(y);
     }},
    {"new_zeros(Tensor self, int[]* size, *, " OPTIONS ") -> Tensor",
     [](const Args& a) { return new_filled(a, Scalar(0), 2); }},
    {"new_ones(Tensor self, int[]* size, *, " OPTIONS ") -> Tensor",
     [](const Args& a) { return new_filled(a, Scalar(1), 2); }},
    {"new_full(Tensor self, int[1] size, Scalar fill_value, *, " OPTIONS ") -> Tensor",
     [](const Args& a) { return new_filled(a, a.scalar(2), 3); }},
    {"arange(Scalar end, *, Tensor? out=None, " OPTIONS ") -> Tensor",
     [](const Args& a) { return arange_row(a, 0, a.scalar(0), 1, 1); }},
    {"arange(Scalar start, Scalar end, Scalar step=1, *, Tensor? out=None, " OPTIONS ") -> Tensor",
     [](const Args& a) { return arange_row(a, a.scalar(0), a.scalar(1), a.scalar(2), 3); }},
    {"linspace(float start, float end, int steps, *, Tensor? out=None, " OPTIONS ") -> Tensor",
     [](const Args& a) {
       return make(a, "linspace", {3, 4, 6, 8, true}, default_dtype(), [&](DType t, Device d) {
         return ops::linspace(a.real(0), a.real(1), a.integer(2), t, d);
       });
     }},
    {"logspace(float start, float end, int steps, float base=10.0, *, Tensor? out=None, " OPTIONS
     ") -> Tensor",
     [](const Args& a) {
       return make(a, "logspace", {4, 5, 7, 9, true}, default_dtype(), [&](DType t, Device d) {
         return ops::logspace(a.real(0), a.real(1), a.integer(2), a.real(3), t, d);
       });
     }},
    {"eye(int n, int? m=None, *, Tensor? out=None, " OPTIONS ") -> Tensor",
     [](const Args& a) {
       return make(a, "eye", {2, 3, 5, 7}, default_dtype(), [&](DType t, Device d) {
         return ops::eye(a.integer(0), a.integer_or(1).value_or(a.integer(0)), t, d);
       });
     }},
    {"tril_indices(int row, int col, int offset=0, *, " OPTIONS ") -> Tensor", triangle_row<false>},
    {"triu_indices(int row, int col, int offset=0, *, " OPTIONS ") -> Tensor", triangle_row<true>},
    {"one_hot(Tensor tensor, int num_classes=-1) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::one_hot(a.tensor(0), a.integer(1)); }); }},
};

void bind_create(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
