// Roll, flip, repeat, triangles and diagonals.
#include <ccdl/ops/shape.h>

#include <ccdl/kernels/index.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// dx = dy rolled back
struct RollBackward : Node {
  const char* name() const override { return "RollBackward"; }
  Dims shifts, dims;
  TensorList apply(const TensorList& g) override {
    Dims back = shifts;
    for (size_t i = 0; i < back.size(); ++i) {
      const int64_t n = g[0].size(dims[i]);
      back[i] = n - shifts[i];
    }
    return {roll(g[0], back, dims)};
  }
};

// dx = dy flipped again
struct FlipBackward : Node {
  const char* name() const override { return "FlipBackward"; }
  Dims dims;
  TensorList apply(const TensorList& g) override { return {flip(g[0], dims)}; }
};

// dx = the same triangle of dy
struct TriangleBackward : Node {
  const char* name() const override { return upper ? "TriuBackward" : "TrilBackward"; }
  int64_t diagonal = 0;
  bool upper = false;
  TensorList apply(const TensorList& g) override {
    return {upper ? triu(g[0], diagonal) : tril(g[0], diagonal)};
  }
};

// dx = the diagonal of dy
struct DiagEmbedBackward : Node {
  const char* name() const override { return "DiagEmbedBackward"; }
  int64_t offset = 0, dim1 = 0, dim2 = 1;
  TensorList apply(const TensorList& g) override { return {diagonal(g[0], offset, dim1, dim2)}; }
};

Tensor triangle_op(const char* op, const Tensor& x, int64_t diagonal, bool upper) {
  CCDL_CHECK(x.dim() >= 2, Shape, op, ": input tensor must have at least 2 dimensions, got ", describe(x));
  Tensor y = empty_like(x);
  if (x.numel() > 0) CCDL_KERNEL(x, triangle(x.view(), diagonal, upper, y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<TriangleBackward>();
    node->diagonal = diagonal;
    node->upper = upper;
    record(node, {x}, y);
  }
  return y;
}

}  // namespace

