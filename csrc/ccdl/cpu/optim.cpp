// Optimiser steps over the flat list of pieces of all parameters.
#include <cmath>

#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/item_pieces.h>
#include <ccdl/cpu/simd/optim.h>
#include <ccdl/kernels/optim.h>

namespace ccdl::cpu {
namespace {

void* advance(void* p, const OptimItem& item, int64_t start) {
  return p ? element(p, item.dtype, start) : nullptr;
}

}  // namespace

void sgd_step(const OptimItem* items, int64_t count, const SgdOptions& o) {
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t) {
    const OptimItem& item = items[i];
    const SgdCoefficients c = {o.maximize ? -1.0 : 1.0, o.weight_decay, o.momentum,
                               1.0 - o.dampening,       o.lr,           o.nesterov,
                               item.step == 1};
    simd_optim().sgd[float_index(item.dtype)](advance(item.param, item, start),
                                              advance(const_cast<void*>(item.grad), item, start),
                                              advance(item.state[0], item, start), n, c);
  });
}

void adam_step(const OptimItem* items, int64_t count, const AdamOptions& o) {
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t) {
    const OptimItem& item = items[i];
    const double t = static_cast<double>(item.step);
    const double correction1 = 1.0 - std::pow(o.beta1, t), correction2 = 1.0 - std::pow(o.beta2, t);
    const AdamCoefficients c = {o.maximize ? -1.0 : 1.0,
                                o.decoupled ? 0.0 : o.weight_decay,
                                o.decoupled ? 1.0 - o.lr * o.weight_decay : 1.0,
                                1.0 - o.beta1,
                                o.beta2,
                                1.0 - o.beta2,
                                o.lr / correction1,
                                std::sqrt(correction2),
                                o.eps};
    simd_optim().adam[float_index(item.dtype)](
        advance(item.param, item, start), advance(const_cast<void*>(item.grad), item, start),
        advance(item.state[0], item, start), advance(item.state[1], item, start),
        advance(item.state[2], item, start), n, c);
  });
}

}  // namespace ccdl::cpu
