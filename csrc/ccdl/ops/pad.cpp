// Padding, sliding windows (unfold, fold) and the moves between channels and space.
#include <ccdl/ops/create.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

PadMode pad_mode(const std::string& mode) {
  if (mode == "constant") return PadMode::Constant;
  if (mode == "reflect") return PadMode::Reflect;
  if (mode == "replicate") return PadMode::Replicate;
  if (mode == "circular") return PadMode::Circular;
  fail(ErrorKind::NotImplemented,
       str("pad: Unrecognised padding mode ", mode, "; expected constant, reflect, replicate or circular"));
}

// Output sizes and, per dimension, what comes before; every check of pad.
Dims pad_shape(const Dims& x, IntSpan padding, PadMode mode, Dims* before) {
  const auto n = static_cast<int64_t>(padding.size()), ndim = static_cast<int64_t>(x.size());
  CCDL_CHECK(n % 2 == 0, Runtime, "pad: Padding length must be divisible by 2, got ", Dims(padding));
  CCDL_CHECK(n / 2 <= ndim, Runtime,
             "pad: Padding length should be less than or equal to two times the input dimension but got "
             "padding length ",
             n, " and input of dimension ", ndim);
  CCDL_CHECK(mode == PadMode::Constant || n / 2 == ndim - 1 || n / 2 == ndim - 2, NotImplemented,
             "pad: Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: padding all "
             "but one or two ",
             "leading dimensions; got input ", x, " and padding ", Dims(padding));
  if (mode == PadMode::Reflect || mode == PadMode::Replicate)  // only a batch may be empty
    for (int64_t d = ndim == n / 2 + 2 ? 1 : 0; d < ndim; ++d)
      CCDL_CHECK(x[static_cast<size_t>(d)] > 0, Runtime, "pad: Expected ", n / 2 + 1, "D or ", n / 2 + 2,
                 "D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
                 "but got: ",
                 x);
  *before = Dims(x.size(), 0);
  Dims y = x;
  for (int64_t i = 0; i < n / 2; ++i) {
    const auto d = static_cast<size_t>(ndim - 1 - i);
    const int64_t lo = padding[static_cast<size_t>(2 * i)], hi = padding[static_cast<size_t>(2 * i) + 1];
    int64_t size = 0;
    CCDL_CHECK(!__builtin_add_overflow(x[d], lo, &size) && !__builtin_add_overflow(size, hi, &size), Value,
               "pad: padding ", Dims(padding), " overflows 64 bits for input ", x);
    CCDL_CHECK(size >= 0, Runtime, "pad: The input size ", x[d], ", plus negative padding ", lo, " and ", hi,
               ", resulted in a negative output size, which is invalid. Check dimension ", d,
               " of your input");
    if (mode == PadMode::Reflect)
      CCDL_CHECK(
          lo < x[d] && hi < x[d], Runtime,
          "pad: Padding size should be less than the corresponding input dimension, but got: padding (", lo,
          ", ", hi, ") at dimension ", d, " of input ", x);
    if (mode == PadMode::Circular)
      CCDL_CHECK(lo <= x[d] && hi <= x[d], Runtime,
                 "pad: Padding value causes wrapping around more than once: padding (", lo, ", ", hi,
                 ") at dimension ", d, " of input ", x);
    if (mode == PadMode::Replicate)
      CCDL_CHECK(x[d] > 0 || size == 0, Runtime, "pad: replicate expects dimension ", d,
                 " of the input to be non-empty, got input ", x);
    (*before)[d] = lo;
    y[d] = size;
  }
  checked_numel("pad", y);
  return y;
}

Tensor pad_sum(const Tensor& dy, const Dims& before, PadMode mode, const Dims& sizes);

// ddy = padded like x was
struct PadSumBackward : Node {
  const char* name() const override { return "PadSumBackward"; }
  Dims before, sizes;
  PadMode mode = PadMode::Constant;
  TensorList apply(const TensorList& g) override;
};

Tensor pad_move(const Tensor& x, const Dims& before, PadMode mode, double value, const Dims& sizes);

// dx = every element's gradients summed over its copies
struct PadBackward : Node {
  const char* name() const override { return "PadBackward"; }
  Dims before, sizes;
  PadMode mode = PadMode::Constant;
  TensorList apply(const TensorList& g) override { return {pad_sum(g[0], before, mode, sizes)}; }
};