Tensor roll(const Tensor& x, IntSpan shifts_, IntSpan dims_) {
  CCDL_CHECK(!shifts_.empty(), Value, "roll: `shifts` required");
  if (dims_.empty() && shifts_.size() == 1)
    return reshape(roll(reshape(x, Dims{x.numel()}), shifts_, Dims{0}), x.sizes());
  CCDL_CHECK(shifts_.size() == dims_.size(), Shape, "roll: shifts and dimensions must align, got ",
             shifts_.size(), " shifts and ", dims_.size(), " dims");
  Dims total(x.sizes().size(), 0), dims;
  for (size_t i = 0; i < dims_.size(); ++i) {
    CCDL_CHECK(x.dim() > 0, Index, "roll: dimension specified as ", dims_[i],
               " but tensor has no dimensions");
    const int64_t d = wrap_dim("roll", dims_[i], x.dim());
    dims.push_back(d);
    const auto at = static_cast<size_t>(d);
    const int64_t n = std::max<int64_t>(x.size(d), 1);
    total[at] = ((total[at] + shifts_[i] % n) % n + n) % n;
  }
  if (x.dim() == 0) return clone(x);
  Tensor y = empty_like(x);
  CCDL_KERNEL(x, roll(x.view(), total.data(), y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<RollBackward>();
    for (int64_t d = 0; d < x.dim(); ++d) {
      node->dims.push_back(d);
      node->shifts.push_back(total[static_cast<size_t>(d)]);
    }
    record(node, {x}, y);
  }
  return y;
}

Tensor flip(const Tensor& x, IntSpan dims_) {
  const Dims dims = wrap_dims("flip", dims_, x.dim());
  bool flipped[kMaxDims] = {};
  if (x.dim() > 0)
    for (int64_t d : dims) flipped[d] = true;
  Tensor y = empty_like(x);
  CCDL_KERNEL(x, flip(x.view(), flipped, y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<FlipBackward>();
    node->dims = dims;
    record(node, {x}, y);
  }
  return y;
}

Tensor rot90(const Tensor& x, int64_t k, IntSpan dims_) {
  const Dims dims = wrap_dims("rot90", dims_, x.dim());
  CCDL_CHECK(dims.size() == 2, Runtime,
             "rot90: expected total rotation dims == 2, but got dims = ", dims.size());
  CCDL_CHECK(x.dim() >= 2, Runtime, "rot90: expected total dims >= 2, but got total dims = ", x.dim());
  switch (((k % 4) + 4) % 4) {
    case 1:
      return transpose(flip(x, Dims{dims[1]}), dims[0], dims[1]);
    case 2:
      return flip(x, dims);
    case 3:
      return transpose(flip(x, Dims{dims[0]}), dims[0], dims[1]);
    default:
      return clone(x, MemoryFormat::Contiguous);
  }
}

Tensor repeat(const Tensor& x, IntSpan repeats_) {
  const Dims repeats(repeats_);
  CCDL_CHECK(repeats.ndim() >= x.dim(), Runtime,
             "repeat: Number of dimensions of repeat dims can not be smaller than number of ",
             "dimensions of tensor, got repeats ", repeats, " for input ", x.sizes());
  const size_t lead = repeats.size() - static_cast<size_t>(x.dim());
  Dims result, split, shown;  // x as [1, s] pairs, shown as [r, s]
  for (size_t i = 0; i < repeats.size(); ++i) {
    const int64_t r = repeats[i], s = i < lead ? 1 : x.size(static_cast<int64_t>(i - lead));
    int64_t size = 0;
    CCDL_CHECK(r >= 0, Runtime, "repeat: Trying to create tensor with negative dimension ", r, " (repeats ",
               repeats, ")");
    CCDL_CHECK(!__builtin_mul_overflow(r, s, &size), Value, "repeat: repeats ", repeats, " of ", x.sizes(),
               " overflow 64 bits");
    result.push_back(size);
    if (r != 1) {
      split.push_back(1);
      shown.push_back(r);
    }
    if (s != 1) {
      split.push_back(s);
      shown.push_back(s);
    }
  }
  checked_numel("repeat", result);
  return reshape(clone(expand(reshape(x, split), shown), MemoryFormat::Contiguous), result);
}

Tensor tile(const Tensor& x, IntSpan repeats) {
  Dims full;
  for (int64_t i = static_cast<int64_t>(repeats.size()); i < x.dim(); ++i) full.push_back(1);
  for (int64_t r : repeats) full.push_back(r);
  return repeat(x, full);
}

Tensor repeat_interleave(const Tensor& x, int64_t repeats, std::optional<int64_t> dim_) {
  CCDL_CHECK(repeats >= 0, Runtime, "repeat_interleave: repeats can not be negative, got ", repeats);
  const Tensor v = dim_ && x.dim() ? x : reshape(x, Dims{x.numel()});
  const int64_t dim = dim_ ? wrap_dim("repeat_interleave", *dim_, x.dim()) : 0;
  Dims shown = v.sizes(), result = v.sizes();
  shown.insert(static_cast<size_t>(dim) + 1, repeats);
  CCDL_CHECK(!__builtin_mul_overflow(v.size(dim), repeats, &result[static_cast<size_t>(dim)]), Value,
             "repeat_interleave: ", repeats, " repeats of ", x.sizes(), " overflow 64 bits");
  checked_numel("repeat_interleave", result);
  return reshape(clone(expand(unsqueeze(v, dim + 1), shown), MemoryFormat::Contiguous), result);
}

Tensor repeat_interleave(const Tensor& x, const Tensor& repeats_, std::optional<int64_t> dim_,
                         std::optional<int64_t> output_size) {
  const Tensor v = dim_ && x.dim() ? x : reshape(x, Dims{x.numel()});
  const int64_t dim = dim_ ? wrap_dim("repeat_interleave", *dim_, x.dim()) : 0;
  Tensor repeats = int64_index("repeat_interleave", "repeats", repeats_);
  CCDL_CHECK(repeats.dim() <= 1, Runtime, "repeat_interleave: repeats must be 0-dim or 1-dim tensor, got ",
             repeats.sizes());
  if (repeats.numel() == 1) repeats = expand(reshape(repeats, Dims{1}), Dims{v.size(dim)});
  CCDL_CHECK(repeats.dim() == 1 && repeats.numel() == v.size(dim), Runtime,
             "repeat_interleave: repeats must have the same size as input along dim ", dim, ", got ",
             repeats.sizes(), " for input ", v.sizes());
  const int64_t n = CCDL_KERNEL(repeats, repeat_count(repeats.view()));
  CCDL_CHECK(n != -1, Runtime, "repeat_interleave: repeats can not be negative");
  CCDL_CHECK(n >= 0, Value, "repeat_interleave: the sum of repeats overflows 64 bits");
  CCDL_CHECK(!output_size || *output_size == n, Runtime,
             "repeat_interleave: allocated size does not match required size: output_size ",
             output_size.value_or(0), ", sum of repeats ", n);
  const Tensor index = empty(Dims{n}, DType::Int64, x.device());
  CCDL_KERNEL(repeats, repeat_index(repeats.view(), index.view()));
  return index_select(v, dim, index);
}

Tensor tril(const Tensor& x, int64_t diagonal) { return triangle_op("tril", x, diagonal, false); }
Tensor triu(const Tensor& x, int64_t diagonal) { return triangle_op("triu", x, diagonal, true); }

Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1_, int64_t dim2_) {
  CCDL_CHECK(x.dim() >= 1, Runtime, "diag_embed: input must have at least one dimension, got a 0-d tensor");
  const int64_t ndim = x.dim() + 1;
  const int64_t dim1 = wrap_dim("diag_embed", dim1_, ndim), dim2 = wrap_dim("diag_embed", dim2_, ndim);
  CCDL_CHECK(dim1 != dim2, Runtime, "diag_embed: diagonal dimensions cannot be identical ", dim1_, ", ",
             dim2_);
  CCDL_CHECK(offset > -(int64_t{1} << 62) && offset < (int64_t{1} << 62), Value,
             "diag_embed: offset out of range: ", offset);
  int64_t n = 0;
  CCDL_CHECK(!__builtin_add_overflow(x.size(-1), offset < 0 ? -offset : offset, &n), Value,
             "diag_embed: offset out of range: ", offset);
  Dims sizes(x.sizes().begin(), x.sizes().end() - 1);
  sizes.insert(static_cast<size_t>(std::min(dim1, dim2)), n);
  sizes.insert(static_cast<size_t>(std::max(dim1, dim2)), n);
  checked_numel("diag_embed", sizes);
  Tensor y = zeros(sizes, x.dtype(), x.device());
  {
    NoGradGuard no_grad;
    copy_(diagonal(y, offset, dim1, dim2), x);
  }
  if (needs_graph(x)) {
    auto node = make_ref<DiagEmbedBackward>();
    node->offset = offset;
    node->dim1 = dim1;
    node->dim2 = dim2;
    record(node, {x}, y);
  }
  return y;
}

Tensor diag(const Tensor& x, int64_t diagonal_) {
  CCDL_CHECK(x.dim() == 1 || x.dim() == 2, Runtime, "diag: Supports 1D or 2D tensors. Got ", x.dim(), "D (",
             describe(x), ")");
  if (x.dim() == 1) return diag_embed(x, diagonal_, 0, 1);
  return clone(diagonal(x, diagonal_, 0, 1), MemoryFormat::Contiguous);
}

Tensor diagflat(const Tensor& x, int64_t offset) {
  return diag_embed(reshape(x, Dims{x.numel()}), offset, 0, 1);
}

}  // namespace ccdl::ops
