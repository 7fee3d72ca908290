// Bricks of one warp: every lane of the warp calls them together.
#pragma once
#include <device/prelude.cuh>

namespace ccdl::cu {

struct SumOp {
  template <class T>
  CCDL_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN wins.
struct MaxOp {
  template <class T>
  CCDL_DEVICE T operator()(T a, T b) const {
    return a != a ? a : (b > a || b != b ? b : a);
  }
};
struct MinOp {
  template <class T>
  CCDL_DEVICE T operator()(T a, T b) const {
    return a != a ? a : (b < a || b != b ? b : a);
  }
};

// All lanes get op over the warp; a fixed butterfly, so the same bits every time.
template <class T, class Op>
CCDL_DEVICE T warp_reduce(T v, Op op) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v = op(v, __shfl_xor_sync(kFullWarp, v, offset));
  return v;
}
template <class T>
CCDL_DEVICE T warp_sum(T v) {
  return warp_reduce(v, SumOp());
}
template <class T>
CCDL_DEVICE T warp_max(T v) {
  return warp_reduce(v, MaxOp());
}

// Inclusive scan across the warp.
template <class T, class Op>
CCDL_DEVICE T warp_scan(T v, Op op) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const T other = __shfl_up_sync(kFullWarp, v, offset);
    if (lane >= offset) v = op(other, v);
  }
  return v;
}

}  // namespace ccdl::cu
