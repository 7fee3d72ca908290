// Attention forward: keys are packed once per key head, then every chunk takes one tile of queries over all
// key blocks with the online softmax (Dao, FlashAttention-2, 2023). A few queries against many keys
// (decoding) cut the keys into fixed parts instead and join the parts in order.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/attention_tiles.h>

#include <cmath>
#include <limits>

namespace ccdl::cpu {
namespace {

constexpr int64_t kChunkWork = int64_t{1} << 20;  // multiply-adds worth a chunk of their own
constexpr int64_t kFewRows = 8;                   // queries of a key head that go the way of decoding
constexpr int64_t kPartKeys = 512;                // keys of a part there

template <class C>
constexpr C kLow = -std::numeric_limits<C>::infinity();

// Keys of a block: a multiple of the panel width near 400.
template <class C>
int64_t block_keys() {
  const int64_t nr = gemm_kernels<C>().nr;
  return 400 / nr * nr;
}

int64_t grain_of(double work) {
  return work >= kChunkWork ? 1 : static_cast<int64_t>(kChunkWork / std::max(work, 64.0));
}

template <class T>
struct Forward {
  using C = ComputeOf<T>;
  const View &q, &k, &v, &out, &lse;
  const AttentionParams& p;
  const AttentionShape n;
  C* workspace;

  Forward(const View& q_, const View& k_, const View& v_, const View& out_, const View& lse_,
          const AttentionParams& p_, void* w)
      : q(q_), k(k_), v(v_), out(out_), lse(lse_), p(p_), n(q_, k_, v_), workspace(static_cast<C*>(w)) {}

  // ---- many queries ----
  // Packed keys [B, G][round_up(S, nr), D]; then the values, where they cannot be read in place.
  int64_t key_panels() const { return round_up(n.keys, gemm_kernels<C>().nr) * n.depth; }
  bool values_in_place() const { return std::is_same_v<T, C> && reads_in_place<C>(n.width); }
  int64_t value_room() const {
    return values_in_place()
               ? 0
               : n.keys * (reads_in_place<C>(n.width) ? n.width : round_up(n.width, gemm_kernels<C>().nr));
  }

  void pack(int64_t b, int64_t g, int64_t j0, int64_t count) const {
    const auto& gemm = gemm_kernels<C>();
    const int64_t pair = b * n.groups + g, value_columns = value_room() / std::max<int64_t>(n.keys, 1);
    C* keys = workspace + pair * key_panels() + j0 * n.depth;
    C* values = workspace + n.batch * n.groups * key_panels() + pair * value_room() + j0 * value_columns;
    if constexpr (std::is_same_v<T, C>) {
      gemm.pack_b(keys, row_of<T>(k, b, g, j0), 1, k.strides[2], n.depth, count);
      if (!values_in_place()) gemm.pack_b(values, row_of<T>(v, b, g, j0), v.strides[2], 1, count, n.width);
    } else {
      Buffer<C> rows(count * std::max(n.depth, n.width));
      dense_rows<T, C>(row_of<T>(k, b, g, j0), k.strides[2], count, n.depth, 1, rows);
      gemm.pack_b(keys, rows, 1, n.depth, n.depth, count);
      const bool plain = reads_in_place<C>(n.width);
      dense_rows<T, C>(row_of<T>(v, b, g, j0), v.strides[2], count, n.width, 1, plain ? values : rows.get());
      if (!plain) gemm.pack_b(values, rows, n.width, 1, count, n.width);
    }
  }
  TileOperand<C> values(int64_t b, int64_t g, int64_t j0, int64_t count) const {
    const int64_t nr = gemm_kernels<C>().nr;
    if constexpr (std::is_same_v<T, C>)
      if (values_in_place()) return {row_of<T>(v, b, g, j0), nr, v.strides[2]};
    const int64_t columns = value_room() / n.keys;
    const C* at =
        workspace + n.batch * n.groups * key_panels() + (b * n.groups + g) * value_room() + j0 * columns;
    if (reads_in_place<C>(n.width)) return {at, nr, columns};
    return {at, nr * count, nr};
  }

  void tiles() const {
    const int64_t block = block_keys<C>(), blocks = ceil_div(n.keys, block);
    parallel_for(n.batch * n.groups * blocks,
                 grain_of(8.0 * static_cast<double>(block * (n.depth + n.width))),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t c = begin; c < end; ++c) {
                     const int64_t pair = c / blocks, j0 = c % blocks * block;
                     pack(pair / n.groups, pair % n.groups, j0, std::min(block, n.keys - j0));
                   }
                 });
    const int64_t rows = ceil_div(n.length, kQueryRows);
    parallel_for(n.batch * n.heads * rows,
                 grain_of(static_cast<double>(std::min(n.length, kQueryRows) * n.keys) *
                          static_cast<double>(n.depth + n.width)),
                 [&](int64_t begin, int64_t end) {
                   TileRows<T> tile_rows(n, p, block);
                   Buffer<C> room(kQueryRows * (n.depth + n.width + block));
                   for (int64_t c = begin; c < end; ++c)
                     query_tile(c / rows / n.heads, c / rows % n.heads, c % rows * kQueryRows, tile_rows,
                                room);
                 });
  }

