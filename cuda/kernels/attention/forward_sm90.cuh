// Attention forward on Hopper: persistent blocks of one producer warp (TMA, rings of key and value tiles) and
// two consumer warpgroups of 64 query rows each. While the softmax of tile j runs, the tensor cores work on
// the scores of the other warpgroup (named barriers order the two: one issues products, the other computes
// exponentials) and on this one's values of tile j - 1; probabilities stay in registers. Softmax is online in
// base 2 with the scale folded in; masks only in tiles that cross a limit; long rows first where causal.
// Bound: wgmma rate and exponentials. After FlashAttention-3 (2024).
#pragma once
#include <kernels/attention/tiles_sm90.cuh>

namespace ccdl::cu {

template <class T_, int Head>
struct ForwardSm90Config {
  using T = T_;
  static constexpr int kHead = Head, kKeys = Head <= 128 ? 128 : 64, kStages = 2;
  static constexpr int kTileQ = kGroupRows * Head * 2, kTileK = kKeys * Head * 2;
  static constexpr int kTiles = kConsumers * kTileQ + kStages * 2 * kTileK;
  static constexpr size_t kSmem = 1024 + kTiles + (3 + 4 * kStages) * 8;
};

template <class C>
struct ForwardRings {
  unsigned char *q, *k, *v;
  uint64_t *q_full, *q_empty, *cut, *k_full, *k_empty, *v_full, *v_empty;
  CCDL_DEVICE ForwardRings() {
    q = swizzle_aligned(dyn_smem<unsigned char>());
    k = q + kConsumers * C::kTileQ;
    v = k + C::kStages * C::kTileK;
    q_full = reinterpret_cast<uint64_t*>(q + C::kTiles);
    q_empty = q_full + 1;
    cut = q_full + 2;
    k_full = q_full + 3;
    k_empty = k_full + C::kStages;
    v_full = k_empty + C::kStages;
    v_empty = v_full + C::kStages;
  }
  CCDL_DEVICE void init() const {
    mbarrier_init(q_full, 1);
    mbarrier_init(q_empty, kConsumers);
    mbarrier_init(cut, 1);
    for (int s = 0; s < C::kStages; ++s) {
      mbarrier_init(k_full + s, 1);
      mbarrier_init(k_empty + s, kConsumers);
      mbarrier_init(v_full + s, 1);
      mbarrier_init(v_empty + s, kConsumers);
    }
    mbarrier_init_fence();
  }
};

// Query rows [row0, row0 + rows) of a head and the key tiles they see; keys below `clear` are seen by all.
struct ForwardWork {
  int b, head, row0, rows, keys, clear, tiles;
};
template <class T>
CCDL_DEVICE ForwardWork forward_work(const AttentionProblem<T>& p, int index, int tile_keys) {
  const int blocks = static_cast<int>(ceil_div<int64_t>(p.L, kSm90Rows)), units = static_cast<int>(p.B * p.H);
  const bool causal = p.causal_offset < p.S;  // long rows first, else one head after the other
  const int unit = causal ? index % units : index / blocks;
  const int block = causal ? blocks - 1 - index / units : index % blocks;
  ForwardWork w;
  w.b = unit / static_cast<int>(p.H);
  w.head = unit % static_cast<int>(p.H);
  w.row0 = block * kSm90Rows;
  w.rows = static_cast<int>(least<int64_t>(p.L - w.row0, kSm90Rows));
  w.keys = static_cast<int>(p.keys(w.b));
  w.clear = static_cast<int>(p.limit(w.row0, w.keys));
  w.tiles = ceil_div(static_cast<int>(p.limit(w.row0 + w.rows - 1, w.keys)), tile_keys);
  return w;
}

// The producer warp: lane 0 fills the rings in the order in which they are read.
template <class C>
CCDL_DEVICE void forward_produce(const AttentionProblem<typename C::T>& p, const ForwardRings<C>& ring,
                                 const CUtensorMap* map_q, const CUtensorMap* map_k, const CUtensorMap* map_v,
                                 int work) {
  const bool speaks = threadIdx.x % kWarp == 0;
  RingPlace<1> q, cut;
  RingPlace<C::kStages> k, v;
  for (int index = static_cast<int>(blockIdx.x); index < work; index += static_cast<int>(gridDim.x)) {
    const ForwardWork w = forward_work(p, index, C::kKeys);
    if (w.tiles == 0) continue;
    const int key_head = w.head / p.group, head_q = p.q.head == 0 ? 0 : w.head;
    const int head_k = p.k.head == 0 ? 0 : key_head, head_v = p.v.head == 0 ? 0 : key_head;
    if (speaks) {
      mbarrier_wait(ring.q_empty, q.parity ^ 1);
      mbarrier_arrive_expect(ring.q_full, kConsumers * C::kTileQ);
#pragma unroll
      for (int g = 0; g < kConsumers; ++g)
        load_panels<C::kHead, kGroupRows>(ring.q + g * C::kTileQ, map_q, ring.q_full, w.row0 + g * kGroupRows,
                                          head_q, p.q.batch == 0 ? 0 : w.b);
    }
    q.next();
    for (int j = 0; j <= w.tiles; ++j) {  // keys of tile j, then values of tile j - 1
      if (j < w.tiles) {
        if (speaks) {
          mbarrier_wait(ring.k_empty + k.stage, k.parity ^ 1);
          mbarrier_arrive_expect(ring.k_full + k.stage, C::kTileK);
          load_panels<C::kHead, C::kKeys>(ring.k + k.stage * C::kTileK, map_k, ring.k_full + k.stage,
                                          j * C::kKeys, head_k, p.k.batch == 0 ? 0 : w.b);
        }
        k.next();
      }
      if (j == 0) continue;
      const int key0 = (j - 1) * C::kKeys;
      // Values behind a key length may be anything, and 0 times NaN is NaN: they become zeros.
      const bool cuts = w.keys < p.S && key0 + C::kKeys > w.keys;
      uint64_t* landed = cuts ? ring.cut : ring.v_full + v.stage;
      unsigned char* tile = ring.v + v.stage * C::kTileK;
      if (speaks) {
        mbarrier_wait(ring.v_empty + v.stage, v.parity ^ 1);
        mbarrier_arrive_expect(landed, C::kTileK);
        load_panels<C::kHead, C::kKeys>(tile, map_v, landed, key0, head_v, p.v.batch == 0 ? 0 : w.b);
      }
      if (cuts) {
        mbarrier_wait(ring.cut, cut.parity);
        cut.next();
        clear_rows<C::kHead, C::kKeys>(tile, w.keys - key0);
        fence_proxy_async();
        __syncwarp();  // all zeros are written
        if (speaks) mbarrier_arrive(ring.v_full + v.stage);
      }
      v.next();
    }
  }
}

// Limits on a tile of scores; row: this thread's first.
template <int Keys, class T>
CCDL_DEVICE void forward_mask_sm90(const AttentionProblem<T>& p, const ForwardWork& w, int row, int key0,
                                   float (&s)[Keys / 2]) {
  const int first = key0 + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int seen = static_cast<int>(p.limit(w.row0 + row + half * 8, w.keys)) - first;
#pragma unroll
    for (int j = 0; j < Keys / 8; ++j)
#pragma unroll
      for (int x = 0; x < 2; ++x)
        if (j * 8 + x >= seen) s[j * 4 + half * 2 + x] = -__builtin_huge_valf();
  }
}

