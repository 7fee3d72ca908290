// Optimiser steps scaled by norms of whole tensors, over lists, in place and outside the graph.
#pragma once
#include <ccdl/kernels/optim_scaled.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// steps[i] counts the present step as 1 at first.
void fused_lamb_step(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                     const TensorList& exp_avg_sqs, const std::vector<double>& steps,
                     const LambOptions& options);

// Parameters of two or more dimensions have row_vars [..., rows, 1] and col_vars [..., 1, columns], others
// variances of their own size; the entries that a parameter does without are undefined. weights, rates and
// eps1: a number per parameter.
void fused_adafactor_step(const TensorList& params, const TensorList& grads, const TensorList& row_vars,
                          const TensorList& col_vars, const TensorList& variances,
                          const std::vector<double>& weights, const std::vector<double>& rates,
                          const std::vector<double>& eps1, const AdafactorOptions& options);

}  // namespace ccdl::ops
