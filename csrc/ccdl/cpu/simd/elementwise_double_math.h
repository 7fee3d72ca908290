// The double vector as a mathematics for elementwise_functors.h.
#pragma once
#include <ccdl/cpu/simd/vmath_double_binary.h>

// The functions of one argument that the float and the double mathematics both have.
// clang-format off
#define CCDL_VECTOR_FUNCTIONS(X)                                                                          \
  X(abs) X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(floor) X(ceil) X(trunc) X(round_even) \
  X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) X(asinh) X(acosh) X(atanh)         \
  X(sigmoid) X(silu) X(erf) X(erfc) X(erfinv) X(lgamma)
// clang-format on

namespace ccdl::cpu::CCDL_ISA {
namespace {

struct DoubleVecMath {
  using S = double;
  using V = vd;
  using Mask = vl;
  static constexpr double k(double c) { return c; }
  static constexpr double inf() { return __builtin_inf(); }
  static constexpr double nan() { return __builtin_nan(""); }
  CCDL_SI vd sel(vl m, vd a, vd b) { return m ? a : b; }
  CCDL_SI vd sel(vl m, double a, vd b) { return m ? set1(a) : b; }
  CCDL_SI vd sel(vl m, vd a, double b) { return m ? a : set1(b); }
  CCDL_SI vd sel(vl m, double a, double b) { return m ? set1(a) : set1(b); }
  CCDL_SI vd fma(vd a, vd b, vd c) { return a * b + c; }  // rounded twice, as the kernels of PlainOp
  CCDL_SI vd fma(vd a, double b, vd c) { return a * b + c; }
#define CCDL_VEC1(name) \
  CCDL_SI vd name(vd x) { return d##name(x); }
  CCDL_VECTOR_FUNCTIONS(CCDL_VEC1)
  CCDL_VEC1(digamma)
  CCDL_VEC1(trigamma)
#undef CCDL_VEC1
  CCDL_SI vd sqrt(vd x) { return sqrt_double(x); }
  CCDL_SI vd pow(vd x, vd y) { return dpow(x, y); }
  CCDL_SI vd atan2(vd y, vd x) { return datan2(y, x); }
  CCDL_SI vd copysign(vd x, vd y) { return dwith_sign(x, y); }
  CCDL_SI vd copysign(double x, vd y) { return dwith_sign(set1(x), y); }
  CCDL_SI vd hypot(vd x, vd y) { return dhypot(x, y); }
  CCDL_SI vd fmod(vd x, vd y) { return dfmod(x, y); }
  CCDL_SI vd nextafter(vd x, vd y) { return dnextafter(x, y); }
};

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
