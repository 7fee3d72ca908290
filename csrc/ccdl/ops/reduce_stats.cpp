// Variance, norms, distances, covariance, trapezoids and comparisons of whole tensors.
#include <ccdl/ops/reduce.h>

#include <algorithm>
#include <cmath>

#include <ccdl/kernels/reduce.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/matmul.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/scan.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// a / b, and 0 with zero derivatives where b is 0
Tensor div_or_zero(const Tensor& a, const Tensor& b) {
  const Tensor zero = eq(b, Scalar(0));
  return masked_fill(div(a, masked_fill(b, zero, Scalar(1))), zero, Scalar(0));
}

// var: dx = dy 2 (x - mean) / (n - correction);  std: dx = dy (x - mean) / (y (n - correction)), 0 where y is
// 0
struct VarBackward : Node {
  const char* name() const override { return root ? "StdBackward" : "VarBackward"; }
  SavedTensor x, y;  // y for the root only
  Dims dims, kept;
  double free = 1;  // n - correction, at least 0
  bool root = false;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this);
    Tensor scale = reshape(g[0], kept);
    if (free == 0 && !root)  // the variance is infinite, and 0 / 0 where nothing varies
      return {mul(scale, where(eq(v, mean(v, dims, true)), Operand(NAN), Operand(INFINITY)))};
    if (root) {
      scale = div_or_zero(scale, mul(reshape(y.get(this), kept), free));
    } else {
      scale = mul(scale, 2.0 / free);
    }
    return {mul(scale, sub(v, mean(v, dims, true)))};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

void check_floating(const char* op, const Tensor& x) {
  CCDL_CHECK(is_floating(x.dtype()), DType, op, "(): expected a floating point input, got ", describe(x),
             "; convert it with .float()");
}

Tensor deviation(const char* op, const Tensor& x, const MaybeDims& dims, double correction, bool keepdim,
                 bool root) {
  check_floating(op, x);
  const Reduction r(op, x, dims);
  Tensor y = empty(r.sizes(keepdim), x.dtype(), x.device());
  CCDL_KERNEL(x, variance(x.view(), r.view(y), View{}, correction, root));
  if (needs_graph(x)) {
    auto node = make_ref<VarBackward>();
    node->x = SavedTensor(x);
    if (root) node->y = SavedTensor(y, node.get());
    node->dims = r.dims;
    node->kept = r.kept;
    node->free = std::max(0.0, static_cast<double>(r.count) - correction);
    node->root = root;
    record(node, {x}, y);
  }
  return y;
}

std::tuple<Tensor, Tensor> deviation_mean(const char* op, const Tensor& x, const MaybeDims& dims,
                                          double correction, bool keepdim, bool root) {
  if (needs_graph(x)) return {deviation(op, x, dims, correction, keepdim, root), mean(x, dims, keepdim)};
  check_floating(op, x);
  const Reduction r(op, x, dims);
  Tensor y = empty(r.sizes(keepdim), x.dtype(), x.device()),
         m = empty(r.sizes(keepdim), x.dtype(), x.device());
  CCDL_KERNEL(x, variance(x.view(), r.view(y), r.view(m), correction, root));
  return {y, m};
}

// p = 2: dx = x dy / y;  1: sign(x) dy;  +-inf: sign(x) dy shared by ties;  else sign(x) |x|^(p-1) dy /
// y^(p-1);  0 where y is 0
struct NormBackward : Node {
  const char* name() const override { return "NormBackward"; }
  SavedTensor x, y;
  Dims dims, kept;
  double p = 2;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this), dy = reshape(g[0], kept);
    if (p == 0) return {Tensor()};
    if (p == 1) return {mul(sign(v), dy)};
    const Tensor n = reshape(y.get(this), kept);
    if (p == 2) return {mul(v, div_or_zero(dy, n))};
    if (std::isinf(p)) {
      const Tensor mask = to(eq(abs(v), n), dy.dtype());
      return {mul(mul(sign(v), mask), div(dy, sum(mask, dims, true)))};
    }
    const Tensor scale = div_or_zero(dy, pow(n, Scalar(p - 1)));
    if (p > 2) return {mul(mul(v, pow(abs(v), Scalar(p - 2))), scale)};
    return {mul(masked_fill(mul(sign(v), pow(abs(v), Scalar(p - 1))), eq(v, Scalar(0)), Scalar(0)), scale)};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

ReduceOp norm_op(double p) {
  if (p == 0) return ReduceOp::Norm0;
  if (p == 1) return ReduceOp::Norm1;
  if (p == 2) return ReduceOp::Norm2;
  if (std::isinf(p)) return p > 0 ? ReduceOp::NormInf : ReduceOp::NormNegInf;
  return ReduceOp::NormP;
}

}  // namespace

