// Distances between all rows of two matrices.
#pragma once
#include <optional>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

// a [..., m, d], b [..., n, d] -> [..., m, n]; by_product: p = 2 through one product of matrices (absent:
// from 26 rows on)
Tensor cdist(const Tensor& a, const Tensor& b, double p = 2, std::optional<bool> by_product = std::nullopt);

// Of all pairs of rows of x [n, d], in the order (0, 1), (0, 2), ...: [n (n - 1) / 2].
Tensor pdist(const Tensor& x, double p = 2);

}  // namespace ccdl::ops
