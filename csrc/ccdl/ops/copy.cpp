// Copies and storage-level views: clone, contiguous, to, copy_, fill_, as_strided, unfold, resize_.
#include <ccdl/autograd/accumulate.h>
#include <ccdl/kernels/create.h>
#include <ccdl/kernels/shape.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/transfer.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

using autograd::make_view;

namespace {

// dx = dy: same values elsewhere in memory, or cast (the engine casts back)
struct CopyBackward : Node {
  explicit CopyBackward(const char* n) : name_(n) {}
  const char* name() const override { return name_; }
  const char* name_;
  TensorList apply(const TensorList& g) override {
    if (next_.size() == 1) return {g[0]};
    return {g[0],
            needs(1) ? zeros(g[0].sizes(), g[0].dtype(), g[0].device()) : Tensor()};  // what was overwritten
  }
};

// All of x replaced by one value: dx = 0, dvalue = sum of dy
struct FillBackward : Node {
  const char* name() const override { return "FillBackward"; }
  TensorList apply(const TensorList& g) override {
    return {needs(0) ? zeros(g[0].sizes(), g[0].dtype(), g[0].device()) : Tensor(),
            needs(1) ? sum(g[0]) : Tensor()};
  }
};

bool may_overlap(const Dims& sizes, const Dims& strides) {
  int order[kMaxDims], n = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return false;
    if (sizes[i] > 1) order[n++] = static_cast<int>(i);
  }
  std::sort(order, order + n, [&](int a, int b) { return strides[a] < strides[b]; });
  int64_t reach = 0;
  for (int i = 0; i < n; ++i) {
    if (strides[order[i]] <= reach) return true;
    reach += strides[order[i]] * (sizes[order[i]] - 1);
  }
  return false;
}

int64_t reach_of(const Dims& sizes, const Dims& strides) {  // elements from the first to the last, inclusive
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return 0;
    last += (sizes[i] - 1) * strides[i];
  }
  return last + 1;
}

// dx: dy is added element by element into a flat picture of x's storage window, which is then read with x's
// geometry. Elements of an x that overlaps itself share their cell, so each gets the cell divided by the
// number of sharers.
struct AsStridedBackward : Node {
  const char* name() const override { return "AsStridedBackward"; }
  Dims x_sizes, x_strides, sizes, strides;
  int64_t x_offset = 0, offset = 0;
  TensorList apply(const TensorList& grads) override {
    const Tensor& dy = grads[0];
    const int64_t low = std::min(x_offset, offset);
    const int64_t high = std::max(x_offset + reach_of(x_sizes, x_strides), offset + reach_of(sizes, strides));
    Tensor flat = zeros(Dims{std::max<int64_t>(high - low, 0)}, dy.dtype(), dy.device());
    if (!may_overlap(sizes, strides)) {
      if (dy.numel()) copy_(as_strided(flat, sizes, strides, offset - low), dy);
    } else {
      if (grad_enabled()) {  // the same sum as an op that records
        const Tensor places =
            as_strided(arange(Scalar(0), Scalar(flat.numel()), Scalar(1), DType::Int64, dy.device()), sizes,
                       strides, offset - low);
        flat = index_add(flat, 0, reshape(places, Dims{dy.numel()}), reshape(dy, Dims{dy.numel()}));
      } else
        CCDL_KERNEL(flat, as_strided_scatter_add(flat.view(), sizes, strides, offset - low, dy.view()));
    }
    Tensor dx = as_strided(flat, x_sizes, x_strides, x_offset - low);
    if (may_overlap(x_sizes, x_strides)) {
      Tensor count = zeros(flat.sizes(), dy.dtype(), dy.device());
      const Tensor one = ones(x_sizes, dy.dtype(), dy.device());
      CCDL_KERNEL(count,
                  as_strided_scatter_add(count.view(), x_sizes, x_strides, x_offset - low, one.view()));
      dx = div(dx, as_strided(count, x_sizes, x_strides, x_offset - low));
    }
    return {dx};
  }
};

