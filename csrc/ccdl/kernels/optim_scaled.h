// Optimiser steps whose update is scaled by norms of the whole tensor: LAMB and Adafactor, over a list of
// parameters as in kernels/optim.h. Norms are summed in double over pieces whose borders depend on the sizes
// alone and joined in a fixed order. The directions are written once for every backend: M is the mathematics
// of one element type, T its scalar or a vector of it.
#pragma once
#include <ccdl/kernels/optim.h>
#include <ccdl/kernels/special_functions.h>

namespace ccdl {

// The device_ pointers, found_inf and skipped as in AdamOptions. max_ratio: infinity for none.
struct LambOptions {
  double lr, beta1, beta2, eps, weight_decay, max_ratio;
  bool maximize;
  const double* device_lr = nullptr;
  const int64_t* device_step = nullptr;
  const float *found_inf = nullptr, *skipped = nullptr;
};

// All arrays contiguous. Matrices [batch, rows, columns]: state[0] the mean squares of rows [batch, rows],
// state[1] those of columns [batch, columns]. Otherwise rows = 0, and state[0] the mean squares themselves.
struct AdafactorItem : OptimItem {
  int64_t batch, rows, columns;
  double weight, rate;  // of this step: of the new squares, the largest relative step
  double eps1;
};

// device_weight and device_rate, where not null, stand for weight and rate of every item.
struct AdafactorOptions {
  double lr, eps2, d, weight_decay;
  bool maximize;
  const double *device_lr = nullptr, *device_weight = nullptr, *device_rate = nullptr;
};

template <class S>
struct LambNumbers {
  S sign, weight1, beta2, weight2, correction1, correction2, eps, decay;
};

namespace optim_scaled {

CCDL_HD CCDL_INLINE LambNumbers<double> numbers_of(const LambOptions& o, double t) {
  return {
      o.maximize ? -1.0 : 1.0,        1 - o.beta1, o.beta2,       1 - o.beta2, 1 - CCDL_MATH(pow)(o.beta1, t),
      1 - CCDL_MATH(pow)(o.beta2, t), o.eps,       o.weight_decay};
}

// Moves the moments and returns u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay p
template <class M, class T>
CCDL_HD CCDL_INLINE T lamb_direction(T p, T g, T& m, T& v, const LambNumbers<typename M::S>& c) {
  const T d = g * c.sign;
  m = M::fma(d - m, c.weight1, m);
  v = M::fma(d * d, c.weight2, v * c.beta2);
  const T u = m / c.correction1 / (M::sqrt(v / c.correction2) + c.eps);
  return c.decay != 0 ? M::fma(p, c.decay, u) : u;
}

// ||p|| / ||u||, 1 where either is 0; times lr
CCDL_HD CCDL_INLINE double lamb_amount(double lr, double max_ratio, double p2, double u2) {
  double ratio = p2 > 0 && u2 > 0 ? CCDL_MATH(sqrt)(p2) / CCDL_MATH(sqrt)(u2) : 1;
  if (p2 != p2 || u2 != u2) ratio = p2 + u2;  // NaN stays
  return lr * (ratio > max_ratio ? max_ratio : ratio);
}

// u = g / sqrt(max(square, floor))
template <class M, class T>
CCDL_HD CCDL_INLINE T adafactor_direction(T g, T square, typename M::S floor) {
  const T low = T{} + floor;
  return g / M::sqrt(M::sel(square < low, low, square));  // NaN stays
}

// rate max(eps2, rms(p)) / max(1, rms(u) / d)
CCDL_HD CCDL_INLINE double adafactor_amount(const AdafactorOptions& o, double rate, double n, double p2,
                                            double u2) {
  const double size = CCDL_MATH(sqrt)(p2 / n), limit = CCDL_MATH(sqrt)(u2 / n) / o.d;
  return rate * (size < o.eps2 ? o.eps2 : size) / (limit < 1 ? 1 : limit);
}

}  // namespace optim_scaled
}  // namespace ccdl

#define CCDL_OPTIM_SCALED_CONTRACT                                                                       \
  /* p -= lr ratio u with the moments exp_avg, exp_avg_sq in state[0], state[1] */                       \
  int64_t lamb_workspace_bytes(const OptimItem* items, int64_t count);                                   \
  void lamb_step(const OptimItem* items, int64_t count, const LambOptions& options, void* workspace);    \
  /* R += w (mean over columns of g^2 - R); C += w (mean over rows of g^2 - C); V = R C / max(mean(R),   \
     eps1), or V += w (g^2 - V); u = g / sqrt(max(V, eps1^2)); p = (1 - lr weight_decay) p - amount u */ \
  int64_t adafactor_workspace_bytes(const AdafactorItem* items, int64_t count);                          \
  void adafactor_step(const AdafactorItem* items, int64_t count, const AdafactorOptions& options,        \
                      void* workspace);

namespace ccdl::cpu {
CCDL_OPTIM_SCALED_CONTRACT
}
namespace ccdl::cu {
CCDL_OPTIM_SCALED_CONTRACT
}
#undef CCDL_OPTIM_SCALED_CONTRACT
