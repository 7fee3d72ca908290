// Optimiser steps over a list of parameters in one pass each. Every array of an item has n elements of the
// item's floating dtype, element i of all arrays belonging together (equal dense strides). In-place: param
// and state are updated. Half formats compute in float and round once per array.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

struct OptimItem {
  void* param;
  const void* grad;
  void* state[3];  // SGD: momentum buffer. Adam: exp_avg, exp_avg_sq, max_exp_avg_sq. Null where not used.
  int64_t n;
  DType dtype;
  int64_t step;  // of this parameter, counting the present one as 1
};

// Inside a captured CUDA graph lr and step change from replay to replay: *device_lr (device memory) then
// stands for lr, and *device_step is added to the step of every item. Under loss scaling nothing is written
// where *found_inf is not 0, and *skipped is subtracted from the steps. Null otherwise, and always on the
// CPU.
struct SgdOptions {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize;
  const double* device_lr = nullptr;
  const int64_t* device_step = nullptr;
  const float* found_inf = nullptr;
};

struct AdamOptions {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;  // AdamW: p *= 1 - lr wd instead of g += wd p
  bool maximize;
  const double* device_lr = nullptr;
  const int64_t* device_step = nullptr;
  const float *found_inf = nullptr, *skipped = nullptr;
};

}  // namespace ccdl

#define CCDL_OPTIM_CONTRACT                                                                                \
  /* g = maximize ? -grad : grad; g += wd p; b = step == 1 ? g : momentum b + (1 - dampening) g;           \
     g = nesterov ? g + momentum b : b; p -= lr g. Without buffer (momentum 0): p -= lr g. */              \
  void sgd_step(const OptimItem* items, int64_t count, const SgdOptions& options);                         \
  /* m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2; with state[2]: v' = state[2] = max(state[2], \
     v); p -= lr / (1 - beta1^t) m / (sqrt(v') / sqrt(1 - beta2^t) + eps) */                               \
  void adam_step(const OptimItem* items, int64_t count, const AdamOptions& options);

namespace ccdl::cpu {
CCDL_OPTIM_CONTRACT
}
namespace ccdl::cu {
CCDL_OPTIM_CONTRACT
}
#undef CCDL_OPTIM_CONTRACT
