// Named barriers among some warps of a block, and signals between the resident blocks of a cooperative
// launch: a block publishes what its threads wrote by __syncthreads and then red_release by one of them;
// whoever sees the counter through load_acquire, and the threads of its block after a __syncthreads behind
// that, see those writes. Source: PTX ISA, "bar" and "Memory Consistency Model".
#pragma once
#include <device/prelude.cuh>

namespace ccdl::cu {

// *counter += v
CCDL_DEVICE void red_release(unsigned* counter, unsigned v) {
#ifdef CCDL_CUDA_EMULATED
  __threadfence();
  atomicAdd(counter, v);
#else
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(counter), "r"(v) : "memory");
#endif
}

CCDL_DEVICE unsigned load_acquire(unsigned* counter) {
#ifdef CCDL_CUDA_EMULATED
  const unsigned v = atomicAdd(counter, 0u);
  __threadfence();
#else
  unsigned v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(counter) : "memory");
#endif
  return v;
}

// Barrier `id` (1 to 15) of `threads` threads, a multiple of 32: wait there, or arrive and go on.
CCDL_DEVICE void bar_sync(int id, int threads) {
#ifdef CCDL_CUDA_EMULATED
  emu::named_barrier(id, threads);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}
CCDL_DEVICE void bar_arrive(int id, int threads) {
#ifdef CCDL_CUDA_EMULATED
  emu::named_barrier_arrive(id, threads);
#else
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

}  // namespace ccdl::cu
