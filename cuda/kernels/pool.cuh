// Geometry shared by max and average pooling on the device. Both layouts are one: [images, D, H, W,
// channels], a contiguous tensor being N * C images of one channel. Channels are counted in vectors of V
// elements. I is int32_t where every element count and window bound fits, with divisions by multiplication.
#pragma once
#include <ccdl/kernels/pool.h>
#include <runtime/launch.h>
#include <device/divider.cuh>
#include <device/vec.cuh>

namespace ccdl::cu {

// Input positions begin, begin + dilation, ... < end of one output index; `full` counts the window before
// clipping to the input but after clipping to the padded input; tap is the window index of begin.
template <class I>
struct PoolDim;
template <class I>
struct PoolSpan {
  I begin, end, full, tap;
  CCDL_DEVICE int count(const PoolDim<I>& dim) const;
};

template <class I>
struct PoolDim {
  I in, out, kernel, stride, pad, dilation;
  Divider<I> by_in, by_out, by_stride, by_dilation;
  bool adaptive;

  CCDL_DEVICE PoolSpan<I> span(I o) const {
    if (adaptive) {
      const I begin = by_out.div(o * in), end = by_out.div((o + 1) * in + out - 1);
      return {begin, end, end - begin, 0};
    }
    const I start = o * stride - pad, stop = start + (kernel - 1) * dilation + 1;
    const I tap = start < 0 ? by_dilation.div(dilation - 1 - start) : 0;
    return {start + tap * dilation, least(stop, in), least(stop, in + pad) - start, tap};
  }
  // The outputs [first, last] whose windows may hold input position p; tap_of tells which do.
  CCDL_DEVICE void covering(I p, I& first, I& last) const {
    if (adaptive) {
      first = by_in.div(p * out);
      last = by_in.div((p + 1) * out + in - 1) - 1;
      return;
    }
    const I behind = p + pad - (kernel - 1) * dilation;
    first = behind > 0 ? by_stride.div(behind + stride - 1) : 0;
    last = least(by_stride.div(p + pad), out - 1);
  }
  // Window index of input position p in output o's window, -1 if a dilated window skips it.
  CCDL_DEVICE I tap_of(I o, I p) const {
    if (adaptive || dilation == 1) return adaptive ? 0 : p + pad - o * stride;
    const I distance = p + pad - o * stride, tap = by_dilation.div(distance);
    return tap * dilation == distance ? tap : -1;
  }
};

template <class I>
CCDL_DEVICE int PoolSpan<I>::count(const PoolDim<I>& dim) const {
  return end > begin ? static_cast<int>(dim.by_dilation.div(end - begin + dim.dilation - 1)) : 0;
}

template <class I>
struct PoolPlace {
  I image, d, h, w, channel;
};

template <class I>
struct PoolShape {
  int64_t images;
  I channels;  // vectors
  Divider<I> by_channels;
  PoolDim<I> d, h, w;

  // Linear positions run over [images, D, H, W, channels] of the output or the input.
  CCDL_DEVICE PoolPlace<I> output_place(I i) const {
    return place(i, d.by_out, h.by_out, w.by_out, d.out, h.out, w.out);
  }
  CCDL_DEVICE PoolPlace<I> input_place(I i) const {
    return place(i, d.by_in, h.by_in, w.by_in, d.in, h.in, w.in);
  }
  CCDL_DEVICE int64_t input_start(const PoolPlace<I>& p) const {
    return int64_t{p.image} * d.in * h.in * w.in * channels + p.channel;
  }
  CCDL_DEVICE int64_t output_start(const PoolPlace<I>& p) const {
    return int64_t{p.image} * d.out * h.out * w.out * channels + p.channel;
  }
  CCDL_HD int64_t plane_in() const { return int64_t{d.in} * h.in * w.in; }
  CCDL_HD int64_t plane_out() const { return int64_t{d.out} * h.out * w.out; }

