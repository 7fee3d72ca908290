// Logarithms to base 2 and 10, tangent, the arcs and the hyperbolic functions and their inverses over the
// double vector; same rules of inclusion as vec.h. Error at most 2 ULP. The polynomials interpolate at
// Chebyshev points in 60-digit arithmetic (2e-17).
#pragma once
#include <ccdl/cpu/simd/vmath_double_special.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vd sum_rest(vd a, vd b, vd s) {  // a + b - s without rounding, where s = a + b
  const vd t = s - a;
  return (a - (s - t)) + (b - t);
}

// log(1 + f) as a number of 21 bits, whose product with a constant of 21 bits is exact, and the rest
CCDL_SI vd dlog_pair(vd f, vd* low) {
  const vd s = f / (f + 2.0), h = f * f * 0.5;
  const vd high = (vd)((vl)(f - h) & ~0xffffffffll);
  *low = fma(s, h + log_series(s * s), (f - high) - h);
  return high;
}
CCDL_SI vd dlog2(vd x) {
  const DoubleLogParts p = dlog_split(x);
  vd low;
  const vd high = dlog_pair(p.f, &low), v = high * 1.4426946640014648;
  const vd rest = fma(low + high, set1(3.768874985636099e-07), low * 1.4426946640014648);
  const vd w = p.e + v;
  return dlog_special(x, (rest + ((p.e - w) + v)) + w);
}
CCDL_SI vd dlog10(vd x) {
  const DoubleLogParts p = dlog_split(x);
  vd low;
  const vd high = dlog_pair(p.f, &low), v = high * 0.4342944622039795;
  const vd rest = fma(low + high, set1(1.9699272335463627e-08), low * 0.4342944622039795);
  const vd u = p.e * 0.30102999566224753, w = u + v;
  return dlog_special(x, fma(p.e, set1(1.7336659603752853e-12), rest + ((u - w) + v)) + w);
}

__attribute__((noinline, unused)) double lane_tan(double x) { return __builtin_tan(x); }
CCDL_SI vd dtan(vd x) {  // sin / cos, or -cos / sin, each with what rounding it lost
  const DoubleTrig p = dtrig(x);
  const vl odd = (p.n & 1) != 0;
  const vd num = select(odd, -p.cos, p.sin), den = select(odd, p.sin, p.cos);
  const vd num_low = select(odd, -p.cos_low, p.sin_low), den_low = select(odd, p.sin_low, p.cos_low);
  const vd q = num / den;
  const vd r = q + (quotient_rest(num, q, den) + fma(-q, den_low, num_low)) / den;
  return dtrig_far(lane_tan, x, select(x == 0.0, x, r));
}

constexpr double kHalfPi = 1.5707963267948966, kHalfPiLow = 6.123233995736766e-17;

CCDL_SI vd dasin_tail(vd z, vd s) {  // asin(s) - s, z = s^2 <= 1/4
  static constexpr double c[] = {0.16666666666666666,   0.07500000000000119,   0.04464285714255019,
                                 0.030381944475693704,  0.022372157435623815,  0.017352816768546473,
                                 0.013963775787848137,  0.011566511821890942,  0.009621402747344831,
                                 0.009322101501082774,  0.0030350071727267636, 0.019579201619744684,
                                 -0.019277545928584553, 0.029635026263548546};
  return dpolynomial(c, z) * z * s;
}
// Above 1/2 through asin(sqrt((1 - |x|) / 2)), the root with its rest.
CCDL_SI vd dasin_root(vd z, vl big, vd near, vd* rest) {
  const vd s = select(big, sqrt_double(z), near);
  const vd lost = select(big, quotient_rest(z, s, s) / (s + (s + 1e-300)), vd{});
  *rest = dasin_tail(z, s) + lost;
  return s;
}
CCDL_SI vd dasin(vd x) {
  const vd a = dabs(x);
  const vl big = a > 0.5;
  vd t, s = dasin_root(select(big, (1.0 - a) * 0.5, a * a), big, a, &t);
  const vd twice = s + s, d = kHalfPi - twice;
  const vd far = d + (((kHalfPi - d) - twice) + (kHalfPiLow - (t + t)));
  return dwith_sign(select(big, far, s + t), x);
}
CCDL_SI vd dacos(vd x) {
  const vd a = dabs(x);
  const vl big = a > 0.5;
  vd t, s = dasin_root(select(big, (1.0 - a) * 0.5, a * a), big, x, &t);
  const vd twice = (s + t) * 2.0;
  const vd far = select(x < 0.0, 2 * kHalfPi - (twice - 2 * kHalfPiLow), twice);
  return select(big, far, kHalfPi - (s + (t - kHalfPiLow)));
}

