// Implicit-GEMM convolution on the tensor cores: kernels and launchers, instantiated per type. Channels are
// innermost and come in 16-byte chunks (conv_pack.cu pads and turns what is not so); a problem counts source
// channels in chunks, so its channel strides are those of a chunk. Pixels are the rows of C in sweeps, output
// channels in weight products. Bound: tensor-core rate, 2 * pixels * columns * channels * taps flops.
#pragma once
#include <kernels/conv/place.cuh>
#include <kernels/conv/store.cuh>
#include <kernels/gemm/mainloop_mma.cuh>

namespace ccdl::cu {

// Entries of slab s are at (s % Stages) * Count. The first Stages slabs are filled before the main loop; the
// copy of slab s >= Stages - 1 fills slab s + 1, and the main loop's barrier lies between that and its
// readers.
template <int Stages, int Count, int Threads, class Producer, class Problem>
struct SlabTable {
  ConvEntry* entries;
  const Producer* producer;
  const Problem* problem;

  CCDL_DEVICE const ConvEntry& at(int slab, int i) const { return entries[slab % Stages * Count + i]; }
  CCDL_DEVICE void begin() const {
    for (int i = static_cast<int>(threadIdx.x); i < Stages * Count; i += Threads)
      producer->fill(entries[i], i, *problem);
  }
  CCDL_DEVICE void advance(int slab) const {
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
    if (slab < Stages - 1 || warp != slab % (Threads / kWarp) || lane >= Count) return;
    producer->fill(entries[(slab + 1) % Stages * Count + lane], (slab + 1) * Count + lane, *problem);
  }
};

template <class T>
CCDL_DEVICE bool inside(const ConvSpot& s, const ConvEntry& e, const ConvDim* dim) {
  bool in = e.valid != 0;
#pragma unroll
  for (int d = 0; d < 3; ++d)
    in = in && static_cast<unsigned>(s.at[d] + e.at[d]) < static_cast<unsigned>(dim[d].src);
  return in;
}

// Pixels by (tap, channel): a line is a pixel, its four chunks are four entries of the table.
template <class T, int Rows, int Threads, class Table>
struct GatherRows {
  static constexpr int kPieces = Rows * 4 / Threads;
  const T* base;
  const ConvDim* dim;
  Table table;
  const ConvSpot* spot;  // of the tile's rows, in shared memory: the accumulators leave few registers

  CCDL_DEVICE static int row_of(int p) { return static_cast<int>(threadIdx.x) / 4 + p * (Threads / 4); }
  CCDL_DEVICE void copy(unsigned char* tile, int k0) const {
    const int slab = k0 / (4 * kChunk<T>), chunk = static_cast<int>(threadIdx.x) % 4;
    const ConvEntry& e = table.at(slab, chunk);
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const ConvSpot& s = spot[row_of(p)];
      const bool in = inside<T>(s, e, dim);
      cp_async<16>(tile + tile_offset<T, Rows, true>(row_of(p), chunk),
                   in ? base + (s.offset + e.offset) : base, in ? 16 : 0);
    }
    table.advance(slab);
  }
};

// Weights [column][tap][channel chunk] for the same entries.
template <class T, int Rows, int Threads, class Table>
struct WeightRows {
  static constexpr int kPieces = Rows * 4 / Threads;
  static_assert(kPieces * Threads == Rows * 4);
  const T* base;  // of the tile's first column
  int64_t column;
  int columns;
  Table table;

  CCDL_DEVICE void copy(unsigned char* tile, int k0) const {
    const int chunk = static_cast<int>(threadIdx.x) % 4;
    const ConvEntry& e = table.at(k0 / (4 * kChunk<T>), chunk);
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int row = static_cast<int>(threadIdx.x) / 4 + p * (Threads / 4);
      const bool in = e.valid != 0 && row < columns;
      cp_async<16>(tile + tile_offset<T, Rows, true>(row, chunk), in ? base + (row * column + e.other) : base,
                   in ? 16 : 0);
    }
  }
};

// (tap, channel) chunks by pixels: a line is a pixel, that is an entry of the table.
template <class T, int Rows, int Threads, class Table>
struct GatherLines {
  static constexpr int kAcross = Rows / kChunk<T>, kPieces = Rows * 4 / Threads;
  static_assert(Threads % kAcross == 0);
  const T* base;
  const ConvDim* dim;
  Table table;
  const ConvSpot* spot;  // of the tile's chunks of columns, in shared memory

