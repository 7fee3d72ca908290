// cat and stack, and what is composed of them.
#include <ccdl/ops/create.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

#include <algorithm>

namespace ccdl::ops {
namespace {

// dx_i = the slice of dy that input i became; an empty vector among matrices has an empty gradient
struct CatBackward : Node {
  const char* name() const override { return "CatBackward"; }
  std::vector<int64_t> lengths;  // along dim; -1: skipped input
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    TensorList out(lengths.size());
    int64_t at = 0;
    for (size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] < 0) {
        if (needs(i)) out[i] = zeros(Dims{0}, g[0].dtype(), g[0].device());
        continue;
      }
      if (needs(i)) out[i] = narrow(g[0], dim, at, lengths[i]);
      at += lengths[i];
    }
    return out;
  }
};

// dx_i = dy[.., i, ..]
struct StackBackward : Node {
  const char* name() const override { return "StackBackward"; }
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    TensorList out(next().size());
    for (size_t i = 0; i < out.size(); ++i)
      if (needs(i)) out[i] = select(g[0], dim, static_cast<int64_t>(i));
    return out;
  }
};

DType common_dtype(const char* op, const TensorList& inputs) {
  DType t = inputs[0].dtype();
  bool same = true;
  for (const Tensor& x : inputs) {
    check_same_device(op, {{"tensors[0]", &inputs[0]}, {"tensors[i]", &x}});
    same = same && x.dtype() == t;
  }
  if (same) return t;
  for (const Tensor& x : inputs) t = promote_types(t, x.dtype());
  return t;
}

// Inputs in the common dtype; casts are outside the graph, the engine casts gradients back.
TensorList cast_all(const TensorList& inputs, DType t) {
  NoGradGuard no_grad;
  TensorList out;
  out.reserve(inputs.size());
  for (const Tensor& x : inputs) out.push_back(to(x, t));
  return out;
}

bool skipped(const Tensor& x) { return x.dim() == 1 && x.numel() == 0; }

MemoryFormat common_format(const TensorList& inputs) {
  for (const Tensor& x : inputs)
    if (skipped(x) || x.suggest_memory_format() != MemoryFormat::ChannelsLast)
      return MemoryFormat::Contiguous;
  return MemoryFormat::ChannelsLast;
}

}  // namespace

Tensor cat(const TensorList& inputs, int64_t dim) {
  CCDL_CHECK(!inputs.empty(), Value, "cat: expected a non-empty list of Tensors");
  const Tensor* first = nullptr;  // decides the shape
  for (size_t i = 0; i < inputs.size(); ++i) {
    CCDL_CHECK(inputs[i].dim() > 0, Runtime, "cat: zero-dimensional tensor (at position ", i,
               ") cannot be concatenated");
    if (!first && !skipped(inputs[i])) first = &inputs[i];
  }
  if (!first) first = &inputs[0];
  if (skipped(*first)) dim = 0;  // every input is the empty vector, which fits anywhere
  dim = wrap_dim("cat", dim, first->dim());
  Dims sizes = first->sizes();
  int64_t& total = sizes[static_cast<size_t>(dim)];
  total = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = inputs[i];
    if (skipped(x)) continue;
    CCDL_CHECK(x.dim() == first->dim(), Shape, "cat: Tensors must have same number of dimensions: got ",
               first->dim(), " and ", x.dim());
    for (int64_t d = 0; d < x.dim(); ++d)
      CCDL_CHECK(d == dim || x.size(d) == first->size(d), Shape,
                 "cat: Sizes of tensors must match except in dimension ", dim, ". Expected size ",
                 first->size(d), " but got size ", x.size(d), " for tensor number ", i, " in the list");
    CCDL_CHECK(!__builtin_add_overflow(total, x.size(dim), &total), Value, "cat: the size along dim ", dim,
               " overflows 64 bits");
  }
  checked_numel("cat", sizes);
  const DType t = common_dtype("cat", inputs);
  const TensorList cast = cast_all(inputs, t);
  Tensor y = empty(sizes, t, inputs[0].device(), common_format(inputs));
  std::vector<View> views;
  views.reserve(inputs.size());
  for (const Tensor& x : cast)
    if (!skipped(x)) views.push_back(x.view());
  CCDL_KERNEL(y, cat(views.data(), static_cast<int64_t>(views.size()), static_cast<int>(dim), y.view()));
  if (needs_graph(inputs)) {
    auto node = make_ref<CatBackward>();
    node->dim = dim;
    for (const Tensor& x : inputs) node->lengths.push_back(skipped(x) ? -1 : x.size(dim));
    record(node, inputs, y);
  }
  return y;
}