  void query_tile(int64_t b, int64_t h, int64_t i0, TileRows<T>& rows, C* room) const {
    const int64_t count = std::min(kQueryRows, n.length - i0), g = h / n.heads_per_group,
                  block = block_keys<C>();
    C *queries = room, *o = queries + kQueryRows * n.depth, *s = o + kQueryRows * n.width;
    C max[kQueryRows], sum[kQueryRows];
    rows.start(b);
    for (int64_t r = 0; r < count; ++r) rows.add(h, i0 + r);
    std::fill_n(max, count, kLow<C>);
    std::fill_n(sum, count, C(0));
    dense_rows<T, C>(row_of<T>(q, b, h, i0), q.strides[2], count, n.depth, static_cast<C>(p.scale), queries);
    const int64_t last = keys_seen(p, i0 + count - 1, rows.present());
    const C* panels = workspace + (b * n.groups + g) * key_panels();
    bool first = true;
    for (int64_t j0 = 0; j0 < last; j0 += block) {
      const int64_t keys = std::min(block, last - j0), packed = std::min(block, n.keys - j0);
      const AttentionTile<C> t = rows.tile(s, block, j0, keys);
      if (!rows.any_seen()) continue;
      score_product<C>(queries, n.depth, panels + j0 * n.depth, n.depth, s, block, count, keys, t.limit);
      attention_kernels<C>().forward_step(t, max, sum, o, n.width, first);
      value_product<C>(s, block, values(b, g, j0, packed), o, n.width, count, keys, n.width, t.limit, !first);
      first = false;
    }
    for (int64_t r = 0; r < count; ++r) finish(b, h, i0 + r, max[r], sum[r], o + r * n.width);
  }

  // out = o / sum, lse = max + log sum; a query without keys gives 0 and -inf.
  void finish(int64_t b, int64_t h, int64_t i, C max, C sum, const C* o) const {
    T* y = const_cast<T*>(row_of<T>(out, b, h, i));
    if (sum == C(0))
      std::fill_n(y, n.width, T(0.0f));
    else
      simd_attention().store[float_index(out.dtype)](o, static_cast<double>(C(1) / sum), y, n.width);
    if (lse.data != nullptr)
      lse.ptr<C>()[(b * n.heads + h) * n.length + i] = sum == C(0) ? kLow<C> : max + std::log(sum);
  }

  // ---- few queries ----
  int64_t rows_per_group() const { return n.heads_per_group * n.length; }
  bool is_decoding() const { return rows_per_group() <= kFewRows; }
  int64_t parts() const { return ceil_div(n.keys, kPartKeys); }
  int64_t part_size() const { return rows_per_group() * (n.width + 2); }  // max, sum, o per row

  void decode() const {
    const int64_t rows = rows_per_group(), count = parts(), size = part_size();
    parallel_for(n.batch * n.groups * count,
                 grain_of(static_cast<double>(2 * std::min(n.keys, kPartKeys) * (n.depth + n.width))),
                 [&](int64_t begin, int64_t end) {
                   TileRows<T> tile_rows(n, p, kPartKeys);
                   Buffer<C> room(rows * (n.depth + kPartKeys) +
                                  (std::is_same_v<T, C> ? 0 : kPartKeys * std::max(n.depth, n.width)));
                   for (int64_t c = begin; c < end; ++c)
                     decode_part(c / count / n.groups, c / count % n.groups, c % count * kPartKeys, tile_rows,
                                 room, workspace + c * size);
                 });
    for (int64_t pair = 0; pair < n.batch * n.groups; ++pair)
      for (int64_t r = 0; r < rows; ++r) join(pair, r, workspace + pair * count * size);
  }

  // Rows of T as C rows, in place where they are.
  const C* rows_as(const View& x, int64_t b, int64_t g, int64_t j0, int64_t count, C* room,
                   int64_t* stride) const {
    const T* first = row_of<T>(x, b, g, j0);
    *stride = x.strides[2];
    if constexpr (std::is_same_v<T, C>) {
      return first;
    } else {
      dense_rows<T, C>(first, *stride, count, x.sizes[3], 1, room);
      *stride = x.sizes[3];
      return room;
    }
  }

