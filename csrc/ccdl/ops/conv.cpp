// Convolution over three operations that are each other's derivatives: the product of input and weight, and
// its adjoints in the input and in the weight. A transposed convolution is the adjoint in the input used
// forward. The kernels take every floating dtype and both layouts.
#include <ccdl/ops/conv.h>

#include <ccdl/kernels/conv.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/matmul.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// Shapes of one convolution seen from its forward direction: x [N, C, in...] -> y [N, K, out...].
struct Geometry {
  int dims;
  ConvGeometry kernel;  // three spatial dims, missing ones in front
  Dims x_sizes, w_sizes, y_sizes;
  // That the kernels see: of x and y, and of w.
  MemoryFormat format = MemoryFormat::Contiguous, w_format = MemoryFormat::Contiguous;
};

View spatial_view(const Tensor& x, int dims, MemoryFormat format) {  // dense x as [N, C, D, H, W]
  View v;
  v.data = x.data();
  v.dtype = x.dtype();
  v.device = x.device_tag();
  v.ndim = 5;
  v.sizes[0] = x.size(0);
  v.sizes[1] = x.size(1);
  for (int d = 0; d < 3; ++d) v.sizes[2 + d] = d < 3 - dims ? 1 : x.size(2 + d - (3 - dims));
  const bool last = format != MemoryFormat::Contiguous;
  int64_t stride = last ? v.sizes[1] : 1;
  for (int d = 4; d >= 2; --d) {
    v.strides[d] = stride;
    stride *= v.sizes[d];
  }
  v.strides[1] = last ? 1 : stride;
  v.strides[0] = last ? stride : stride * v.sizes[1];
  return v;
}

// What the kernel takes of an operand: dense in the format.
Tensor operand(const Tensor& x, MemoryFormat format) {
  NoGradGuard guard;
  return contiguous(x, format);
}

Tensor result_like(const Dims& sizes, const Tensor& x, MemoryFormat format) {
  return empty(sizes, x.dtype(), x.device(), format);
}

// A CPU result of pixels back to the memory format of the operand that decides it.
Tensor finished(const Tensor& y, const Tensor& like, const Geometry& g) {
  if (!y.device().is_cpu()) return y;
  NoGradGuard guard;
  const MemoryFormat format = like.suggest_memory_format();
  return g.format != MemoryFormat::Contiguous || format == MemoryFormat::Contiguous ? y
                                                                                    : contiguous(y, format);
}

Tensor product(const Tensor& x, const Tensor& w, const Tensor& bias, const Geometry& g);
Tensor adjoint_input(const Tensor& dy, const Tensor& w, const Geometry& g);
Tensor adjoint_weight(const Tensor& x, const Tensor& dy, const Geometry& g);

// One node for all three: which operand pair was multiplied decides what the gradients are.
struct ConvBackward : Node {
  enum Kind { kProduct, kAdjointInput, kAdjointWeight } kind;
  const char* name() const override { return "ConvolutionBackward"; }
  SavedTensor first, second;
  Geometry geometry;
  TensorList apply(const TensorList& grads) override {
    const Tensor& g = grads[0];
    TensorList result(3);
    switch (kind) {
      case kProduct:  // y = x * w + b: dx = adj_x(dy, w), dw = adj_w(x, dy), db = sum dy
        if (needs(0)) result[0] = adjoint_input(g, second.get(this), geometry);
        if (needs(1)) result[1] = adjoint_weight(first.get(this), g, geometry);
        if (needs(2)) result[2] = sum(g, sum_dims());
        break;
      case kAdjointInput:  // dx = adj_x(dy, w): against u: d dy = u * w, dw = adj_w(u, dy)
        if (needs(0)) result[0] = product(g, second.get(this), {}, geometry);
        if (needs(1)) result[1] = adjoint_weight(g, first.get(this), geometry);
        break;
      case kAdjointWeight:  // dw = adj_w(x, dy): against u: dx = adj_x(dy, u), d dy = x * u
        if (needs(0)) result[0] = adjoint_input(second.get(this), g, geometry);
        if (needs(1)) result[1] = product(first.get(this), g, {}, geometry);
        break;
    }
    return result;
  }
  void release_saved() override {
    first.reset();
    second.reset();
  }
  Dims sum_dims() const {
    Dims dims{0};
    for (int d = 0; d < geometry.dims; ++d) dims.push_back(2 + d);
    return dims;
  }
};

