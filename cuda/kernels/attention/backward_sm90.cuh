// Gradients of attention on Hopper: a block owns 128 rows (queries for dq, keys for dk and dv together), 64
// to each of two consumer warpgroups, and walks over columns of 64 (the other ones; for keys over all query
// heads of the key head, in order), which a producer warp brings by TMA into a ring. p = exp2(scale q k^T -
// lse) is recomputed; keys work on transposed scores, so that p and ds are always the A operand of the last
// product and never leave registers. No atomics: every sum has a fixed order, at seven products where
// unordered sums would need five. Bound: wgmma rate.
#pragma once
#include <kernels/attention/backward_mma.cuh>
#include <kernels/attention/tiles_sm90.cuh>

namespace ccdl::cu {

template <class T_, int Head, bool QueryRows>
struct GradientSm90Config {
  using T = T_;
  static constexpr bool kQueryRows = QueryRows;
  static constexpr int kHead = Head, kRows = kSm90Rows, kColumns = 64, kStages = 2;
  static constexpr int kTileA = kGroupRows * Head * 2, kTileB = kColumns * Head * 2;
  static constexpr int kStage = 2 * kTileB, kStats = 2 * kColumns * 4;  // lse and delta of the columns
  static constexpr int kTiles = 2 * kConsumers * kTileA + kStages * kStage;
  static constexpr size_t kSmem = 1024 + kTiles + kStages * kStats + (2 + 2 * kStages) * 8;
};

template <class C>
struct GradientRing {
  unsigned char *rows, *stages;
  float* stats;
  uint64_t *rows_full, *cut, *full, *empty;
  CCDL_DEVICE GradientRing() {
    rows = swizzle_aligned(dyn_smem<unsigned char>());
    stages = rows + 2 * kConsumers * C::kTileA;
    stats = reinterpret_cast<float*>(rows + C::kTiles);
    rows_full = reinterpret_cast<uint64_t*>(rows + C::kTiles + C::kStages * C::kStats);
    cut = rows_full + 1;
    full = rows_full + 2;
    empty = full + C::kStages;
  }
  CCDL_DEVICE void init() const {
    mbarrier_init(rows_full, 1);
    mbarrier_init(cut, 1);
    for (int s = 0; s < C::kStages; ++s) {
      mbarrier_init(full + s, C::kQueryRows ? 1 : 2);  // the copies, and the statistics of the columns
      // wgmma is over for a whole warpgroup at once; ordinary reads of the statistics only for a warp
      mbarrier_init(empty + s, C::kQueryRows ? kConsumers : kConsumers * kWarpgroup / kWarp);
    }
    mbarrier_init_fence();
  }
};

struct GradientMaps {
  CUtensorMap q, k, v, dout;
};

// Coordinates in an operand's map, where a stride of 0 is a single index.
template <class T>
struct MapPlace {
  const CUtensorMap* map;
  int head, b;
  CCDL_DEVICE MapPlace(const CUtensorMap* m, const AttentionOperand<const T>& x, int h, int batch)
      : map(m), head(x.head == 0 ? 0 : h), b(x.batch == 0 ? 0 : batch) {}
};

template <class C>
CCDL_DEVICE void gradient_produce(const AttentionProblem<typename C::T>& p, const GradientMaps& maps,
                                  const GradientRing<C>& ring, const GradientPlace& at) {
  using T = typename C::T;
  using Place = MapPlace<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool speaks = lane == 0;
  if (speaks) {
    const Place a1 =
        C::kQueryRows ? Place(&maps.q, p.q, at.head, at.b) : Place(&maps.k, p.k, at.key_head, at.b);
    const Place a2 =
        C::kQueryRows ? Place(&maps.dout, p.dout, at.head, at.b) : Place(&maps.v, p.v, at.key_head, at.b);
    mbarrier_arrive_expect(ring.rows_full, 2 * kConsumers * C::kTileA);
#pragma unroll 1
    for (int g = 0; g < kConsumers; ++g) {
      unsigned char* tile = ring.rows + g * 2 * C::kTileA;
      const int row = at.row0 + g * kGroupRows;
      load_panels<C::kHead, kGroupRows>(tile, a1.map, ring.rows_full, row, a1.head, a1.b);
      load_panels<C::kHead, kGroupRows>(tile + C::kTileA, a2.map, ring.rows_full, row, a2.head, a2.b);
    }
  }
  RingPlace<1> cut;
  RingPlace<C::kStages> place;
  for (int h = 0; h < at.heads; ++h)
    for (int t = 0; t < at.tiles; ++t, place.next()) {
      const int column = at.begin + t * C::kColumns, head = at.head + h;
      unsigned char* tile = ring.stages + place.stage * C::kStage;
      uint64_t* full = ring.full + place.stage;
      // Keys behind a key length may be anything, and 0 times NaN is NaN: they become zeros.
      const bool cuts = C::kQueryRows && at.keys < p.S && column + C::kColumns > at.keys;
      uint64_t* landed = cuts ? ring.cut : full;
      if (speaks) {
        const Place b1 =
            C::kQueryRows ? Place(&maps.k, p.k, at.key_head, at.b) : Place(&maps.q, p.q, head, at.b);
        const Place b2 =
            C::kQueryRows ? Place(&maps.v, p.v, at.key_head, at.b) : Place(&maps.dout, p.dout, head, at.b);
        mbarrier_wait(ring.empty + place.stage, place.parity ^ 1);
        mbarrier_arrive_expect(landed, C::kStage);
        load_panels<C::kHead, C::kColumns>(tile, b1.map, landed, column, b1.head, b1.b);
        load_panels<C::kHead, C::kColumns>(tile + C::kTileB, b2.map, landed, column, b2.head, b2.b);
      }
      if constexpr (!C::kQueryRows) {
        __syncwarp();  // the stage is free
        float* stats = ring.stats + place.stage * 2 * C::kColumns;
#pragma unroll 1
        for (int c = lane; c < C::kColumns; c += kWarp)
          query_stats(p, at.b, head, column + c, stats[c], stats[C::kColumns + c]);
        __syncwarp();  // all are written
        if (speaks) mbarrier_arrive(full);
      } else if (cuts) {
        mbarrier_wait(ring.cut, cut.parity);
        cut.next();
        clear_rows<C::kHead, C::kColumns>(tile, at.keys - column);
        fence_proxy_async();
        __syncwarp();  // all zeros are written
        if (speaks) mbarrier_arrive(full);
      }
    }
}

// Which elements of a score tile exist, from this thread's first row and column on.
struct GradientSight {
  bool edge;             // some do not
  int keys_left, ahead;  // key k and query q (relative): k < keys_left and k - q <= ahead
};
template <class C>
CCDL_DEVICE GradientSight gradient_sight(const AttentionProblem<typename C::T>& p, const GradientPlace& at,
                                         int row, int column0) {
  const int r = at.row0 + row, c = column0 + static_cast<int>(threadIdx.x) % 4 * 2;
  const int query = C::kQueryRows ? r : c, key = C::kQueryRows ? c : r;
  const int first_query = C::kQueryRows ? at.row0 : column0;
  const int last_key = C::kQueryRows ? column0 + C::kColumns : at.row0 + C::kRows;
  return {
      last_key > p.limit(first_query, at.keys), at.keys - key,
      static_cast<int>(least<int64_t>(most<int64_t>(query + p.causal_offset - key, -(1 << 30)), 1 << 30))};
}
template <class C>
CCDL_DEVICE bool gradient_sees(const GradientSight& sight, int row, int column) {
  const int q = C::kQueryRows ? row : column, k = C::kQueryRows ? column : row;
  return !sight.edge || (k < sight.keys_left && k - q <= sight.ahead);
}

// Element i of a score tile: row (0 or 8) and column relative to the thread's first.
CCDL_DEVICE int element_row(int i) { return i / 2 % 2 * 8; }
CCDL_DEVICE int element_column(int i) { return i / 4 * 8 + i % 2; }

template <class C>
CCDL_DEVICE void gradient_consume(const AttentionProblem<typename C::T>& p, const GradientRing<C>& ring,
                                  const GradientPlace& at) {
  using T = typename C::T;
  constexpr int kN = C::kColumns;
  const int group = __shfl_sync(kFullWarp, static_cast<int>(threadIdx.x) / kWarpgroup, 0),
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;  // of the block's rows; and row + 8
  const bool speaks = threadIdx.x % (C::kQueryRows ? kWarpgroup : kWarp) == 0;
  unsigned char* tile_a = ring.rows + group * 2 * C::kTileA;
  const float scale = p.scale * static_cast<float>(kLog2E);
  float out1[C::kHead / 2], out2[C::kQueryRows ? 2 : C::kHead / 2];  // dq or dk, dv
#pragma unroll
  for (float& v : out1) v = 0;
#pragma unroll
  for (float& v : out2) v = 0;
  float row_lse[2] = {}, row_delta[2] = {};
  if constexpr (C::kQueryRows) {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      query_stats(p, at.b, at.head, at.row0 + row + half * 8, row_lse[half], row_delta[half]);
  }
  const int all_tiles = at.heads * at.tiles;
  if (all_tiles > 0) mbarrier_wait(ring.rows_full, 0);
  RingPlace<C::kStages> place;
#pragma unroll 1
  for (int all = 0; all < all_tiles; ++all) {
    const unsigned char* tile = ring.stages + place.stage * C::kStage;
    const float* stats = ring.stats + place.stage * 2 * kN + lane % 4 * 2;
    float s[kN / 2], dp[kN / 2];
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) s[i] = dp[i] = 0;
    mbarrier_wait(ring.full + place.stage, place.parity);
    wgmma_fence();
    score_tile<T, C::kHead, kN>(s, tile_a, tile);
    wgmma_commit();
    score_tile<T, C::kHead, kN>(dp, tile_a + C::kTileA, tile + C::kTileB);
    wgmma_commit();
    wgmma_wait<1>();
    wgmma_finished(s);
    const GradientSight sight = gradient_sight<C>(p, at, row, at.begin + all % at.tiles * kN);
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) {
      const int c = element_column(i);
      const float lse = C::kQueryRows ? row_lse[element_row(i) / 8] : stats[c];
      s[i] = exp2_approx(fmaf(s[i], scale, -lse));
      if (!gradient_sees<C>(sight, element_row(i), c) || lse == __builtin_huge_valf()) s[i] = 0;
    }
    uint32_t weights[kN / 16][4], value_weights[kN / 16][4];
    if constexpr (!C::kQueryRows) pack_weights<T, kN>(s, value_weights);
    wgmma_wait<0>();
    wgmma_finished(dp);
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) {
      const int c = element_column(i);
      const float delta = C::kQueryRows ? row_delta[element_row(i) / 8] : stats[kN + c];
      dp[i] = s[i] == 0 ? 0.0f : s[i] * (dp[i] - delta);  // not seen: dp may be anything
    }
    pack_weights<T, kN>(dp, weights);
    wgmma_fence();
    if constexpr (!C::kQueryRows) value_tile<T, C::kHead, kN>(out2, value_weights, tile + C::kTileB, true);
    value_tile<T, C::kHead, kN>(out1, weights, tile, true);
    wgmma_commit();
    wgmma_wait<0>();
    if constexpr (!C::kQueryRows) wgmma_finished(out2);
    wgmma_finished(out1);
    if constexpr (!C::kQueryRows) __syncwarp();  // the statistics have been read
    if (speaks) mbarrier_arrive(ring.empty + place.stage);
    place.next();
  }
  const int row0 = group * kGroupRows, head = C::kQueryRows ? at.head : at.key_head;
  const auto store = [&](const AttentionOperand<T>& to, const auto& out, float by, unsigned char* through,
                         int columns) {
    if (to.data == nullptr) return;
    const float factor[2] = {by, by};
    store_group<T, C::kHead>(out, factor, through, 3 + group, to.at(at.b, head) + (at.row0 + row0) * to.row,
                             to.row, at.rows - row0, columns, to.access);
  };
  store(C::kQueryRows ? p.dq : p.dk, out1, p.scale, tile_a, p.D);
  if constexpr (!C::kQueryRows) store(p.dv, out2, 1.0f, tile_a + C::kTileA, p.E);
}

