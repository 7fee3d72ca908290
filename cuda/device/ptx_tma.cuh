// Transaction barriers and bulk tensor copies (sm_90). A barrier phase ends when its expected arrivals and
// bytes have come; waits name the parity of the phase. Source: PTX ISA, "mbarrier" and
// "cp.async.bulk.tensor".
#pragma once
#include <cuda.h>

#include <device/prelude.cuh>

namespace ccdl::cu {

CCDL_DEVICE unsigned shared_window(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

CCDL_DEVICE void mbarrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_window(barrier)), "r"(arrivals)
               : "memory");
}
// Makes initialised barriers known to the asynchronous proxy; a __syncthreads follows.
CCDL_DEVICE void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async;" ::: "memory");
}
CCDL_DEVICE void mbarrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_window(barrier))
               : "memory");
}
// One arrival, and the phase also waits for this many bytes of bulk copies.
CCDL_DEVICE void mbarrier_arrive_expect(uint64_t* barrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_window(barrier)),
      "r"(bytes)
      : "memory");
}
CCDL_DEVICE void mbarrier_wait(uint64_t* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(shared_window(barrier)),
      "r"(parity)
      : "memory");
}

// Copies the box at (x, y, z) of a 3-d tensor into shared memory and reports its bytes to the barrier;
// elements outside the tensor become zero.
CCDL_DEVICE void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier, int x, int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5}], [%2];" ::"r"(shared_window(shared)),
      "l"(map), "r"(shared_window(barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
}
CCDL_DEVICE void tma_prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

}  // namespace ccdl::cu
