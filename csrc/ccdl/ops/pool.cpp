#include <ccdl/ops/pool.h>

#include <ccdl/kernels/pool.h>

#include <ccdl/ops/dense.h>

namespace ccdl::ops {
namespace {

// Everything backward needs to know about one pooling call.
struct Geometry {
  int nd = 2;
  bool batched = true;
  PoolWindow window = {};
  Dims in, out;  // sizes of input and output tensors, as the user sees them
  MemoryFormat format = MemoryFormat::Contiguous;
};

std::string op_name(const char* stem, int nd) { return str(stem, nd, "d"); }

// [N, C, D, H, W] in the memory format of the call.
View plane_view(const Geometry& g, const Tensor& t) {
  Dims sizes = {g.batched ? t.size(0) : 1, t.size(g.batched ? 1 : 0)};
  for (int i = 0; i < 3 - g.nd; ++i) sizes.push_back(1);
  for (int i = 0; i < g.nd; ++i) sizes.push_back(t.size(t.dim() - g.nd + i));
  View v = shaped(t, sizes);
  if (g.format != MemoryFormat::Contiguous) {
    const int64_t c = sizes[1];
    v.strides[1] = 1;
    v.strides[4] = c;
    v.strides[3] = c * sizes[4];
    v.strides[2] = c * sizes[4] * sizes[3];
  }
  return v;
}

Tensor make(const Geometry& g, const Dims& sizes, const Tensor& like, DType dtype) {
  return empty(sizes, dtype, like.device(), g.format);
}

int64_t pick(const Dims& values, int i) {
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(i)];
}

void check_input(const char* op, int nd, const Tensor& x) {
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": input must be floating point, got ", describe(x));
  CCDL_CHECK(x.dim() == nd + 1 || x.dim() == nd + 2, Runtime, op, ": Expected ", nd + 1, "D (unbatched) or ",
             nd + 2, "D (batched) input, got ", describe(x));
  for (int64_t i = x.dim() - nd - 1; i < x.dim(); ++i)
    CCDL_CHECK(x.size(i) > 0, Runtime, op,
               ": Expected input to have non-zero size for non-batch dimensions, but input has sizes ",
               x.sizes());
}

// Averages over three dimensions are contiguous whatever came, as in PyTorch.
Geometry base_geometry(int nd, const Tensor& x) {
  Geometry g;
  g.nd = nd;
  g.batched = x.dim() == nd + 2;
  g.in = g.out = x.sizes();
  g.format = g.batched && nd == 2 ? x.suggest_memory_format() : MemoryFormat::Contiguous;
  for (int i = 0; i < 3; ++i) g.window.kernel[i] = g.window.stride[i] = g.window.dilation[i] = 1;
  return g;
}

Geometry window_geometry(const char* op, int nd, const Tensor& x, const PoolArgs& a) {
  check_input(op, nd, x);
  for (const auto& [name, v] : {std::pair<const char*, const Dims*>{"kernel_size", &a.kernel_size},
                                {"stride", &a.stride},
                                {"padding", &a.padding},
                                {"dilation", &a.dilation}})
    CCDL_CHECK(v->size() == 1 || v->size() == static_cast<size_t>(nd) || (v == &a.stride && v->empty()),
               Runtime, op, ": ", name, " must be a single int, or a tuple of ", nd, " ints, got ", *v);
  Geometry g = base_geometry(nd, x);
  for (int i = 0; i < nd; ++i) {
    const int slot = 3 - nd + i;
    const int64_t k = g.window.kernel[slot] = pick(a.kernel_size, i);
    const int64_t s = g.window.stride[slot] = a.stride.empty() ? k : pick(a.stride, i);
    const int64_t p = g.window.pad[slot] = pick(a.padding, i);
    const int64_t d = g.window.dilation[slot] = pick(a.dilation, i);
    const size_t at = static_cast<size_t>(x.dim() - nd + i);
    g.out[at] = pool_output_size(op, g.in[at], k, s, p, d, a.ceil_mode);
  }
  checked_numel(op, g.out);
  return g;
}

