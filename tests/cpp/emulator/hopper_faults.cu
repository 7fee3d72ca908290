// Broken kernels and their repaired twins on a device of capability 9.0: transaction barriers, bulk copies,
// warpgroup products, proxies. All of them multiply a [64, K] by b [256, K] of small whole numbers.
#include <cuda.h>

#include "cases.h"
#include "launch.h"

#include <device/ptx_sync.cuh>
#include <device/ptx_tma_store.cuh>
#include <device/ptx_wgmma.cuh>

namespace {

using ccdl::bfloat16;
constexpr int kM = 64, kN = 256, kDepth = 64, kLine = kDepth * 2;
constexpr int kTileA = kM * kLine, kTileB = kN * kLine, kTiles = kTileA + kTileB;

// A ring of one stage at the 1024-byte aligned start of the dynamic shared memory.
struct Stage {
  unsigned char *a, *b;
  uint64_t *full, *empty;
};
CCDL_DEVICE Stage make_stage() {
  unsigned char* base = dyn_smem<unsigned char>();
  base += (1024 - shared_window(base) % 1024) % 1024;
  uint64_t* barriers = reinterpret_cast<uint64_t*>(base + kTiles);
  return {base, base + kTileA, barriers, barriers + 1};
}
CCDL_DEVICE Stage ready_stage() {
  const Stage s = make_stage();
  if (threadIdx.x == 0) {
    mbarrier_init(s.full, 1);
    mbarrier_init(s.empty, 1);
    mbarrier_init_fence();
  }
  __syncthreads();
  return s;
}
CCDL_DEVICE void load_tiles(const Stage& s, const CUtensorMap& a, const CUtensorMap& b, int k) {
  tma_load(s.a, &a, s.full, k, 0, 0);
  tma_load(s.b, &b, s.full, k, 0, 0);
}
CCDL_DEVICE void clear(float (&d)[kN / 2]) {
  for (int i = 0; i < kN / 2; ++i) d[i] = 0;
}
CCDL_DEVICE void multiply(const Stage& s, float (&d)[kN / 2]) {
  for (int step = 0; step < kDepth / 16; ++step)
    wgmma_m64n256k16<0, 0>(d, wgmma_descriptor(s.a + step * 32, 16, 1024),
                           wgmma_descriptor(s.b + step * 32, 16, 1024), bfloat16());
}
CCDL_DEVICE void store(const float (&d)[kN / 2], float* y) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int i = 0; i < kN / 2; ++i)
    y[(warp * 16 + lane / 4 + i / 2 % 2 * 8) * kN + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}

CCDL_DEVICE void whole_product(const Stage& s, const CUtensorMap& map_a, const CUtensorMap& map_b, float* y) {
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}

// ---- host ----

struct Problem {
  std::vector<bfloat16> a, b;
  int k;
  explicit Problem(int depth) : a(kM * depth), b(kN * depth), k(depth) {
    for (size_t i = 0; i < a.size(); ++i) a[i] = bfloat16(static_cast<float>(i * 7 % 5) - 2);
    for (size_t i = 0; i < b.size(); ++i) b[i] = bfloat16(static_cast<float>(i * 11 % 7) - 3);
  }
  bool solved_by(const std::vector<float>& y) const {
    for (int i = 0; i < kM; ++i)
      for (int j = 0; j < kN; ++j) {
        float sum = 0;
        for (int x = 0; x < k; ++x)
          sum += static_cast<float>(a[static_cast<size_t>(i * k + x)]) *
                 static_cast<float>(b[static_cast<size_t>(j * k + x)]);
        if (y[static_cast<size_t>(i * kN + j)] != sum) return false;
      }
    return true;
  }
};
CUtensorMap tensor_map(const void* data, CUtensorMapDataType type, int rows, int columns, int box_columns,
                       int box_rows, CUtensorMapSwizzle swizzle) {
  CUtensorMap map;
  const cuuint64_t element = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 2;
  const cuuint64_t sizes[3] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows), 1};
  const cuuint64_t strides[2] = {columns * element, rows * columns * element};
  const cuuint32_t box[3] = {static_cast<cuuint32_t>(box_columns), static_cast<cuuint32_t>(box_rows), 1};
  const cuuint32_t steps[3] = {1, 1, 1};
  cuTensorMapEncodeTiled(&map, type, 3, const_cast<void*>(data), sizes, strides, box, steps,
                         CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                         CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return map;
}
CUtensorMap operand_map(const Buffer<bfloat16>& x, int rows, int k,
                        CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B) {
  return tensor_map(x.p, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rows, k, kDepth, rows, swizzle);
}