Tensor pad_move(const Tensor& x, const Dims& before, PadMode mode, double value, const Dims& sizes) {
  Tensor y = empty(sizes, x.dtype(), x.device());
  const Tensor fill = scalar_tensor(Scalar(value), x.dtype());
  CCDL_KERNEL(x, pad(x.view(), before.data(), mode, fill.data(), y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<PadBackward>();
    node->before = before;
    node->sizes = x.sizes();
    node->mode = mode;
    record(node, {x}, y);
  }
  return y;
}

Tensor pad_sum(const Tensor& dy, const Dims& before, PadMode mode, const Dims& sizes) {
  if (mode == PadMode::Constant) {  // the inside of dy, or dy with zeros where x was cut
    Dims back = before;
    for (auto& b : back) b = -b;
    return pad_move(dy, back, mode, 0, sizes);
  }
  Tensor dx = empty(sizes, dy.dtype(), dy.device());
  CCDL_KERNEL(dy, pad_backward(dy.view(), before.data(), mode, dx.view()));
  if (needs_graph(dy)) {
    auto node = make_ref<PadSumBackward>();
    node->before = before;
    node->sizes = dy.sizes();
    node->mode = mode;
    record(node, {dy}, dx);
  }
  return dx;
}

TensorList PadSumBackward::apply(const TensorList& g) { return {pad_move(g[0], before, mode, 0, sizes)}; }

}  // namespace

Tensor pad(const Tensor& x, IntSpan padding, const std::string& mode_name, double value) {
  const PadMode mode = pad_mode(mode_name);
  CCDL_CHECK(mode == PadMode::Constant || value == 0, Value, "pad: Padding mode \"", mode_name,
             "\" doesn't take in value argument, got ", value);
  Dims before;
  const Dims sizes = pad_shape(x.sizes(), padding, mode, &before);
  if (x.dim() == 0) return clone(x);
  if (mode == PadMode::Circular) {  // what is cut is gone before the rest wraps around
    Tensor kept = x;
    Dims positive(padding);
    for (size_t i = 0; i < padding.size(); ++i) {
      if (padding[i] >= 0) continue;
      const int64_t dim = x.dim() - 1 - static_cast<int64_t>(i / 2), n = kept.size(dim) + padding[i];
      kept = narrow(kept, dim, i % 2 == 0 ? -padding[i] : 0, n);
      positive[i] = 0;
    }
    if (!(positive == Dims(padding))) return pad(kept, positive, mode_name, value);
  }
  const bool keeps_format = mode != PadMode::Circular;
  if (keeps_format &&
      x.suggest_memory_format() == MemoryFormat::ChannelsLast) {  // the channels of a pixel move together
    const Tensor last = permute(x, Dims{0, 2, 3, 1});
    const Tensor y = pad_move(last, Dims{before[0], before[2], before[3], before[1]}, mode, value,
                              Dims{sizes[0], sizes[2], sizes[3], sizes[1]});
    return permute(y, Dims{0, 3, 1, 2});
  }
  return pad_move(x, before, mode, value, sizes);
}

