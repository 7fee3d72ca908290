// Convolution of one channel per group, over either layout. Sweeps of 3, 5 or 7 taps along W slide a register
// window over four outputs and, with channels innermost, a 16-byte vector of channels per thread, weights of
// the block's channels in shared memory; anything else takes a thread per output. The weight gradient sums
// parts of the pixels for eight taps at once, the parts are added in order. Bound: bytes of source and result
// once.
#pragma once
#include <kernels/conv/place.cuh>
#include <kernels/conv/plan.cuh>

namespace ccdl::cu {

constexpr int kDepthwiseThreads = 256;
constexpr int kRun = 4;    // outputs of a thread along W
constexpr int kTurns = 4;  // runs of a thread

// How outputs are dealt out: a position along the listed dims, channels among the lanes or in the position.
struct DepthwiseMap {
  int64_t positions;  // [N, (channels if not innermost), D, H, runs along W]
  int lanes;          // channel vectors a block covers
  unsigned channel_blocks;
  Divider<int64_t> by_w, by_h, by_d, by_channels;
  int runs, channels;  // along W; in the position (1 if innermost)
};
struct DepthwisePlace {
  int64_t image;
  int channel, d, h, w;
};
CCDL_DEVICE DepthwisePlace depthwise_place(const DepthwiseMap& m, const ConvDim* dim, int64_t i) {
  DepthwisePlace p;
  int64_t next = m.by_w.div(i);
  p.w = static_cast<int>(i - next * m.runs);
  i = next;
  next = m.by_h.div(i);
  p.h = static_cast<int>(i - next * dim[1].dst);
  i = next;
  next = m.by_d.div(i);
  p.d = static_cast<int>(i - next * dim[0].dst);
  p.image = m.by_channels.div(next);
  p.channel = static_cast<int>(next - p.image * m.channels);
  return p;
}
CCDL_DEVICE int64_t image_offset(const ConvStrides& s, const DepthwisePlace& at, int channel) {
  return at.image * s.batch + channel * s.channel;
}

// kLast: channels innermost, V of them per thread; else V is 1.
template <class T, int V, bool kLast, int Taps, int Stride>
__global__ void __launch_bounds__(kDepthwiseThreads, 2)
    depthwise_slide_kernel(const ConvSweep<T, Compute<T>> p, const DepthwiseMap m) {
  using S = Compute<T>;
  S* weights = dyn_smem<S>();  // [tap][lane][V] of this block's channels
  const int thread = static_cast<int>(threadIdx.x), lane = thread % m.lanes, width = m.lanes * V;
  const int taps_dh = p.dim[0].taps * p.dim[1].taps;
  int channel = static_cast<int>(blockIdx.x % m.channel_blocks) * width + lane * V;
  if constexpr (kLast) {
    const int first = channel - lane * V;
    for (int i = thread; i < taps_dh * Taps * width; i += kDepthwiseThreads) {
      const int c = first + i % width, tap = i / width, row = tap / Taps;
      weights[i] = c < p.groups ? convert<S>(p.w[c * p.w_group + row / p.dim[1].taps * p.w_dim[0] +
                                                 row % p.dim[1].taps * p.w_dim[1] + tap % Taps * p.w_dim[2]])
                                : S(0);
    }
    __syncthreads();  // all weights are there
    if (channel >= p.groups) return;
  }
  const int64_t in_block = kDepthwiseThreads / m.lanes;
  const int64_t first = blockIdx.x / m.channel_blocks * (in_block * kTurns) + thread / m.lanes;
  for (int turn = 0; turn < kTurns; ++turn) {
    const int64_t i = first + turn * in_block;
    if (i >= m.positions) return;
    const DepthwisePlace at = depthwise_place(m, p.dim, i);
    if constexpr (!kLast) channel = at.channel;
    const T* image = p.src + image_offset(p.src_stride, at, channel);
    const int w0 = at.w * kRun;
    S acc[kRun][V];
#pragma unroll
    for (int r = 0; r < kRun; ++r)
#pragma unroll
      for (int v = 0; v < V; ++v) acc[r][v] = S(0);
#pragma unroll 1
    for (int row = 0; row < taps_dh; ++row) {
      const int td = row / p.dim[1].taps, th = row - td * p.dim[1].taps;
      const int d = at.d * p.dim[0].stride - p.dim[0].pad + td * p.dim[0].dilation;
      const int h = at.h * p.dim[1].stride - p.dim[1].pad + th * p.dim[1].dilation;
      if (d < 0 || d >= p.dim[0].src || h < 0 || h >= p.dim[1].src) continue;
      S tap[Taps][V];
#pragma unroll
      for (int t = 0; t < Taps; ++t)
#pragma unroll
        for (int v = 0; v < V; ++v)
          tap[t][v] =
              kLast
                  ? weights[(row * Taps + t) * width + lane * V + v]
                  : convert<S>(p.w[channel * p.w_group + td * p.w_dim[0] + th * p.w_dim[1] + t * p.w_dim[2]]);
      const T* line = image + d * p.src_stride.dim[0] + h * p.src_stride.dim[1];
#pragma unroll
      for (int x = 0; x < (kRun - 1) * Stride + Taps; ++x) {
        const int w = w0 * Stride - p.dim[2].pad + x;
        if (w < 0 || w >= p.dim[2].src) continue;
        const Vec<T, V> value = load_vec<T, V>(line + w * p.src_stride.dim[2]);
#pragma unroll
        for (int r = 0; r < kRun; ++r) {
          const int t = x - r * Stride;
          if (t < 0 || t >= Taps) continue;
#pragma unroll
          for (int v = 0; v < V; ++v) acc[r][v] = fma(convert<S>(value[v]), tap[t][v], acc[r][v]);
        }
      }
    }
    T* out = p.out.data + image_offset(p.dst_stride, at, channel) + at.d * p.dst_stride.dim[0] +
             at.h * p.dst_stride.dim[1];
#pragma unroll
    for (int r = 0; r < kRun; ++r) {
      if (w0 + r >= p.dim[2].dst) break;
      Vec<T, V> y;
#pragma unroll
      for (int v = 0; v < V; ++v) y[v] = p.out.finish(acc[r][v], channel + v);
      store_vec(out + (w0 + r) * p.dst_stride.dim[2], y);
    }
  }
}

// Source position of output i through tap t of one dim, -1 if there is none.
CCDL_DEVICE int source_of(const ConvDim& d, const Divider<int32_t>& by_stride, bool adjoint, int i, int t) {
  int at;
  if (adjoint) {
    const int shifted = i + d.pad - t * d.dilation;
    if (shifted < 0) return -1;
    at = by_stride.div(shifted);
    if (at * d.stride != shifted) return -1;
  } else {
    at = i * d.stride - d.pad + t * d.dilation;
  }
  return at < d.src ? at : -1;
}

struct ByStrides {
  Divider<int32_t> by[3];
};

// One output per thread. Forward: p.columns outputs per group; adjoint: p.channels of dy are summed.
template <class T, bool kLast>
__global__ void __launch_bounds__(kDepthwiseThreads, 2)
    depthwise_plain_kernel(const ConvSweep<T, Compute<T>> p, const DepthwiseMap m, const ByStrides by) {
  using S = Compute<T>;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t i = blockIdx.x / m.channel_blocks * int64_t{kDepthwiseThreads / m.lanes} + thread / m.lanes;
  if (i >= m.positions) return;
  const DepthwisePlace at = depthwise_place(m, p.dim, i);
  const int channel =
      kLast ? static_cast<int>(blockIdx.x % m.channel_blocks) * m.lanes + thread % m.lanes : at.channel;
  if (channel >= p.groups * p.columns) return;
  const int group = channel / p.columns;
  S sum = S(0);
  for (int c = 0; c < p.channels; ++c) {
    const T* image = p.src + image_offset(p.src_stride, at, group * p.channels + c);
    const T* w = p.w + group * p.w_group + (channel - group * p.columns) * p.w_column + c * p.w_channel;
    for (int td = 0; td < p.dim[0].taps; ++td) {
      const int d = source_of(p.dim[0], by.by[0], p.adjoint, at.d, td);
      for (int th = 0; th < p.dim[1].taps && d >= 0; ++th) {
        const int h = source_of(p.dim[1], by.by[1], p.adjoint, at.h, th);
        if (h < 0) continue;
        const T* line = image + d * p.src_stride.dim[0] + h * p.src_stride.dim[1];
        const T* row = w + td * p.w_dim[0] + th * p.w_dim[1];
        for (int tw = 0; tw < p.dim[2].taps; ++tw) {
          const int x = source_of(p.dim[2], by.by[2], p.adjoint, at.w, tw);
          if (x >= 0)
            sum = fma(convert<S>(line[x * p.src_stride.dim[2]]), convert<S>(row[tw * p.w_dim[2]]), sum);
        }
      }
    }
  }
  p.out.data[image_offset(p.dst_stride, at, channel) + at.d * p.dst_stride.dim[0] +
             at.h * p.dst_stride.dim[1] + at.w * p.dst_stride.dim[2]] = p.out.finish(sum, channel);
}

constexpr int kTapsAtOnce = 8;

// Threads of a block are [pixel lanes][channel lanes]; blocks [split][tap group][channel block].
template <class T>
__global__ void __launch_bounds__(kDepthwiseThreads, 2)
    depthwise_weight_kernel(const ConvWeight<T, Compute<T>> p, int lanes) {
  using S = Compute<T>;
  CCDL_SHARED(S, sums, [kDepthwiseThreads]);
  CCDL_SHARED(ConvSpot, spots, [kTapsAtOnce]);
  CCDL_SHARED(int64_t, places, [kTapsAtOnce]);
  CCDL_SHARED(PixelProducer, producer, [1]);
  const int thread = static_cast<int>(threadIdx.x), taps = p.dim[0].taps * p.dim[1].taps * p.dim[2].taps;
  const int outputs = p.groups * p.rows;
  const unsigned channel_blocks = static_cast<unsigned>(ceil_div(outputs, lanes)),
                 tap_groups = static_cast<unsigned>(ceil_div(taps, kTapsAtOnce));
  const int channel = static_cast<int>(blockIdx.x % channel_blocks) * lanes + thread % lanes;
  const int tap0 = static_cast<int>(blockIdx.x / channel_blocks % tap_groups) * kTapsAtOnce;
  const int64_t split = blockIdx.x / channel_blocks / tap_groups;
  if (thread == 0) place_pixels(p, split, producer[0].map);
  if (thread < kTapsAtOnce) spots[thread] = column_spot(p, tap0 + thread, places[thread]);
  __syncthreads();  // pixels and taps are known
  const PixelMap& map = producer[0].map;
  const int group = channel / p.rows;
  const T* x = p.x + group * p.x_stride.channel;
  const T* dy = p.dy + channel * p.dy_stride.channel;
  S acc[kTapsAtOnce];
#pragma unroll
  for (int t = 0; t < kTapsAtOnce; ++t) acc[t] = S(0);
  for (int i = thread / lanes; i < map.limit && channel < outputs; i += kDepthwiseThreads / lanes) {
    const ConvSpot s = map.spot(i, p.x_stride);
    const S g = convert<S>(dy[map.target(i, p.dy_stride)]);
#pragma unroll
    for (int t = 0; t < kTapsAtOnce; ++t) {
      bool in = true;
#pragma unroll
      for (int d = 0; d < 3; ++d)
        in = in && static_cast<unsigned>(s.at[d] + spots[t].at[d]) < static_cast<unsigned>(p.dim[d].src);
      if (in) acc[t] = fma(g, convert<S>(x[s.offset + spots[t].offset]), acc[t]);
    }
  }
  const int64_t base = group * p.dw_group + (channel - group * p.rows) * p.dw_row;
#pragma unroll
  for (int t = 0; t < kTapsAtOnce; ++t) {
    sums[thread] = acc[t];
    for (int half = kDepthwiseThreads / lanes / 2; half > 0; half /= 2) {
      __syncthreads();  // both halves have their sums
      if (thread < half * lanes) sums[thread] += sums[thread + half * lanes];
    }
    if (thread < lanes && channel < outputs && places[t] >= 0) {
      if (p.out.partial != nullptr)
        p.out.partial[split * p.out.partial_split + base + places[t]] = sums[thread];
      else
        p.out.data[base + places[t]] = convert<T>(sums[thread]);
    }
    __syncthreads();  // the sums may be overwritten
  }
}

}  // namespace ccdl::cu
