// Optimiser steps over lists of tensors, in place and outside the graph. Every list has one entry per
// parameter or is empty where the contract says so; a parameter, its gradient and its state must have equal
// sizes and dtypes.
#pragma once
#include <ccdl/kernels/optim.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// momentum_buffers is empty without momentum; first[i]: buffer i holds nothing yet and becomes the gradient.
void fused_sgd_step(const TensorList& params, const TensorList& grads, const TensorList& momentum_buffers,
                    const std::vector<bool>& first, const SgdOptions& options);
// max_exp_avg_sqs is empty without amsgrad; steps[i] counts the present step as 1 at first.
void fused_adam_step(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                     const TensorList& exp_avg_sqs, const TensorList& max_exp_avg_sqs,
                     const std::vector<double>& steps, const AdamOptions& options);

}  // namespace ccdl::ops