// s becomes exp2(scale s - maximum); factor: what sums under the maximum before are worth now.
template <int Keys>
CCDL_DEVICE void forward_softmax_sm90(float (&s)[Keys / 2], float scale, float (&top)[2], float (&sum)[2],
                                      float (&factor)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float before = top[half];
    float now = before;
#pragma unroll
    for (int j = 0; j < Keys / 8; ++j) now = fmaxf(now, fmaxf(s[j * 4 + half * 2], s[j * 4 + half * 2 + 1]));
    now = quad_max(now);
    top[half] = now;
    const float shift = now == -__builtin_huge_valf() ? 0.0f : now * scale;  // nothing seen yet: all 0
    factor[half] = exp2_approx(fmaf(before, scale, -shift));
    float part = 0;
#pragma unroll
    for (int j = 0; j < Keys / 8; ++j)
#pragma unroll
      for (int x = 0; x < 2; ++x) {
        float& v = s[j * 4 + half * 2 + x];
        v = exp2_approx(fmaf(v, scale, -shift));
        part += v;
      }
    sum[half] = fmaf(sum[half], factor[half], part);
  }
}

// Rows of a work unit without a visible key.
template <class T>
CCDL_DEVICE void forward_nothing_seen(const AttentionProblem<T>& p, const ForwardWork& w) {
  T* out = p.out.at(w.b, w.head) + w.row0 * p.out.row;
  const int thread = static_cast<int>(threadIdx.x);
  for (int r = thread / kWarp; r < w.rows; r += kConsumers * kWarpgroup / kWarp)
    for (int c = thread % kWarp; c < p.E; c += kWarp) out[r * p.out.row + c] = T{};
  if (p.lse != nullptr && thread < w.rows)
    p.lse[(static_cast<int64_t>(w.b) * p.H + w.head) * p.L + w.row0 + thread] = -__builtin_huge_valf();
}

