// Gamma, Poisson and binomial samples by rejection, in double, for host and device. The operands' own draws
// serve the first attempt; what an element needs beyond them comes from a Philox stream they are the key of.
#pragma once
#include <ccdl/core/rng.h>
#include <ccdl/kernels/special_beta.h>

namespace ccdl::special {

// Uniforms in (0, 1] and normals of one element.
struct Draws {
  RandomState state;
  uint64_t next = 0;

  CCDL_HD static uint64_t bits(double v) {
    uint64_t b;
    __builtin_memcpy(&b, &v, sizeof b);
    return b;
  }
  CCDL_HD explicit Draws(double u, double z = 0) : state{bits(u) * 0x9E3779B97F4A7C15u ^ bits(z), 0} {}
  CCDL_HD uint64_t word() { return rng::draw64(state, next++); }
  CCDL_HD double uniform() { return rng::positive_double(word()); }
  CCDL_HD double normal() {
    const uint64_t radius = word(), turn = word();
    return rng::normal_pair_double<rng::DoubleLane>(static_cast<int64_t>(radius >> 11),
                                                    static_cast<int64_t>(turn >> 11))
        .cos_part;
  }
};

// A sample of Gamma(a) from a normal z and a uniform u. Marsaglia and Tsang, A simple method for generating
// gamma variables (2000): d (1 + c z)^3, accepted in 96 of 100 cases or more; below a = 1 one of Gamma(a + 1)
// times a uniform to the power of 1 / a.
CCDL_HD inline double gamma_draw(double a, double z, double u) {
  if (!(a > 0)) return __builtin_nan("");
  if (a == __builtin_inf()) return a;
  Draws more(u, z);
  const double power = a < 1 ? exp(log(more.uniform()) / a) : 1;
  const double d = (a < 1 ? a + 1 : a) - 1.0 / 3, c = 1 / (3 * sqrt(d));
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const double root = 1 + c * z, s = z * z, v = root * root * root;
    if (root > 0 && (u < 1 - 0.0331 * s * s || log(u) < 0.5 * s + d * (1 - v + log(v)))) return power * d * v;
    z = more.normal();
    u = more.uniform();
  }
  return power * d;
}

// log P(X = k) of a Poisson variable
CCDL_HD inline double poisson_log_density(double k, double rate) {
  if (k <= 0) return -rate;
  return -stirling_error(k) - deviance(k, rate) - 0.5 * log(6.28318530717958647693 * k);
}

// A Poisson sample. Small rates: the smallest k with P(X <= k) >= u. Others by transformed rejection:
// Hoermann, The transformed rejection method for generating Poisson random variables (1993), PTRS.
CCDL_HD inline double poisson_draw(double rate, double u) {
  if (!(rate >= 0)) return __builtin_nan("");
  if (rate == 0 || rate == __builtin_inf()) return rate;
  if (rate < 10) {
    double p = exp(-rate), below = p, k = 0;
    while (below < u && p > 1e-18) {
      k += 1;
      p *= rate / k;
      below += p;
    }
    return k;
  }
  const double b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b;
  const double sure = 0.9277 - 3.6224 / (b - 2);
  Draws more(u);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const double v = more.uniform(), side = u - 0.5, left = 0.5 - fabs(side);
    const double k = floor((2 * a / left + b) * side + rate + 0.43);
    if (left >= 0.07 && v <= sure) return k;
    if (k >= 0 && left > 0 && (left >= 0.013 || v <= left)) {
      const double scale = (1.1239 + 1.1328 / (b - 3.4)) / (a / (left * left) + b);
      if (log(v * scale) <= poisson_log_density(k, rate)) return k;
    }
    u = more.uniform();
  }
  return floor(rate);
}

// A binomial sample of whole counts, p at most 1/2: as above (BTRS of the same author's The generation of
// binomial random variates, 1993).
CCDL_HD inline double binomial_half(double n, double p, double u) {
  const double q = 1 - p, mean = n * p;
  if (mean < 10) {
    double chance = exp(n * log1p(-p)), below = chance, k = 0;
    while (below < u && k < n && (chance > 1e-18 || k < mean)) {
      chance *= (n - k) / (k + 1) * (p / q);
      k += 1;
      below += chance;
    }
    return k;
  }
  const double sd = sqrt(mean * q), b = 1.15 + 2.53 * sd, a = -0.0873 + 0.0248 * b + 0.01 * p;
  const double sure = 0.92 - 4.2 / b;
  double top = 0;  // P at the mode
  Draws more(u);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const double v = more.uniform(), side = u - 0.5, left = 0.5 - fabs(side);
    const double k = floor((2 * a / left + b) * side + mean + 0.5);
    if (left >= 0.07 && v <= sure) return k;
    if (k >= 0 && k <= n && left > 0) {
      if (top == 0) top = binomial_density(floor((n + 1) * p), n, p, q);
      const double scale = (2.83 + 5.1 / b) * sd / (a / (left * left) + b);
      if (v * scale * top <= binomial_density(k, n, p, q)) return k;
    }
    u = more.uniform();
  }
  return floor(mean);
}
CCDL_HD inline double binomial_draw(double count, double prob, double u) {
  if (!(count >= 0) || !(prob >= 0 && prob <= 1)) return __builtin_nan("");
  const double n = floor(count);
  if (n == 0 || prob == 0) return 0;
  if (prob == 1 || n == __builtin_inf()) return n;
  return prob <= 0.5 ? binomial_half(n, prob, u) : n - binomial_half(n, 1 - prob, u);
}

}  // namespace ccdl::special
