// gather and the scatter family: one index per element along one dimension.
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/index_plan.h>
#include <ccdl/ops/overlap.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

#include <limits>

namespace ccdl::ops {
namespace {

struct PointArgs {
  int64_t dim;
  Tensor index;
};

// index has as many dimensions as x (0-d counts as 1-d) and is no larger than x apart from dim.
PointArgs point_args(const char* op, const Tensor& x, int64_t dim, const Tensor& index) {
  PointArgs a{wrap_dim(op, dim, x.dim()), int64_index(op, "index", index)};
  check_same_device(op, {{"input", &x}, {"index", &index}});
  if (index.numel() == 0) return a;
  CCDL_CHECK(std::max<int64_t>(x.dim(), 1) == std::max<int64_t>(index.dim(), 1), Shape, op,
             ": Index tensor must have the same number of dimensions as input tensor, got ", index.sizes(),
             " and ", x.sizes());
  for (int64_t d = 0; d < std::min(x.dim(), index.dim()); ++d)
    CCDL_CHECK(d == a.dim || index.size(d) <= x.size(d), Shape, op, ": Size does not match at dimension ", d,
               ": expected index ", index.sizes(), " to be no larger than self ", x.sizes(),
               " apart from dimension ", a.dim);
  return a;
}

// The part of src that index covers: its leading corner.
Tensor corner(const char* op, const Tensor& x, const Tensor& src, const PointArgs& a) {
  CCDL_CHECK(src.dtype() == x.dtype(), DType, op, ": Expected self.dtype to be equal to src.dtype, got ",
             dtype_name(x.dtype()), " and ", dtype_name(src.dtype()), "; convert src with .to(input.dtype)");
  check_same_device(op, {{"input", &x}, {"src", &src}});
  if (a.index.numel() == 0) return src;
  const Dims& to = a.index.sizes();
  if (src.sizes() == to) return src;
  CCDL_CHECK(src.dim() == a.index.dim(), Shape, op,
             ": Index tensor must have the same number of dimensions as src tensor, got ", to, " and ",
             src.sizes());
  Tensor part = src;
  for (int64_t d = 0; d < src.dim(); ++d) {
    CCDL_CHECK(to[static_cast<size_t>(d)] <= src.size(d), Shape, op, ": Expected index ", to,
               " to be no larger than src ", src.sizes(), " in dimension ", d);
    part = narrow(part, d, 0, to[static_cast<size_t>(d)]);
  }
  return part;
}

void put_points(const char* op, const Tensor& y, const PointArgs& a, const Tensor& src, PutMode mode,
                bool fresh = true) {
  if (a.index.numel() == 0) return;
  NoGradGuard no_grad;
  const bool sums = mode == PutMode::Add || mode == PutMode::Mul;
  const DType t = sums ? sum_dtype(y.dtype()) : y.dtype();
  const Tensor from = src.storage() == y.storage() ? clone(src) : src;
  if (t == y.dtype()) return pointwise_plan(y, a.dim, a.index).put(op, y, from, mode, fresh);
  const Tensor wide = to(y, t);
  pointwise_plan(wide, a.dim, a.index).put(op, wide, to(from, t), mode, true);
  copy_(y, wide);
}

// A detached copy without history.
Tensor copy_of(const Tensor& x) {
  NoGradGuard no_grad;
  return clone(x);
}

// dx = zeros.scatter_add(dim, index, dy)
struct GatherBackward : Node {
  const char* name() const override { return "GatherBackward"; }
  SavedTensor index;
  Dims sizes;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const DType t = g[0].dtype(), wide = sum_dtype(t);
    return {to(scatter_add_(zeros(sizes, wide, g[0].device()), dim, index.get(this), to(g[0], wide)), t)};
  }
  void release_saved() override { index.reset(); }
};

// dx = dy with zeros at the index, dsrc = dy[index]
struct ScatterBackward : Node {
  const char* name() const override { return "ScatterBackward"; }
  SavedTensor index;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const Tensor i = index.get(this);
    return {needs(0) ? scatter(g[0], dim, i, Scalar(0)) : Tensor(),
            needs(1) ? gather(g[0], dim, i) : Tensor()};
  }
  void release_saved() override { index.reset(); }
};

