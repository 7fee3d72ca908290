// Tiles of the tensor-core attention kernels: [row][Head] of a half format, or of float for tf32 products, in
// shared memory, 16-byte chunks permuted so that ldmatrix, plain or transposed, meets no bank conflict;
// filled by cp.async, padded with zeros to Head columns. Products over Head (scores) and over a tile's rows
// (values). Accumulators have the C layout of m16n8k16, whose pairs of n-tiles are also the A layout; for
// tf32 the k of a product over rows runs 0, 2, 4, 6, 1, 3, 5, 7 in both operands instead. So probabilities
// stay in registers.
#pragma once
#include <device/ptx_math.cuh>
#include <device/ptx_mma.cuh>
#include <kernels/attention/problem.cuh>

namespace ccdl::cu {

constexpr int kAttentionThreads = 128;  // four warps

template <class T>
constexpr int kPiece = 16 / static_cast<int>(sizeof(T));  // elements of a 16-byte chunk
template <class T>
using MmaType = std::conditional_t<std::is_same_v<T, float>, Tf32, T>;

// Byte offset of 16-byte chunk `chunk` of a row.
template <class T, int Head>
CCDL_DEVICE int tile_offset(int row, int chunk) {
  constexpr int kBytes = Head * static_cast<int>(sizeof(T));
  static_assert(kBytes % 64 == 0);
  return row * kBytes + ((kBytes % 128 == 0 ? chunk ^ (row & 7) : chunk ^ (row >> 1 & 3)) << 4);
}

// Starts filling Rows rows of `columns` elements: row r from base + offset(r); rows >= rows are zeros. A
// thread stays at one place of a group of 128 (or 64) bytes and steps over rows by a multiple of 8, so all
// its places in the tile differ by constants.
template <int Head, int Rows, class T, class Offset>
CCDL_DEVICE void fill_tile(unsigned char* tile, const T* base, const Offset& offset, int rows, int columns) {
  constexpr int kBytes = Head * static_cast<int>(sizeof(T)), kE = kPiece<T>;
  constexpr int kLanes = kBytes % 128 == 0 ? 8 : 4, kStep = kAttentionThreads / kLanes;
  static_assert(Rows % kStep == 0 || Rows == kStep / 2);
  const int thread = recomputed(static_cast<int>(threadIdx.x)), row0 = thread / kLanes,
            chunk = thread % kLanes;
  unsigned char* dst = tile + tile_offset<T, Head>(row0, chunk);
#pragma unroll
  for (int step = 0; step < Rows; step += kStep) {
    if (Rows < kStep && row0 >= Rows) break;
    const bool inside = row0 + step < rows;
    const T* src = base + (inside ? offset(row0 + step) + (chunk * kE < columns ? chunk * kE : 0) : 0);
#pragma unroll
    for (int group = 0; group < kBytes / 16; group += kLanes) {
      const int valid = inside ? least(most(columns - (chunk + group) * kE, 0), kE) : 0;
      cp_async<16>(dst + step * kBytes + group * 16, src + (valid > 0 ? group * kE : 0),
                   valid * static_cast<int>(sizeof(T)));
    }
  }
}
struct RowStride {
  int64_t stride;
  CCDL_DEVICE int64_t operator()(int row) const { return row * stride; }
};

template <class T>
CCDL_DEVICE void round_operand(uint32_t (&r)[4]) {
  if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (uint32_t& v : r) v = to_tf32(__uint_as_float(v));
  }
}

// The A operand of a score product: Mi times 16 rows of a tile, held in registers or read again per step of
// 32 bytes.
template <class T, int Head, int Mi, bool InRegisters>
struct ScoreOperand {
  static constexpr int kSteps = Head * static_cast<int>(sizeof(T)) / 32;
  const unsigned char* tile;
  int row;  // first row of the warp
  uint32_t held[InRegisters ? Mi : 1][InRegisters ? kSteps : 1][4];

