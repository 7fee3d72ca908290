// Cumulative operations and their gradients.
#include <ccdl/ops/scan.h>

#include <ccdl/kernels/scan.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/selection.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

Tensor launch(ScanOp op, const Tensor& x, int64_t dim, bool reverse) {
  Tensor y = empty_like(x);
  CCDL_KERNEL(x, scan(op, x.view(), y.view(), static_cast<int>(dim), reverse));
  return y;
}

Tensor cumsum_directed(const Tensor& x, int64_t dim, bool reverse);

// dx = dy summed from the other end
struct CumsumBackward : Node {
  const char* name() const override { return "CumsumBackward"; }
  int64_t dim = 0;
  bool reverse = false;
  TensorList apply(const TensorList& g) override { return {cumsum_directed(g[0], dim, !reverse)}; }
};

Tensor cumsum_directed(const Tensor& x, int64_t dim, bool reverse) {
  Tensor y = launch(ScanOp::Sum, x, dim, reverse);
  if (needs_graph(x)) {
    auto node = make_ref<CumsumBackward>();
    node->dim = dim;
    node->reverse = reverse;
    record(node, {x}, y);
  }
  return y;
}

// Cumulative product in log n shifted products: what double backward differentiates.
Tensor cumprod_composite(const Tensor& x, int64_t dim) {
  Tensor y = x;
  const int64_t n = x.size(dim);
  for (int64_t s = 1; s < n; s *= 2)
    y = cat({narrow(y, dim, 0, s), mul(narrow(y, dim, s, n - s), narrow(y, dim, 0, n - s))}, dim);
  return y;
}

// dx_k = sum over i >= k of dy_i prod over j <= i, j != k of x_j
struct CumprodBackward : Node {
  const char* name() const override { return "CumprodBackward"; }
  SavedTensor x;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this);
    if (v.dim() == 0 || v.numel() == 0) return {g[0]};
    if (grad_enabled())
      return autograd::differentiate(
          [d = dim](const TensorList& in) { return TensorList{cumprod_composite(in[0], d)}; }, {v}, {g[0]});
    const Tensor dx = empty_like(v);
    CCDL_KERNEL(v, cumprod_backward(v.view(), g[0].view(), dx.view(), static_cast<int>(dim)));
    return {dx};
  }
  void release_saved() override { x.reset(); }
};

Tensor logcumsumexp_composite(const Tensor& x, int64_t dim) {
  const Tensor m = detach(amax(x, Dims{dim}, true));
  return add(log(cumsum(exp(sub(x, m)), dim)), m);
}

// dx_k = sum over i >= k of dy_i exp(x_k - y_i)
struct LogcumsumexpBackward : Node {
  const char* name() const override { return "LogcumsumexpBackward"; }
  SavedTensor x, y;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this);
    if (v.dim() == 0 || v.numel() == 0) return {g[0]};
    if (grad_enabled())
      return autograd::differentiate(
          [d = dim](const TensorList& in) { return TensorList{logcumsumexp_composite(in[0], d)}; }, {v},
          {g[0]});
    const Tensor dx = empty_like(v), r = y.get(this);
    CCDL_KERNEL(v, logcumsumexp_backward(v.view(), r.view(), g[0].view(), dx.view(), static_cast<int>(dim)));
    return {dx};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

Tensor accumulated(const Tensor& x, std::optional<DType> dtype) {
  return to(x, dtype ? *dtype : is_integral(x.dtype()) ? DType::Int64 : x.dtype());
}

std::tuple<Tensor, Tensor> cumulative_extreme(const char* op, bool largest, const Tensor& x, int64_t dim) {
  dim = wrap_dim(op, dim, x.dim());
  Tensor y = empty_like(x), index = empty_like(x, DType::Int64);
  CCDL_KERNEL(x, scan_extreme(largest, x.view(), y.view(), index.view(), static_cast<int>(dim)));
  if (needs_graph(x))
    record_selection(largest ? "CummaxBackward" : "CumminBackward", x, y, index, dim, false, true);
  return {y, index};
}

}  // namespace

Tensor cumsum(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return cumsum_directed(accumulated(x, dtype), wrap_dim("cumsum", dim, x.dim()), false);
}

Tensor cumprod(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  dim = wrap_dim("cumprod", dim, x.dim());
  const Tensor in = accumulated(x, dtype);
  Tensor y = launch(ScanOp::Prod, in, dim, false);
  if (needs_graph(in)) {
    auto node = make_ref<CumprodBackward>();
    node->x = SavedTensor(in);
    node->dim = dim;
    record(node, {in}, y);
  }
  return y;
}

Tensor logcumsumexp(const Tensor& x, int64_t dim) {
  dim = wrap_dim("logcumsumexp", dim, x.dim());
  CCDL_CHECK(is_floating(x.dtype()), DType, "logcumsumexp(): expected a floating point input, got ",
             describe(x), "; convert it with .float()");
  Tensor y = launch(ScanOp::LogSumExp, x, dim, false);
  if (needs_graph(x)) {
    auto node = make_ref<LogcumsumexpBackward>();
    node->x = SavedTensor(x);
    node->y = SavedTensor(y, node.get());
    node->dim = dim;
    record(node, {x}, y);
  }
  return y;
}

std::tuple<Tensor, Tensor> cummax(const Tensor& x, int64_t dim) {
  return cumulative_extreme("cummax", true, x, dim);
}
std::tuple<Tensor, Tensor> cummin(const Tensor& x, int64_t dim) {
  return cumulative_extreme("cummin", false, x, dim);
}

Tensor diff(const Tensor& input, int64_t n, int64_t dim, const Tensor& prepend, const Tensor& append) {
  CCDL_CHECK(input.dim() >= 1, Runtime, "diff(): expects input to be at least one-dimensional, got ",
             describe(input));
  CCDL_CHECK(n >= 0, Runtime, "diff(): order must be non-negative but got n=", n);
  dim = wrap_dim("diff", dim, input.dim());
  if (n == 0) return clone(input);
  for (const Tensor* more : {&prepend, &append})
    CCDL_CHECK(!more->defined() || more->dim() == input.dim(), Runtime,
               "diff(): expects prepend or append to be the same dimension as input, got ", describe(*more),
               " for ", describe(input));
  TensorList parts;
  if (prepend.defined()) parts.push_back(prepend);
  parts.push_back(input);
  if (append.defined()) parts.push_back(append);
  Tensor y = parts.size() > 1 ? cat(parts, dim) : input;
  for (int64_t k = 0; k < n && y.size(dim) > 0; ++k) {
    const int64_t m = y.size(dim) - 1;
    const Tensor high = narrow(y, dim, 1, m), low = narrow(y, dim, 0, m);
    y = y.dtype() == DType::Bool ? ne(high, low) : sub(high, low);
  }
  return y;
}

}  // namespace ccdl::ops
