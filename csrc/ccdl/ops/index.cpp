// index_select and its kin, advanced indexing, take and put.
#include <ccdl/ops/index.h>

#include <cmath>

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index_plan.h>
#include <ccdl/ops/overlap.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

struct SliceArgs {
  int64_t dim;
  Tensor index;
};

SliceArgs slice_args(const char* op, const Tensor& x, int64_t dim, const Tensor& index) {
  SliceArgs a{wrap_dim(op, dim, x.dim()), int64_index(op, "index", index)};
  CCDL_CHECK(a.index.dim() <= 1, Index, op, ": index must be 0-d or 1-d, got ", describe(index));
  check_same_device(op, {{"input", &x}, {"index", &index}});
  return a;
}

void check_slice_source(const char* op, const Tensor& x, const SliceArgs& a, const Tensor& src) {
  CCDL_CHECK(src.dtype() == x.dtype(), DType, op, ": input and source must have the same dtype, got ",
             dtype_name(x.dtype()), " and ", dtype_name(src.dtype()),
             "; convert source with .to(input.dtype)");
  check_same_device(op, {{"input", &x}, {"source", &src}});
  const Dims expected = slice_plan(x, a.dim, a.index).sizes;
  CCDL_CHECK(src.sizes() == expected || (src.numel() == 1 && numel_of(expected) == 1 && src.dim() <= 1 &&
                                         x.dim() <= 1 && a.index.numel() == 1 && x.numel() == 1),
             Shape, op, ": source must have shape ", expected, " (input ", x.sizes(), " with ",
             a.index.numel(), " indices along dim ", a.dim, "), got ", src.sizes());
}

Tensor apart(const Tensor& src, const Tensor& y) {  // src, or a copy when it shares y's memory
  if (src.storage() != y.storage()) return src;
  NoGradGuard no_grad;
  return clone(src);
}

// dx = zeros.index_add(dim, index, dy)
struct IndexSelectBackward : Node {
  const char* name() const override { return "IndexSelectBackward"; }
  SavedTensor index;
  Dims sizes;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const DType t = g[0].dtype(), wide = sum_dtype(t);
    return {to(index_add_(zeros(sizes, wide, g[0].device()), dim, index.get(this), to(g[0], wide)), t)};
  }
  void release_saved() override { index.reset(); }
};

// dx = dy, dsrc = alpha * dy[index]
struct IndexAddBackward : Node {
  const char* name() const override { return "IndexAddBackward"; }
  SavedTensor index;
  Dims src_sizes;
  int64_t dim = 0;
  Scalar alpha;
  TensorList apply(const TensorList& g) override {
    Tensor dsrc;
    if (needs(1)) {
      dsrc = reshape(index_select(g[0], dim, index.get(this)), src_sizes);
      if (alpha.to_double() != 1.0) dsrc = mul(dsrc, alpha);
    }
    return {g[0], dsrc};
  }
  void release_saved() override { index.reset(); }
};

// dx = dy with zeros at the index, dsrc = dy[index]
struct IndexCopyBackward : Node {
  const char* name() const override { return "IndexCopyBackward"; }
  SavedTensor index;
  Dims src_sizes;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const Tensor i = index.get(this);
    return {needs(0) ? index_fill(g[0], dim, i, Scalar(0)) : Tensor(),
            needs(1) ? reshape(index_select(g[0], dim, i), src_sizes) : Tensor()};
  }
  void release_saved() override { index.reset(); }
};

// dx = dy with zeros at the index, dvalue = sum of dy where x was overwritten
struct IndexFillBackward : Node {
  const char* name() const override { return "IndexFillBackward"; }
  SavedTensor index;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const Tensor kept = index_fill(g[0], dim, index.get(this), Scalar(0));
    return {kept, needs(1) ? sum(sub(g[0], kept)) : Tensor()};
  }
  void release_saved() override { index.reset(); }
};

void add_into(const Tensor& y, const SliceArgs& a, const Tensor& src, Scalar alpha, bool fresh) {
  const bool scaled = alpha.to_double() != 1.0;
  if (alpha.is_float() && !is_floating(y.dtype())) {
    const double whole = std::trunc(alpha.to_double());
    CCDL_CHECK(whole == alpha.to_double() && std::abs(whole) < 0x1p62, Value,
               "index_add: alpha must be an integer for ", dtype_name(y.dtype()), " tensors, got ", alpha);
    alpha = Scalar(static_cast<int64_t>(whole));
  }
  NoGradGuard no_grad;
  const Tensor from = scaled ? mul(src, alpha) : apart(src, y);
  const DType t = sum_dtype(y.dtype());
  const Tensor sums = t == y.dtype() ? y : to(y, t);
  slice_plan(sums, a.dim, a.index).put("index_add", sums, to(from, t), PutMode::Add, fresh);
  if (!sums.same(y)) copy_(y, sums);
}