template <class C>
CCDL_DEVICE void forward_consume(const AttentionProblem<typename C::T>& p, const ForwardRings<C>& ring,
                                 int work) {
  using T = typename C::T;
  const int group = __shfl_sync(kFullWarp, static_cast<int>(threadIdx.x) / kWarpgroup, 0),
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;  // of the block's rows; and row + 8
  const bool speaks = threadIdx.x % kWarpgroup == 0;
  const int turn = 1 + group, other_turn = 2 - group, own = 3 + group;  // named barriers
  unsigned char* tile_q = ring.q + group * C::kTileQ;
  const float scale = p.scale * static_cast<float>(kLog2E);
  RingPlace<1> q;
  RingPlace<C::kStages> k, v;
  if (group == 1) bar_arrive(other_turn, kConsumers * kWarpgroup);  // the first turn is warpgroup 0's
  for (int index = static_cast<int>(blockIdx.x); index < work; index += static_cast<int>(gridDim.x)) {
    const ForwardWork w = forward_work(p, index, C::kKeys);
    if (w.tiles == 0) {
      forward_nothing_seen(p, w);
      continue;
    }
    float out[C::kHead / 2], s[C::kKeys / 2];
    uint32_t weights[C::kKeys / 16][4];
    float top[2] = {-__builtin_huge_valf(), -__builtin_huge_valf()}, sum[2] = {0, 0}, factor[2];
#pragma unroll
    for (int i = 0; i < C::kHead / 2; ++i) out[i] = 0;
#pragma unroll
    for (int i = 0; i < C::kKeys / 2; ++i) s[i] = 0;

    mbarrier_wait(ring.q_full, q.parity);
    q.next();
    mbarrier_wait(ring.k_full + k.stage, k.parity);
    bar_sync(turn, kConsumers * kWarpgroup);
    wgmma_fence();
    score_tile<T, C::kHead, C::kKeys>(s, tile_q, ring.k + k.stage * C::kTileK);
    wgmma_commit();
    bar_arrive(other_turn, kConsumers * kWarpgroup);
    wgmma_wait<0>();
    wgmma_finished(s);
    if (speaks) mbarrier_arrive(ring.k_empty + k.stage);
    k.next();
    if (C::kKeys > w.clear) forward_mask_sm90<C::kKeys>(p, w, row, 0, s);
    forward_softmax_sm90<C::kKeys>(s, scale, top, sum, factor);
    pack_weights<T, C::kKeys>(s, weights);

#pragma unroll 1
    for (int j = 1; j < w.tiles; ++j) {
      mbarrier_wait(ring.k_full + k.stage, k.parity);
      mbarrier_wait(ring.v_full + v.stage, v.parity);
      bar_sync(turn, kConsumers * kWarpgroup);
      wgmma_fence();
      score_tile<T, C::kHead, C::kKeys>(s, tile_q, ring.k + k.stage * C::kTileK);
      wgmma_commit();
      value_tile<T, C::kHead, C::kKeys>(out, weights, ring.v + v.stage * C::kTileK, true);
      wgmma_commit();
      bar_arrive(other_turn, kConsumers * kWarpgroup);
      wgmma_wait<1>();
      wgmma_finished(s);
      if (speaks) mbarrier_arrive(ring.k_empty + k.stage);
      k.next();
      if ((j + 1) * C::kKeys > w.clear) forward_mask_sm90<C::kKeys>(p, w, row, j * C::kKeys, s);
      forward_softmax_sm90<C::kKeys>(s, scale, top, sum, factor);
      wgmma_wait<0>();
      wgmma_finished(out);
      if (speaks) mbarrier_arrive(ring.v_empty + v.stage);
      v.next();
#pragma unroll
      for (int i = 0; i < C::kHead / 2; ++i) out[i] *= factor[i / 2 % 2];
      pack_weights<T, C::kKeys>(s, weights);
    }
    mbarrier_wait(ring.v_full + v.stage, v.parity);
    wgmma_fence();
    value_tile<T, C::kHead, C::kKeys>(out, weights, ring.v + v.stage * C::kTileK, true);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_finished(out);
    if (speaks) mbarrier_arrive(ring.v_empty + v.stage);
    v.next();

    const int place = recomputed(static_cast<int>(threadIdx.x)) / kWarp * 16 + lane / 4;  // row, anew
    const int64_t line = (static_cast<int64_t>(w.b) * p.H + w.head) * p.L + w.row0 + place;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float total = quad_sum(sum[half]);
      factor[half] = total == 0 ? 0.0f : 1.0f / total;
      if (total == 0)  // values nobody sees may be NaN
#pragma unroll
        for (int i = half * 2; i < C::kHead / 2; i += 4) out[i] = out[i + 1] = 0;
      if (p.lse != nullptr && lane % 4 == 0 && place + half * 8 < w.rows)
        p.lse[line + half * 8] = total == 0 ? -__builtin_huge_valf()
                                            : fmaf(top[half] * scale, static_cast<float>(kLn2), logf(total));
    }
    const int row0 = group * kGroupRows;
    store_group<T, C::kHead>(out, factor, tile_q, own, p.out.at(w.b, w.head) + (w.row0 + row0) * p.out.row,
                             p.out.row, w.rows - row0, p.E, p.out.access);
    if (speaks) mbarrier_arrive(ring.q_empty);
  }
  if (group == 0) bar_sync(turn, kConsumers * kWarpgroup);  // takes the turn that is still offered
}

