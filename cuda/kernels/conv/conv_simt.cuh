// Implicit-GEMM convolution on the ordinary arithmetic units, exact in T: kernels and launchers, instantiated
// per type. With channels innermost (kLast) pixels are the rows of C and neighbouring threads read channels;
// otherwise channels are the rows and neighbouring threads read pixels, so loads and stores are coalesced in
// both layouts without repacking. Bound: FMA rate, 2 * pixels * columns * channels * taps flops.
#pragma once
#include <kernels/conv/tiles_simt.cuh>

namespace ccdl::cu {

template <class C>
constexpr int kSimtBlocks = C::kThreads > 128 || sizeof(typename C::S) == 8 ? 2 : 3;  // per multiprocessor

template <class T, bool kLast, int Pixels>
struct SweepStore {
  const ConvSweep<T, T>* p;
  const int64_t* target;  // per pixel of the tile
  int64_t group, split;
  int column0;

  CCDL_DEVICE T* to(int64_t target_offset, int column) const {
    T* base = p->out.partial != nullptr ? p->out.partial + split * p->out.partial_split : p->out.data;
    return base + target_offset + (group * p->columns + column) * p->dst_stride.channel;
  }
  CCDL_DEVICE T value(T v, int column) const {
    return p->out.partial != nullptr ? v : p->out.finish(v, group * p->columns + column);
  }
  // Row and column of the tile: pixel and channel, or channel and pixel.
  template <int N>
  CCDL_DEVICE void operator()(int row, int column, Vec<T, N> v) const {
    if constexpr (kLast) {
      const int c = column0 + column;
      if (target[row] < 0 || c >= p->columns) return;
      T* dst = to(target[row], c);
#pragma unroll
      for (int x = 0; x < N; ++x)
        if (c + x < p->columns) v[x] = value(v[x], c + x);
      if (p->out.vector && c + N <= p->columns) {
        store_vec(dst, v);
        return;
      }
#pragma unroll
      for (int x = 0; x < N; ++x)
        if (c + x < p->columns) dst[x * p->dst_stride.channel] = v[x];
    } else {
      const int c = column0 + row;
      if (c >= p->columns) return;
#pragma unroll
      for (int x = 0; x < N; ++x) v[x] = value(v[x], c);
      const int64_t first = target[column], last = target[column + N - 1];
      if (p->out.vector && first >= 0 && last == first + N - 1 && first % N == 0) {
        store_vec(to(first, c), v);
        return;
      }
#pragma unroll
      for (int x = 0; x < N; ++x)
        if (target[column + x] >= 0) *to(target[column + x], c) = v[x];
    }
  }
};

template <class C, bool kLast>
__global__ void __launch_bounds__(C::kThreads, kSimtBlocks<C>)
    conv_sweep_simt_kernel(const ConvSweep<typename C::S, typename C::S> p) {
  using T = typename C::S;
  constexpr int kPixels = kLast ? C::kM : C::kN, kColumns = kLast ? C::kN : C::kM, kDepth = C::kDepth;
  CCDL_SHARED(ConvEntry, table, [2 * kDepth]);
  CCDL_SHARED(int64_t, target, [kPixels]);
  CCDL_SHARED(SweepPlace<T>, place, [1]);
  if (threadIdx.x == 0) sweep_place(p, kPixels, kColumns, kDepth, place[0]);
  __syncthreads();  // the place is known
  const SweepPlace<T>& at = place[0];
  if (!at.valid) return;
  GatherTile<T, kPixels, kDepth, C::kThreads, kLast, TapProducer<T>, ConvSweep<T, T>> source;
  source.base = p.src + at.group * p.channels * p.src_stride.channel;
  source.table = table;
  source.producer = &at.producer;
  source.problem = &p;
#pragma unroll
  for (int s = 0; s < source.kSpots; ++s) source.spot[s] = at.map.spot(source.row_of(s), p.src_stride);
  LinearTile<T, kColumns, kDepth, C::kThreads> weights;
  weights.base = p.w + at.group * p.w_group + at.column0 * p.w_column;
  weights.row_stride = p.w_column;
  weights.rows = p.columns - at.column0;
  weights.along(p.w_column != 1);
  weights.table = table;
  for (int i = static_cast<int>(threadIdx.x); i < kPixels; i += C::kThreads)
    target[i] = at.map.target(i, p.dst_stride);
  source.produce(0);
  __syncthreads();  // the first slab's entries and the targets are there
  T acc[C::kTm][C::kTn];
  if constexpr (kLast)
    simt_mainloop<C>(source, weights, at.depth, acc);
  else
    simt_mainloop<C>(weights, source, at.depth, acc);
  simt_store<C>(acc, SweepStore<T, kLast, kPixels>{&p, target, at.group, at.split, at.column0});
}

template <class T>
struct WeightStore {
  const ConvWeight<T, T>* p;
  const int64_t* target;  // offset in dw per column of the tile, -1 past the end
  int64_t base;
  int row0;
  template <int N>
  CCDL_DEVICE void operator()(int row, int column, const Vec<T, N>& v) const {
    if (row0 + row >= p->rows) return;
    T* dst = (p->out.partial != nullptr ? p->out.partial : p->out.data) + base + (row0 + row) * p->dw_row;
#pragma unroll
    for (int x = 0; x < N; ++x)
      if (target[column + x] >= 0) dst[target[column + x]] = v[x];
  }
};

template <class C, bool kLast>
__global__ void __launch_bounds__(C::kThreads, kSimtBlocks<C>)
    conv_weight_simt_kernel(const ConvWeight<typename C::S, typename C::S> p) {
  using T = typename C::S;
  constexpr int kDepth = C::kDepth;
  CCDL_SHARED(ConvEntry, table, [2 * kDepth]);
  CCDL_SHARED(int64_t, target, [C::kN]);
  const int64_t group = conv_group();
  if (group >= p.groups) return;
  const int taps = p.dim[0].taps * p.dim[1].taps * p.dim[2].taps, columns = p.channels * taps;
  const unsigned row_tiles = static_cast<unsigned>(ceil_div(p.rows, C::kM)),
                 column_tiles = static_cast<unsigned>(ceil_div(columns, C::kN));
  const int row0 = static_cast<int>(blockIdx.x % row_tiles) * C::kM;
  const int column0 = static_cast<int>(blockIdx.x / row_tiles % column_tiles) * C::kN;
  const int64_t split = blockIdx.x / row_tiles / column_tiles;

  CCDL_SHARED(PixelProducer<T>, producer, [1]);
  if (threadIdx.x == 0) place_pixels(p, split, producer[0].map);
  __syncthreads();  // the pixels of this split are known
  GatherTile<T, C::kN, kDepth, C::kThreads, !kLast, PixelProducer<T>, ConvWeight<T, T>> source;
  source.producer = producer;
  source.problem = &p;
  source.base = p.x + group * p.channels * p.x_stride.channel;
  source.table = table;
  // Column j of dw: its shift in x and its place in dw.
  const auto column_spot = [&](int j, int64_t& place) {
    ConvSpot s{0, {kConvNowhere, kConvNowhere, kConvNowhere}};
    place = -1;
    if (j >= columns) return s;
    const int channel = p.channels_fast ? j % p.channels : j / taps;
    int tap = p.channels_fast ? j / p.channels : j % taps;
    s.offset = channel * p.x_stride.channel;
    place = channel * p.dw_channel;
    for (int d = 2; d >= 0; --d) {
      const int t = tap % p.dim[d].taps;
      tap /= p.dim[d].taps;
      s.at[d] = t * p.dim[d].dilation;
      s.offset += s.at[d] * p.x_stride.dim[d];
      place += t * p.dw_dim[d];
    }
    return s;
  };
  int64_t place;
#pragma unroll
  for (int s = 0; s < source.kSpots; ++s) source.spot[s] = column_spot(column0 + source.row_of(s), place);
  for (int i = static_cast<int>(threadIdx.x); i < C::kN; i += C::kThreads) {
    column_spot(column0 + i, place);
    target[i] = place;
  }
  LinearTile<T, C::kM, kDepth, C::kThreads> grads;
  grads.base = p.dy + (group * p.rows + row0) * p.dy_stride.channel;
  grads.row_stride = p.dy_stride.channel;
  grads.rows = p.rows - row0;
  grads.along(!kLast);
  grads.table = table;
  source.produce(0);
  __syncthreads();  // the first slab's entries and the targets are there
  T acc[C::kTm][C::kTn];
  simt_mainloop<C>(grads, source, producer[0].map.limit, acc);
  const int64_t base = group * p.dw_group + (p.out.partial != nullptr ? split * p.out.partial_split : 0);
  simt_store<C>(acc, WeightStore<T>{&p, target, base, row0});
}

template <class C, bool kLast>
void launch_sweep(const ConvSweep<typename C::S, typename C::S>& p) {
  constexpr int kPixels = kLast ? C::kM : C::kN, kColumns = kLast ? C::kN : C::kM;
  int64_t blocks = ceil_div<int64_t>(sweep_pixels(p), kPixels) * ceil_div(p.columns, kColumns) * p.splits;
  for (const ConvDim& d : p.dim) blocks *= conv_phases(d, p.adjoint);
  CCDL_LAUNCH(conv_config(blocks, p.groups, C::kThreads, C::kSmem), (conv_sweep_simt_kernel<C, kLast>), p);
}
template <class C, bool kLast>
void launch_weight(const ConvWeight<typename C::S, typename C::S>& p) {
  const int columns = p.channels * p.dim[0].taps * p.dim[1].taps * p.dim[2].taps;
  const int64_t blocks = int64_t{ceil_div(p.rows, C::kM)} * ceil_div(columns, C::kN) * p.splits;
  CCDL_LAUNCH(conv_config(blocks, p.groups, C::kThreads, C::kSmem), (conv_weight_simt_kernel<C, kLast>), p);
}

}  // namespace ccdl::cu
