// erf, erfc, erfinv, the normal quantile, lgamma, digamma and trigamma over the double vector; same rules of
// inclusion as vec.h. Error at most 4 ULP (erfc 6) away from the zeros of digamma.
#pragma once
#include <ccdl/cpu/simd/vmath_double.h>
#include <ccdl/kernels/special_functions.h>

extern "C" double lgamma_r(double x, int* sign);

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI bool any_lane(vl m) { return any_lane((vi)m); }

// e^(a^2) erfc(a), 0 <= a <= 1e8
CCDL_SI vd derfcx_positive(vd a) {
  static constexpr double c[] = {CCDL_ERFCX_SERIES};
  return dpolynomial(c, (a - 3.75) / (a + 3.75)) / fma(a, set1(2.0), set1(1.0));
}
// e^(-a^2), 0 <= a <= 40: the square in two exact parts
CCDL_SI vd exp_minus_square(vd a) {
  const vd high = (vd)((vl)a & ~0x7ffffffll), rest = (a - high) * (a + high);
  const vd e = dexp(-high * high);
  return fma(e, rest * (rest * (0.5 - rest * (1.0 / 6)) - 1.0), e);  // |rest| < 3e-5
}
CCDL_SI vd
erf_below_one(vd x) {  // erf(x), |x| <= 1: the series in x^2 / (x) - 1, fitted to 60 digits (2e-17)
  static constexpr double c[] = {0.1283791670955126,     -0.3761263890318375,
                                 0.11283791670954879,    -0.026866170645076792,
                                 0.0052239776248180145,  -0.000854832698083379,
                                 0.0001205533111164271,  -1.4925595266831182e-05,
                                 1.6461000484121368e-06, -1.6350312701054695e-07,
                                 1.4659775274047436e-08, -1.1372848856791674e-09,
                                 5.957176147748911e-11,  0.0};
  return fma(x, dpolynomial(c, x * x), x);
}
CCDL_SI vd derf(vd x) {
  const vd a = dabs(x), c = vmin(set1(6.0), a);
  const vl small = a < 1.0;
  vd r = erf_below_one(select(small, a, vd{}));
  if (any_lane((vl)(small == 0))) r = select(small, r, 1.0 - exp_minus_square(c) * derfcx_positive(c));
  return select(x == x, dwith_sign(r, x), x);
}
CCDL_SI vd derfc(vd x) {
  const vd a = dabs(x), c = vmin(set1(28.0), a);
  const vl small = a < 0.75;
  const vd tail = exp_minus_square(c) * derfcx_positive(c);
  const vd r = select(small, 1.0 - erf_below_one(select(small, x, vd{})), select(x < 0.0, 2.0 - tail, tail));
  return select(x == x, r, x);
}

// special::normal_quantile: the same rational functions
CCDL_SI vd dnormal_quantile(vd q, vd tail) {
  static constexpr double up0[] = {CCDL_QUANTILE_UP0}, down0[] = {CCDL_QUANTILE_DOWN0};
  static constexpr double up1[] = {CCDL_QUANTILE_UP1}, down1[] = {CCDL_QUANTILE_DOWN1};
  static constexpr double up2[] = {CCDL_QUANTILE_UP2}, down2[] = {CCDL_QUANTILE_DOWN2};
  const vl middle = dabs(q) <= 0.425;
  const vd r = 0.180625 - q * q;
  vd up = dpolynomial(up0, r) * q, down = dpolynomial(down0, r);
  if (any_lane((vl)(middle == 0))) {
    const vd d = sqrt_double(-dlog(select(middle, set1(0.25), tail)));
    const vd t = d - 1.6;
    vd u = dpolynomial(up1, t), v = dpolynomial(down1, t);
    const vl far = d > 5.0;
    if (any_lane(far)) {
      const vd w = d - 5.0;
      u = select(far, dpolynomial(up2, w), u);
      v = select(far, dpolynomial(down2, w), v);
    }
    up = select(middle, up, dwith_sign(u, q));
    down = select(middle, down, v);
  }
  return up / down;
}
CCDL_SI vd dndtri(vd p) {
  const vd r = dnormal_quantile(p - 0.5, select(p < 0.5, p, 1.0 - p));
  const vd edge = select(p == 0.0, set1(-__builtin_inf()),
                         select(p == 1.0, set1(__builtin_inf()), set1(__builtin_nan(""))));
  return select((p > 0.0) & (p < 1.0), r, edge);
}
CCDL_SI vd derfinv(vd x) {
  const vd a = dabs(x);
  vd r = dnormal_quantile(x * 0.5, (1.0 - a) * 0.5) * 0.70710678118654752440;
  r = select(a < 1e-200, x * 0.88622692545275801, r);  // where half of x loses digits
  return select(a < 1.0, r, select(a == 1.0, x * __builtin_inf(), set1(__builtin_nan(""))));
}

