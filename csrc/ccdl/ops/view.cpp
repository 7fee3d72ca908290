// Views: geometry is computed here, data never moves. Each records how its gradient goes back.
#include <ccdl/ops/view.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>

namespace ccdl::ops {

using autograd::make_view;
using autograd::Meta;

namespace {

// dx = dy reshaped like x
struct ReshapeBackward : Node {
  explicit ReshapeBackward(const Dims& s) : sizes(s) {}
  const char* name() const override { return "ViewBackward"; }
  Dims sizes;
  TensorList apply(const TensorList& g) override { return {reshape(g[0], sizes)}; }
};

// dx = dy with the dims put back
struct PermuteBackward : Node {
  explicit PermuteBackward(const Dims& d) : dims(d) {}
  const char* name() const override { return "PermuteBackward"; }
  Dims dims;
  TensorList apply(const TensorList& g) override {
    Dims inverse(dims.size(), 0);
    for (size_t i = 0; i < dims.size(); ++i) inverse[dims[i]] = static_cast<int64_t>(i);
    return {permute(g[0], inverse)};
  }
};

// dx = dy; the engine sums expanded dims and casts
struct IdentityBackward : Node {
  explicit IdentityBackward(const char* n) : name_(n) {}
  const char* name() const override { return name_; }
  const char* name_;
  TensorList apply(const TensorList& g) override { return {g[0]}; }
};

// dx = zeros like x with dy in the window that the view showed
struct WindowBackward : Node {
  WindowBackward(const char* n, const Dims& s, std::function<Tensor(const Tensor&)> w)
      : name_(n), sizes(s), window(std::move(w)) {}
  const char* name() const override { return name_; }
  const char* name_;
  Dims sizes;
  std::function<Tensor(const Tensor&)> window;
  TensorList apply(const TensorList& g) override {
    Tensor dx = zeros(sizes, g[0].dtype(), g[0].device());
    copy_(window(dx), g[0]);
    return {dx};
  }
};

Tensor window_view(const char* name, const Tensor& x, const Tensor& out,
                   std::function<Tensor(const Tensor&)> window,
                   Meta::ViewKind kind = Meta::ViewKind::Single) {
  Ref<Node> node;
  if (needs_graph(x)) node = make_ref<WindowBackward>(name, x.sizes(), std::move(window));
  return make_view(x, out, node, kind);
}

Tensor reshape_view(const Tensor& x, const Dims& sizes, const Dims& strides) {
  return make_view(x, alias(x, sizes, strides, x.offset()),
                   needs_graph(x) ? make_ref<ReshapeBackward>(x.sizes()) : Ref<ReshapeBackward>());
}

}  // namespace

Tensor view(const Tensor& x, IntSpan shape) {
  const Dims sizes = infer_size("view", shape, x.numel());
  Dims strides;
  CCDL_CHECK(view_strides(x.sizes(), x.strides(), sizes, &strides), Shape,
             "view: view size is not compatible with input tensor's size and stride (sizes ", x.sizes(),
             ", strides ", x.strides(), ", asked ", sizes,
             "): at least one dimension spans across two contiguous subspaces; use .reshape(...) instead");
  return reshape_view(x, sizes, strides);
}

Tensor reshape(const Tensor& x, IntSpan shape) {
  const Dims sizes = infer_size("reshape", shape, x.numel());
  Dims strides;
  if (view_strides(x.sizes(), x.strides(), sizes, &strides)) return reshape_view(x, sizes, strides);
  return view(clone(x, MemoryFormat::Contiguous), sizes);
}

Tensor flatten(const Tensor& x, int64_t start, int64_t end) {
  if (x.dim() == 0) return reshape(x, Dims{1});
  start = wrap_dim("flatten", start, x.dim());
  end = wrap_dim("flatten", end, x.dim());
  CCDL_CHECK(start <= end, Runtime,
             "flatten: flatten() has invalid args: start_dim cannot come after end_dim (", start, " > ", end,
             ")");
  if (start == end) return x;
  Dims sizes;
  int64_t n = 1;
  for (int64_t d = 0; d < x.dim(); ++d) {
    if (d < start || d > end)
      sizes.push_back(x.size(d));
    else {
      n *= x.size(d);
      if (d == end) sizes.push_back(n);
    }
  }
  return reshape(x, sizes);
}

Tensor unflatten(const Tensor& x, int64_t dim, IntSpan sizes) {
  dim = wrap_dim("unflatten", dim, x.dim());
  CCDL_CHECK(!sizes.empty(), Runtime, "unflatten: sizes must be non-empty");
  const Dims inner = infer_size("unflatten", sizes, x.dim() ? x.size(dim) : 1);
  Dims out;
  for (int64_t d = 0; d < x.dim(); ++d) {
    if (d != dim)
      out.push_back(x.size(d));
    else
      for (int64_t s : inner) out.push_back(s);
  }
  return view(x, out);
}

Tensor permute(const Tensor& x, IntSpan dims) {
  CCDL_CHECK(static_cast<int64_t>(dims.size()) == x.dim(), Shape,
             "permute: permute(sparse_coo): number of dimensions in the tensor input (", x.dim(),
             ") does not match the length of the desired ordering of dimensions ", Dims(dims));
  const Dims order = wrap_dims("permute", dims, x.dim());
  Dims sizes(order.size(), 0), strides(order.size(), 0);
  for (size_t i = 0; i < order.size(); ++i) {
    sizes[i] = x.size(order[i]);
    strides[i] = x.stride(order[i]);
  }
  return make_view(x, alias(x, sizes, strides, x.offset()),
                   needs_graph(x) ? make_ref<PermuteBackward>(order) : Ref<PermuteBackward>());
}

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  dim0 = wrap_dim("transpose", dim0, x.dim());
  dim1 = wrap_dim("transpose", dim1, x.dim());
  Dims order;
  for (int64_t d = 0; d < x.dim(); ++d) order.push_back(d);
  if (x.dim()) std::swap(order[dim0], order[dim1]);
  return permute(x, order);
}

