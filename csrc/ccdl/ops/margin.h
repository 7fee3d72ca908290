// Hinge losses over classes, tensors on the host.
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// The losses of the rows of x [N, C] (kernels/margin.h); target int64, [N], or [N, C] for several labels,
// whose margin is 1 and which take no weight. weight: [C] of x's dtype, without a gradient, or undefined.
Tensor margin_rows(const Tensor& x, const Tensor& target, const Tensor& weight, double margin);

}  // namespace ccdl::ops
