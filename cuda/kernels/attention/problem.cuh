// An attention problem as its kernels see it: operands with strides, which keys a query sees, mask, dropout.
// Tail of the keys, key lengths and causality are one upper limit per query: keys [0, limit(i)) are seen.
// Blocks own rows (queries, or keys in dk and dv) of one head; a forward block may own the queries of all
// heads that share a key head (pack > 1), and only a part of the keys (splits > 1).
#pragma once
#include <ccdl/kernels/attention.h>

#include <runtime/launch.h>
#include <device/vec.cuh>

namespace ccdl::cu {

constexpr double kLog2E = 1.4426950408889634074, kLn2 = 0.69314718055994530942;

template <class T>
struct AttentionOperand {
  T* data = nullptr;
  int64_t batch = 0, head = 0, row = 0;  // strides; elements of a row are neighbours
  int access = 0;                        // every row starts at a multiple of this many bytes, at most 16

  CCDL_DEVICE T* at(int64_t b, int64_t h) const { return data + b * batch + h * head; }
};

template <class T>
struct AttentionProblem {
  using Stat = Compute<T>;
  int64_t B, H, G, L, S;
  int D, E, group;  // group: query heads per key head
  AttentionOperand<const T> q, k, v, out_in, dout;
  AttentionOperand<T> out, dq, dk, dv;
  Stat* lse;    // [B, H, L]; forward: may be null
  Stat* delta;  // [B, H, L]: sum over e of dout out
  Stat scale;
  int64_t causal_offset;  // in [-L - 1, S]

  const void* mask;  // or null
  bool mask_bool;
  int64_t mask_batch, mask_head, mask_query, mask_key;  // strides
  const int64_t* lengths;                               // or null
  int64_t lengths_stride;
  bool drops;
  uint32_t threshold;
  Stat keep_scale;  // 1 / (1 - dropout)
  RandomState random;

  int pack, splits;    // forward
  int64_t split_keys;  // keys per split, a multiple of every tile
  Stat* partial;       // [split][B, H, L][pitch], then [split][B, H, L] of logarithms; if splits > 1
  int pitch;

  CCDL_DEVICE int64_t keys(int64_t b) const {
    return lengths == nullptr ? S : least(S, most<int64_t>(0, lengths[b * lengths_stride]));
  }
  CCDL_DEVICE int64_t limit(int64_t query, int64_t keys) const {
    return least(keys, most<int64_t>(0, query + causal_offset + 1));
  }
  CCDL_DEVICE Stat* partial_lse() const { return partial + splits * (B * H * L) * pitch; }
};

// Grids of any number of blocks: x, then y.
inline dim3 flat_grid(int64_t blocks) {
  constexpr int64_t kMost = 1 << 30;
  return dim3(static_cast<unsigned>(least(blocks, kMost)), static_cast<unsigned>(ceil_div(blocks, kMost)));
}
CCDL_DEVICE int64_t flat_block() {
  return static_cast<int64_t>(blockIdx.y) * gridDim.x + static_cast<int64_t>(blockIdx.x);
}

// What a forward block works on: rows [row0, row0 + Rows) of the `pack * L` queries of heads
// [head, head + pack), keys [key_begin, key_end). Long (late) rows of a head come first.
struct ForwardPlace {
  int64_t b, head, row0, key_begin, key_end, keys;
  int rows, split, chunk;  // chunk: of the columns of v
};
template <class T>
CCDL_DEVICE ForwardPlace forward_place(const AttentionProblem<T>& p, int tile_rows, int chunks) {
  ForwardPlace at;
  int64_t id = flat_block();
  const int64_t all = p.pack * p.L, blocks = ceil_div<int64_t>(all, tile_rows), units = p.H / p.pack;
  at.chunk = static_cast<int>(id % chunks);
  id /= chunks;
  at.split = static_cast<int>(id % p.splits);
  id /= p.splits;
  at.row0 = (blocks - 1 - id % blocks) * tile_rows;
  id /= blocks;
  at.head = id % units * p.pack;
  at.b = id / units;
  at.rows = static_cast<int>(least<int64_t>(all - at.row0, tile_rows));
  if (at.b >= p.B) return at;
  at.keys = p.keys(at.b);
  const int64_t last = p.pack > 1 ? p.L - 1 : at.row0 + at.rows - 1;
  at.key_begin = at.split * p.split_keys;
  at.key_end = most(at.key_begin, least(p.limit(last, at.keys), at.key_begin + p.split_keys));
  return at;
}
inline int64_t forward_blocks(int64_t units, int64_t rows, int tile_rows, int64_t splits, int64_t chunks) {
  return units * ceil_div<int64_t>(rows, tile_rows) * splits * chunks;
}

// Which head (relative to the block's first) and query a row of a forward block is.
struct QueryRow {
  int64_t query;
  int head;
};
template <class T>
CCDL_DEVICE QueryRow query_row(const AttentionProblem<T>& p, int64_t row) {
  if (p.pack == 1) return {row, 0};
  const int L = static_cast<int>(p.L), head = static_cast<int>(row) / L;  // pack L fits one block
  return {static_cast<int>(row) - head * L, head};
}

// Mask and dropout of one (batch, head) as functions of query and key.
template <class T>
struct ScoreRule {
  using Stat = Compute<T>;
  const AttentionProblem<T>* p;
  const char* mask;  // of this batch and head
  uint64_t element;  // logical index of (b, h, 0, 0) in [B, H, L, S]
  RandomState random;

