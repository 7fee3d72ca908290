// A product as the kernels see it: both operands as [rows, k] (the rows of B are C's columns), the finishing
// of an element, and the order in which blocks visit C. Sums over k may be cut into `splits` parts whose raw
// results go to `partial`; split_sum_kernel adds them in ascending order.
#pragma once
#include <device/prelude.cuh>
#include <device/vec.cuh>

namespace ccdl::cu {

template <class T>
struct GemmAccOf {
  using type = uint32_t;  // integers wrap
};
template <>
struct GemmAccOf<int64_t> {
  using type = uint64_t;
};
template <>
struct GemmAccOf<float> {
  using type = float;
};
template <>
struct GemmAccOf<double> {
  using type = double;
};
template <>
struct GemmAccOf<float16> {
  using type = float;
};
template <>
struct GemmAccOf<bfloat16> {
  using type = float;
};
template <class T>
using GemmAcc = typename GemmAccOf<T>::type;

template <class T>
struct GemmOperand {
  const T* data;
  int64_t batch, row, k;  // strides
  bool k_fast;            // neighbouring threads read along k; else along rows
  int access;             // bytes one aligned access may move along the fast direction; 0: not of unit stride
};

template <class T>
struct GemmOutput {
  using Acc = GemmAcc<T>;
  T* c;
  int64_t batch, row, column;  // strides
  const T* bias;
  int64_t bias_row, bias_column;
  Acc alpha, beta;
  bool reads_c, relu;
  bool vector;   // rows may be written in 16-byte pieces
  Acc* partial;  // [split][batch][m][pitch] or null
  int64_t pitch, partial_split;

  // alpha v + beta C + bias, activated
  CCDL_DEVICE T finish(Acc v, const T* at, int64_t i, int64_t j) const {
    v = alpha * v;
    if (reads_c) v += beta * widen(*at);
    if (bias != nullptr) v += widen(bias[i * bias_row + j * bias_column]);
    if constexpr (detail::kIsFloating<T>) {
      if (relu && v < Acc(0)) v = Acc(0);
      return convert<T>(v);
    } else {
      return static_cast<T>(v);
    }
  }
  CCDL_DEVICE static Acc widen(T v) {
    if constexpr (kIsHalf<T>)
      return convert<float>(v);
    else
      return static_cast<Acc>(v);
  }
};

template <class T>
struct GemmProblem {
  int64_t batch, m, n, k;
  GemmOperand<T> a, b;
  GemmOutput<T> c;
  int splits;
  int split_depth;  // k per split, a multiple of every tile's depth
};

// Store policy of a block: tile coordinates to C (or to the block's part of the partial sums).
template <class T>
struct TileStore {
  using Acc = GemmAcc<T>;
  const GemmOutput<T>* out;
  T* c;          // of this batch
  Acc* partial;  // of this split and batch, or null
  int64_t row0, column0, m, n;