  CCDL_DEVICE static int chunk() { return static_cast<int>(threadIdx.x) % kAcross; }
  CCDL_DEVICE void copy(unsigned char* tile, int k0) const {
    const int slab = k0 / (4 * kChunk<T>);
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int line = static_cast<int>(threadIdx.x) / kAcross + p * (Threads / kAcross);
      const ConvEntry& e = table.at(slab, line);
      const ConvSpot& s = spot[chunk()];
      const bool in = inside<T>(s, e, dim);
      cp_async<16>(tile + tile_offset<T, Rows, false>(line, chunk()),
                   in ? base + (s.offset + e.offset) : base, in ? 16 : 0);
    }
    table.advance(slab);
  }
};

template <class C>
constexpr int kMmaBlocks = C::kThreads > 128 || C::kTerms > 1 ? 2 : 3;  // per multiprocessor

template <class C>
__global__ void __launch_bounds__(C::kThreads, kMmaBlocks<C>)
    conv_sweep_mma_kernel(const ConvSweep<typename C::T, float> p) {
  using T = typename C::T;
  using Problem = ConvSweep<T, float>;
  using Table = SlabTable<C::kStages, 4, C::kThreads, TapProducer, Problem>;
  CCDL_SHARED(ConvEntry, entries, [C::kStages * 4]);
  CCDL_SHARED(int64_t, target, [C::kM]);
  CCDL_SHARED(ConvSpot, spots, [C::kM]);
  CCDL_SHARED(SweepPlace, place, [1]);
  if (threadIdx.x == 0) sweep_place(p, C::kM, C::kN, 4, place[0]);
  __syncthreads();  // the place is known
  const SweepPlace& at = place[0];
  if (!at.valid) return;
  const Table table{entries, &at.producer, &p};
  GatherRows<T, C::kM, C::kThreads, Table> source;
  source.base = p.src + at.group * p.channels * p.src_stride.channel;
  source.dim = p.dim;
  source.table = table;
  source.spot = spots;
  WeightRows<T, C::kN, C::kThreads, Table> weights;
  weights.base = p.w + at.group * p.w_group + at.column0 * p.w_column;
  weights.column = p.w_column;
  weights.columns = p.columns - at.column0;
  weights.table = table;
  for (int i = static_cast<int>(threadIdx.x); i < C::kM; i += C::kThreads) {
    spots[i] = at.map.spot(i, p.src_stride);
    target[i] = at.map.target(i, p.dst_stride);
  }
  table.begin();
  __syncthreads();  // the first slabs' entries, the spots and the targets are there
  MmaAcc<C> acc;
  mma_mainloop<C, true, true>(source, weights, at.depth * kChunk<T>, acc);
  mma_store<C>(acc, SweepStore<T, float, true>{&p, target, at.group, at.split, at.column0});
}

