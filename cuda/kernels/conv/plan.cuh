// Problems from views, and how a sum is cut into parts. Everything follows from shape, dtype and layout
// alone. Host side, and the kernel that adds the parts.
#pragma once
#include <numeric>

#include <kernels/conv/problem.cuh>

namespace ccdl::cu {

// Both views of a call are alike.
inline bool conv_channels_last(const View& a, const View& b) {
  return !a.is_contiguous() || !b.is_contiguous();
}
inline int64_t conv_plane(const View& v) { return v.sizes[2] * v.sizes[3] * v.sizes[4]; }

constexpr int64_t kConvLimit = int64_t{1} << 30;

inline ConvDim conv_dim(int64_t src, int64_t dst, int64_t taps, const ConvGeometry& g, int d, bool adjoint) {
  ConvDim out;
  const int64_t input = adjoint ? dst : src, output = adjoint ? src : dst;
  const int64_t reach = taps > 1 ? (taps - 1) * g.dilation[d] : 0;
  CCDL_CHECK(input < kConvLimit && output < kConvLimit && taps < kConvLimit && g.padding[d] < kConvLimit &&
                 reach < kConvLimit,
             Runtime, "convolution: a spatial size of 2^30 or more (input ", input, ", output ", output,
             ", kernel ", taps, ", padding ", g.padding[d], ") is not supported on CUDA");
  out.src = static_cast<int>(src);
  out.dst = static_cast<int>(dst);
  out.taps = static_cast<int>(taps);
  out.pad = static_cast<int>(g.padding[d]);
  // A stride that is never taken, or a dilation between no taps, may be anything: keep it in range.
  out.stride = static_cast<int>(least(g.stride[d], kConvLimit));
  out.dilation = taps > 1 ? static_cast<int>(g.dilation[d]) : 1;
  const int divisor = std::gcd(out.stride, out.dilation);
  out.tap_period = out.stride / divisor;
  out.tap_shift = out.dilation / divisor;
  return out;
}

inline void check_conv_counts(int64_t pixels, int64_t terms, int64_t groups) {
  CCDL_CHECK(pixels <= INT32_MAX && terms <= INT32_MAX && groups <= INT32_MAX, Runtime,
             "convolution: 2^31 or more pixels of one image (", pixels, ") or terms of one sum (", terms,
             ") are not supported on CUDA");
}

// With adjoint src is dy and dst is dx. Source pointers and strides are those of the views.
template <class T, class S>
ConvSweep<T, S> sweep_of(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
                         const void* bias, Activation activation) {
  ConvSweep<T, S> p;
  int64_t taps = 1;
  for (int d = 0; d < 3; ++d) {
    p.dim[d] = conv_dim(src.sizes[d + 2], dst.sizes[d + 2], w.sizes[d + 2], g, d, adjoint);
    p.w_dim[d] = w.strides[d + 2];
    taps *= w.sizes[d + 2];
  }
  const int64_t rows = w.sizes[0] / g.groups, channels = adjoint ? rows : w.sizes[1],
                pixels = conv_plane(dst);
  check_conv_counts(pixels, (channels + 7) * taps, g.groups);
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
  p.channels_fast = conv_channels_last(src, dst);
  const int64_t unit = p.channels_fast ? std::gcd<int64_t>(dst.sizes[1], p.columns) : pixels;
  p.out = {dst.ptr<T>(),
           static_cast<const T*>(bias),
           activation == Activation::Relu,
           aligned16(dst.data) && unit % kLanes<T> == 0,
           nullptr,
           dst.numel()};
  p.splits = 1;
  return p;
}

// dw is counted in channels, like x.
template <class T, class S>
ConvWeight<T, S> weight_of(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  ConvWeight<T, S> p;
  int64_t taps = 1;
  for (int d = 0; d < 3; ++d) {
    p.dim[d] = conv_dim(x.sizes[d + 2], dy.sizes[d + 2], dw.sizes[d + 2], g, d, false);
    p.dw_dim[d] = dw.strides[d + 2];
    taps *= dw.sizes[d + 2];
  }
  check_conv_counts(conv_plane(dy), (dw.sizes[1] + 7) * taps, g.groups);
  const int64_t rows = dw.sizes[0] / g.groups;
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
  p.channels_fast = conv_channels_last(x, dy);
  p.out = {dw.ptr<T>(), nullptr, false, false, nullptr, dw.numel()};
  p.splits = 1;
  p.split_depth = 0;
  return p;
}

// A sum over few tiles is cut into parts of at least 256 terms; unit: channels one of p.channels stands for.
template <class T, class S>
int sweep_splits(const ConvSweep<T, S>& p, int unit) {
  const int64_t tiles = ceil_div<int64_t>(p.batch * p.dim[0].dst * p.dim[1].dst * p.dim[2].dst, 64) *
                        ceil_div(p.columns, 64) * p.groups;
  int64_t depth = int64_t{p.channels} * unit;
  for (const ConvDim& d : p.dim) depth *= p.adjoint ? ceil_div(d.taps, d.tap_period) : d.taps;
  if (tiles * 2 > kEnoughBlocks) return 1;
  return static_cast<int>(
      most<int64_t>(1, least<int64_t>(least<int64_t>(ceil_div(kEnoughBlocks, tiles), 16), depth / 256)));
}
// Sets splits and split_depth: parts of at least 512 pixels, and not more than 64 MB of them.
template <class T, class S>
void split_pixels(ConvWeight<T, S>& p, int64_t columns, int64_t total) {
  const int64_t pixels = p.batch * p.dim[0].dst * p.dim[1].dst * p.dim[2].dst;
  const int64_t tiles = ceil_div<int64_t>(p.rows, 64) * ceil_div<int64_t>(columns, 64) * p.groups;
  int64_t splits = least<int64_t>(ceil_div(kEnoughBlocks, tiles), ceil_div<int64_t>(pixels, 512));
  splits = least(splits, (int64_t{1} << 26) / (total * static_cast<int64_t>(sizeof(S))) + 1);
  splits = most(most<int64_t>(splits, 1), ceil_div(pixels, kConvLimit));
  p.split_depth = static_cast<int>(ceil_div<int64_t>(most<int64_t>(ceil_div(pixels, splits), 1), 32) * 32);
  p.splits = static_cast<int>(most<int64_t>(ceil_div<int64_t>(pixels, p.split_depth), 1));
}

// result = sum of the parts in ascending order, finished.
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

inline LaunchConfig linear_config(int64_t threads) {
  return {dim3(static_cast<unsigned>(ceil_div<int64_t>(threads, 256))), dim3(256)};
}
// Runs p through run(p), in parts and their sum where p.splits says so; dst is what it computes.
template <class Problem, class Run>
void run_split(Problem p, const View& dst, bool channels_last, const Run& run) {
  if (p.splits == 1) return run(p);
  using S = std::remove_pointer_t<decltype(p.out.partial)>;
  using T = std::remove_pointer_t<decltype(p.out.data)>;
  const int64_t total = dst.numel();
  const Scratch partial(p.splits * total * static_cast<int64_t>(sizeof(S)));
  p.out.partial = partial.template ptr<S>();
  run(p);
  CCDL_LAUNCH(linear_config(total), (conv_finish_kernel<T, S>), p.out, p.splits,
              Divider<int64_t>(channels_last ? 1 : conv_plane(dst)), Divider<int64_t>(dst.sizes[1]),
              dst.sizes[1], total);
}

// On the tensor cores, operands packed as they need it (conv_packed.cu): half formats; float by one or three
// tf32 products.
template <class T>
void sweep_packed(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
                  const void* bias, Activation activation);
template <class T>
void weight_packed(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

// One channel per group, few outputs of each (depthwise_*.cu).
template <class T>
void sweep_depthwise(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
                     const void* bias, Activation activation);
template <class T>
void weight_depthwise(const View& x, const View& dy, const View& dw, const ConvGeometry& g);
#define CCDL_CONV_TYPE(T)                                                                                \
  template <>                                                                                            \
  void sweep_depthwise<T>(const View&, const View&, const View&, const ConvGeometry&, bool, const void*, \
                          Activation);                                                                   \
  template <>                                                                                            \
  void weight_depthwise<T>(const View&, const View&, const View&, const ConvGeometry&);
CCDL_CONV_TYPE(float)
CCDL_CONV_TYPE(double)
CCDL_CONV_TYPE(float16)
CCDL_CONV_TYPE(bfloat16)
#undef CCDL_CONV_TYPE

}  // namespace ccdl::cu