template <class C>
__global__ void __launch_bounds__(kSm90Threads, 1)
    attention_forward_sm90_kernel(const AttentionProblem<typename C::T> p,
                                  const __grid_constant__ CUtensorMap map_q,
                                  const __grid_constant__ CUtensorMap map_k,
                                  const __grid_constant__ CUtensorMap map_v, int work) {
  const ForwardRings<C> ring;
  if (threadIdx.x == 0) ring.init();
  __syncthreads();  // the barriers are ready
  if (static_cast<int>(threadIdx.x) / kWarpgroup == kConsumers) {
    lower_registers<40>();
    if (static_cast<int>(threadIdx.x) / kWarp == kConsumers * kWarpgroup / kWarp)
      forward_produce<C>(p, ring, &map_q, &map_k, &map_v, work);
  } else {
    raise_registers<232>();
    forward_consume<C>(p, ring, work);
  }
}

template <class C>
bool launch_forward_sm90(const AttentionProblem<typename C::T>& p, int64_t work) {
  CUtensorMap map_q, map_k, map_v;
  if (!encode_map(map_q, p.q, p.B, p.H, p.L, p.D, kGroupRows) ||
      !encode_map(map_k, p.k, p.B, p.G, p.S, p.D, C::kKeys) ||
      !encode_map(map_v, p.v, p.B, p.G, p.S, p.E, C::kKeys))
    return false;
  const auto blocks = static_cast<unsigned>(least<int64_t>(work, device_traits().sm_count));
  CCDL_LAUNCH((LaunchConfig{dim3(blocks), dim3(kSm90Threads), C::kSmem}), (attention_forward_sm90_kernel<C>),
              p, map_q, map_k, map_v, static_cast<int>(work));
  return true;
}

template <class T>
bool run_forward_sm90(const AttentionProblem<T>& p) {
  const int64_t work = p.B * p.H * ceil_div<int64_t>(p.L, kSm90Rows);
  const bool plain = p.mask == nullptr && !p.drops && p.scale > 0 && p.scale < 1e30f;
  if (!plain || p.pack > 1 || p.splits > 1 || p.S == 0 || p.D == 0 || p.E == 0 || work >= INT32_MAX ||
      tensor_map_encoder() == nullptr || !suits_tma(p.q, p.L) || !suits_tma(p.k, p.S) || !suits_tma(p.v, p.S))
    return false;
  const int head = most(p.D, p.E);
  if (head <= 64) return launch_forward_sm90<ForwardSm90Config<T, 64>>(p, work);
  if (head <= 128) return launch_forward_sm90<ForwardSm90Config<T, 128>>(p, work);
  return launch_forward_sm90<ForwardSm90Config<T, 256>>(p, work);
}

}  // namespace ccdl::cu