// dx[i] = sum of dy over all windows that show i: one slice-add per position in the window
struct UnfoldBackward : Node {
  const char* name() const override { return "UnfoldBackward"; }
  Dims x_sizes;
  int64_t dim = 0, size = 0, step = 0;
  TensorList apply(const TensorList& grads) override {
    const Tensor& dy = grads[0];
    Tensor dx = zeros(x_sizes, dy.dtype(), dy.device());
    const int64_t windows = dy.size(dim);
    for (int64_t k = 0; k < size && windows; ++k)
      add_(slice(dx, dim, k, k + (windows - 1) * step + 1, step), select(dy, -1, k));
    return {dx};
  }
};

}  // namespace

Tensor as_strided(const Tensor& x, IntSpan sizes_, IntSpan strides_, std::optional<int64_t> offset_) {
  const Dims sizes(sizes_), strides(strides_);
  CCDL_CHECK(sizes.size() == strides.size(), Runtime,
             "as_strided: mismatch in length of strides and shape: sizes ", sizes, ", strides ", strides);
  const int64_t offset = offset_.value_or(x.offset());
  CCDL_CHECK(offset >= 0, Runtime, "as_strided: Tensor: invalid storage offset ", offset);
  const int64_t numel = checked_numel("as_strided", sizes);
  int64_t end = offset;
  for (size_t i = 0; i < sizes.size(); ++i) {
    CCDL_CHECK(strides[i] >= 0, Runtime,
               "as_strided: Negative strides are not supported at the moment, got strides: ", strides);
    int64_t span = 0;
    CCDL_CHECK(numel == 0 || (!__builtin_mul_overflow(sizes[i] - 1, strides[i], &span) &&
                              !__builtin_add_overflow(end, span, &end)),
               Runtime, "as_strided: sizes ", sizes, ", strides ", strides, " and storage offset ", offset,
               " overflow 64 bits");
  }
  const int64_t capacity = x.storage()->bytes() / item_size(x.dtype());
  CCDL_CHECK(numel == 0 || end < capacity, Runtime, "as_strided: setStorage: sizes ", sizes, ", strides ",
             strides, ", storage offset ", offset, " are out of bounds for storage of ", capacity,
             " elements");
  Ref<AsStridedBackward> node;
  if (needs_graph(x)) {
    node = make_ref<AsStridedBackward>();
    node->x_sizes = x.sizes();
    node->x_strides = x.strides();
    node->x_offset = x.offset();
    node->sizes = sizes;
    node->strides = strides;
    node->offset = offset;
  }
  return make_view(x, alias(x, sizes, strides, offset), node);
}

Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step) {
  dim = wrap_dim("unfold", dim, x.dim());
  const int64_t n = x.dim() ? x.size(dim) : 1;
  CCDL_CHECK(size >= 0 && size <= n, Runtime, "unfold: maximum size for tensor at dimension ", dim, " is ", n,
             " but size is ", size);
  CCDL_CHECK(step > 0, Runtime, "unfold: step is ", step, " but must be > 0");
  if (x.dim() == 0) return slice(reshape(x, Dims{1}), 0, 0, size);
  Dims sizes = x.sizes(), strides = x.strides();
  const int64_t stride = x.dim() ? strides[dim] : 1;
  if (x.dim()) {
    sizes[dim] = (n - size) / step + 1;
    int64_t scaled = 0;
    strides[dim] = __builtin_mul_overflow(step, stride, &scaled) || sizes[dim] <= 1 ? stride : scaled;
  }
  sizes.push_back(size);
  strides.push_back(stride);
  Ref<UnfoldBackward> node;
  if (needs_graph(x) && x.dim()) {
    node = make_ref<UnfoldBackward>();
    node->x_sizes = x.sizes();
    node->dim = dim;
    node->size = size;
    node->step = step;
  }
  return make_view(x, alias(x, sizes, strides, x.offset()), node);
}

Tensor clone(const Tensor& x, MemoryFormat format) {
  Tensor y =
      format == MemoryFormat::Preserve ? empty_like(x) : empty(x.sizes(), x.dtype(), x.device(), format);
  transfer(x, y);
  if (needs_graph(x)) record(make_ref<CopyBackward>("CloneBackward"), {x}, y);
  return y;
}