Tensor recorded(ConvBackward::Kind kind, const Tensor& a, const Tensor& b, const Tensor& bias,
                const Geometry& g, const Tensor& y) {
  if (needs_graph(a, b, bias)) {
    auto node = make_ref<ConvBackward>();
    node->kind = kind;
    if (requires_grad(b)) node->first = SavedTensor(a);
    if (requires_grad(a)) node->second = SavedTensor(b);
    node->geometry = g;
    record(node, {a, b, bias}, y);
  }
  return y;
}

// No products go into y: it is set to 0. Sizes beside a 0 may be of any magnitude, and no kernel walks them.
bool nothing_to_sum(const Tensor& y, const Tensor& a, const Tensor& b) {
  if (y.numel() > 0 && a.numel() > 0 && b.numel() > 0) return false;
  const NoGradGuard no_grad;
  fill_(y, Scalar(0.0));
  return true;
}

Dims channel_sizes(int64_t dims) {  // of a bias beside [N, C, ...]
  Dims sizes(static_cast<size_t>(dims), 1);
  sizes[1] = -1;
  return sizes;
}

Tensor product(const Tensor& x, const Tensor& w, const Tensor& bias, const Geometry& g) {
  const Tensor xc = operand(x, g.format), wc = operand(w, g.w_format),
               bc = bias.defined() ? operand(bias, MemoryFormat::Contiguous) : bias,
               y = result_like(g.y_sizes, x, g.format);
  if (nothing_to_sum(y, xc, wc)) {
    const NoGradGuard no_grad;
    if (bias.defined()) copy_(y, reshape(bc, channel_sizes(y.dim())));
  } else {
    CCDL_KERNEL(y, conv_forward(spatial_view(xc, g.dims, g.format), spatial_view(wc, g.dims, g.w_format),
                                bias.defined() ? bc.data() : nullptr, spatial_view(y, g.dims, g.format),
                                g.kernel, Activation::None));
  }
  return recorded(ConvBackward::kProduct, x, w, bias, g, finished(y, x, g));
}

Tensor adjoint_input(const Tensor& dy, const Tensor& w, const Geometry& g) {
  const Tensor dc = operand(dy, g.format), wc = operand(w, g.w_format),
               dx = result_like(g.x_sizes, dy, g.format);
  if (!nothing_to_sum(dx, dc, wc))
    CCDL_KERNEL(dx,
                conv_backward_input(spatial_view(dc, g.dims, g.format), spatial_view(wc, g.dims, g.w_format),
                                    spatial_view(dx, g.dims, g.format), g.kernel));
  return recorded(ConvBackward::kAdjointInput, dy, w, {}, g, finished(dx, dy, g));
}

Tensor adjoint_weight(const Tensor& x, const Tensor& dy, const Geometry& g) {
  const Tensor xc = operand(x, g.format), dc = operand(dy, g.format),
               dw = result_like(g.w_sizes, x, g.w_format);
  if (!nothing_to_sum(dw, xc, dc))
    CCDL_KERNEL(dw,
                conv_backward_weight(spatial_view(xc, g.dims, g.format), spatial_view(dc, g.dims, g.format),
                                     spatial_view(dw, g.dims, g.w_format), g.kernel));
  return recorded(ConvBackward::kAdjointWeight, x, dy, {}, g, dw);
}

// ---- checks ----

std::string op_name(const char* base, int dims) { return str(base, dims, "d"); }

// One entry per spatial dim, at least `least`.
Dims per_dim(const std::string& op, const char* argument, const Dims& values, int dims, int64_t least) {
  CCDL_CHECK(values.size() == 1 || values.ndim() == dims, Runtime, op, ": ", argument, " must have 1 or ",
             dims, " entries, got ", values);
  const Dims full = values.ndim() == dims ? values : Dims(static_cast<size_t>(dims), values[0]);
  for (int64_t v : full)
    CCDL_CHECK(
        v >= least, Runtime, op, ": ", argument, " must be ",
        least == 0 ? "non-negative (negative padding is not supported)" : "positive (greater than zero)",
        ", got ", values);
  return full;
}

