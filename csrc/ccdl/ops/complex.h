// Complex numbers as pairs, the last dimension of 2, in host memory.
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// a b, or a conj(b), of float32 or float64 tensors [.., 2] that broadcast.
Tensor complex_multiply(const Tensor& a, const Tensor& b, bool conjugate = false);
// a r with real numbers r that broadcast with the numbers of a.
Tensor complex_scale(const Tensor& a, const Tensor& r);

}  // namespace ccdl::ops
