// Functions the C library lacks or that need more than a formula, in double: inverse error function, digamma,
// trigamma. Host and device; always inlined, so that the header can be part of sources of every
// instruction-set level.
#pragma once
#include <ccdl/core/dtype.h>

#if defined(__CUDACC__)
#define CCDL_MATH(f) ::f
#else
#define CCDL_MATH(f) __builtin_##f
#endif

namespace ccdl::special {

constexpr double kPi = 3.14159265358979323846;

// Winitzki's closed form (error 2e-3) and three Halley steps, each cubing the error; near +-1 the residual is
// taken on erfc, which keeps the digits of 1 - |x|.
CCDL_HD CCDL_INLINE double erfinv(double x) {
  const double a = x < 0 ? -x : x;
  if (!(a < 1)) return a == 1 ? x * __builtin_inf() : __builtin_nan("");
  if (a < 1e-8) return x * 0.88622692545275801365;
  const double l = CCDL_MATH(log1p)(-a * a), b = 4.3307467508 + 0.5 * l;  // 2 / (0.147 pi)
  double y = CCDL_MATH(sqrt)(CCDL_MATH(sqrt)(b * b - l / 0.147) - b);
  for (int i = 0; i < 3; ++i) {
    const double error = a < 0.5 ? CCDL_MATH(erf)(y) - a : (1 - a) - CCDL_MATH(erfc)(y);
    const double step = error / (1.1283791670955125739 * CCDL_MATH(exp)(-y * y));
    y -= step / (1 + y * step);
  }
  return x < 0 ? -y : y;
}

CCDL_HD CCDL_INLINE double frac_of(double x) { return x - CCDL_MATH(floor)(x); }

// Reflection below 0, recurrence up to 10, then the asymptotic series.
CCDL_HD CCDL_INLINE double digamma(double x) {
  if (x == 0) return -CCDL_MATH(copysign)(__builtin_inf(), x);
  double r = 0;
  if (x < 0) {
    const double f = frac_of(x);
    if (f == 0 || x - x != 0) return __builtin_nan("");
    r = -kPi / CCDL_MATH(tan)(kPi * f);
    x = 1 - x;
  }
  while (x < 10) {
    r -= 1 / x;
    x += 1;
  }
  const double z = 1 / (x * x);
  const double series =
      z *
      (1.0 / 12 -
       z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
  return r + CCDL_MATH(log)(x) - 0.5 / x - series;
}

CCDL_HD CCDL_INLINE double trigamma(double x) {
  if (x - x != 0) return x > 0 ? 0 : __builtin_nan("");
  double r = 0, sign = 1;
  if (x <= 0) {
    const double f = frac_of(x);
    if (f == 0) return __builtin_inf();
    const double s = CCDL_MATH(sin)(kPi * f);
    r = kPi * kPi / (s * s);
    sign = -1;
    x = 1 - x;
  }
  double t = 0;
  while (x < 10) {
    t += 1 / (x * x);
    x += 1;
  }
  const double z = 1 / (x * x);
  t +=
      1 / x + 0.5 * z +
      z / x *
          (1.0 / 6 - z * (1.0 / 30 -
                          z * (1.0 / 42 - z * (1.0 / 30 - z * (5.0 / 66 - z * (691.0 / 2730 - z * 7 / 6))))));
  return r + sign * t;
}

}  // namespace ccdl::special