void check_operands(const std::string& op, int dims, const Tensor& x, const Tensor& w, const Tensor& bias) {
  check_same_device(op.c_str(), {{"input", &x}, {"weight", &w}, {"bias", &bias}});
  CCDL_CHECK(x.dim() == dims + 1 || x.dim() == dims + 2, Shape, op, ": expected ", dims + 1,
             "D (unbatched) or ", dims + 2, "D (batched) input, but got input of size: ", x.sizes());
  CCDL_CHECK(w.dim() == dims + 2, Shape, op, ": weight must be ", dims + 2,
             "D, but got weight of size: ", w.sizes());
  CCDL_CHECK(x.dtype() != DType::Bool, DType, op, ": not implemented for bool, got ", describe(x),
             "; convert it with .float()");
  CCDL_CHECK(x.dtype() == w.dtype(), DType, op, ": input type (", dtype_name(x.dtype()),
             ") and weight type (", dtype_name(w.dtype()), ") should be the same");
  CCDL_CHECK(!bias.defined() || bias.dtype() == x.dtype(), DType, op, ": input type (", dtype_name(x.dtype()),
             ") and bias type (", bias.defined() ? dtype_name(bias.dtype()) : "", ") should be the same");
  for (int d = 0; d < dims; ++d)
    CCDL_CHECK(w.size(2 + d) > 0, Runtime, op, ": weight ", w.sizes(), " has an empty kernel");
}

void check_bias(const std::string& op, const Tensor& bias, int64_t channels, const Tensor& w) {
  CCDL_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == channels), Shape, op,
             ": given weight of size ", w.sizes(), ", expected bias to be 1-dimensional with ", channels,
             " elements, but got bias of size ", bias.defined() ? bias.sizes() : Dims());
}

// Sizes joined as in "3 x 3".
std::string joined(const Dims& v) {
  std::string out;
  for (size_t i = 0; i < v.size(); ++i) out += (i ? " x " : "") + std::to_string(v[i]);
  return out;
}

int64_t checked_sum(const std::string& op, int64_t size, int64_t a, int64_t b) {
  int64_t total;
  CCDL_CHECK(!__builtin_add_overflow(a, b, &total) && !__builtin_add_overflow(size, total, &total), Runtime,
             op, ": padding makes the input larger than 2^63 elements");
  return total;
}

// dilation * (kernel - 1), checked.
int64_t reach_of(const std::string& op, int64_t kernel, int64_t dilation) {
  int64_t reach;
  CCDL_CHECK(!__builtin_mul_overflow(kernel - 1, dilation, &reach) && reach < (int64_t{1} << 62), Runtime, op,
             ": dilation ", dilation, " makes the kernel larger than 2^62");
  return reach;
}

Geometry base_geometry(int dims, const Tensor& x, const Tensor& w, const Dims& stride, const Dims& dilation,
                       int64_t groups) {
  Geometry g;
  g.dims = dims;
  g.format = x.suggest_memory_format();
  if (!x.device().is_cpu() || g.format != MemoryFormat::Contiguous) g.w_format = w.suggest_memory_format();
  g.kernel.groups = groups;
  for (int d = 0; d < 3; ++d) {
    const int own = d - (3 - dims);
    g.kernel.stride[d] = own < 0 ? 1 : stride[own];
    g.kernel.dilation[d] = own < 0 ? 1 : dilation[own];
    g.kernel.padding[d] = 0;
  }
  return g;
}

// ---- whole numbers: windows as a view, then an integer product, exact modulo the dtype's range ----

// x [N, C, spatial...] that needs no padding behind `front` and `back` (which may cut), w [K, C / groups,
// kernel...].
Tensor whole_windows(const Tensor& x, const Tensor& w, const Geometry& g, const Dims& stride,
                     const Dims& front, const Dims& back, const Dims& out) {
  const int dims = g.dims;
  const int64_t groups = g.kernel.groups, n = x.size(0), k = w.size(0) / groups, c = w.size(1);
  Dims padding;  // from the last dim backwards
  for (int d = dims; d-- > 0;) {
    padding.push_back(front[d]);
    padding.push_back(back[d]);
  }
  const Tensor p = contiguous(pad(x, padding));
  Dims sizes{n, groups}, strides{p.stride(0), p.stride(1) * c};
  int64_t places = 1, taps = c;
  for (int d = 0; d < dims; ++d) {
    sizes.push_back(out[d]);
    strides.push_back(p.stride(2 + d) * stride[d]);
    places *= out[d];
  }
  sizes.push_back(c);
  strides.push_back(p.stride(1));
  for (int d = 0; d < dims; ++d) {
    sizes.push_back(w.size(2 + d));
    strides.push_back(p.stride(2 + d) * g.kernel.dilation[3 - dims + d]);
    taps *= w.size(2 + d);
  }
  const Tensor windows = reshape(as_strided(p, sizes, strides), Dims{n, groups, places, taps});
  const Tensor weights = transpose(reshape(w, Dims{1, groups, k, taps}), 2, 3);
  Dims shape{n, groups * k};
  for (int d = 0; d < dims; ++d) shape.push_back(out[d]);
  return reshape(transpose(matmul(windows, weights), 2, 3), shape);
}

