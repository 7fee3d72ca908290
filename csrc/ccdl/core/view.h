// What a kernel sees of a tensor: pointer, element type, sizes and strides in elements. Plain data; owns
// nothing. Strides are never negative; 0 means broadcast, and only inputs may have it: an output never
// overlaps itself.
// A view of host memory in a CUDA kernel's argument list is one number (all strides 0), passed by value.
#pragma once
#include <ccdl/core/dtype.h>

namespace ccdl {

constexpr int kMaxDims = 16;

struct View {
  void* data;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxDims];
  int32_t ndim;
  DType dtype;
  int8_t device = -1;  // CUDA device of the memory, -1 for host memory

  CCDL_HD CCDL_INLINE bool on_host() const { return device < 0; }
  template <class T>
  CCDL_HD CCDL_INLINE T* ptr() const {
    return static_cast<T*>(data);
  }
  CCDL_HD CCDL_INLINE int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < ndim; ++i) n *= sizes[i];
    return n;
  }
  // Row-major without gaps; dimensions of size 1 may carry any stride.
  CCDL_HD CCDL_INLINE bool is_contiguous() const {
    int64_t expected = 1;
    for (int i = ndim - 1; i >= 0; --i) {
      if (sizes[i] == 0) return true;
      if (sizes[i] != 1 && strides[i] != expected) return false;
      expected *= sizes[i];
    }
    return true;
  }
};

}  // namespace ccdl
