// Implicit-GEMM convolution on the ordinary arithmetic units, exact in T: kernels and launchers, instantiated
// per type. With channels innermost (kLast) pixels are the rows of C and neighbouring threads read channels;
// otherwise channels are the rows and neighbouring threads read pixels, so loads and stores are coalesced in
// both layouts without repacking. Bound: FMA rate, 2 * pixels * columns * channels * taps flops.
#pragma once
#include <kernels/conv/store.cuh>
#include <kernels/conv/tiles_simt.cuh>

namespace ccdl::cu {

template <class C>
constexpr int kSimtBlocks = C::kThreads > 128 || sizeof(typename C::S) == 8 ? 2 : 3;  // per multiprocessor

template <class C, bool kLast>
__global__ void __launch_bounds__(C::kThreads, kSimtBlocks<C>)
    conv_sweep_simt_kernel(const ConvSweep<typename C::S, typename C::S> p) {
  using T = typename C::S;
  constexpr int kPixels = kLast ? C::kM : C::kN, kColumns = kLast ? C::kN : C::kM, kDepth = C::kDepth;
  CCDL_SHARED(ConvEntry, table, [2 * kDepth]);
  CCDL_SHARED(int64_t, target, [kPixels]);
  CCDL_SHARED(SweepPlace, place, [1]);
  if (threadIdx.x == 0) sweep_place(p, kPixels, kColumns, kDepth, place[0]);
  __syncthreads();  // the place is known
  const SweepPlace& at = place[0];
  if (!at.valid) return;
  GatherTile<T, kPixels, kDepth, C::kThreads, kLast, TapProducer, ConvSweep<T, T>> source;
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
  simt_store<C>(acc, SweepStore<T, T, kLast>{&p, target, at.group, at.split, at.column0});
}

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

  CCDL_SHARED(PixelProducer, producer, [1]);
  if (threadIdx.x == 0) place_pixels(p, split, producer[0].map);
  __syncthreads();  // the pixels of this split are known
  GatherTile<T, C::kN, kDepth, C::kThreads, !kLast, PixelProducer, ConvWeight<T, T>> source;
  source.producer = producer;
  source.problem = &p;
  source.base = p.x + group * p.channels * p.x_stride.channel;
  source.table = table;
  int64_t place;
#pragma unroll
  for (int s = 0; s < source.kSpots; ++s) source.spot[s] = column_spot(p, column0 + source.row_of(s), place);
  for (int i = static_cast<int>(threadIdx.x); i < C::kN; i += C::kThreads) {
    column_spot(p, column0 + i, place);
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
  simt_store<C>(acc, WeightStore<T, T>{&p, target, base, row0});
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
