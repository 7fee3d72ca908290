// Special functions in double, for host and device: modified Bessel functions, scaled erfc, normal quantiles,
// Hurwitz zeta, incomplete gamma functions. Series and continued fractions as in the DLMF (dlmf.nist.gov),
// sections given below.
#pragma once
#include <cmath>

#include <ccdl/kernels/special_functions.h>
#include <ccdl/kernels/zeta_terms.h>

namespace ccdl::special {

constexpr double kEps = 2.220446049250313e-16, kSqrtHalf = 0.70710678118654752440;
constexpr double kInverseSqrtPi = 0.56418958354775628695, kSqrt2Pi = 2.5066282746310005024;

// e^-|x| I_order(|x|): Chebyshev series, as powers, of e^-x I_0(x) or e^-x I_1(x) / x in x / 4 - 1 up to 8
// and of sqrt(x) e^-x I(x) in 16 / x - 1 beyond, fitted to values with 50 digits; relative error below 3e-15.
CCDL_HD inline double bessel_scaled(double x, int order) {
  const double a = fabs(x);
  const double near0[] = {CCDL_BESSEL_NEAR0};
  const double far0[] = {CCDL_BESSEL_FAR0};
  const double near1[] = {CCDL_BESSEL_NEAR1};
  const double far1[] = {CCDL_BESSEL_FAR1};
  if (a <= 8) {
    const double t = a / 4 - 1;
    return order == 0 ? polynomial(near0, t) : a * polynomial(near1, t);
  }
  const double t = 16 / a - 1;
  return (order == 0 ? polynomial(far0, t) : polynomial(far1, t)) / sqrt(a);
}
CCDL_HD inline double bessel_i0e(double x) { return x != x ? x : bessel_scaled(x, 0); }
CCDL_HD inline double bessel_i1e(double x) { return x != x ? x : copysign(bessel_scaled(x, 1), x); }
CCDL_HD inline double unscaled(double scaled, double x) {
  const double half = exp(fabs(x) / 2);  // e^|x| alone would overflow too early
  return scaled * half * half;
}
CCDL_HD inline double bessel_i0(double x) {
  return fabs(x) == __builtin_inf() ? __builtin_inf() : unscaled(bessel_i0e(x), x);
}
CCDL_HD inline double bessel_i1(double x) {
  return fabs(x) == __builtin_inf() ? x : unscaled(bessel_i1e(x), x);
}

// e^(x^2) erfc(x): (1 + 2 x) times it, a series in (x - 3.75) / (x + 3.75) (Shepherd and Laframboise, 1981),
// here fitted to values with 50 digits; relative error below 1e-15.
CCDL_HD inline double erfcx(double x) {
  const double a = fabs(x);
  const double c[] = {CCDL_ERFCX_SERIES};
  const double y = a > 1e8 ? kInverseSqrtPi / a : polynomial(c, (a - 3.75) / (a + 3.75)) / (1 + 2 * a);
  return x < 0 ? 2 * exp(x * x) - y : y;
}

CCDL_HD inline double log_ndtr(double x) {
  const double t = x * kSqrtHalf;
  return x < -1 ? log(0.5 * erfcx(-t)) - t * t : log1p(-0.5 * erfc(t));
}

CCDL_HD inline double ndtri(double p) {
  if (!(p >= 0 && p <= 1)) return __builtin_nan("");
  if (p == 0) return -__builtin_inf();
  if (p == 1) return __builtin_inf();
  return normal_quantile(p - 0.5, p < 0.5 ? p : 1 - p);
}

// sum over k of (q + k)^-x, x > 1: Euler and Maclaurin's formula (25.11.28) from where its terms decrease.
CCDL_HD inline double zeta(double x, double q) {
  if (x == 1) return __builtin_inf();
  if (!(x > 1)) return __builtin_nan("");
  if (q <= 0) {
    if (q == floor(q)) return __builtin_inf();
    if (x != floor(x)) return __builtin_nan("");
  }
  if (q == __builtin_inf()) return 0;
  double sum = 0;
  bool least = false;  // the rest is nothing beside the sum, or little more
  while ((q < 12 || q < x) && !least) {
    const double power = pow(q, -x);
    sum += power;
    least = q > 0 && power < kEps * fabs(sum);
    q += 1;
  }
  const double b[] = CCDL_ZETA_TERMS;
  const double head = pow(q, -x);
  sum += head * q / (x - 1) + 0.5 * head;
  double factor = x * head / q;
  for (int j = 0; j < 10; ++j) {
    const double term = b[j] * factor;
    sum += term;
    if (least || fabs(term) < kEps * fabs(sum)) break;
    factor *= (x + 2 * j + 1) * (x + 2 * j + 2) / (q * q);
  }
  return sum;
}

// psi^(n)(x) = (-1)^(n + 1) n! zeta(n + 1, x)
CCDL_HD inline double polygamma(double n, double x) {
  if (n == 0) return digamma(x);
  if (n == 1) return trigamma(x);
  return (fmod(n, 2) == 0 ? -1 : 1) * exp(lgamma(n + 1)) * zeta(n + 1, x);
}

// x^a e^-x / Gamma(a + 1), for large a from the distance to the peak
CCDL_HD inline double gamma_prefix(double a, double x) {
  if (x == 0) return a == 0 ? 1 : 0;
  if (a < 20) return exp(a * log(x) - x - lgamma(a + 1));
  const double mu = (x - a) / a, z = 1 / (a * a);
  const double stirling = (1.0 / 12 - z * (1.0 / 360 - z * (1.0 / 1260 - z / 1680))) / a;
  return exp(a * ((fabs(mu) < 1 ? log1p(mu) : log(x / a)) - mu) - stirling) / (kSqrt2Pi * sqrt(a));
}
// Regularised incomplete gamma functions: the series (8.7.1) below the peak, the continued fraction (8.9.2)
// above it.
CCDL_HD inline double gamma_series(double a, double x) {
  double term = 1, sum = 1;
  for (int k = 1; k < 20000; ++k) {
    sum += term *= x / (a + k);
    if (term < kEps * 0.1 * sum) break;
  }
  return gamma_prefix(a, x) * sum;
}
CCDL_HD inline double gamma_fraction(double a, double x) {
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int k = 1; k < 20000; ++k) {
    const double an = -k * (k - a);
    b += 2;
    d = an * d + b;
    d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
    c = b + an / c;
    c = fabs(c) < 1e-300 ? 1e-300 : c;
    h *= d * c;
    if (fabs(d * c - 1) < kEps) break;
  }
  return gamma_prefix(a, x) * a * h;
}
// Q(a, x) (or P when `lower`) for a above 1e5: Temme's uniform expansion (8.12) to the second term, good to
// 1e-13 where the result is not below 1e-300 or so.
CCDL_HD inline double gamma_uniform(double a, double x, bool lower) {
  const double mu = (x - a) / a;
  double half_eta2 = 0;  // mu - log(1 + mu)
  if (fabs(mu) < 0.1) {
    double power = mu * mu;
    for (int k = 2; k < 20; ++k) {
      half_eta2 += (k % 2 == 0 ? power : -power) / k;
      power *= mu;
    }
  } else {
    half_eta2 = mu - log1p(mu);
  }
  const double eta = copysign(sqrt(2 * half_eta2), mu), sign = lower ? -1 : 1;
  const double c0 =
      ((((((3.919263178522438e-5 * eta - 1.787551440329218e-4) * eta + 3.527336860670194e-4) * eta +
          1.157407407407407e-3) *
             eta -
         1.481481481481481e-2) *
            eta +
        8.333333333333333e-2) *
       eta) -
      0.3333333333333333;
  const double c1 =
      (((2.057613168724280e-4 * eta - 9.902263374485597e-4) * eta + 2.645502645502646e-3) * eta -
       3.472222222222222e-3) *
          eta -
      1.851851851851852e-3;
  const double rest = exp(-a * half_eta2) / (kSqrt2Pi * sqrt(a)) * (c0 + c1 / a);
  return 0.5 * erfc(sign * eta * sqrt(0.5 * a)) + sign * rest;
}
CCDL_HD inline double gammainc(double a, double x) {
  if (!(a >= 0) || !(x >= 0)) return __builtin_nan("");
  if (a == 0) return x > 0 ? 1 : __builtin_nan("");
  if (x == 0) return 0;
  if (x == __builtin_inf()) return a == x ? __builtin_nan("") : 1;
  if (a == __builtin_inf()) return 0;
  if (a > 1e5) return gamma_uniform(a, x, true);
  return x < a + 1 ? gamma_series(a, x) : 1 - gamma_fraction(a, x);
}
CCDL_HD inline double gammaincc(double a, double x) {
  if (!(a >= 0) || !(x >= 0)) return __builtin_nan("");
  if (a == 0) return x > 0 ? 0 : __builtin_nan("");
  if (x == 0) return 1;
  if (x == __builtin_inf()) return a == x ? __builtin_nan("") : 0;
  if (a == __builtin_inf()) return 1;
  if (a > 1e5) return gamma_uniform(a, x, false);
  return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

// dz / da at a fixed P(a, z): -(dP / da) / (dP / dz), from the derivative of the series of P by a,
// (z / a) sum over n of t_n (psi(a + n + 1) - log z), t_n the terms of gamma_series. Figurnov, Mohamed and
// Mnih, Implicit reparameterization gradients (2018).
CCDL_HD inline double gamma_grad(double a, double z) {
  if (!(a > 0) || !(z >= 0)) return __builtin_nan("");
  if (z == 0) return 0;
  if (a > 1e5) {  // z = d (1 + c s)^3 with d = a - 1/3, c = 1 / sqrt(9 d): s does not depend on a up to 1/a
    const double d = a - 1.0 / 3, cube = cbrt(z / d);
    return cube * cube * (cube - 1.5 * (cube - 1));
  }
  const double log_z = log(z);
  double psi = digamma(a + 1) - log_z, term = 1, sum = psi;
  for (int n = 1; n < 20000; ++n) {
    term *= z / (a + n);
    psi += 1 / (a + n);
    const double part = term * psi;
    sum += part;
    if (term < 1e-18 || (n > z && fabs(part) < kEps * fabs(sum))) break;
  }
  return z / a * sum;
}

}  // namespace ccdl::special