Dims spatial(const Dims& sizes) {
  Dims out;
  for (size_t i = 2; i < sizes.size(); ++i) out.push_back(sizes[i]);
  return out;
}

Tensor whole_conv(const Tensor& x, const Tensor& w, const Tensor& bias, const Geometry& g) {
  Dims stride, front, back;
  const Dims out = spatial(g.y_sizes);
  for (int d = 0; d < g.dims; ++d) {
    const int own = 3 - g.dims + d;
    stride.push_back(g.kernel.stride[own]);
    front.push_back(g.kernel.padding[own]);
    const int64_t reach = g.kernel.dilation[own] * (w.size(2 + d) - 1);
    back.push_back((out[d] - 1) * stride[d] + reach + 1 - x.size(2 + d) - front[d]);
  }
  const Tensor y = whole_windows(x, w, g, stride, front, back, out);
  if (!bias.defined()) return y;
  Dims shape(static_cast<size_t>(g.dims) + 1, 1);
  shape[0] = bias.size(0);
  return add(y, reshape(bias, shape));
}

// dx of a convolution: zeros between the elements of y, then the convolution with w turned round.
Tensor whole_adjoint(const Tensor& y, const Tensor& w, const Geometry& g) {
  if (y.numel() == 0) return zeros(g.x_sizes, y.dtype(), y.device());
  const int64_t groups = g.kernel.groups;
  Dims spread{y.size(0), y.size(1)}, ones, front, back, axes, halves{groups, w.size(0) / groups};
  for (int d = 0; d < g.dims; ++d) {
    const int own = 3 - g.dims + d;
    const int64_t stride = g.kernel.stride[own], reach = g.kernel.dilation[own] * (w.size(2 + d) - 1);
    spread.push_back((y.size(2 + d) - 1) * stride + 1);
    ones.push_back(1);
    front.push_back(reach - g.kernel.padding[own]);
    back.push_back(g.x_sizes[2 + d] + reach - spread[2 + d] - front[d]);
    axes.push_back(2 + d);
  }
  const Tensor x = zeros(spread, y.dtype(), y.device());
  Tensor places = x;
  for (int d = 0; d < g.dims; ++d)
    places = slice(places, 2 + d, std::nullopt, std::nullopt, g.kernel.stride[3 - g.dims + d]);
  copy_(places, y);
  for (int d = 1; d < w.dim(); ++d) halves.push_back(w.size(d));
  Dims turned{w.size(1) * groups, w.size(0) / groups};
  for (int d = 2; d < w.dim(); ++d) turned.push_back(w.size(d));
  const Tensor kernel = flip(reshape(transpose(reshape(w, halves), 1, 2), turned), axes);
  return whole_windows(x, kernel, g, ones, front, back, spatial(g.x_sizes));
}

}  // namespace

Tensor conv(int dims, const Tensor& input, const Tensor& w, const Tensor& bias, const ConvOptions& options) {
  const std::string op = op_name("conv", dims);
  check_operands(op, dims, input, w, bias);
  const int64_t groups = options.groups;
  CCDL_CHECK(groups > 0, Runtime, op, ": groups must be a positive integer, got ", groups);
  const Dims stride = per_dim(op, "stride", options.stride, dims, 1),
             dilation = per_dim(op, "dilation", options.dilation, dims, 1);
  Dims padding =
      options.same ? Dims(static_cast<size_t>(dims), 0) : per_dim(op, "padding", options.padding, dims, 0);
  const bool batched = input.dim() == dims + 2;
  const Tensor x = batched ? input : unsqueeze(input, 0);
  CCDL_CHECK(w.size(1) <= x.size(1) && w.size(1) * groups == x.size(1), Shape, op, ": weight expects ",
             w.size(1), " input channels per group but input has ", x.size(1), " (input ", input.sizes(),
             ", weight ", w.sizes(), ", groups=", groups, ")");
  CCDL_CHECK(w.size(0) % groups == 0, Shape, op, ": the ", w.size(0), " output channels of weight ",
             w.sizes(), " are not divisible by groups=", groups);
  check_bias(op, bias, w.size(0), w);
  Geometry g = base_geometry(dims, x, w, stride, dilation, groups);
  g.x_sizes = x.sizes();
  g.w_sizes = w.sizes();
  g.y_sizes = {x.size(0), w.size(0)};
  Dims padded, kernel;
  bool fits = true;
  for (int d = 0; d < dims; ++d) {
    const int64_t reach = reach_of(op, w.size(2 + d), dilation[d]);
    CCDL_CHECK(!options.same || stride[d] == 1, Runtime, op,
               ": padding='same' is not supported for strided convolutions, got stride ", stride);
    const int64_t front = options.same ? reach / 2 : padding[d],
                  back = options.same ? reach - reach / 2 : padding[d];
    g.kernel.padding[3 - dims + d] = front;
    padded.push_back(checked_sum(op, x.size(2 + d), front, back));
    kernel.push_back(reach + 1);
    fits = fits && reach < padded.back();
    g.y_sizes.push_back((padded.back() - reach - 1) / stride[d] + 1);
  }
  CCDL_CHECK(fits, Shape, op, ": calculated padded input size per channel: (", joined(padded),
             "). Kernel size: (", joined(kernel),
             "). Kernel size can't be greater than actual input size (input ", input.sizes(), ", weight ",
             w.sizes(), ", padding ", padding, ", dilation ", dilation, ")");
  const Tensor y = is_floating(x.dtype()) ? product(x, w, bias, g) : whole_conv(x, w, bias, g);
  return batched ? y : squeeze(y, Dims{0});
}

