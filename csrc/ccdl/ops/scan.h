// Cumulative operations along one dimension. Integers and bool accumulate to int64 unless dtype says
// otherwise.
#pragma once
#include <optional>
#include <tuple>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor cumsum(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
Tensor cumprod(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
Tensor logcumsumexp(const Tensor& x, int64_t dim);
std::tuple<Tensor, Tensor> cummax(const Tensor& x,
                                  int64_t dim);  // values, index of the last occurrence so far
std::tuple<Tensor, Tensor> cummin(const Tensor& x, int64_t dim);
// n-th difference along dim, after prepend and before append were joined to x.
Tensor diff(const Tensor& x, int64_t n = 1, int64_t dim = -1, const Tensor& prepend = {},
            const Tensor& append = {});

}  // namespace ccdl::ops