Tensor t(const Tensor& x) {
  CCDL_CHECK(x.dim() <= 2, Runtime, "t: t() expects a tensor with <= 2 dimensions, but self is ", x.dim(),
             "D; use .transpose or .mT");
  return x.dim() < 2 ? identity_view(x) : transpose(x, 0, 1);
}

Tensor adjoint(const Tensor& x) {
  if (x.dim() == 0) return identity_view(x);
  CCDL_CHECK(x.dim() >= 2, Runtime,
             "mT: tensor.mT is only supported on matrices or batches of matrices. Got ", x.dim(),
             "-D tensor");
  return transpose(x, -2, -1);
}

Tensor movedim(const Tensor& x, IntSpan source, IntSpan destination) {
  CCDL_CHECK(source.size() == destination.size(), Shape,
             "movedim: Invalid source or destination dims: source (", Dims(source),
             " dims) should contain the same number of dims as destination (", Dims(destination), " dims)");
  const Dims src = wrap_dims("movedim", source, x.dim()), dst = wrap_dims("movedim", destination, x.dim());
  Dims order(static_cast<size_t>(x.dim()), -1);
  for (size_t i = 0; i < src.size(); ++i) order[dst[i]] = src[i];
  int64_t next = 0;
  for (int64_t& o : order) {
    if (o >= 0) continue;
    while (std::find(src.begin(), src.end(), next) != src.end()) ++next;
    o = next++;
  }
  return permute(x, order);
}

