// FlashAttention-2's forward pass on mma.sync: four warps of 32 query rows each (16 where
// registers are short); the copy of the
// next tile of keys and values runs under the work on this one, one barrier per tile. Softmax is online in
// base 2 with the scale folded into the exponent; masking only in tiles that cross a limit, tiles behind the
// last visible key are not visited. Sums in fp32, probabilities rounded to T. Bound: tensor-core rate of
// mma.sync and exponentials; with few query rows the bytes of k and v. Extras: mask, dropout, scales that are
// not positive.
#pragma once
#include <kernels/attention/tiles_mma.cuh>

namespace ccdl::cu {

template <class T_, int Head, bool Extras>
struct ForwardConfig {
  using T = T_;
  static constexpr bool kExtras = Extras;
  static constexpr int kHead = Head, kMi = Head * sizeof(T) <= 256 && !Extras ? 2 : 1, kRows = kMi * 64;
  static constexpr int kBytes = Head * static_cast<int>(sizeof(T));  // of a row
  static constexpr int kKeys = kBytes <= 128 ? 64 : 32;              // registers: scores beside the output
  static constexpr bool kHold = kBytes <= 128;                       // the query fragments stay in registers
  static constexpr int kTileQ = kRows * kBytes, kTileK = kKeys * kBytes;
  static constexpr size_t kSmem = kTileQ + 4 * kTileK;  // two stages of k and v
};

// ForwardPlace in 32 bits: rows and keys of one head are fewer than 2^31 here.
struct MmaPlace {
  int b, head, row0, rows, split, keys, key_begin, key_end;
  CCDL_DEVICE explicit MmaPlace(const ForwardPlace& at)
      : b(static_cast<int>(at.b)),
        head(static_cast<int>(at.head)),
        row0(static_cast<int>(at.row0)),
        rows(at.rows),
        split(at.split),
        keys(static_cast<int>(at.keys)),
        key_begin(static_cast<int>(at.key_begin)),
        key_end(static_cast<int>(at.key_end)) {}
};

template <class C>
using ForwardScores = float[C::kMi][C::kKeys / 8][4];

// Limits, mask and scale on a tile of scores; with extras they are in base 2 afterwards. row0: of the warp.
template <class C>
CCDL_DEVICE void forward_mask(const AttentionProblem<typename C::T>& p, const MmaPlace& at, int row0,
                              int key0, ForwardScores<C>& s) {
  using T = typename C::T;
  const int lane = recomputed(static_cast<int>(threadIdx.x)) % kWarp;
  const float scale = p.scale * static_cast<float>(kLog2E);
#pragma unroll
  for (int i = 0; i < C::kMi; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const QueryRow q = query_row(p, at.row0 + row0 + i * 16 + half * 8 + lane / 4);
      const int limit = static_cast<int>(p.limit(q.query, at.keys));
      const int seen =
          least(limit, at.key_end) - key0 - lane % 4 * 2;  // of the keys from this lane's first on
#pragma unroll
      for (int j = 0; j < C::kKeys / 8; ++j)
#pragma unroll
        for (int x = 0; x < 2; ++x) {
          float& v = s[i][j][half * 2 + x];
          if constexpr (C::kExtras) v *= scale;
          if (j * 8 + x >= seen) v = -__builtin_huge_valf();
        }
      if constexpr (C::kExtras) {
        if (p.mask == nullptr || row0 + i * 16 + half * 8 + lane / 4 >= at.rows) continue;
        const ScoreRule<T> rule(p, at.b, at.head + q.head);
        const int key = key0 + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < C::kKeys / 8; ++j)
#pragma unroll
          for (int x = 0; x < 2; ++x)
            if (float& v = s[i][j][half * 2 + x]; j * 8 + x < seen)
              v = rule.masked(v, q.query, key + j * 8 + x, static_cast<float>(kLog2E));
      }
    }
}