Geometry max_geometry(const char* op, int nd, const Tensor& x, const PoolArgs& a) {
  Geometry g = window_geometry(op, nd, x, a);
  if (g.batched && nd == 3) g.format = x.suggest_memory_format();
  return g;
}

Geometry adaptive_geometry(const char* op, int nd, const Tensor& x, const Dims& output_size) {
  check_input(op, nd, x);
  CCDL_CHECK(output_size.size() == 1 || output_size.size() == static_cast<size_t>(nd), Runtime, op,
             ": output_size must be a single int or ", nd, " ints, got ", output_size);
  Geometry g = base_geometry(nd, x);
  for (int i = 0; i < nd; ++i) {
    const int64_t o = pick(output_size, i);
    CCDL_CHECK(o >= 0, Runtime, op, ": elements of output_size must be greater than or equal to 0, got ",
               output_size);
    g.out[static_cast<size_t>(x.dim() - nd + i)] = o;
  }
  checked_numel(op, g.out);
  return g;
}

Tensor max_scatter(const Geometry& g, const Tensor& dy, const Tensor& indices);
Tensor max_collect(const Geometry& g, const Tensor& src, const Tensor& indices);

// dx[index[o]] += dy[o]; the inverse direction reads out[o] = src[index[o]]. Each is the other's derivative.
struct MaxPoolBackward : Node {
  const char* name() const override { return "MaxPoolBackward"; }
  Geometry g;
  SavedTensor indices;
  bool collects = false;
  TensorList apply(const TensorList& grads) override {
    const Tensor i = indices.get(this);
    return {collects ? max_collect(g, grads[0], i) : max_scatter(g, grads[0], i)};
  }
  void release_saved() override { indices.reset(); }
};

void record_max(const Geometry& g, const Tensor& input, const Tensor& output, const Tensor& indices,
                bool collects) {
  if (!needs_graph(input)) return;
  auto node = make_ref<MaxPoolBackward>();
  node->g = g;
  node->indices = SavedTensor(indices);
  node->collects = collects;
  record(node, {input}, output);
}

Tensor max_scatter(const Geometry& g, const Tensor& dy, const Tensor& indices) {
  Tensor dx = make(g, g.in, dy, dy.dtype());
  CCDL_KERNEL(dx, max_pool_backward(plane_view(g, dense(dy, g.format)), plane_view(g, indices),
                                    plane_view(g, dx), g.window));
  record_max(g, dy, dx, indices, true);
  return dx;
}

Tensor max_collect(const Geometry& g, const Tensor& src, const Tensor& indices) {
  Tensor out = make(g, g.out, src, src.dtype());
  CCDL_KERNEL(out, max_pool_gather(plane_view(g, dense(src, g.format)), plane_view(g, indices),
                                   plane_view(g, out), g.window));
  record_max(g, src, out, indices, false);
  return out;
}

// dx = dy spread evenly over each window; linear, so its derivative is the forward again
struct AvgPoolBackward : Node {
  const char* name() const override { return "AvgPoolBackward"; }
  Geometry g;
  bool include_pad = true, adaptive = false, spreads = false;
  int64_t divisor = 0;
  TensorList apply(const TensorList& grads) override { return {run(spreads, grads[0])}; }

  // forward: window means of x; spreading: the transpose
  Tensor run(bool forward, const Tensor& t) const {
    Tensor out = make(g, forward ? g.out : g.in, t, t.dtype());
    const Tensor c = dense(t, g.format);
    const View a = plane_view(g, c), b = plane_view(g, out);
    if (forward && adaptive)
      CCDL_KERNEL(out, adaptive_avg_pool_forward(a, b));
    else if (forward)
      CCDL_KERNEL(out, avg_pool_forward(a, b, g.window, include_pad, divisor));
    else if (adaptive)
      CCDL_KERNEL(out, adaptive_avg_pool_backward(a, b));
    else
      CCDL_KERNEL(out, avg_pool_backward(a, b, g.window, include_pad, divisor));
    if (needs_graph(t)) {
      auto node = make_ref<AvgPoolBackward>();
      node->g = g;
      node->include_pad = include_pad;
      node->adaptive = adaptive;
      node->divisor = divisor;
      node->spreads = !forward;
      record(node, {t}, out);
    }
    return out;
  }
};

}  // namespace

