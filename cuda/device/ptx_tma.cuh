// Transaction barriers and bulk tensor copies (sm_90). A barrier phase ends when its expected arrivals and
// bytes have come; waits name the parity of the phase. Source: PTX ISA, "mbarrier" and
// "cp.async.bulk.tensor".
#pragma once
#include <cuda.h>

#include <device/prelude.cuh>

#ifdef CCDL_CUDA_EMULATED
#include <emulator/hopper.h>
#endif

namespace ccdl::cu {

CCDL_DEVICE unsigned shared_window(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

CCDL_DEVICE void mbarrier_init(uint64_t* barrier, int arrivals) {
#ifdef CCDL_CUDA_EMULATED
  emu::mbarrier_init(barrier, arrivals);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_window(barrier)), "r"(arrivals)
               : "memory");
#endif
}
// Makes initialised barriers known to the asynchronous proxy; a __syncthreads follows.
CCDL_DEVICE void mbarrier_init_fence() {
#ifdef CCDL_CUDA_EMULATED
  emu::fence_proxy_async();
#else
  asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async;" ::: "memory");
#endif
}
CCDL_DEVICE void mbarrier_arrive(uint64_t* barrier) {
#ifdef CCDL_CUDA_EMULATED
  emu::mbarrier_arrive(barrier);
#else
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_window(barrier))
               : "memory");
#endif
}
// One arrival, and the phase also waits for this many bytes of bulk copies.
CCDL_DEVICE void mbarrier_arrive_expect(uint64_t* barrier, int bytes) {
#ifdef CCDL_CUDA_EMULATED
  emu::mbarrier_arrive_expect(barrier, bytes);
#else
  asm volatile(
      "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_window(barrier)),
      "r"(bytes)
      : "memory");
#endif
}
CCDL_DEVICE void mbarrier_wait(uint64_t* barrier, int parity) {
#ifdef CCDL_CUDA_EMULATED
  emu::mbarrier_wait(barrier, parity);
#else
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(shared_window(barrier)),
      "r"(parity)
      : "memory");
#endif
}

// Copies the box at (x, y, z) of a 3-d tensor into shared memory and reports its bytes to the barrier;
// elements outside the tensor become zero.
CCDL_DEVICE void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier, int x, int y, int z) {
#ifdef CCDL_CUDA_EMULATED
  const int at[] = {x, y, z};
  emu::tma_load(shared, map, barrier, at, 3);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5}], [%2];" ::"r"(shared_window(shared)),
      "l"(map), "r"(shared_window(barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
#endif
}
// ... at (x, y, z, w) of a 4-d tensor.
CCDL_DEVICE void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier, int x, int y, int z,
                          int w) {
#ifdef CCDL_CUDA_EMULATED
  const int at[] = {x, y, z, w};
  emu::tma_load(shared, map, barrier, at, 4);
#else
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5, %6}], [%2];" ::"r"(shared_window(shared)),
      "l"(map), "r"(shared_window(barrier)), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
#endif
}
// Orders this thread's accesses to shared memory before those that TMA and wgmma make later.
CCDL_DEVICE void fence_proxy_async() {
#ifdef CCDL_CUDA_EMULATED
  emu::fence_proxy_async();
#else
  asm volatile("fence.proxy.async;" ::: "memory");
#endif
}
CCDL_DEVICE void tma_prefetch_map(const CUtensorMap* map) {
#ifdef CCDL_CUDA_EMULATED
  emu::tma_prefetch_map(map);
#else
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
#endif
}

}  // namespace ccdl::cu