template <class C>
__global__ void __launch_bounds__(kSm90Threads, 1)
    attention_backward_sm90_kernel(const AttentionProblem<typename C::T> p,
                                   const __grid_constant__ GradientMaps maps) {
  GradientPlace at;
  if (!gradient_place<C>(p, at)) return;
  const GradientRing<C> ring;
  if (threadIdx.x == 0) ring.init();
  __syncthreads();  // the barriers are ready
  if (static_cast<int>(threadIdx.x) / kWarpgroup == kConsumers) {
    lower_registers<40>();
    if (static_cast<int>(threadIdx.x) / kWarp == kConsumers * kWarpgroup / kWarp && at.heads * at.tiles > 0)
      gradient_produce<C>(p, maps, ring, at);
  } else {
    raise_registers<232>();
    gradient_consume<C>(p, ring, at);
  }
}

template <class C>
void launch_backward_sm90(const AttentionProblem<typename C::T>& p, const GradientMaps& maps) {
  const int64_t rows = C::kQueryRows ? p.L : p.S, units = p.B * (C::kQueryRows ? p.H : p.G);
  CCDL_LAUNCH(
      (LaunchConfig{flat_grid(units * ceil_div<int64_t>(rows, C::kRows)), dim3(kSm90Threads), C::kSmem}),
      (attention_backward_sm90_kernel<C>), p, maps);
}

