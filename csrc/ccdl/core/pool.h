// Small objects that come and go with every op (tensors, storages, nodes of the backward graph): blocks from
// free lists of the calling thread, one per 32 bytes of size. A block may be freed by any thread, whose list
// then has it; each list keeps at most 64 KB. Sanitizer builds ask the system every time.
#pragma once
#include <cstddef>

namespace ccdl {

void* pool_allocate(size_t bytes);               // as operator new: 16-byte aligned, std::bad_alloc
void pool_free(void* p, size_t bytes) noexcept;  // bytes as at pool_allocate
void pool_release() noexcept;                    // what the calling thread keeps goes back to the system

// Base of classes that live in the pool. Needs a virtual destructor in a class that is deleted through a
// base.
struct Pooled {
  static void* operator new(size_t bytes) { return pool_allocate(bytes); }
  static void* operator new(size_t, void* p) noexcept { return p; }
  static void operator delete(void* p, size_t bytes) noexcept { pool_free(p, bytes); }
};

}  // namespace ccdl
