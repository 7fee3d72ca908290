// The density of the binomial distribution and the incomplete beta function, in double, for host and device.
#pragma once
#include <ccdl/kernels/special_series.h>

namespace ccdl::special {

// lgamma(n + 1) less Stirling's formula
CCDL_HD inline double stirling_error(double n) {
  if (n < 15) return lgamma(n + 1) - (n + 0.5) * log(n) + n - 0.91893853320467274178;
  const double z = 1 / (n * n);
  return (1.0 / 12 - z * (1.0 / 360 - z * (1.0 / 1260 - z * (1.0 / 1680 - z / 1188)))) / n;
}
// x log(x / mean) + mean - x
CCDL_HD inline double deviance(double x, double mean) {
  const double v = (x - mean) / (x + mean);
  if (fabs(v) >= 0.1) return x * log(x / mean) + mean - x;
  double sum = (x - mean) * v, term = 2 * x * v;
  for (int j = 1; j < 1000; ++j) {
    term *= v * v;
    const double next = sum + term / (2 * j + 1);
    if (next == sum) break;
    sum = next;
  }
  return sum;
}
// Gamma(n + 1) / (Gamma(k + 1) Gamma(n - k + 1)) p^k q^(n - k) with q = 1 - p, for real 0 <= k <= n, without
// the cancellation of large logarithms. Loader, Fast and accurate computation of binomial probabilities
// (2000).
CCDL_HD inline double binomial_density(double k, double n, double p, double q) {
  if (k <= 0) return exp(n * (p < 0.5 ? log1p(-p) : log(q)));
  if (k >= n) return exp(n * (q < 0.5 ? log1p(-q) : log(p)));
  const double rest = stirling_error(n) - stirling_error(k) - stirling_error(n - k) - deviance(k, n * p) -
                      deviance(n - k, n * q);
  return exp(rest) * sqrt(n / (6.28318530717958647693 * k * (n - k)));
}

// Regularised incomplete beta function: the continued fraction (8.17.22).
CCDL_HD inline double betainc(double a, double b, double x) {
  if (!(a > 0) || !(b > 0) || !(x >= 0 && x <= 1)) return __builtin_nan("");
  if (x == 0 || x == 1) return x;
  const bool far = x > (a + 1) / (a + b + 2);
  const double p = far ? b : a, q = far ? a : b, t = far ? 1 - x : x;
  const double front = binomial_density(p, p + q, t, far ? x : 1 - x) * q / (p + q);
  double c = 1, d = 1 - (p + q) * t / (p + 1);
  d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
  double h = d;
  for (int m = 1; m < 20000; ++m) {
    for (int half = 0; half < 2; ++half) {
      const double f = half == 0 ? m * (q - m) * t / ((p + 2 * m - 1) * (p + 2 * m))
                                 : -(p + m) * (p + q + m) * t / ((p + 2 * m) * (p + 2 * m + 1));
      d = 1 + f * d;
      d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
      c = 1 + f / c;
      c = fabs(c) < 1e-300 ? 1e-300 : c;
      h *= d * c;
    }
    if (fabs(d * c - 1) < kEps) break;
  }
  const double value = front * h;
  return far ? 1 - value : value;
}

}  // namespace ccdl::special