Tensor contiguous(const Tensor& x, MemoryFormat format) {
  CCDL_CHECK(format != MemoryFormat::Preserve, Runtime,
             "contiguous: preserve memory format is unsupported by the contiguous operator");
  return x.is_contiguous(format) ? x : clone(x, format);
}

Tensor to(const Tensor& x, DType dtype) { return dtype == x.dtype() ? x : to(x, dtype, x.device(), false); }

Tensor to(const Tensor& x, DType dtype, Device device, bool copy, MemoryFormat format, bool non_blocking) {
  const bool layout_ok = format == MemoryFormat::Preserve || x.is_contiguous(format);
  if (!copy && dtype == x.dtype() && device == x.device() && layout_ok) return x;
  const bool keep_strides = format == MemoryFormat::Preserve && strides_dense(x.sizes(), x.strides());
  Tensor y = keep_strides ? empty_strided(x.sizes(), x.strides(), dtype, device)
                          : empty(x.sizes(), dtype, device,
                                  format == MemoryFormat::Preserve ? MemoryFormat::Contiguous : format);
  transfer(x, y, non_blocking);
  if (is_floating(dtype) && needs_graph(x)) record(make_ref<CopyBackward>("ToCopyBackward"), {x}, y);
  return y;
}

Tensor sum_to(const Tensor& x, const Dims& sizes) {
  if (x.sizes() == sizes) return x;
  const size_t lead = x.sizes().size() - sizes.size();
  Dims dims;
  for (size_t d = 0; d < x.sizes().size(); ++d)
    if (d < lead || (sizes[d - lead] == 1 && x.sizes()[d] != 1)) dims.push_back(static_cast<int64_t>(d));
  const Tensor s = dims.empty() ? x : sum(x, dims, true, x.dtype());
  return reshape(s, sizes);
}

Tensor copy_(const Tensor& x, const Tensor& src, bool non_blocking) {
  autograd::check_inplace("copy_", x);
  CCDL_CHECK(is_expandable_to(src.sizes(), x.sizes()), Shape, "copy_: The size of tensor src ", src.sizes(),
             " must match the size of the target ", x.sizes(), " (or broadcast to it)");
  if (x.same(src)) return x;
  Tensor from = src;
  if (src.storage() == x.storage() && src.numel()) {  // the windows may overlap
    NoGradGuard no_grad;
    from = clone(src);
  }
  transfer(from, x, non_blocking);
  if (needs_graph(src) && is_floating(x.dtype())) {
    autograd::rebase_history(x, make_ref<CopyBackward>("CopyBackward"),
                             requires_grad(x) ? TensorList{src, x} : TensorList{src});
  } else {
    autograd::rebase_history(x, Edge{});
  }
  return x;
}

// Once to each place in memory: an expanded dim, of up to 2^62 elements, is one of them.
static void write_everywhere(const Tensor& x, Scalar value) {
  if (x.numel() == 0) return;
  View places = x.view();
  for (int d = 0; d < places.ndim; ++d)
    if (places.strides[d] == 0) places.sizes[d] = 1;
  const Tensor one = scalar_tensor(value, x.dtype());
  CCDL_KERNEL(x, fill(places, one.data()));
}

Tensor fill_(const Tensor& x, Scalar value) {
  check_fits("fill_", value, x.dtype());
  autograd::check_inplace("fill_", x);
  write_everywhere(x, value);
  autograd::rebase_history(x, Edge{});
  return x;
}

Tensor fill_(const Tensor& x, const Tensor& value) {
  CCDL_CHECK(value.dim() == 0, Shape,
             "fill_: fill_ only supports 0-dimension value tensor but got tensor with ", value.dim(),
             " dimensions");
  if (!needs_graph(x, value)) return fill_(x, item(value));
  const Scalar number = item(value);
  check_fits("fill_", number, x.dtype());
  autograd::check_inplace("fill_", x);
  auto node = make_ref<FillBackward>();
  write_everywhere(x, number);
  autograd::rebase_history(x, node, {x, value});
  return x;
}

