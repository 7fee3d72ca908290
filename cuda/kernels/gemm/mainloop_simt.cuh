// Block-wide product of two operand tiles on the ordinary arithmetic units, exact in the accumulator type S.
// Shared tiles are [k][row], double-buffered; a warp owns kWarpM x kWarpN of C, a thread a grid of G x G
// patches (G elements = 16 bytes), so every shared read is a conflict-free 16-byte vector. Bound: FMA rate.
// Operands come from tile policies (see StridedTile), results leave through a store policy.
#pragma once
#include <device/prelude.cuh>
#include <device/vec.cuh>

namespace ccdl::cu {

// S: float, double, uint32_t or uint64_t. One block computes kM x kN from tiles kDepth deep.
template <class S_, int M, int N, int Depth, int WarpM, int WarpN>
struct SimtConfig {
  using S = S_;
  static constexpr int kM = M, kN = N, kDepth = Depth, kWarpM = WarpM, kWarpN = WarpN;
  static constexpr int kThreads = (M / WarpM) * (N / WarpN) * kWarp;
  static constexpr int kG = 16 / static_cast<int>(sizeof(S));
  static constexpr int kLanesM = 4, kLanesN = 8;
  static constexpr int kTm = WarpM / kLanesM, kTn = WarpN / kLanesN;  // per thread
  static constexpr int kPitchA = M + kG, kPitchB = N + kG;            // padding spreads transposing stores
  static constexpr size_t kSmem = 2 * Depth * (kPitchA + kPitchB) * sizeof(S);
  static_assert(kTm % kG == 0 && kTn % kG == 0);
};

// Tile policy: fetch(k) brings elements [k, k + Depth) of Rows rows into registers, zeros outside the matrix
// (k counts from the block's share of the sum on, so 32 bits are enough); put(tile) converts them into
// tile[k * (Rows + G) + row]. This one reads any strides; KFast says along which
// direction neighbouring threads run, `vector` that 16-byte loads along it are allowed.
template <class T, class S, int Rows, int Depth, int Threads, bool KFast,
          int Pad = 16 / static_cast<int>(sizeof(S))>
struct StridedTile {
  static constexpr int kV = 16 / static_cast<int>(sizeof(T));
  static constexpr int kPieces = Rows * Depth / (kV * Threads), kPitch = Rows + Pad;
  static constexpr int kAcross = (KFast ? Depth : Rows) / kV;  // pieces along the fast direction
  static_assert(kPieces * kV * Threads == Rows * Depth);

  const T* base;  // row 0 of the tile, k = 0
  int64_t row_stride, k_stride;
  int rows, depth;  // what lies in the matrix from there on
  bool vector;
  Vec<T, kV> piece[kPieces];

  CCDL_DEVICE static int fast(int p) { return (static_cast<int>(threadIdx.x) + p * Threads) % kAcross * kV; }
  CCDL_DEVICE static int slow(int p) { return (static_cast<int>(threadIdx.x) + p * Threads) / kAcross; }
  CCDL_DEVICE static int row_of(int p) { return KFast ? slow(p) : fast(p); }
  CCDL_DEVICE static int k_of(int p) { return KFast ? fast(p) : slow(p); }

  CCDL_DEVICE void fetch(int k0) {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int row = row_of(p), k = k0 + k_of(p);
      const T* src = base + row * row_stride + k * k_stride;
      const int left = KFast ? (row < rows ? depth - k : 0) : (k < depth ? rows - row : 0);
      if (vector && left >= kV) {
        piece[p] = load_vec<T, kV>(src);
      } else {
        const int64_t step = KFast ? k_stride : row_stride;
#pragma unroll
        for (int v = 0; v < kV; ++v) piece[p][v] = v < left ? src[v * step] : T(0);
      }
    }
  }
  CCDL_DEVICE void put(S* tile) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      S* dst = tile + k_of(p) * kPitch + row_of(p);
      if constexpr (!KFast && sizeof(T) == sizeof(S)) {
        store_vec(dst, piece[p]);
      } else {
#pragma unroll
        for (int v = 0; v < kV; ++v) dst[KFast ? v * kPitch : v] = static_cast<S>(piece[p][v]);
      }
    }
  }
};

// The same for narrow and integer types: element-wise, the direction chosen at run time.
template <class T, class S, int Rows, int Depth, int Threads>
struct ElementTile {
  static constexpr int kG = 16 / static_cast<int>(sizeof(S)), kPitch = Rows + kG;
  static constexpr int kPieces = Rows * Depth / Threads;

  const T* base;
  int64_t row_stride, k_stride;
  int rows, depth;
  bool k_fast;
  T piece[kPieces];

  CCDL_DEVICE int row_of(int p) const {
    const int e = static_cast<int>(threadIdx.x) + p * Threads;
    return k_fast ? e / Depth : e % Rows;
  }
  CCDL_DEVICE int k_of(int p) const {
    const int e = static_cast<int>(threadIdx.x) + p * Threads;
    return k_fast ? e % Depth : e / Rows;
  }
  CCDL_DEVICE void fetch(int k0) {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int row = row_of(p), k = k0 + k_of(p);
      piece[p] = row < rows && k < depth ? base[row * row_stride + k * k_stride] : T(0);
    }
  }
  CCDL_DEVICE void put(S* tile) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) tile[k_of(p) * kPitch + row_of(p)] = static_cast<S>(piece[p]);
  }
};

