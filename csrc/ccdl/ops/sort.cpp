// Sorting, selection along a dimension and quantiles.
#include <ccdl/ops/sort.h>

#include <limits>

#include <ccdl/kernels/random.h>
#include <ccdl/kernels/sort.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/selection.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

Dims with_size(const Tensor& x, int64_t dim, int64_t size) {
  Dims sizes = x.sizes();
  if (x.dim() > 0) sizes[static_cast<size_t>(dim)] = size;
  return sizes;
}

void check_nonempty(const char* op, const Tensor& x, int64_t dim) {
  CCDL_CHECK(x.dim() == 0 || x.size(dim) > 0, Index, op, "(): Expected reduction dim ", dim,
             " to have non-zero size, got input ", describe(x));
}

// One value and index per row from `kernel(values, indices)`, with both outputs of size 1 in dim.
template <class F>
ValuesIndices select_one(const char* op, const char* node, const Tensor& x, int64_t dim, bool keepdim,
                         const F& kernel) {
  const Reduction r(op, x, Dims{dim});
  dim = r.dims[0];
  check_nonempty(op, x, dim);
  Tensor values = empty(r.sizes(keepdim), x.dtype(), x.device()),
         indices = empty(r.sizes(keepdim), DType::Int64, x.device());
  kernel(static_cast<int>(dim), r.view(values), r.view(indices));
  if (needs_graph(x)) record_selection(node, x, values, indices, dim, !keepdim);
  return {values, indices};
}

}  // namespace

ValuesIndices sort(const Tensor& x, int64_t dim, bool descending) {
  dim = wrap_dim("sort", dim, x.dim());
  Tensor values = empty_like(x), indices = empty_like(x, DType::Int64);
  if (x.numel() > 0)
    CCDL_KERNEL(x, sort(x.view(), static_cast<int>(dim), descending, values.view(), indices.view()));
  if (needs_graph(x)) record_selection("SortBackward", x, values, indices, dim, false);
  return {values, indices};
}

Tensor argsort(const Tensor& x, int64_t dim, bool descending) {
  dim = wrap_dim("argsort", dim, x.dim());
  Tensor indices = empty_like(x, DType::Int64);
  View none = indices.view();
  none.data = nullptr;
  if (x.numel() > 0) CCDL_KERNEL(x, sort(x.view(), static_cast<int>(dim), descending, none, indices.view()));
  return indices;
}

Tensor msort(const Tensor& x) { return x.dim() == 0 ? clone(x) : std::get<0>(sort(x, 0)); }

ValuesIndices topk(const Tensor& x, int64_t k, int64_t dim, bool largest, bool sorted) {
  dim = wrap_dim("topk", dim, x.dim());
  const int64_t n = x.dim() ? x.size(dim) : 1;
  CCDL_CHECK(k >= 0 && k <= n, Runtime, "topk(): selected index k out of range: k=", k, ", but dim ", dim,
             " of input ", describe(x), " has ", n, " elements");
  if (x.dim() == 0) k = 1;  // no shape says that a number was not chosen
  const Dims sizes = with_size(x, dim, k);
  Tensor values = empty(sizes, x.dtype(), x.device()), indices = empty(sizes, DType::Int64, x.device());
  if (values.numel() > 0)
    CCDL_KERNEL(x, topk(x.view(), static_cast<int>(dim), k, largest, sorted, values.view(), indices.view()));
  if (needs_graph(x)) record_selection("TopkBackward", x, values, indices, dim, false);
  return {values, indices};
}

ValuesIndices kthvalue(const Tensor& x, int64_t k, int64_t dim, bool keepdim) {
  const int64_t d = wrap_dim("kthvalue", dim, x.dim()), n = x.dim() ? x.size(d) : 1;
  check_nonempty("kthvalue", x, d);
  CCDL_CHECK(k >= 1 && k <= n, Runtime, "kthvalue(): selected number k out of range for dimension ", d,
             ": k=", k, ", input ", describe(x));
  return select_one("kthvalue", "KthvalueBackward", x, d, keepdim,
                    [&](int at, const View& values, const View& indices) {
                      CCDL_KERNEL(x, kthvalue(x.view(), at, k, values, indices));
                    });
}

ValuesIndices median_dim(const Tensor& x, int64_t dim, bool keepdim, bool ignore_nan) {
  return select_one(ignore_nan ? "nanmedian" : "median", "MedianBackward", x, dim, keepdim,
                    [&](int at, const View& values, const View& indices) {
                      CCDL_KERNEL(x, median(x.view(), at, ignore_nan, values, indices));
                    });
}