// channels: of a group, unpadded; dw_channel: their stride in dw.
template <class C>
__global__ void __launch_bounds__(C::kThreads, kMmaBlocks<C>)
    conv_weight_mma_kernel(const ConvWeight<typename C::T, float> p, int channels, int64_t dw_channel) {
  using T = typename C::T;
  using Problem = ConvWeight<T, float>;
  using Table = SlabTable<C::kStages, C::kDepth, C::kThreads, PixelProducer, Problem>;
  constexpr int kChunks = C::kN / kChunk<T>;
  CCDL_SHARED(ConvEntry, entries, [C::kStages * C::kDepth]);
  CCDL_SHARED(int64_t, target, [C::kN]);
  CCDL_SHARED(PixelProducer, producer, [1]);
  CCDL_SHARED(ConvSpot, spots, [kChunks]);
  const int64_t group = conv_group();
  if (group >= p.groups) return;
  const int taps = p.dim[0].taps * p.dim[1].taps * p.dim[2].taps;
  const unsigned row_tiles = static_cast<unsigned>(ceil_div(p.rows, C::kM)),
                 column_tiles = static_cast<unsigned>(ceil_div(p.channels * taps, kChunks));
  const int row0 = static_cast<int>(blockIdx.x % row_tiles) * C::kM;
  const int chunk0 = static_cast<int>(blockIdx.x / row_tiles % column_tiles) * kChunks;
  const int64_t split = blockIdx.x / row_tiles / column_tiles;
  if (threadIdx.x == 0) place_pixels(p, split, producer[0].map);
  __syncthreads();  // the pixels of this split are known
  const PixelMap& map = producer[0].map;
  GatherLines<T, C::kN, C::kThreads, Table> source;
  int64_t place;
  source.base = p.x + group * p.channels * p.x_stride.channel;
  source.dim = p.dim;
  source.table = Table{entries, producer, &p};
  source.spot = spots;
  for (int i = static_cast<int>(threadIdx.x); i < kChunks; i += C::kThreads)
    spots[i] = column_spot(p, chunk0 + i, place);
  for (int i = static_cast<int>(threadIdx.x); i < C::kN; i += C::kThreads) {
    const int chunk = chunk0 + i / kChunk<T>, channel = chunk % p.channels * kChunk<T> + i % kChunk<T>;
    column_spot(p, chunk, place);
    target[i] = place >= 0 && channel < channels ? place + i % kChunk<T> * dw_channel : -1;
  }
  AsyncTile<T, C::kM, C::kThreads, false> grads;
  const int64_t pixel = map.image * map.pixels[0] * map.pixels[1] * map.pixels[2] + map.start;
  grads.base = p.dy + pixel * p.dy_stride.dim[2] + group * p.dy_stride.channel + row0;
  grads.line = p.dy_stride.dim[2];
  grads.rows = static_cast<int>(least<int64_t>(ceil_div(p.rows, kChunk<T>) * kChunk<T> - row0, C::kM));
  grads.depth = map.limit;
  grads.access = 16;
  source.table.begin();
  __syncthreads();  // the first slabs' entries, the spots and the targets are there
  MmaAcc<C> acc;
  mma_mainloop<C, false, false>(grads, source, map.limit, acc);
  const int64_t base = group * p.dw_group + (p.out.partial != nullptr ? split * p.out.partial_split : 0);
  mma_store<C>(acc, WeightStore<T, float>{&p, target, base, row0});
}

template <class C>
void launch_sweep_mma(const ConvSweep<typename C::T, float>& p) {
  int64_t blocks = ceil_div<int64_t>(sweep_pixels(p), C::kM) * ceil_div(p.columns, C::kN) * p.splits;
  for (const ConvDim& d : p.dim) blocks *= conv_phases(d, p.adjoint);
  CCDL_LAUNCH(conv_config(blocks, p.groups, C::kThreads, C::kSmem), conv_sweep_mma_kernel<C>, p);
}
template <class C>
void launch_weight_mma(const ConvWeight<typename C::T, float>& p, int channels, int64_t dw_channel) {
  const int chunks = p.channels * p.dim[0].taps * p.dim[1].taps * p.dim[2].taps;
  const int64_t blocks =
      int64_t{ceil_div(p.rows, C::kM)} * ceil_div(chunks, C::kN / kChunk<typename C::T>) * p.splits;
  CCDL_LAUNCH(conv_config(blocks, p.groups, C::kThreads, C::kSmem), conv_weight_mma_kernel<C>, p, channels,
              dw_channel);
}

// 128 pixels by up to 128 columns where they fill the device, 64x64 otherwise, 128x32 for few columns; weight
// products, whose operands are both turned on the way out of shared memory, 128x64, as fp32 operands.
template <class T, int Terms>
void sweep_mma(const ConvSweep<T, float>& p) {
  constexpr int kWide = sizeof(T) == 2 ? 128 : 64;
  if (p.columns <= 32) return launch_sweep_mma<MmaConfig<T, 128, 32, 32, 32, 4, Terms>>(p);
  const int64_t tiles =
      ceil_div<int64_t>(sweep_pixels(p), 128) * ceil_div(p.columns, kWide) * p.groups * p.splits;
  if ((p.columns > 64 || kWide == 64) && tiles >= kEnoughBlocks)
    return launch_sweep_mma<MmaConfig<T, 128, kWide, 64, 32, 4, Terms>>(p);
  launch_sweep_mma<MmaConfig<T, 64, 64, 32, 32, 4, Terms>>(p);
}
template <class T, int Terms>
void weight_mma(const ConvWeight<T, float>& p, int channels, int64_t dw_channel) {
  const int columns = p.channels * kChunk<T> * p.dim[0].taps * p.dim[1].taps * p.dim[2].taps;
  if (p.rows > 64 && columns > 32)
    launch_weight_mma<MmaConfig<T, 128, 64, 64, 32, 4, Terms>>(p, channels, dw_channel);
  else
    launch_weight_mma<MmaConfig<T, 64, 64, 32, 32, 4, Terms>>(p, channels, dw_channel);
}

}  // namespace ccdl::cu
