// Products with few rows of A (m <= 16, 8 for the half formats): B is streamed once from memory into
// registers against all rows of A, which live in the caches. B running along k: a warp takes a few columns,
// lanes run along k, a butterfly adds them. B running along columns: lanes own columns, the warps of a block
// share k and are added in order. Bound: reading B once.
#include <runtime/launch.h>

#include <device/warp.cuh>
#include <kernels/gemm/problem.cuh>

namespace ccdl::cu {
namespace {

constexpr int kDotWarps = 4, kColumnWarps = 8;

template <class T>
CCDL_DEVICE GemmAcc<T> widened(T v) {
  return GemmOutput<T>::widen(v);
}

// Place of a block in the grid (groups of columns * splits, batches spread over y and z).
template <class T>
CCDL_DEVICE BlockPlace small_place(const GemmProblem<T>& p, int columns) {
  const unsigned groups = static_cast<unsigned>(ceil_div<int64_t>(p.n, columns));
  BlockPlace at;
  at.split = static_cast<int>(blockIdx.x / groups);
  at.batch = blockIdx.y + static_cast<int64_t>(blockIdx.z) * gridDim.y;
  at.valid = at.batch < p.batch;
  at.row0 = 0;
  at.column0 = static_cast<int64_t>(blockIdx.x % groups) * columns;
  at.k_begin = static_cast<int64_t>(at.split) * p.split_depth;
  at.depth = static_cast<int>(least<int64_t>(p.k - at.k_begin, p.split_depth));
  return at;
}

// B runs along k.
template <class T, int Rows, int Columns>
__global__ void __launch_bounds__(kDotWarps* kWarp) gemm_small_dots_kernel(const GemmProblem<T> p) {
  using Acc = GemmAcc<T>;
  constexpr int kV = 16 / static_cast<int>(sizeof(T));
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const BlockPlace at = small_place(p, kDotWarps * Columns);
  const int64_t j0 = at.column0 + warp * Columns;
  if (!at.valid || j0 >= p.n) return;
  const T* a = p.a.data + at.batch * p.a.batch + at.k_begin * p.a.k;
  const T* b = p.b.data + at.batch * p.b.batch + j0 * p.b.row + at.k_begin;
  const int columns = static_cast<int>(least<int64_t>(p.n - j0, Columns)), rows = static_cast<int>(p.m);
  const bool vector_b = p.b.access == 16, vector_a = vector_b && p.a.access == 16 && p.a.k_fast;
  // Lanes take kV neighbours each, or without 16-byte alignment every 32nd element.
  const int first = vector_b ? lane * kV : lane, step = vector_b ? 1 : kWarp;
  Acc acc[Rows][Columns] = {};
  for (int k0 = first; k0 < at.depth; k0 += kWarp * kV) {
    Vec<T, kV> w[Columns];
    const bool whole = vector_b && k0 + kV <= at.depth;
#pragma unroll
    for (int c = 0; c < Columns; ++c) {
      if (c < columns && whole) {
        w[c] = load_vec<T, kV>(b + c * p.b.row + k0);
      } else {
#pragma unroll
        for (int v = 0; v < kV; ++v)
          w[c][v] = c < columns && k0 + v * step < at.depth ? b[c * p.b.row + k0 + v * step] : T(0);
      }
    }
#pragma unroll
    for (int m = 0; m < Rows; ++m) {
      if (m >= rows) break;
      Vec<T, kV> x;
      if (vector_a && whole) {
        x = load_vec<T, kV>(a + m * p.a.row + k0);
      } else {
#pragma unroll
        for (int v = 0; v < kV; ++v)
          x[v] = k0 + v * step < at.depth ? a[m * p.a.row + (k0 + v * step) * p.a.k] : T(0);
      }
#pragma unroll
      for (int c = 0; c < Columns; ++c)
#pragma unroll
        for (int v = 0; v < kV; ++v) acc[m][c] = fma(widened(x[v]), widened(w[c][v]), acc[m][c]);
    }
  }
  const TileStore<T> store = tile_store(p, at);
#pragma unroll
  for (int m = 0; m < Rows; ++m)
#pragma unroll
    for (int c = 0; c < Columns; ++c) {
      const Vec<Acc, 1> sum{{warp_sum(acc[m][c])}};
      if (lane == (m * Columns + c) % kWarp) store(m, warp * Columns + c, sum);
    }
}

// B runs along columns.
template <class T, int Rows>
__global__ void __launch_bounds__(kColumnWarps* kWarp) gemm_small_columns_kernel(const GemmProblem<T> p) {
  using Acc = GemmAcc<T>;
  constexpr int kV = 16 / static_cast<int>(sizeof(T)), kWidth = kWarp * kV;
  CCDL_SHARED(Acc, partial, [kColumnWarps][kWidth]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const BlockPlace at = small_place(p, kWidth);
  if (!at.valid) return;
  const T* a = p.a.data + at.batch * p.a.batch + at.k_begin * p.a.k;
  const T* b = p.b.data + at.batch * p.b.batch + at.column0 + at.k_begin * p.b.k;
  const int columns = static_cast<int>(least<int64_t>(p.n - at.column0, kWidth)),
            rows = static_cast<int>(p.m);
  const bool vector = p.b.access == 16;
  const int first = vector ? lane * kV : lane, step = vector ? 1 : kWarp;
  Acc acc[Rows][kV] = {};
#pragma unroll 2
  for (int k = warp; k < at.depth; k += kColumnWarps) {
    Vec<T, kV> w;
    if (vector && first + kV <= columns) {
      w = load_vec<T, kV>(b + k * p.b.k + first);
    } else {
#pragma unroll
      for (int v = 0; v < kV; ++v) w[v] = first + v * step < columns ? b[k * p.b.k + first + v * step] : T(0);
    }
#pragma unroll
    for (int m = 0; m < Rows; ++m) {
      const Acc x = widened(m < rows ? a[m * p.a.row + k * p.a.k] : T(0));
#pragma unroll
      for (int v = 0; v < kV; ++v) acc[m][v] = fma(x, widened(w[v]), acc[m][v]);
    }
  }
  const TileStore<T> store = tile_store(p, at);
#pragma unroll
  for (int m = 0; m < Rows; ++m) {
    if (m >= rows) break;
#pragma unroll
    for (int v = 0; v < kV; ++v) partial[warp][first + v * step] = acc[m][v];
    __syncthreads();  // row m of every warp is there
    for (int j = static_cast<int>(threadIdx.x); j < columns; j += kColumnWarps * kWarp) {
      Vec<Acc, 1> sum{{partial[0][j]}};
#pragma unroll
      for (int w = 1; w < kColumnWarps; ++w) sum[0] += partial[w][j];
      store(m, j, sum);
    }
    __syncthreads();  // read before the next row overwrites it
  }
}

template <class T, int Rows>
void launch_small(const GemmProblem<T>& p) {
  constexpr int kColumns = Rows == 16 ? 2 : 4;
  const bool dots = p.b.k_fast;
  const int64_t width = dots ? kDotWarps * kColumns : kWarp * 16 / static_cast<int64_t>(sizeof(T));
  const LaunchConfig config{batch_grid(ceil_div(p.n, width) * p.splits, p.batch),
                            dim3((dots ? kDotWarps : kColumnWarps) * kWarp)};
  if (dots)
    CCDL_LAUNCH(config, (gemm_small_dots_kernel<T, Rows, kColumns>), p);
  else
    CCDL_LAUNCH(config, (gemm_small_columns_kernel<T, Rows>), p);
}

}  // namespace

template <class T>
void gemm_small(const GemmProblem<T>& p) {
  if (p.m == 1)
    launch_small<T, 1>(p);
  else if (p.m <= 4)
    launch_small<T, 4>(p);
  else
    launch_small<T, kSmallRows<T>>(p);
}
template void gemm_small(const GemmProblem<float>&);
template void gemm_small(const GemmProblem<double>&);
template void gemm_small(const GemmProblem<float16>&);
template void gemm_small(const GemmProblem<bfloat16>&);

}  // namespace ccdl::cu
