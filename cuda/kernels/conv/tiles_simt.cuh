// Tile policies that let the exact GEMM main loop run convolutions. Both operands index their memory by a sum
// of a row part, fixed per block, and a k part, read from a small shared table that one warp after the other
// fills a slab ahead; so any layout, stride and dilation costs an addition and bounds checks per element.
#pragma once
#include <kernels/conv/place.cuh>
#include <kernels/gemm/mainloop_simt.cuh>

namespace ccdl::cu {

// Entries of slab k0 / Depth are at (k0 / Depth % 2) * Depth. fetch(k0) has Producer fill the next slab; the
// main loop's barrier lies between that and its first reader.
template <class T, int Rows, int Depth, int Threads, bool KFast, class Producer, class Problem>
struct GatherTile {
  static constexpr int kG = 16 / static_cast<int>(sizeof(T)), kPitch = Rows + kG;
  static constexpr int kPieces = Rows * Depth / Threads;
  static constexpr int kSpots = KFast ? kPieces : most(1, Rows / Threads);
  static_assert(kPieces * Threads == Rows * Depth && Depth <= kWarp);
  static_assert(KFast ? Threads % Depth == 0 : (Threads % Rows == 0 || Rows % Threads == 0));

  const T* base;
  ConvEntry* table;
  const Producer* producer;  // in shared memory
  const Problem* problem;
  ConvSpot spot[kSpots];
  T piece[kPieces];

  CCDL_DEVICE static int row_of(int s) {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (KFast) return thread / Depth + s * (Threads / Depth);
    return (Rows < Threads ? thread % Rows : thread) + s * Threads;
  }
  CCDL_DEVICE static int k_of(int p) {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (KFast) return thread % Depth;
    return Rows < Threads ? thread / Rows + p * (Threads / Rows) : p / kSpots;
  }
  CCDL_DEVICE void produce(int slab) const {
    constexpr int kWarps = Threads / kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
    if (warp == slab % kWarps && lane < Depth)
      producer->fill(table[slab % 2 * Depth + lane], slab * Depth + lane, *problem);
  }
  CCDL_DEVICE void fetch(int k0) {
    produce(k0 / Depth + 1);
    const ConvEntry* slab = table + k0 / Depth % 2 * Depth;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const ConvSpot& s = spot[p % kSpots];
      const ConvEntry& e = slab[k_of(p)];
      bool inside = e.valid != 0;
#pragma unroll
      for (int d = 0; d < 3; ++d)
        inside =
            inside && static_cast<unsigned>(s.at[d] + e.at[d]) < static_cast<unsigned>(problem->dim[d].src);
      piece[p] = inside ? base[s.offset + e.offset] : T(0);
    }
  }
  CCDL_DEVICE void put(T* tile) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) tile[k_of(p) * kPitch + row_of(p % kSpots)] = piece[p];
  }
};

// The plain operand: base[row * stride + entry.other]; neighbouring threads run along k or along rows.
template <class T, int Rows, int Depth, int Threads>
struct LinearTile {
  static constexpr int kG = 16 / static_cast<int>(sizeof(T)), kPitch = Rows + kG;
  static constexpr int kPieces = Rows * Depth / Threads;
  static_assert(kPieces * Threads == Rows * Depth && Threads % Rows == 0 && Threads % Depth == 0);

  const T* base;
  int64_t row_stride;
  int rows;
  const ConvEntry* table;
  int row, row_step, k, k_step;  // of a thread's first element, and to its next ones
  T piece[kPieces];

  CCDL_DEVICE void along(bool k_fast) {
    const int thread = static_cast<int>(threadIdx.x);
    row = k_fast ? thread / Depth : thread % Rows;
    k = k_fast ? thread % Depth : thread / Rows;
    row_step = k_fast ? Threads / Depth : 0;
    k_step = k_fast ? 0 : Threads / Rows;
  }
  CCDL_DEVICE void fetch(int k0) {
    const ConvEntry* slab = table + k0 / Depth % 2 * Depth;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const ConvEntry& e = slab[k + p * k_step];
      const int r = row + p * row_step;
      piece[p] = e.valid != 0 && r < rows ? base[r * row_stride + e.other] : T(0);
    }
  }
  CCDL_DEVICE void put(T* tile) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) tile[(k + p * k_step) * kPitch + row + p * row_step] = piece[p];
  }
};

}  // namespace ccdl::cu