int64_t pool_output_size(const char* op, int64_t input, int64_t kernel, int64_t stride, int64_t padding,
                         int64_t dilation, bool ceil_mode) {
  CCDL_CHECK(kernel > 0, Runtime, op, ": kernel size should be greater than zero, but got kernel_size ",
             kernel);
  CCDL_CHECK(stride > 0, Runtime, op, ": stride should not be zero or negative, but got stride ", stride);
  CCDL_CHECK(dilation > 0, Runtime, op, ": dilation should be greater than zero, but got dilation ",
             dilation);
  CCDL_CHECK(padding >= 0, Runtime, op, ": pad must be non-negative, but got pad: ", padding);
  constexpr int64_t kLimit = int64_t{1} << 40;  // keeps the arithmetic below far from overflow
  CCDL_CHECK(kernel < kLimit && stride < kLimit && padding < kLimit && dilation < kLimit && input < kLimit &&
                 (kernel == 1 || dilation < kLimit / kernel),
             Value, op, ": kernel_size ", kernel, ", stride ", stride, ", padding ", padding, ", dilation ",
             dilation, " are too large");
  const int64_t reach = (kernel - 1) * dilation + 1;
  CCDL_CHECK(padding <= reach / 2, Runtime, op,
             ": pad should be at most half of effective kernel size, but got pad=", padding,
             ", kernel_size=", kernel, " and dilation=", dilation);
  const int64_t room = input + 2 * padding - reach;
  int64_t out = room < 0 && !ceil_mode ? 0 : (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  if (room < 0 && ceil_mode) out = room + stride - 1 >= 0 ? 1 : 0;
  if (ceil_mode && out > 0 && (out - 1) * stride >= input + padding)
    --out;  // the last window must start inside
  CCDL_CHECK(out > 0, Runtime, op, ": Output size is too small: input size ", input, " with kernel_size ",
             kernel, ", stride ", stride, ", padding ", padding, ", dilation ", dilation, " gives no output");
  return out;
}

Tensor max_pool(int nd, const Tensor& x, const PoolArgs& args) {
  const std::string op = op_name("max_pool", nd);
  const Geometry g = max_geometry(op.c_str(), nd, x, args);
  Tensor y = make(g, g.out, x, x.dtype());
  const bool track = needs_graph(x);
  const int64_t* k = g.window.kernel;
  const bool small = k[0] <= 255 && k[1] <= 255 && k[2] <= 255 && k[0] * k[1] * k[2] <= 255;
  // one byte per output: the place inside the window
  const Tensor indices = track ? make(g, g.out, x, small ? DType::UInt8 : DType::Int64) : Tensor();
  CCDL_KERNEL(x, max_pool_forward(plane_view(g, dense(x, g.format)), plane_view(g, y),
                                  track ? plane_view(g, indices) : View{}, g.window));
  if (track) record_max(g, x, y, indices, false);
  return y;
}

std::tuple<Tensor, Tensor> max_pool_with_indices(int nd, const Tensor& x, const PoolArgs& args) {
  const std::string op = op_name("max_pool", nd);
  const Geometry g = max_geometry(op.c_str(), nd, x, args);
  Tensor y = make(g, g.out, x, x.dtype()), indices = make(g, g.out, x, DType::Int64);
  CCDL_KERNEL(x, max_pool_forward(plane_view(g, dense(x, g.format)), plane_view(g, y), plane_view(g, indices),
                                  g.window));
  record_max(g, x, y, indices, false);
  return {y, indices};
}

std::tuple<Tensor, Tensor> adaptive_max_pool(int nd, const Tensor& x, const Dims& output_size) {
  const std::string op = op_name("adaptive_max_pool", nd);
  Geometry g = adaptive_geometry(op.c_str(), nd, x, output_size);
  g.window.origin = PoolWindow::kAdaptive;
  Tensor y = make(g, g.out, x, x.dtype()), indices = make(g, g.out, x, DType::Int64);
  CCDL_KERNEL(x, adaptive_max_pool_forward(plane_view(g, dense(x, g.format)), plane_view(g, y),
                                           plane_view(g, indices)));
  record_max(g, x, y, indices, false);
  return {y, indices};
}

Tensor avg_pool(int nd, const Tensor& x, const PoolArgs& args, bool count_include_pad,
                std::optional<int64_t> divisor_override) {
  const std::string op = op_name("avg_pool", nd);
  CCDL_CHECK(!divisor_override || *divisor_override != 0, Runtime, op,
             ": divisor must be not zero, got divisor_override 0");
  if (x.dtype() == DType::Int64) {  // the sum divided as whole numbers, towards zero
    const Tensor mean = avg_pool(nd, to(x, DType::Float64), args, count_include_pad, divisor_override);
    return to(mean, DType::Int64);
  }
  AvgPoolBackward call;
  call.g = window_geometry(op.c_str(), nd, x, args);
  call.include_pad = count_include_pad;
  call.divisor = divisor_override.value_or(0);
  return call.run(true, x);
}

Tensor adaptive_avg_pool(int nd, const Tensor& x, const Dims& output_size) {
  const std::string op = op_name("adaptive_avg_pool", nd);
  AvgPoolBackward call;
  call.g = adaptive_geometry(op.c_str(), nd, x, output_size);
  call.adaptive = true;
  return call.run(true, x);
}

Tensor max_unpool(int nd, const Tensor& x, const Tensor& indices, const Dims& output_size) {
  const std::string op = op_name("max_unpool", nd);
  check_input(op.c_str(), nd, x);
  CCDL_CHECK(indices.dtype() == DType::Int64, DType, op, ": elements in indices should be type int64, got ",
             describe(indices));
  CCDL_CHECK(indices.sizes() == x.sizes(), Runtime, op,
             ": Expected shape of indices to be same as that of the input (", x.sizes(), "), got ",
             indices.sizes());
  CCDL_CHECK(output_size.size() == static_cast<size_t>(nd), Value, op, ": output_size must hold ", nd,
             " ints, got ", output_size);
  check_same_device(op.c_str(), {{"input", &x}, {"indices", &indices}});
  Geometry g = base_geometry(nd, x);
  const MemoryFormat format = g.format;
  if (!x.device().is_cpu()) g.format = MemoryFormat::Contiguous;
  g.window.origin = PoolWindow::kUnknown;
  for (int i = 0; i < nd; ++i) {
    CCDL_CHECK(output_size[i] > 0, Value, op, ": output_size must be positive, got ", output_size);
    g.in[static_cast<size_t>(x.dim() - nd + i)] = output_size[i];
  }
  checked_numel(op.c_str(), g.in);
  const Tensor flat = dense(indices, g.format);
  Tensor y = make(g, g.in, x, x.dtype());
  const OpName name("max_unpool");
  const int64_t bad = CCDL_KERNEL(
      x, max_unpool_forward(plane_view(g, dense(x, g.format)), plane_view(g, flat), plane_view(g, y)));
  if (bad >= 0) {
    int64_t element = bad;  // of the indices in their logical order
    if (g.format == MemoryFormat::ChannelsLast) {
      const int64_t c = x.size(1), plane = x.size(2) * x.size(3);
      element = (bad / (c * plane) * c + bad % c) * plane + bad / c % plane;
    }
    CCDL_CHECK(false, Index, op, ": Found an invalid max index: ", flat.ptr<int64_t>()[bad], " (element ",
               element, " of indices) for output_size ", output_size);
  }
  record_max(g, x, y, flat, true);
  return g.format == format ? y : contiguous(y, format);
}

}  // namespace ccdl::ops