Ref<IndexAddBackward> add_node(const Tensor& x, const SliceArgs& a, const Tensor& src, Scalar alpha) {
  if (!needs_graph(x, src)) return {};
  auto node = make_ref<IndexAddBackward>();
  node->index = SavedTensor(a.index);
  node->src_sizes = src.sizes();
  node->dim = a.dim;
  node->alpha = alpha;
  return node;
}

}  // namespace

Tensor int64_index(const char* op, const char* argument, const Tensor& index) {
  CCDL_CHECK(
      is_integral(index.dtype(), false), Index, op, ": ", argument, " must be an integer tensor, got ",
      describe(index),
      "; tensors used as indices hold int64 (or int32, int16, int8, uint8) values, convert with .long()");
  NoGradGuard no_grad;
  return to(index, DType::Int64);
}

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index) {
  const SliceArgs a = slice_args("index_select", x, dim, index);
  const IndexPlan plan = slice_plan(x, a.dim, a.index);
  CCDL_CHECK(x.dim() > 0 || a.index.numel() == 1, Index,
             "index_select: index for a 0-d input must have one element, got ", describe(index));
  checked_numel("index_select", plan.sizes);
  Tensor y = empty(x.dim() ? plan.sizes : x.sizes(), x.dtype(), x.device());
  plan.get("index_select", x, x.dim() ? y : alias(y, plan.sizes, plan.strides, y.offset()));
  if (needs_graph(x)) {
    auto node = make_ref<IndexSelectBackward>();
    node->index = SavedTensor(a.index);
    node->sizes = x.sizes();
    node->dim = a.dim;
    record(node, {x}, y);
  }
  return y;
}

Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, Scalar alpha) {
  const SliceArgs a = slice_args("index_add", x, dim, index);
  check_slice_source("index_add", x, a, src);
  const auto node = add_node(x, a, src, alpha);
  Tensor y = [&] {
    NoGradGuard no_grad;
    return clone(x);
  }();
  add_into(y, a, src, alpha, true);
  if (node) record(node, {x, src}, y);
  return y;
}

Tensor index_add_(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, Scalar alpha) {
  const SliceArgs a = slice_args("index_add_", x, dim, index);
  check_slice_source("index_add_", x, a, src);
  autograd::check_inplace("index_add_", x);
  check_no_overlap("index_add_", x, {&index, &src});
  const auto node = add_node(x, a, src, alpha);
  add_into(x, a, src, alpha, false);
  autograd::rebase_history(x, node, {x, src});
  return x;
}

Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  const SliceArgs a = slice_args("index_copy", x, dim, index);
  check_slice_source("index_copy", x, a, src);
  Tensor y = [&] {
    NoGradGuard no_grad;
    return clone(x);
  }();
  slice_plan(y, a.dim, a.index).put("index_copy", y, src, PutMode::Set, true);
  if (needs_graph(x, src)) {
    auto node = make_ref<IndexCopyBackward>();
    node->index = SavedTensor(a.index);
    node->src_sizes = src.sizes();
    node->dim = a.dim;
    record(node, {x, src}, y);
  }
  return y;
}

Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Operand& value) {
  const SliceArgs a = slice_args("index_fill", x, dim, index);
  CCDL_CHECK(!value.is_tensor() || value.tensor.dim() == 0, Shape,
             "index_fill: value must be a number or a 0-d tensor, got ", describe(value.tensor));
  Tensor y, v;
  {
    NoGradGuard no_grad;
    y = clone(x);
    v = value.is_tensor() ? to(value.tensor, x.dtype(), x.device(), false)
                          : full(Dims{}, value.scalar, x.dtype(), x.device());
  }
  IndexPlan plan = slice_plan(y, a.dim, a.index);
  plan.wrap = true;
  plan.put("index_fill", y, v, PutMode::Set, true);
  if (needs_graph(x, value.tensor)) {
    auto node = make_ref<IndexFillBackward>();
    node->index = SavedTensor(a.index);
    node->dim = a.dim;
    record(node, {x, value.tensor}, y);
  }
  return y;
}

