// Bulk tensor stores (sm_90): boxes of shared memory to a tensor, in groups of the thread that issues them.
// Whoever wrote the box by ordinary stores calls fence_proxy_async and then meets that thread at a barrier.
// Elements outside the tensor are dropped. Source: PTX ISA, "cp.async.bulk.tensor",
// "cp.reduce.async.bulk.tensor", "cp.async.bulk.wait_group".
#pragma once
#include <device/ptx_tma.cuh>

namespace ccdl::cu {

// The box at (x, y, z) of a 3-d tensor becomes what lies in shared memory.
CCDL_DEVICE void tma_store(const CUtensorMap* map, const void* shared, int x, int y, int z) {
#ifdef CCDL_CUDA_EMULATED
  const int at[] = {x, y, z};
  emu::tma_store(map, shared, at, 3, emu::BulkOp::Copy);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map),
      "r"(shared_window(shared)), "r"(x), "r"(y), "r"(z)
      : "memory");
#endif
}
// ... is added to, element by element and without order among blocks.
CCDL_DEVICE void tma_add(const CUtensorMap* map, const void* shared, int x, int y, int z) {
#ifdef CCDL_CUDA_EMULATED
  const int at[] = {x, y, z};
  emu::tma_store(map, shared, at, 3, emu::BulkOp::Add);
#else
  asm volatile(
      "cp.reduce.async.bulk.tensor.3d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(
          map),
      "r"(shared_window(shared)), "r"(x), "r"(y), "r"(z)
      : "memory");
#endif
}
// Closes the group of the stores since the last commit.
CCDL_DEVICE void bulk_commit() {
#ifdef CCDL_CUDA_EMULATED
  emu::bulk_commit();
#else
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}
// Waits until at most kLeft of the youngest groups still read shared memory (kRead), or are still unfinished.
template <int kLeft, bool kRead>
CCDL_DEVICE void bulk_wait() {
#ifdef CCDL_CUDA_EMULATED
  emu::bulk_wait(kLeft, kRead);
#else
  if constexpr (kRead)
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kLeft) : "memory");
  else
    asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

}  // namespace ccdl::cu
