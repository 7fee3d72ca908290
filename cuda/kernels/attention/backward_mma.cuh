// Gradients of attention on mma.sync, one of dq, dk, dv per kernel: a block owns rows (queries for dq, keys
// for dk and dv) and walks over columns (the other ones; for keys over all query heads of the key head, in
// order), recomputing p = exp2(scale q k^T - lse). dk and dv work on transposed scores, so that the weights
// ds or p are always the A operand of the last product and stay in registers; no atomics, every sum has a
// fixed order. Columns come by cp.async in two stages where shared memory allows. Bound: tensor-core rate of
// mma.sync; 3 products for dq and dk each, 2 for dv.
#pragma once
#include <kernels/attention/tiles_mma.cuh>

namespace ccdl::cu {

template <class T_, int Head, AttentionGradient Of, bool Extras>
struct GradientConfig {
  using T = T_;
  static constexpr bool kExtras = Extras, kQueryRows = Of == AttentionGradient::Q,
                        kValues = Of == AttentionGradient::V;
  // Registers decide: output, scores and their gradients are live together.
  static constexpr int kBytes = Head * static_cast<int>(sizeof(T));  // of a row
  static constexpr int kHead = Head,
                       kMi = kBytes > 256 || Extras || (kBytes == 256 && !kValues) ? 1 : 2, kRows = kMi * 64,
                       kColumns = Head == 128 && kBytes == 256 && !kValues && !Extras ? 64 : 32;
  static constexpr int kStages = kBytes > 256 && !kValues ? 1 : 2;
  static constexpr bool kHold = kBytes <= 128 && !Extras, kHoldSecond = kBytes <= 64 && !Extras && !kValues;
  static constexpr int kTileA = kRows * kBytes, kTileB = kColumns * kBytes;
  static constexpr int kTilesA = (kValues ? 1 : 2) * kTileA;
  static constexpr int kStage = 2 * kTileB + 2 * kColumns * 4;  // two tiles, lse and delta of the columns
  static constexpr size_t kSmem = kTilesA + kStages * kStage;
};
template <class C>
using GradientScores = float[C::kMi][C::kColumns / 8][4];

// What a block owns, and its walk: `tiles` column tiles for each of `heads` query heads.
struct GradientPlace {
  int b, key_head, head, row0, rows, keys;  // head: the first query head
  int heads, begin, end, tiles;             // columns [begin, end)
};
template <class C>
CCDL_DEVICE bool gradient_place(const AttentionProblem<typename C::T>& p, GradientPlace& at) {
  const int64_t all = C::kQueryRows ? p.L : p.S, blocks = ceil_div<int64_t>(all, C::kRows);
  const int64_t units = C::kQueryRows ? p.H : p.G, id = flat_block(), unit = id / blocks;
  if (unit >= p.B * units) return false;
  const int64_t block = id % blocks;  // the rows with the longest walks first
  at.row0 = static_cast<int>((C::kQueryRows ? blocks - 1 - block : block) * C::kRows);
  at.rows = static_cast<int>(least<int64_t>(all - at.row0, C::kRows));
  at.b = static_cast<int>(unit / units);
  at.key_head = static_cast<int>(C::kQueryRows ? unit % units / p.group : unit % units);
  at.head = static_cast<int>(C::kQueryRows ? unit % units : unit % units * p.group);
  at.keys = static_cast<int>(p.keys(at.b));
  at.heads = C::kQueryRows ? 1 : p.group;
  if (C::kQueryRows) {
    at.begin = 0;
    at.end = static_cast<int>(p.limit(at.row0 + at.rows - 1, at.keys));
  } else {
    at.begin = static_cast<int>(least(p.L, most<int64_t>(0, at.row0 - p.causal_offset)));
    at.end = at.row0 < at.keys ? static_cast<int>(p.L) : at.begin;
  }
  at.tiles = ceil_div(at.end - at.begin, C::kColumns);
  return true;
}

// Of a query: the logarithm of its sum in base 2, +inf where it sees nothing, so that p becomes 0.
template <class T>
CCDL_DEVICE void query_stats(const AttentionProblem<T>& p, int64_t b, int64_t h, int query, float& lse,
                             float& delta) {
  lse = __builtin_huge_valf();
  delta = 0;
  if (query >= p.L) return;
  const int64_t line = (b * p.H + h) * p.L + query;
  const float natural = p.lse[line];
  if (natural != -__builtin_huge_valf()) lse = natural * static_cast<float>(kLog2E);
  if (p.delta != nullptr) delta = p.delta[line];
}

// Turns scores s into the weights of the last product: ds from s and dp, or p (after dropout) for dv.
// row0, column0: of the warp and of the column tile; stats: lse and delta of the columns.
template <class C>
CCDL_DEVICE void gradient_weights(const AttentionProblem<typename C::T>& p, const GradientPlace& at, int head,
                                  int warp_row, int column0, const float (&row_lse)[C::kMi][2],
                                  const float (&row_delta)[C::kMi][2], const float* stats,
                                  GradientScores<C>& s, const GradientScores<C>& dp) {
  const int lane = recomputed(static_cast<int>(threadIdx.x)) % kWarp;
  const int row0 = at.row0 + warp_row + lane / 4, column = lane % 4 * 2;
  const int query0 = C::kQueryRows ? row0 : column0 + column, key0 = C::kQueryRows ? column0 + column : row0;
  const int first_query = C::kQueryRows ? at.row0 : column0;
  const int last_key = C::kQueryRows ? column0 + C::kColumns : at.row0 + C::kRows;
  const bool edge = last_key > p.limit(first_query, at.keys);
  // Seen: key0 + k < keys and key0 + k <= query0 + q + offset.
  const int keys_left = at.keys - key0;
  const int ahead =
      static_cast<int>(least<int64_t>(most<int64_t>(query0 + p.causal_offset - key0, -(1 << 30)), 1 << 30));
  const float scale = p.scale * static_cast<float>(kLog2E);
  const ScoreRule<typename C::T> rule(p, at.b, head);
#pragma unroll
  for (int j = 0; j < C::kColumns / 8; ++j) {
    float lse[2], delta[2];
    if constexpr (!C::kQueryRows) {
#pragma unroll
      for (int x = 0; x < 2; ++x) {
        lse[x] = stats[j * 8 + column + x];
        delta[x] = stats[C::kColumns + j * 8 + column + x];
      }
    }
#pragma unroll
    for (int i = 0; i < C::kMi; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        bool keep[2] = {true, true};
        if constexpr (C::kExtras && C::kQueryRows)
          if (p.drops) rule.kept_pair(query0 + i * 16 + half * 8, key0 + j * 8, keep);
#pragma unroll
        for (int x = 0; x < 2; ++x) {
          const int r = i * 16 + half * 8, c = j * 8 + x;
          const int q = C::kQueryRows ? r : c, k = C::kQueryRows ? c : r;
          float& v = s[i][j][half * 2 + x];
          const float log_sum = C::kQueryRows ? row_lse[i][half] : lse[x];
          const bool seen = !edge || (k < keys_left && k - q <= ahead);
          if constexpr (C::kExtras) {
            v *= scale;
            if (p.mask != nullptr && seen && query0 + q < p.L)
              v = rule.masked(v, query0 + q, key0 + k, static_cast<float>(kLog2E));
            v = exp2_approx(v - log_sum);
            if (p.drops && !C::kQueryRows) keep[x] = rule.kept(query0 + q, key0 + k);
          } else {
            v = exp2_approx(fmaf(v, scale, -log_sum));
          }
          if (!seen || log_sum == __builtin_huge_valf()) v = 0;
          if constexpr (C::kValues) {
            if (!keep[x]) v = 0;
          } else {
            float g = dp[i][j][half * 2 + x];
            if constexpr (C::kExtras)
              if (p.drops) g = keep[x] ? g * p.keep_scale : 0.0f;
            v *= g - (C::kQueryRows ? row_delta[i][half] : delta[x]);
          }
        }
      }
  }
}

template <class C>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_backward_mma_kernel(const AttentionProblem<typename C::T> p) {
  using T = typename C::T;
  GradientPlace at;
  if (!gradient_place<C>(p, at)) return;
  unsigned char* tiles_a = dyn_smem<unsigned char>();
  const auto stage_of = [&](int stage) { return tiles_a + C::kTilesA + stage * C::kStage; };
  const auto row_offset = [&](int64_t stride) { return at.row0 * stride; };
  const int keys_from_row = C::kQueryRows ? at.rows : least(at.rows, at.keys - at.row0);
  const auto& a1 = C::kQueryRows ? p.q : p.k;
  const int head_a = C::kQueryRows ? at.head : at.key_head;
  fill_tile<C::kHead, C::kRows>(tiles_a, a1.at(at.b, head_a) + row_offset(a1.row), RowStride{a1.row},
                                keys_from_row, p.D);
  if constexpr (!C::kValues) {
    const auto& a2 = C::kQueryRows ? p.dout : p.v;
    fill_tile<C::kHead, C::kRows>(tiles_a + C::kTileA, a2.at(at.b, head_a) + row_offset(a2.row),
                                  RowStride{a2.row}, keys_from_row, p.E);
  }
  const auto load = [&](int t, unsigned char* stage) {
    const int head = at.head + t / at.tiles, column = at.begin + t % at.tiles * C::kColumns;
    const auto& b1 = C::kQueryRows ? p.k : p.q;
    const auto& b2 = C::kQueryRows ? p.v : p.dout;
    const int head_b = C::kQueryRows ? at.key_head : head;
    const int left = (C::kQueryRows ? at.keys : static_cast<int>(p.L)) - column;
    fill_tile<C::kHead, C::kColumns>(stage, b1.at(at.b, head_b) + column * b1.row, RowStride{b1.row}, left,
                                     p.D);
    fill_tile<C::kHead, C::kColumns>(stage + C::kTileB, b2.at(at.b, head_b) + column * b2.row,
                                     RowStride{b2.row}, left, p.E);
    const int thread = static_cast<int>(threadIdx.x);
    if (!C::kQueryRows && thread < C::kColumns) {
      float* stats = reinterpret_cast<float*>(stage + 2 * C::kTileB) + thread;
      query_stats(p, at.b, head, column + thread, stats[0], stats[C::kColumns]);
    }
  };
  const int all_tiles = at.heads * at.tiles;
  if (all_tiles > 0) load(0, stage_of(0));
  cp_async_commit();
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * C::kMi * 16;
  const bool busy = warp_row < at.rows;  // of this warp
  float out[C::kMi][C::kHead / 8][4], row_lse[C::kMi][2] = {}, row_delta[C::kMi][2] = {};
  clear<C::kHead, C::kMi>(out);
  if constexpr (C::kQueryRows) {
#pragma unroll
    for (int i = 0; i < C::kMi; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        query_stats(p, at.b, at.head,
                    at.row0 + warp_row + i * 16 + half * 8 + static_cast<int>(threadIdx.x) % kWarp / 4,
                    row_lse[i][half], row_delta[i][half]);
  }
  ScoreOperand<T, C::kHead, C::kMi, C::kHold> first{tiles_a, warp_row, {}};
  ScoreOperand<T, C::kHead, C::kMi, C::kHoldSecond> second{tiles_a + C::kTileA, warp_row, {}};
  int stage = 0;
  for (int t = 0; t < all_tiles; ++t) {
    if (C::kStages == 1 && t > 0) {
      __syncthreads();  // nobody reads the tile before any more
      load(t, stage_of(0));
      cp_async_commit();
    }
    cp_async_wait<0>();
    __syncthreads();  // this tile is there, and nobody reads the other stage any more
    if (C::kStages == 2 && t + 1 < all_tiles) load(t + 1, stage_of(stage ^ 1));
    cp_async_commit();
    const unsigned char* tile = stage_of(stage);
    if (C::kStages == 2) stage ^= 1;
    if (!busy) continue;
    if (t == 0) {
      first.prepare();
      if constexpr (!C::kValues) second.prepare();
    }
    GradientScores<C> s, dp;
    score_product<T, C::kHead, C::kMi, C::kColumns>(first, tile, s);
    if constexpr (!C::kValues) score_product<T, C::kHead, C::kMi, C::kColumns>(second, tile + C::kTileB, dp);
    gradient_weights<C>(p, at, at.head + t / at.tiles, warp_row, at.begin + t % at.tiles * C::kColumns,
                        row_lse, row_delta, reinterpret_cast<const float*>(tile + 2 * C::kTileB), s, dp);
    value_product<T, C::kHead, C::kMi, C::kColumns>(s, C::kValues ? tile + C::kTileB : tile, out);
  }
  cp_async_wait<0>();
  __syncthreads();  // without columns the rows may still be on their way
  if (!busy) return;
  float factor[C::kMi][2];
#pragma unroll
  for (int i = 0; i < C::kMi; ++i) factor[i][0] = factor[i][1] = C::kValues ? p.keep_scale : p.scale;
  const auto& to = C::kQueryRows ? p.dq : C::kValues ? p.dv : p.dk;
  store_rows<T, C::kHead, C::kMi>(out, factor, tiles_a, warp_row, to.at(at.b, head_a) + row_offset(to.row),
                                  RowStride{to.row}, at.rows, C::kValues ? p.E : p.D, to.access);
}

template <AttentionGradient Of, class T>
void run_backward_mma(const AttentionProblem<T>& p) {
  const auto launch = [&](auto config) {
    using C = decltype(config);
    const int64_t rows = C::kQueryRows ? p.L : p.S, units = p.B * (C::kQueryRows ? p.H : p.G);
    CCDL_LAUNCH((LaunchConfig{flat_grid(units * ceil_div<int64_t>(rows, C::kRows)), dim3(kAttentionThreads),
                              C::kSmem}),
                (attention_backward_mma_kernel<C>), p);
  };
  const int head = most(p.D, p.E);
  if (p.mask != nullptr || p.drops)
    by_head<T, true>(head, [&](auto tag) { launch(GradientConfig<T, decltype(tag)::kHead, Of, true>()); });
  else
    by_head<T, false>(head, [&](auto tag) { launch(GradientConfig<T, decltype(tag)::kHead, Of, false>()); });
}

}  // namespace ccdl::cu
