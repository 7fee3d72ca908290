// cp.async: copies from global to shared memory that bypass registers and complete in groups. Both addresses
// are aligned to kBytes. What a group brought is visible to the thread that issued it after cp_async_wait, to
// the others after a barrier behind that. Source: PTX ISA, "Data Movement: cp.async".
#pragma once
#include <device/prelude.cuh>

namespace ccdl::cu {

// Copies the first `valid` of kBytes bytes and zero-fills the rest; valid == 0 reads nothing.
template <int kBytes>
CCDL_DEVICE void cp_async(void* shared, const void* global, int valid) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#ifdef CCDL_CUDA_EMULATED
  emu::cp_async(shared, global, kBytes, valid);
#else
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(kBytes),
                 "r"(valid)
                 : "memory");
#endif
}

// Closes the group of the copies issued since the last commit; empty groups count.
CCDL_DEVICE void cp_async_commit() {
#ifdef CCDL_CUDA_EMULATED
  emu::cp_async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most kLeft of the youngest groups are unfinished.
template <int kLeft>
CCDL_DEVICE void cp_async_wait() {
#ifdef CCDL_CUDA_EMULATED
  emu::cp_async_wait(kLeft);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

}  // namespace ccdl::cu