Tensor var(const Tensor& x, const MaybeDims& dims, double correction, bool keepdim) {
  return deviation("var", x, dims, correction, keepdim, false);
}
Tensor stddev(const Tensor& x, const MaybeDims& dims, double correction, bool keepdim) {
  return deviation("std", x, dims, correction, keepdim, true);
}
std::tuple<Tensor, Tensor> var_mean(const Tensor& x, const MaybeDims& dims, double correction, bool keepdim) {
  return deviation_mean("var_mean", x, dims, correction, keepdim, false);
}
std::tuple<Tensor, Tensor> std_mean(const Tensor& x, const MaybeDims& dims, double correction, bool keepdim) {
  return deviation_mean("std_mean", x, dims, correction, keepdim, true);
}

Tensor norm(const Tensor& x, Scalar p_scalar, const MaybeDims& dims, bool keepdim, MaybeDType dtype) {
  const double p = p_scalar.to_double();
  const Tensor in = dtype ? to(x, *dtype) : x;
  check_floating("norm", in);
  const Reduction r("norm", in, dims);
  CCDL_CHECK(r.count > 0 || (p >= 0 && !std::isinf(p)), Runtime, "norm(): cannot compute the ", p,
             " norm on an empty dimension because the operation has no identity, got input ", describe(x));
  Tensor y = empty(r.sizes(keepdim), in.dtype(), in.device());
  CCDL_KERNEL(in, reduce(norm_op(p), in.view(), r.view(y), p));
  if (needs_graph(in)) {
    auto node = make_ref<NormBackward>();
    node->x = SavedTensor(in);
    node->y = SavedTensor(y, node.get());
    node->dims = r.dims;
    node->kept = r.kept;
    node->p = p;
    record(node, {in}, y);
  }
  return y;
}

Tensor renorm(const Tensor& x, Scalar p, int64_t dim, double max_norm) {
  CCDL_CHECK(x.dim() > 1, Runtime, "renorm(): input needs at least 2 dimensions, got ", describe(x));
  CCDL_CHECK(p.to_double() > 0, Runtime, "renorm(): non-positive norm not supported, got p=", p);
  CCDL_CHECK(max_norm >= 0, Runtime, "renorm(): expected maxnorm to be >= 0 but got ", max_norm);
  dim = wrap_dim("renorm", dim, x.dim());
  Dims others;
  for (int64_t d = 0; d < x.dim(); ++d)
    if (d != dim) others.push_back(d);
  const Tensor size = norm(x, p, others, true);
  return mul(x, where(gt(size, Scalar(max_norm)), div(Scalar(max_norm), add(size, 1e-7)), Scalar(1.0)));
}

Tensor sum_to_size(const Tensor& x, IntSpan sizes) {
  CCDL_CHECK(is_expandable_to(sizes, x.sizes()), Runtime, "sum_to_size(): size ", Dims(sizes),
             " is not expandable to the input's size ", x.sizes());
  // A sum of integers is an int64, as sum() gives it; also the sum of a single number.
  if (sizes.empty()) return sum(x);
  const bool sums = !(x.sizes() == Dims(sizes));
  return sum_to(sums && !is_floating(x.dtype()) ? to(x, DType::Int64) : x, Dims(sizes));
}

Tensor dist(const Tensor& a, const Tensor& b, double p) { return norm(sub(a, b), p); }

Tensor cov(const Tensor& input, int64_t correction, const Tensor& fweights, const Tensor& aweights) {
  CCDL_CHECK(input.dim() <= 2, Shape, "cov(): expected input to have two or fewer dimensions but got ",
             describe(input));
  CCDL_CHECK(input.dtype() != DType::Bool, DType, "cov(): bool dtype is not supported for input");
  CCDL_CHECK(!fweights.defined() || is_integral(fweights.dtype(), false), Runtime,
             "cov(): expected fweights to have integral dtype but got ", describe(fweights));
  CCDL_CHECK(!aweights.defined() || is_floating(aweights.dtype()), Runtime,
             "cov(): expected aweights to have floating point dtype but got ", describe(aweights));
  Tensor x = is_floating(input.dtype()) ? input : to(input, default_dtype());
  if (aweights.defined()) x = to(x, promote_types(x.dtype(), aweights.dtype()));
  x = x.dim() == 2 ? x : reshape(x, Dims{1, x.numel()});
  const int64_t n = x.size(1);
  Tensor w;
  const std::pair<const char*, const Tensor*> weights[] = {{"fweights", &fweights}, {"aweights", &aweights}};
  for (const auto& [name, v] : weights) {
    if (!v->defined()) continue;
    CCDL_CHECK(v->dim() == 1 && v->numel() == n, Shape, "cov(): expected ", name, " of shape [", n,
               "] (one per observation) but got ", describe(*v));
    if (v->device().is_cpu() && n > 0)  // looking at them elsewhere would wait for the device
      CCDL_CHECK(item(ge(min(*v), Scalar(0))).to_bool(), Runtime, "cov(): ", name,
                 " cannot be negative, got ", describe(*v));
    const Tensor f = to(*v, x.dtype());
    w = w.defined() ? mul(w, f) : f;
  }
  const Tensor total =
      w.defined() ? sum(w) : full(Dims{}, Scalar(static_cast<double>(n)), x.dtype(), x.device());
  const Tensor avg = w.defined() ? div(sum(mul(x, w), Dims{1}), total) : div(sum(x, Dims{1}), total);
  Tensor free;
  if (!w.defined() || !aweights.defined() || correction == 0) {
    free = sub(total, Scalar(correction));
  } else {
    const Tensor share = div(sum(mul(w, to(aweights, x.dtype()))), total);
    free = sub(total, mul(share, Scalar(correction)));
  }
  const Tensor d = sub(x, unsqueeze(avg, 1));
  const Tensor c = matmul(d, t(w.defined() ? mul(d, w) : d));
  const Tensor y = div(c, clamp(free, Scalar(0), std::nullopt));
  return y.numel() == 1 ? reshape(y, Dims{}) : y;
}