template <class F>
bool run_product(const char* name, int line, F kernel, int threads, int k,
                 CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B, int rows_said = kM,
                 int capability = 90) {
  ccdl::emu::set_capability(capability);
  const Problem problem(k);
  Buffer<bfloat16> a(problem.a), b(problem.b);
  Buffer<float> y(kM * kN);
  const CUtensorMap map_a =
      tensor_map(a.p, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rows_said, k, kDepth, kM, swizzle);
  const CUtensorMap map_b = operand_map(b, kN, k, swizzle);
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024);
  const Shape shape{.block = static_cast<unsigned>(threads), .smem = 1024 + kTiles + 64};
  launch(name, __FILE__, line, shape, kernel, map_a, map_b, y.p, k);
  const bool good = problem.solved_by(y.read());
  ccdl::emu::set_capability(80);
  return good;
}
#define RUN_PRODUCT(kernel, threads, k)                                \
  (repaired ? run_product(#kernel, __LINE__, kernel<true>, threads, k) \
            : run_product(#kernel, __LINE__, kernel<false>, threads, k))
#define MAPS const __grid_constant__ CUtensorMap map_a, const __grid_constant__ CUtensorMap map_b

// ---- transaction barriers ----

template <bool kRepaired>
__global__ void missing_mbarrier_wait(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  if (kRepaired) mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);  // fault: missing_mbarrier_wait
  wgmma_commit();
  wgmma_wait<0>();
  if (!kRepaired) mbarrier_wait(s.full, 0);
  store(d, y);
}
bool run_missing_mbarrier_wait(bool repaired) { return RUN_PRODUCT(missing_mbarrier_wait, 128, kDepth); }

// Only one thread waits; nothing tells the others.
template <bool kRepaired>
__global__ void lonely_wait(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
    mbarrier_wait(s.full, 0);
  }
  if (kRepaired) __syncthreads();
  float d[kN / 2];
  clear(d);
  wgmma_fence();
  multiply(s, d);  // fault: lonely_wait
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}
bool run_lonely_wait(bool repaired) { return RUN_PRODUCT(lonely_wait, 128, kDepth); }

template <bool kRepaired>
__global__ void too_many_bytes_expected(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kRepaired ? kTiles : kTiles + 16);  // fault: too_many_bytes_expected
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}
bool run_too_many_bytes_expected(bool repaired) { return RUN_PRODUCT(too_many_bytes_expected, 128, kDepth); }

template <bool kRepaired>
__global__ void too_few_bytes_expected(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kRepaired ? kTiles : kTileB - 16);  // fault: too_few_bytes_expected
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}
bool run_too_few_bytes_expected(bool repaired) { return RUN_PRODUCT(too_few_bytes_expected, 128, kDepth); }

// A ring that forgets to change the parity goes through the second wait at once.
template <bool kRepaired>
__global__ void wrong_parity(MAPS, float* y, int depth) {
  const Stage s = ready_stage();
  float d[kN / 2];
  clear(d);
  int parity = 0;
  for (int k = 0; k < depth; k += kDepth) {
    if (threadIdx.x == 0) {
      mbarrier_arrive_expect(s.full, kTiles);
      load_tiles(s, map_a, map_b, k);
    }
    mbarrier_wait(s.full, parity);  // fault: wrong_parity
    if (kRepaired) parity ^= 1;
    wgmma_fence();
    multiply(s, d);  // fault: wrong_parity
    wgmma_commit();
    wgmma_wait<0>();
    __syncthreads();
  }
  store(d, y);
}
bool run_wrong_parity(bool repaired) { return RUN_PRODUCT(wrong_parity, 128, 2 * kDepth); }

