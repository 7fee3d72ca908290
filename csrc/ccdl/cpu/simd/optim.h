// Inner loops of the optimiser steps over elements [0, n) of one parameter. Table index: float16, bfloat16,
// float32, float64. Coefficients are doubles rounded to the computing type inside.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct SgdCoefficients {
  double sign, weight_decay, momentum, keep, lr;  // keep = 1 - dampening
  bool nesterov, first;
};
struct AdamCoefficients {
  double sign, weight_decay, shrink;  // shrink = 1 - lr wd when decoupled, else 1
  double one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction2, eps;
};

struct OptimKernels {
  void (*sgd[4])(void* p, const void* g, void* b, int64_t n, const SgdCoefficients& c);
  void (*adam[4])(void* p, const void* g, void* m, void* v, void* top, int64_t n, const AdamCoefficients& c);
};
CCDL_SIMD_FAMILY(OptimKernels, optim)

}  // namespace ccdl::cpu
