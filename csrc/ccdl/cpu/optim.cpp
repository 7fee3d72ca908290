// Optimiser steps: all parameters form one flat list of fixed-size pieces, so many small tensors cost one
// parallel region and the pieces never depend on the thread count.
#include <cmath>
#include <vector>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/optim.h>
#include <ccdl/kernels/optim.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kPiece = 16384;

// fn(item index, first element, count) for every piece.
template <class F>
void for_pieces(const OptimItem* items, int64_t count, const F& fn) {
  std::vector<int64_t> first(static_cast<size_t>(count) + 1, 0);  // piece number where an item starts
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    first[i + 1] = first[i] + (items[i].n + kPiece - 1) / kPiece;
    total += items[i].n;
  }
  const int64_t pieces = first[count];
  // small tensors make small pieces: group them so that a chunk still holds about kPiece elements
  const int64_t group = total > 0 ? (pieces * kPiece + total - 1) / total : 1;
  parallel_for(pieces, group, [&](int64_t begin, int64_t end) {
    int64_t low = 0, high = count;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (first[middle] <= begin ? low : high) = middle;
    }
    for (int64_t i = low, piece = begin; piece < end; ++piece) {
      while (first[i + 1] <= piece) ++i;
      const int64_t start = (piece - first[i]) * kPiece;
      fn(i, start, items[i].n - start < kPiece ? items[i].n - start : kPiece);
    }
  });
}

void* advance(void* p, const OptimItem& item, int64_t start) {
  return p ? element(p, item.dtype, start) : nullptr;
}

}  // namespace

void sgd_step(const OptimItem* items, int64_t count, const SgdOptions& o) {
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n) {
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
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n) {
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
