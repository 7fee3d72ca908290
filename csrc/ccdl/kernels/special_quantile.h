// Quantiles that samplers invert (gamma, Poisson, binomial) and the incomplete beta function, in double, for
// host and device.
#pragma once
#include <ccdl/kernels/special_series.h>

namespace ccdl::special {

// z with P(a, z) = u: Wilson and Hilferty's or the small-z guess, then Halley's method.
CCDL_HD inline double gamma_quantile(double a, double u) {
  if (!(a > 0) || !(u >= 0 && u <= 1)) return __builtin_nan("");
  if (u == 0) return 0;
  if (u == 1 || a == __builtin_inf()) return __builtin_inf();
  if (a > 1e6) {  // Wilson and Hilferty's form is as good as the samples' resolution
    const double w = 1 - 1 / (9 * a) + ndtri(u) / (3 * sqrt(a));
    return a * w * w * w;
  }
  const double small = exp((log(u) + lgamma(a + 1)) / a);  // P ~ z^a / Gamma(a + 1)
  double z = small;
  if (a > 0.3 && small > 0.1) {
    const double w = 1 - 1 / (9 * a) + ndtri(u) / (3 * sqrt(a));
    if (w > 0.1) z = a * w * w * w;
  }
  for (int i = 0; i < 30 && z > 0; ++i) {
    const double error = u < 0.5 ? gammainc(a, z) - u : (1 - u) - gammaincc(a, z);
    const double slope = gamma_prefix(a, z) * a / z;
    if (!(slope > 0)) break;
    double step = error / slope;
    const double bend = 0.5 * step * ((a - 1) / z - 1);
    step /= 1 - (bend < -1 ? -1 : bend > 0.5 ? 0.5 : bend);
    const double next = z - step;
    z = next > z * 0.1 ? next : z * 0.1;
    if (fabs(step) < 1e-13 * z) break;
  }
  return z;
}

// The smallest k with P(X <= k) >= u, by steps from the rate.
CCDL_HD inline double poisson_quantile(double rate, double u) {
  if (!(rate >= 0) || !(u >= 0 && u <= 1)) return __builtin_nan("");
  if (rate == 0) return 0;
  double k = floor(rate);
  if (rate > 1e4) {  // start near the answer (Cornish and Fisher); where steps of 1 do not matter, stay there
    const double z = ndtri(u < 1e-300 ? 1e-300 : u > 1 - kEps ? 1 - kEps : u);
    k = floor(rate + sqrt(rate) * z + (z * z - 1) / 6);
    k = k < 0 ? 0 : k;
    if (!(rate < 1e6)) return k;
  }
  double below = gammaincc(k + 1, rate), p = gamma_prefix(k, rate);  // P(X <= k), P(X = k)
  if (below >= u) {
    while (k > 0 && below - p >= u) {
      below -= p;
      p *= k / rate;
      k -= 1;
    }
    return k;
  }
  while (below < u && p > 0) {
    k += 1;
    p *= rate / k;
    below += p;
    if (p < kEps * 1e-3) break;
  }
  return k;
}

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

// The smallest k with P(X <= k) >= u, by steps from the mode.
CCDL_HD inline double binomial_quantile(double count, double prob, double u) {
  if (!(count >= 0) || !(prob >= 0 && prob <= 1) || !(u >= 0 && u <= 1)) return __builtin_nan("");
  if (count == 0 || prob == 0) return 0;
  if (prob == 1) return count;
  double k = floor(count * prob);
  const double variance = count * prob * (1 - prob);
  if (variance > 1e4) {
    const double z = ndtri(u < 1e-300 ? 1e-300 : u > 1 - kEps ? 1 - kEps : u);
    k = floor(count * prob + sqrt(variance) * z + (1 - 2 * prob) * (z * z - 1) / 6);
    k = k < 0 ? 0 : k > count ? count : k;
    if (!(variance < 1e6)) return k;
  }
  const double odds = prob / (1 - prob);
  double p = binomial_density(k, count, prob, 1 - prob);
  double below = k >= count ? 1 : 1 - betainc(k + 1, count - k, prob);
  if (below >= u) {
    while (k > 0 && below - p >= u) {
      below -= p;
      p *= k / ((count - k + 1) * odds);
      k -= 1;
    }
    return k;
  }
  while (below < u && k < count) {
    k += 1;
    p *= (count - k + 1) * odds / k;
    below += p;
    if (p < kEps * 1e-3) break;
  }
  return k;
}

}  // namespace ccdl::special