  void decode_part(int64_t b, int64_t g, int64_t j0, TileRows<T>& tile_rows, C* room, C* part) const {
    const auto& gemm = gemm_kernels<C>();
    const int64_t rows = rows_per_group();
    C *max = part, *sum = part + rows, *o = part + 2 * rows;
    std::fill_n(max, rows, kLow<C>);
    std::fill_n(part + rows, part_size() - rows, C(0));
    tile_rows.start(b);
    int64_t last = 0;
    C *queries = room, *s = room + rows * n.depth, *widened = s + rows * kPartKeys;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t h = g * n.heads_per_group + r / n.length, i = r % n.length;
      tile_rows.add(h, i);
      last = std::max(last, keys_seen(p, i, tile_rows.present()));
      dense_rows<T, C>(row_of<T>(q, b, h, i), 0, 1, n.depth, static_cast<C>(p.scale), queries + r * n.depth);
    }
    const int64_t keys = std::min(kPartKeys, last - j0);
    if (keys <= 0) return;
    int64_t stride;
    const C* x = rows_as(k, b, g, j0, keys, widened, &stride);
    gemm.dots(
        {queries, x, n.depth, stride, s, kPartKeys, 1, rows, keys, n.depth, {1, 0, nullptr, nullptr, false}});
    const AttentionTile<C> t = tile_rows.tile(s, kPartKeys, j0, keys);
    attention_kernels<C>().forward_step(t, max, sum, o, n.width, true);
    x = rows_as(v, b, g, j0, keys, widened, &stride);
    for (int64_t r = 0; r < rows; r += 4)
      gemm.streams(o + r * n.width, s + r * kPartKeys, kPartKeys, 1, x, stride,
                   std::min<int64_t>(4, rows - r), n.width, keys);
  }

  // Parts of row r brought to their common maximum and added in order, into the first part.
  void join(int64_t pair, int64_t r, C* part) const {
    const int64_t rows = rows_per_group(), size = part_size(), count = parts();
    C max = kLow<C>, sum = 0;
    for (int64_t c = 0; c < count; ++c) max = std::max(max, part[c * size + r]);
    const C shift = max == kLow<C> ? C(0) : max;
    C* total = part + 2 * rows + r * n.width;
    for (int64_t c = 0; c < count; ++c) {
      C* o = total + c * size;
      const C factor = std::exp(part[c * size + r] - shift);
      const C part_sum = part[c * size + rows + r];
      if (part_sum == C(0)) {  // no key seen: nothing to add, whatever the values hold
        if (c == 0) std::fill_n(o, n.width, C(0));
        continue;
      }
      sum += part_sum * factor;
      attention_kernels<C>().scaled(o, factor, o, n.width);
      if (c > 0) attention_kernels<C>().add(o, total, n.width);
    }
    finish(pair / n.groups, pair % n.groups * n.heads_per_group + r / n.length, r % n.length, max, sum,
           total);
  }

  void run() const {
    if (n.keys == 0) {
      for (int64_t c = 0; c < n.batch * n.heads * n.length; ++c)
        finish(c / n.length / n.heads, c / n.length % n.heads, c % n.length, kLow<C>, C(0), nullptr);
    } else if (is_decoding()) {
      decode();
    } else {
      tiles();
    }
  }
  int64_t workspace_bytes() const {
    const int64_t pairs = n.batch * n.groups;
    if (is_decoding()) return pairs * parts() * part_size() * static_cast<int64_t>(sizeof(C));
    // expanded keys may stand for more than memory, or 64 bits, can hold: the allocation says so
    const double most = 2 * sizeof(C) * static_cast<double>(pairs) * static_cast<double>(n.keys + 64) *
                        static_cast<double>(n.depth + n.width + 64);
    if (most > 0x1p60) return int64_t{1} << 60;
    return pairs * (key_panels() + value_room()) * static_cast<int64_t>(sizeof(C));
  }
};

}  // namespace

int64_t attention_forward_workspace_bytes(const View& q, const View& k, const View& v,
                                          const AttentionParams& p) {
  return with_float(q.dtype, [&](auto t) {
    const View none{};
    return Forward<decltype(t)>(q, k, v, none, none, p, nullptr).workspace_bytes();
  });
}

void attention_forward(const View& q, const View& k, const View& v, const View& out, const View& lse,
                       const AttentionParams& p, void* workspace) {
  if (q.sizes[0] * q.sizes[1] * q.sizes[2] == 0) return;
  with_float(q.dtype, [&](auto t) { Forward<decltype(t)>(q, k, v, out, lse, p, workspace).run(); });
}

}  // namespace ccdl::cpu