  CCDL_DEVICE void read(int i, int step, uint32_t (&r)[4], int lane) const {
    ldmatrix<4, false>(r, tile + tile_offset<T, Head>(row + i * 16 + lane % 16, step * 2 + lane / 16));
    round_operand<T>(r);
  }
  CCDL_DEVICE void prepare() {  // once the tile is there
    if constexpr (InRegisters) {
      const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
      for (int i = 0; i < Mi; ++i)
#pragma unroll
        for (int step = 0; step < kSteps; ++step) read(i, step, held[i][step], lane);
    }
  }
  CCDL_DEVICE void get(int i, int step, uint32_t (&r)[4], int lane) const {
    if constexpr (InRegisters) {
#pragma unroll
      for (int x = 0; x < 4; ++x) r[x] = held[i][step][x];
    } else {
      read(i, step, r, lane);
    }
  }
};

// acc = a b^T for the N rows of tile b.
template <class T, int Head, int Mi, int N, bool InRegisters>
CCDL_DEVICE void score_product(const ScoreOperand<T, Head, Mi, InRegisters>& a, const unsigned char* b,
                               float (&acc)[Mi][N / 8][4]) {
  const int lane = recomputed(static_cast<int>(threadIdx.x)) % kWarp;
#pragma unroll
  for (int i = 0; i < Mi; ++i)
#pragma unroll
    for (int j = 0; j < N / 8; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) acc[i][j][r] = 0;
  constexpr int kSteps = ScoreOperand<T, Head, Mi, InRegisters>::kSteps;
#pragma unroll(InRegisters ? kSteps : 4)  // all steps at once cost registers
  for (int step = 0; step < kSteps; ++step) {
    uint32_t fa[Mi][4];
#pragma unroll
    for (int i = 0; i < Mi; ++i) a.get(i, step, fa[i], lane);
#pragma unroll
    for (int j = 0; j < N / 16; ++j) {
      uint32_t fb[4];
      ldmatrix<4, false>(
          fb, b + tile_offset<T, Head>(j * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
      round_operand<T>(fb);
      const uint32_t first[2] = {fb[0], fb[1]}, second[2] = {fb[2], fb[3]};
#pragma unroll
      for (int i = 0; i < Mi; ++i) {
        mma(acc[i][2 * j], fa[i], first, MmaType<T>());
        mma(acc[i][2 * j + 1], fa[i], second, MmaType<T>());
      }
    }
  }
}

// value_product for float: eight rows of x per step, lane t of a group taking rows 2t and 2t + 1.
template <int Head, int Mi, int N>
CCDL_DEVICE void value_product_tf32(const float (&w)[Mi][N / 8][4], const unsigned char* x,
                                    float (&out)[Mi][Head / 8][4]) {
  const int lane = recomputed(static_cast<int>(threadIdx.x)) % kWarp, column = lane / 4;
  const auto at = [&](int row, int j) {
    const int c = j * 8 + column;
    return to_tf32(*reinterpret_cast<const float*>(x + tile_offset<float, Head>(row, c / 4) + c % 4 * 4));
  };
#pragma unroll
  for (int step = 0; step < N / 8; ++step) {
    uint32_t fa[Mi][4];
#pragma unroll
    for (int i = 0; i < Mi; ++i)
#pragma unroll
      for (int r = 0; r < 4; ++r) fa[i][r] = to_tf32(w[i][step][r % 2 * 2 + r / 2]);
    const int row = step * 8 + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < Head / 8; ++j) {
      const uint32_t fb[2] = {at(row, j), at(row + 1, j)};
#pragma unroll
      for (int i = 0; i < Mi; ++i) mma(out[i][j], fa[i], fb, Tf32());
    }
  }
}

// out += w x: w [rows][N], rounded to T, times the N rows of tile x.
template <class T, int Head, int Mi, int N>
CCDL_DEVICE void value_product(const float (&w)[Mi][N / 8][4], const unsigned char* x,
                               float (&out)[Mi][Head / 8][4]) {
  if constexpr (std::is_same_v<T, float>) {
    value_product_tf32<Head, Mi, N>(w, x, out);
    return;
  } else {
    const int lane = recomputed(static_cast<int>(threadIdx.x)) % kWarp;
#pragma unroll
    for (int step = 0; step < N / 16; ++step) {
      uint32_t fa[Mi][4];
#pragma unroll
      for (int i = 0; i < Mi; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float(&pair)[4] = w[i][2 * step + half];
          fa[i][2 * half] = pack_pair(pair[0], pair[1], T());
          fa[i][2 * half + 1] = pack_pair(pair[2], pair[3], T());
        }
#pragma unroll
      for (int j = 0; j < Head / 16; ++j) {
        uint32_t fb[4];
        ldmatrix<4, true>(fb, x + tile_offset<T, Head>(step * 16 + lane % 16, j * 2 + lane / 16));
        const uint32_t first[2] = {fb[0], fb[1]}, second[2] = {fb[2], fb[3]};
#pragma unroll
        for (int i = 0; i < Mi; ++i) {
          mma(out[i][2 * j], fa[i], first, T());
          mma(out[i][2 * j + 1], fa[i], second, T());
        }
      }
    }
  }
}

template <int Head, int Mi>
CCDL_DEVICE void clear(float (&out)[Mi][Head / 8][4]) {
#pragma unroll
  for (int i = 0; i < Mi; ++i)
#pragma unroll
    for (int j = 0; j < Head / 8; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) out[i][j][r] = 0;
}

// Writes rows out[i][.] times factor[i][half] of a warp as T, through the warp's own rows of a tile that
// nobody reads any more, so that a warp writes whole rows.
template <class T, int Head, int Mi, class Offset>
CCDL_DEVICE void store_rows(const float (&out)[Mi][Head / 8][4], const float (&factor)[Mi][2],
                            unsigned char* tile, int row, T* base, const Offset& offset, int rows,
                            int columns, int access) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int i = 0; i < Mi; ++i)
