// Sums, products, extremes, truth values and their gradients. The variance and norm family is in
// reduce_stats.cpp.
#include <ccdl/ops/reduce.h>

#include <limits>

#include <ccdl/kernels/reduce.h>
#include <ccdl/kernels/scan.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/selection.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

Reduction::Reduction(const char* op, const Tensor& x, const MaybeDims& wanted) {
  if (wanted && !wanted->empty()) {
    dims = wrap_dims(op, *wanted, x.dim());
  } else {
    for (int64_t d = 0; d < x.dim(); ++d) dims.push_back(d);
  }
  for (int64_t d : dims) mask |= 1u << d;
  for (int64_t d = 0; d < x.dim(); ++d) {
    kept.push_back(reduces(d) ? 1 : x.size(d));
    if (reduces(d))
      count *= x.size(d);
    else
      dropped.push_back(x.size(d));
  }
}

View Reduction::view(const Tensor& y) const {
  View v = y.view();
  const Dims strides = contiguous_strides(kept);
  v.ndim = kept.ndim();
  for (int d = 0; d < v.ndim; ++d) {
    v.sizes[d] = kept[d];
    v.strides[d] = strides[d];
  }
  return v;
}

Tensor Reduction::restore(const Tensor& g) const { return g.sizes() == kept ? g : reshape(g, kept); }

namespace {

Tensor launch(ReduceOp op, const Tensor& x, const Reduction& r, bool keepdim, DType dtype) {
  Tensor y = empty(r.sizes(keepdim), dtype, x.device());
  CCDL_KERNEL(x, reduce(op, x.view(), r.view(y), 0.0));
  return y;
}

DType accumulated(const Tensor& x, MaybeDType dtype) {
  return dtype ? *dtype : is_integral(x.dtype()) ? DType::Int64 : x.dtype();
}
// x in a type the kernel takes for a result of type t.
Tensor summand(const Tensor& x, DType t) {
  if (x.dtype() == t || (is_half(x.dtype()) && t == DType::Float32)) return x;
  if (is_integral(t) && t != DType::Bool && is_integral(x.dtype()))
    return x;  // all arithmetic is modulo 2^64
  return to(x, t);
}
Tensor launch_total(ReduceOp op, const Tensor& x, const Reduction& r, bool keepdim, DType t) {
  if (is_floating(t)) return launch(op, x, r, keepdim, t);
  return to(launch(op, x, r, keepdim, DType::Int64), t);
}

// dx = dy, broadcast over the reduced dims
struct SumBackward : Node {
  const char* name() const override { return "SumBackward"; }
  Dims sizes, kept;
  TensorList apply(const TensorList& g) override { return {expand(reshape(g[0], kept), sizes)}; }
};

// dx = dy / n
struct MeanBackward : Node {
  const char* name() const override { return "MeanBackward"; }
  Dims sizes, kept;
  double count = 1;
  TensorList apply(const TensorList& g) override { return {expand(div(reshape(g[0], kept), count), sizes)}; }
};

// dx = dy where x is a number, else 0
struct NansumBackward : Node {
  const char* name() const override { return "NansumBackward"; }
  SavedTensor x;
  Dims kept;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this);
    return {mul(reshape(g[0], kept), to(eq(v, v), g[0].dtype()))};
  }
  void release_saved() override { x.reset(); }
};

// Product over dim by multiplying halves: what double backward differentiates.
Tensor product_composite(const Tensor& x, int64_t dim) {
  Tensor p = x;
  while (p.size(dim) > 1) {
    const int64_t n = p.size(dim), h = n / 2;
    const Tensor q = mul(narrow(p, dim, 0, h), narrow(p, dim, h, h));
    p = n % 2 ? cat({q, narrow(p, dim, n - 1, 1)}, dim) : q;
  }
  return p;
}

