// Block-wide product of two operand tiles on the tensor cores (mma.sync): a ring of kStages tiles of 64 bytes
// of k filled by cp.async, read by ldmatrix, one barrier per tile. T: bfloat16, float16, or float as tf32
// (kTerms 1) or as three tf32 products per term (kTerms 3, fp32-accurate: x = big + small, the product of the
// two small parts is dropped, and each k step is added in fp32 outside the tensor core).
// Tiles are [row][64 bytes of k] (KFast) or [k][rows]; 16-byte chunks are permuted (chunk ^ f(line)) so that
// the fills and all fragment reads are free of bank conflicts. Bound: tensor-core rate.
#pragma once
#include <device/ptx_mma.cuh>
#include <device/vec.cuh>

namespace ccdl::cu {

template <class T_, int M, int N, int WarpM, int WarpN, int Stages, int Terms = 1>
struct MmaConfig {
  using T = T_;
  static constexpr int kM = M, kN = N, kWarpM = WarpM, kWarpN = WarpN, kStages = Stages, kTerms = Terms;
  static constexpr int kThreads = (M / WarpM) * (N / WarpN) * kWarp;
  static constexpr int kDepthBytes = 64, kDepth = kDepthBytes / static_cast<int>(sizeof(T));
  static constexpr int kMi = WarpM / 16, kNi = WarpN / 8;  // mma tiles of a warp
  static constexpr int kTileA = M * kDepthBytes, kTileB = N * kDepthBytes;
  static constexpr int kStagePitch = WarpN + 8;  // floats per row of the epilogue's staging
  static constexpr size_t kSmem = static_cast<size_t>(Stages) * (kTileA + kTileB);
  static_assert((M / WarpM) * (N / WarpN) * 16 * kStagePitch * 4 <= static_cast<int>(kSmem));
};

// Where a 16-byte chunk of a tile lies. KFast: line = row, 4 chunks of k; else line = k, chunks of rows.
template <class T, int Rows, bool KFast>
CCDL_DEVICE int tile_offset(int line, int chunk) {
  if constexpr (KFast)
    return line * 64 + ((chunk ^ (line >> 1 & 3)) << 4);
  else if constexpr (sizeof(T) == 2)
    return line * Rows * 2 + ((chunk ^ (line & 7)) << 4);
  else
    return line * Rows * 4 + ((chunk ^ (line & 3) << 1) << 4);
}

// Starts the copy of 16 bytes of which the first `valid` are in the matrix; src is aligned to `access` bytes.
CCDL_DEVICE void copy_chunk(unsigned char* dst, const void* src, int valid, int access) {
  const unsigned char* from = static_cast<const unsigned char*>(src);
  if (access == 16) {
    cp_async<16>(dst, from, valid);
  } else if (access == 8) {
#pragma unroll
    for (int i = 0; i < 16; i += 8) cp_async<8>(dst + i, from + i, least(most(valid - i, 0), 8));
  } else {
#pragma unroll
    for (int i = 0; i < 16; i += 4) cp_async<4>(dst + i, from + i, least(most(valid - i, 0), 4));
  }
}

// Tile policy: copy(tile, k) starts the copies of elements [k, k + kDepth) of Rows rows into tile, zeros
// outside the matrix; k counts from the block's share of the sum on. This one takes a matrix whose stride
// along the fast direction is 1 and whose lines are aligned to `access` = 16, 8 or 4 bytes.
template <class T, int Rows, int Threads, bool KFast>
struct AsyncTile {
  static constexpr int kE = 16 / static_cast<int>(sizeof(T)), kDepth = 4 * kE;
  static constexpr int kAcross = KFast ? 4 : Rows / kE;
  static constexpr int kPieces = Rows * 4 / Threads;
  static_assert(kPieces * Threads == Rows * 4);

  const T* base;  // row 0 of the tile, k = 0
  int64_t line;   // stride of the slow direction
  int rows, depth, access;

  CCDL_DEVICE void copy(unsigned char* tile, int k0) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int e = static_cast<int>(threadIdx.x) + p * Threads, slow = e / kAcross, chunk = e % kAcross;
      const int fast = chunk * kE;
      const int left = KFast ? (slow < rows ? depth - k0 - fast : 0) : (k0 + slow < depth ? rows - fast : 0);
      const int valid = least(most(left, 0), kE) * static_cast<int>(sizeof(T));
      const T* src = base + (KFast ? slow * line + k0 : (k0 + slow) * line) + fast;
      copy_chunk(tile + tile_offset<T, Rows, KFast>(slow, chunk), valid > 0 ? src : base, valid, access);
    }
  }
};

