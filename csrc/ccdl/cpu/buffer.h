// Working memory that lives for a scope: 64-byte aligned, uninitialised, from the caching allocator. Unlike
// the slots of scratch.h, buffers may be nested freely, and one made by the caller of a region may be shared
// by all its chunks.
#pragma once
#include <ccdl/core/allocator.h>

namespace ccdl::cpu {

template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t count) {
    if (count > 0) data_ = static_cast<T*>(cpu_allocate(bytes_of(count, sizeof(T)), &capacity_));
  }
  ~Buffer() {
    if (data_ != nullptr) cpu_free(data_, capacity_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return data_; }
  operator T*() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace ccdl::cpu