CCDL_DEVICE float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
CCDL_DEVICE double multiply_add(double a, double b, double c) { return fma(a, b, c); }
CCDL_DEVICE uint32_t multiply_add(uint32_t a, uint32_t b, uint32_t c) { return a * b + c; }
CCDL_DEVICE uint64_t multiply_add(uint64_t a, uint64_t b, uint64_t c) { return a * b + c; }

// acc[i][j] of a thread is C at tile row simt_row<C>(i), column simt_column<C>(j).
template <class C>
CCDL_DEVICE int simt_row(int i) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  return warp / (C::kN / C::kWarpN) * C::kWarpM + i / C::kG * (C::kLanesM * C::kG) +
         lane / C::kLanesN * C::kG + i % C::kG;
}
template <class C>
CCDL_DEVICE int simt_column(int j) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  return warp % (C::kN / C::kWarpN) * C::kWarpN + j / C::kG * (C::kLanesN * C::kG) +
         lane % C::kLanesN * C::kG + j % C::kG;
}

// One tile of depth kDepth out of shared memory into the accumulators.
template <class C>
CCDL_DEVICE void simt_step(const typename C::S* a, const typename C::S* b,
                           typename C::S (&acc)[C::kTm][C::kTn]) {
  using S = typename C::S;
  const S* a_thread = a + simt_row<C>(0);
  const S* b_thread = b + simt_column<C>(0);
#pragma unroll
  for (int k = 0; k < C::kDepth; ++k) {
    Vec<S> x[C::kTm / C::kG], w[C::kTn / C::kG];
#pragma unroll
    for (int i = 0; i < C::kTm / C::kG; ++i)
      x[i] = load_vec(a_thread + k * C::kPitchA + i * C::kLanesM * C::kG);
#pragma unroll
    for (int j = 0; j < C::kTn / C::kG; ++j)
      w[j] = load_vec(b_thread + k * C::kPitchB + j * C::kLanesN * C::kG);
#pragma unroll
    for (int i = 0; i < C::kTm; ++i)
#pragma unroll
      for (int j = 0; j < C::kTn; ++j)
        acc[i][j] = multiply_add(x[i / C::kG][i % C::kG], w[j / C::kG][j % C::kG], acc[i][j]);
  }
}
template <class C>
struct SimtStep {
  CCDL_DEVICE static void run(const typename C::S* a, const typename C::S* b,
                              typename C::S (&acc)[C::kTm][C::kTn]) {
    simt_step<C>(a, b, acc);
  }
};

// acc = sum over k in [0, depth) in ascending order. Uses C::kSmem bytes of dynamic shared memory; every
// thread of the block calls it, all are past the shared tiles when it returns.
template <class C, class Step = SimtStep<C>, class LoadA, class LoadB>
CCDL_DEVICE void simt_mainloop(LoadA& a, LoadB& b, int depth, typename C::S (&acc)[C::kTm][C::kTn]) {
  using S = typename C::S;
  constexpr int kSizeA = C::kDepth * C::kPitchA, kSizeB = C::kDepth * C::kPitchB;
  S* tile_a = dyn_smem<S>();
  S* tile_b = tile_a + 2 * kSizeA;
#pragma unroll
  for (int i = 0; i < C::kTm; ++i)
#pragma unroll
    for (int j = 0; j < C::kTn; ++j) acc[i][j] = S(0);
  if (depth <= 0) return;
  a.fetch(0);
  b.fetch(0);
  a.put(tile_a);
  b.put(tile_b);
  __syncthreads();  // the first tile is complete
  int stage = 0;
  for (int k = 0; k < depth; k += C::kDepth, stage ^= 1) {
    const bool more = k + C::kDepth < depth;
    if (more) {
      a.fetch(k + C::kDepth);
      b.fetch(k + C::kDepth);
    }
    Step::run(tile_a + stage * kSizeA, tile_b + stage * kSizeB, acc);
    if (more) {
      a.put(tile_a + (stage ^ 1) * kSizeA);
      b.put(tile_b + (stage ^ 1) * kSizeB);
    }
    __syncthreads();  // the next tile is complete, and nobody reads this one any more
  }
}

// Hands the accumulators to store(i, j, values): G neighbouring columns of tile row i from tile column j on.
template <class C, class Store>
CCDL_DEVICE void simt_store(const typename C::S (&acc)[C::kTm][C::kTn], const Store& store) {
#pragma unroll
  for (int i = 0; i < C::kTm; ++i)
#pragma unroll
    for (int j = 0; j < C::kTn; j += C::kG) {
      Vec<typename C::S> v;
#pragma unroll
      for (int g = 0; g < C::kG; ++g) v[g] = acc[i][j + g];
      store(simt_row<C>(i), simt_column<C>(j), v);
    }
}

}  // namespace ccdl::cu
