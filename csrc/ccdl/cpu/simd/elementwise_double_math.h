// The double vector as a mathematics for elementwise_functors.h.
#pragma once
#include <ccdl/cpu/simd/vmath_double_binary.h>

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
  CCDL_VEC1(abs)
  CCDL_VEC1(exp)
  CCDL_VEC1(exp2)
  CCDL_VEC1(expm1)
  CCDL_VEC1(log)
  CCDL_VEC1(log2)
  CCDL_VEC1(log10)
  CCDL_VEC1(log1p)
  CCDL_VEC1(sin)
  CCDL_VEC1(cos)
  CCDL_VEC1(tan)
  CCDL_VEC1(asin)
  CCDL_VEC1(acos)
  CCDL_VEC1(atan)
  CCDL_VEC1(sinh)
  CCDL_VEC1(cosh)
  CCDL_VEC1(tanh)
  CCDL_VEC1(asinh)
  CCDL_VEC1(acosh)
  CCDL_VEC1(atanh)
  CCDL_VEC1(sigmoid)
  CCDL_VEC1(silu)
  CCDL_VEC1(erf)
  CCDL_VEC1(erfc)
  CCDL_VEC1(erfinv)
  CCDL_VEC1(lgamma)
  CCDL_VEC1(digamma)
  CCDL_VEC1(trigamma)
  CCDL_VEC1(floor)
  CCDL_VEC1(ceil)
  CCDL_VEC1(trunc)
  CCDL_VEC1(round_even)
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