template <bool kRepaired>
__global__ void one_arrival_too_many(MAPS, float* y, int) {
  const Stage s = ready_stage();
  float d[kN / 2];
  clear(d);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  if (!kRepaired && threadIdx.x == 0) mbarrier_arrive(s.full);  // fault: one_arrival_too_many
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}
bool run_one_arrival_too_many(bool repaired) { return RUN_PRODUCT(one_arrival_too_many, 128, kDepth); }

template <bool kRepaired>
__global__ void unfenced_mbarrier(MAPS, float* y, int) {
  const Stage s = make_stage();
  if (threadIdx.x == 0) {
    mbarrier_init(s.full, 1);
    if (kRepaired) mbarrier_init_fence();
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);  // fault: unfenced_mbarrier
  }
  __syncthreads();
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}
bool run_unfenced_mbarrier(bool repaired) { return RUN_PRODUCT(unfenced_mbarrier, 128, kDepth); }

// ---- bulk copies ----

template <bool kRepaired>
__global__ void map_beyond_tensor(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    tma_load(s.a, &map_a, s.full, 0, kRepaired ? 0 : 8, 0);  // fault: map_beyond_tensor
    tma_load(s.b, &map_b, s.full, 0, 0, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}
// The map says twice as many rows as there are.
bool run_map_beyond_tensor(bool repaired) {
  return run_product("map_beyond_tensor", __LINE__,
                     repaired ? map_beyond_tensor<true> : map_beyond_tensor<false>, 128, kDepth,
                     CU_TENSOR_MAP_SWIZZLE_128B, 2 * kM);
}

// The consumers hand the stage back before their products have read it.
template <bool kRepaired>
__global__ void released_too_early(MAPS, float* y, int depth) {
  const Stage s = ready_stage();
  int parity = 0;
  if (threadIdx.x >= 128) {
    for (int k = 0; threadIdx.x == 128 && k < depth; k += kDepth, parity ^= 1) {
      mbarrier_wait(s.empty, parity ^ 1);
      mbarrier_arrive_expect(s.full, kTiles);
      load_tiles(s, map_a, map_b, k);  // fault: released_too_early
    }
    return;
  }
  float d[kN / 2];
  clear(d);
  for (int k = 0; k < depth; k += kDepth, parity ^= 1) {
    mbarrier_wait(s.full, parity);  // fault: released_too_early
    wgmma_fence();
    multiply(s, d);
    wgmma_commit();
    if (kRepaired) wgmma_wait<0>();
    if (threadIdx.x == 0) mbarrier_arrive(s.empty);
    if (!kRepaired) wgmma_wait<0>();
  }
  store(d, y);
}
bool run_released_too_early(bool repaired) { return RUN_PRODUCT(released_too_early, 256, 3 * kDepth); }

// ---- products ----

template <bool kRepaired>
__global__ void swizzle_mismatch(MAPS, float* y, int) {
  const Stage s = ready_stage();
  whole_product(s, map_a, map_b, y);  // fault: swizzle_mismatch
}
bool run_swizzle_mismatch(bool repaired) {
  return run_product("swizzle_mismatch", __LINE__,
                     repaired ? swizzle_mismatch<true> : swizzle_mismatch<false>, 128, kDepth,
                     repaired ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE);
}

template <bool kRepaired>
__global__ void missing_wgmma_wait(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  wgmma_commit();
  if (kRepaired) wgmma_wait<0>();
  store(d, y);  // fault: missing_wgmma_wait
  if (!kRepaired) wgmma_wait<0>();
}
bool run_missing_wgmma_wait(bool repaired) { return RUN_PRODUCT(missing_wgmma_wait, 128, kDepth); }

// Without a commit the wait has nothing to wait for.
template <bool kRepaired>
__global__ void missing_wgmma_commit(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  multiply(s, d);
  if (kRepaired) wgmma_commit();
  wgmma_wait<0>();
  store(d, y);  // fault: missing_wgmma_commit
}
bool run_missing_wgmma_commit(bool repaired) { return RUN_PRODUCT(missing_wgmma_commit, 128, kDepth); }

// The accumulators are changed between two products.
template <bool kRepaired>
__global__ void missing_wgmma_fence(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  for (int round = 0; round < 2; ++round) {
    if (kRepaired || round == 0) wgmma_fence();
    multiply(s, d);  // fault: missing_wgmma_fence
    wgmma_commit();
    wgmma_wait<0>();
    for (float& v : d) v *= 0.5f;
  }
  for (float& v : d) v = v * 4.0f / 3.0f;  // (x / 2 + x) / 2
  store(d, y);
}
bool run_missing_wgmma_fence(bool repaired) { return RUN_PRODUCT(missing_wgmma_fence, 128, kDepth); }

// One warp of the warpgroup leaves a product out.
template <bool kRepaired>
__global__ void divergent_warpgroup(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  if (kRepaired || threadIdx.x < 96) multiply(s, d);
  wgmma_commit();
  wgmma_wait<0>();  // fault: divergent_warpgroup
  store(d, y);
}
bool run_divergent_warpgroup(bool repaired) { return RUN_PRODUCT(divergent_warpgroup, 128, kDepth); }

// One warp multiplies another tile than the rest of its warpgroup.
template <bool kRepaired>
__global__ void different_descriptors(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  wgmma_fence();
  Stage mine = s;
  if (!kRepaired && threadIdx.x / 32 == 2) mine.a += 1024;
  multiply(mine, d);  // fault: different_descriptors
  wgmma_commit();
  wgmma_wait<0>();
  store(d, y);
}
bool run_different_descriptors(bool repaired) { return RUN_PRODUCT(different_descriptors, 128, kDepth); }

// ---- instructions with wrong operands, in front of a product ----

enum class Wrong { Barrier, Registers, Capability };
template <Wrong kWhat, bool kRepaired>
CCDL_DEVICE void wrong_operand(const Stage& s) {
  if (threadIdx.x == 0 && kWhat == Wrong::Barrier && !kRepaired) mbarrier_arrive(s.empty + 1);
  if (kWhat == Wrong::Registers) raise_registers<kRepaired ? 248 : 24>();
}
template <bool kRepaired>
__global__ void unknown_mbarrier(MAPS, float* y, int) {
  const Stage s = ready_stage();
  wrong_operand<Wrong::Barrier, kRepaired>(s);  // fault: unknown_mbarrier
  whole_product(s, map_a, map_b, y);
}
template <bool kRepaired>
__global__ void registers_down(MAPS, float* y, int) {
  const Stage s = ready_stage();
  wrong_operand<Wrong::Registers, kRepaired>(s);  // fault: registers_down
  whole_product(s, map_a, map_b, y);
}
template <bool kRepaired>
__global__ void old_device(MAPS, float* y, int) {
  const Stage s = ready_stage();  // fault: old_device
  whole_product(s, map_a, map_b, y);
}
bool run_unknown_mbarrier(bool repaired) { return RUN_PRODUCT(unknown_mbarrier, 128, kDepth); }
bool run_registers_down(bool repaired) { return RUN_PRODUCT(registers_down, 128, kDepth); }
bool run_old_device(bool repaired) {
  return run_product("old_device", __LINE__, repaired ? old_device<true> : old_device<false>, 128, kDepth,
                     CU_TENSOR_MAP_SWIZZLE_128B, kM, repaired ? 90 : 80);
}

// ---- proxies ----

// Tile A is halved by ordinary loads and stores before the product.
template <bool kRepaired>
__global__ void missing_proxy_fence(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(s.full, kTiles);
    load_tiles(s, map_a, map_b, 0);
  }
  float d[kN / 2];
  clear(d);
  mbarrier_wait(s.full, 0);
  bfloat16* a = reinterpret_cast<bfloat16*>(s.a);
  for (int i = static_cast<int>(threadIdx.x); i < kTileA / 2; i += 128)
    a[i] = convert<bfloat16>(convert<float>(a[i]) * 0.5f);  // fault: missing_proxy_fence
  if (kRepaired) fence_proxy_async();
  __syncthreads();
  wgmma_fence();
  multiply(s, d);  // fault: missing_proxy_fence
  wgmma_commit();
  wgmma_wait<0>();
  for (float& v : d) v *= 2.0f;
  store(d, y);
}
bool run_missing_proxy_fence(bool repaired) { return RUN_PRODUCT(missing_proxy_fence, 128, kDepth); }

