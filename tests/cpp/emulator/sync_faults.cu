// Broken kernels and their repaired twins: barriers, warp collectives, races, waiting loops.
#include "cases.h"
#include "launch.h"

#include <device/ptx_sync.cuh>

namespace {

#define BOTH(shape, kernel, ...)                           \
  if (repaired)                                            \
    EMU_LAUNCH(shape, #kernel, kernel<true>, __VA_ARGS__); \
  else                                                     \
    EMU_LAUNCH(shape, #kernel, kernel<false>, __VA_ARGS__)

template <bool kRepaired>
__global__ void missing_barrier(const float* x, float* y) {
  CCDL_SHARED(float, tile, [64]);
  const unsigned i = threadIdx.x;
  tile[i] = 0;
  __syncthreads();
  tile[i] = x[i];  // fault: missing_barrier
  if (kRepaired) __syncthreads();
  y[i] = tile[63 - i];  // fault: missing_barrier
}
bool run_missing_barrier(bool repaired) {
  Buffer<float> x(ramp(64)), y(64);
  const Shape shape{.block = 64};
  BOTH(shape, missing_barrier, x.p, y.p);
  return y.read()[0] == 63.0f;
}

// The barrier at the end of a loop is the one that is forgotten.
template <bool kRepaired>
__global__ void missing_loop_barrier(const float* x, float* y) {
  CCDL_SHARED(float, tile, [64]);
  const unsigned i = threadIdx.x;
  float sum = 0;
  for (int k = 0; k < 3; ++k) {
    tile[i] = x[i] * static_cast<float>(k);  // fault: missing_loop_barrier
    __syncthreads();
    sum += tile[63 - i];  // fault: missing_loop_barrier
    if (kRepaired) __syncthreads();
  }
  y[i] = sum;
}
bool run_missing_loop_barrier(bool repaired) {
  Buffer<float> x(ramp(64)), y(64);
  const Shape shape{.block = 64};
  BOTH(shape, missing_loop_barrier, x.p, y.p);
  return y.read()[0] == 189.0f;
}

template <bool kRepaired>
__global__ void implicit_warp_sync(const float* x, float* y) {
  CCDL_SHARED(float, tile, [32]);
  const unsigned i = threadIdx.x;
  tile[i] = x[i];
  __syncwarp();
  for (unsigned half = 16; half > 0; half /= 2) {
    const float other = tile[i ^ half];  // fault: implicit_warp_sync
    if (kRepaired) __syncwarp();
    tile[i] += other;  // fault: implicit_warp_sync
    if (kRepaired) __syncwarp();
  }
  y[i] = tile[i];
}
bool run_implicit_warp_sync(bool repaired) {
  Buffer<float> x(ramp(32)), y(32);
  const Shape shape{.block = 32};
  BOTH(shape, implicit_warp_sync, x.p, y.p);
  return y.read()[9] == 496.0f;
}

template <bool kRepaired>
__global__ void early_exit(const float* x, float* y, int n) {
  CCDL_SHARED(float, tile, [64]);
  const int i = static_cast<int>(threadIdx.x);
  if (!kRepaired && i >= n) return;
  tile[i] = i < n ? x[i] : 0.0f;
  __syncthreads();  // fault: early_exit
  if (i < n) y[i] = tile[63 - i];
}
bool run_early_exit(bool repaired) {
  Buffer<float> x(ramp(60)), y(60);
  const Shape shape{.block = 64};
  BOTH(shape, early_exit, x.p, y.p, 60);
  return y.read()[10] == 53.0f;
}

template <bool kRepaired>
__global__ void different_barriers(float* y) {
  CCDL_SHARED(float, total, [1]);
  const unsigned i = threadIdx.x;
  if (kRepaired) {
    if (i == 0) total[0] = 7;
    __syncthreads();
  } else if (i < 32) {
    if (i == 0) total[0] = 7;
    __syncthreads();  // fault: different_barriers
  } else {
    __syncthreads();  // fault: different_barriers
  }
  y[i] = total[0];
}
bool run_different_barriers(bool repaired) {
  Buffer<float> y(64);
  const Shape shape{.block = 64};
  BOTH(shape, different_barriers, y.p);
  return y.read()[63] == 7.0f;
}

template <bool kRepaired>
__global__ void divergent_shuffle(const float* x, float* y) {
  const unsigned i = threadIdx.x;
  float v = x[i];
  if (kRepaired || i < 16) v += __shfl_xor_sync(kFullWarp, v, 16);  // fault: divergent_shuffle
  y[i] = v;
}
bool run_divergent_shuffle(bool repaired) {
  Buffer<float> x(ramp(32)), y(32);
  const Shape shape{.block = 32};
  BOTH(shape, divergent_shuffle, x.p, y.p);
  return y.read()[3] == 22.0f;
}

template <bool kRepaired>
__global__ void different_masks(const float* x, float* y) {
  const unsigned i = threadIdx.x;
  const unsigned mask =
      kRepaired ? (i < 16 ? 0x0000ffffu : 0xffff0000u) : (i < 16 ? 0x0000ffffu : 0xffffff00u);
  y[i] = x[i] + __shfl_xor_sync(mask, x[i], 8);  // fault: different_masks
}
bool run_different_masks(bool repaired) {
  Buffer<float> x(ramp(32)), y(32);
  const Shape shape{.block = 32};
  BOTH(shape, different_masks, x.p, y.p);
  return y.read()[3] == 14.0f;
}

template <bool kRepaired>
__global__ void shuffle_or_ballot(const float* x, float* y) {
  const unsigned i = threadIdx.x;
  if (kRepaired || i % 2 == 0)
    y[i] = __shfl_sync(kFullWarp, x[i], 5);  // fault: shuffle_or_ballot
  else
    y[i] = static_cast<float>(__ballot_sync(kFullWarp, 1));  // fault: shuffle_or_ballot
}
bool run_shuffle_or_ballot(bool repaired) {
  Buffer<float> x(ramp(32)), y(32);
  const Shape shape{.block = 32};
  BOTH(shape, shuffle_or_ballot, x.p, y.p);
  return y.read()[3] == 5.0f;
}

// A shuffle is no memory fence for the other lanes.
template <bool kRepaired>
__global__ void shuffle_as_fence(float* y) {
  CCDL_SHARED(float, tile, [32]);
  const unsigned i = threadIdx.x;
  tile[i] = 1;
  __syncwarp();
  tile[i] = 2;
  if (kRepaired) __syncwarp();
  const float sum = __shfl_sync(kFullWarp, 1.0f, 0);
  y[i] = tile[31 - i] + sum;  // fault: shuffle_as_fence
}
bool run_shuffle_as_fence(bool repaired) {
  Buffer<float> y(32);
  const Shape shape{.block = 32};
  BOTH(shape, shuffle_as_fence, y.p);
  return y.read()[3] == 3.0f;
}

// Producer warps fill, consumer warps read behind a named barrier of the right two warps.
template <bool kRepaired>
__global__ void named_barriers(float* y) {
  CCDL_SHARED(float, tile, [2][32]);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (warp < 2) {
    tile[warp][lane] = static_cast<float>(lane);
    ccdl::emu::named_barrier_arrive(static_cast<int>(1 + warp), 64);
  } else {
    ccdl::emu::named_barrier(static_cast<int>(kRepaired ? warp - 1 : 4 - warp), 64);
    y[32 * (warp - 2) + lane] = tile[warp - 2][31 - lane];  // fault: named_barriers
  }
}
bool run_named_barriers(bool repaired) {
  Buffer<float> y(64);
  const Shape shape{.block = 128};
  BOTH(shape, named_barriers, y.p);
  return y.read()[3] == 28.0f;
}

template <bool kRepaired>
__global__ void global_race(const float* x, float* y, float* z) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i];  // fault: global_race
  if (kRepaired)
    z[i] = y[i];
  else
    z[i] = y[(i + 32) % 64];  // fault: global_race
}
bool run_global_race(bool repaired) {
  Buffer<float> x(ramp(64)), y(64), z(64);
  const Shape shape{.grid = 2, .block = 32};
  BOTH(shape, global_race, x.p, y.p, z.p);
  return z.read()[3] == 3.0f;
}

// The last block to arrive adds up what the others left; they must publish it with a fence.
template <bool kRepaired>
__global__ void last_block_sums(const float* x, float* partial, unsigned* arrived, float* y) {
  CCDL_SHARED(unsigned, ticket, [1]);
  const float sum = block_sum(x[blockIdx.x * blockDim.x + threadIdx.x]);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;  // fault: last_block_sums
    if (kRepaired) __threadfence();
    ticket[0] = atomicAdd(arrived, 1u);
  }
  __syncthreads();
  if (ticket[0] != gridDim.x - 1) return;
  if (kRepaired) __threadfence();
  const float total =
      block_sum(threadIdx.x < gridDim.x ? partial[threadIdx.x] : 0.0f);  // fault: last_block_sums
  if (threadIdx.x == 0) y[0] = total;
}
bool run_last_block_sums(bool repaired) {
  Buffer<float> x(ramp(256)), partial(4), y(1);
  Buffer<unsigned> arrived(1);
  cudaMemset(arrived.p, 0, 4);
  const Shape shape{.grid = 4, .block = 64};
  BOTH(shape, last_block_sums, x.p, partial.p, arrived.p, y.p);
  return y.read()[0] == 32640.0f;
}

