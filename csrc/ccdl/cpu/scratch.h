// Per-thread scratch memory for kernels: 64-byte aligned, grows, kept until the thread ends. Usable inside
// chunks. A slot belongs to one layer of the call chain, so that a kernel calling another does not lose its
// buffer: kernels of a family use 0-3, shared helpers (packing, copies to contiguous) use 4-7. Contents are
// undefined.
#pragma once
#include <cstddef>
#include <cstdint>

#include <ccdl/core/allocator.h>

namespace ccdl::cpu {

constexpr int kScratchSlots = 8;

// At least `bytes`; invalidates what the same slot of this thread gave before.
void* scratch_bytes(int slot, size_t bytes);

template <class T>
inline T* scratch(int slot, int64_t count) {
  return static_cast<T*>(scratch_bytes(slot, bytes_of(count, sizeof(T))));
}

}  // namespace ccdl::cpu