Tensor expand(const Tensor& x, IntSpan shape) {
  CCDL_CHECK(static_cast<int64_t>(shape.size()) >= x.dim(), Shape, "expand: the number of sizes provided (",
             shape.size(), ") must be greater or equal to the number of dimensions in the tensor (", x.dim(),
             ")");
  Dims sizes(shape);
  const size_t lead = sizes.size() - static_cast<size_t>(x.dim());
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t have = i < lead ? 1 : x.size(static_cast<int64_t>(i - lead));
    if (sizes[i] == -1) {
      CCDL_CHECK(
          i >= lead, Shape,
          "expand: the expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension ",
          i);
      sizes[i] = have;
    }
    CCDL_CHECK(sizes[i] == have || have == 1, Shape, "expand: The expanded size of the tensor (", sizes[i],
               ") must match the existing size (", have, ") at non-singleton dimension ", i,
               ". Target sizes: ", Dims(shape), ". Tensor sizes: ", x.sizes());
  }
  checked_numel("expand", sizes);
  Dims strides = expanded_strides(x.sizes(), x.strides(), sizes);
  for (size_t i = lead; i-- > 0;)  // a new dim of size 1 lies over the next one
    if (sizes[i] == 1) strides[i] = i + 1 < sizes.size() ? sizes[i + 1] * strides[i + 1] : 1;
  return make_view(x, alias(x, sizes, strides, x.offset()),
                   needs_graph(x) ? make_ref<IdentityBackward>("ExpandBackward") : Ref<IdentityBackward>());
}

Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  CCDL_CHECK(x.dim() > 0, Runtime, "narrow: narrow() cannot be applied to a 0-dim tensor.");
  dim = wrap_dim("narrow", dim, x.dim());
  const int64_t n = x.size(dim);
  CCDL_CHECK(length >= 0, Runtime, "narrow: narrow(): length must be non-negative, got ", length);
  CCDL_CHECK(start >= -n && start <= n, Index, "narrow: start (", start, ") is out of range [", -n, ", ", n,
             "]");
  if (start < 0) start += n;
  CCDL_CHECK(start <= n - length, Runtime, "narrow: start (", start, ") + length (", length,
             ") exceeds dimension size (", n, ").");
  return slice(x, dim, start, start + length, 1);
}

Tensor slice(const Tensor& x, int64_t dim, std::optional<int64_t> start_, std::optional<int64_t> end_,
             int64_t step) {
  CCDL_CHECK(x.dim() > 0, Index, "slice: slice() cannot be applied to a 0-dim tensor.");
  dim = wrap_dim("slice", dim, x.dim());
  CCDL_CHECK(step > 0, Value, "slice: slice step must be positive, got ", step, "; use flip() to reverse");
  const int64_t n = x.size(dim);
  int64_t start = start_.value_or(0), end = end_.value_or(INT64_MAX);
  if (start < 0) start += n;
  if (end < 0) end += n;
  start = std::clamp<int64_t>(start, 0, n);
  end = std::clamp<int64_t>(end, start, n);
  const int64_t length = (end - start) / step + ((end - start) % step != 0);
  Dims sizes = x.sizes(), strides = x.strides();
  sizes[dim] = length;
  if (length > 1 || step == 1)
    strides[dim] *= length > 1 ? step : 1;
  else if (length == 1 && step < (INT64_MAX >> 8) / std::max<int64_t>(strides[dim], 1))
    strides[dim] *= step;
  const int64_t offset = length > 0 ? start * x.stride(dim) : 0;
  return window_view("SliceBackward", x, alias(x, sizes, strides, x.offset() + offset),
                     [=](const Tensor& z) { return slice(z, dim, start, end, step); });
}

Tensor select(const Tensor& x, int64_t dim, int64_t index) {
  CCDL_CHECK(x.dim() > 0, Index, "select: select() cannot be applied to a 0-dim tensor.");
  dim = wrap_dim("select", dim, x.dim());
  const int64_t n = x.size(dim);
  CCDL_CHECK(index >= -n && index < n, Index, "select: index ", index, " is out of bounds for dimension ",
             dim, " with size ", n);
  if (index < 0) index += n;
  Dims sizes = x.sizes(), strides = x.strides();
  sizes.erase(dim);
  strides.erase(dim);
  const Tensor out = alias(x, sizes, strides, x.offset() + index * x.stride(dim));
  if (!needs_graph(x)) return make_view(x, out, {});
  return window_view("SelectBackward", x, out, [=](const Tensor& z) { return select(z, dim, index); });
}

