// What the optimiser step kernels share: pointers travel as kernel parameters, one launch takes a few dozen
// parameters, each block a piece of one of them; every array is read and written once with 16-byte accesses.
#pragma once
#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <device/vec.cuh>

#include <ccdl/kernels/optim.h>

namespace ccdl::cu {
namespace {

constexpr int kThreads = 256, kVectors = 4;

struct Item {
  void* param;
  const void* grad;
  void* state[3];
  int64_t n;
  int64_t step;
  int32_t first_block;  // blocks of one item follow each other
  bool aligned;
};

template <class Options, class Entry = Item, int kItems = 48>
struct Plan {
  static constexpr int kMaxItems = kItems;
  int count;
  Options options;
  Entry item[kItems];
};

template <class T>
constexpr int64_t kPiece = int64_t{kThreads} * kVectors* kLanes<T>;

template <class P>
CCDL_DEVICE const auto& item_of_block(const P& plan) {
  int low = 0, high = plan.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (plan.item[middle].first_block <= static_cast<int32_t>(blockIdx.x))
      low = middle;
    else
      high = middle;
  }
  return plan.item[low];
}

template <class O>
CCDL_DEVICE double rate_of(const O& o) {
  return o.device_lr ? *o.device_lr : o.lr;
}
template <class O>
CCDL_DEVICE int64_t step_of(const O& o, const Item& item) {
  return item.step + (o.device_step ? *o.device_step : 0);
}

// update.run<N>(i) for the N elements from i on, over the block's piece of an item.
template <class T, class Update>
CCDL_DEVICE void for_piece(const Item& item, const Update& update) {
  constexpr int kN = kLanes<T>;
  const int64_t start = int64_t(static_cast<int32_t>(blockIdx.x) - item.first_block) * kPiece<T>;
  if (item.aligned && start + kPiece<T> <= item.n) {
#pragma unroll
    for (int r = 0; r < kVectors; ++r)
      update.template run<kN>(start + (int64_t(r) * kThreads + threadIdx.x) * kN);
    return;
  }
  const int64_t end = least(start + kPiece<T>, item.n);
#pragma unroll 1
  for (int64_t i = start + threadIdx.x; i < end; i += kThreads) update.template run<1>(i);
}

template <class T, int N>
CCDL_DEVICE Vec<T, N> read(const void* p, int64_t i) {
  return load_vec<T, N>(static_cast<const T*>(p) + i);
}
template <class T, int N>
CCDL_DEVICE void write(void* p, int64_t i, const Vec<T, N>& v) {
  store_vec<T, N>(static_cast<T*>(p) + i, v);
}

inline bool all_aligned(const OptimItem& item) {
  return aligned16(item.param) && aligned16(item.grad) && aligned16(item.state[0]) &&
         aligned16(item.state[1]) && aligned16(item.state[2]);
}

inline Item entry_of(const OptimItem& item, int64_t first_block) {
  return {item.param,       item.grad, {item.state[0], item.state[1], item.state[2]},
          item.n,           item.step, static_cast<int32_t>(first_block),
          all_aligned(item)};
}

// One launch per kMaxItems items of element type T; entry(item, first block) is the item as kernels see it.
template <class T, class P, class Source, class Options, class Entry>
void launch_step(const Source* items, int64_t count, const Options& options, void (*kernel)(P),
                 const Entry& entry) {
  static_assert(sizeof(P) <= 3584);
  for (int64_t next = 0; next < count;) {
    P plan;
    plan.count = 0;
    plan.options = options;
    int64_t blocks = 0;
    for (; next < count && plan.count < P::kMaxItems; ++next) {
      const Source& item = items[next];
      if (item.dtype != DTypeOf<T>::value || item.n == 0) continue;
      const int64_t mine = ceil_div<int64_t>(item.n, kPiece<T>);
      if (blocks + mine > INT32_MAX) break;
      plan.item[plan.count++] = entry(item, blocks);
      blocks += mine;
    }
    if (blocks > 0) CCDL_LAUNCH((LaunchConfig{dim3(static_cast<unsigned>(blocks)), kThreads}), kernel, plan);
  }
}

}  // namespace
}  // namespace ccdl::cu