  CCDL_DEVICE ScoreRule(const AttentionProblem<T>& problem, int64_t b, int64_t h) : p(&problem) {
    mask = static_cast<const char*>(problem.mask) +
           (b * problem.mask_batch + h * problem.mask_head) * (problem.mask_bool ? 1 : sizeof(T));
    element = (static_cast<uint64_t>(b) * problem.H + h) * problem.L * problem.S;
    random = resolve(problem.random);
  }
  // What the mask adds, in natural units: 0, -inf or the number.
  CCDL_DEVICE Stat bias(int64_t query, int64_t key) const {
    const int64_t offset = query * p->mask_query + key * p->mask_key;
    if (p->mask_bool)
      return reinterpret_cast<const bool*>(mask)[offset] ? Stat(0) : -Stat(__builtin_huge_valf());
    return convert<Stat>(reinterpret_cast<const T*>(mask)[offset]);
  }
  // The score (natural units times unit) under the mask: -inf hides the key, whatever the score is.
  CCDL_DEVICE Stat masked(Stat score, int64_t query, int64_t key, Stat unit) const {
    const Stat added = bias(query, key), none = -Stat(__builtin_huge_valf());
    return added == none ? none : score + added * unit;
  }
  CCDL_DEVICE bool kept(int64_t query, int64_t key) const {
    return rng::kept(word(rng::block(random, index(query, key) / 4), index(query, key) % 4), p->threshold);
  }
  // Of keys key and key + 1.
  CCDL_DEVICE void kept_pair(int64_t query, int64_t key, bool (&keep)[2]) const {
    const uint64_t at = index(query, key);
    rng::Words w = rng::block(random, at / 4);
    keep[0] = rng::kept(word(w, at % 4), p->threshold);
    if (at % 4 == 3) w = rng::block(random, at / 4 + 1);
    keep[1] = rng::kept(word(w, (at + 1) % 4), p->threshold);
  }

 private:
  CCDL_DEVICE uint64_t index(int64_t query, int64_t key) const {
    return element + static_cast<uint64_t>(query) * p->S + key;
  }
  CCDL_DEVICE static uint32_t word(const rng::Words& w, uint64_t i) {  // no indexing of registers
    return i == 0 ? w.w[0] : i == 1 ? w.w[1] : i == 2 ? w.w[2] : w.w[3];
  }
};

enum class AttentionGradient { Q, K, V };

// Tensor-core kernels of the half formats, and of float by tf32 products, for D, E <= kMostHead<T>; and the
// general ones.
template <class T>
constexpr int kMostHead = kIsHalf<T>                 ? 256
                          : std::is_same_v<T, float> ? 128
                                                     : 0;
void attention_forward_mma(const AttentionProblem<float16>& p);
void attention_forward_mma(const AttentionProblem<bfloat16>& p);
void attention_forward_mma(const AttentionProblem<float>& p);
void attention_backward_mma_q(const AttentionProblem<float16>& p);
void attention_backward_mma_q(const AttentionProblem<bfloat16>& p);
void attention_backward_mma_q(const AttentionProblem<float>& p);
void attention_backward_mma_k(const AttentionProblem<float16>& p);
void attention_backward_mma_k(const AttentionProblem<bfloat16>& p);
void attention_backward_mma_k(const AttentionProblem<float>& p);
void attention_backward_mma_v(const AttentionProblem<float16>& p);
void attention_backward_mma_v(const AttentionProblem<bfloat16>& p);
void attention_backward_mma_v(const AttentionProblem<float>& p);
void attention_forward_general(const AttentionProblem<float16>& p);
void attention_forward_general(const AttentionProblem<bfloat16>& p);
void attention_forward_general(const AttentionProblem<float>& p);
void attention_forward_general(const AttentionProblem<double>& p);
void attention_backward_general(const AttentionProblem<float16>& p, AttentionGradient of);
void attention_backward_general(const AttentionProblem<bfloat16>& p, AttentionGradient of);
void attention_backward_general(const AttentionProblem<float>& p, AttentionGradient of);
void attention_backward_general(const AttentionProblem<double>& p, AttentionGradient of);

// Rows of a forward block, by which the planner counts blocks.
inline int mma_forward_rows(int head) { return head <= 128 ? 128 : 64; }
template <class T>
constexpr int kGeneralTile = 16 * 16 / static_cast<int>(sizeof(Compute<T>));

}  // namespace ccdl::cu
