// erfc, erfinv, lgamma and nextafter over the float vector; same rules of inclusion as vec.h. Error at most 4
// ULP.
#pragma once
#include <ccdl/cpu/simd/vmath_double.h>

extern "C" float lgammaf_r(float x, int* sign);

namespace ccdl::cpu::CCDL_ISA {
namespace {

// With t = 1 / (1 + |x| / 2): erfc(|x|) = t exp(p(t) - x^2), p fitted on [0.12, 1] at Chebyshev points
// (1.8e-8), in double, where the exponent keeps its digits.
CCDL_SI vd erfc_half(vd x) {
  static constexpr double coef[] = {-2.9905524202495887e-05, 1.0346185746881914e-04, 1.3415271509545842e-04,
                                    -8.452147578455587e-04,  -6.45202181737517e-05,  4.934999463449105e-03,
                                    -2.606671803485046e-03,  -3.428853661669276e-02, 2.3050068879997256e-02,
                                    6.000901926377402e-01,   -5.904780170655438e-01};
  const vd a = vmin(set1(14.0), dabs(x)), t = 1.0 / fma(a, set1(0.5), set1(1.0));
  const vd u = fma(t, set1(2.0 / 0.88), set1(-1.12 / 0.88));
  vd p = set1(coef[0]);
  for (int i = 1; i < 11; ++i) p = fma(p, u, set1(coef[i]));
  const vd r = t * dexp<6>(p - a * a);  // to 1e-9, more than the float result holds
  return select(x == x, select(x < 0.0, 2.0 - r, r), x);
}
CCDL_SI vf verfc(vf x) { return narrow(erfc_half(widen_low(x)), erfc_half(widen_high(x))); }

// M. Giles, Approximating the erfinv function (GPU Computing Gems, 2011): two polynomials in w = -log(1 -
// x^2).
CCDL_SI vf verfinv(vf x) {
  static constexpr float middle[] = {2.81022636e-08f,  3.43273939e-07f, -3.5233877e-06f,
                                     -4.39150654e-06f, 0.00021858087f,  -0.00125372503f,
                                     -0.00417768164f,  0.246640727f,    1.50140941f};
  static constexpr float tail[] = {-0.000200214257f, 0.000100950558f, 0.00134934322f,
                                   -0.00367342844f,  0.00573950773f,  -0.0076224613f,
                                   0.00943887047f,   1.00167406f,     2.83297682f};
  const vf w = -vlog((1.0f - x) * (1.0f + x));
  const vf near = w - 2.5f, far = vsqrt(w) - 3.0f;
  vf p = set1(middle[0]), q = set1(tail[0]);
  for (int i = 1; i < 9; ++i) {
    p = fma(p, near, set1(middle[i]));
    q = fma(q, far, set1(tail[i]));
  }
  const vf r = select(w < 5.0f, p, q) * x;
  return select(vabs(x) == 1.0f, x * kInfF, r);
}

__attribute__((noinline, unused)) float lane_lgamma(float x) {
  int sign;
  return x == -kInfF ? kInfF : lgammaf_r(x, &sign);
}
// Stirling's series at X = x, or at x + 8 below 8 less the log of the eight factors; in double, where the
// zeros at 1 and 2 keep their digits. Arguments below 1/2 go to the C library.
CCDL_SI vd lgamma_half(vd x) {
  const vl low = x < 8.0;
  vd product = x;
  for (int k = 1; k < 8; ++k) product = product * (x + (double)k);
  const vd X = select(low, x + 8.0, x), z = 1.0 / (X * X);
  static constexpr double coef[] = {-3617.0 / 122400, 1.0 / 156,  -691.0 / 360360, 1.0 / 1188,
                                    -1.0 / 1680,      1.0 / 1260, -1.0 / 360,      1.0 / 12};
  vd p = set1(coef[0]);
  for (int i = 1; i < 8; ++i) p = fma(p, z, set1(coef[i]));
  const vd r = fma(X - 0.5, dlog(X), 0.918938533204672742 - X) + p / X;
  return select(x == __builtin_inf(), x, r - select(low, dlog(product), vd{}));
}
CCDL_SI vf vlgamma(vf x) {
  vf r = narrow(lgamma_half(widen_low(x)), lgamma_half(widen_high(x)));
  r = select((x == 1.0f) | (x == 2.0f), vf{}, r);
  const vi far = (vi)(x >= 0.5f) == 0;
  if (any_lane(far))
    for (int i = 0; i < VL; ++i)
      if (far[i]) r[i] = lane_lgamma(x[i]);
  return r;
}

CCDL_SI vf vnextafter(vf x, vf y) {  // the neighbour in the order of the bits
  const vi away = ((x > 0.0f) == (y > x)) & (vi)(x != 0.0f);
  const vi bits = (vi)x + ((away & 2) - 1);
  const vf from_zero = vcopysign((vf)(vi{} + 1), y);
  const vf r = select(x == 0.0f, from_zero, (vf)bits);
  return select((x == x) & (y == y), select(x == y, y, r), x + y);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