Tensor squeeze(const Tensor& x) {
  Dims sizes, strides;
  for (int64_t d = 0; d < x.dim(); ++d)
    if (x.size(d) != 1) {
      sizes.push_back(x.size(d));
      strides.push_back(x.stride(d));
    }
  return reshape_view(x, sizes, strides);
}

Tensor squeeze(const Tensor& x, IntSpan dims) {
  const Dims drop = wrap_dims("squeeze", dims, x.dim());
  Dims sizes, strides;
  for (int64_t d = 0; d < x.dim(); ++d)
    if (x.size(d) != 1 || std::find(drop.begin(), drop.end(), d) == drop.end()) {
      sizes.push_back(x.size(d));
      strides.push_back(x.stride(d));
    }
  return reshape_view(x, sizes, strides);
}

Tensor unsqueeze(const Tensor& x, int64_t dim) {
  dim = wrap_dim("unsqueeze", dim, x.dim() + 1);
  Dims sizes = x.sizes(), strides = x.strides();
  const int64_t stride = dim < x.dim() ? x.size(dim) * x.stride(dim) : 1;
  sizes.insert(dim, 1);
  strides.insert(dim, stride);
  return reshape_view(x, sizes, strides);
}

Tensor diagonal(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  dim1 = wrap_dim("diagonal", dim1, x.dim());
  dim2 = wrap_dim("diagonal", dim2, x.dim());
  CCDL_CHECK(x.dim() >= 2 && dim1 != dim2, Runtime, "diagonal: diagonal dimensions cannot be identical ",
             dim1, ", ", dim2);
  const int64_t rows = x.size(dim1), cols = x.size(dim2);
  int64_t length = 0, at = x.offset();
  if (offset >= 0 && offset < cols) {
    length = std::min(rows, cols - offset);
    if (length > 0) at += offset * x.stride(dim2);
  } else if (offset < 0 && offset > -rows) {
    length = std::min(rows + offset, cols);
    if (length > 0) at -= offset * x.stride(dim1);
  }
  Dims sizes, strides;
  for (int64_t d = 0; d < x.dim(); ++d)
    if (d != dim1 && d != dim2) {
      sizes.push_back(x.size(d));
      strides.push_back(x.stride(d));
    }
  sizes.push_back(std::max<int64_t>(length, 0));
  strides.push_back(x.stride(dim1) + x.stride(dim2));
  return window_view("DiagonalBackward", x, alias(x, sizes, strides, at),
                     [=](const Tensor& z) { return diagonal(z, offset, dim1, dim2); });
}

Tensor identity_view(const Tensor& x) {
  return make_view(x, alias(x, x.sizes(), x.strides(), x.offset()),
                   needs_graph(x) ? make_ref<IdentityBackward>("AliasBackward") : Ref<IdentityBackward>());
}

Tensor detach(const Tensor& x) { return autograd::detach(x); }

Tensor view_as_dtype(const Tensor& x, DType dtype) {
  const int64_t from = item_size(x.dtype()), to_size = item_size(dtype);
  Dims sizes = x.sizes(), strides = x.strides();
  int64_t offset = x.offset();
  if (from != to_size) {
    CCDL_CHECK(x.dim() > 0 && (x.stride(-1) == 1 || x.size(-1) <= 1), Runtime,
               "view(dtype): self.stride(-1) must be 1 to view ", describe(x), " as ", dtype_name(dtype));
    int64_t bytes = sizes.back() * from;
    CCDL_CHECK(bytes % to_size == 0 && (offset * from) % to_size == 0, Runtime,
               "view(dtype): the last dimension (", sizes.back(), " elements of ", from,
               " bytes) is not a multiple of ", to_size, " bytes");
    sizes.back() = bytes / to_size;
    for (size_t d = 0; d + 1 < strides.size(); ++d) {
      CCDL_CHECK((strides[d] * from) % to_size == 0, Runtime, "view(dtype): stride ", strides[d],
                 " does not fit elements of ", to_size, " bytes");
      strides[d] = strides[d] * from / to_size;
    }
    offset = offset * from / to_size;
  }
  auto impl = make_ref<TensorImpl>(x.storage(), sizes, strides, offset, dtype);
  impl->own_version = x.impl()->own_version;
  return Tensor(std::move(impl));
}