// dx = dy, dsrc = dy[index]
struct ScatterAddBackward : Node {
  const char* name() const override { return "ScatterAddBackward"; }
  SavedTensor index;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    return {g[0], needs(1) ? gather(g[0], dim, index.get(this)) : Tensor()};
  }
  void release_saved() override { index.reset(); }
};

template <class N>
Ref<N> point_node(const Tensor& x, const PointArgs& a, const Tensor& src) {
  if (!needs_graph(x, src)) return {};
  auto node = make_ref<N>();
  node->index = SavedTensor(a.index);
  node->dim = a.dim;
  return node;
}

// What scatter writes and its history: a tensor's corner, or a number.
Tensor scatter_source(const char* op, const Tensor& x, const PointArgs& a, const Operand& src) {
  return src.is_tensor() ? corner(op, x, src.tensor, a) : full(Dims{}, src.scalar, x.dtype(), x.device());
}

}  // namespace

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index) {
  const PointArgs a = point_args("gather", x, dim, index);
  Tensor y = empty(index.sizes(), x.dtype(), x.device());
  if (index.numel() > 0) pointwise_plan(x, a.dim, a.index).get("gather", x, y);
  if (needs_graph(x)) {
    auto node = make_ref<GatherBackward>();
    node->index = SavedTensor(a.index);
    node->sizes = x.sizes();
    node->dim = a.dim;
    record(node, {x}, y);
  }
  return y;
}

Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Operand& src) {
  const PointArgs a = point_args("scatter", x, dim, index);
  const Tensor from = scatter_source("scatter", x, a, src);
  const auto node = point_node<ScatterBackward>(x, a, from);
  const Tensor y = copy_of(x);
  put_points("scatter", y, a, from, PutMode::Set);
  if (node) record(node, {x, from}, y);
  return y;
}

Tensor scatter_(const Tensor& x, int64_t dim, const Tensor& index, const Operand& src) {
  const PointArgs a = point_args("scatter_", x, dim, index);
  const Tensor from = scatter_source("scatter_", x, a, src);
  autograd::check_inplace("scatter_", x);
  check_no_overlap("scatter_", x, {&index, &from});
  const auto node = point_node<ScatterBackward>(x, a, from);
  put_points("scatter_", x, a, from, PutMode::Set, false);
  autograd::rebase_history(x, node, {x, from});
  return x;
}

Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  const PointArgs a = point_args("scatter_add", x, dim, index);
  const Tensor from = corner("scatter_add", x, src, a);
  const auto node = point_node<ScatterAddBackward>(x, a, from);
  const Tensor y = copy_of(x);
  put_points("scatter_add", y, a, from, PutMode::Add);
  if (node) record(node, {x, from}, y);
  return y;
}

Tensor scatter_add_(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  const PointArgs a = point_args("scatter_add_", x, dim, index);
  const Tensor from = corner("scatter_add_", x, src, a);
  autograd::check_inplace("scatter_add_", x);
  check_no_overlap("scatter_add_", x, {&index, &from});
  const auto node = point_node<ScatterAddBackward>(x, a, from);
  put_points("scatter_add_", x, a, from, PutMode::Add, false);
  autograd::rebase_history(x, node, {x, from});
  return x;
}