// dx_i = dy * prod of the other elements, exact when some are zero
struct ProdBackward : Node {
  const char* name() const override { return "ProdBackward"; }
  SavedTensor x;
  int64_t dim = 0;
  Dims kept;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this), dy = reshape(g[0], kept);
    if (v.numel() == 0) return {zeros_like(v)};
    if (v.dim() == 0) return {dy};
    if (grad_enabled())
      return autograd::differentiate(
          [d = dim](const TensorList& in) { return TensorList{product_composite(in[0], d)}; }, {v}, {dy});
    const Tensor last = zeros(v.sizes(), v.dtype(), v.device());
    copy_(narrow(last, dim, v.size(dim) - 1, 1), dy);
    const Tensor dx = empty(v.sizes(), v.dtype(), v.device());
    CCDL_KERNEL(v, cumprod_backward(v.view(), last.view(), dx.view(), static_cast<int>(dim)));
    return {dx};
  }
  void release_saved() override { x.reset(); }
};

// Where x holds the extreme y; NaN matches NaN.
Tensor ties(const Tensor& x, const Tensor& y) { return isclose(x, y, 0, 0, true); }

// dx = dy / (number of ties) where x is the extreme value. A NaN is that too (amax, amin: nothing is, 0 / 0)
struct ExtremeBackward : Node {
  const char* name() const override { return "ExtremeBackward"; }
  SavedTensor x, y;
  Dims dims, kept;
  bool nan_counts = true;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this), extreme = reshape(y.get(this), kept);
    const Tensor mask = nan_counts ? ties(v, extreme) : eq(v, extreme);
    const Tensor count = to(sum(mask, dims, true), g[0].dtype());
    const Tensor share = div(reshape(g[0], kept), count);
    if (nan_counts) return {where(mask, share, Scalar(0.0))};
    return {where(mask, share, where(isnan(extreme), Operand(extreme), Scalar(0.0)))};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

}  // namespace

void record_ties(const Tensor& x, const Tensor& y, const Reduction& r, bool nan_counts) {
  auto node = make_ref<ExtremeBackward>();
  node->x = SavedTensor(x);
  node->y = SavedTensor(y, node.get());
  node->dims = r.dims;
  node->kept = r.kept;
  node->nan_counts = nan_counts;
  record(node, {x}, y);
}

namespace {

Tensor extreme(const char* op, ReduceOp kind, const Tensor& x, const MaybeDims& dims, bool keepdim,
               bool nan_counts = false) {
  const Reduction r(op, x, dims);
  if (!dims || dims->empty())
    CCDL_CHECK(x.numel() > 0, Runtime, op,
               "(): Expected reduction dim to be specified for input.numel() == 0, got input ", describe(x),
               "; specify the reduction dim with the 'dim' argument");
  for (int64_t d : r.dims)
    CCDL_CHECK(x.dim() == 0 || x.size(d) > 0, Index, op, "(): Expected reduction dim ", d,
               " to have non-zero size, got input ", describe(x));
  Tensor y = launch(kind, x, r, keepdim, x.dtype());
  if (needs_graph(x)) record_ties(x, y, r, nan_counts);
  return y;
}

// Index of the extreme along dim of x, and the values when asked for.
Tensor launch_arg(bool largest, const Tensor& x, int64_t dim, const Reduction& r, bool keepdim,
                  Tensor* values) {
  const Tensor index = empty(r.sizes(keepdim), DType::Int64, x.device());
  View v{};
  if (values) {
    *values = empty(r.sizes(keepdim), x.dtype(), x.device());
    v = r.view(*values);
  }
  CCDL_KERNEL(x, arg_reduce(largest, x.view(), static_cast<int>(dim), v, r.view(index)));
  return index;
}

std::tuple<Tensor, Tensor> extreme_dim(const char* op, bool largest, const Tensor& x, int64_t dim,
                                       bool keepdim) {
  const Reduction r(op, x, Dims{dim});
  dim = r.dims[0];
  CCDL_CHECK(x.dim() == 0 || x.size(dim) > 0, Index, op, "(): Expected reduction dim ", dim,
             " to have non-zero size, got input ", describe(x));
  if (x.dim() == 0) return {largest ? amax(x) : amin(x), zeros({}, DType::Int64, x.device())};
  Tensor values;
  const Tensor index = launch_arg(largest, x, dim, r, keepdim, &values);
  if (needs_graph(x))
    record_selection(largest ? "MaxBackward" : "MinBackward", x, values, index, dim, !keepdim);
  return {values, index};
}

Tensor arg_extreme(const char* op, bool largest, const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  if (!dim) {
    CCDL_CHECK(x.numel() > 0, Index, op,
               "(): Expected reduction dim to be specified for input.numel() == 0, got input ", describe(x));
    const Tensor index = arg_extreme(op, largest, reshape(detach(x), Dims{-1}), 0, false);
    return keepdim ? reshape(index, Dims(x.sizes().size(), 1)) : index;
  }
  const Reduction r(op, x, Dims{*dim});
  const int64_t d = r.dims[0];
  if (x.dim() == 0) return zeros({}, DType::Int64, x.device());
  CCDL_CHECK(x.size(d) > 0, Index, op, "(): Expected reduction dim ", d, " to have non-zero size, got input ",
             describe(x));
  return launch_arg(largest, x, d, r, keepdim, nullptr);
}

// dx = dy exp(x - y); a row of -inf only has no gradient
struct LogsumexpBackward : Node {
  const char* name() const override { return "LogsumexpBackward"; }
  SavedTensor x, y;
  Dims kept;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this), r = reshape(y.get(this), kept);
    const Tensor empty_row = eq(r, Scalar(-std::numeric_limits<double>::infinity()));
    return {mul(reshape(g[0], kept), exp(sub(v, masked_fill(r, empty_row, Scalar(0)))))};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

struct SelectionBackward : Node {
  explicit SelectionBackward(const char* n) : name_(n) {}
  const char* name() const override { return name_; }
  const char* name_;
  SavedTensor indices;
  Dims sizes;
  int64_t dim = 0;
  bool dropped = false, repeats = false;
  TensorList apply(const TensorList& g) override {
    if (sizes.empty()) return {reshape(g[0], sizes)};
    const Tensor i = indices.get(this);
    const Tensor dy = dropped ? unsqueeze(g[0], dim) : g[0], at = dropped ? unsqueeze(i, dim) : i;
    const Tensor dx = zeros(sizes, dy.dtype(), dy.device());
    return {repeats ? scatter_add(dx, dim, at, dy) : scatter(dx, dim, at, dy)};
  }
  void release_saved() override { indices.reset(); }
};

}  // namespace

