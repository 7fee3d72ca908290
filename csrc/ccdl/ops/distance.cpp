#include <ccdl/ops/distance.h>

#include <cmath>

#include <ccdl/kernels/distance.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/matmul.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// The definition, differentiable as often as one likes; holds all differences.
Tensor distances(const Tensor& a, const Tensor& b, double p) {
  return norm(sub(unsqueeze(a, -2), unsqueeze(b, -3)), p, Dims{-1});
}

// |a_i - b_j| = sqrt(|a_i|^2 + |b_j|^2 - 2 a_i b_j): one product of matrices; rounding may leave less than 0
Tensor distances_by_product(const Tensor& a, const Tensor& b) {
  const Tensor across = sum(mul(a, a), Dims{-1}, true), down = sum(mul(b, b), Dims{-1}, true);
  const Tensor mixed = matmul(mul(a, Scalar(-2.0)), transpose(b, -2, -1));
  return sqrt(clamp(add(add(mixed, across), transpose(down, -2, -1)), Scalar(0.0), std::nullopt));
}

// x [..., rows, columns] dense with the leading sizes `batch`
Tensor with_batch(const Tensor& x, const Dims& batch) {
  Dims sizes = batch;
  sizes.push_back(x.size(-2));
  sizes.push_back(x.size(-1));
  return dense(expand(x, sizes));
}
View matrices(const Tensor& x) {
  const int64_t rows = x.size(-2), columns = x.size(-1);
  int64_t batch = 1;
  for (int64_t d = 0; d < x.dim() - 2; ++d) batch *= x.size(d);
  return shaped(x, Dims{batch, rows, columns});
}
Tensor turned(const Tensor& x) { return dense(transpose(x, -2, -1)); }

Dims leading(const Tensor& x) {
  Dims sizes;
  for (int64_t d = 0; d < x.dim() - 2; ++d) sizes.push_back(x.size(d));
  return sizes;
}
Dims batch_of(const Tensor& a, const Tensor& b) { return broadcast_shapes("cdist", leading(a), leading(b)); }

// With w = dy y^(1-p), 0 where y is 0, and s the sign of a_ik - b_jk:
// da_ik = sum_j w_ij s |a_ik - b_jk|^(p-1), and b alike with i and j exchanged; p = 0: 0; the largest
// difference: w = dy where |a_ik - b_jk| = y_ij. p = 2: da_i = a_i sum_j w_ij - sum_j w_ij b_j.
struct CdistBackward : Node {
  const char* name() const override { return "CdistBackward"; }
  SavedTensor a, b, y;
  double p = 2;
  bool by_product = false;

  TensorList apply(const TensorList& g) override {
    const Tensor x = a.get(this), z = b.get(this), d = y.get(this);
    if (grad_enabled() && p != 0)
      return autograd::differentiate(
          [this](const TensorList& in) { return TensorList{distances(in[0], in[1], p)}; }, {x, z}, g);
    TensorList result(2);
    if (p == 0) {
      if (needs(0)) result[0] = zeros(x.sizes(), x.dtype(), x.device());
      if (needs(1)) result[1] = zeros(z.sizes(), z.dtype(), z.device());
      return result;
    }
    const bool plain = p == 1 || std::isinf(p);
    const Tensor share = plain ? g[0] : p == 2 ? div(g[0], d) : mul(g[0], pow(d, Scalar(1 - p)));
    const Tensor w = plain ? share : where(eq(d, Scalar(0.0)), Scalar(0.0), share), wt = transpose(w, -2, -1);
    if (by_product) {
      if (needs(0)) result[0] = sum_to(sub(mul(x, sum(w, Dims{-1}, true)), matmul(w, z)), x.sizes());
      if (needs(1)) result[1] = sum_to(sub(mul(z, sum(wt, Dims{-1}, true)), matmul(wt, x)), z.sizes());
      return result;
    }
    const Dims batch = batch_of(x, z);
    const Tensor xs = with_batch(x, batch), zs = with_batch(z, batch);
    if (needs(0)) result[0] = side(xs, zs, d, w, x.sizes());
    if (needs(1)) result[1] = side(zs, xs, transpose(d, -2, -1), wt, z.sizes());
    return result;
  }
  Tensor side(const Tensor& x, const Tensor& z, const Tensor& d, const Tensor& w, IntSpan sizes) const {
    const Tensor zt = turned(z), dc = dense(d), wc = dense(w);
    if (d.numel() == 0) return zeros(sizes, x.dtype(), x.device());
    const Tensor dx = empty(x.sizes(), x.dtype(), x.device());
    CCDL_KERNEL(x, cdist_backward(matrices(x), matrices(zt), matrices(dc), matrices(wc), matrices(dx), p));
    return sum_to(dx, sizes);
  }
  void release_saved() override {
    a.reset();
    b.reset();
    y.reset();
  }
};

}  // namespace

