// Table look-up: y[..., :] = weight[index[...], :].
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// padding_idx (-1: none) gets no gradient; scale_grad_by_freq divides a row's gradient by its number of
// look-ups.
Tensor embedding(const Tensor& index, const Tensor& weight, int64_t padding_idx = -1,
                 bool scale_grad_by_freq = false);
// Rows of weight named by index whose norm exceeds max_norm are scaled down to it, in place and without
// history.
void embedding_renorm_(const Tensor& weight, const Tensor& index, double max_norm, double norm_type);

}  // namespace ccdl::ops
