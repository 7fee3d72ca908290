// Rows of elementwise arithmetic, comparison, logic and mathematical functions, with their in-place twins.
#include "binding.h"

#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {
namespace {

using ops::Operand;

// clang-format off
// name(x), x.name(), x.name_() and out=.
#define CCDL_UNARY_ROWS(name, function)                                                                               \
  {#name "(Tensor input, *, Tensor? out=None) -> Tensor",                                                              \
   [](const Args& a) {                                                                                                 \
     return a.run_into(1, [&] { return ops::function(a.tensor(0)); },                                                  \
                       [&](const Tensor& out) { return ops::out_unary(#name, ops::function, a.tensor(0), out); });     \
   }, kBoth},                                                                                                          \
  {#name "_(Tensor input) -> Tensor",                                                                                  \
   [](const Args& a) { return a.run([&] { return ops::inplace_unary(#name "_", ops::function, a.tensor(0)); }); }, kBoth},

// A predicate: no in-place twin.
#define CCDL_TEST_ROW(name)                                                                                            \
  {#name "(Tensor input, *, Tensor? out=None) -> Tensor",                                                              \
   [](const Args& a) { return a.run_out(1, #name, [&] { return ops::name(a.tensor(0)); }); }, kBoth},

#define CCDL_BINARY_ROW(name, function) CCDL_TWO_ROW(name, function, "Number other")
#define CCDL_TWO_ROW(name, function, right)                                                                            \
  {#name "(Tensor input, " right ", *, Tensor? out=None) -> Tensor",                                                \
   [](const Args& a) {                                                                                                 \
     return a.run_into(2, [&] { return ops::function(a.tensor(0), a.operand(1)); }, [&](const Tensor& out) {           \
       return ops::out_binary(#name, ops::function, a.tensor(0), a.operand(1), out);                                   \
     });                                                                                                               \
   }, kBoth},
#define CCDL_BINARY_INPLACE(name, function) CCDL_TWO_INPLACE(name, function, "Number other")
#define CCDL_TWO_INPLACE(name, function, right)                                                                        \
  {#name "_(Tensor self, " right ") -> Tensor", [](const Args& a) {                                                 \
     return a.run([&] {                                                                                                \
       return ops::inplace_binary(#name "_", ops::function, a.tensor(0), a.operand(1));                                \
     });                                                                                                               \
   }},
#define CCDL_BINARY_ROWS(name, function) CCDL_BINARY_ROW(name, function) CCDL_BINARY_INPLACE(name, function)
// Both operands are tensors.
#define CCDL_TENSORS_ROW(name, function) CCDL_TWO_ROW(name, function, "Operand other")
#define CCDL_TWO_ROWS_NAMED(name, function, right) CCDL_TWO_ROW(name, function, right) CCDL_TWO_INPLACE(name, function, right)
#define CCDL_TENSORS_ROWS(name, function) CCDL_TWO_ROWS_NAMED(name, function, "Operand other")
// The number on the left: a function only.
#define CCDL_LEFT_NUMBER(name, function, right)                                                                        \
  {#name "(Scalar input, Tensor " right ", *, Tensor? out=None) -> Tensor",                                            \
   [](const Args& a) { return a.run_out(2, #name, [&] { return ops::function(a.scalar(0), a.tensor(1)); }); }},

// Two numbers: a function only, the result 0-d.
#define CCDL_TWO_NUMBERS(name, call)                                                                                   \
  {#name "(Scalar input, Number other, *, Tensor? out=None) -> Tensor",                                                \
   [](const Args& a) { return a.run_out(2, #name, [&] { return call(number(a.scalar(0)), a.operand(1)); }); }, kOldForm},

// clang-format on
Tensor number(const Scalar& s) { return scalar_tensor(s, s.dtype(default_dtype())); }
Tensor add_numbers(const Operand& x, const Operand& y) { return ops::add(x, y, 1); }
Tensor sub_numbers(const Operand& x, const Operand& y) { return ops::sub(x, y, 1); }
Tensor divide(const Operand& x, const Operand& y, const std::optional<std::string>& mode) {
  if (!mode) return ops::div(x, y);
  if (*mode == "floor") return ops::floor_divide(x, y);
  CCDL_CHECK(*mode == "trunc", Runtime,
             "div: expected rounding_mode to be one of None, 'trunc', or 'floor' but found '", *mode, "'");
  return ops::trunc_divide(x, y);
}
PyObject* divide_row(const Args& a) {
  const auto mode = a.string_or(2);
  return a.run_out(3, "div", [&] { return divide(a.tensor(0), a.operand(1), mode); });
}
PyObject* divide_inplace_row(const Args& a) {
  const auto mode = a.string_or(2);
  return a.run([&] {
    if (!mode) return ops::div_(a.tensor(0), a.operand(1));
    return ops::inplace("div_", a.tensor(0), [&](const Tensor& x) { return divide(x, a.operand(1), mode); });
  });
}
#define CCDL_DIVIDE_ROWS(name)                                                                               \
  {#name "(Tensor input, Number other, *, str? rounding_mode=None, Tensor? out=None) -> Tensor", divide_row, \
   kBoth},                                                                                                   \
      {#name "_(Tensor self, Number other, *, str? rounding_mode=None) -> Tensor", divide_inplace_row},

#define CCDL_ADD_ROWS(name, function)                                                            \
  {#name "(Tensor input, Number other, *, Scalar alpha=1, Tensor? out=None) -> Tensor",          \
   [](const Args& a) {                                                                           \
     return a.run_into(                                                                          \
         3, [&] { return ops::function(a.tensor(0), a.operand(1), a.scalar(2)); },               \
         [&](const Tensor& out) {                                                                \
           return ops::function##_out(a.tensor(0), a.operand(1), a.scalar(2), out);              \
         });                                                                                     \
   },                                                                                            \
   kBoth},                                                                                       \
      {#name "_(Tensor self, Number other, *, Scalar alpha=1) -> Tensor", [](const Args& a) {    \
         return a.run([&] { return ops::function##_(a.tensor(0), a.operand(1), a.scalar(2)); }); \
       }},

Tensor clamp(const Tensor& x, const Args& a, int low, int high) {
  const bool tensors =
      (!a.is_none(low) && a.operand(low).is_tensor()) || (!a.is_none(high) && a.operand(high).is_tensor());
  auto tensor_of = [&](int i) {
    if (a.is_none(i)) return Tensor();
    const Operand o = a.operand(i);
    return o.is_tensor() ? o.tensor : scalar_tensor(o.scalar, o.scalar.dtype(x.dtype()));
  };
  if (tensors) return ops::clamp(x, tensor_of(low), tensor_of(high));
  return ops::clamp(x, a.scalar_or(low), a.scalar_or(high));
}
bool is_number(const Args& a, int i) { return a.is_none(i) || !a.operand(i).is_tensor(); }
Tensor clamp_(const char* name, const Args& a) {
  if (is_number(a, 1) && is_number(a, 2)) return ops::clamp_(a.tensor(0), a.scalar_or(1), a.scalar_or(2));
  return ops::inplace(name, a.tensor(0), [&](const Tensor& x) { return clamp(x, a, 1, 2); });
}
#define CCDL_CLAMP_ROWS(name)                                                                              \
  {#name "(Tensor input, Number? min=None, Number? max=None, *, Tensor? out=None) -> Tensor",              \
   [](const Args& a) { return a.run_out(3, #name, [&] { return clamp(a.tensor(0), a, 1, 2); }); }, kBoth}, \
      {#name "_(Tensor input, Number? min=None, Number? max=None) -> Tensor",                              \
       [](const Args& a) { return a.run([&] { return clamp_(#name "_", a); }); }, kBoth},

Tensor clamp_one(const Tensor& x, const Operand& bound, bool low) {
  if (bound.is_tensor())
    return low ? ops::clamp(x, bound.tensor, Tensor()) : ops::clamp(x, Tensor(), bound.tensor);
  return low ? ops::clamp(x, bound.scalar, std::nullopt) : ops::clamp(x, std::nullopt, bound.scalar);
}
Tensor clamp_one_(const char* name, const Tensor& x, const Operand& bound, bool low) {
  if (bound.is_tensor())
    return ops::inplace(name, x, [&](const Tensor& v) { return clamp_one(v, bound, low); });
  return low ? ops::clamp_(x, bound.scalar, std::nullopt) : ops::clamp_(x, std::nullopt, bound.scalar);
}
#define CCDL_BOUND_ROWS(bound, low)                                                                     \
  {"clamp_" #bound "(Tensor input, Number " #bound ", *, Tensor? out=None) -> Tensor",                  \
   [](const Args& a) {                                                                                  \
     return a.run_out(2, "clamp_" #bound, [&] { return clamp_one(a.tensor(0), a.operand(1), low); });   \
   },                                                                                                   \
   kBoth},                                                                                              \
      {"clamp_" #bound "_(Tensor input, Number " #bound ") -> Tensor",                                  \
       [](const Args& a) {                                                                              \
         return a.run([&] { return clamp_one_("clamp_" #bound "_", a.tensor(0), a.operand(1), low); }); \
       },                                                                                               \
       kBoth},

// x.add_(alpha, other) and x.addcmul_(value, tensor1, tensor2), which public optimisers still use.
#define CCDL_OLD_ADD_ROWS(name, function)                                                        \
  {#name "(Tensor input, Scalar alpha, Tensor other) -> Tensor",                                 \
   [](const Args& a) {                                                                           \
     return a.run([&] { return ops::function(a.tensor(0), a.operand(2), a.scalar(1)); });        \
   },                                                                                            \
   kOldForm},                                                                                    \
      {#name "_(Tensor self, Scalar alpha, Tensor other) -> Tensor",                             \
       [](const Args& a) {                                                                       \
         return a.run([&] { return ops::function##_(a.tensor(0), a.operand(2), a.scalar(1)); }); \
       },                                                                                        \
       kOldForm},
#define CCDL_OLD_ADDC_ROWS(name)                                                                         \
  {#name "(Tensor input, Scalar value, Tensor tensor1, Tensor tensor2) -> Tensor",                       \
   [](const Args& a) {                                                                                   \
     return a.run([&] { return ops::name(a.tensor(0), a.tensor(2), a.tensor(3), a.scalar(1)); });        \
   },                                                                                                    \
   kOldForm},                                                                                            \
      {#name "_(Tensor self, Scalar value, Tensor tensor1, Tensor tensor2) -> Tensor",                   \
       [](const Args& a) {                                                                               \
         return a.run([&] { return ops::name##_(a.tensor(0), a.tensor(2), a.tensor(3), a.scalar(1)); }); \
       },                                                                                                \
       kOldForm},

PyObject* where_row(const Args& a) {
  return a.run_out(3, "where", [&] { return ops::where(a.tensor(0), a.operand(1), a.operand(2)); });
}
PyObject* lerp_row(const Args& a) {
  return a.run_out(3, "lerp", [&] { return ops::lerp(a.tensor(0), a.tensor(1), a.operand(2)); });
}
PyObject* lerp_inplace_row(const Args& a) {
  return a.run([&] { return ops::lerp_(a.tensor(0), a.tensor(1), a.operand(2)); });
}
#define CCDL_ADDC_ROWS(name)                                                                              \
  {#name "(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1, Tensor? out=None) -> Tensor", \
   [](const Args& a) {                                                                                    \
     return a.run_out(4, #name,                                                                           \
                      [&] { return ops::name(a.tensor(0), a.tensor(1), a.tensor(2), a.scalar(3)); });     \
   },                                                                                                     \
   kBoth},                                                                                                \
      {#name "_(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",               \
       [](const Args& a) {                                                                                \
         return a.run([&] { return ops::name##_(a.tensor(0), a.tensor(1), a.tensor(2), a.scalar(3)); });  \
       }},

Tensor nan_to_num(const Tensor& x, const Args& a) {
  return ops::nan_to_num(x, a.real_or(1), a.real_or(2), a.real_or(3));
}
Tensor logit(const Tensor& x, const std::optional<double>& eps) { return ops::logit(x, eps); }

}  // namespace

// clang-format off
static const Row kUnaryRows[] = {
    CCDL_UNARY_ROWS(neg, neg) CCDL_UNARY_ROWS(negative, neg) CCDL_UNARY_ROWS(abs, abs) CCDL_UNARY_ROWS(absolute, abs)
    CCDL_UNARY_ROWS(sign, sign) CCDL_UNARY_ROWS(sgn, sign) CCDL_UNARY_ROWS(square, square) CCDL_UNARY_ROWS(sqrt, sqrt)
    CCDL_UNARY_ROWS(rsqrt, rsqrt) CCDL_UNARY_ROWS(reciprocal, reciprocal) CCDL_UNARY_ROWS(exp, exp)
    CCDL_UNARY_ROWS(exp2, exp2) CCDL_UNARY_ROWS(expm1, expm1) CCDL_UNARY_ROWS(log, log) CCDL_UNARY_ROWS(log2, log2)
    CCDL_UNARY_ROWS(log10, log10) CCDL_UNARY_ROWS(log1p, log1p) CCDL_UNARY_ROWS(sin, sin) CCDL_UNARY_ROWS(cos, cos)
    CCDL_UNARY_ROWS(tan, tan) CCDL_UNARY_ROWS(asin, asin) CCDL_UNARY_ROWS(arcsin, asin) CCDL_UNARY_ROWS(acos, acos)
    CCDL_UNARY_ROWS(arccos, acos) CCDL_UNARY_ROWS(atan, atan) CCDL_UNARY_ROWS(arctan, atan) CCDL_UNARY_ROWS(sinh, sinh)
    CCDL_UNARY_ROWS(cosh, cosh) CCDL_UNARY_ROWS(tanh, tanh) CCDL_UNARY_ROWS(asinh, asinh) CCDL_UNARY_ROWS(arcsinh, asinh)
    CCDL_UNARY_ROWS(acosh, acosh) CCDL_UNARY_ROWS(arccosh, acosh) CCDL_UNARY_ROWS(atanh, atanh)
    CCDL_UNARY_ROWS(arctanh, atanh) CCDL_UNARY_ROWS(sigmoid, sigmoid) CCDL_UNARY_ROWS(erf, erf) CCDL_UNARY_ROWS(erfc, erfc)
    CCDL_UNARY_ROWS(erfinv, erfinv) CCDL_UNARY_ROWS(lgamma, lgamma) CCDL_UNARY_ROWS(digamma, digamma)
    CCDL_UNARY_ROWS(floor, floor) CCDL_UNARY_ROWS(ceil, ceil) CCDL_UNARY_ROWS(trunc, trunc) CCDL_UNARY_ROWS(fix, trunc)
    CCDL_UNARY_ROWS(frac, frac) CCDL_UNARY_ROWS(sinc, sinc) CCDL_UNARY_ROWS(deg2rad, deg2rad)
    CCDL_UNARY_ROWS(rad2deg, rad2deg) CCDL_UNARY_ROWS(bitwise_not, bitwise_not) CCDL_UNARY_ROWS(logical_not, logical_not)
    CCDL_TEST_ROW(isnan) CCDL_TEST_ROW(isinf) CCDL_TEST_ROW(isfinite) CCDL_TEST_ROW(isposinf) CCDL_TEST_ROW(isneginf)
    CCDL_TEST_ROW(signbit)
    {"positive(Tensor input) -> Tensor", [](const Args& a) { return a.run([&] { return ops::positive(a.tensor(0)); }); }, kBoth},
    {"round(Tensor input, *, int decimals=0, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "round", [&] { return ops::round_decimals(a.tensor(0), a.integer(1)); }); }, kBoth},
    {"round_(Tensor input, *, int decimals=0) -> Tensor", [](const Args& a) {
       return a.run([&] {
         return ops::inplace("round_", a.tensor(0), [&](const Tensor& x) { return ops::round_decimals(x, a.integer(1)); });
       });
     }, kBoth},
    {"logit(Tensor input, float? eps=None, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "logit", [&] { return logit(a.tensor(0), a.real_or(1)); }); }, kBoth},
    {"logit_(Tensor input, float? eps=None) -> Tensor", [](const Args& a) {
       return a.run([&] { return ops::inplace("logit_", a.tensor(0), [&](const Tensor& x) { return logit(x, a.real_or(1)); }); });
     }, kBoth},
    {"nan_to_num(Tensor input, float? nan=None, float? posinf=None, float? neginf=None, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(4, "nan_to_num", [&] { return nan_to_num(a.tensor(0), a); }); }, kBoth},
    {"nan_to_num_(Tensor input, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor", [](const Args& a) {
       return a.run([&] { return ops::inplace("nan_to_num_", a.tensor(0), [&](const Tensor& x) { return nan_to_num(x, a); }); });
     }, kBoth},
    {"polygamma(int n, Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "polygamma", [&] { return ops::polygamma(a.integer(0), a.tensor(1)); }); }},
};

static const Row kBinaryRows[] = {
    CCDL_ADD_ROWS(add, add) CCDL_ADD_ROWS(sub, sub) CCDL_ADD_ROWS(subtract, sub) CCDL_OLD_ADD_ROWS(add, add) CCDL_OLD_ADD_ROWS(sub, sub)
    {"rsub(Tensor input, Number other, *, Scalar alpha=1) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::sub(a.operand(1), a.tensor(0), a.scalar(2)); }); }, kBoth},
    CCDL_BINARY_ROW(mul, mul) CCDL_BINARY_ROW(multiply, mul)
    {"mul_(Tensor self, Number other) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::mul_(a.tensor(0), a.operand(1)); }); }},
    {"multiply_(Tensor self, Number other) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::mul_(a.tensor(0), a.operand(1)); }); }},
    CCDL_DIVIDE_ROWS(div) CCDL_DIVIDE_ROWS(divide) CCDL_BINARY_ROWS(true_divide, div)
    CCDL_BINARY_ROWS(floor_divide, floor_divide) CCDL_BINARY_ROWS(remainder, remainder) CCDL_BINARY_ROWS(fmod, fmod)
    CCDL_LEFT_NUMBER(remainder, remainder, "other")
    CCDL_TWO_NUMBERS(add, add_numbers) CCDL_TWO_NUMBERS(sub, sub_numbers) CCDL_TWO_NUMBERS(subtract, sub_numbers)
    CCDL_TWO_NUMBERS(mul, ops::mul) CCDL_TWO_NUMBERS(multiply, ops::mul) CCDL_TWO_NUMBERS(div, ops::div)
    CCDL_TWO_NUMBERS(divide, ops::div) CCDL_TWO_NUMBERS(true_divide, ops::div) CCDL_TWO_NUMBERS(floor_divide, ops::floor_divide)
    {"pow(Tensor input, Number exponent, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "pow", [&] { return ops::pow(a.tensor(0), a.operand(1)); }); }, kBoth},
    CCDL_LEFT_NUMBER(pow, pow, "exponent")
    {"pow_(Tensor self, Number exponent) -> Tensor", [](const Args& a) {
       return a.run([&] { return ops::pow_(a.tensor(0), a.operand(1)); });
     }},
    {"float_power(Tensor input, Number exponent, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "float_power", [&] { return ops::float_power(a.tensor(0), a.operand(1)); }); }, kBoth},
    CCDL_LEFT_NUMBER(float_power, float_power, "exponent")
    CCDL_TENSORS_ROW(maximum, maximum) CCDL_TENSORS_ROW(minimum, minimum) CCDL_TENSORS_ROW(fmax, fmax) CCDL_TENSORS_ROW(fmin, fmin)
    {"max(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "max", [&] { return ops::maximum(a.tensor(0), a.tensor(1)); }); }, kBoth},
    {"min(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "min", [&] { return ops::minimum(a.tensor(0), a.tensor(1)); }); }, kBoth},
    CCDL_TENSORS_ROWS(atan2, atan2) CCDL_TENSORS_ROWS(arctan2, atan2) CCDL_TENSORS_ROWS(hypot, hypot)
    CCDL_BINARY_ROWS(copysign, copysign) CCDL_TENSORS_ROW(logaddexp, logaddexp) CCDL_TENSORS_ROW(logaddexp2, logaddexp2)
    CCDL_BINARY_ROWS(xlogy, xlogy) CCDL_LEFT_NUMBER(xlogy, xlogy, "other") CCDL_TWO_ROWS_NAMED(heaviside, heaviside, "Operand values")
    CCDL_TENSORS_ROWS(nextafter, nextafter) CCDL_TENSORS_ROWS(gcd, gcd) CCDL_TENSORS_ROWS(lcm, lcm)
    CCDL_BINARY_ROWS(ldexp, ldexp)
    CCDL_BINARY_ROWS(bitwise_and, bitwise_and) CCDL_BINARY_ROWS(bitwise_or, bitwise_or) CCDL_BINARY_ROWS(bitwise_xor, bitwise_xor)
    CCDL_BINARY_ROWS(bitwise_left_shift, bitwise_left_shift) CCDL_BINARY_ROWS(bitwise_right_shift, bitwise_right_shift)
    CCDL_LEFT_NUMBER(bitwise_and, bitwise_and, "other") CCDL_LEFT_NUMBER(bitwise_or, bitwise_or, "other")
    CCDL_LEFT_NUMBER(bitwise_xor, bitwise_xor, "other") CCDL_LEFT_NUMBER(bitwise_left_shift, bitwise_left_shift, "other")
    CCDL_LEFT_NUMBER(bitwise_right_shift, bitwise_right_shift, "other")
    CCDL_TENSORS_ROWS(logical_and, logical_and) CCDL_TENSORS_ROWS(logical_or, logical_or) CCDL_TENSORS_ROWS(logical_xor, logical_xor)
    CCDL_BINARY_ROWS(eq, eq) CCDL_BINARY_ROWS(ne, ne) CCDL_BINARY_ROWS(lt, lt) CCDL_BINARY_ROWS(le, le)
    CCDL_BINARY_ROWS(gt, gt) CCDL_BINARY_ROWS(ge, ge)
    CCDL_BINARY_ROWS(not_equal, ne) CCDL_BINARY_ROWS(less, lt) CCDL_BINARY_ROWS(less_equal, le)
    CCDL_BINARY_ROWS(greater, gt) CCDL_BINARY_ROWS(greater_equal, ge)
};

static const Row kOtherRows[] = {
    CCDL_CLAMP_ROWS(clamp) CCDL_CLAMP_ROWS(clip) CCDL_BOUND_ROWS(min, true) CCDL_BOUND_ROWS(max, false)
    {"where(Tensor condition, Number input, Number other, *, Tensor? out=None) -> Tensor", where_row},
    {"where(Tensor self, Tensor condition, Number other) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::where(a.tensor(1), a.tensor(0), a.operand(2)); }); }},
    {"lerp(Tensor input, Tensor end, Number weight, *, Tensor? out=None) -> Tensor", lerp_row, kBoth},
    {"lerp_(Tensor self, Tensor end, Number weight) -> Tensor", lerp_inplace_row},
    CCDL_ADDC_ROWS(addcmul) CCDL_ADDC_ROWS(addcdiv)
    CCDL_OLD_ADDC_ROWS(addcmul) CCDL_OLD_ADDC_ROWS(addcdiv)
    {"promote_types(dtype type1, dtype type2) -> dtype", [](const Args& a) { return wrap(ops::promote_types(a.dtype(0), a.dtype(1))); }},
    {"result_type(Number tensor, Number other) -> dtype", [](const Args& a) { return wrap(ops::result_type(a.operand(0), a.operand(1))); }},
    {"can_cast(dtype from_, dtype to) -> bool", [](const Args& a) { return wrap(ops::can_cast(a.dtype(0), a.dtype(1))); }},
};

// clang-format on
void bind_elementwise(PyObject* m) {
  add_rows(m, kUnaryRows);
  add_rows(m, kBinaryRows);
  add_rows(m, kOtherRows);
}

}  // namespace ccdl::python