Tensor take(const Tensor& x, const Tensor& index) {
  const Tensor i = int64_index("take", "index", index);
  CCDL_CHECK(x.numel() > 0 || i.numel() == 0, Index, "take: cannot take ", i.numel(),
             " elements from an empty tensor ", describe(x));
  return ops::index(reshape(x, Dims{x.numel()}), {i});
}

Tensor put(const Tensor& x, const Tensor& index, const Tensor& src, bool accumulate) {
  const Tensor i = int64_index("put", "index", index);
  CCDL_CHECK(src.numel() == i.numel(), Shape, "put: source must have as many elements as index, got source ",
             src.sizes(), " and index ", i.sizes());
  CCDL_CHECK(src.dtype() == x.dtype(), DType, "put: input and source must have the same dtype, got ",
             dtype_name(x.dtype()), " and ", dtype_name(src.dtype()));
  return reshape(index_put(reshape(x, Dims{x.numel()}), {i}, reshape(src, i.sizes()), accumulate), x.sizes());
}

// ---- advanced indexing ----
namespace {

// Masks become coordinates; all index tensors are broadcast to one shape. Entry k belongs to dimension k.
TensorList expand_indices(const char* op, const Tensor& x, const TensorList& indices) {
  NoGradGuard no_grad;
  TensorList result;
  std::optional<Dims> shape;
  for (size_t k = 0; k < indices.size(); ++k) {
    const Tensor& index = indices[k];
    if (!index.defined()) {
      result.emplace_back();
      continue;
    }
    CCDL_CHECK(is_integral(index.dtype()), Index, op,
               ": tensors used as indices must be integer or bool tensors, got ", describe(index),
               " at position ", k);
    check_same_device(op, {{"input", &x}, {"index", &index}});
    if (index.dtype() == DType::Bool || index.dtype() == DType::UInt8) {
      for (int64_t d = 0; d < index.dim(); ++d) {
        const int64_t at = static_cast<int64_t>(result.size()) + d;
        CCDL_CHECK(at < x.dim() && x.size(at) == index.size(d), Index, op, ": the shape of the mask ",
                   index.sizes(), " at index ", k, " does not match the shape of the indexed tensor ",
                   x.sizes(), " at dimension ", at);
      }
      for (const Tensor& c : nonzero_tuple(index)) result.push_back(c);
    } else {
      result.push_back(to(index, DType::Int64));
    }
  }
  CCDL_CHECK(static_cast<int64_t>(result.size()) <= x.dim(), Index, op,
             ": too many indices for tensor of dimension ", x.dim(), " (got ", result.size(), ")");
  std::ostringstream shapes;
  for (const Tensor& i : result) {
    if (!i.defined()) continue;
    shapes << (shape ? ", " : "") << i.sizes();
    if (!shape) shape = i.sizes();
    const bool fits = [&] {
      try {
        shape = broadcast_shapes(op, *shape, i.sizes());
        return true;
      } catch (const Error&) {
        return false;
      }
    }();
    CCDL_CHECK(fits, Index, op,
               ": shape mismatch: indexing tensors could not be broadcast together with shapes ",
               shapes.str());
  }
  for (Tensor& i : result)
    if (i.defined() && !(i.sizes() == *shape))
      i = alias(i, *shape, expanded_strides(i.sizes(), i.strides(), *shape), i.offset());
  return result;
}

template <class Saved>
TensorList load(const Saved& saved, Node* holder) {
  TensorList out;
  for (const SavedTensor& s : saved) out.push_back(s.defined() ? s.get(holder) : Tensor());
  return out;
}
std::vector<SavedTensor> store(const TensorList& indices) {
  std::vector<SavedTensor> out(indices.size());
  for (size_t i = 0; i < indices.size(); ++i)
    if (indices[i].defined()) out[i] = SavedTensor(indices[i]);
  return out;
}

// dx = zeros.index_put(indices, dy, accumulate)
struct IndexBackward : Node {
  const char* name() const override { return "IndexBackward"; }
  std::vector<SavedTensor> indices;
  Dims sizes;
  TensorList apply(const TensorList& g) override {
    const DType t = g[0].dtype(), wide = sum_dtype(t);
    return {to(index_put_(zeros(sizes, wide, g[0].device()), load(indices, this), to(g[0], wide), true), t)};
  }
  void release_saved() override {
    for (auto& s : indices) s.reset();
  }
};

// dx = dy (accumulate) or dy with zeros at the indices, dvalues = dy[indices]
struct IndexPutBackward : Node {
  const char* name() const override { return "IndexPutBackward"; }
  std::vector<SavedTensor> indices;
  bool accumulate = false;
  TensorList apply(const TensorList& g) override {
    const TensorList i = load(indices, this);
    Tensor dx = needs(0) ? g[0] : Tensor();
    if (needs(0) && !accumulate) dx = index_put(g[0], i, zeros(Dims{}, g[0].dtype(), g[0].device()));
    return {dx, needs(1) ? ops::index(g[0], i) : Tensor()};
  }
  void release_saved() override {
    for (auto& s : indices) s.reset();
  }
};

void check_put(const char* op, const Tensor& x, const Tensor& values, const IndexPlan& plan) {
  CCDL_CHECK(values.dtype() == x.dtype(), DType, op, ": the source and destination dtypes must match, got ",
             dtype_name(x.dtype()), " for input and ", dtype_name(values.dtype()), " for values");
  check_same_device(op, {{"input", &x}, {"values", &values}});
  CCDL_CHECK(is_expandable_to(values.sizes(), plan.sizes), Shape, op,
             ": shape mismatch: value tensor of shape ", values.sizes(),
             " cannot be broadcast to indexing result of shape ", plan.sizes);
}

void put_into(const char* op, const Tensor& y, const TensorList& indices, const IndexPlan& plan,
              const Tensor& values, bool accumulate, bool fresh) {
  NoGradGuard no_grad;
  const DType t = accumulate ? sum_dtype(y.dtype()) : y.dtype();
  if (t == y.dtype())
    return plan.put(op, y, apart(values, y), accumulate ? PutMode::Add : PutMode::Set, fresh);
  const Tensor sums = to(y, t);
  advanced_plan(op, sums, indices).put(op, sums, to(values, t), PutMode::Add, true);
  copy_(y, sums);
}

Ref<IndexPutBackward> put_node(const Tensor& x, const TensorList& indices, const Tensor& values,
                               bool accumulate) {
  if (!needs_graph(x, values)) return {};
  auto node = make_ref<IndexPutBackward>();
  node->indices = store(indices);
  node->accumulate = accumulate;
  return node;
}

}  // namespace