 private:
  CCDL_DEVICE PoolPlace<I> place(I i, const Divider<I>& by_d, const Divider<I>& by_h, const Divider<I>& by_w,
                                 I nd, I nh, I nw) const {
    PoolPlace<I> p;
    I rest = by_channels.div(i);
    p.channel = i - rest * channels;
    I next = by_w.div(rest);
    p.w = rest - next * nw;
    rest = next;
    next = by_h.div(rest);
    p.h = rest - next * nh;
    p.image = by_d.div(next);
    p.d = next - p.image * nd;
    return p;
  }
};

// Where a plane position lies for the uint8 code of output (od, oh, ow), or -1 outside the plane.
template <class I>
CCDL_DEVICE int64_t plane_of_code(const PoolShape<I>& g, const PoolPlace<I>& o, int code) {
  const int across = static_cast<int>(g.w.kernel), down = static_cast<int>(g.h.kernel);
  const int kw = code % across, kh = code / across % down, kd = code / across / down;
  const I d = o.d * g.d.stride - g.d.pad + kd * g.d.dilation,
          h = o.h * g.h.stride - g.h.pad + kh * g.h.dilation,
          w = o.w * g.w.stride - g.w.pad + kw * g.w.dilation;
  if (d < 0 || d >= g.d.in || h < 0 || h >= g.h.in || w < 0 || w >= g.w.in) return -1;
  return (int64_t{d} * g.h.in + h) * g.w.in + w;
}

// ---- host side ----

inline bool pool_channels_last(const View& input, const View& output) {
  return !input.is_contiguous() || !output.is_contiguous();
}
// Every position of the call's views and every window bound fits in 31 bits.
inline bool pool_is_small(const View& input, const View& output, const PoolWindow& w, bool adaptive) {
  if (input.numel() > INT32_MAX || output.numel() > INT32_MAX) return false;
  const int64_t limit = INT32_MAX / 4;
  for (int i = 0; i < 3; ++i) {
    if (input.sizes[i + 2] > limit / most<int64_t>(output.sizes[i + 2], 1) && adaptive) return false;
    if (adaptive) continue;
    if (w.pad[i] > limit || w.dilation[i] > limit || w.kernel[i] > limit / w.dilation[i] ||
        w.stride[i] > limit || output.sizes[i + 2] > limit / w.stride[i] || input.sizes[i + 2] > limit)
      return false;
  }
  return true;
}
// window null: adaptive.
template <class I>
PoolShape<I> pool_shape(const View& input, const View& output, const PoolWindow* window, int vector) {
  PoolShape<I> g;
  const bool last = pool_channels_last(input, output);
  g.images = last ? input.sizes[0] : input.sizes[0] * input.sizes[1];
  g.channels = static_cast<I>(last ? input.sizes[1] / vector : 1);
  g.by_channels = Divider<I>(g.channels);
  PoolDim<I>* dims[3] = {&g.d, &g.h, &g.w};
  for (int i = 0; i < 3; ++i) {
    PoolDim<I>& dim = *dims[i];
    dim.in = static_cast<I>(input.sizes[i + 2]);
    dim.out = static_cast<I>(output.sizes[i + 2]);
    dim.adaptive = window == nullptr;
    dim.kernel = static_cast<I>(window ? window->kernel[i] : 1);
    dim.stride = static_cast<I>(window ? window->stride[i] : 1);
    dim.pad = static_cast<I>(window ? window->pad[i] : 0);
    dim.dilation = static_cast<I>(window ? window->dilation[i] : 1);
    dim.by_in = Divider<I>(most<I>(dim.in, 1));
    dim.by_out = Divider<I>(most<I>(dim.out, 1));
    dim.by_stride = Divider<I>(dim.stride);
    dim.by_dilation = Divider<I>(dim.dilation);
  }
  return g;
}
// Elements of the largest window.
template <class I>
int64_t pool_window_elements(const PoolShape<I>& g) {
  int64_t n = 1;
  for (const PoolDim<I>* dim : {&g.d, &g.h, &g.w})
    n *= dim->adaptive
             ? ceil_div<int64_t>(dim->in, most<I>(dim->out, 1)) + (dim->in % most<I>(dim->out, 1) != 0)
             : least(dim->kernel, dim->in);
  return n;
}

constexpr int kPoolThreads = 256;
inline LaunchConfig pool_config(int64_t threads) {
  return {dim3(static_cast<unsigned>(ceil_div<int64_t>(threads, kPoolThreads))), dim3(kPoolThreads)};
}

// fn(T(), vector width constant, index type tag): 16-byte channel vectors where the layout allows them.
template <int V>
struct PoolVector {
  static constexpr int kValue = V;
};
template <class T, class F>
void with_pool_types(bool vectors, bool small, const F& fn) {
  if (small && vectors)
    fn(T(), PoolVector<kLanes<T>>(), int32_t());
  else if (small)
    fn(T(), PoolVector<1>(), int32_t());
  else
    fn(T(), PoolVector<1>(), int64_t());
}
template <class F>
void with_pool_dtype(DType dtype, bool vectors, bool small, const F& fn) {
  switch (dtype) {
    case DType::Float16:
      return with_pool_types<float16>(vectors, small, fn);
    case DType::BFloat16:
      return with_pool_types<bfloat16>(vectors, small, fn);
    case DType::Float64:
      return with_pool_types<double>(vectors, small, fn);
    default:
      return with_pool_types<float>(vectors, small, fn);
  }
}
// Channels of both views may move in 16-byte vectors (indices: one vector of bytes each).
inline bool pool_vectors(const View& a, const View& b, const void* codes = nullptr) {
  const int64_t lanes = 16 / item_size(a.dtype);
  return pool_channels_last(a, b) && a.sizes[1] % lanes == 0 && aligned16(a.data) && aligned16(b.data) &&
         reinterpret_cast<uintptr_t>(codes) % static_cast<uintptr_t>(lanes) == 0;
}

// ---- windows too long for one thread: a block per output position and up to 32 channel vectors ----

// Threads of a block are [parts][lanes]; lanes run over channel vectors.
template <class I>
int pool_lanes_log2(const PoolShape<I>& g) {
  int log2 = 0;
  while (log2 < 5 && (1 << log2) < g.channels) ++log2;
  return log2;
}
template <class I>
bool pool_is_wide(const PoolShape<I>& g) {
  const int64_t outputs = g.images * g.plane_out() * g.channels;
  const int64_t elements = pool_window_elements(g);
  return elements >= 64 && elements <= INT32_MAX / 2 && (g.channels == 1 || outputs < (1 << 16));
}
template <class I>
LaunchConfig pool_wide_config(const PoolShape<I>& g) {
  const int64_t blocks = g.images * g.plane_out() * ceil_div<int64_t>(g.channels, 1 << pool_lanes_log2(g));
  return {dim3(static_cast<unsigned>(blocks)), dim3(kPoolThreads)};
}
// The output of this thread's block; p.channel may lie past the end.
template <class I>
CCDL_DEVICE PoolPlace<I> pool_wide_place(const PoolShape<I>& g, int lanes_log2) {
  const int lanes = 1 << lanes_log2;
  const unsigned groups = static_cast<unsigned>((g.channels + lanes - 1) >> lanes_log2),
                 position = blockIdx.x / groups;
  PoolPlace<I> p = g.output_place(static_cast<I>(position) * g.channels);
  p.channel = static_cast<I>(((blockIdx.x - position * groups) << lanes_log2) + (threadIdx.x & (lanes - 1)));
  return p;
}

}  // namespace ccdl::cu