// ---- several views at once ----

namespace {

// dx = the gradients of the pieces side by side, zeros where nothing flowed back
struct PiecesBackward : Node {
  PiecesBackward(const char* n, const Tensor& x, int64_t d, bool u)
      : name_(n), sizes(x.sizes()), dim(d), unbound(u) {}
  const char* name() const override { return name_; }
  const char* name_;
  Dims sizes;
  int64_t dim;
  bool unbound;                  // pieces without the dim
  std::vector<int64_t> lengths;  // of the pieces along it
  TensorList apply(const TensorList& g) override {
    size_t some = 0, flowed = 0;
    for (size_t i = 0; i < g.size(); ++i)
      if (g[i].defined()) some = i, ++flowed;
    TensorList parts(g.begin(), g.end());
    parts.resize(lengths.size());
    if (4 * flowed < parts.size()) {  // most are zeros
      Tensor dx = zeros(sizes, g[some].dtype(), g[some].device());
      int64_t start = 0;
      for (size_t i = 0; i < parts.size(); start += lengths[i++])
        if (parts[i].defined())
          copy_(unbound ? select(dx, dim, start) : narrow(dx, dim, start, lengths[i]), parts[i]);
      return {dx};
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].defined()) continue;
      Dims missing = sizes;
      if (unbound)
        missing.erase(dim);
      else
        missing[dim] = lengths[i];
      parts[i] = zeros(missing, g[some].dtype(), g[some].device());
    }
    return {unbound ? stack(parts, dim) : cat(parts, dim)};
  }
};

// The pieces of x, which cover it, as outputs of one node.
class Pieces {
 public:
  Pieces(const char* name, const Tensor& x, int64_t dim, bool unbound)
      : x_(x), sizes_(x.sizes()), strides_(x.strides()), dim_(dim), unbound_(unbound) {
    if (needs_graph(x)) node_ = make_ref<PiecesBackward>(name, x, dim, unbound);
    if (!unbound) return;
    sizes_.erase(dim);
    strides_.erase(dim);
  }
  void add(int64_t length) {
    if (!unbound_) sizes_[dim_] = length;
    out_.push_back(
        make_view(x_, alias(x_, sizes_, strides_, x_.offset() + (length ? start_ * x_.stride(dim_) : 0)),
                  Ref<Node>(), Meta::ViewKind::Multi));
    if (node_) node_->lengths.push_back(length);
    start_ += length;
  }
  TensorList take() {
    if (node_ && !out_.empty()) autograd::record(node_.get(), {x_}, out_);
    return std::move(out_);
  }

 private:
  const Tensor& x_;
  Dims sizes_, strides_;
  int64_t dim_, start_ = 0;
  bool unbound_;
  Ref<PiecesBackward> node_;
  TensorList out_;
};

Tensor piece(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  Dims sizes = x.sizes();
  sizes[dim] = length;
  return window_view(
      "SplitBackward", x, alias(x, sizes, x.strides(), x.offset() + (length ? start * x.stride(dim) : 0)),
      [=](const Tensor& z) { return narrow(z, dim, start, length); }, Meta::ViewKind::Multi);
}
}  // namespace

void check_pieces(const char* op, int64_t pieces) {
  constexpr int64_t kMaxPieces = int64_t{1} << 24;
  CCDL_CHECK(pieces <= kMaxPieces, Memory, op, ": would make ", pieces, " tensors; at most ", kMaxPieces,
             " are made by one call");
}