template <class T>
bool run_backward_sm90(const AttentionProblem<T>& p) {
  const int head = most(p.D, p.E);
  if (p.mask != nullptr || p.drops || head > 128 || p.L == 0 || p.S == 0 || p.D == 0 || p.E == 0 ||
      tensor_map_encoder() == nullptr || !suits_tma(p.q, p.L) || !suits_tma(p.k, p.S) ||
      !suits_tma(p.v, p.S) || !suits_tma(p.dout, p.L))
    return false;
  GradientMaps maps;
  if (!encode_map(maps.q, p.q, p.B, p.H, p.L, p.D, kGroupRows) ||
      !encode_map(maps.k, p.k, p.B, p.G, p.S, p.D, kGroupRows) ||
      !encode_map(maps.v, p.v, p.B, p.G, p.S, p.E, kGroupRows) ||
      !encode_map(maps.dout, p.dout, p.B, p.H, p.L, p.E, kGroupRows))
    return false;
  const bool keys = p.dk.data != nullptr || p.dv.data != nullptr;
  const auto launch = [&](auto tag) {
    constexpr int kHead = decltype(tag)::kHead;
    if (p.dq.data != nullptr) launch_backward_sm90<GradientSm90Config<T, kHead, true>>(p, maps);
    if (keys) launch_backward_sm90<GradientSm90Config<T, kHead, false>>(p, maps);
  };
  if (head <= 64)
    launch(HeadTag<64>());
  else
    launch(HeadTag<128>());
  return true;
}

}  // namespace ccdl::cu