// atan(num / den), 0 <= num, den < 2^995, not both 0: above tan(3 pi/8) through -den / num, above tan(pi/8)
// through (num - den) / (num + den); the quotient with its rest.
CCDL_SI vd datan_positive(vd num, vd den) {
  static constexpr double c[] = {-0.3333333333333333,  0.19999999999999998,  -0.1428571428571415,
                                 0.11111111111090433,  -0.09090909089290074, 0.07692307616211806,
                                 -0.06666664343202196, 0.05882304610193147,  -0.052624536283402454,
                                 0.04754618422446524,  -0.04294252451442342, 0.037233742339787025,
                                 -0.02727353484766671, 0.011958372270565072};
  const vl high = num > den * 2.414213562373095, mid = (num > den * 0.41421356237309503) & ~high;
  const vd sum = num + den, difference = num - den;
  const vd n = select(mid, difference, select(high, -den, num));
  const vd d = select(mid, sum, select(high, num, den));
  const vd inverse = 1.0 / d, t = n * inverse, z = t * t;
  vd rest = quotient_rest(n, t, d);
  rest += select(mid, sum_rest(num, -den, difference) - t * sum_rest(num, den, sum), vd{});
  rest = select(dabs(n) > 1e-250, rest, vd{});  // below, without fma, the product has no digits
  const vd base = select(mid, set1(kHalfPi / 2), select(high, set1(kHalfPi), vd{}));
  const vd base_low = select(mid, set1(kHalfPiLow / 2), select(high, set1(kHalfPiLow), vd{}));
  return base + (t + (fma(dpolynomial(c, z) * z, t, rest * inverse) + base_low));
}
CCDL_SI vd datan(vd x) {
  return dwith_sign(datan_positive(vmin(set1(1e200), dabs(x)), set1(1.0)), x);  // NaN stays
}

// e^|x| / 2 and its quarter inverse e^-|x| / 2
CCDL_SI vd half_exp(vd x, vd* inverse) {
  const vd e = dexp<9, -1>(dabs(x));
  *inverse = 0.25 / e;
  return e;
}
CCDL_SI vd dcosh(vd x) {
  vd inverse;
  const vd e = half_exp(x, &inverse);
  return e + inverse;
}
CCDL_SI vd dsinh(vd x) {  // the series up to 1
  static constexpr double c[] = {1.0 / 6,
                                 1.0 / 120,
                                 1.0 / 5040,
                                 1.0 / 362880,
                                 1.0 / 39916800,
                                 1.0 / 6227020800.0,
                                 1.0 / 1307674368000.0,
                                 1.0 / 355687428096000.0,
                                 1.0 / 121645100408832000.0,
                                 1.0 / 51090942171709440000.0};
  const vd a = dabs(x), z = a * a;
  vd inverse;
  const vd e = half_exp(x, &inverse);
  return dwith_sign(select(a <= 1.0, fma(dpolynomial(c, z) * z, a, a), e - inverse), x);
}
CCDL_SI vd dasinh(vd x) {  // log1p(a + a^2 / (1 + sqrt(a^2 + 1))); log(a) + log(2) where that is all
  const vd a = dabs(x), y = vmin(set1(1e18), a) * a;
  const vl big = a > 1e9;
  const vd part = y / (sqrt_double(y + 1.0) + 1.0), t = a + part;
  const vd near = dlog1p(select(big, vd{}, t), select(big, vd{}, sum_rest(a, part, t)));
  vd r = near;
  if (any_lane(big)) r = select(big, dlog(a) + 0.6931471805599453, near);
  return select(a < 1e-9, x, select(x == x, dwith_sign(r, x), x));
}
CCDL_SI vd dacosh(vd x) {  // log1p(t + sqrt(t (t + 2))), t = x - 1
  const vl big = x > 1e9;
  const vd t = select(big, set1(1.0), x - 1.0), y = fma(t, t, t + t), root = sqrt_double(y), s = t + root;
  const vd root_low = quotient_rest(y, root, root) / (root + (root + 1e-300));
  vd r = dlog1p(s, sum_rest(t, root, s) + root_low);
  if (any_lane(big)) r = select(big, dlog(x) + 0.6931471805599453, r);
  return select(x < 1.0, set1(__builtin_nan("")), r);
}
CCDL_SI vd datanh(vd x) {  // the series up to 1/2, log1p(2 a / (1 - a)) / 2 above
  static constexpr double c[] = {
      0.3333333333333333,    0.20000000000000004, 0.14285714285712528,  0.11111111111346157,
      0.09090909074433921,   0.07692308388828603, 0.06666647395886846,  0.05882719977969772,
      0.05258191109541697,   0.04810526310393799, 0.040011580730055174, 0.05792172345917227,
      -0.028915109923699313, 0.20048659759642262, -0.23086909589273877, 0.24450933662574606};
  const vd a = dabs(x), z = a * a;
  const vl near = a <= 0.5;
  vd r = fma(dpolynomial(c, z) * z, a, a);
  const vl far = (vl)(near == 0);
  if (any_lane(far)) r = select(near, r, dlog1p((a + a) / (1.0 - a)) * 0.5);
  return dwith_sign(r, x);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
