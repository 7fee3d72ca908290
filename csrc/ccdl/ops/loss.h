// Elementwise losses, reduced. Shapes broadcast; dtypes promote.
#pragma once
#include <ccdl/ops/cross_entropy.h>

namespace ccdl::ops {

Tensor reduce_loss(const Tensor& loss, LossReduction reduction);
Tensor mse_loss(const Tensor& input, const Tensor& target, LossReduction reduction = LossReduction::Mean);
Tensor l1_loss(const Tensor& input, const Tensor& target, LossReduction reduction = LossReduction::Mean);
Tensor smooth_l1_loss(const Tensor& input, const Tensor& target,
                      LossReduction reduction = LossReduction::Mean, double beta = 1.0);
Tensor huber_loss(const Tensor& input, const Tensor& target, LossReduction reduction = LossReduction::Mean,
                  double delta = 1.0);
// input: probabilities; logarithms are limited to -100 below
Tensor binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight = {},
                            LossReduction reduction = LossReduction::Mean);
Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target, const Tensor& weight = {},
                                        const Tensor& pos_weight = {},
                                        LossReduction reduction = LossReduction::Mean);
Tensor kl_div(const Tensor& input, const Tensor& target, LossReduction reduction = LossReduction::Mean,
              bool log_target = false);

}  // namespace ccdl::ops
