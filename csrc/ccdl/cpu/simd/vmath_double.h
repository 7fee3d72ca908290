// Elementary functions over the double vector; same rules of inclusion as vec.h. Error about 1 ULP (tanh 2);
// NaN, infinities, zeros and subnormals come out as in the C library.
#pragma once
#include <ccdl/cpu/simd/vmath.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr double kMagicD =
    6755399441055744.0;  // 1.5 * 2^52: adding it leaves the nearest integer in the low bits
constexpr double kLn2HighD = 6.93147180369123816490e-01, kLn2LowD = 1.90821492927058770002e-10;

CCDL_SI vd dabs(vd x) { return (vd)((vl)x & INT64_MAX); }
CCDL_SI vd dwith_sign(vd magnitude, vd sign) {
  return (vd)(((vl)magnitude & INT64_MAX) | ((vl)sign & INT64_MIN));
}

#if defined(__AVX512F__)
#define CCDL_ROUND(name, vector512, scalar)                                                         \
  CCDL_SI vd name(vd x) {                                                                           \
    return (vd)_mm512_maskz_roundscale_pd((__mmask8)-1, (__m512d)x, vector512 | _MM_FROUND_NO_EXC); \
  }
#elif defined(__AVX2__)
#define CCDL_ROUND(name, vector512, scalar) \
  CCDL_SI vd name(vd x) { return (vd)_mm256_round_pd((__m256d)x, vector512 | _MM_FROUND_NO_EXC); }
#else
#define CCDL_ROUND(name, vector512, scalar)           \
  CCDL_SI vd name(vd x) {                             \
    for (int i = 0; i < VD; ++i) x[i] = scalar(x[i]); \
    return x;                                         \
  }
#endif
CCDL_ROUND(dfloor, _MM_FROUND_TO_NEG_INF, __builtin_floor)
CCDL_ROUND(dceil, _MM_FROUND_TO_POS_INF, __builtin_ceil)
CCDL_ROUND(dtrunc, _MM_FROUND_TO_ZERO, __builtin_trunc)
CCDL_ROUND(dround_even, _MM_FROUND_TO_NEAREST_INT, __builtin_nearbyint)
#undef CCDL_ROUND