// ---- sliding windows ----
namespace {

int64_t two(const char* op, const char* argument, IntSpan v, int i, int64_t least) {
  CCDL_CHECK(v.size() == 1 || v.size() == 2, Value, op, ": ", argument, " must be an int or a pair, got ",
             Dims(v));
  const int64_t n = v[v.size() == 1 ? 0 : static_cast<size_t>(i)];
  CCDL_CHECK(n >= least && n < (int64_t{1} << 31), Value, op, ": ", argument, " should be ",
             least ? "greater than zero" : "non-negative", " and below 2^31, but got ", Dims(v));
  return n;
}

WindowShape window_shape(const char* op, IntSpan kernel, IntSpan dilation, IntSpan padding, IntSpan stride,
                         const int64_t* size) {
  WindowShape s{};
  for (int i = 0; i < 2; ++i) {
    s.kernel[i] = two(op, "kernel_size", kernel, i, 1);
    s.dilation[i] = two(op, "dilation", dilation, i, 1);
    s.padding[i] = two(op, "padding", padding, i, 0);
    s.stride[i] = two(op, "stride", stride, i, 1);
    const int64_t room = size[i] + 2 * s.padding[i] - s.dilation[i] * (s.kernel[i] - 1) - 1;
    CCDL_CHECK(room >= 0, Runtime, op, ": Given spatial size ", size[0], " x ", size[1], ", kernel_size ",
               Dims(kernel), ", dilation ", Dims(dilation), ", padding ", Dims(padding),
               ": calculated shape of the array of sliding blocks as ", room / s.stride[i] + (room >= 0),
               " along dimension ", i, ", but its components must be at least one");
    s.blocks[i] = room / s.stride[i] + 1;
  }
  return s;
}

Tensor gather_windows(const Tensor& x, const WindowShape& s);
Tensor scatter_windows(const Tensor& x, const WindowShape& s, const Dims& sizes);

// dx = the columns summed back
struct UnfoldWindowsBackward : Node {
  const char* name() const override { return "Im2ColBackward"; }
  WindowShape shape{};
  Dims sizes;
  TensorList apply(const TensorList& g) override { return {scatter_windows(g[0], shape, sizes)}; }
};

// dx = the windows of dy
struct FoldWindowsBackward : Node {
  const char* name() const override { return "Col2ImBackward"; }
  WindowShape shape{};
  TensorList apply(const TensorList& g) override { return {gather_windows(g[0], shape)}; }
};

Tensor gather_windows(const Tensor& x, const WindowShape& s) {
  const Dims sizes{x.size(0), x.size(1) * s.kernel[0] * s.kernel[1], s.blocks[0] * s.blocks[1]};
  checked_numel("unfold", sizes);
  Tensor y = empty(sizes, x.dtype(), x.device());
  CCDL_KERNEL(x, window_gather(x.view(), s, y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<UnfoldWindowsBackward>();
    node->shape = s;
    node->sizes = x.sizes();
    record(node, {x}, y);
  }
  return y;
}

Tensor scatter_windows(const Tensor& x, const WindowShape& s, const Dims& sizes) {
  Tensor y = empty(sizes, x.dtype(), x.device());
  CCDL_KERNEL(x, window_scatter(x.view(), s, y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<FoldWindowsBackward>();
    node->shape = s;
    record(node, {x}, y);
  }
  return y;
}

}  // namespace

Tensor unfold_windows(const Tensor& x, IntSpan kernel, IntSpan dilation, IntSpan padding, IntSpan stride) {
  CCDL_CHECK(x.dim() == 3 || x.dim() == 4, Runtime,
             "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other ",
             "non-zero dimensions for input, but got: ", x.sizes());
  const Tensor batch = x.dim() == 3 ? unsqueeze(x, 0) : x;
  CCDL_CHECK(batch.size(1) > 0 && batch.size(2) > 0 && batch.size(3) > 0, Runtime,
             "unfold: only the batch dimension may be empty, got input ", x.sizes());
  const WindowShape s = window_shape("unfold", kernel, dilation, padding, stride, batch.sizes().data() + 2);
  checked_numel("unfold",
                Dims{batch.size(0), batch.size(1), s.kernel[0], s.kernel[1], s.blocks[0], s.blocks[1]});
  const Tensor y = gather_windows(batch, s);
  return x.dim() == 3 ? squeeze(y, Dims{0}) : y;
}

Tensor fold_windows(const Tensor& x, IntSpan output_size, IntSpan kernel, IntSpan dilation, IntSpan padding,
                    IntSpan stride) {
  CCDL_CHECK(is_floating(x.dtype()), DType, "fold: input must be floating point, got ", describe(x));
  CCDL_CHECK(x.dim() == 2 || x.dim() == 3, Runtime,
             "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size ",
             "and non-zero dimensions for input, but got: ", x.sizes());
  const int64_t out[2] = {two("fold", "output_size", output_size, 0, 1),
                          two("fold", "output_size", output_size, 1, 1)};
  const WindowShape s = window_shape("fold", kernel, dilation, padding, stride, out);
  const Tensor batch = x.dim() == 2 ? unsqueeze(x, 0) : x;
  const int64_t taps = s.kernel[0] * s.kernel[1];
  CCDL_CHECK(batch.size(1) > 0 && batch.size(1) % taps == 0, Runtime,
             "fold: Expected size of input's dimension 1 to be divisible by the product of ",
             "kernel_size, but got input.size(1)=", batch.size(1), " and kernel_size ", Dims(kernel));
  CCDL_CHECK(batch.size(2) == s.blocks[0] * s.blocks[1], Runtime, "fold: Given output_size ",
             Dims(output_size), ", kernel_size ", Dims(kernel), ", dilation ", Dims(dilation), ", padding ",
             Dims(padding), ", stride ", Dims(stride), ", expected size of input's dimension 2 to match the ",
             "calculated number of sliding blocks ", s.blocks[0], " * ", s.blocks[1], " = ",
             s.blocks[0] * s.blocks[1], ", but got input.size(2)=", batch.size(2));
  const Dims sizes{batch.size(0), batch.size(1) / taps, out[0], out[1]};
  checked_numel("fold", sizes);
  const Tensor y = scatter_windows(batch, s, sizes);
  return x.dim() == 2 ? squeeze(y, Dims{0}) : y;
}

// ---- channels to space and back ----
Tensor pixel_shuffle(const Tensor& x, int64_t r) {
  CCDL_CHECK(x.dim() >= 3, Runtime,
             "pixel_shuffle: expects input to have at least 3 dimensions, but got input with ", x.dim(),
             " dimension(s)");
  CCDL_CHECK(r > 0 && r < (int64_t{1} << 31), Runtime,
             "pixel_shuffle: expects a positive upscale_factor, but got ", r);
  const int64_t c = x.size(-3), h = x.size(-2), w = x.size(-1);
  CCDL_CHECK(c % (r * r) == 0, Runtime,
             "pixel_shuffle: expects its input's 'channel' dimension to be divisible by the square of ",
             "upscale_factor, but input.size(-3)=", c, " is not divisible by ", r * r);
  int64_t height = 0, width = 0;
  CCDL_CHECK(!__builtin_mul_overflow(h, r, &height) && !__builtin_mul_overflow(w, r, &width), Value,
             "pixel_shuffle: input ", x.sizes(), " by upscale_factor ", r, " overflows 64 bits");
  Dims lead(x.sizes().begin(), x.sizes().end() - 3), split = lead, order, result = lead;
  for (int64_t v : {c / (r * r), r, r, h, w}) split.push_back(v);
  const int64_t n = lead.ndim();
  for (int64_t d = 0; d < n; ++d) order.push_back(d);
  for (int64_t d : {n, n + 3, n + 1, n + 4, n + 2}) order.push_back(d);
  for (int64_t v : {c / (r * r), height, width}) result.push_back(v);
  return reshape(clone(permute(reshape(x, split), order), MemoryFormat::Contiguous), result);
}

Tensor pixel_unshuffle(const Tensor& x, int64_t r) {
  CCDL_CHECK(x.dim() >= 3, Runtime,
             "pixel_unshuffle: expects input to have at least 3 dimensions, but got input with ", x.dim(),
             " dimension(s)");
  CCDL_CHECK(r > 0 && r < (int64_t{1} << 31), Runtime,
             "pixel_unshuffle: expects a positive downscale_factor, but got ", r);
  const int64_t c = x.size(-3), h = x.size(-2), w = x.size(-1);
  CCDL_CHECK(
      h % r == 0 && w % r == 0, Runtime,
      "pixel_unshuffle: expects height and width to be divisible by downscale_factor, but input.size(-2)=", h,
      ", input.size(-1)=", w, " with downscale_factor ", r);
  int64_t channels = 0;
  CCDL_CHECK(!__builtin_mul_overflow(c, r * r, &channels), Value, "pixel_unshuffle: ", c,
             " channels by downscale_factor ", r, " overflow 64 bits");
  Dims lead(x.sizes().begin(), x.sizes().end() - 3), split = lead, order, result = lead;
  for (int64_t v : {c, h / r, r, w / r, r}) split.push_back(v);
  const int64_t n = lead.ndim();
  for (int64_t d = 0; d < n; ++d) order.push_back(d);
  for (int64_t d : {n, n + 2, n + 4, n + 1, n + 3}) order.push_back(d);
  for (int64_t v : {channels, h / r, w / r}) result.push_back(v);
  return reshape(clone(permute(reshape(x, split), order), MemoryFormat::Contiguous), result);
}

}  // namespace ccdl::ops