// A map that was never encoded.
template <bool kRepaired>
__global__ void blank_map(MAPS, float* y, int) {
  const Stage s = ready_stage();
  CUtensorMap blank = map_a;
  if (!kRepaired) blank.opaque[0] = 0;
  if (threadIdx.x == 0) tma_prefetch_map(&blank);  // fault: blank_map
  whole_product(s, map_a, map_b, y);
}
bool run_blank_map(bool repaired) { return RUN_PRODUCT(blank_map, 128, kDepth); }

// ---- bulk stores: y [50][32] in rows of 32, of which 40 x 28 are the tensor ----

constexpr int kRows = 64, kColumns = 32, kTensorRows = 40, kTensorColumns = 28;

CCDL_DEVICE void fill_box(float* box, float scale) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kColumns; i += static_cast<int>(blockDim.x))
    box[i] = scale * static_cast<float>(i);  // fault: unfenced_store
}

template <bool kRepaired>
__global__ void unfenced_store(const __grid_constant__ CUtensorMap map) {
  float* box = dyn_smem<float>();
  fill_box(box, 1);
  if (kRepaired) fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_store(&map, box, 0, 0, 0);  // fault: unfenced_store
    bulk_commit();
    bulk_wait<0, true>();
  }
}

template <bool kRepaired>
__global__ void store_without_wait(const __grid_constant__ CUtensorMap map) {
  float* box = dyn_smem<float>();
  fill_box(box, 1);
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_store(&map, box, 0, 0, 0);  // fault: store_without_wait
    bulk_commit();
    bulk_wait<kRepaired ? 0 : 1, false>();
  }
}

