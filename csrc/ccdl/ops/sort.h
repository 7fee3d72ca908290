// Sorting, selection, quantiles, unique values, search and counting. NaN sorts as the largest value; sorts
// are stable.
#pragma once
#include <optional>
#include <string>
#include <tuple>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

using ValuesIndices = std::tuple<Tensor, Tensor>;

ValuesIndices sort(const Tensor& x, int64_t dim = -1, bool descending = false);
Tensor argsort(const Tensor& x, int64_t dim = -1, bool descending = false);
Tensor msort(const Tensor& x);
ValuesIndices topk(const Tensor& x, int64_t k, int64_t dim = -1, bool largest = true, bool sorted = true);
ValuesIndices kthvalue(const Tensor& x, int64_t k, int64_t dim = -1, bool keepdim = false);
Tensor median(const Tensor& x, bool ignore_nan = false);  // the lower one of all elements
ValuesIndices median_dim(const Tensor& x, int64_t dim, bool keepdim = false, bool ignore_nan = false);
ValuesIndices mode(const Tensor& x, int64_t dim = -1, bool keepdim = false);
// interpolation: linear, lower, higher, midpoint, nearest. q 0-d or 1-d in [0, 1], of x's dtype.
Tensor quantile(const Tensor& x, const Tensor& q, std::optional<int64_t> dim = std::nullopt,
                bool keepdim = false, const std::string& interpolation = "linear", bool ignore_nan = false);

struct Unique {
  Tensor values, inverse, counts;  // inverse and counts undefined unless asked for
};
// dim absent: over the flattened x. Sorted always; consecutive: only runs of equal values are merged, order
// kept.
Unique unique(const Tensor& x, bool consecutive, bool return_inverse, bool return_counts,
              std::optional<int64_t> dim);

Tensor nonzero(const Tensor& x);  // [count, ndim]
Tensor searchsorted(const Tensor& sorted_sequence, const Operand& values, bool right = false,
                    bool out_int32 = false, const Tensor& sorter = {});
Tensor bucketize(const Operand& x, const Tensor& boundaries, bool right = false, bool out_int32 = false);
Tensor histc(const Tensor& x, int64_t bins = 100, double low = 0,
             double high = 0);  // low == high: range of x
Tensor bincount(const Tensor& x, const Tensor& weights = {}, int64_t minlength = 0);
Tensor isin(const Operand& elements, const Operand& test_elements, bool invert = false);

}  // namespace ccdl::ops
