// erfc, erfinv, lgamma and nextafter over the float vector; same rules of inclusion as vec.h. Error at most 4
// ULP.
#pragma once
#include <ccdl/cpu/simd/vmath_double.h>

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

// log(|sin(pi x)| / pi): the series of the sine over the distance to the next whole number
CCDL_SI vd log_sine(vd x) {
  static constexpr double coef[] = {1.7165384749821422e-10,
                                    -7.304711822217769e-09,
                                    2.531217404137026e-07,
                                    -6.975873661656377e-06,
                                    0.00014842879303107092,
                                    -0.0023460810354558226,
                                    0.02614784781765479,
                                    -0.1907518241220842,
                                    0.8117424252833535,
                                    -1.6449340668482264,
                                    1.0};
  constexpr double whole = 6755399441055744.0;  // 1.5 2^52: adding it rounds
  const vd f = select(dabs(x) < 8388608.0, x - ((x + whole) - whole), vd{}), z = f * f;
  vd p = set1(coef[0]);
  for (int i = 1; i < 11; ++i) p = fma(p, z, set1(coef[i]));
  return dlog(dabs(f * p));
}
// Stirling's series at X = y, or at y + 8 below 8 less the log of the eight factors; in double, where the
// zeros at 1 and 2 keep their digits. Below 0 by reflection: log(pi / |sin(pi x)|) less its value at 1 - x.
CCDL_SI vd lgamma_half(vd x) {
  const vl minus = (vl)(x > 0.0) == 0;
  const vd y = select(minus, 1.0 - x, x);
  const vl low = y < 8.0;
  vd product = y;
  for (int k = 1; k < 8; ++k) product = product * (y + (double)k);
  const vd X = select(low, y + 8.0, y), z = 1.0 / (X * X);
  static constexpr double coef[] = {-3617.0 / 122400, 1.0 / 156,  -691.0 / 360360, 1.0 / 1188,
                                    -1.0 / 1680,      1.0 / 1260, -1.0 / 360,      1.0 / 12};
  vd p = set1(coef[0]);
  for (int i = 1; i < 8; ++i) p = fma(p, z, set1(coef[i]));
  vd r = fma(X - 0.5, dlog(X), 0.918938533204672742 - X) + p / X;
  r = r - select(low, dlog(product), vd{});
  if (any_lane(minus)) r = select(minus, -log_sine(x) - r, r);
  return select(y == __builtin_inf(), y, r);
}
CCDL_SI vf vlgamma(vf x) {
  const vf r = narrow(lgamma_half(widen_low(x)), lgamma_half(widen_high(x)));
  return select((x == 1.0f) | (x == 2.0f), vf{}, r);
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