Tensor index(const Tensor& x, const TensorList& raw) {
  if (raw.size() == 1 && raw[0].defined() && raw[0].dtype() == DType::Bool && raw[0].sizes() == x.sizes() &&
      x.dim() > 0)
    return masked_select(x, raw[0]);  // the same elements in the same order, without coordinates
  const TensorList indices = expand_indices("index", x, raw);
  const IndexPlan plan = advanced_plan("index", x, indices);
  checked_numel("index", plan.sizes);
  Tensor y = empty(plan.sizes, x.dtype(), x.device());
  plan.get("index", x, y);
  if (needs_graph(x)) {
    auto node = make_ref<IndexBackward>();
    node->indices = store(indices);
    node->sizes = x.sizes();
    record(node, {x}, y);
  }
  return y;
}

Tensor index_put(const Tensor& x, const TensorList& raw, const Tensor& values, bool accumulate) {
  const TensorList indices = expand_indices("index_put", x, raw);
  check_put("index_put", x, values, advanced_plan("index_put", x, indices));
  const auto node = put_node(x, indices, values, accumulate);
  Tensor y = [&] {
    NoGradGuard no_grad;
    return clone(x);
  }();
  put_into("index_put", y, indices, advanced_plan("index_put", y, indices), values, accumulate, true);
  if (node) record(node, {x, values}, y);
  return y;
}

Tensor index_put_(const Tensor& x, const TensorList& raw, const Tensor& values, bool accumulate) {
  const TensorList indices = expand_indices("index_put_", x, raw);
  const IndexPlan plan = advanced_plan("index_put_", x, indices);
  check_put("index_put_", x, values, plan);
  autograd::check_inplace("index_put_", x);
  const auto node = put_node(x, indices, values, accumulate);
  put_into("index_put_", x, indices, plan, values, accumulate, false);
  autograd::rebase_history(x, node, {x, values});
  return x;
}

}  // namespace ccdl::ops
