// The gradients of ops whose values are elements of x: picked by index along a dimension (max with indices,
// sort, topk), or an extreme that several elements may share (amax, median).
#pragma once
#include <ccdl/ops/reduce.h>

namespace ccdl::ops {

// Records values = x.gather(dim, indices); dropped: the dimension of size 1 was removed from values and
// indices. Several positions may name one element only when `repeats`.
void record_selection(const char* name, const Tensor& x, const Tensor& values, const Tensor& indices,
                      int64_t dim, bool dropped, bool repeats = false);
// Records y = an element of x per reduced group: the gradient is shared evenly by the elements equal to it.
void record_ties(const Tensor& x, const Tensor& y, const Reduction& r, bool nan_counts = true);

}  // namespace ccdl::ops