// Fragments of 32 bytes of k (step 0 or 1 of the tile): 16 rows of A, or 16 columns of B as two mma operands.
template <class T, int Rows, bool KFast>
CCDL_DEVICE void load_fragment_a(uint32_t (&r)[4], const unsigned char* tile, int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (KFast) {
    ldmatrix<4, false>(r, tile + tile_offset<T, Rows, true>(row + lane % 16, step * 2 + lane / 16));
  } else if constexpr (sizeof(T) == 2) {
    const int k = step * 16 + lane / 16 * 8 + lane % 8, chunk = row / 8 + lane / 8 % 2;
    ldmatrix<4, true>(r, tile + tile_offset<T, Rows, false>(k, chunk));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int m = row + lane / 4 + i % 2 * 8, k = step * 8 + lane % 4 + i / 2 * 4;
      r[i] = *reinterpret_cast<const uint32_t*>(tile + tile_offset<T, Rows, false>(k, m / 4) + m % 4 * 4);
    }
  }
}
template <class T, int Rows, bool KFast>
CCDL_DEVICE void load_fragment_b(uint32_t (&r)[4], const unsigned char* tile, int column, int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (KFast) {
    const int n = column + lane / 16 * 8 + lane % 8;
    ldmatrix<4, false>(r, tile + tile_offset<T, Rows, true>(n, step * 2 + lane / 8 % 2));
  } else if constexpr (sizeof(T) == 2) {
    const int k = step * 16 + lane % 16, chunk = column / 8 + lane / 16;
    ldmatrix<4, true>(r, tile + tile_offset<T, Rows, false>(k, chunk));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = column + lane / 4 + i / 2 * 8, k = step * 8 + lane % 4 + i % 2 * 4;
      r[i] = *reinterpret_cast<const uint32_t*>(tile + tile_offset<T, Rows, false>(k, n / 4) + n % 4 * 4);
    }
  }
}

// big = tf32(x), small = tf32(x - big)
CCDL_DEVICE void split_tf32(uint32_t x, uint32_t& big, uint32_t& small) {
  const float v = __uint_as_float(x);
  big = to_tf32(v);
  small = to_tf32(v - __uint_as_float(big));
}

template <class C>
using MmaAcc = float[C::kMi][C::kNi][4];

template <class C>
CCDL_DEVICE int mma_warp_row() {
  return static_cast<int>(threadIdx.x) / kWarp / (C::kN / C::kWarpN) * C::kWarpM;
}
template <class C>
CCDL_DEVICE int mma_warp_column() {
  return static_cast<int>(threadIdx.x) / kWarp % (C::kN / C::kWarpN) * C::kWarpN;
}

// acc += a b for fp32 fragments, by one or three tf32 products.
template <class C>
CCDL_DEVICE void multiply_tf32(const uint32_t (&a)[C::kMi][4], const uint32_t (&b)[C::kNi / 2][4],
                               MmaAcc<C>& acc) {
  uint32_t b_big[C::kNi][2], b_small[C::kNi][2];
#pragma unroll
  for (int j = 0; j < C::kNi; ++j)
#pragma unroll
    for (int r = 0; r < 2; ++r) split_tf32(b[j / 2][j % 2 * 2 + r], b_big[j][r], b_small[j][r]);
#pragma unroll
  for (int i = 0; i < C::kMi; ++i) {
    uint32_t a_big[4], a_small[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) split_tf32(a[i][r], a_big[r], a_small[r]);
#pragma unroll
    for (int j = 0; j < C::kNi; ++j) {
      if constexpr (C::kTerms == 1) {
        mma(acc[i][j], a_big, b_big[j], Tf32());
      } else {
        float sum[4] = {0, 0, 0, 0};
        mma(sum, a_small, b_big[j], Tf32());
        mma(sum, a_big, b_small[j], Tf32());
        mma(sum, a_big, b_big[j], Tf32());
#pragma unroll
        for (int r = 0; r < 4; ++r) acc[i][j][r] += sum[r];
      }
    }
  }
}

