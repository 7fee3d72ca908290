// Entry points of convolution: problems from views, the choice of kernel, and the sum of split results.
// Everything is chosen by shape, dtype and layout alone. 1x1 convolutions are matrix products; convolutions
// of one channel per group have their own kernels; the rest is an implicit GEMM over either layout.
#include <numeric>

#include <kernels/conv/problem.cuh>

namespace ccdl::cu {
namespace {

// C order of the spatial dims; both layouts of a call alike.
bool channels_last(const View& a, const View& b) { return !a.is_contiguous() || !b.is_contiguous(); }

constexpr int64_t kLimit = int64_t{1} << 30;

ConvDim conv_dim(int64_t src, int64_t dst, int64_t taps, const ConvGeometry& g, int d, bool adjoint) {
  ConvDim out;
  const int64_t input = adjoint ? dst : src, output = adjoint ? src : dst;
  const int64_t reach = taps > 1 ? (taps - 1) * g.dilation[d] : 0;
  CCDL_CHECK(input < kLimit && output < kLimit && taps < kLimit && g.padding[d] < kLimit && reach < kLimit,
             Runtime, "convolution: a spatial size of 2^30 or more (input ", input, ", output ", output,
             ", kernel ", taps, ", padding ", g.padding[d], ") is not supported on CUDA");
  out.src = static_cast<int>(src);
  out.dst = static_cast<int>(dst);
  out.taps = static_cast<int>(taps);
  out.pad = static_cast<int>(g.padding[d]);
  // A stride that is never taken, or a dilation between no taps, may be anything: keep it in range.
  out.stride = static_cast<int>(least(g.stride[d], kLimit));
  out.dilation = taps > 1 ? static_cast<int>(g.dilation[d]) : 1;
  const int divisor = std::gcd(out.stride, out.dilation);
  out.tap_period = out.stride / divisor;
  out.tap_shift = out.dilation / divisor;
  return out;
}

template <class T>
ConvSweep<T, T> sweep_of(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
                         const void* bias, Activation activation) {
  ConvSweep<T, T> p;
  int64_t taps = 1, pixels = 1;
  for (int d = 0; d < 3; ++d) {
    p.dim[d] = conv_dim(src.sizes[d + 2], dst.sizes[d + 2], w.sizes[d + 2], g, d, adjoint);
    p.w_dim[d] = w.strides[d + 2];
    taps *= w.sizes[d + 2];
    pixels *= dst.sizes[d + 2];
  }
  const int64_t rows = w.sizes[0] / g.groups, channels = adjoint ? rows : w.sizes[1];
  CCDL_CHECK(pixels <= INT32_MAX && channels * taps <= INT32_MAX && g.groups <= INT32_MAX, Runtime,
             "convolution: 2^31 or more pixels of one image (", pixels, ") or terms of one sum (", channels,
             " * ", taps, ") are not supported on CUDA");
  p.adjoint = adjoint;
  p.batch = src.sizes[0];
  p.groups = static_cast<int>(g.groups);
  p.channels = static_cast<int>(channels);
  p.columns = static_cast<int>(adjoint ? w.sizes[1] : rows);
  p.src = src.ptr<T>();
  p.src_stride = conv_strides(src);
  p.w = w.ptr<T>();
  p.w_group = rows * w.strides[0];
  p.w_column = w.strides[adjoint ? 1 : 0];
  p.w_channel = w.strides[adjoint ? 0 : 1];
  p.dst_stride = conv_strides(dst);
  p.channels_fast = channels_last(src, dst);
  constexpr int64_t kLanes16 = 16 / static_cast<int64_t>(sizeof(T));
  const int64_t unit = p.channels_fast ? std::gcd<int64_t>(dst.sizes[1], p.columns) : pixels;
  p.out = {dst.ptr<T>(),
           static_cast<const T*>(bias),
           activation == Activation::Relu,
           aligned16(dst.data) && unit % kLanes16 == 0,
           nullptr,
           dst.numel()};
  p.splits = 1;
  return p;
}

// y = sum of the parts in ascending order, finished.
template <class T, class S>
__global__ void __launch_bounds__(256)
    conv_finish_kernel(ConvOutput<T, S> out, int splits, Divider<int64_t> by_inner,
                       Divider<int64_t> by_channels, int64_t channels, int64_t total) {
  const int64_t i = int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (i >= total) return;
  S sum = out.partial[i];
  for (int s = 1; s < splits; ++s) sum += out.partial[s * out.partial_split + i];
  const int64_t outer = by_inner.div(i);
  out.data[i] = out.finish(sum, outer - by_channels.div(outer) * channels);
}
template <class T, class S>
void finish_splits(const ConvOutput<T, S>& out, int splits, int64_t inner, int64_t channels, int64_t total) {
  CCDL_LAUNCH((LaunchConfig{dim3(static_cast<unsigned>(ceil_div<int64_t>(total, 256))), dim3(256)}),
              (conv_finish_kernel<T, S>), out, splits, Divider<int64_t>(inner), Divider<int64_t>(channels),
              channels, total);
}

constexpr int64_t kEnoughBlocks =
    264;  // two per multiprocessor of a large device; a constant, never the device's

// A sum over few tiles is cut into parts of at least 256 terms.
template <class T>
int sweep_splits(const ConvSweep<T, T>& p) {
  int64_t tiles = ceil_div<int64_t>(p.batch * p.dim[0].dst * p.dim[1].dst * p.dim[2].dst, 64) *
                  ceil_div(p.columns, 64) * p.groups,
          depth = p.channels;
  for (const ConvDim& d : p.dim) depth *= p.adjoint ? ceil_div(d.taps, d.tap_period) : d.taps;
  if (tiles * 2 > kEnoughBlocks) return 1;
  return static_cast<int>(
      most<int64_t>(1, least<int64_t>(least<int64_t>(ceil_div(kEnoughBlocks, tiles), 16), depth / 256)));
}

template <class T>
void run_sweep(ConvSweep<T, T> p, const View& dst) {
  p.splits = sweep_splits(p);
  if (p.splits == 1) return conv_sweep_simt(p);
  const int64_t total = dst.numel(), plane = dst.sizes[2] * dst.sizes[3] * dst.sizes[4];
  const Scratch partial(p.splits * total * static_cast<int64_t>(sizeof(T)));
  p.out.partial = partial.ptr<T>();
  conv_sweep_simt(p);
  finish_splits(p.out, p.splits, p.channels_fast ? 1 : plane, dst.sizes[1], total);
}

template <class T>
void run_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  ConvWeight<T, T> p;
  int64_t taps = 1, pixels = dy.sizes[0], image = 1;
  for (int d = 0; d < 3; ++d) {
    p.dim[d] = conv_dim(x.sizes[d + 2], dy.sizes[d + 2], dw.sizes[d + 2], g, d, false);
    p.dw_dim[d] = dw.strides[d + 2];
    taps *= dw.sizes[d + 2];
    image *= dy.sizes[d + 2];
  }
  pixels *= image;
  const int64_t rows = dw.sizes[0] / g.groups, columns = dw.sizes[1] * taps, total = dw.numel();
  CCDL_CHECK(image <= INT32_MAX && columns <= INT32_MAX && g.groups <= INT32_MAX, Runtime,
             "convolution: 2^31 or more pixels of one image (", image, ") or weights of one output channel (",
             columns, ") are not supported on CUDA");
  p.batch = x.sizes[0];
  p.groups = static_cast<int>(g.groups);
  p.rows = static_cast<int>(rows);
  p.channels = static_cast<int>(dw.sizes[1]);
  p.x = x.ptr<T>();
  p.x_stride = conv_strides(x);
  p.dy = dy.ptr<T>();
  p.dy_stride = conv_strides(dy);
  p.dw_row = dw.strides[0];
  p.dw_channel = dw.strides[1];
  p.dw_group = rows * dw.strides[0];
  p.channels_fast = channels_last(x, dy);
  p.out = {dw.ptr<T>(), nullptr, false, false, nullptr, total};
  const int64_t tiles = ceil_div<int64_t>(rows, 64) * ceil_div<int64_t>(columns, 64) * g.groups;
  int64_t splits = least<int64_t>(ceil_div(kEnoughBlocks, tiles), ceil_div<int64_t>(pixels, 512));
  splits =
      least(splits, (int64_t{1} << 26) / (total * static_cast<int64_t>(sizeof(T))) + 1);  // of scratch bytes
  splits = most(most<int64_t>(splits, 1), ceil_div(pixels, kLimit));
  p.split_depth = static_cast<int>(ceil_div<int64_t>(most<int64_t>(ceil_div(pixels, splits), 1), 32) * 32);
  p.splits = static_cast<int>(most<int64_t>(ceil_div<int64_t>(pixels, p.split_depth), 1));
  if (p.splits == 1) return conv_weight_simt(p);
  const Scratch partial(p.splits * total * static_cast<int64_t>(sizeof(T)));
  p.out.partial = partial.ptr<T>();
  conv_weight_simt(p);
  finish_splits(p.out, p.splits, 1, 1, total);
}

// ---- 1x1, stride 1: a matrix product ----

bool is_pointwise(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  bool same = g.groups == 1;
  for (int d = 0; d < 3; ++d)
    same = same && w.sizes[d + 2] == 1 && g.padding[d] == 0 && x.sizes[d + 2] == y.sizes[d + 2];
  return same;
}
View matrix(const View& like, int64_t batch, int64_t rows, int64_t columns, int64_t batch_stride,
            int64_t row_stride, int64_t column_stride) {
  View v = like;
  v.ndim = 3;
  v.sizes[0] = batch;
  v.sizes[1] = rows;
  v.sizes[2] = columns;
  v.strides[0] = batch_stride;
  v.strides[1] = row_stride;
  v.strides[2] = column_stride;
  return v;
}
// [pixels, channels] of a channels-last tensor, or [N][channels, pixels].
View activation_matrix(const View& x, bool last) {
  const int64_t n = x.sizes[0], c = x.sizes[1], plane = x.sizes[2] * x.sizes[3] * x.sizes[4];
  return last ? matrix(x, 1, n * plane, c, n * plane * c, c, 1) : matrix(x, n, c, plane, c * plane, plane, 1);
}
View transposed(View m) {
  std::swap(m.sizes[1], m.sizes[2]);
  std::swap(m.strides[1], m.strides[2]);
  return m;
}
// w [K, C] for every batch of `of`.
View weight_matrix(const View& w, const View& of) {
  return matrix(w, of.sizes[0], w.sizes[0], w.sizes[1], 0, w.strides[0], w.strides[1]);
}

}  // namespace

