// pow, atan2, hypot, fmod and nextafter over the double vector; same rules of inclusion as vec.h. Error at
// most 2 ULP (fmod and nextafter exact); special values as IEEE 754 asks.
#pragma once
#include <ccdl/cpu/simd/vmath_double_inverse.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// log2 of 2^e (1 + f) to 64 bits as a sum of two: with s = f / (f + 2) and g = s^2 / 3 + s^4 / 5 + ... it is
// e + 2 / ln2 (s + s g); s, s^2, the 1/3 and their products are pairs, the rest of g is small enough for one
// double.
CCDL_SI vd dlog2_pair(vd f, vd e, vd* low) {
  static constexpr double c[] = {0.2,
                                 0.14285714285714285,
                                 0.11111111111111079,
                                 0.09090909090923241,
                                 0.07692307689190146,
                                 0.066666670607789,
                                 0.058823226586351446,
                                 0.052645941225085126,
                                 0.04720958456369712,
                                 0.04985669630810336};
  const vd d = f + 2.0, inverse = 1.0 / d, s = f * inverse;
  const vd s_low = fma(-s, f - (d - 2.0), quotient_rest(f, s, d)) * inverse;
  const vd z = s * s, z_low = fma(s + s, s_low, product_rest(s, s, z));
  const vd q = dpolynomial(c, z) * z, third = q + 0.3333333333333333;
  const vd third_low = (0.3333333333333333 - third) + q + 1.850371707708594e-17;
  const vd g = z * third, g_low = fma(z, third_low, fma(z_low, third, product_rest(z, third, g)));
  const vd sg = s * g, sg_low = fma(s, g_low, fma(s_low, g, product_rest(s, g, sg)));
  const vd l = s + sg, l_low = ((s - l) + sg) + (s_low + sg_low);
  constexpr double kScale = 2.8853900817779268, kScaleLow = 4.0710547481862066e-17;  // 2 / ln2
  const vd m = l * kScale;
  const vd m_low = fma(l, set1(kScaleLow), fma(l_low, set1(kScale), product_rest(l, set1(kScale), m)));
  const vd r = e + m;
  *low = ((e - r) + m) + m_low;
  return r;
}
CCDL_SI vd dpow(vd x, vd y) {
  const double kInf = __builtin_inf();
  const vd a = dabs(x);
  DoubleLogParts p = dlog_split(a);
  p.e = select(a == 0.0, set1(-kInf), select(a == kInf, a, p.e));
  vd l_low, l = dlog2_pair(p.f, p.e, &l_low);
  vd t = y * l;
  const vl inside = (dabs(t) < 1100.0) & (dabs(y) < 1e200);  // beyond 1e200 only log2(1) is
  const vd t_low = select(inside, fma(y, l_low, product_rest(y, l, t)), vd{});
  t = vmin(set1(1100.0), vmax(set1(-1100.0), t));
  const vd magic = t + kMagicD, r = ((t - (magic - kMagicD)) + t_low) * 0.6931471805599453;
  vd result = scale_pow2_double(exp_reduced_double(r), magic);
  const vd half_y = y * 0.5;
  const vl integer = dtrunc(y) == y, odd = integer & (dtrunc(half_y) != half_y);
  const vd flipped = (vd)((vl)result ^ ((vl)x & INT64_MIN));
  result = select(odd, flipped, result);
  result = select((x < 0.0) & ~integer & (a != kInf), set1(__builtin_nan("")), result);
  result = select((x != x) | (y != y), x + y, result);
  const vl one = (y == 0.0) | (x == 1.0) | ((x == -1.0) & (dabs(y) == kInf));
  return select(one, set1(1.0), result);
}

CCDL_SI vd datan2(vd y, vd x) {
  const double kInf = __builtin_inf();
  const vd a = dabs(y), b = dabs(x);
  const vl a_far = a == kInf, b_far = b == kInf, nowhere = (a == 0.0) & (b == 0.0);
  // Scaled so that neither their inverses nor their sum leave the normal numbers.
  const vd larger = select(a > b, a, b);
  const vd scale = select(larger > 1e290, set1(0x1p-100), select(larger < 1e-290, set1(0x1p300), set1(1.0)));
  const vd num = select(a_far, set1(1.0), select(b_far, vd{}, a * scale));
  const vd den = select(b_far | nowhere, set1(1.0), select(a_far, vd{}, b * scale));
  vd r = datan_positive(num, den);
  r = select((vl)x < 0, 2 * kHalfPi - (r - 2 * kHalfPiLow), r);
  return select((x == x) & (y == y), dwith_sign(r, y), x + y);
}

CCDL_SI vd dhypot(vd x, vd y) {
  const vd a = dabs(x), b = dabs(y), large = select(a > b, a, b), small = select(a > b, b, a);
  const vl huge = large > 0x1p500, tiny = large < 0x1p-500;
  const vd scale = select(huge, set1(0x1p-600), select(tiny, set1(0x1p600), set1(1.0)));
  const vd back = select(huge, set1(0x1p600), select(tiny, set1(0x1p-600), set1(1.0)));
  const vd u = large * scale, v = small * scale;
  const vd r = sqrt_double(fma(u, u, v * v)) * back;
  const vl infinite = (a == __builtin_inf()) | (b == __builtin_inf());
  return select(infinite, set1(__builtin_inf()), r);
}

__attribute__((noinline, unused)) double lane_fmod(double x, double y) { return __builtin_fmod(x, y); }
// The cut quotient below 2^53 is right or one too large, so that the remainder is exact and at most one b
// off.
CCDL_SI vd dfmod(vd x, vd y) {
  const vd a = dabs(x), b = dabs(y), q = a / b;
  vd r = quotient_rest(a, dtrunc(q), b);
  r = select(r < 0.0, r + b, r);
  r = dwith_sign(r, x);
  const vl near = (q < 9007199254740992.0) & (a < 1e290) & (b < 1e290) & ((b > 1e-250) | (a < b));
  const vl far = (vl)(near == 0);
  if (__builtin_expect(any_lane(far), 0))
    for (int i = 0; i < VD; ++i)
      if (far[i]) r[i] = lane_fmod(x[i], y[i]);
  return r;
}

CCDL_SI vd dnextafter(vd x, vd y) {  // the neighbour in the order of the bits
  const vl away = ((x > 0.0) == (y > x)) & (vl)(x != 0.0);
  const vl bits = (vl)x + ((away & 2) - 1);
  const vd from_zero = dwith_sign((vd)(vl{} + 1), y);
  const vd r = select(x == 0.0, from_zero, (vd)bits);
  return select((x == x) & (y == y), select(x == y, y, r), x + y);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
