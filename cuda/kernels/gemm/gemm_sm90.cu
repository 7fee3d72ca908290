// bf16 and fp16 products on Hopper: persistent blocks of one producer warp (TMA into a ring of four 128-byte
// swizzled stages) and two consumer warpgroups (wgmma m64n256k16, 64x256 of C each, register file shifted to
// them), mbarriers between. All layouts by descriptor; edges are zero-filled by TMA; needs 16-byte lines.
// Bound: wgmma rate. Structure after pranjalssh/fast.cu.
#include <runtime/driver.h>
#include <runtime/launch.h>

#include <device/ptx_tma.cuh>
#include <device/ptx_wgmma.cuh>
#include <kernels/gemm/gemm_sm90.cuh>

namespace ccdl::cu {
namespace {

constexpr int kM = 128, kN = 256, kDepth = 64, kStages = 4, kConsumers = 2, kGroup = 128;
constexpr int kBytesA = kM * kDepth * 2, kBytesB = kN * kDepth * 2, kStage = kBytesA + kBytesB;
constexpr int kBox = 64 * kDepth * 2;            // 64 rows of a tile that runs along rows
constexpr int kRound = 32, kPitch = kRound + 8;  // columns of C staged at a time by a warp
constexpr int kStaging = kConsumers * 4 * 16 * kPitch * 4;
constexpr int kSmem = 1024 + kStages * kStage + kStaging + 2 * kStages * 8;

struct Ring {
  unsigned char* stages;  // 1024-byte aligned
  float* staging;
  uint64_t *full, *empty;
};
CCDL_DEVICE Ring make_ring() {
  unsigned char* base = dyn_smem<unsigned char>();
  base += (1024 - shared_window(base) % 1024) % 1024;
  Ring r;
  r.stages = base;
  r.staging = reinterpret_cast<float*>(base + kStages * kStage);
  r.full = reinterpret_cast<uint64_t*>(base + kStages * kStage + kStaging);
  r.empty = r.full + kStages;
  return r;
}

struct Tile {
  int row0, column0, batch;
};
CCDL_DEVICE Tile tile_at(unsigned index, unsigned tiles_m, unsigned tiles_n) {
  unsigned row, column;
  band_order(index % (tiles_m * tiles_n), tiles_m, tiles_n, row, column);
  return {static_cast<int>(row) * kM, static_cast<int>(column) * kN,
          static_cast<int>(index / (tiles_m * tiles_n))};
}

template <bool KFast, int Rows>
CCDL_DEVICE void load_tile(unsigned char* tile, const CUtensorMap* map, uint64_t* barrier, int row, int k,
                           int batch) {
  if constexpr (KFast) {
    tma_load(tile, map, barrier, k, row, batch);
  } else {
#pragma unroll
    for (int i = 0; i < Rows / 64; ++i) tma_load(tile + i * kBox, map, barrier, row + i * 64, k, batch);
  }
}

// One thread fills the ring for every tile of this block.
template <class T, bool KFastA, bool KFastB>
CCDL_DEVICE void produce(const GemmProblem<T>& p, const CUtensorMap* map_a, const CUtensorMap* map_b,
                         const Ring& ring, unsigned tiles_m, unsigned tiles_n, unsigned tiles) {
  int stage = 0, parity = 1;  // a fresh barrier counts as past its odd phase
  for (unsigned index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile t = tile_at(index, tiles_m, tiles_n);
    for (int k = 0; k < static_cast<int>(p.k); k += kDepth) {
      mbarrier_wait(&ring.empty[stage], parity);
      mbarrier_arrive_expect(&ring.full[stage], kStage);
      unsigned char* to = ring.stages + stage * kStage;
      load_tile<KFastA, kM>(to, map_a, &ring.full[stage], t.row0, k, p.a.batch == 0 ? 0 : t.batch);
      load_tile<KFastB, kN>(to + kBytesA, map_b, &ring.full[stage], t.column0, k,
                            p.b.batch == 0 ? 0 : t.batch);
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
  }
}

// Rows 16 warp .. + 16 of a warpgroup's part of C, kRound columns at a time through shared memory.
template <class T>
CCDL_DEVICE void store_tile(const GemmProblem<T>& p, const Tile& t, int group, float* staging,
                            const float (&d)[kN / 2]) {
  const int warp = static_cast<int>(threadIdx.x) % kGroup / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  float* stage = staging + (group * 4 + warp) * 16 * kPitch;
  TileStore<T> store;
  store.out = &p.c;
  store.c = p.c.c + t.batch * p.c.batch;
  store.partial = nullptr;
  store.row0 = t.row0 + group * 64 + warp * 16;
  store.column0 = t.column0;
  store.m = p.m;
  store.n = p.n;
#pragma unroll
  for (int round = 0; round < kN / kRound; ++round) {
#pragma unroll
    for (int j = 0; j < kRound / 8; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int x = (round * (kRound / 8) + j) * 4 + half * 2;
        const Vec<float, 2> pair{{d[x], d[x + 1]}};
        store_vec(stage + (lane / 4 + half * 8) * kPitch + j * 8 + lane % 4 * 2, pair);
      }
    __syncwarp();  // the 16 rows are complete
#pragma unroll
    for (int e = lane; e < 16 * kRound / 8; e += kWarp) {
      const int row = e / (kRound / 8), column = e % (kRound / 8) * 8;
      // Odd rows read their halves in the other order, so that eight lanes cover all banks.
      const bool odd = row % 2 != 0;
      const float* from = stage + row * kPitch + column;
      const Vec<float, 4> first = load_vec<float, 4>(from + (odd ? 4 : 0));
      const Vec<float, 4> second = load_vec<float, 4>(from + (odd ? 0 : 4));
      Vec<float, 8> v;
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        v[x] = odd ? second[x] : first[x];
        v[4 + x] = odd ? first[x] : second[x];
      }
      store(row, round * kRound + column, v);
    }
    __syncwarp();  // read before the next columns overwrite them
  }
}

template <class T, bool KFastA, bool KFastB>
CCDL_DEVICE void consume(const GemmProblem<T>& p, int group, const Ring& ring, unsigned tiles_m,
                         unsigned tiles_n, unsigned tiles) {
  const bool speaks = threadIdx.x % kGroup == 0;
  int stage = 0, parity = 0;
  for (unsigned index = blockIdx.x; index < tiles; index += gridDim.x) {
    float d[kN / 2];
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) d[i] = 0;
    int previous = -1;
    for (int k = 0; k < static_cast<int>(p.k); k += kDepth) {
      mbarrier_wait(&ring.full[stage], parity);
      const unsigned char* tile_a = ring.stages + stage * kStage + group * kBox;
      const unsigned char* tile_b = ring.stages + stage * kStage + kBytesA;
      wgmma_fence();
#pragma unroll
      for (int step = 0; step < kDepth / 16; ++step)
        wgmma_m64n256k16<KFastA ? 0 : 1, KFastB ? 0 : 1>(
            d, wgmma_descriptor(tile_a + step * (KFastA ? 32 : 2048), kBox, 1024),
            wgmma_descriptor(tile_b + step * (KFastB ? 32 : 2048), kBox, 1024), T());
      wgmma_commit();
      wgmma_wait<1>();  // the products of the previous stage are done: hand it back
      if (speaks && previous >= 0) mbarrier_arrive(&ring.empty[previous]);
      previous = stage;
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
    wgmma_wait<0>();
    if (speaks && previous >= 0) mbarrier_arrive(&ring.empty[previous]);
    store_tile(p, tile_at(index, tiles_m, tiles_n), group, ring.staging, d);
  }
}

template <class T, bool KFastA, bool KFastB>
__global__ void __launch_bounds__((kConsumers + 1) * kGroup, 1)
    gemm_sm90_kernel(const GemmProblem<T> p, const __grid_constant__ CUtensorMap map_a,
                     const __grid_constant__ CUtensorMap map_b) {
  const Ring ring = make_ring();
  const unsigned tiles_m = static_cast<unsigned>(ceil_div<int64_t>(p.m, kM));
  const unsigned tiles_n = static_cast<unsigned>(ceil_div<int64_t>(p.n, kN));
  const unsigned tiles = tiles_m * tiles_n * static_cast<unsigned>(p.batch);
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      mbarrier_init(&ring.full[s], 1);
      mbarrier_init(&ring.empty[s], kConsumers);
    }
    mbarrier_init_fence();
  }
  __syncthreads();  // the barriers are ready
  const int group = static_cast<int>(threadIdx.x) / kGroup;
  if (group == kConsumers) {
    lower_registers<24>();
    if (threadIdx.x % kGroup == 0) {
      tma_prefetch_map(&map_a);
      tma_prefetch_map(&map_b);
      produce<T, KFastA, KFastB>(p, &map_a, &map_b, ring, tiles_m, tiles_n, tiles);
    }
  } else {
    raise_registers<240>();
    consume<T, KFastA, KFastB>(p, group, ring, tiles_m, tiles_n, tiles);
  }
}

