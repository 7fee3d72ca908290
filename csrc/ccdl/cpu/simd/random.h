// Inner loops of the random kernels. w: 32-bit words in element order, as philox() writes them; a 64-bit draw
// is two neighbouring words, low one first.
#pragma once
#include <ccdl/core/rng.h>
#include <ccdl/cpu/isa.h>

namespace ccdl::cpu {

struct RandomKernels {
  // Words of the counters offset ... offset + counters - 1: w[4 * counters].
  void (*philox)(RandomState state, int64_t counters, uint32_t* w);
  void (*uniform_f32)(const uint32_t* w, int64_t n, float from, float span, float* y);
  void (*uniform_f64)(const uint32_t* w, int64_t n, double from, double span, double* y);
  // n even; elements come in pairs.
  void (*normal_f32)(const uint32_t* w, int64_t n, float mean, float std, float* y);
  void (*normal_f64)(const uint32_t* w, int64_t n, double mean, double std, double* y);
  // y = -log(u) / lambda from 64-bit draws, u in (0, 1].
  void (*exponential_f64)(const uint32_t* w, int64_t n, double lambda, double* y);
  // y = low + floor(draw * range / 2^64) from 64-bit draws, wrapping.
  void (*integers_i64)(const uint32_t* w, int64_t n, int64_t low, uint32_t range, int64_t* y);
  // y = w < threshold ? 1 : 0.
  void (*bernoulli_u8)(const uint32_t* w, int64_t n, uint32_t threshold, uint8_t* y);
  void (*bernoulli_f32)(const uint32_t* w, int64_t n, uint32_t threshold, float* y);
  // y = x * (kept ? scale : 0); x may be y.
  void (*dropout_f32)(const uint32_t* w, int64_t n, uint32_t threshold, float scale, const float* x,
                      float* y);
};
CCDL_SIMD_FAMILY(RandomKernels, random)

}  // namespace ccdl::cpu
