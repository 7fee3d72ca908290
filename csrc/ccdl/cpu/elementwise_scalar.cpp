// Elementwise ops in double (through the C library) and in int64, as plain loops. One instantiation for all
// machines: these types are not where training time goes, and integer and double arithmetic is bound by
// memory anyway.
#include <cmath>

#include <ccdl/cpu/elementwise_blocks.h>
#include <ccdl/kernels/elementwise_functors.h>
#include <ccdl/kernels/special_functions.h>

extern "C" double lgamma_r(double x, int* sign);

#pragma GCC optimize("O3")

namespace ccdl::cpu::blocks {
namespace {

struct DoubleMath {
  using S = double;
  static constexpr double k(double c) { return c; }
  static constexpr double inf() { return __builtin_inf(); }
  static constexpr double nan() { return __builtin_nan(""); }
  static double sel(bool m, double a, double b) { return m ? a : b; }
  static double fma(double a, double b, double c) { return a * b + c; }
#define CCDL_C1(name) \
  static double name(double x) { return std::name(x); }
  CCDL_C1(abs)
  CCDL_C1(sqrt)
  CCDL_C1(exp)
  CCDL_C1(exp2)
  CCDL_C1(expm1)
  CCDL_C1(log)
  CCDL_C1(log2)
  CCDL_C1(log10)
  CCDL_C1(log1p)
  CCDL_C1(sin)
  CCDL_C1(cos)
  CCDL_C1(tan)
  CCDL_C1(asin)
  CCDL_C1(acos)
  CCDL_C1(atan)
  CCDL_C1(sinh)
  CCDL_C1(cosh)
  CCDL_C1(tanh)
  CCDL_C1(asinh)
  CCDL_C1(acosh)
  CCDL_C1(atanh)
  CCDL_C1(erf)
  CCDL_C1(erfc)
  CCDL_C1(floor)
  CCDL_C1(ceil)
  CCDL_C1(trunc)
#undef CCDL_C1
  static double sigmoid(double x) {
    const double e = std::exp(-std::fabs(x));
    return (x < 0 ? e : 1.0) / (1.0 + e);
  }
  static double round_even(double x) { return std::nearbyint(x); }
  static double pow(double x, double y) { return std::pow(x, y); }
  static double atan2(double y, double x) { return std::atan2(y, x); }
  static double copysign(double x, double y) { return std::copysign(x, y); }
  static double fmod(double x, double y) { return std::fmod(x, y); }
  static double hypot(double x, double y) { return std::hypot(x, y); }
  static double nextafter(double x, double y) { return std::nextafter(x, y); }
  static double erfinv(double x) { return special::erfinv(x); }
  static double digamma(double x) { return special::digamma(x); }
  static double trigamma(double x) { return special::trigamma(x); }
  static double lgamma(double x) {
    int sign;
    return x == -inf() ? inf() : lgamma_r(x, &sign);
  }
};

using DoubleParams = functors::Params<double>;
DoubleParams double_params(const ElementParams& p) { return {p.f[0], p.f[1], p.f[2]}; }

template <class Op>
bool unary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const DoubleParams p = double_params(params);
  double* y = static_cast<double*>(ptr[0]);
  const double* x = static_cast<const double*>(ptr[1]);
  for (int64_t i = 0; i < n; ++i) y[i] = Op::template fwd<DoubleMath>(x[i], p);
  return false;
}
template <class Op>
bool predicate_block(void* const* ptr, int64_t n, const ElementParams&) {
  uint8_t* y = static_cast<uint8_t*>(ptr[0]);
  const double* x = static_cast<const double*>(ptr[1]);
  for (int64_t i = 0; i < n; ++i) y[i] = Op::template test<DoubleMath>(x[i]);
  return false;
}
template <class Op, UnaryNeeds needs>
bool backward_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const DoubleParams p = double_params(params);
  double* dx = static_cast<double*>(ptr[0]);
  const double *x = static_cast<const double*>(ptr[1]), *y = static_cast<const double*>(ptr[2]);
  const double* dy = static_cast<const double*>(ptr[3]);
  for (int64_t i = 0; i < n; ++i)
    dx[i] = Op::template bwd<DoubleMath>(needs == UnaryNeeds::x ? x[i] : 0.0,
                                         needs == UnaryNeeds::y ? y[i] : 0.0, dy[i], p);
  return false;
}
template <class Op>
bool binary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const DoubleParams p = double_params(params);
  double* y = static_cast<double*>(ptr[0]);
  const double *a = static_cast<const double*>(ptr[1]), *b = static_cast<const double*>(ptr[2]);
  for (int64_t i = 0; i < n; ++i) y[i] = Op::template fwd<DoubleMath>(a[i], b[i], p);
  return false;
}
template <class Op>
bool compare_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const DoubleParams p = double_params(params);
  uint8_t* y = static_cast<uint8_t*>(ptr[0]);
  const double *a = static_cast<const double*>(ptr[1]), *b = static_cast<const double*>(ptr[2]);
  for (int64_t i = 0; i < n; ++i) y[i] = Op::template test<DoubleMath>(a[i], b[i], p);
  return false;
}
template <class Op>
bool ternary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const DoubleParams p = double_params(params);
  double* y = static_cast<double*>(ptr[0]);
  const double *a = static_cast<const double*>(ptr[1]), *b = static_cast<const double*>(ptr[2]);
  const double* c = static_cast<const double*>(ptr[3]);
  for (int64_t i = 0; i < n; ++i) y[i] = Op::template fwd<DoubleMath>(a[i], b[i], c[i], p);
  return false;
}

}  // namespace