Tensor conv_transpose(int dims, const Tensor& input, const Tensor& w, const Tensor& bias,
                      const ConvOptions& options) {
  const std::string op = op_name("conv_transpose", dims);
  check_operands(op, dims, input, w, bias);
  const int64_t groups = options.groups;
  CCDL_CHECK(groups > 0, Runtime, op, ": groups must be a positive integer, got ", groups);
  const Dims stride = per_dim(op, "stride", options.stride, dims, 1),
             dilation = per_dim(op, "dilation", options.dilation, dims, 1),
             padding = per_dim(op, "padding", options.padding, dims, 0),
             extra = per_dim(op, "output_padding", options.output_padding, dims, 0);
  const bool batched = input.dim() == dims + 2;
  const Tensor x = batched ? input : unsqueeze(input, 0);
  CCDL_CHECK(w.size(0) == x.size(1), Shape, op, ": weight expects ", w.size(0),
             " input channels but input has ", x.size(1), " (input ", input.sizes(), ", weight ", w.sizes(),
             ")");
  CCDL_CHECK(w.size(0) % groups == 0, Shape, op, ": the ", w.size(0), " input channels of weight ", w.sizes(),
             " are not divisible by groups=", groups);
  check_bias(op, bias, w.size(1) * groups, w);
  Geometry g = base_geometry(dims, x, w, stride, dilation, groups);
  g.y_sizes = x.sizes();
  g.w_sizes = w.sizes();
  g.x_sizes = {x.size(0), w.size(1) * groups};
  for (int d = 0; d < dims; ++d) {
    CCDL_CHECK(extra[d] < std::max(stride[d], dilation[d]), Runtime, op,
               ": output padding must be smaller than either stride or dilation, but got output_padding ",
               extra, ", stride ", stride, " and dilation ", dilation);
    const int64_t reach = reach_of(op, w.size(2 + d), dilation[d]);
    int64_t span;
    CCDL_CHECK(!__builtin_mul_overflow(x.size(2 + d) - 1, stride[d], &span) && span < (int64_t{1} << 61),
               Runtime, op, ": stride ", stride, " makes the output larger than 2^61 elements");
    const int64_t size = checked_sum(op, span + reach + 1, extra[d], 0) - padding[d] - padding[d];
    CCDL_CHECK(x.size(2 + d) == 0 || padding[d] < (int64_t{1} << 61), Runtime, op, ": padding ", padding,
               " is too large");
    CCDL_CHECK(size > 0, Shape, op, ": given input size per channel ", input.sizes(),
               ", the calculated output size is too small (", size, " in dim ", d, "); reduce padding ",
               padding);
    g.kernel.padding[3 - dims + d] = padding[d];
    g.x_sizes.push_back(size);
  }
  Tensor y = is_floating(x.dtype()) ? adjoint_input(x, w, g) : whole_adjoint(x, w, g);
  if (bias.defined()) {
    Dims shape(static_cast<size_t>(dims) + 1, 1);
    shape[0] = bias.size(0);
    y = add(y, reshape(bias, shape));
  }
  return batched ? y : squeeze(y, Dims{0});
}

}  // namespace ccdl::ops