// ---- scatter_reduce ----
namespace {

enum class Reduce { Sum, Prod, Mean, Amax, Amin };

Reduce reduce_named(const std::string& name) {
  if (name == "sum") return Reduce::Sum;
  if (name == "prod") return Reduce::Prod;
  if (name == "mean") return Reduce::Mean;
  if (name == "amax" || name == "max") return Reduce::Amax;
  if (name == "amin" || name == "min") return Reduce::Amin;
  fail(ErrorKind::Value,
       str("scatter_reduce: reduce argument must be either sum, prod, mean, amax or amin, got ", name));
}

// The value that changes nothing; for amax and amin the end of the dtype's range.
Tensor neutral(Reduce r, DType t, Device device) {
  if (r == Reduce::Sum || r == Reduce::Mean) return full(Dims{}, 0, t, device);
  if (r == Reduce::Prod) return full(Dims{}, 1, t, device);
  const bool low = r == Reduce::Amax;
  const double inf = std::numeric_limits<double>::infinity();
  if (is_floating(t)) return full(Dims{}, low ? -inf : inf, t, device);
  switch (t) {
    case DType::Bool:
      return full(Dims{}, !low, t, device);
    case DType::UInt8:
      return full(Dims{}, low ? 0 : 255, t, device);
    default: {
      const int64_t top = static_cast<int64_t>((uint64_t{1} << (8 * item_size(t) - 1)) - 1);
      return full(Dims{}, low ? -top - 1 : top, t, device);
    }
  }
}

// How many values meet in each element (at least 1, so that one may divide).
Tensor meeting_count(const Tensor& like, const PointArgs& a, bool include_self) {
  NoGradGuard no_grad;
  const DType t = is_half(like.dtype()) ? DType::Float32 : like.dtype();
  Tensor count = full(like.sizes(), include_self ? 1 : 0, t, like.device());
  put_points("scatter_reduce", count, a, full(Dims{}, 1, t, like.device()), PutMode::Add);
  return include_self ? count : maximum(count, ones(Dims{}, t, like.device()));
}

// sum: dx = dy, dsrc = dy[i]; mean: the same of dy / count; amax, amin: dy shared by the elements equal to
// the result; prod: dy * product of the others. Without include_self dx is zero where anything was scattered.
struct ScatterReduceBackward : Node {
  const char* name() const override { return "ScatterReduceBackward"; }
  SavedTensor x, index, src, y;
  int64_t dim = 0;
  Reduce reduce = Reduce::Sum;
  bool include_self = true;