void record_selection(const char* name, const Tensor& x, const Tensor& values, const Tensor& indices,
                      int64_t dim, bool dropped, bool repeats) {
  auto node = make_ref<SelectionBackward>(name);
  node->indices = SavedTensor(indices);
  node->sizes = x.sizes();
  node->dim = dim;
  node->dropped = dropped;
  node->repeats = repeats;
  record(node, {x}, values);
}

Tensor sum(const Tensor& x, const MaybeDims& dims, bool keepdim, MaybeDType dtype) {
  const DType t = accumulated(x, dtype);
  const Tensor in = summand(x, t);
  const Reduction r("sum", in, dims);
  Tensor y = launch_total(ReduceOp::Sum, in, r, keepdim, t);
  if (needs_graph(in)) {
    auto node = make_ref<SumBackward>();
    node->sizes = in.sizes();
    node->kept = r.kept;
    record(node, {in}, y);
  }
  return y;
}

Tensor nansum(const Tensor& x, const MaybeDims& dims, bool keepdim, MaybeDType dtype) {
  const DType t = accumulated(x, dtype);
  if (!is_floating(t)) return sum(x, dims, keepdim, dtype);
  const Tensor in = summand(x, t);
  const Reduction r("nansum", in, dims);
  Tensor y = launch_total(ReduceOp::NanSum, in, r, keepdim, t);
  if (needs_graph(in)) {
    auto node = make_ref<NansumBackward>();
    node->x = SavedTensor(in);
    node->kept = r.kept;
    record(node, {in}, y);
  }
  return y;
}

Tensor mean(const Tensor& x, const MaybeDims& dims, bool keepdim, MaybeDType dtype) {
  const DType t = dtype ? *dtype : x.dtype();
  CCDL_CHECK(is_floating(t), DType,
             "mean(): could not infer output dtype. Input dtype must be floating point, got ", describe(x),
             "; convert it with .float() or pass dtype=");
  const Tensor in = summand(x, t);
  const Reduction r("mean", in, dims);
  Tensor y = launch(ReduceOp::Mean, in, r, keepdim, t);
  if (needs_graph(in)) {
    auto node = make_ref<MeanBackward>();
    node->sizes = in.sizes();
    node->kept = r.kept;
    node->count = static_cast<double>(r.count);
    record(node, {in}, y);
  }
  return y;
}

