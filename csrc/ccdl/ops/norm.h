// Normalisations. weight and bias may be undefined. Layer and rms norm work over the last dims, whose sizes
// are normalized_shape; batch and group norm per channel (dimension 1).
#pragma once
#include <optional>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor layer_norm(const Tensor& x, IntSpan normalized_shape, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);
// eps absent: the machine epsilon of x's dtype.
Tensor rms_norm(const Tensor& x, IntSpan normalized_shape, const Tensor& weight = {},
                std::optional<double> eps = std::nullopt);
// training or no running statistics: normalises by the batch; running_* are updated in place when training.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, double momentum = 0.1, double eps = 1e-5);
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight = {}, const Tensor& bias = {},
                  double eps = 1e-5);

}  // namespace ccdl::ops