Tensor stack(const TensorList& inputs, int64_t dim) {
  CCDL_CHECK(!inputs.empty(), Value, "stack: expects a non-empty TensorList");
  const Tensor& first = inputs[0];
  dim = wrap_dim("stack", dim, first.dim() + 1);
  for (size_t i = 1; i < inputs.size(); ++i)
    CCDL_CHECK(inputs[i].sizes() == first.sizes(), Shape,
               "stack: expects each tensor to be equal size, but got ", first.sizes(), " at entry 0 and ",
               inputs[i].sizes(), " at entry ", i);
  const auto at = static_cast<size_t>(dim);
  Dims sizes = first.sizes();
  sizes.insert(at, static_cast<int64_t>(inputs.size()));
  checked_numel("stack", sizes);
  const DType t = common_dtype("stack", inputs);
  const TensorList cast = cast_all(inputs, t);
  Tensor y = empty(sizes, t, first.device());
  std::vector<View> views;
  views.reserve(inputs.size());
  for (const Tensor& x : cast) {
    Dims one = x.sizes(), strides = x.strides();
    one.insert(at, 1);
    strides.insert(at, 1);
    View v = x.view();
    v.ndim = one.ndim();
    for (size_t d = 0; d < one.size(); ++d) v.sizes[d] = one[d], v.strides[d] = strides[d];
    views.push_back(v);
  }
  CCDL_KERNEL(y, cat(views.data(), static_cast<int64_t>(views.size()), static_cast<int>(dim), y.view()));
  if (needs_graph(inputs)) {
    auto node = make_ref<StackBackward>();
    node->dim = dim;
    record(node, inputs, y);
  }
  return y;
}

Tensor atleast(const Tensor& x, int dims) {
  if (x.dim() >= dims) return x;
  if (dims == 1) return reshape(x, Dims{1});
  if (dims == 2) return x.dim() == 0 ? reshape(x, Dims{1, 1}) : unsqueeze(x, 0);
  if (x.dim() == 0) return reshape(x, Dims{1, 1, 1});
  return x.dim() == 1 ? unsqueeze(unsqueeze(x, 0), 2) : unsqueeze(x, 2);
}

namespace {
TensorList all_atleast(const char* op, const TensorList& inputs, int dims) {
  CCDL_CHECK(!inputs.empty(), Value, op, ": expects a non-empty TensorList");
  TensorList out;
  for (const Tensor& x : inputs) out.push_back(atleast(x, dims));
  return out;
}
}  // namespace

Tensor hstack(const TensorList& inputs) {
  const TensorList all = all_atleast("hstack", inputs, 1);
  return cat(all, all[0].dim() == 1 ? 0 : 1);
}
Tensor vstack(const TensorList& inputs) { return cat(all_atleast("vstack", inputs, 2), 0); }
Tensor dstack(const TensorList& inputs) { return cat(all_atleast("dstack", inputs, 3), 2); }

Tensor column_stack(const TensorList& inputs) {
  CCDL_CHECK(!inputs.empty(), Value, "column_stack: expects a non-empty TensorList");
  TensorList all;
  for (const Tensor& x : inputs) all.push_back(x.dim() <= 1 ? reshape(x, Dims{x.numel(), 1}) : x);
  return cat(all, 1);
}

Tensor block_diag(const TensorList& inputs) {
  if (inputs.empty()) return empty(Dims{1, 0}, default_dtype());
  int64_t columns = 0, before = 0;
  TensorList blocks, rows;
  for (size_t i = 0; i < inputs.size(); ++i) {
    CCDL_CHECK(inputs[i].dim() <= 2, Runtime,
               "block_diag: Input tensors must have 2 or fewer dimensions. Input ", i, " has ",
               inputs[i].dim());
    blocks.push_back(atleast(inputs[i], 2));
    columns += blocks.back().size(1);
  }
  const DType t = result_type(inputs);
  for (const Tensor& b : blocks) {
    rows.push_back(pad(to(b, t), Dims{before, columns - before - b.size(1)}));
    before += b.size(1);
  }
  return cat(rows, 0);
}

