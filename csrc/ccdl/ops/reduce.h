// Reductions. dims absent or empty: all dimensions. Integer and bool sums are int64 unless dtype says
// otherwise; dtype: x is cast before the operation.
#pragma once
#include <optional>
#include <string>
#include <tuple>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

using MaybeDims = std::optional<Dims>;
using MaybeDType = std::optional<DType>;

Tensor sum(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false,
           MaybeDType dtype = std::nullopt);
Tensor nansum(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false,
              MaybeDType dtype = std::nullopt);
Tensor mean(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false,
            MaybeDType dtype = std::nullopt);
Tensor nanmean(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false,
               MaybeDType dtype = std::nullopt);
Tensor prod(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false,
            MaybeDType dtype = std::nullopt);

// NaN wins. The gradient is shared evenly by ties, except for max_dim and min_dim: there it goes to the
// index.
Tensor max(const Tensor& x);
Tensor min(const Tensor& x);
Tensor amax(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false);
Tensor amin(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false);
std::tuple<Tensor, Tensor> aminmax(const Tensor& x, std::optional<int64_t> dim = std::nullopt,
                                   bool keepdim = false);
std::tuple<Tensor, Tensor> max_dim(const Tensor& x, int64_t dim,
                                   bool keepdim = false);  // values, first index
std::tuple<Tensor, Tensor> min_dim(const Tensor& x, int64_t dim, bool keepdim = false);
Tensor argmax(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);
Tensor argmin(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);

// uint8 for uint8, else bool; present but empty dims reduce nothing.
Tensor any(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false);
Tensor all(const Tensor& x, const MaybeDims& dims = std::nullopt, bool keepdim = false);
Tensor count_nonzero(const Tensor& x, const MaybeDims& dims = std::nullopt);
Tensor logsumexp(const Tensor& x, const MaybeDims& dims, bool keepdim = false);

// sum (x - mean)^2 / max(0, n - correction)
Tensor var(const Tensor& x, const MaybeDims& dims = std::nullopt, double correction = 1,
           bool keepdim = false);
Tensor stddev(const Tensor& x, const MaybeDims& dims = std::nullopt, double correction = 1,
              bool keepdim = false);
std::tuple<Tensor, Tensor> var_mean(const Tensor& x, const MaybeDims& dims = std::nullopt,
                                    double correction = 1, bool keepdim = false);
std::tuple<Tensor, Tensor> std_mean(const Tensor& x, const MaybeDims& dims = std::nullopt,
                                    double correction = 1, bool keepdim = false);

// (sum |x|^p)^(1/p); p = 0 counts nonzeros, +-inf are max and min of |x|. The gradient at norm 0 is 0.
Tensor norm(const Tensor& x, Scalar p = 2, const MaybeDims& dims = std::nullopt, bool keepdim = false,
            MaybeDType dtype = std::nullopt);
// Every slice along dim scaled down to norm at most max_norm.
Tensor renorm(const Tensor& x, Scalar p, int64_t dim, double max_norm);
Tensor sum_to_size(const Tensor& x, IntSpan sizes);  // sizes must broadcast to x's
Tensor dist(const Tensor& a, const Tensor& b, double p = 2);
Tensor cov(const Tensor& x, int64_t correction = 1, const Tensor& fweights = {}, const Tensor& aweights = {});
Tensor corrcoef(const Tensor& x);
Tensor trapezoid(const Tensor& y, double dx = 1, int64_t dim = -1);
Tensor trapezoid(const Tensor& y, const Tensor& x, int64_t dim = -1);
Tensor cumulative_trapezoid(const Tensor& y, double dx = 1, int64_t dim = -1);
Tensor cumulative_trapezoid(const Tensor& y, const Tensor& x, int64_t dim = -1);

bool allclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false);
bool equal(const Tensor& a, const Tensor& b);  // same shape and elements

// Shared by the reduction files. Which dims are reduced, and both output shapes.
struct Reduction {
  Reduction(const char* op, const Tensor& x, const MaybeDims& dims);
  bool reduces(int64_t d) const { return mask >> d & 1; }
  Dims dims, kept, dropped;  // reduced dims; sizes with 1 in them; sizes without them
  uint32_t mask = 0;
  int64_t count = 1;  // elements per result
  const Dims& sizes(bool keepdim) const { return keepdim ? kept : dropped; }
  View view(const Tensor& y) const;       // a contiguous result seen with x's rank
  Tensor restore(const Tensor& g) const;  // a gradient or result reshaped to `kept`
};

}  // namespace ccdl::ops
