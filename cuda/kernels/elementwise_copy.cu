// copy_cast. One dtype: bits move in items of up to 16 bytes; where source and destination are fast along
// different dimensions, through a tile in shared memory so that both sides stay coalesced. Casts among
// float32 and the half formats run on quads. Bound: bytes read + bytes written.
#include <ccdl/kernels/create.h>
#include <ccdl/kernels/elementwise.h>
#include <kernels/move.cuh>

namespace ccdl::cu {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) copy_kernel(Walk<2> w, T* dst, const T* src, int tail) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kMoves) + threadIdx.x;
  T v[kMoves];
  int64_t to[kMoves];
#pragma unroll
  for (int j = 0; j < kMoves; ++j) {
    const int64_t at = first + j * kThreads;
    int64_t off[2];
    w.offsets(at < w.numel ? at : 0, off);
    to[j] = off[0];
    if (at < w.numel) v[j] = src[off[1]];
  }
#pragma unroll
  for (int j = 0; j < kMoves; ++j)
    if (first + j * kThreads < w.numel) dst[to[j]] = v[j];
  if (blockIdx.x == 0 && static_cast<int>(threadIdx.x) < tail) {
    const int64_t at = w.numel * static_cast<int64_t>(sizeof(T)) + threadIdx.x;
    reinterpret_cast<uint8_t*>(dst)[at] = reinterpret_cast<const uint8_t*>(src)[at];
  }
}

// ---- casts ----

struct Cast {
  DType from, to;
  int item;  // of from
};
CCDL_DEVICE void store_cast(const Cast& c, void* dst, int64_t offset, uint64_t raw) {
  if (c.from == DType::Float64)
    store_as(dst, c.to, offset, from_raw<double>(raw, c.from));
  else if (c.from >= DType::Float16)
    store_as(dst, c.to, offset, from_raw<float>(raw, c.from));
  else
    store_as(dst, c.to, offset, from_raw<int64_t>(raw, c.from));
}

__global__ void __launch_bounds__(kThreads) cast_kernel(Walk<2> w, void* dst, const void* src, Cast cast) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kMoves) + threadIdx.x;
  uint64_t raw[kMoves];
  int64_t to[kMoves];
#pragma unroll
  for (int j = 0; j < kMoves; ++j) {
    const int64_t at = first + j * kThreads;
    int64_t off[2];
    w.offsets(at < w.numel ? at : 0, off);
    to[j] = off[0];
    raw[j] = at < w.numel ? load_raw(src, cast.item, off[1]) : 0;
  }
#pragma unroll 1
  for (int j = 0; j < kMoves; ++j) {
    if (first + j * kThreads < w.numel) store_cast(cast, dst, to[0], raw[0]);
#pragma unroll
    for (int i = 0; i + 1 < kMoves; ++i) to[i] = to[i + 1], raw[i] = raw[i + 1];
  }
}

struct Identity : Formula<8> {
  CCDL_DEVICE float operator()(float x) const { return x; }
};

// ---- transposes ----

constexpr int kTile = 64;

struct TransposePlan {
  Walk<2> outer;             // the other dimensions
  int64_t rows, cols;        // rows run along the source's fast dimension, columns along the destination's
  int64_t src_col, dst_row;  // strides of the other dimension on either side
  int64_t row_tiles, col_tiles;
};