__attribute__((noinline, unused)) double lane_lgamma_double(double x) {
  int sign;
  return x == -__builtin_inf() ? __builtin_inf() : lgamma_r(x, &sign);
}
// log(|sin(pi x)| / pi): the series of the sine over the distance f to the next whole number
CCDL_SI vd dlog_sine(vd x) {
  static constexpr double c[] = {1.0,
                                 -1.6449340668482264,
                                 0.8117424252833536,
                                 -0.19075182412208422,
                                 0.026147847817654802,
                                 -0.0023460810354558237,
                                 0.00014842879303107099,
                                 -6.975873661656388e-06,
                                 2.531217404137038e-07,
                                 -7.3047118222177e-09,
                                 1.7165384749821526e-10,
                                 -3.3487841480747464e-12};
  const vd f = select(dabs(x) < 2251799813685248.0, x - ((x + kMagicD) - kMagicD), vd{});
  return dlog(dabs(f * dpolynomial(c, f * f)));
}
// From 8 on Stirling's series. Below, y in [3/4, 5/2] by recurrence, and there (y - 1)(y - 2) times a
// polynomial, in y - 9/8 or y - 2, fitted to lgamma(y) / ((y - 1)(y - 2)) with 60 digits (2e-17). x > 0
CCDL_SI vd dlgamma_positive(vd x) {
  static constexpr double low[] = {
      0.5487833977237905,   -0.21115323425817586,   0.11960320844256032,   -0.07892681966460653,
      0.05628216876911452,  -0.041994856012586367,  0.03226388713791912,   -0.025296547269316964,
      0.020132841860418065, -0.016209048129205757,  0.013170624359593543,  -0.010782953470194624,
      0.008885442652873304, -0.007360499725206367,  0.006109528539288366,  -0.005105140931733737,
      0.004420031627777158, -0.0037204410759091927, 0.0024052181994097407, -0.0020294170904300458,
      0.003918081961976261, -0.0033364909969457747};
  static constexpr double high[] = {
      0.42278433509846713,    -0.10031730167435393,   0.032965000621155836,   -0.012384192193367468,
      0.004998641164695469,   -0.002108130834223415,  0.0009153769223805991,  -0.00040570738897825623,
      0.00018255263497305119, -8.309527325533694e-05, 3.816895987618124e-05,  -1.7660194017271152e-05,
      8.221478918059622e-06,  -3.856313609317478e-06, 1.8124087986144874e-06, -8.208987442720822e-07,
      3.8837480981603403e-07, -2.525485342958651e-07, 1.203490776346864e-07,  0.0};
  static constexpr double stirling[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                                        1.0 / 1188, -691.0 / 360360, 1.0 / 156,  -3617.0 / 122400};
  const vl large = x >= 8.0, below = x < 0.75;
  vd y = select(below, x + 1.0, x), product = select(below, x, set1(1.0));
  for (int k = 0; k < 6; ++k) {
    const vl step = y > 2.5;
    if (k == 0 && !any_lane(step)) break;
    y = select(step, y - 1.0, y);
    product = select(step, product * y, product);
  }
  const vl left = y < 1.5;
  const vd p = select(left, dpolynomial(low, y - 1.125), dpolynomial(high, y - 2.0));
  const vd l = dlog(select(large, x, product)), small = (y - 1.0) * (y - 2.0) * p;
  vd r = select(below, small - l, small + l);
  if (any_lane(large)) {
    const vd z = 1.0 / (x * x);
    const vd far = fma(x - 0.5, l, 0.918938533204672742 - x) + dpolynomial(stirling, z) / x;
    r = select(large, select(x == __builtin_inf(), x, far), r);
  }
  return r;
}
// Below 0 by reflection: log(pi / |sin(pi x)|) less its value at 1 - x. Where the two leave less than a
// quarter of themselves, near the zeros, the C library, lane by lane.
CCDL_SI vd dlgamma(vd x) {
  const vl minus = (vl)(x > 0.0) == 0;
  const vd y = dlgamma_positive(select(minus, 1.0 - x, x));
  if (!any_lane(minus)) return y;
  const vd r = -dlog_sine(x) - y;
  const vl lost = minus & ((dabs(r) * 4.0 < dabs(y)) | (x < -1e15));
  vd out = select(minus, r, y);
  if (any_lane(lost))
    for (int i = 0; i < VD; ++i)
      if (lost[i]) out[i] = lane_lgamma_double(x[i]);
  return out;
}

