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

// c[0] + c[1] t + ..., neighbours joined first (Estrin): what bounds these functions is the chain of
// dependent multiply-adds, not their number.
template <int N>
CCDL_SI vd join_neighbours(const vd* c, vd t) {
  if constexpr (N == 1) {
    (void)t;
    return c[0];
  } else {
    constexpr int kPairs = (N + 1) / 2;
    vd p[kPairs];
    for (int i = 0; i < N / 2; ++i) p[i] = fma(c[2 * i + 1], t, c[2 * i]);
    if (N % 2) p[kPairs - 1] = c[N - 1];
    return join_neighbours<kPairs>(p, t * t);
  }
}
template <int N>
CCDL_SI vd dpolynomial(const double (&c)[N], vd t) {
  vd v[N];
  for (int i = 0; i < N; ++i) v[i] = set1(c[i]);
  return join_neighbours<N>(v, t);
}

// (e^r - 1 - r) / r^2 for |r| <= ln2 / 2, interpolated at Chebyshev points (1.6e-17 of e^r), or where kLast
// is less than 9 its series to r^kLast / (kLast + 2)!
template <int kLast = 9>
CCDL_SI vd exp_tail(vd r) {
  static constexpr double c[] = {0.5000000000000001,    0.16666666666666669,    0.04166666666662399,
                                 0.008333333333330051,  0.0013888888917281794,  0.00019841269863105968,
                                 2.480152119021773e-05, 2.7557268378684192e-06, 2.7620138719733994e-07,
                                 2.5100424157005067e-08};
  static constexpr double factorial[] = {2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800};
  vd v[kLast + 1];
  for (int i = 0; i <= kLast; ++i) v[i] = set1(kLast == 9 ? c[i] : 1.0 / factorial[i < 9 ? i : 0]);
  return join_neighbours<kLast + 1>(v, r);
}
// r = x - n ln2; the bits of t hold n.
CCDL_SI vd exp_remainder(vd x, vd* t) {
  *t = fma(x, set1(1.4426950408889634), set1(kMagicD));
  const vd n = *t - kMagicD;
  return fma(n, set1(-kLn2LowD), fma(n, set1(-kLn2HighD), x));
}
CCDL_SI vd pow2_double(vl n) { return (vd)((n + 1023) << 52); }  // 2^n for -1022 <= n <= 1023
// y 2^n for integer-valued n with |n| <= 1500, rounded once into the subnormals; t - kMagicD is n
CCDL_SI vd scale_pow2_double(vd y, vd t) {
#if defined(__AVX512F__)
  return (vd)_mm512_maskz_scalef_pd((__mmask8)-1, (__m512d)y, (__m512d)(t - kMagicD));
#else
  // In two steps: one alone may not be a number. A shift that keeps the sign exists in AVX-512 only.
  const vl n = (vl)t - (vl)set1(kMagicD), half = (vl)((vlu)(n + 4096) >> 1) - 2048;
  return y * pow2_double(half) * pow2_double(n - half);
#endif
}
CCDL_SI vd exp_reduced_double(vd r) {  // e^r
  return fma(exp_tail(r) * r, r, r) + 1.0;
}
template <int kLast = 9, int kShift = 0>
CCDL_SI vd dexp(vd x) {                                   // e^x 2^kShift
  x = vmin(set1(710.0 - kShift), vmax(set1(-746.0), x));  // NaN stays
  vd t;
  const vd r = exp_remainder(x, &t), y = fma(exp_tail<kLast>(r) * r, r, r) + 1.0;
  return scale_pow2_double(y, t + (double)kShift);
}
// (e^x - 1) / 2 for -60 <= x <= 709.79, with s = 2^(n - 1) as s (e^r - 1) + (s - 1/2): no cancellation; what
// rounding r and e^r - 1 lost is added
CCDL_SI vd half_expm1(vd x) {
  const vd t = fma(x, set1(1.4426950408889634), set1(kMagicD)), n = t - kMagicD;
  const vd a = fma(n, set1(-kLn2HighD), x), r = fma(n, set1(-kLn2LowD), a);
  const vd s = pow2_double((vl)t - (vl)set1(kMagicD) - 1), q = exp_tail(r) * r * r, p = r + q;
  const vd low = ((r - p) + q) + fma(n, set1(-kLn2LowD), a - r);
  const vd h = s - 0.5, sp = s * p, sum = h + sp;  // |h| > |sp|, or h = 0
  return sum + fma(s, low, sp - (sum - h));
}
CCDL_SI vd dexpm1(vd x) {
  const vd r = half_expm1(vmin(set1(709.79), vmax(set1(-60.0), x)));
  return select(dabs(x) < 1e-20, x, r + r);
}
CCDL_SI vd dexp2(vd x) {
  x = vmin(set1(1025.0), vmax(set1(-1076.0), x));  // NaN stays
  const vd t = x + kMagicD;
  return scale_pow2_double(exp_reduced_double((x - (t - kMagicD)) * 0.6931471805599453), t);
}
CCDL_SI vd dtanh(vd x) {
  const vd t = half_expm1(vmin(set1(40.0), dabs(x) * 2.0));
  const vd den = t + 1.0, lost = select(t < 1.0, t - (den - 1.0), 1.0 - (den - t)), q = t / den;
  return select(x == x, dwith_sign(q - q * (lost / den), x), x);
}
// a b - p without rounding, where p = a * b; without fma by halves (Dekker), for |a|, |b| < 2^996
CCDL_SI vd product_rest(vd a, vd b, vd p) {
#if defined(__FMA__) || defined(__AVX512F__)
  return fma(a, b, -p);
#else
  const vd ca = a * 134217729.0, cb = b * 134217729.0;
  const vd ah = ca - (ca - a), bh = cb - (cb - b), al = a - ah, bl = b - bh;
  return ((ah * bh - p) + (ah * bl + al * bh)) + al * bl;
#endif
}
CCDL_SI vd quotient_rest(vd num, vd q, vd den) {  // num - q den, q about num / den
#if defined(__FMA__) || defined(__AVX512F__)
  return fma(-q, den, num);
#else
  const vd p = q * den;
  return (num - p) - product_rest(q, den, p);
#endif
}
// x u / (1 + e) for 0 <= e <= 1; what rounding lost is put right: q - x u is exact, as q is between half of
// x u and x u. Where that is nothing, the signs are such that q = -0 stays.
CCDL_SI vd over_one_plus(vd x, vd u, vd e) {
  const vd den = e + 1.0, num = x * u;
#if defined(__FMA__) || defined(__AVX512F__)
  const vd inverse = 1.0 / den, q = num * inverse;
  return fma(-fma(q, e, fma(-x, u, q)), inverse, q);
#else
  const vd q = num / den;
  return q + (product_rest(x, u, num) - q * (e - (den - 1.0))) * (1.5 - den * 0.5);  // about 1 / den
#endif
}
CCDL_SI vd exp_minus_abs(vd x) {  // e^-|x|; NaN stays
  vd t;
  const vd r = exp_remainder(vmax(set1(-746.0), (vd)((vl)x | INT64_MIN)), &t);
  return scale_pow2_double(exp_reduced_double(r), t);
}
CCDL_SI vd dsigmoid(vd x) {
  const vd e = exp_minus_abs(x);
  return over_one_plus(set1(1.0), select(x < 0.0, e, set1(1.0)), e);
}
CCDL_SI vd dsilu(vd x) {
  const vd e = exp_minus_abs(x), u = select(x < 0.0, e, set1(1.0)), r = over_one_plus(x, u, e);
#if defined(__FMA__) || defined(__AVX512F__)
  return select(x == __builtin_inf(), x, r);
#else
  return dwith_sign(select(dabs(x) < 1e290, r, x * u), x);                           // where the halves of x would overflow
#endif
}
// log: x = 2^e m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f); the odd series in s with the
// coefficients of fdlibm's e_log.c.
CCDL_SI vd log_series(vd z) {  // (log(1 + f) - f + f^2 / 2) / s - f^2 / 2, z = s^2
  static constexpr double c[] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                                 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                                 1.479819860511658591e-01};
  return dpolynomial(c, z) * z;
}
CCDL_SI vd dlog_join(vd f, vd e) {  // e ln2 + log(1 + f)
  const vd s = f / (f + 2.0), h = f * f * 0.5;
  return fma(e, set1(kLn2HighD), f - (h - fma(s, h + log_series(s * s), e * kLn2LowD)));
}
CCDL_SI vd dlog_special(vd x, vd r) {
  const vd special = select(x == 0.0, set1(-__builtin_inf()), select(x > 0.0, x, set1(__builtin_nan(""))));
  return select((x > 0.0) & (x < __builtin_inf()), r, special);
}
// e of 2^e m by its bits, kept positive: there is no signed shift of 64 bits below AVX-512.
CCDL_SI vl log_exponent(vd u, vd* f) {
  const vl i = (vl)u + (0x3ff0000000000000ll - 0x3fe6a09e667f3bcdll);
  *f = (vd)((i & 0xfffffffffffffll) + 0x3fe6a09e667f3bcdll) - 1.0;
  return (vl)((vlu)i >> 52) - 1023;
}
CCDL_SI vd small_to_double(vl n) { return (vd)(n + (vl)set1(kMagicD)) - kMagicD; }  // |n| < 2^51
struct DoubleLogParts {
  vd f, e;
};
CCDL_SI DoubleLogParts dlog_split(vd x) {  // x > 0, subnormals too; anything else gives finite garbage
  const vl tiny = x < 2.2250738585072014e-308;
  DoubleLogParts p;
  const vl e = log_exponent(select(tiny, x * 18014398509481984.0, x), &p.f);
  p.e = small_to_double(e) - select(tiny, set1(54.0), vd{});
  return p;
}
CCDL_SI vd dlog(vd x) {
  const DoubleLogParts p = dlog_split(x);
  return dlog_special(x, dlog_join(p.f, p.e));
}
// log(1 + x + low); what rounding 1 + x lost is added to f at the scale of the mantissa
CCDL_SI vd dlog1p(vd x, vd low = vd{}) {
  const vd u = x + 1.0, lost = select(dabs(x) < 1.0, x - (u - 1.0), 1.0 - (u - x)) + low;
  vd f;
  const vl e = log_exponent(u, &f);
  const vd de = small_to_double(e);
  const vd unscale = select(dabs(de) <= 60.0, (vd)((1023 - e) << 52), vd{});
  return select(x == 0.0, x, dlog_special(u, dlog_join(fma(lost, unscale, f), de)));
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