// (e^r - 1 - r) / r^2 for |r| <= ln2 / 2: the series to r^kLast / (kLast + 2)!
template <int kLast = 12>
CCDL_SI vd exp_tail(vd r) {
  static constexpr double factorial[] = {
      2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800.0, 87178291200.0};
  vd y = set1(1.0 / factorial[kLast]);
  for (int i = kLast - 1; i >= 0; --i) y = fma(y, r, set1(1.0 / factorial[i]));
  return y;
}
// r = x - n ln2; the bits of t hold n.
CCDL_SI vd exp_remainder(vd x, vd* t) {
  *t = fma(x, set1(1.4426950408889634), set1(kMagicD));
  const vd n = *t - kMagicD;
  return fma(n, set1(-kLn2LowD), fma(n, set1(-kLn2HighD), x));
}
CCDL_SI vd pow2_double(vl n) { return (vd)((n + 1023) << 52); }  // 2^n for -1022 <= n <= 1023
template <int kLast = 12>
CCDL_SI vd dexp(vd x) {
  x = vmin(set1(710.0), vmax(set1(-746.0), x));  // NaN stays
  vd t;
  const vd r = exp_remainder(x, &t);
  const vd y = fma(fma(exp_tail<kLast>(r), r, set1(1.0)), r, set1(1.0));
  const vl n = (vl)t - (vl)set1(kMagicD), half = n >> 1;  // in two steps: one alone may not be a number
  return select(x == x, y * pow2_double(half) * pow2_double(n - half), x);
}
// (e^x - 1) / 2 for -60 <= x <= 709.79, with s = 2^(n - 1) as s (e^r - 1) + (s - 1/2): no cancellation
CCDL_SI vd half_expm1(vd x) {
  vd t;
  const vd r = exp_remainder(x, &t), s = pow2_double((vl)t - (vl)set1(kMagicD) - 1);
  return fma(s, fma(exp_tail(r) * r, r, r), s - 0.5);
}
CCDL_SI vd dexpm1(vd x) {
  const vd r = half_expm1(vmin(set1(709.79), vmax(set1(-60.0), x)));
  return select(dabs(x) < 1e-20, x, r + r);
}
CCDL_SI vd dexp2(vd x) {
  x = vmin(set1(1025.0), vmax(set1(-1076.0), x));  // NaN stays
  const vd t = x + kMagicD, r = (x - (t - kMagicD)) * 0.6931471805599453;
  const vd y = fma(fma(exp_tail(r), r, set1(1.0)), r, set1(1.0));
  const vl n = (vl)t - (vl)set1(kMagicD), half = n >> 1;
  return select(x == x, y * pow2_double(half) * pow2_double(n - half), x);
}
CCDL_SI vd dtanh(vd x) {
  const vd t = half_expm1(vmin(set1(40.0), dabs(x) * 2.0));
  return select(x == x, dwith_sign(t / (t + 1.0), x), x);
}
CCDL_SI vd dsigmoid(vd x) {
  const vd e = dexp(-dabs(x));
  return select(x < 0.0, e, set1(1.0)) / (e + 1.0);
}
// log: x = 2^e m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f); the odd series in s with the
// coefficients of fdlibm's e_log.c.
CCDL_SI vd dlog_join(vd f, vd e) {  // e ln2 + log(1 + f)
  const vd s = f / (f + 2.0), z = s * s;
  vd q = fma(set1(1.479819860511658591e-01), z, set1(1.531383769920937332e-01));
  q = fma(q, z, set1(1.818357216161805012e-01));
  q = fma(q, z, set1(2.222219843214978396e-01));
  q = fma(q, z, set1(2.857142874366239149e-01));
  q = fma(q, z, set1(3.999999999940941908e-01));
  q = fma(q, z, set1(6.666666666666735130e-01)) * z;
  const vd h = f * f * 0.5;
  return fma(e, set1(kLn2HighD), f - (h - fma(s, h + q, e * kLn2LowD)));
}
CCDL_SI vd dlog_special(vd x, vd r) {
  const vd special = select(x == 0.0, set1(-__builtin_inf()), select(x > 0.0, x, set1(__builtin_nan(""))));
  return select((x > 0.0) & (x < __builtin_inf()), r, special);
}
CCDL_SI vd dlog(vd x) {
  const vl tiny = x < 2.2250738585072014e-308;
  const vd u = select(tiny, x * 18014398509481984.0, x);
  const vl i = (vl)u - 0x3fe6a09e667f3bcdll;
  const vd m = (vd)((i & 0xfffffffffffffll) + 0x3fe6a09e667f3bcdll);
  const vd e = __builtin_convertvector(i >> 52, vd) - select(tiny, set1(54.0), vd{});
  return dlog_special(x, dlog_join(m - 1.0, e));
}
CCDL_SI vd dlog1p(vd x) {  // what rounding 1 + x lost is added to f at the scale of the mantissa
  const vd u = x + 1.0, lost = select(dabs(x) < 1.0, x - (u - 1.0), 1.0 - (u - x));
  const vl i = (vl)u - 0x3fe6a09e667f3bcdll, e = i >> 52;
  const vd m = (vd)((i & 0xfffffffffffffll) + 0x3fe6a09e667f3bcdll);
  const vd unscale = select((e <= 60) & (e >= -60), (vd)((1023 - e) << 52), vd{});
  const vd f = fma(lost, unscale, m - 1.0);
  return select(x == 0.0, x, dlog_special(u, dlog_join(f, __builtin_convertvector(e, vd))));
}

// c[0] + c[1] t + ..., an even number of coefficients: even and odd powers apart
template <int N>
CCDL_SI vd dpolynomial(const double (&c)[N], vd t) {
  static_assert(N % 2 == 0);
  const vd s = t * t;
  vd odd = set1(c[N - 1]), even = set1(c[N - 2]);
  for (int i = N - 3; i > 0; i -= 2) {
    odd = fma(odd, s, set1(c[i]));
    even = fma(even, s, set1(c[i - 1]));
  }
  return fma(odd, t, even);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