__attribute__((noinline, unused)) double lane_digamma_double(double x) { return special::digamma(x); }
__attribute__((noinline, unused)) double lane_trigamma_double(double x) { return special::trigamma(x); }
// Recurrence over ten factors below 10 as one fraction, then the asymptotic series of special::digamma.
CCDL_SI vd ddigamma(vd x) {
  static constexpr double c[] = {1.0 / 12,  -1.0 / 120,     1.0 / 252, -1.0 / 240,
                                 1.0 / 132, -691.0 / 32760, 1.0 / 12,  0.0};
  const vl low = x < 10.0;
  vd X = x, up = vd{}, down = set1(1.0);
  if (any_lane(low)) {
    for (int k = 0; k < 10; ++k) {  // up / down + 1 / (x + k)
      const vd s = x + (double)k;
      up = fma(up, s, down);
      down = down * s;
    }
    up = select(low, up / down, vd{});
    X = select(low, x + 10.0, x);
  }
  const vd z = 1.0 / (X * X);
  vd r = dlog(X) - 0.5 / X - z * dpolynomial(c, z) - up;
  const vl far = (vl)(x > 1e-300) == 0;
  if (any_lane(far))
    for (int i = 0; i < VD; ++i)
      if (far[i]) r[i] = lane_digamma_double(x[i]);
  return r;
}
CCDL_SI vd dtrigamma(vd x) {
  static constexpr double c[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                 5.0 / 66, -691.0 / 2730, 7.0 / 6,  0.0};
  const vl low = x < 10.0;
  vd X = x, up = vd{}, down = set1(1.0);
  if (any_lane(low)) {
    for (int k = 0; k < 10; ++k) {
      const vd t = x + (double)k, s = t * t;
      up = fma(up, s, down);
      down = down * s;
    }
    up = select(low, up / down, vd{});
    X = select(low, x + 10.0, x);
  }
  const vd v = 1.0 / X, z = v * v;
  vd r = v + 0.5 * z + z * v * dpolynomial(c, z) + up;
  const vl far = (vl)((x > 1e-100) & (x < __builtin_inf())) == 0;
  if (any_lane(far))
    for (int i = 0; i < VD; ++i)
      if (far[i]) r[i] = lane_trigamma_double(x[i]);
  return r;
}

// sin, cos: r = x - n pi/2 with pi/2 in three parts, the first two of 33 bits, so that their products with n
// are exact; the series to r^17 and r^16. From 1e5 on the C library, lane by lane.
struct DoubleTrig {
  vd sin, cos, sin_low, cos_low;
  vl n;
};
CCDL_SI DoubleTrig dtrig(vd x) {
  const vd t = fma(x, set1(0.63661977236758134308), set1(kMagicD)), n = t - kMagicD;
  const vd a = x - n * 1.57079632673412561417, w = n * 6.07710050630396597660e-11, b = a - w;
  const vd rest = (a - b) - w - n * 2.02226624879595063154e-21;
  const vd r = b + rest, low = (b - r) + rest, z = r * r;
  static constexpr double s[] = {-1.0 / 6,
                                 1.0 / 120,
                                 -1.0 / 5040,
                                 1.0 / 362880,
                                 -1.0 / 39916800,
                                 1.0 / 6227020800.0,
                                 -1.0 / 1307674368000.0,
                                 1.0 / 355687428096000.0};
  static constexpr double c[] = {1.0 / 24,
                                 -1.0 / 720,
                                 1.0 / 40320,
                                 -1.0 / 3628800,
                                 1.0 / 479001600,
                                 -1.0 / 87178291200.0,
                                 1.0 / 20922789888000.0,
                                 0.0};
  const vd half = z * 0.5, one = 1.0 - half;
  const vd sine_tail = fma(r * z, dpolynomial(s, z), low), sine = r + sine_tail;
  const vd cosine_tail = ((1.0 - one) - half) + fma(z * z, dpolynomial(c, z), -r * low);
  const vd cosine = one + cosine_tail;
  return {sine, cosine, (r - sine) + sine_tail, (one - cosine) + cosine_tail, (vl)t};
}
CCDL_SI vd dtrig_far(double (*fn)(double), vd x, vd r) {
  const vl far = (vl)(dabs(x) < 1e5) == 0;
  if (__builtin_expect(any_lane(far), 0))
    for (int i = 0; i < VD; ++i)
      if (far[i]) r[i] = fn(x[i]);
  return r;
}
__attribute__((noinline, unused)) double lane_sin(double x) { return __builtin_sin(x); }
__attribute__((noinline, unused)) double lane_cos(double x) { return __builtin_cos(x); }
CCDL_SI vd dsin(vd x) {
  const DoubleTrig p = dtrig(x);
  const vd r = select((p.n & 1) != 0, p.cos, p.sin);
  const vd v = (vd)((vl)r ^ ((p.n & 2) << 62));
  return dtrig_far(lane_sin, x, select(x == 0.0, x, v));
}
CCDL_SI vd dcos(vd x) {
  const DoubleTrig p = dtrig(x);
  const vd r = select((p.n & 1) != 0, p.sin, p.cos);
  return dtrig_far(lane_cos, x, (vd)((vl)r ^ (((p.n + 1) & 2) << 62)));
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
