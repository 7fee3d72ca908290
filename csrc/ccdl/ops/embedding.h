// Table look-up: y[..., :] = weight[index[...], :]; and bags of look-ups.
#pragma once
#include <ccdl/kernels/embedding.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// padding_idx (-1: none) gets no gradient; scale_grad_by_freq divides a row's gradient by its number of
// look-ups.
Tensor embedding(const Tensor& index, const Tensor& weight, int64_t padding_idx = -1,
                 bool scale_grad_by_freq = false);
// y[b] = sum, mean or maximum of the rows of bag b; an empty bag gives zeros. Bags are the rows of a 2-d
// index, or start at offsets (1-d, as is index then; undefined for a 2-d index) of which the last is the end
// with include_last_offset. scale (undefined: none) is shaped like index and multiplies look-ups (mode Sum).
Tensor embedding_bag(const Tensor& index, const Tensor& weight, const Tensor& offsets, BagMode mode,
                     const Tensor& scale = {}, bool include_last_offset = false, int64_t padding_idx = -1,
                     bool scale_grad_by_freq = false);
// Rows of weight named by index whose norm exceeds max_norm are scaled down to it, in place and without
// history.
void embedding_renorm_(const Tensor& weight, const Tensor& index, double max_norm, double norm_type);

}  // namespace ccdl::ops