// ---- host ----

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

template <class T>
bool encode(EncodeTiled make, CUtensorMap& map, const GemmOperand<T>& x, int64_t batch, int64_t rows,
            int64_t k, int tile_rows) {
  const int64_t line = x.k_fast ? x.row : x.k;
  const cuuint64_t sizes[3] = {static_cast<cuuint64_t>(x.k_fast ? k : rows),
                               static_cast<cuuint64_t>(x.k_fast ? rows : k),
                               static_cast<cuuint64_t>(x.batch == 0 ? 1 : batch)};
  const cuuint64_t strides[2] = {static_cast<cuuint64_t>(line * 2),
                                 static_cast<cuuint64_t>((x.batch == 0 ? line : x.batch) * 2)};
  const cuuint32_t box[3] = {64, static_cast<cuuint32_t>(x.k_fast ? tile_rows : kDepth), 1};
  const cuuint32_t steps[3] = {1, 1, 1};
  const auto type =
      std::is_same_v<T, bfloat16> ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  return make(&map, type, 3, const_cast<T*>(x.data), sizes, strides, box, steps,
              CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
              CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace

template <class T>
bool gemm_sm90(const GemmProblem<T>& p) {
  static const auto make = reinterpret_cast<EncodeTiled>(driver_entry_point("cuTensorMapEncodeTiled"));
  const int64_t tiles = p.batch * ceil_div<int64_t>(p.m, kM) * ceil_div<int64_t>(p.n, kN);
  const bool fits = most(most(p.m, p.n), most(p.k, tiles)) < INT32_MAX - kN;
  const bool lines = (p.a.k_fast ? p.a.row : p.a.k) > 0 && (p.b.k_fast ? p.b.row : p.b.k) > 0;
  if (make == nullptr || !fits || !lines || p.a.access != 16 || p.b.access != 16) return false;
  CUtensorMap map_a, map_b;
  if (!encode(make, map_a, p.a, p.batch, p.m, p.k, kM) || !encode(make, map_b, p.b, p.batch, p.n, p.k, kN))
    return false;
  const LaunchConfig config{dim3(static_cast<unsigned>(least<int64_t>(tiles, device_traits().sm_count))),
                            dim3((kConsumers + 1) * kGroup), kSmem};
  if (p.a.k_fast && p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_sm90_kernel<T, true, true>), p, map_a, map_b);
  else if (p.a.k_fast)
    CCDL_LAUNCH(config, (gemm_sm90_kernel<T, true, false>), p, map_a, map_b);
  else if (p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_sm90_kernel<T, false, true>), p, map_a, map_b);
  else
    CCDL_LAUNCH(config, (gemm_sm90_kernel<T, false, false>), p, map_a, map_b);
  return true;
}
template bool gemm_sm90(const GemmProblem<bfloat16>&);
template bool gemm_sm90(const GemmProblem<float16>&);

}  // namespace ccdl::cu