void conv_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& geometry,
                  Activation activation) {
  if (y.numel() == 0) return;
  if (is_pointwise(x, w, y, geometry)) {
    const bool last = channels_last(x, y);
    const View a = activation_matrix(x, last), c = activation_matrix(y, last);
    GemmEpilogue epilogue{bias, last ? 0 : 1, last ? 1 : 0, activation};
    if (bias == nullptr) epilogue.row_stride = epilogue.column_stride = 0;
    if (last) return gemm(a, transposed(weight_matrix(w, a)), c, 1, 0, epilogue);
    return gemm(weight_matrix(w, a), a, c, 1, 0, epilogue);
  }
  if (x.dtype == DType::Float64)
    run_sweep(sweep_of<double>(x, w, y, geometry, false, bias, activation), y);
  else
    run_sweep(sweep_of<float>(x, w, y, geometry, false, bias, activation), y);
}

void conv_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& geometry) {
  if (dx.numel() == 0) return;
  if (is_pointwise(dx, w, dy, geometry)) {
    const bool last = channels_last(dy, dx);
    const View a = activation_matrix(dy, last), c = activation_matrix(dx, last);
    if (last) return gemm(a, weight_matrix(w, a), c, 1, 0, {});
    return gemm(transposed(weight_matrix(w, a)), a, c, 1, 0, {});
  }
  if (dy.dtype == DType::Float64)
    run_sweep(sweep_of<double>(dy, w, dx, geometry, true, nullptr, Activation::None), dx);
  else
    run_sweep(sweep_of<float>(dy, w, dx, geometry, true, nullptr, Activation::None), dx);
}

void conv_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& geometry) {
  if (dw.numel() == 0) return;
  const bool last = channels_last(x, dy);
  if (is_pointwise(x, dw, dy, geometry) && (last || x.sizes[0] == 1) && dw.strides[1] == 1 &&
      dy.numel() > 0) {
    const View a = activation_matrix(dy, last), b = activation_matrix(x, last), c = weight_matrix(dw, a);
    if (last) return gemm(transposed(a), b, c, 1, 0, {});
    return gemm(a, transposed(b), c, 1, 0, {});
  }
  if (x.dtype == DType::Float64)
    run_weight<double>(x, dy, dw, geometry);
  else
    run_weight<float>(x, dy, dw, geometry);
}

}  // namespace ccdl::cu
