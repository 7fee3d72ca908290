// Softmax along one dimension. dtype: x is cast before the operation.
#pragma once
#include <optional>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
Tensor log_softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);

}  // namespace ccdl::ops