// The box is filled again while the store may still read it: first y = i, then y += 2 i.
template <bool kRepaired>
__global__ void store_source_reused(const __grid_constant__ CUtensorMap map) {
  float* box = dyn_smem<float>();
  for (int round = 0; round < 2; ++round) {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kColumns; i += 64)
      box[i] = static_cast<float>(round + 1) * static_cast<float>(i);  // fault: store_source_reused
    fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      if (round == 0)
        tma_store(&map, box, 0, 0, 0);
      else
        tma_add(&map, box, 0, 0, 0);
      bulk_commit();
      if (kRepaired) bulk_wait<0, false>();
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) bulk_wait<0, false>();
}

bool run_store(const char* name, int line, void (*kernel)(CUtensorMap), float scale) {
  ccdl::emu::set_capability(90);
  Buffer<float> y(std::vector<float>(50 * kColumns, -1.0f));
  CUtensorMap map;
  const cuuint64_t sizes[3] = {kTensorColumns, kTensorRows, 1},
                   strides[2] = {kColumns * 4, 50 * kColumns * 4};
  const cuuint32_t box[3] = {kColumns, kRows, 1}, steps[3] = {1, 1, 1};
  if (cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 3, y.p, sizes, strides, box, steps,
                             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                             CU_TENSOR_MAP_L2_PROMOTION_NONE,
                             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) != CUDA_SUCCESS)
    return false;
  launch(name, __FILE__, line, Shape{.block = 64, .smem = kRows * kColumns * 4}, kernel, map);
  const std::vector<float> got = y.read();
  ccdl::emu::set_capability(80);
  for (int r = 0; r < 50; ++r)
    for (int c = 0; c < kColumns; ++c) {
      const bool inside = r < kTensorRows && c < kTensorColumns;
      const float want = inside ? scale * static_cast<float>(r * kColumns + c) : -1.0f;
      if (got[static_cast<size_t>(r * kColumns + c)] != want) return false;
    }
  return true;
}
#define RUN_STORE(kernel, scale) run_store(#kernel, __LINE__, repaired ? kernel<true> : kernel<false>, scale)
bool run_unfenced_store(bool repaired) { return RUN_STORE(unfenced_store, 1); }
bool run_store_without_wait(bool repaired) { return RUN_STORE(store_without_wait, 1); }
bool run_store_source_reused(bool repaired) { return RUN_STORE(store_source_reused, 3); }