// Online softmax of a tile: s becomes exp2(scale s - maximum), out and sum are rescaled to the new maximum.
template <class C>
CCDL_DEVICE void forward_softmax(ForwardScores<C>& s, float scale, float (&top)[C::kMi][2],
                                 float (&sum)[C::kMi][2], float (&out)[C::kMi][C::kHead / 8][4]) {
#pragma unroll
  for (int i = 0; i < C::kMi; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float before = top[i][half];
      float now = before;
#pragma unroll
      for (int j = 0; j < C::kKeys / 8; ++j)
        now = fmaxf(now, fmaxf(s[i][j][half * 2], s[i][j][half * 2 + 1]));
      now = quad_max(now);
      top[i][half] = now;
      const float shift = now == -__builtin_huge_valf() ? 0.0f : now * scale;  // nothing seen yet: all 0
      const float factor = exp2_approx(fmaf(before, scale, -shift));
      float part = 0;
#pragma unroll
      for (int j = 0; j < C::kKeys / 8; ++j)
#pragma unroll
        for (int x = 0; x < 2; ++x) {
          float& v = s[i][j][half * 2 + x];
          v = exp2_approx(fmaf(v, scale, -shift));
          part += v;
        }
      sum[i][half] = fmaf(sum[i][half], factor, part);
#pragma unroll
      for (int j = 0; j < C::kHead / 8; ++j) {
        out[i][j][half * 2] *= factor;
        out[i][j][half * 2 + 1] *= factor;
      }
    }
}

template <class C>
CCDL_DEVICE void forward_drop(const AttentionProblem<typename C::T>& p, const MmaPlace& at, int row0,
                              int key0, ForwardScores<C>& s) {
  const int lane = recomputed(static_cast<int>(threadIdx.x)) % kWarp;
#pragma unroll
  for (int i = 0; i < C::kMi; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const QueryRow q = query_row(p, at.row0 + row0 + i * 16 + half * 8 + lane / 4);
      const ScoreRule<typename C::T> rule(p, at.b, at.head + q.head);
#pragma unroll
      for (int j = 0; j < C::kKeys / 8; ++j) {
        bool keep[2];
        rule.kept_pair(q.query, key0 + j * 8 + lane % 4 * 2, keep);
        if (!keep[0]) s[i][j][half * 2] = 0;
        if (!keep[1]) s[i][j][half * 2 + 1] = 0;
      }
    }
}

// out / sum and log(sum) + maximum, either final or as this split's part.
template <class C>
CCDL_DEVICE void forward_finish(const AttentionProblem<typename C::T>& p, const MmaPlace& at, int warp_row,
                                unsigned char* tile, float scale, const float (&top)[C::kMi][2],
                                const float (&sum)[C::kMi][2], float (&out)[C::kMi][C::kHead / 8][4]) {
  const int lane = recomputed(static_cast<int>(threadIdx.x)) % kWarp;
  float factor[C::kMi][2];
#pragma unroll
  for (int i = 0; i < C::kMi; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = warp_row + i * 16 + half * 8 + lane / 4;
      const QueryRow q = query_row(p, at.row0 + r);
      const int64_t line =
          (static_cast<int64_t>(at.b) * p.H + at.head + q.head) * p.L + q.query;  // of [B, H, L]
      const float total = quad_sum(sum[i][half]);
      factor[i][half] = total == 0 ? 0.0f : p.keep_scale / total;
      if (total == 0)  // values nobody sees may be NaN
#pragma unroll
        for (int j = 0; j < C::kHead / 8; ++j) out[i][j][half * 2] = out[i][j][half * 2 + 1] = 0;
      if (r >= at.rows) continue;
      const float lse = total == 0 ? -__builtin_huge_valf()
                                   : fmaf(top[i][half] * scale, static_cast<float>(kLn2), logf(total));
      if (p.splits == 1) {
        if (p.lse != nullptr && lane % 4 == 0) p.lse[line] = lse;
        continue;
      }
      const int64_t place = at.split * (p.B * p.H * p.L) + line;
      if (lane % 4 == 0) p.partial_lse()[place] = lse;
      float* to = p.partial + place * p.pitch;
#pragma unroll
      for (int j = 0; j < C::kHead / 8; ++j) {
        const int c = j * 8 + lane % 4 * 2;  // the pitch is even
        if (c < p.E)
          store_vec(to + c, Vec<float, 2>{{out[i][j][half * 2] * factor[i][half],
                                           out[i][j][half * 2 + 1] * factor[i][half]}});
      }
    }
  if (p.splits > 1) return;
  const auto offset = [&](int r) {
    const QueryRow q = query_row(p, at.row0 + r);
    return q.head * p.out.head + q.query * p.out.row;
  };
  store_rows<typename C::T, C::kHead, C::kMi>(out, factor, tile, warp_row, p.out.at(at.b, at.head), offset,
                                              at.rows, p.E, p.out.access);
}