// One of the two 32-byte steps of k of a tile, out of shared memory into the accumulators; meanwhile() runs
// between reading the fragments and using them.
template <class C, bool KFastA, bool KFastB, class F>
CCDL_DEVICE void mma_step(const unsigned char* tile_a, const unsigned char* tile_b, int step, MmaAcc<C>& acc,
                          const F& meanwhile) {
  using T = typename C::T;
  uint32_t a[C::kMi][4], b[C::kNi / 2][4];
#pragma unroll
  for (int i = 0; i < C::kMi; ++i)
    load_fragment_a<T, C::kM, KFastA>(a[i], tile_a, mma_warp_row<C>() + i * 16, step);
#pragma unroll
  for (int j = 0; j < C::kNi / 2; ++j)
    load_fragment_b<T, C::kN, KFastB>(b[j], tile_b, mma_warp_column<C>() + j * 16, step);
  meanwhile();
  if constexpr (sizeof(T) == 4) {
    multiply_tf32<C>(a, b, acc);
  } else {
#pragma unroll
    for (int i = 0; i < C::kMi; ++i)
#pragma unroll
      for (int j = 0; j < C::kNi; ++j) {
        const uint32_t w[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
        mma(acc[i][j], a[i], w, T());
      }
  }
}

// What the steps do on the side: start the copies of a later tile, of A in step 0, of B in step 1.
template <class C, class LoadA, class LoadB>
struct CopyAhead {
  const LoadA& a;
  const LoadB& b;
  unsigned char* tile;
  int k, step;
  bool wanted;
  CCDL_DEVICE void operator()() const {
    if (!wanted) return;
    if (step == 0)
      a.copy(tile, k);
    else
      b.copy(tile + C::kTileA, k);
  }
};

// acc = sum over k in [0, depth). KFastX: the layout in which tile policy X fills its tiles. Uses C::kSmem
// bytes of dynamic shared memory; every thread of the block calls it, all are past them when it returns.
template <class C, bool KFastA, bool KFastB, class LoadA, class LoadB>
CCDL_DEVICE void mma_mainloop(LoadA& a, LoadB& b, int depth, MmaAcc<C>& acc) {
  unsigned char* ring = dyn_smem<unsigned char>();
  constexpr int kStage = C::kTileA + C::kTileB;
  const int tiles = depth <= 0 ? 0 : (depth - 1) / C::kDepth + 1;
#pragma unroll
  for (int i = 0; i < C::kMi; ++i)
#pragma unroll
    for (int j = 0; j < C::kNi; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) acc[i][j][r] = 0;
#pragma unroll
  for (int s = 0; s < C::kStages - 1; ++s) {
    if (s < tiles) {
      a.copy(ring + s * kStage, s * C::kDepth);
      b.copy(ring + s * kStage + C::kTileA, s * C::kDepth);
    }
    cp_async_commit();
  }
  int read = 0, write = C::kStages - 1;
  for (int t = 0; t < tiles; ++t) {
    cp_async_wait<C::kStages - 2>();
    __syncthreads();  // tile t is there for everyone, and nobody reads the stage refilled next
    const bool more = t + C::kStages - 1 < tiles;
    const int k = (t + C::kStages - 1) * C::kDepth;
    const unsigned char* tile = ring + read * kStage;
    unsigned char* next = ring + write * kStage;
    constexpr bool kEarly = sizeof(typename C::T) == 4;  // tf32 conversions need all registers later on
    if (kEarly && more) {
      a.copy(next, k);
      b.copy(next + C::kTileA, k);
    }
#pragma unroll(kEarly ? 1 : 2)
    for (int step = 0; step < 2; ++step)
      mma_step<C, KFastA, KFastB>(tile, tile + C::kTileA, step, acc,
                                  CopyAhead<C, LoadA, LoadB>{a, b, next, k, step, more && !kEarly});
    cp_async_commit();
    read = read + 1 == C::kStages ? 0 : read + 1;
    write = write + 1 == C::kStages ? 0 : write + 1;
  }
  cp_async_wait<0>();
  __syncthreads();  // the ring is free for the epilogue
}

// Hands the accumulators to store(i, j, Vec<float, N>): N neighbouring columns (16 bytes of T) of tile row i
// from tile column j on; N = 1 unless store.wide(). Goes through shared memory so that a warp writes whole
// rows.
template <class C, class Store>
CCDL_DEVICE void mma_store(const MmaAcc<C>& acc, const Store& store) {
  constexpr int kV = 16 / static_cast<int>(sizeof(typename C::T)), kPitch = C::kStagePitch;
  constexpr int kAcross = C::kWarpN / kV;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  float* stage = dyn_smem<float>() + warp * 16 * kPitch;
#pragma unroll
  for (int i = 0; i < C::kMi; ++i) {
#pragma unroll
    for (int j = 0; j < C::kNi; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Vec<float, 2> pair{{acc[i][j][half * 2], acc[i][j][half * 2 + 1]}};
        store_vec(stage + (lane / 4 + half * 8) * kPitch + j * 8 + lane % 4 * 2, pair);
      }
    __syncwarp();  // the 16 rows are complete
    if (store.wide()) {
#pragma unroll
      for (int e = lane; e < 16 * kAcross; e += kWarp) {
        const int row = e / kAcross, column = e % kAcross * kV;
        Vec<float, kV> v;
#pragma unroll
        for (int x = 0; x < kV; x += 4) {
          const Vec<float, 4> part = load_vec<float, 4>(stage + row * kPitch + column + x);
#pragma unroll
          for (int y = 0; y < 4; ++y) v[x + y] = part[y];
        }
        store(mma_warp_row<C>() + i * 16 + row, mma_warp_column<C>() + column, v);
      }
    } else {  // lanes side by side in a row of C that is not aligned
#pragma unroll 4
      for (int e = lane; e < 16 * C::kWarpN; e += kWarp) {
        const int row = e / C::kWarpN, column = e % C::kWarpN;
        store(mma_warp_row<C>() + i * 16 + row, mma_warp_column<C>() + column,
              Vec<float, 1>{{stage[row * kPitch + column]}});
      }
    }
    __syncwarp();  // read before the next rows overwrite them
  }
}

}  // namespace ccdl::cu