Tensor nanmean(const Tensor& x, const MaybeDims& dims, bool keepdim, MaybeDType dtype) {
  CCDL_CHECK(is_floating(x.dtype()), DType, "nanmean(): expected input to have floating point dtype but got ",
             describe(x));
  const Tensor numbers = sum(eq(x, x), dims, keepdim);
  return div(nansum(x, dims, keepdim, dtype), numbers);
}

Tensor prod(const Tensor& x, std::optional<int64_t> dim, bool keepdim, MaybeDType dtype) {
  const DType t = accumulated(x, dtype);
  const Tensor in = dim ? summand(x, t) : reshape(summand(x, t), Dims{-1});
  const Reduction r("prod", in, Dims{dim.value_or(0)});
  Tensor y = launch_total(ReduceOp::Prod, in, r, keepdim, t);
  if (needs_graph(in)) {
    auto node = make_ref<ProdBackward>();
    node->x = SavedTensor(in);
    node->dim = r.dims[0];
    node->kept = r.kept;
    record(node, {in}, y);
  }
  return y;
}

Tensor max(const Tensor& x) { return extreme("max", ReduceOp::Max, x, std::nullopt, false, true); }
Tensor min(const Tensor& x) { return extreme("min", ReduceOp::Min, x, std::nullopt, false, true); }
Tensor amax(const Tensor& x, const MaybeDims& dims, bool keepdim) {
  return extreme("amax", ReduceOp::Max, x, dims, keepdim);
}
Tensor amin(const Tensor& x, const MaybeDims& dims, bool keepdim) {
  return extreme("amin", ReduceOp::Min, x, dims, keepdim);
}
std::tuple<Tensor, Tensor> aminmax(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  if (!dim)
    CCDL_CHECK(x.numel() > 0, Runtime,
               "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity, "
               "got input ",
               describe(x));
  const MaybeDims dims = dim ? MaybeDims(Dims{*dim}) : std::nullopt;
  return {extreme("aminmax", ReduceOp::Min, x, dims, keepdim),
          extreme("aminmax", ReduceOp::Max, x, dims, keepdim)};
}
std::tuple<Tensor, Tensor> max_dim(const Tensor& x, int64_t dim, bool keepdim) {
  return extreme_dim("max", true, x, dim, keepdim);
}
std::tuple<Tensor, Tensor> min_dim(const Tensor& x, int64_t dim, bool keepdim) {
  return extreme_dim("min", false, x, dim, keepdim);
}
Tensor argmax(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme("argmax", true, x, dim, keepdim);
}
Tensor argmin(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme("argmin", false, x, dim, keepdim);
}

namespace {

// Unlike the sums, any and all over an empty list of dims reduce nothing.
Tensor truth(const char* op, ReduceOp kind, const Tensor& x, const MaybeDims& dims, bool keepdim) {
  const DType t = x.dtype() == DType::UInt8 ? DType::UInt8 : DType::Bool;
  if (dims && dims->empty()) return to(ne(x, Scalar(0)), t);
  return launch(kind, x, Reduction(op, x, dims), keepdim, t);
}

}  // namespace

Tensor any(const Tensor& x, const MaybeDims& dims, bool keepdim) {
  return truth("any", ReduceOp::Any, x, dims, keepdim);
}
Tensor all(const Tensor& x, const MaybeDims& dims, bool keepdim) {
  return truth("all", ReduceOp::All, x, dims, keepdim);
}
Tensor count_nonzero(const Tensor& x, const MaybeDims& dims) {
  return launch(ReduceOp::CountNonzero, x, Reduction("count_nonzero", x, dims), false, DType::Int64);
}

Tensor logsumexp(const Tensor& x, const MaybeDims& dims, bool keepdim) {
  if (is_integral(x.dtype())) return logsumexp(to(x, default_dtype()), dims, keepdim);
  const Reduction r("logsumexp", x, dims);
  Tensor y = launch(ReduceOp::LogSumExp, x, r, keepdim, x.dtype());
  if (needs_graph(x)) {
    auto node = make_ref<LogsumexpBackward>();
    node->x = SavedTensor(x);
    node->y = SavedTensor(y, node.get());
    node->kept = r.kept;
    record(node, {x}, y);
  }
  return y;
}

}  // namespace ccdl::ops