  template <int N>
  CCDL_DEVICE void operator()(int row, int column, const Vec<Acc, N>& v) const {
    at(row0 + row, column0 + column, v);
  }
  // Whole pieces of 16 bytes of T may be handed over; else single elements suit better.
  CCDL_DEVICE bool wide() const { return partial != nullptr || out->vector; }
  // Rows of partial sums are 16-byte aligned.
  template <int N>
  CCDL_DEVICE void store_partial(Acc* to, int64_t j, const Vec<Acc, N>& v) const {
    constexpr int kG = 16 / static_cast<int>(sizeof(Acc));
    if (N % kG == 0 && j + N <= n) {
#pragma unroll
      for (int x = 0; x + kG <= N; x += kG) {
        Vec<Acc> part;
#pragma unroll
        for (int g = 0; g < kG; ++g) part[g] = v[x + g];
        store_vec(to + x, part);
      }
    } else {
#pragma unroll
      for (int x = 0; x < N; ++x)
        if (j + x < n) to[x] = v[x];
    }
  }
  // Element (i, j) of C and its right neighbours.
  template <int N>
  CCDL_DEVICE void at(int64_t i, int64_t j, const Vec<Acc, N>& v) const {
    if (i >= m || j >= n) return;
    if (partial != nullptr) {
      store_partial(partial + i * out->pitch + j, j, v);
      return;
    }
    T* to = c + i * out->row + j * out->column;
    if constexpr (N * sizeof(T) == 16) {
      if (out->vector && j + N <= n) {
        Vec<T, N> y;
        if (out->reads_c) y = load_vec<T, N>(to);
#pragma unroll
        for (int x = 0; x < N; ++x) y[x] = out->finish(v[x], &y[x], i, j + x);
        store_vec(to, y);
        return;
      }
    }
#pragma unroll
    for (int x = 0; x < N; ++x)
      if (j + x < n) to[x * out->column] = out->finish(v[x], to + x * out->column, i, j + x);
  }
};

// What a block of the grid (tiles * splits, batches spread over y and z) works on.
struct BlockPlace {
  int64_t batch, row0, column0, k_begin;
  int depth, split;
  bool valid;
};

// Tiles are visited in bands of eight tile rows, so that blocks running together share operands in L2.
CCDL_DEVICE void band_order(unsigned tile, unsigned tiles_m, unsigned tiles_n, unsigned& row,
                            unsigned& column) {
  constexpr unsigned kBand = 8;
  const unsigned band = tile / (kBand * tiles_n), in_band = tile % (kBand * tiles_n);
  const unsigned height = least(kBand, tiles_m - band * kBand);
  row = band * kBand + in_band % height;
  column = in_band / height;
}

template <class T>
CCDL_DEVICE BlockPlace block_place(const GemmProblem<T>& p, int tile_m, int tile_n) {
  const unsigned tiles_m = static_cast<unsigned>(ceil_div<int64_t>(p.m, tile_m));
  const unsigned tiles_n = static_cast<unsigned>(ceil_div<int64_t>(p.n, tile_n));
  unsigned row, column;
  band_order(blockIdx.x % (tiles_m * tiles_n), tiles_m, tiles_n, row, column);
  BlockPlace at;
  at.split = static_cast<int>(blockIdx.x / (tiles_m * tiles_n));
  at.batch = blockIdx.y + static_cast<int64_t>(blockIdx.z) * gridDim.y;
  at.valid = at.batch < p.batch;
  at.row0 = static_cast<int64_t>(row) * tile_m;
  at.column0 = static_cast<int64_t>(column) * tile_n;
  at.k_begin = static_cast<int64_t>(at.split) * p.split_depth;
  at.depth = static_cast<int>(least<int64_t>(p.k - at.k_begin, p.split_depth));
  return at;
}
// y and z of a grid of one block layer per batch.
inline dim3 batch_grid(int64_t x, int64_t batch) {
  const int64_t z = ceil_div<int64_t>(batch, 65535), y = ceil_div(batch, z);
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}
template <class T>
dim3 gemm_grid(const GemmProblem<T>& p, int tile_m, int tile_n) {
  return batch_grid(ceil_div<int64_t>(p.m, tile_m) * ceil_div<int64_t>(p.n, tile_n) * p.splits, p.batch);
}

template <class T>
CCDL_DEVICE TileStore<T> tile_store(const GemmProblem<T>& p, const BlockPlace& at) {
  TileStore<T> s;
  s.out = &p.c;
  s.c = p.c.c + at.batch * p.c.batch;
  s.partial = p.c.partial == nullptr
                  ? nullptr
                  : p.c.partial + at.split * p.c.partial_split + at.batch * p.m * p.c.pitch;
  s.row0 = at.row0;
  s.column0 = at.column0;
  s.m = p.m;
  s.n = p.n;
  return s;
}

// Points a tile policy of the exact main loop at rows row0 .. of an operand with `rows` rows.
template <int Rows, class Tile, class T>
CCDL_DEVICE void place_tile(Tile& tile, const GemmOperand<T>& x, const BlockPlace& at, int64_t row0,
                            int64_t rows) {
  tile.base = x.data + at.batch * x.batch + row0 * x.row + at.k_begin * x.k;
  tile.row_stride = x.row;
  tile.k_stride = x.k;
  tile.rows = static_cast<int>(least<int64_t>(rows - row0, Rows));
  tile.depth = at.depth;
  if constexpr (requires { tile.k_fast; })
    tile.k_fast = x.k_fast;
  else
    tile.vector = x.access == 16;
}

// Launchers, one per translation unit. Each runs p with splits as planned; the caller adds the partial sums.
void gemm_simt_f32(const GemmProblem<float>& p, bool large_tile);
void gemm_f64(const GemmProblem<double>& p);
template <class T>
void gemm_integer(const GemmProblem<T>& p);
void gemm_tf32(const GemmProblem<float>& p, bool large_tile);
void gemm_tf32x3(const GemmProblem<float>& p, bool large_tile);
void gemm_mma(const GemmProblem<bfloat16>& p, bool large_tile);
void gemm_mma(const GemmProblem<float16>& p, bool large_tile);
// m <= kSmallRows<T>; B has unit stride along its fast direction
template <class T>
constexpr int kSmallRows = kIsHalf<T> ? 8 : 16;
template <class T>
void gemm_small(const GemmProblem<T>& p);

}  // namespace ccdl::cu