// A barrier across the grid works when every block is resident.
__global__ void grid_barrier(float* x, unsigned* arrived) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  x[i] = static_cast<float>(i);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    atomicAdd(arrived, 1u);
    spin_until([&] { return atomicAdd(arrived, 0u) >= gridDim.x; });
    __threadfence();
  }
  __syncthreads();
  const float other = x[n - 1 - i];
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(arrived, 1u);
    spin_until([&] { return atomicAdd(arrived, 0u) >= 2 * gridDim.x; });
    __threadfence();
  }
  __syncthreads();
  x[i] += other;
}
bool run_grid_barrier(bool repaired) {
  Buffer<float> x(256);
  Buffer<unsigned> arrived(1);
  cudaMemset(arrived.p, 0, 4);
  const Shape shape{.grid = 4, .block = 64, .cooperative = repaired};
  EMU_LAUNCH(shape, "grid_barrier", grid_barrier, x.p, arrived.p);
  return x.read()[100] == 255.0f;
}

// A step's signal between resident blocks publishes what was written before it only if it releases.
template <bool kRepaired>
__global__ void relaxed_signal(float* x, float* y, unsigned* arrived) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  x[i] = static_cast<float>(i);  // fault: relaxed_signal
  __syncthreads();
  if (threadIdx.x == 0) {
    if (kRepaired)
      red_release(arrived, 1u);
    else
      atomicAdd(arrived, 1u);
    spin_until([&] { return load_acquire(arrived) >= gridDim.x; });
  }
  __syncthreads();
  y[i] = x[n - 1 - i];  // fault: relaxed_signal
}
bool run_relaxed_signal(bool repaired) {
  Buffer<float> x(256), y(256);
  Buffer<unsigned> arrived(1);
  cudaMemset(arrived.p, 0, 4);
  const Shape shape{.grid = 4, .block = 64, .cooperative = true};
  BOTH(shape, relaxed_signal, x.p, y.p, arrived.p);
  return y.read()[100] == 155.0f;
}

}  // namespace