Tensor corrcoef(const Tensor& x) {
  CCDL_CHECK(x.dim() <= 2, Shape, "corrcoef(): expected input to have two or fewer dimensions but got ",
             describe(x));
  const Tensor c = cov(x);
  if (c.dim() == 0) return div(c, c);
  const Tensor s = sqrt(diagonal(c));
  return clamp(div(div(c, unsqueeze(s, 1)), unsqueeze(s, 0)), Scalar(-1), Scalar(1));
}

namespace {

void check_samples(const char* op, const Tensor& y, const Tensor& x) {
  CCDL_CHECK(y.dtype() != DType::Bool && !(x.defined() && x.dtype() == DType::Bool), Runtime, op,
             "(): bool samples are not supported; convert them first");
  CCDL_CHECK(y.dim() > 0, Index, op, "(): Dimension specified but y has no dimensions");
}

// Areas of the trapezoids between neighbours along dim.
Tensor strips(const char* op, const Tensor& y, const Tensor& x, double dx, int64_t* dim) {
  check_samples(op, y, x);
  *dim = wrap_dim(op, *dim, y.dim());
  const int64_t n = y.size(*dim);
  if (n == 0) return mul(y, dx / 2);
  const Tensor heights = add(narrow(y, *dim, 1, n - 1), narrow(y, *dim, 0, n - 1));
  if (!x.defined()) return mul(heights, dx / 2);
  Tensor widths = x;
  if (x.dim() == 1) {
    CCDL_CHECK(x.numel() == n, Shape, op, "(): There must be one `x` value for each sample point, got y ",
               describe(y), " and x ", describe(x));
    Dims shape(static_cast<size_t>(y.dim()), 1);
    shape[static_cast<size_t>(*dim)] = n;
    widths = reshape(x, shape);
  } else if (x.dim() < y.dim()) {
    Dims shape(static_cast<size_t>(y.dim() - x.dim()), 1);
    for (int64_t s : x.sizes()) shape.push_back(s);
    widths = reshape(x, shape);
  }
  return mul(mul(heights, diff(widths, 1, *dim)), 0.5);
}
bool too_short(const Tensor& y, int64_t dim) { return y.size(dim) < 2; }
Tensor no_strips(const char* op, const Tensor& y, int64_t dim) {  // zero or one sample: the integral is 0
  dim = wrap_dim(op, dim, y.dim());
  return mul(sum(y, Dims{dim}), 0.0);
}

}  // namespace

Tensor trapezoid(const Tensor& y, double dx, int64_t dim) {
  check_samples("trapezoid", y, {});
  if (too_short(y, wrap_dim("trapezoid", dim, y.dim()))) return no_strips("trapezoid", y, dim);
  const Tensor s = strips("trapezoid", y, {}, dx, &dim);
  return sum(s, Dims{dim});
}
Tensor trapezoid(const Tensor& y, const Tensor& x, int64_t dim) {
  check_samples("trapezoid", y, x);
  if (too_short(y, wrap_dim("trapezoid", dim, y.dim()))) return no_strips("trapezoid", y, dim);
  const Tensor s = strips("trapezoid", y, x, 1, &dim);
  return sum(s, Dims{dim});
}
Tensor cumulative_trapezoid(const Tensor& y, double dx, int64_t dim) {
  const Tensor s = strips("cumulative_trapezoid", y, {}, dx, &dim);
  return cumsum(s, dim);
}
Tensor cumulative_trapezoid(const Tensor& y, const Tensor& x, int64_t dim) {
  const Tensor s = strips("cumulative_trapezoid", y, x, 1, &dim);
  return cumsum(s, dim);
}

bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  return item(all(isclose(a, b, rtol, atol, equal_nan))).to_bool();
}

bool equal(const Tensor& a, const Tensor& b) {
  check_same_device("equal", {{"input", &a}, {"other", &b}});
  if (!(a.sizes() == b.sizes())) return false;
  const NoGradGuard no_grad;
  return item(all(eq(a, b))).to_bool();
}

}  // namespace ccdl::ops
