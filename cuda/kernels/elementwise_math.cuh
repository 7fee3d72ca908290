// The mathematics of elementwise_functors.h for one device thread: float (also for the half formats) and
// double, with the meaning of the CPU's (csrc/ccdl/cpu/elementwise_scalar.cpp), and wrapping int64 arithmetic
// that has no undefined case (csrc/ccdl/cpu/elementwise_integer.cpp).
#pragma once
#include <ccdl/kernels/elementwise_functors.h>
#include <ccdl/kernels/special_functions.h>
#include <device/prelude.cuh>

namespace ccdl::cu {

struct FloatMath {
  using S = float;
  CCDL_DEVICE static constexpr float k(double c) { return static_cast<float>(c); }
  CCDL_DEVICE static constexpr float inf() { return __builtin_inff(); }
  CCDL_DEVICE static constexpr float nan() { return __builtin_nanf(""); }
  CCDL_DEVICE static float sel(bool m, float a, float b) { return m ? a : b; }
  CCDL_DEVICE static float fma(float a, float b, float c) { return fmaf(a, b, c); }
#define CCDL_M1(name, function) \
  CCDL_DEVICE static float name(float x) { return function(x); }
  CCDL_M1(abs, fabsf)
  CCDL_M1(sqrt, sqrtf)
  CCDL_M1(exp, expf)
  CCDL_M1(exp2, exp2f)
  CCDL_M1(expm1, expm1f)
  CCDL_M1(log, logf)
  CCDL_M1(log2, log2f)
  CCDL_M1(log10, log10f)
  CCDL_M1(log1p, log1pf)
  CCDL_M1(sin, sinf)
  CCDL_M1(cos, cosf)
  CCDL_M1(tan, tanf)
  CCDL_M1(asin, asinf)
  CCDL_M1(acos, acosf)
  CCDL_M1(atan, atanf)
  CCDL_M1(sinh, sinhf)
  CCDL_M1(cosh, coshf)
  CCDL_M1(tanh, tanhf)
  CCDL_M1(asinh, asinhf)
  CCDL_M1(acosh, acoshf)
  CCDL_M1(atanh, atanhf)
  CCDL_M1(erf, erff)
  CCDL_M1(erfc, erfcf)
  CCDL_M1(floor, floorf)
  CCDL_M1(ceil, ceilf)
  CCDL_M1(trunc, truncf)
  CCDL_M1(round_even, rintf)
#undef CCDL_M1
  CCDL_DEVICE static float sigmoid(float x) {
    const float e = expf(-fabsf(x));
    return (x < 0 ? e : 1.0f) / (1.0f + e);
  }
  CCDL_DEVICE static float silu(float x) { return x * sigmoid(x); }
  CCDL_DEVICE static float pow(float x, float y) { return powf(x, y); }
  CCDL_DEVICE static float atan2(float y, float x) { return atan2f(y, x); }
  CCDL_DEVICE static float copysign(float x, float y) { return copysignf(x, y); }
  CCDL_DEVICE static float fmod(float x, float y) { return fmodf(x, y); }
  CCDL_DEVICE static float hypot(float x, float y) { return hypotf(x, y); }
  CCDL_DEVICE static float nextafter(float x, float y) { return nextafterf(x, y); }
  CCDL_DEVICE static float erfinv(float x) { return static_cast<float>(special::erfinv(x)); }
  CCDL_DEVICE static float digamma(float x) { return static_cast<float>(special::digamma(x)); }
  CCDL_DEVICE static float trigamma(float x) { return static_cast<float>(special::trigamma(x)); }
  CCDL_DEVICE static float lgamma(float x) { return x == -inf() ? inf() : lgammaf(x); }
};

struct DoubleMath {
  using S = double;
  CCDL_DEVICE static constexpr double k(double c) { return c; }
  CCDL_DEVICE static constexpr double inf() { return __builtin_inf(); }
  CCDL_DEVICE static constexpr double nan() { return __builtin_nan(""); }
  CCDL_DEVICE static double sel(bool m, double a, double b) { return m ? a : b; }
  CCDL_DEVICE static double fma(double a, double b, double c) { return a * b + c; }
#define CCDL_M1(name, function) \
  CCDL_DEVICE static double name(double x) { return ::function(x); }
  CCDL_M1(abs, fabs)
  CCDL_M1(sqrt, sqrt)
  CCDL_M1(exp, exp)
  CCDL_M1(exp2, exp2)
  CCDL_M1(expm1, expm1)
  CCDL_M1(log, log)
  CCDL_M1(log2, log2)
  CCDL_M1(log10, log10)
  CCDL_M1(log1p, log1p)
  CCDL_M1(sin, sin)
  CCDL_M1(cos, cos)
  CCDL_M1(tan, tan)
  CCDL_M1(asin, asin)
  CCDL_M1(acos, acos)
  CCDL_M1(atan, atan)
  CCDL_M1(sinh, sinh)
  CCDL_M1(cosh, cosh)
  CCDL_M1(tanh, tanh)
  CCDL_M1(asinh, asinh)
  CCDL_M1(acosh, acosh)
  CCDL_M1(atanh, atanh)
  CCDL_M1(erf, erf)
  CCDL_M1(erfc, erfc)
  CCDL_M1(floor, floor)
  CCDL_M1(ceil, ceil)
  CCDL_M1(trunc, trunc)
  CCDL_M1(round_even, rint)
#undef CCDL_M1
  CCDL_DEVICE static double sigmoid(double x) {
    const double e = ::exp(-::fabs(x));
    return (x < 0 ? e : 1.0) / (1.0 + e);
  }
  CCDL_DEVICE static double silu(double x) { return x * sigmoid(x); }
  CCDL_DEVICE static double pow(double x, double y) { return ::pow(x, y); }
  CCDL_DEVICE static double atan2(double y, double x) { return ::atan2(y, x); }
  CCDL_DEVICE static double copysign(double x, double y) { return ::copysign(x, y); }
  CCDL_DEVICE static double fmod(double x, double y) { return ::fmod(x, y); }
  CCDL_DEVICE static double hypot(double x, double y) { return ::hypot(x, y); }
  CCDL_DEVICE static double nextafter(double x, double y) { return ::nextafter(x, y); }
  CCDL_DEVICE static double erfinv(double x) { return special::erfinv(x); }
  CCDL_DEVICE static double digamma(double x) { return special::digamma(x); }
  CCDL_DEVICE static double trigamma(double x) { return special::trigamma(x); }
  CCDL_DEVICE static double lgamma(double x) { return x == -inf() ? inf() : ::lgamma(x); }
};

template <class C>
struct MathOf;
template <>
struct MathOf<float> {
  using type = FloatMath;
};
template <>
struct MathOf<double> {
  using type = DoubleMath;
};

template <class S>
functors::Params<S> params_of(const ElementParams& p) {
  return {static_cast<S>(p.f[0]), static_cast<S>(p.f[1]), static_cast<S>(p.f[2])};
}

namespace integer {

CCDL_DEVICE int64_t wrap_neg(int64_t a) {
  return static_cast<int64_t>(uint64_t{0} - static_cast<uint64_t>(a));
}
CCDL_DEVICE int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
CCDL_DEVICE int64_t wrap_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
CCDL_DEVICE int64_t quotient(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? wrap_neg(a) : a / b; }
CCDL_DEVICE int64_t modulo(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }
CCDL_DEVICE int64_t floor_quotient(int64_t a, int64_t b) {
  const int64_t q = quotient(a, b), r = modulo(a, b);
  return r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
}
CCDL_DEVICE int64_t floor_modulo(int64_t a, int64_t b) {
  const int64_t r = modulo(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
CCDL_DEVICE int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
  int64_t r = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) r = wrap_mul(r, base);
    base = wrap_mul(base, base);
  }
  return r;
}
CCDL_DEVICE int64_t magnitude(int64_t a) { return a < 0 ? wrap_neg(a) : a; }
CCDL_DEVICE int64_t gcd(int64_t a, int64_t b) {
  uint64_t x = static_cast<uint64_t>(magnitude(a)), y = static_cast<uint64_t>(magnitude(b));
  while (y) {
    const uint64_t t = x % y;
    x = y;
    y = t;
  }
  return static_cast<int64_t>(x);
}
CCDL_DEVICE int64_t lcm(int64_t a, int64_t b) {
  const int64_t g = gcd(a, b);
  return g == 0 ? 0 : magnitude(wrap_mul(quotient(a, g), b));
}
CCDL_DEVICE bool close(int64_t a, int64_t b, double rtol, double atol) {
  const double d = static_cast<double>(a) - static_cast<double>(b), allowed = rtol * static_cast<double>(b);
  return a == b || (d < 0 ? -d : d) <= atol + (allowed < 0 ? -allowed : allowed);
}

}  // namespace integer
}  // namespace ccdl::cu