template <class C>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_forward_mma_kernel(const AttentionProblem<typename C::T> p) {
  using T = typename C::T;
  const ForwardPlace place = forward_place(p, C::kRows, 1);
  if (place.b >= p.B) return;
  const MmaPlace at(place);
  unsigned char* tile_q = dyn_smem<unsigned char>();
  const T* k = p.k.at(at.b, at.head / p.group);
  const T* v = p.v.at(at.b, at.head / p.group);
  const auto stage_of = [&](int stage) { return tile_q + C::kTileQ + stage * 2 * C::kTileK; };
  const auto load = [&](int key, unsigned char* stage) {
    fill_tile<C::kHead, C::kKeys>(stage, k + key * p.k.row, RowStride{p.k.row}, at.keys - key, p.D);
    fill_tile<C::kHead, C::kKeys>(stage + C::kTileK, v + key * p.v.row, RowStride{p.v.row}, at.keys - key,
                                  p.E);
  };
  fill_tile<C::kHead, C::kRows>(
      tile_q, p.q.at(at.b, at.head),
      [&](int r) {
        const QueryRow q = query_row(p, at.row0 + r);
        return q.head * p.q.head + q.query * p.q.row;
      },
      at.rows, p.D);
  if (at.key_begin < at.key_end) load(at.key_begin, stage_of(0));
  cp_async_commit();
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * C::kMi * 16;
  const bool busy = warp_row < at.rows;  // of this warp
  // Keys below `clear_keys` are seen by every row of the block.
  const int clear_keys = least(static_cast<int>(p.limit(p.pack > 1 ? 0 : at.row0, at.keys)), at.key_end);
  const float scale = C::kExtras ? 1.0f : p.scale * static_cast<float>(kLog2E);
  float top[C::kMi][2], sum[C::kMi][2], out[C::kMi][C::kHead / 8][4];
  clear<C::kHead, C::kMi>(out);
#pragma unroll
  for (int i = 0; i < C::kMi; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      top[i][half] = -__builtin_huge_valf();
      sum[i][half] = 0;
    }
  ScoreOperand<T, C::kHead, C::kMi, C::kHold> query{tile_q, warp_row, {}};
  int stage = 0;
  for (int key = at.key_begin; key < at.key_end; key += C::kKeys, stage ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is there, and nobody reads the other stage any more
    if (key + C::kKeys < at.key_end) load(key + C::kKeys, stage_of(stage ^ 1));
    cp_async_commit();
    if (!busy) continue;
    if (key == at.key_begin) query.prepare();
    const unsigned char* tile = stage_of(stage);
    ForwardScores<C> s;
    score_product<T, C::kHead, C::kMi, C::kKeys>(query, tile, s);
    if (C::kExtras || key + C::kKeys > clear_keys) forward_mask<C>(p, at, warp_row, key, s);
    forward_softmax<C>(s, scale, top, sum, out);
    if (C::kExtras && p.drops) forward_drop<C>(p, at, warp_row, key, s);
    value_product<T, C::kHead, C::kMi, C::kKeys>(s, tile + C::kTileK, out);
  }
  cp_async_wait<0>();  // where nothing is visible the query tile may still be on its way
  __syncthreads();     // ... by other threads' copies
  if (busy) forward_finish<C>(p, at, warp_row, tile_q, scale, top, sum, out);
}

template <class T>
void run_forward_mma(const AttentionProblem<T>& p) {
  const auto launch = [&](auto config) {
    using C = decltype(config);
    const int64_t blocks = forward_blocks(p.B * (p.H / p.pack), p.pack * p.L, C::kRows, p.splits, 1);
    CCDL_LAUNCH((LaunchConfig{flat_grid(blocks), dim3(kAttentionThreads), C::kSmem}),
                (attention_forward_mma_kernel<C>), p);
  };
  const int head = most(p.D, p.E);
  if (p.mask != nullptr || p.drops || !(p.scale > 0 && p.scale < 1e30f))
    by_head<T, true>(head, [&](auto tag) { launch(ForwardConfig<T, decltype(tag)::kHead, true>()); });
  else
    by_head<T, false>(head, [&](auto tag) { launch(ForwardConfig<T, decltype(tag)::kHead, false>()); });
}

}  // namespace ccdl::cu
