// Values from one tensor's memory into another's, whatever the devices, strides and dtypes.
#pragma once
#include <ccdl/core/tensor.h>

namespace ccdl::ops {

// dst = src broadcast to dst's sizes; no autograd, no overlap. Across devices the copy is queued on both
// sides' current streams; to the host it waits for the result. non_blocking: from or to pinned memory it does
// not wait.
void transfer(const Tensor& src, const Tensor& dst, bool non_blocking = false);
// A copy of x in page-locked host memory (x itself when it is there already): asynchronous copies need it.
Tensor pin_memory(const Tensor& x);
// x itself when it is in host memory, else a copy there, without autograd.
Tensor on_host(const Tensor& x);

}  // namespace ccdl::ops