// setmaxnreg.inc waits for registers that nobody gives back.
template <bool kRepaired>
__global__ void too_many_registers(MAPS, float* y, int) {
  const Stage s = ready_stage();
  if (threadIdx.x >= 128) {
    if (kRepaired) lower_registers<24>();
    return;
  }
  raise_registers<256>();  // fault: too_many_registers
  whole_product(s, map_a, map_b, y);
}
bool run_too_many_registers(bool repaired) { return RUN_PRODUCT(too_many_registers, 384, kDepth); }

}  // namespace

const std::vector<FaultCase>& hopper_cases() {
  static const std::vector<FaultCase> all = {
      {"missing_mbarrier_wait", "missing-wait", 8, false, run_missing_mbarrier_wait, __FILE__},
      {"lonely_wait", "race missing-wait", 8, false, run_lonely_wait, __FILE__},
      {"too_many_bytes_expected", "deadlock", 8, false, run_too_many_bytes_expected, __FILE__},
      {"too_few_bytes_expected", "mbarrier", 8, false, run_too_few_bytes_expected, __FILE__},
      {"wrong_parity", "missing-wait deadlock", 8, false, run_wrong_parity, __FILE__},
      {"one_arrival_too_many", "mbarrier deadlock race", 8, false, run_one_arrival_too_many, __FILE__},
      {"unfenced_mbarrier", "missing-fence", 8, false, run_unfenced_mbarrier, __FILE__},
      {"map_beyond_tensor", "out-of-bounds", 8, false, run_map_beyond_tensor, __FILE__},
      {"released_too_early", "race missing-wait mbarrier", 8, false, run_released_too_early, __FILE__},
      {"swizzle_mismatch", "descriptor", 8, false, run_swizzle_mismatch, __FILE__},
      {"missing_wgmma_wait", "missing-wait", 8, false, run_missing_wgmma_wait, __FILE__},
      {"missing_wgmma_commit", "missing-wait", 8, false, run_missing_wgmma_commit, __FILE__},
      {"missing_wgmma_fence", "missing-fence", 8, false, run_missing_wgmma_fence, __FILE__},
      {"divergent_warpgroup", "deadlock", 8, false, run_divergent_warpgroup, __FILE__},
      {"missing_proxy_fence", "missing-fence", 8, false, run_missing_proxy_fence, __FILE__},
      {"unfenced_store", "missing-fence", 8, false, run_unfenced_store, __FILE__},
      {"store_without_wait", "missing-wait", 8, false, run_store_without_wait, __FILE__},
      {"store_source_reused", "missing-wait", 8, false, run_store_source_reused, __FILE__},
      {"different_descriptors", "divergent-warpgroup", 8, false, run_different_descriptors, __FILE__},
      {"unknown_mbarrier", "mbarrier", 8, false, run_unknown_mbarrier, __FILE__},
      {"registers_down", "registers", 8, false, run_registers_down, __FILE__},
      {"old_device", "illegal-instruction", 8, false, run_old_device, __FILE__},
      {"blank_map", "tensor-map", 8, false, run_blank_map, __FILE__},
      {"too_many_registers", "deadlock", 8, false, run_too_many_registers, __FILE__},
  };
  return all;
}