Tensor zero_(const Tensor& x) { return fill_(x, Scalar(0)); }

Scalar item(const Tensor& x) {
  CCDL_CHECK(x.numel() == 1, Runtime, "item: a Tensor with ", x.numel(),
             " elements cannot be converted to Scalar");
  const Tensor element = on_host(x);
  switch (element.dtype()) {
    case DType::Bool:
      return Scalar(*element.ptr<bool>());
    case DType::UInt8:
      return Scalar(static_cast<int>(*element.ptr<uint8_t>()));
    case DType::Int8:
      return Scalar(static_cast<int>(*element.ptr<int8_t>()));
    case DType::Int16:
      return Scalar(static_cast<int>(*element.ptr<int16_t>()));
    case DType::Int32:
      return Scalar(*element.ptr<int32_t>());
    case DType::Int64:
      return Scalar(static_cast<long>(*element.ptr<int64_t>()));
    case DType::Float16:
      return Scalar(static_cast<float>(*element.ptr<float16>()));
    case DType::BFloat16:
      return Scalar(static_cast<float>(*element.ptr<bfloat16>()));
    case DType::Float32:
      return Scalar(*element.ptr<float>());
    default:
      return Scalar(*element.ptr<double>());
  }
}

Tensor resize_(const Tensor& x, IntSpan sizes, MemoryFormat format) {
  CCDL_CHECK(!requires_grad(x) || !grad_enabled(), Autograd,
             "resize_: cannot resize variables that require grad");
  CCDL_CHECK(!x.storage()->read_only(), Runtime,
             "resize_: the tensor shares read-only memory with another library; clone it first");
  const bool last = format == MemoryFormat::ChannelsLast || format == MemoryFormat::ChannelsLast3d;
  CCDL_CHECK(!last || sizes.size() == (format == MemoryFormat::ChannelsLast ? 4 : 5), Runtime,
             "resize_: required rank 4 tensor to use channels_last format, rank 5 for channels_last_3d, got ",
             Dims(sizes));
  if (x.sizes() == sizes && format == MemoryFormat::Preserve) return x;
  const int64_t bytes = checked_bytes("resize_", sizes, x.dtype());
  const int64_t need = bytes + x.offset() * item_size(x.dtype());
  if (need > x.storage()->bytes()) x.storage()->resize(need);
  x.impl()->set_geometry(Dims(sizes), last ? channels_last_strides(sizes) : contiguous_strides(sizes),
                         x.offset());
  x.bump_version();
  return x;
}

void set_data(const Tensor& x, const Tensor& source) {
  CCDL_CHECK(source.defined(), Type, "data: expected a Tensor");
  CCDL_CHECK(
      !requires_grad(x) || is_floating(source.dtype()), Autograd,
      "data: data set to a tensor that requires gradients must be floating point or complex dtype, got ",
      describe(source));
  TensorImpl* impl = x.impl();
  if (!impl->own_version) impl->own_version = make_ref<VersionCounter>(x.version());  // the count goes on
  impl->storage = source.storage();
  impl->dtype = source.dtype();
  impl->set_geometry(source.sizes(), source.strides(), source.offset());
  autograd::Meta* m = autograd::meta_or_null(x);
  if (m && m->accumulator) m->accumulator.load()->describe_leaf();
}

Tensor inplace_view(const char* op, const Tensor& x, const Tensor& viewed) {
  autograd::check_inplace(op, x);
  const Edge history = requires_grad(viewed) && grad_enabled() ? autograd::gradient_edge(viewed) : Edge{};
  const Dims sizes = viewed.sizes(), strides = viewed.strides();
  const int64_t offset = viewed.offset();
  autograd::Meta* m = autograd::meta_or_null(x);
  if (m && history) {
    m->grad_fn = history.node;
    m->output_nr = history.output_nr;
    m->view_version = x.version();
  }
  x.impl()->set_geometry(sizes, strides, offset);
  return x;
}

}  // namespace ccdl::ops