// dst[r * dst_row + c] = src[r + c * src_col] for a tile of kTile x kTile.
template <class T, bool kCasts>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(TransposePlan p, void* dst, const T* src, Cast cast) {
  CCDL_SHARED(T, tile, [kTile][kTile + 1]);  // [column][row]
  const int64_t block = blockIdx.x, col_tile = block % p.col_tiles, rest = block / p.col_tiles;
  const int64_t r0 = rest % p.row_tiles * kTile, c0 = col_tile * kTile;
  int64_t off[2];
  p.outer.offsets(rest / p.row_tiles, off);
  const int x = static_cast<int>(threadIdx.x) % kTile, y = static_cast<int>(threadIdx.x) / kTile;
  src += off[1] + r0 + c0 * p.src_col;
#pragma unroll
  for (int c = y; c < kTile; c += kThreads / kTile)
    if (r0 + x < p.rows && c0 + c < p.cols) tile[c][x] = src[x + c * p.src_col];
  __syncthreads();  // the tile is complete
  const int64_t to = off[0] + r0 * p.dst_row + c0;
#pragma unroll
  for (int r = y; r < kTile; r += kThreads / kTile)
    if (c0 + x < p.cols && r0 + r < p.rows) {
      if constexpr (kCasts)
        store_cast(cast, dst, to + r * p.dst_row + x, tile[x][r]);
      else
        static_cast<T*>(dst)[to + r * p.dst_row + x] = tile[x][r];
    }
}

// The dimension along which the source is dense when that is not the destination's, else -1.
int transposed_dimension(const Walk<2>& w) {
  constexpr int kLeast = 16;  // narrower tiles waste more threads than uncoalesced reads cost
  if (w.ndim < 2 || w.strides[0][0] != 1 || w.strides[1][0] <= 1 || w.sizes[0] < kLeast) return -1;
  for (int d = 1; d < w.ndim; ++d)
    if (w.strides[1][d] == 1 && w.sizes[d] >= kLeast) return d;
  return -1;
}

void transpose_copy(const Walk<2>& w, int fast, const View& src, const View& dst, const Cast& cast) {
  TransposePlan p{};
  p.rows = w.sizes[fast], p.cols = w.sizes[0];
  p.src_col = w.strides[1][0], p.dst_row = w.strides[0][fast];
  p.row_tiles = ceil_div<int64_t>(p.rows, kTile), p.col_tiles = ceil_div<int64_t>(p.cols, kTile);
  p.outer.small = w.small;
  for (int d = 1; d < w.ndim; ++d) {
    if (d == fast) continue;
    const int at = p.outer.ndim++;
    p.outer.sizes[at] = w.sizes[d];
    p.outer.divs[at] = w.divs[d];
    for (int k = 0; k < 2; ++k) p.outer.strides[k][at] = w.strides[k][d];
    p.outer.numel *= w.sizes[d];
  }
  const LaunchConfig config = blocks_of(p.outer.numel * p.row_tiles * p.col_tiles, 1);
  by_item(cast.item, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!detail::kSame<T, Wide>) {
      if (cast.from == cast.to)
        CCDL_LAUNCH(config, (transpose_kernel<T, false>), p, dst.data, src.ptr<T>(), cast);
      else
        CCDL_LAUNCH(config, (transpose_kernel<T, true>), p, dst.data, src.ptr<T>(), cast);
    }
  });
}

}  // namespace

void copy_cast(const View& src, const View& dst) {
  if (dst.numel() == 0) return;
  if (src.on_host()) {
    const uint64_t bits = host_bits(src, dst.dtype);
    return fill(dst, &bits);
  }
  const View* views[] = {&dst, &src};
  Walk<2> w = make_ordered_walk(views);
  const Cast cast{src.dtype, dst.dtype, static_cast<int>(item_size(src.dtype))};
  if (const int fast = transposed_dimension(w); fast >= 0) return transpose_copy(w, fast, src, dst, cast);
  if (src.dtype == dst.dtype) {
    const Widened wide = widen(w, cast.item, {dst.data, src.data});
    return by_item(wide.item, [&](auto tag) {
      using T = decltype(tag);
      CCDL_LAUNCH(blocks_of(w.numel, kThreads * kMoves), copy_kernel<T>, w, dst.ptr<T>(), src.ptr<T>(),
                  static_cast<int>(wide.tail));
    });
  }
  if (fits_quad(src.dtype) && is_floating(dst.dtype) && fits_quad(dst.dtype)) {
    const View* in[] = {&src};
    return run_elementwise<float>(dst, in, Identity());
  }
  CCDL_LAUNCH(blocks_of(w.numel, kThreads * kMoves), cast_kernel, w, dst.data, src.data, cast);
}

}  // namespace ccdl::cu