TensorList split(const Tensor& x, int64_t size, int64_t dim) {
  CCDL_CHECK(x.dim() > 0, Runtime, "split: split expects at least a 1-dimensional tensor");
  dim = wrap_dim("split", dim, x.dim());
  const int64_t n = x.size(dim);
  CCDL_CHECK(size >= 0, Runtime,
             "split: split expects split_size be non-negative, but got split_size=", size);
  CCDL_CHECK(size > 0 || n == 0, Runtime,
             "split: split_size can only be 0 if dimension size is 0, but got dimension size of ", n);
  if (n == 0) return {piece(x, dim, 0, 0)};
  check_pieces("split", (n - 1) / size + 1);
  Pieces pieces("SplitBackward", x, dim, false);
  for (int64_t start = 0; start < n; start += std::min(size, n - start))
    pieces.add(std::min(size, n - start));
  return pieces.take();
}

TensorList split_with_sizes(const Tensor& x, IntSpan sizes, int64_t dim) {
  CCDL_CHECK(x.dim() > 0, Runtime, "split_with_sizes: expects at least a 1-dimensional tensor");
  dim = wrap_dim("split_with_sizes", dim, x.dim());
  Pieces pieces("SplitBackward", x, dim, false);
  int64_t start = 0;
  for (int64_t s : sizes) {
    CCDL_CHECK(s >= 0 && s <= x.size(dim) - start, Runtime,
               "split_with_sizes: expects split_sizes to sum exactly to ", x.size(dim),
               " (input tensor's size at dimension ", dim, ") with non-negative entries, got an entry of ",
               s);
    pieces.add(s);
    start += s;
  }
  CCDL_CHECK(start == x.size(dim), Runtime,
             "split_with_sizes: split_with_sizes expects split_sizes to sum exactly to ", x.size(dim),
             " (input tensor's size at dimension ", dim, "), but the sum is ", start);
  return pieces.take();
}

TensorList chunk(const Tensor& x, int64_t chunks, int64_t dim) {
  CCDL_CHECK(x.dim() > 0, Runtime, "chunk: chunk expects at least a 1-dimensional tensor");
  CCDL_CHECK(chunks > 0, Runtime, "chunk: chunk expects `chunks` to be greater than 0, got: ", chunks);
  dim = wrap_dim("chunk", dim, x.dim());
  const int64_t size = (x.size(dim) - 1) / chunks + 1;
  if (x.size(dim) == 0) {
    check_pieces("chunk", chunks);
    TensorList out;
    for (int64_t i = 0; i < chunks; ++i) out.push_back(piece(x, dim, 0, 0));
    return out;
  }
  return split(x, size, dim);
}

TensorList tensor_split(const Tensor& x, IntSpan borders, int64_t dim) {
  CCDL_CHECK(x.dim() > 0, Runtime, "tensor_split: expected at least a 1-dimensional tensor");
  dim = wrap_dim("tensor_split", dim, x.dim());
  TensorList out;
  int64_t start = 0;
  auto clamp_border = [&](int64_t b) {
    return std::clamp<int64_t>(b < 0 ? b + x.size(dim) : b, 0, x.size(dim));
  };
  for (int64_t b : borders) {
    const int64_t end = clamp_border(b);
    out.push_back(piece(x, dim, std::min(start, x.size(dim)), std::max<int64_t>(end - start, 0)));
    start = end;
  }
  out.push_back(piece(x, dim, start, x.size(dim) - start));
  return out;
}

TensorList unbind(const Tensor& x, int64_t dim) {
  CCDL_CHECK(x.dim() > 0, Index, "unbind: Dimension specified as ", dim, " but tensor has no dimensions");
  dim = wrap_dim("unbind", dim, x.dim());
  check_pieces("unbind", x.size(dim));
  Pieces pieces("UnbindBackward", x, dim, true);
  for (int64_t i = 0; i < x.size(dim); ++i) pieces.add(1);
  return pieces.take();
}

}  // namespace ccdl::ops