Tensor cdist(const Tensor& a, const Tensor& b, double p, std::optional<bool> by_product) {
  CCDL_CHECK(a.dim() >= 2 && b.dim() >= 2, Shape, "cdist(): x1 and x2 need at least 2 dimensions, got ",
             describe(a), " and ", describe(b));
  CCDL_CHECK(a.size(-1) == b.size(-1), Shape, "cdist(): X1 and X2 must have the same number of columns, got ",
             describe(a), " and ", describe(b));
  CCDL_CHECK(p >= 0, Value, "cdist(): only non-negative p values are supported, got p=", p);
  for (const Tensor* x : {&a, &b})
    CCDL_CHECK(is_floating(x->dtype()), DType, "cdist: input must be floating point, got ", describe(*x));
  check_same_device("cdist", {{"x1", &a}, {"x2", &b}});
  CCDL_CHECK(a.dtype() == b.dtype(), DType, "cdist: x1 and x2 must have the same dtype, got ", describe(a),
             " and ", describe(b), "; convert one of them with .to()");
  const DType common = a.dtype();
  const DType computed = item_size(common) < 4 ? DType::Float32 : common;
  if (common != computed)
    return to(cdist(to(a, computed), to(b, computed), p, by_product.value_or(false)), common);
  const int64_t m = a.size(-2), n = b.size(-2), k = a.size(-1);
  if (k == 0) return sum(sub(unsqueeze(a, -2), unsqueeze(b, -3)), Dims{-1});
  const bool product = p == 2 && by_product.value_or(m > 25 || n > 25);
  Tensor y;
  {
    NoGradGuard no_grad;
    if (product) {
      y = distances_by_product(a, b);
    } else {
      Dims sizes = batch_of(a, b);
      const Tensor x = with_batch(a, sizes), zt = turned(with_batch(b, sizes));
      sizes.push_back(m);
      sizes.push_back(n);
      y = empty(sizes, computed, a.device());
      if (y.numel() > 0) CCDL_KERNEL(x, cdist_forward(matrices(x), matrices(zt), matrices(y), p));
    }
  }
  if (needs_graph(a, b)) {
    auto node = make_ref<CdistBackward>();
    node->a = SavedTensor(a);
    node->b = SavedTensor(b);
    node->y = SavedTensor(y, node.get());
    node->p = p;
    node->by_product = product;
    record(node, {a, b}, y);
  }
  return y;
}

namespace {

// Of all distances [n, n] those above the diagonal, row by row.
Tensor upper_pairs(const Tensor& y) {
  const int64_t n = y.size(0);
  const Tensor at = triangle_indices(n, n, 1, true, DType::Int64, y.device());
  const Tensor flat = add(mul(select(at, 0, 0), Scalar(n)), select(at, 0, 1));
  return index_select(reshape(y, Dims{n * n}), 0, flat);
}

// As CdistBackward, every pair seen from both of its rows: w and y become symmetric matrices. The differences
// are taken before they are weighed: a product would lose those of points near each other.
struct PdistBackward : Node {
  const char* name() const override { return "PdistBackward"; }
  SavedTensor x, y;
  double p = 2;

  TensorList apply(const TensorList& g) override {
    const Tensor a = x.get(this), d = y.get(this);
    if (grad_enabled())
      return autograd::differentiate(
          [this](const TensorList& in) { return TensorList{upper_pairs(distances(in[0], in[0], p))}; }, {a},
          g);
    if (p == 0 || d.numel() == 0) return {zeros(a.sizes(), a.dtype(), a.device())};
    const bool plain = p == 1 || std::isinf(p);
    const Tensor share = plain ? g[0] : p == 2 ? div(g[0], d) : mul(g[0], pow(d, Scalar(1 - p)));
    const Tensor w = plain ? share : where(eq(d, Scalar(0.0)), Scalar(0.0), share);
    const Dims all{a.size(0), a.size(0)};
    const Tensor wide_w = empty(all, a.dtype(), a.device()), wide_d = empty(all, a.dtype(), a.device());
    CCDL_KERNEL(a, pdist_square(dense(w).view(), wide_w.view()));
    CCDL_KERNEL(a, pdist_square(dense(d).view(), wide_d.view()));
    const Tensor xs = dense(a), xt = turned(a), dx = empty(a.sizes(), a.dtype(), a.device());
    CCDL_KERNEL(
        a, cdist_backward(matrices(xs), matrices(xt), matrices(wide_d), matrices(wide_w), matrices(dx), p));
    return {dx};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

}  // namespace

Tensor pdist(const Tensor& x, double p) {
  CCDL_CHECK(x.dim() == 2, Runtime, "pdist: input is ", x.sizes(), ", must be 2-d");
  CCDL_CHECK(p >= 0, Runtime, "pdist: p is ", p, ", only supports non-negative p values");
  CCDL_CHECK(is_floating(x.dtype()), DType, "pdist: input must be floating point, got ", describe(x));
  if (item_size(x.dtype()) < 4) return to(pdist(to(x, DType::Float32), p), x.dtype());
  const int64_t n = x.size(0), pairs = n > 1 ? (n % 2 ? (n - 1) / 2 * n : n / 2 * (n - 1)) : 0;
  if (!x.device().is_cpu() || x.size(1) == 0 || n < 2) return upper_pairs(cdist(x, x, p, false));
  Tensor y;
  {
    NoGradGuard no_grad;
    y = empty(Dims{pairs}, x.dtype(), x.device());
    const Tensor xs = dense(x), xt = turned(x);
    CCDL_KERNEL(x, pdist_forward(xs.view(), xt.view(), y.view(), p));
  }
  if (needs_graph(x)) {
    auto node = make_ref<PdistBackward>();
    node->x = SavedTensor(x);
    node->y = SavedTensor(y, node.get());
    node->p = p;
    record(node, {x}, y);
  }
  return y;
}

}  // namespace ccdl::ops
