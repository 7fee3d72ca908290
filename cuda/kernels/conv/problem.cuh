// A convolution as the kernels see it. A sweep computes dst[pixel, column] = sum over (channel, tap) of
// src[pixel's position + tap's shift, channel] * w: the forward with src = x, and its adjoint in the input
// with src = dy, where the positions of dx fall into stride^3 phases that each see a regular part of the
// taps. A weight product computes dw[row, (channel, tap)] = sum over pixels of dy * x. Both run in any
// layout: every tensor comes with its strides.
#pragma once
#include <ccdl/kernels/conv.h>
#include <runtime/launch.h>
#include <device/divider.cuh>
#include <device/vec.cuh>

namespace ccdl::cu {

// One spatial dim. Everything fits in 30 bits (checked by conv_dim).
struct ConvDim {
  int src, dst;  // sizes: gathered tensor, pixels
  int taps, stride, pad, dilation;
  int tap_period, tap_shift;  // adjoint: stride and dilation divided by their greatest common divisor
};

// The pixels and taps of one phase of one dim: pixel i reads source position first + i * step + t * tap_step
// through tap w_first + t * w_step and is destination position dst_first + i * dst_step.
struct ConvPhase {
  int pixels, taps;
  int first, step, tap_step;
  int w_first, w_step;
  int dst_first, dst_step;
};

CCDL_DEVICE ConvPhase conv_phase(const ConvDim& d, bool adjoint, int phase) {
  if (!adjoint) return {d.dst, d.taps, -d.pad, d.stride, d.dilation, 0, 1, 0, 1};
  ConvPhase p{0, 0, 0, 1, -d.tap_shift, 0, d.tap_period, phase, d.stride};
  p.pixels = (d.dst - phase + d.stride - 1) / d.stride;
  const int last = least(d.taps, d.tap_period);
  for (int t = 0; t < last; ++t) {
    const int at = phase + d.pad - t * d.dilation;
    if (at % d.stride != 0) continue;
    p.first = at / d.stride;
    p.w_first = t;
    p.taps = (d.taps - t + d.tap_period - 1) / d.tap_period;
    break;
  }
  return p;
}
inline int64_t conv_phases(const ConvDim& d, bool adjoint) { return adjoint ? least(d.stride, d.dst) : 1; }

struct ConvStrides {
  int64_t batch, channel, dim[3];
};
inline ConvStrides conv_strides(const View& v) {
  return {v.strides[0], v.strides[1], {v.strides[2], v.strides[3], v.strides[4]}};
}

// Finishing of an element; with partial, raw sums go to partial + split * partial_split instead.
template <class T, class S>
struct ConvOutput {
  T* data;
  const T* bias;  // per channel, or null
  bool relu, vector;
  S* partial;
  int64_t partial_split;

  CCDL_DEVICE T finish(S v, int64_t channel) const {
    if (bias != nullptr) v += convert<S>(bias[channel]);
    if (relu && v < S(0)) v = S(0);
    return convert<T>(v);
  }
};

template <class T, class S>
struct ConvSweep {
  ConvDim dim[3];
  bool adjoint;
  int64_t batch;
  int groups, channels, columns;  // per group: summed over, computed
  const T* src;
  ConvStrides src_stride;
  const T* w;
  int64_t w_group, w_column, w_channel, w_dim[3];
  ConvStrides dst_stride;
  ConvOutput<T, S> out;
  int splits;
  bool channels_fast;  // k = (tap, channel) rather than (channel, tap)
};

template <class T, class S>
struct ConvWeight {
  ConvDim dim[3];
  int64_t batch;
  int groups, rows, channels;  // per group: output channels, input channels
  const T* x;
  ConvStrides x_stride;
  const T* dy;
  ConvStrides dy_stride;
  int64_t dw_row, dw_channel, dw_dim[3], dw_group;
  ConvOutput<T, S> out;
  int splits;
  int split_depth;  // pixels of a split, a multiple of every tile's depth
  bool channels_fast;
};

// Block (x = position in `parts`, y + z = group): parts are counted down from the fastest.
struct ConvBlocks {
  int64_t tiles_a, tiles_b, rest;
};
inline LaunchConfig conv_config(int64_t blocks, int64_t groups, int threads, size_t smem) {
  CCDL_CHECK(blocks <= INT32_MAX, Runtime, "convolution: ", blocks, " tiles are more than a CUDA grid holds");
  const int64_t y = least<int64_t>(groups, 65535);
  LaunchConfig config;
  config.grid = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(y),
                     static_cast<unsigned>(ceil_div(groups, y)));
  config.block = dim3(static_cast<unsigned>(threads));
  config.smem = smem;
  return config;
}
CCDL_DEVICE int64_t conv_group() { return blockIdx.y + static_cast<int64_t>(blockIdx.z) * gridDim.y; }

constexpr int64_t kEnoughBlocks =
    264;  // two per multiprocessor of a large device; a constant, never the device's

template <class T>
constexpr int kChunk = 16 / static_cast<int>(sizeof(T));  // channels a tensor-core kernel moves at once

// Launchers, one per translation unit. The tensor-core ones count source channels in 16-byte chunks
// (p.channels, p.src_stride.channel, p.w_channel, p.x_stride.channel, p.dw_channel are those of chunks);
// dy_stride.channel is that of a padded group.
void conv_sweep_mma(const ConvSweep<bfloat16, float>& p);
void conv_sweep_mma(const ConvSweep<float16, float>& p);
void conv_sweep_mma(const ConvSweep<float, float>& p);  // tf32, once or three times
void conv_sweep_tf32x3(const ConvSweep<float, float>& p);
void conv_weight_mma(const ConvWeight<bfloat16, float>& p, int channels, int64_t dw_channel);
void conv_weight_mma(const ConvWeight<float16, float>& p, int channels, int64_t dw_channel);
void conv_weight_mma(const ConvWeight<float, float>& p, int channels, int64_t dw_channel);
void conv_weight_tf32x3(const ConvWeight<float, float>& p, int channels, int64_t dw_channel);
void conv_sweep_simt(const ConvSweep<float, float>& p);
void conv_sweep_simt(const ConvSweep<double, double>& p);
void conv_weight_simt(const ConvWeight<float, float>& p);
void conv_weight_simt(const ConvWeight<double, double>& p);

}  // namespace ccdl::cu
