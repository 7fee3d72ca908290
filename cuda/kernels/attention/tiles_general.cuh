// Tiles of the general attention kernels: a block of 256 threads as 16 x 16 owns kTile = 16 G rows (G:
// numbers in 16 bytes) and kTile columns of scores, G x G per thread. Operands pass through shared memory
// transposed, kDepth numbers of each row at a time, so that all reads are conflict-free 16-byte vectors.
#pragma once
#include <device/ptx_math.cuh>
#include <kernels/attention/problem.cuh>
#include <kernels/row_bricks.cuh>

namespace ccdl::cu {

enum class AttentionKind { Forward, Q, K, V };

template <class T_, int V_, AttentionKind Kind>
struct GeneralConfig {
  using T = T_;
  using S = Compute<T>;
  static constexpr AttentionKind kKind = Kind;
  static constexpr bool kQueryRows = Kind == AttentionKind::Forward || Kind == AttentionKind::Q;
  static constexpr bool kWide = Kind == AttentionKind::Forward || Kind == AttentionKind::V;  // E columns
  static constexpr int kV = V_, kG = 16 / static_cast<int>(sizeof(S)), kTile = kGeneralTile<T>;
  static constexpr int kThreads = 256, kDepth = 32, kPitch = kTile + kG, kOut = kTile * V_;
  static constexpr int kOperands = most(2 * kDepth * kPitch, kDepth* kOut);  // or the tile of x
  // Blocks per multiprocessor: with the scores' gradients and a wide output two would spill.
  static constexpr int kBlocks =
      V_ == 2 && sizeof(S) == 4 && (Kind == AttentionKind::Q || Kind == AttentionKind::K) ? 1 : 2;
  static constexpr size_t kSmem = (kOperands + kTile * kPitch) * sizeof(S);
};
template <class C>
using GeneralScores = typename C::S[C::kG][C::kG];
template <class C>
using GeneralOut = typename C::S[C::kG][C::kV * C::kG];

CCDL_DEVICE int tile_y() { return static_cast<int>(threadIdx.x) / 16; }
CCDL_DEVICE int tile_x() { return static_cast<int>(threadIdx.x) % 16; }

// Numbers of a tile of kDepth that are worth a look when `left` exist: loops run in steps of four.
template <class C>
CCDL_DEVICE int depth_of(int64_t left) {
  return static_cast<int>(least<int64_t>(C::kDepth, ceil_div<int64_t>(left, 4) * 4));
}

// tile[d][row] = `depth` columns of kTile rows, zeros outside; a warp takes 4 rows of 8, so that neither side
// wastes accesses.
template <class C, class Offset>
CCDL_DEVICE void fill_transposed(typename C::S* tile, const typename C::T* base, const Offset& offset,
                                 int64_t rows, int columns) {
  static_assert(C::kThreads == 256 && C::kDepth == 32);
  const int thread = recomputed(static_cast<int>(threadIdx.x)), lane = thread % kWarp, warp = thread / kWarp;
  const int d = warp % 4 * 8 + lane % 8, row0 = warp / 4 * 4 + lane / 8;
  if (d >= depth_of<C>(columns)) return;
#pragma unroll 4
  for (int r = row0; r < C::kTile; r += 8)
    tile[d * C::kPitch + r] =
        r < rows && d < columns ? convert<typename C::S>(base[offset(r) + d]) : typename C::S(0);
}

// acc = a b^T over `width` columns.
template <class C, class OffsetA, class OffsetB>
CCDL_DEVICE void general_scores(typename C::S* shared, const typename C::T* a, const OffsetA& offset_a,
                                int64_t rows, const typename C::T* b, const OffsetB& offset_b,
                                int64_t columns, int width, GeneralScores<C>& acc) {
  using S = typename C::S;
  S* tile_a = shared;
  S* tile_b = shared + C::kDepth * C::kPitch;
#pragma unroll
  for (int i = 0; i < C::kG; ++i)
#pragma unroll
    for (int j = 0; j < C::kG; ++j) acc[i][j] = S(0);
  for (int d = 0; d < width; d += C::kDepth) {
    __syncthreads();  // nobody reads what was here any more
    fill_transposed<C>(tile_a, a + d, offset_a, rows, width - d);
    fill_transposed<C>(tile_b, b + d, offset_b, columns, width - d);
    __syncthreads();  // both tiles are complete
    if (tile_y() * C::kG >= rows || tile_x() * C::kG >= columns) continue;
    const int depth = depth_of<C>(width - d);
    for (int k0 = 0; k0 < depth; k0 += 4)
#pragma unroll
      for (int k = k0; k < k0 + 4; ++k) {
        const Vec<S> x = load_vec(tile_a + k * C::kPitch + tile_y() * C::kG);
        const Vec<S> y = load_vec(tile_b + k * C::kPitch + tile_x() * C::kG);
#pragma unroll
        for (int i = 0; i < C::kG; ++i)
#pragma unroll
          for (int j = 0; j < C::kG; ++j) acc[i][j] = fma_of(x[i], y[j], acc[i][j]);
      }
  }
}

// out += w x: `out_rows` rows of w, `rows` rows of x, `columns` wide.
template <class C>
CCDL_DEVICE void general_values(typename C::S* shared, const GeneralScores<C>& w, int64_t out_rows,
                                const typename C::T* x, int64_t stride, int64_t rows, int columns,
                                GeneralOut<C>& out) {
  using S = typename C::S;
  S* weights = shared + C::kOperands;  // [column][row]
#pragma unroll
  for (int j = 0; j < C::kG; ++j) {
    Vec<S> v;
#pragma unroll
    for (int i = 0; i < C::kG; ++i) v[i] = w[i][j];
    store_vec(weights + (tile_x() * C::kG + j) * C::kPitch + tile_y() * C::kG, v);
  }
  for (int k0 = 0; k0 < least<int64_t>(C::kTile, rows); k0 += C::kDepth) {
    const int depth = depth_of<C>(rows - k0);
    __syncthreads();  // the weights are complete, and nobody reads what was in the tile
    static_assert(C::kThreads % C::kOut == 0);
    const int thread = recomputed(static_cast<int>(threadIdx.x)), c = thread % C::kOut;
#pragma unroll 4
    for (int r = thread / C::kOut; r < depth; r += C::kThreads / C::kOut)
      shared[r * C::kOut + c] = k0 + r < rows && c < columns ? convert<S>(x[(k0 + r) * stride + c]) : S(0);
    __syncthreads();  // the tile is complete
    if (tile_y() * C::kG >= out_rows || tile_x() * C::kG >= columns) continue;
    for (int k1 = 0; k1 < depth; k1 += 4)
#pragma unroll
      for (int k = k1; k < k1 + 4; ++k) {
        const Vec<S> a = load_vec(weights + (k0 + k) * C::kPitch + tile_y() * C::kG);
#pragma unroll
        for (int v = 0; v < C::kV; ++v) {
          const Vec<S> b = load_vec(shared + k * C::kOut + (v * 16 + tile_x()) * C::kG);
#pragma unroll
          for (int i = 0; i < C::kG; ++i)
#pragma unroll
            for (int j = 0; j < C::kG; ++j) out[i][v * C::kG + j] = fma_of(a[i], b[j], out[i][v * C::kG + j]);
        }
      }
  }
}

template <class C>
CCDL_DEVICE void clear(GeneralOut<C>& out) {
#pragma unroll
  for (int i = 0; i < C::kG; ++i)
#pragma unroll
    for (int j = 0; j < C::kV * C::kG; ++j) out[i][j] = 0;
}
// The column of out (within the block's chunk) that out[.][j] is.
template <class C>
CCDL_DEVICE int out_column(int j) {
  return (j / C::kG * 16 + tile_x()) * C::kG + j % C::kG;
}

}  // namespace ccdl::cu