const std::vector<FaultCase>& sync_cases() {
  static const std::vector<FaultCase> all = {
      {"missing_barrier", "race", 8, false, run_missing_barrier, __FILE__},
      {"missing_loop_barrier", "race", 8, false, run_missing_loop_barrier, __FILE__},
      {"implicit_warp_sync", "race", 8, false, run_implicit_warp_sync, __FILE__},
      {"early_exit", "divergent-barrier", 8, false, run_early_exit, __FILE__},
      {"different_barriers", "divergent-barrier", 8, false, run_different_barriers, __FILE__},
      {"divergent_shuffle", "divergent-shuffle", 8, false, run_divergent_shuffle, __FILE__},
      {"different_masks", "divergent-shuffle", 8, false, run_different_masks, __FILE__},
      {"shuffle_or_ballot", "divergent-shuffle", 8, false, run_shuffle_or_ballot, __FILE__},
      {"shuffle_as_fence", "race", 8, false, run_shuffle_as_fence, __FILE__},
      {"named_barriers", "race uninitialised-shared", 8, false, run_named_barriers, __FILE__},
      {"global_race", "race", 8, true, run_global_race, __FILE__},
      {"last_block_sums", "race", 8, true, run_last_block_sums, __FILE__},
      {"relaxed_signal", "race", 8, true, run_relaxed_signal, __FILE__},
      {"grid_barrier", "deadlock", 8, true, run_grid_barrier, __FILE__},
  };
  return all;
}