TensorList broadcast_tensors(const TensorList& inputs) {
  Dims shape;
  for (const Tensor& x : inputs) shape = broadcast_shapes("broadcast_tensors", shape, x.sizes());
  TensorList out;
  for (const Tensor& x : inputs) out.push_back(expand(x, shape));
  return out;
}

TensorList meshgrid(const TensorList& inputs, const std::string& indexing) {
  CCDL_CHECK(!inputs.empty(), Runtime, "meshgrid: expects a non-empty TensorList");
  CCDL_CHECK(indexing == "ij" || indexing == "xy", Runtime,
             "meshgrid: indexing must be one of \"xy\" or \"ij\", but received: ", indexing);
  TensorList axes = inputs;
  const bool swap = indexing == "xy" && axes.size() > 1;
  if (swap) std::swap(axes[0], axes[1]);
  Dims shape;
  for (const Tensor& a : axes) {
    CCDL_CHECK(a.dim() <= 1, Runtime,
               "meshgrid: Expected 0D or 1D tensor in the tensor list but got: ", describe(a));
    CCDL_CHECK(a.dtype() == axes[0].dtype(), DType,
               "meshgrid: expects all tensors to have the same dtype, got ", dtype_name(axes[0].dtype()),
               " and ", dtype_name(a.dtype()));
    shape.push_back(a.numel());
  }
  checked_numel("meshgrid", shape);
  TensorList out;
  for (size_t i = 0; i < axes.size(); ++i) {
    Dims view(shape.size(), 1);
    view[i] = shape[i];
    out.push_back(expand(reshape(axes[i], view), shape));
  }
  if (swap) std::swap(out[0], out[1]);
  return out;
}

Tensor cartesian_prod(const TensorList& inputs) {
  for (const Tensor& x : inputs)
    CCDL_CHECK(x.dim() == 1, Runtime, "cartesian_prod: Expect a 1D vector, but got shape ", x.sizes());
  if (inputs.size() == 1) return inputs[0];
  TensorList flat;
  for (const Tensor& g : meshgrid(inputs)) flat.push_back(reshape(g, Dims{g.numel()}));
  return stack(flat, 1);
}

Tensor combinations(const Tensor& x, int64_t r, bool with_replacement) {
  CCDL_CHECK(x.dim() == 1, Runtime, "combinations: Expect a 1D vector, but got shape ", x.sizes());
  CCDL_CHECK(r >= 0, Runtime, "combinations: Expect a non-negative number, but got ", r);
  if (r == 0) return empty(Dims{0}, x.dtype(), x.device());
  const int64_t n = x.numel();
  const bool any = n > 0 && (with_replacement || r <= n);
  // The number of rows, before anything is allocated for them: C(n, r) or C(n + r - 1, r) of the shorter
  // side.
  const double top = static_cast<double>(n) + (with_replacement ? static_cast<double>(r) - 1 : 0);
  const int64_t factors = any ? std::min(r, with_replacement ? n - 1 : n - r) : 0;
  double expected = 1;
  for (int64_t i = 0; i < factors && expected < 1e12; ++i)
    expected *= (top - static_cast<double>(i)) / static_cast<double>(i + 1);
  CCDL_CHECK(!any || expected * static_cast<double>(r) < 1e9, Memory, "combinations: choosing ", r, " of ", n,
             " elements gives more than 1e9 indices");
  std::vector<int64_t> rows, at(any ? static_cast<size_t>(r) : 0);
  for (size_t i = 0; i < at.size(); ++i) at[i] = with_replacement ? 0 : static_cast<int64_t>(i);
  while (any) {
    rows.insert(rows.end(), at.begin(), at.end());
    int64_t i = r - 1;  // the last place that can still advance
    while (i >= 0 && at[static_cast<size_t>(i)] == (with_replacement ? n - 1 : n - r + i)) --i;
    if (i < 0) break;
    const int64_t next = ++at[static_cast<size_t>(i)];
    for (int64_t j = i + 1; j < r; ++j) at[static_cast<size_t>(j)] = with_replacement ? next : next + j - i;
  }
  const int64_t count = static_cast<int64_t>(rows.size()) / r;
  Tensor picks = empty(Dims{count * r}, DType::Int64);
  std::copy(rows.begin(), rows.end(), picks.ptr<int64_t>());
  return reshape(index_select(x, 0, to(picks, DType::Int64, x.device(), false)), Dims{count, r});
}

}  // namespace ccdl::ops
