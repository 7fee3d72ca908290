// Launchers of the convolution of one channel per group: which kernel of depthwise_kernels.cuh a problem
// takes, from its shape and layout alone, and how its outputs are dealt to threads.
#pragma once
#include <kernels/conv/depthwise_kernels.cuh>

namespace ccdl::cu {

template <class T, class S>
DepthwiseMap depthwise_map(const ConvSweep<T, S>& p, int vector, int run) {
  DepthwiseMap m;
  const int channels = p.groups * p.columns;
  m.runs = ceil_div(p.dim[2].dst, run);
  m.channels = p.channels_fast ? 1 : channels;
  m.positions = p.batch * m.channels * p.dim[0].dst * p.dim[1].dst * m.runs;
  m.lanes = 1;
  const int taps = p.dim[0].taps * p.dim[1].taps * p.dim[2].taps,
            most_lanes = run > 1 && taps > 25 ? 8 : kWarp;
  while (p.channels_fast && m.lanes < most_lanes && m.lanes * vector < channels) m.lanes *= 2;
  m.channel_blocks = p.channels_fast ? static_cast<unsigned>(ceil_div(channels, m.lanes * vector)) : 1u;
  m.by_w = Divider<int64_t>(m.runs);
  m.by_h = Divider<int64_t>(p.dim[1].dst);
  m.by_d = Divider<int64_t>(p.dim[0].dst);
  m.by_channels = Divider<int64_t>(m.channels);
  return m;
}

template <class T, int V, bool kLast, int Taps, int Stride>
void launch_slide(const ConvSweep<T, Compute<T>>& p) {
  const DepthwiseMap m = depthwise_map(p, V, kRun);
  const int64_t blocks =
      ceil_div(m.positions, int64_t{kDepthwiseThreads / m.lanes} * kTurns) * m.channel_blocks;
  const size_t smem =
      kLast ? sizeof(Compute<T>) * static_cast<size_t>(p.dim[0].taps * p.dim[1].taps * Taps * m.lanes * V)
            : 0;
  CCDL_LAUNCH(conv_config(blocks, 1, kDepthwiseThreads, smem),
              (depthwise_slide_kernel<T, V, kLast, Taps, Stride>), p, m);
}
template <class T, int V, bool kLast, int Taps>
void launch_slide_stride(const ConvSweep<T, Compute<T>>& p) {
  if (p.dim[2].stride == 1)
    launch_slide<T, V, kLast, Taps, 1>(p);
  else
    launch_slide<T, V, kLast, Taps, 2>(p);
}
template <class T, int V, bool kLast>
void launch_slide_taps(const ConvSweep<T, Compute<T>>& p) {
  switch (p.dim[2].taps) {
    case 3:
      return launch_slide_stride<T, V, kLast, 3>(p);
    case 5:
      return launch_slide_stride<T, V, kLast, 5>(p);
    default:
      return launch_slide_stride<T, V, kLast, 7>(p);
  }
}

template <class T, class S>
bool slides(const ConvSweep<T, S>& p) {
  const int taps = p.dim[2].taps;
  return p.channels == 1 && p.columns == 1 && (taps == 3 || taps == 5 || taps == 7) &&
         p.dim[2].dilation == 1 && p.dim[2].stride <= 2 && p.dim[0].taps * p.dim[1].taps * taps <= 128;
}

// At stride 1 the adjoint is a forward sweep with turned weights.
template <class T, class S>
void turn_adjoint(ConvSweep<T, S>& p) {
  for (const ConvDim& d : p.dim)
    if (d.stride != 1) return;
  p.adjoint = false;
  for (int d = 0; d < 3; ++d) {
    p.dim[d].pad = (p.dim[d].taps - 1) * p.dim[d].dilation - p.dim[d].pad;
    p.w += (p.dim[d].taps - 1) * p.w_dim[d];
    p.w_dim[d] = -p.w_dim[d];
  }
}

template <class T>
void run_sweep_depthwise(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
                         const void* bias, Activation activation) {
  ConvSweep<T, Compute<T>> p = sweep_of<T, Compute<T>>(src, w, dst, g, adjoint, bias, activation);
  if (adjoint) turn_adjoint(p);
  if constexpr (sizeof(T) < 8) {
    if (!p.adjoint && slides(p)) {
      if (!p.channels_fast) return launch_slide_taps<T, 1, false>(p);
      if (p.groups % kLanes<T> == 0 && aligned16(p.src) && aligned16(p.out.data))
        return launch_slide_taps<T, kLanes<T>, true>(p);
    }
  }
  const DepthwiseMap m = depthwise_map(p, 1, 1);
  ByStrides by;
  for (int d = 0; d < 3; ++d) by.by[d] = Divider<int32_t>(p.dim[d].stride);
  const LaunchConfig config =
      conv_config(ceil_div<int64_t>(m.positions, kDepthwiseThreads / m.lanes) * m.channel_blocks, 1,
                  kDepthwiseThreads, 0);
  if (p.channels_fast)
    CCDL_LAUNCH(config, (depthwise_plain_kernel<T, true>), p, m, by);
  else
    CCDL_LAUNCH(config, (depthwise_plain_kernel<T, false>), p, m, by);
}

template <class T>
void run_weight_depthwise(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  using S = Compute<T>;
  ConvWeight<T, S> p = weight_of<T, S>(x, dy, dw, g);
  const int outputs = p.groups * p.rows, taps = static_cast<int>(conv_plane(dw));
  int lanes = 1;
  while (p.channels_fast && lanes < kWarp && lanes < outputs) lanes *= 2;
  const int64_t blocks = int64_t{ceil_div(outputs, lanes)} * ceil_div(taps, kTapsAtOnce);
  const int64_t pixels = p.batch * conv_plane(dy), least_part = int64_t{kDepthwiseThreads / lanes} * 16;
  int64_t splits = least<int64_t>(ceil_div(2 * kEnoughBlocks, blocks), ceil_div<int64_t>(pixels, least_part));
  splits = most(most<int64_t>(splits, 1), ceil_div(pixels, kConvLimit));
  p.split_depth = static_cast<int>(most<int64_t>(ceil_div(pixels, splits), 1));
  p.splits = static_cast<int>(most<int64_t>(ceil_div<int64_t>(pixels, p.split_depth), 1));
  run_split(p, dw, true, [&](const ConvWeight<T, S>& q) {
    CCDL_LAUNCH(conv_config(blocks * q.splits, 1, kDepthwiseThreads, 0), depthwise_weight_kernel<T>, q,
                lanes);
  });
}

}  // namespace ccdl::cu