ElementFn unary_f64(UnaryOp op) {
#define CCDL_DOMAIN_F(Name) unary_block<functors::Name>,
#define CCDL_DOMAIN_N(Name) unary_block<functors::Name>,
#define CCDL_DOMAIN_P(Name) predicate_block<functors::Name>,
#define CCDL_X(Name, domain, needs) CCDL_DOMAIN_##domain(Name)
  static constexpr ElementFn table[] = {CCDL_UNARY_OPS(CCDL_X)};
#undef CCDL_X
#undef CCDL_DOMAIN_F
#undef CCDL_DOMAIN_N
#undef CCDL_DOMAIN_P
  return table[static_cast<int>(op)];
}

ElementFn unary_backward_f64(UnaryOp op) {
#define CCDL_NEEDS_none(Name) backward_block<functors::Name, UnaryNeeds::none>,
#define CCDL_NEEDS_x(Name) backward_block<functors::Name, UnaryNeeds::x>,
#define CCDL_NEEDS_y(Name) backward_block<functors::Name, UnaryNeeds::y>,
#define CCDL_NEEDS_zero(Name) nullptr,
#define CCDL_X(Name, domain, needs) CCDL_NEEDS_##needs(Name)
  static constexpr ElementFn table[] = {CCDL_UNARY_OPS(CCDL_X)};
#undef CCDL_X
  return table[static_cast<int>(op)];
}

ElementFn binary_f64(BinaryOp op) {
#define CCDL_DOMAIN_F(Name) binary_block<functors::Name>,
#define CCDL_DOMAIN_N(Name) binary_block<functors::Name>,
#define CCDL_DOMAIN_I(Name) nullptr,
#define CCDL_DOMAIN_C(Name) compare_block<functors::Name>,
#define CCDL_X(Name, domain) CCDL_DOMAIN_##domain(Name)
  static constexpr ElementFn table[] = {CCDL_BINARY_OPS(CCDL_X)};
#undef CCDL_X
  return table[static_cast<int>(op)];
}

ElementFn ternary_f64(TernaryOp op) {
#define CCDL_X(Name) ternary_block<functors::Name>,
  static constexpr ElementFn table[] = {CCDL_TERNARY_OPS(CCDL_X)};
#undef CCDL_X
  return table[static_cast<int>(op)];
}

}  // namespace ccdl::cpu::blocks
