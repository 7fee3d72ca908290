// Bricks of one 1-d block whose size is a multiple of the warp: every thread calls them together. Each ends
// with all threads past its shared memory, so calls may follow each other directly.
#pragma once
#include <device/warp.cuh>

namespace ccdl::cu {

// All threads get op over the block, in a fixed order. identity pads missing warps.
template <class T, class Op>
CCDL_DEVICE T block_reduce(T v, Op op, T identity) {
  CCDL_SHARED(T, partial, [kWarp]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  v = warp_reduce(v, op);
  if (lane == 0) partial[warp] = v;
  __syncthreads();  // partials are complete
  v = warp_reduce(lane < warps ? partial[lane] : identity, op);
  __syncthreads();  // nobody reads them any more: the next call may overwrite
  return v;
}
template <class T>
CCDL_DEVICE T block_sum(T v) {
  return block_reduce(v, SumOp(), T(0));
}

// Inclusive scan over the block; *total receives the result over all threads.
template <class T, class Op>
CCDL_DEVICE T block_scan(T v, Op op, T identity, T* total) {
  CCDL_SHARED(T, partial, [kWarp]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  v = warp_scan(v, op);
  if (lane == kWarp - 1) partial[warp] = v;
  __syncthreads();  // each warp's total is there
  const T scanned = warp_scan(lane < warps ? partial[lane] : identity, op);
  const T before = __shfl_sync(kFullWarp, scanned, warp == 0 ? 0 : warp - 1);
  *total = __shfl_sync(kFullWarp, scanned, warps - 1);
  __syncthreads();  // partials may be overwritten
  return warp == 0 ? v : op(before, v);
}

}  // namespace ccdl::cu