  TensorList apply(const TensorList& g) override {
    const Tensor i = index.get(this);
    const PointArgs a{dim, i};
    Tensor dx = g[0], dsrc;
    switch (reduce) {
      case Reduce::Sum:
        dsrc = gather(g[0], dim, i);
        break;
      case Reduce::Mean:
        dx = div(g[0], meeting_count(g[0], a, include_self));
        dsrc = gather(dx, dim, i);
        break;
      case Reduce::Prod:
        prod(g[0], i, &dx, &dsrc);
        break;
      default:
        extreme(g[0], i, &dx, &dsrc);
        break;
    }
    if (!include_self) dx = scatter(dx, dim, i, Scalar(0));
    return {dx, dsrc};
  }
  void extreme(const Tensor& dy, const Tensor& i, Tensor* dx, Tensor* dsrc) {
    const Tensor result = y.get(this);
    Tensor self_hit, src_hit, share;
    {
      NoGradGuard no_grad;
      self_hit = to(eq(x.get(this), result), dy.dtype());
      if (!include_self) self_hit = scatter(self_hit, dim, i, Scalar(0));
      src_hit = to(eq(src.get(this), gather(result, dim, i)), dy.dtype());
      share = scatter_add(self_hit, dim, i, src_hit);
    }
    const Tensor part = div(dy, share);
    *dx = mul(part, self_hit);
    *dsrc = mul(gather(part, dim, i), src_hit);
  }
  void prod(const Tensor& dy, const Tensor& i, Tensor* dx, Tensor* dsrc) {
    const Tensor self = x.get(this), from = src.get(this);
    const Tensor own = include_self ? self : scatter(self, dim, i, Scalar(1));
    Tensor hole, zero_src, only_zero;
    {
      NoGradGuard no_grad;
      zero_src = eq(from, Scalar(0));
      const Tensor zero = to(zero_src, self.dtype());
      hole = eq(own, Scalar(0));
      const Tensor zeros_met = gather(scatter_add(to(hole, self.dtype()), dim, i, zero), dim, i);
      only_zero = logical_and(zero_src, eq(zeros_met, Scalar(1)));
    }
    const Tensor ones_in_holes = masked_fill(own, hole, Scalar(1));
    const Tensor others_of_self = scatter_reduce(ones_in_holes, dim, i, from, "prod", true);
    *dx = div(mul(dy, others_of_self), ones_in_holes);
    const Tensor whole = scatter_reduce(own, dim, i, from, "prod", true);
    const Tensor without = scatter_reduce(own, dim, i, masked_fill(from, only_zero, Scalar(1)), "prod", true);
    const Tensor plain = div(gather(mul(dy, whole), dim, i), masked_fill(from, zero_src, Scalar(1)));
    *dsrc = where(only_zero, gather(mul(dy, without), dim, i), masked_fill(plain, zero_src, Scalar(0)));
  }
  void release_saved() override {
    x.reset();
    index.reset();
    src.reset();
    y.reset();
  }
};

}  // namespace

Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self) {
  const Reduce r = reduce_named(reduce);
  const PointArgs a = point_args("scatter_reduce", x, dim, index);
  const Tensor from = corner("scatter_reduce", x, src, a);
  Tensor y = copy_of(x);
  if (!include_self) put_points("scatter_reduce", y, a, neutral(r, x.dtype(), x.device()), PutMode::Set);
  constexpr PutMode kModes[] = {PutMode::Add, PutMode::Mul, PutMode::Add, PutMode::Max, PutMode::Min};
  if (r == Reduce::Mean && is_half(x.dtype())) {
    NoGradGuard no_grad;
    const Tensor wide = to(y, DType::Float32);
    put_points("scatter_reduce", wide, a, to(from, DType::Float32), PutMode::Add);
    copy_(y, div(wide, meeting_count(y, a, include_self)));
  } else {
    put_points("scatter_reduce", y, a, from, kModes[static_cast<int>(r)]);
    if (r == Reduce::Mean) {
      NoGradGuard no_grad;
      const Tensor count = meeting_count(y, a, include_self);
      copy_(y, is_floating(y.dtype()) ? div(y, count) : floor_divide(y, count));
    }
  }
  if (needs_graph(x, from)) {
    auto node = make_ref<ScatterReduceBackward>();
    node->index = SavedTensor(a.index);
    node->dim = a.dim;
    node->reduce = r;
    node->include_self = include_self;
    if (r != Reduce::Sum && r != Reduce::Mean) {
      node->x = SavedTensor(x);
      node->src = SavedTensor(from);
      node->y = SavedTensor(y, node.get());
    }
    record(node, {x, from}, y);
  }
  return y;
}

Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim) {
  CCDL_CHECK(indices.dtype() == DType::Int64, Runtime,
             "take_along_dim: dtype of indices should be int64, got ", describe(indices),
             "; convert it with .long()");
  if (!dim) {
    const Tensor& flat = indices;
    return gather(reshape(x, Dims{x.numel()}), 0, reshape(flat, Dims{flat.numel()}));
  }
  const int64_t d = wrap_dim("take_along_dim", *dim, x.dim());
  CCDL_CHECK(x.dim() == indices.dim(), Shape,
             "take_along_dim: input and indices should have the same number of dimensions, got ", x.sizes(),
             " and ", indices.sizes());
  if (x.dim() == 0) return gather(x, 0, indices);
  Dims a = x.sizes(), b = indices.sizes();
  const auto at = static_cast<size_t>(d);
  a[at] = b[at] = 1;
  const Dims common = broadcast_shapes("take_along_dim", a, b);
  a = b = common;
  a[at] = x.size(d);
  b[at] = indices.size(d);
  const Tensor at_index = int64_index("take_along_dim", "indices", indices);
  const Tensor wrapped =
      where(lt(at_index, 0), add(at_index, Scalar(static_cast<long>(x.size(d)))), at_index);
  return gather(expand(x, a), d, expand(wrapped, b));
}

}  // namespace ccdl::ops
