// Bricks of the Hopper attention kernels: tiles [rows][Head] of a half format as panels of 64 columns, each
// panel rows x 128 bytes in TMA's 128-byte swizzle; their products by wgmma, where a tile serves as [n][k]
// (scores: k along the columns) and as [k][n] (values: k along the rows) without being moved; ring counters;
// the tensor maps of strided [B, H, L, D] operands. Columns and rows outside a tensor arrive as zeros.
#pragma once
#include <runtime/driver.h>
#include <runtime/launch.h>

#include <device/ptx_sync.cuh>
#include <device/ptx_tma.cuh>
#include <device/ptx_wgmma_shapes.cuh>
#include <kernels/attention/sm90.cuh>
#include <kernels/attention/tiles_mma.cuh>

namespace ccdl::cu {

constexpr int kWarpgroup = 128, kConsumers = 2, kSm90Threads = (kConsumers + 1) * kWarpgroup;
constexpr int kGroupRows = 64;                      // of one warpgroup
constexpr int kSm90Rows = kConsumers * kGroupRows;  // of a block
constexpr int kPanelColumns = 64, kLine = 128;      // columns and bytes of a row of a panel

// Place in a ring of mbarriers and the parity that a wait there looks for.
template <int Stages>
struct RingPlace {
  int stage = 0, parity = 0;
  CCDL_DEVICE void next() {
    if (++stage == Stages) stage = 0, parity ^= 1;
  }
};

CCDL_DEVICE unsigned char* swizzle_aligned(unsigned char* p) {
  return p + (1024 - shared_window(p) % 1024) % 1024;
}

template <int Head, int Rows>
CCDL_DEVICE void load_panels(unsigned char* tile, const CUtensorMap* map, uint64_t* barrier, int row,
                             int head, int b) {
#pragma unroll
  for (int i = 0; i < Head / kPanelColumns; ++i)
    tma_load(tile + i * Rows * kLine, map, barrier, i * kPanelColumns, row, head, b);
}

// By a whole warp: rows [first, Rows) become zeros. Swizzling permutes within a line only.
template <int Head, int Rows>
CCDL_DEVICE void clear_rows(unsigned char* tile, int first) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll 1
  for (int panel = 0; panel < Head / kPanelColumns; ++panel)
#pragma unroll 1
    for (int e = first * (kLine / 16) + lane; e < Rows * (kLine / 16); e += kWarp)
      store_vec(reinterpret_cast<float*>(tile + panel * Rows * kLine + e * 16), Vec<float, 4>{});
}

// s = a b^T for 64 rows a and N rows b; a's panels have 64 rows.
template <class T, int Head, int N>
CCDL_DEVICE void score_tile(float (&s)[N / 2], const unsigned char* a, const unsigned char* b) {
#pragma unroll
  for (int step = 0; step < Head / 16; ++step)
    wgmma_shared<0, 0>(s, wgmma_descriptor(a + step / 4 * kGroupRows * kLine + step % 4 * 32, 16, 8 * kLine),
                       wgmma_descriptor(b + step / 4 * N * kLine + step % 4 * 32, 16, 8 * kLine), step > 0,
                       T());
}

// out += w x (or out = w x): w [64][K] in registers, x K rows.
template <class T, int Head, int K>
CCDL_DEVICE void value_tile(float (&out)[Head / 2], const uint32_t (&w)[K / 16][4], const unsigned char* x,
                            bool add) {
#pragma unroll
  for (int step = 0; step < K / 16; ++step)
    wgmma_registers<1>(out, w[step], wgmma_descriptor(x + step * 16 * kLine, K * kLine, 8 * kLine),
                       add || step > 0, T());
}

// Accumulators as the A operand of the next product.
template <class T, int N>
CCDL_DEVICE void pack_weights(const float (&s)[N / 2], uint32_t (&w)[N / 16][4]) {
#pragma unroll
  for (int step = 0; step < N / 16; ++step)
#pragma unroll
    for (int x = 0; x < 4; ++x) w[step][x] = pack_pair(s[step * 8 + 2 * x], s[step * 8 + 2 * x + 1], T());
}

// A warpgroup writes its rows, each times factor, through its 64-row tile, which nobody reads or fills any
// more when this begins and which TMA may fill again once every thread has returned.
template <class T, int Head, class Stride>
CCDL_DEVICE void store_group(const float (&out)[Head / 2], const float (&factor)[2], unsigned char* tile,
                             int barrier, T* base, Stride row_stride, int rows, int columns, int access) {
  bar_sync(barrier, kWarpgroup);  // every warp's products have read the tile
  const int row = static_cast<int>(threadIdx.x) % kWarpgroup / kWarp * 16;
  store_rows<T, Head, 1>(reinterpret_cast<const float(&)[1][Head / 8][4]>(out),
                         reinterpret_cast<const float(&)[1][2]>(factor), tile, row, base,
                         RowStride{row_stride}, rows, columns, access);
  fence_proxy_async();            // TMA's writes come behind ours
  bar_sync(barrier, kWarpgroup);  // ... and those of the other warps
}

// ---- host ----

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);
inline EncodeTiled tensor_map_encoder() {
  static const auto make = reinterpret_cast<EncodeTiled>(driver_entry_point("cuTensorMapEncodeTiled"));
  return make;
}

// The map of x [batches, heads, rows, columns] for boxes of box_rows x 64; a stride of 0 is a single index.
template <class T>
bool encode_map(CUtensorMap& map, const AttentionOperand<const T>& x, int64_t batches, int64_t heads,
                int64_t rows, int columns, int box_rows) {
  const auto count = [](int64_t n, int64_t stride) { return static_cast<cuuint64_t>(stride == 0 ? 1 : n); };
  const auto bytes = [&](int64_t stride) {
    return static_cast<cuuint64_t>((stride == 0 ? ceil_div(columns, 8) * 8 : stride) * 2);
  };
  const cuuint64_t sizes[4] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows),
                               count(heads, x.head), count(batches, x.batch)};
  const cuuint64_t strides[3] = {bytes(x.row), bytes(x.head), bytes(x.batch)};
  const cuuint32_t box[4] = {kPanelColumns, static_cast<cuuint32_t>(box_rows), 1, 1};
  const cuuint32_t steps[4] = {1, 1, 1, 1};
  const auto type =
      std::is_same_v<T, bfloat16> ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  return tensor_map_encoder()(&map, type, 4, const_cast<T*>(x.data), sizes, strides, box, steps,
                              CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                              CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                              CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// Rows that TMA can step over: 16-byte lines, and no row repeated.
template <class T>
bool suits_tma(const AttentionOperand<const T>& x, int64_t rows) {
  return x.access == 16 && x.batch >= 0 && x.head >= 0 && (rows == 1 || x.row > 0);
}

}  // namespace ccdl::cu