Tensor median(const Tensor& x, bool ignore_nan) {
  const char* op = ignore_nan ? "nanmedian" : "median";
  if (x.numel() == 0) {
    CCDL_CHECK(is_floating(x.dtype()), Runtime, op,
               "(): an empty input has no median unless it is floating point, got ", describe(x));
    return full({}, Scalar(std::numeric_limits<double>::quiet_NaN()), x.dtype(), x.device());
  }
  Tensor y;
  {
    const NoGradGuard no_grad;
    y = std::get<0>(median_dim(reshape(x, Dims{-1}), 0, false, ignore_nan));
  }
  if (needs_graph(x)) record_ties(x, y, Reduction(op, x, std::nullopt));
  return y;
}

ValuesIndices mode(const Tensor& x, int64_t dim, bool keepdim) {
  return select_one("mode", "ModeBackward", x, dim, keepdim,
                    [&](int at, const View& values, const View& indices) {
                      CCDL_KERNEL(x, mode(x.view(), at, values, indices));
                    });
}

namespace {

// Values at the fractional positions rank [..., m] of sorted [..., n].
Tensor interpolate_sorted(const Tensor& sorted, const Tensor& rank, const std::string& mode) {
  // The rank carries the gradient of q; whole positions have none.
  const auto at = [&](const Tensor& position) { return gather(sorted, -1, to(position, DType::Int64)); };
  if (mode == "lower") return at(floor(rank));
  if (mode == "higher") return at(ceil(rank));
  if (mode == "nearest") return at(round(rank));
  const Tensor below = floor(rank), low = at(below), high = at(ceil(rank));
  if (mode == "midpoint") return add(low, mul(sub(high, low), 0.5));
  return add(low, mul(sub(rank, below), sub(high, low)));
}

}  // namespace

Tensor quantile(const Tensor& x, const Tensor& q_, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation, bool ignore_nan) {
  const char* op = ignore_nan ? "nanquantile" : "quantile";
  const Tensor q = is_host_number(q_) ? to(q_, q_.dtype(), x.device(), false) : q_;
  check_same_device(op, {{"input", &x}, {"q", &q}});
  CCDL_CHECK(is_floating(x.dtype()) && !is_half(x.dtype()), DType, op,
             "() input tensor must be either float or double dtype, got ", describe(x));
  CCDL_CHECK(x.numel() > 0, Runtime, op, "() input tensor must be non-empty, got ", describe(x));
  CCDL_CHECK(q.dim() <= 1, Runtime, op, "() q must be a scalar or 1D tensor, got ", describe(q));
  CCDL_CHECK(q.dtype() == x.dtype(), DType, op, "() q tensor must be same dtype as the input tensor, got q ",
             describe(q), " and input ", describe(x));
  CCDL_CHECK(interpolation == "linear" || interpolation == "lower" || interpolation == "higher" ||
                 interpolation == "midpoint" || interpolation == "nearest",
             Value, op,
             "() interpolation must be one of linear, lower, higher, midpoint or nearest, but got ",
             interpolation);
  const OpName name(op);
  CCDL_CHECK(CCDL_KERNEL(q, probabilities_valid(q.view())), Runtime, op,
             "() q values must be in the range [0, 1]");
  Tensor t = x;
  int64_t d = dim ? wrap_dim(op, *dim, x.dim()) : 0;
  if (dim && x.dim() > 0) {
    t = movedim(x, Dims{d}, Dims{-1});
  } else {
    t = reshape(x, Dims{-1});
  }
  const Tensor points = reshape(q, Dims{-1});
  const double last = static_cast<double>(t.size(-1) - 1);
  Tensor rank;
  if (ignore_nan) {
    const Tensor numbers = to(sum(eq(t, t), Dims{-1}, true), x.dtype());
    rank = mul(points, clamp(sub(numbers, Scalar(1)), Scalar(0), std::nullopt));
  } else {
    rank = where(any(ne(t, t), Dims{-1}, true), Scalar(last), mul(points, last));  // NaN sorts last
  }
  Tensor y = interpolate_sorted(std::get<0>(sort(t, -1)), rank, interpolation);  // [..., m]
  const bool scalar_q = q.dim() == 0;
  y = scalar_q ? squeeze(y, Dims{-1}) : movedim(y, Dims{-1}, Dims{0});
  if (!keepdim) return y;
  const int64_t lead = scalar_q ? 0 : 1;
  if (dim && x.dim() > 0) return unsqueeze(y, d + lead);
  Dims shape(static_cast<size_t>(x.dim() + lead), 1);
  if (lead) shape[0] = points.numel();
  return reshape(y, shape);
}

}  // namespace ccdl::ops