#pragma unroll
    for (int j = 0; j < Head / 8; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = row + i * 16 + half * 8 + lane / 4;
        const float a = out[i][j][2 * half] * factor[i][half], b = out[i][j][2 * half + 1] * factor[i][half];
        if constexpr (std::is_same_v<T, float>)
          store_vec(
              reinterpret_cast<float*>(tile + tile_offset<T, Head>(r, j * 2 + lane % 4 / 2) + lane % 2 * 8),
              Vec<float, 2>{{a, b}});
        else
          *reinterpret_cast<uint32_t*>(tile + tile_offset<T, Head>(r, j) + lane % 4 * 4) =
              pack_pair(a, b, T());
      }
  __syncwarp();  // the warp's rows are complete
  if (access == 16) {
    constexpr int kE = kPiece<T>, kAcross = Head / kE;
#pragma unroll 4
    for (int e = lane; e < Mi * 16 * kAcross; e += kWarp) {
      const int r = row + e / kAcross, chunk = e % kAcross;
      if (r >= rows || chunk * kE >= columns) continue;
      const Vec<T, kE> v = load_vec<T, kE>(reinterpret_cast<const T*>(tile + tile_offset<T, Head>(r, chunk)));
      T* dst = base + offset(r) + chunk * kE;
      if (chunk * kE + kE <= columns) {
        store_vec(dst, v);
      } else {
#pragma unroll
        for (int x = 0; x < kE; ++x)
          if (chunk * kE + x < columns) dst[x] = v[x];
      }
    }
  } else {
    for (int r = row; r < least(row + Mi * 16, rows); ++r)
      for (int c = lane; c < columns; c += kWarp)
        base[offset(r) + c] =
            reinterpret_cast<const T*>(tile + tile_offset<T, Head>(r, c / kPiece<T>))[c % kPiece<T>];
  }
}

// Over the four lanes that hold a row of the C layout.
CCDL_DEVICE float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(kFullWarp, v, 1));
  return fmaxf(v, __shfl_xor_sync(kFullWarp, v, 2));
}
CCDL_DEVICE float quad_sum(float v) {
  v += __shfl_xor_sync(kFullWarp, v, 1);
  return v + __shfl_xor_sync(kFullWarp, v, 2);
}

// Calls f(tag) with the smallest tile width that holds `head` columns; kernels with masks and dropout, and
// those of float, exist for fewer widths.
template <int N>
struct HeadTag {
  static constexpr int kHead = N;
};
template <class T, bool Extras, class F>
void by_head(int head, const F& f) {
  if constexpr (std::is_same_v<T, float>) {
    return head <= 64 ? f(HeadTag<64>()) : f(HeadTag<128>());
  } else {
    if constexpr (!Extras) {
      if (head <= 32) return f(HeadTag<32>());
      if (head > 64 && head <= 96) return f(HeadTag<96>());
      if (head > 128 && head <= 192) return f(HeadTag<192>());
    }
    if (head <= 64) return f(HeadTag<64>());
    if (head <= 128) return f(HeadTag<128>());
    f(HeadTag<256>());
  }
}

}  // namespace ccdl::cu
