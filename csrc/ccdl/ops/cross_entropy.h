// Classification losses from logits and from log-probabilities. input [C], [N, C] or [N, C, d1, ...]; targets
// are class numbers (int64 or uint8) without the class dimension, or, in cross_entropy, probabilities shaped
// like the input.
#pragma once
#include <string>

#include <ccdl/kernels/cross_entropy.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// 'none', 'mean' or 'sum', else Error(Value).
LossReduction parse_reduction(const char* op, const std::string& name);

Tensor cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight = {},
                     LossReduction reduction = LossReduction::Mean, int64_t ignore_index = -100,
                     double label_smoothing = 0.0);
Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight = {},
                LossReduction reduction = LossReduction::Mean, int64_t ignore_index = -100);

}  // namespace ccdl::ops
